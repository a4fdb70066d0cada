"""Attention over the last characters, between the top layer's outputs and the loss."""

from collections.abc import Callable

import numpy as np

from charrnn.compiler.calling import address_of, bind
from charrnn.compiler.simd import padded
from charrnn.config import ModelConfig
from charrnn.kernels import layers
from charrnn.network.layer import Batch, Jobs, Layer, by_columns, rows
from charrnn.network.model import Model, Panels
from charrnn.network.parameters import (
    ATTENTION_DISTANCES,
    ATTENTION_SPEED,
    ATTENTION_UNITS,
    Floats,
    Parameters,
    Shapes,
    aligned,
    attention_biases,
    buckets_of,
    root_of,
)


class Attention:
    """Queries and keys for T steps of N streams, and the losses of what they find (see
    `kernels.attention`).

    qk (T, N, 2 d): queries and keys of a batch; after a backward pass, their derivatives
    """

    def __init__(
        self,
        model: Model,
        panels: Panels,
        layer: Layer,
        logits: Floats,
        losses: Floats,
        distributions: Floats,
    ) -> None:
        from charrnn.kernels.attention import attend  # which only such networks need

        self.model, self._layer, self._arithmetic = model, layer, panels.arithmetic
        shapes = self.shapes(model.config, losses.shape)
        self.qk, self._by_distance, keys, queries, scratch, self._bias, self._unused = (
            aligned(*shape) for shape in shapes.values()
        )
        N, W, d = keys.shape  # of each stream; a thread uses those of its first
        arithmetic = self._arithmetic
        self._of = buckets_of(model.config.attention)
        self._attend = bind(
            attend,
            product=arithmetic.product_at,
            pack=address_of(arithmetic.pack),
            pack_transposed=address_of(arithmetic.pack_transposed),
            qk=self.qk,
            logits=logits,
            losses=losses,
            bias=self._bias,
            root=root_of(model.config),
            by_distance=self._by_distance,
            symbols=model.config.vocab_size,
            own_keys=keys,
            own_flat=keys.reshape(N, W * d),
            queries=queries,
            scratch=scratch,
            own_ids=np.zeros((N, W + 1), np.int32),
            p=distributions,
        )
        self._project = bind(
            layers.multiply,
            product=arithmetic.product_at,
            panels=panels.layers[-1].attend.memory,
            depth=model.width,
            columns=2 * d,
            adds=False,
        )
        self._back: Callable[..., None] | None = None
        if panels.layers_back:
            self._back = bind(
                layers.multiply,
                product=arithmetic.product_at,
                panels=panels.layers_back[-1].attend.memory,
                depth=2 * d,
                columns=model.width,
                adds=True,
            )

    @staticmethod
    def shapes(config: ModelConfig, shape: tuple[int, ...]) -> Shapes:
        """The shapes of its buffers, for T steps of N streams."""
        (T, N), d, M, V = shape, ATTENTION_UNITS, config.attention, padded(config.vocab_size)
        T_padded, W = padded(T), M + padded(T)
        return {
            "qk": (T, N, 2 * d),
            "by_distance": (N, M),
            "keys": (N, W, d),
            "queries": (N, T_padded, d),
            "scratch": (N, W * d + T_padded * (W + T_padded) + 2 * V),
            "bias": (M,),
            "unused": (2 * d,),
        }

    def begin(self) -> None:
        """Take the biases as they are now."""
        self._bias[:] = attention_biases(self.model.parameters, self.model.config)
        self._by_distance[:] = 0

    def forward(self, batch: Batch, a: int, b: int, goes_back: bool, first: int) -> None:
        """The losses of streams a:b, and the derivatives by their logits; with `goes_back` also by
        queries and keys, 0 before step `first`.
        """
        steps, ring = batch.steps, batch.state.read_last
        self._project(x=self._layer.out, z=self.qk, first=0, last=steps, start=a, stop=b)
        loss = batch.scale, batch.smoothing, goes_back, first
        self._attend(*ring, batch.x, batch.y, batch.starts, *loss, steps, a, b)

    def backward(self, dh: Floats, steps: int, a: int, b: int) -> None:
        """Add to dh (T, N, H) what comes from queries and keys of streams a:b."""
        assert self._back is not None
        self._back(x=self.qk, z=dh, first=0, last=steps, start=a, stop=b)

    def gradient_jobs(self, gradient: Parameters, steps: int, threads: int) -> Jobs:
        """Products for the gradient of the weight; the bias's is there at once."""
        d_bias = gradient["attention.bias"]
        by_place = self._by_distance.sum(axis=0, dtype=np.float64)
        d_bias[:] = ATTENTION_SPEED * np.bincount(self._of, by_place, ATTENTION_DISTANCES)
        outputs, dz = rows(self._layer.out, steps), rows(self.qk, steps)
        d_weight = gradient["attention.weight"]
        product = self._arithmetic.input_gradients(outputs, dz, d_weight, self._unused)
        return by_columns(product, 0, dz.shape[1], threads)
