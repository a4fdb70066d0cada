"""The gradients of a network's weights and biases, from the derivatives of its layers'
pre-activations that the backward pass leaves in their z.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import cycle, pairwise
from typing import TYPE_CHECKING

from charrnn.compiler.calling import bind
from charrnn.compiler.simd import padded
from charrnn.kernels import layers
from charrnn.network.embedding import EmbeddingGradients
from charrnn.network.layer import Batch, Jobs, Layer, by_columns, rows
from charrnn.network.model import has_table
from charrnn.network.parameters import Floats, aligned, decoder_names

if TYPE_CHECKING:
    from charrnn.network.network import Network


class WeightGradients:
    """Computes them into the network's `gradient`, by products that its threads share.

    scratch: of each thread
    """

    def __init__(self, network: Network) -> None:
        # not the network itself: its memory is to be free as soon as nothing else refers to it
        self._model, self._workers = network.model, network.workers
        self._gradient = network.gradient
        self._layers, self._arithmetic = network.layers, network.panels.arithmetic
        self._logits, self._factor = network.logits, network.factor
        self._attention = network.attention
        config, H = self._model.config, self._model.width
        self._embedding = None
        if has_table(config):
            self._embedding = EmbeddingGradients(self._model, network.panels)
        size = layers.scratch_size(max(H, padded(config.embedding)), H)
        self.scratch = [aligned(size) for _ in range(network.workers.threads)]
        # the decoder's bias again, unused
        self._sums = aligned(*network.training_shapes(config)["sums"])

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """Ranges of the flat gradient in the order in which they are complete: that of each layer's
        weights, the first with the characters' vectors, and that of the decoder and all biases.
        """
        g, names = self._gradient, decoder_names(self._model.config)
        first = [f"rnn.weight_ih_l{layer}" for layer in range(1, len(self._layers))]
        first.append(next(name for name in names if name is not None))
        cuts = [(g[name].ctypes.data - g.flat.ctypes.data) // 4 for name in first]
        return list(pairwise([0, *cuts, g.flat.size]))

    def compute(
        self, batch: Batch, by_memory: Floats, ready: Callable[[], None] | None = None
    ) -> None:
        """The gradients of all weights, piece by piece if `ready` is to be called after each, else
        at once. by_memory (T, N, H): the derivative of the loss by the characters' vectors; empty
        without any.
        """
        pieces: list[tuple[Jobs, Jobs]] = [
            *(self._layer_jobs(batch, layer, by_memory) for layer in self._layers),
            (self._decoder_jobs(batch), Jobs()),
        ]
        if ready is None:
            self._run_jobs(*(sum(jobs, Jobs()) for jobs in zip(*pieces, strict=True)))
        for index, jobs in enumerate(pieces):
            if ready is not None:
                self._run_jobs(*jobs)
            if index < len(self._layers):
                self._complete(batch, self._layers[index])
            if ready is not None:
                ready()

    def _layer_jobs(self, batch: Batch, layer: Layer, by_memory: Floats) -> tuple[Jobs, Jobs]:
        """Products and sums for the weights and biases of a layer, and of the characters."""
        steps, threads, g = batch.steps, self._workers.threads, self._gradient
        products, sums = Jobs(), Jobs()
        layer.add_gradient_jobs(g, steps, threads, products, sums)
        if layer.index:
            return products, sums
        for name, read, dz in layer.mogrifier.gradient_factors(steps):
            unused = aligned(dz.shape[1])  # there are no biases
            product = self._arithmetic.input_gradients(read, dz, g[name], unused)
            products += by_columns(product, 0, dz.shape[1], threads)
        table = g["rnn.weight_ih_l0"] if self._embedding is None else self._embedding.d_table
        looked_up = [(layer.z, table)]
        if layer.mogrifier.count:
            looked_up = [(layer.mogrifier.d_x, g["embedding.weight"])]
        if by_memory.size:
            looked_up.append((by_memory, g["rnn.memory.weight"]))
        for dz, d_table in looked_up:
            total = bind(
                layers.table_gradient,
                ids=batch.x.reshape(-1),
                factor=self._factor[:steps].reshape(-1),
                dz=rows(dz, steps),
                d_table=d_table,
            )
            sums += by_columns(total, 0, d_table.shape[1], threads)
        return products, sums

    def _decoder_jobs(self, batch: Batch) -> Jobs:
        """Products for the decoder's weights and bias."""
        g, dz, products = self._gradient, rows(self._logits, batch.steps), Jobs()
        for layer, name in zip(self._layers, decoder_names(self._model.config), strict=True):
            if name is not None:
                db = g["decoder.bias"] if name == "decoder.weight" else self._sums[layer.index]
                outputs = rows(layer.out, batch.steps)
                product = self._arithmetic.input_gradients(outputs, dz, g[name], db)
                products += by_columns(product, 0, dz.shape[1], self._workers.threads)
        if self._attention is not None:
            products += self._attention.gradient_jobs(g, batch.steps, self._workers.threads)
        return products

    def _run_jobs(self, products: Jobs, sums: Jobs) -> None:
        # products come first: those that share scratch memory run in one thread
        scratch = zip(products, cycle(self.scratch), strict=False)
        own = [(product, memory, a, b) for (product, a, b), memory in scratch]
        self._workers.run(operator.call, [*own, *sums])

    def _complete(self, batch: Batch, layer: Layer) -> None:
        """What follows for a layer's weights once their products are there."""
        g = self._gradient
        self._model.hold_zeros(g, layer.index)
        if batch.drops and self._model.config.recurrent_dropout > 0:
            d_recurrent = g[f"rnn.weight_hh_l{layer.index}"]
            d_recurrent *= layer.recurrent_mask  # zero for dropped weights, scaled for kept ones
        if self._embedding is not None and layer.index == 0:
            self._embedding.compute(g, self.scratch[0])
