"""A network at work: buffers for one batch shape, the forward and the backward pass over shards of
the streams.

Each shard, a range of the batch's streams, walks through the whole sequence in one thread, without
a barrier. Then the weights' gradients, sums over all streams, are divided by columns. Every number
is computed by the same chain of operations whatever the shards and the threads, so results are the
same bits on any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charrnn.compiler.simd import padded
from charrnn.kernels import layers
from charrnn.kernels.softmax import cross_entropy
from charrnn.network.arithmetic import arithmetic_of
from charrnn.network.embedding import EmbeddingGradients
from charrnn.network.layer import NOTHING, Backward, Ids, Layer, Starts, rows
from charrnn.network.model import Model, Panels, State
from charrnn.network.parameters import Floats, Parameters, aligned, decoder_names
from charrnn.runtime.threads import Workers, ranges

NO_BIAS = np.zeros(16384, np.float32)
NOTHING_SMOOTHED = np.float32(0)


class Network:
    """Buffers for at most T steps of N streams. `training` adds what the backward pass needs.

    `panels` of another network of the same model are shared, and then that network refreshes them;
    products are in the precision that they were packed for, otherwise in `precision` (see
    `arithmetic`): `ConfigError` where that cannot be had here.
    """

    def __init__(
        self,
        model: Model,
        seq_length: int,
        streams: int,
        workers: Workers,
        training: bool = False,
        panels: Panels | None = None,
        precision: str = "float32",
    ) -> None:
        self.model, self.workers = model, workers
        self.panels = panels or Panels(model, training, arithmetic_of(precision))
        self.arithmetic = self.panels.arithmetic
        T, N, L, V = seq_length, streams, model.config.layers, padded(model.config.vocab_size)
        self.shape = T, N
        self.layers: list[Layer] = []
        for index in range(L):
            shared = self.layers[0] if index and not training else None
            self.layers.append(Layer(model, self.panels, index, self.shape, training, shared))
        self.logits, self.losses = aligned(T, N, V), aligned(T, N)
        self.memory = aligned(T, N, model.width) if model.cell.reads_below else None
        self._factor = np.ones((T, N), np.float32)
        self.input_factor = self._factor if model.config.input_dropout > 0 else None
        self._no_starts = np.zeros((0, N), np.bool_)
        self._smoothing = NOTHING_SMOOTHED
        if training:
            shapes = Backward.shapes(model.config, model.cell, T, N)
            self._backward = {name: aligned(*shape) for name, shape in shapes.items()}
            self.gradient = model.parameters.like()
            self.embedding = (
                EmbeddingGradients(model, self.panels) if model.config.embedding else None
            )
            size = max(
                layers.scratch_size(model.width, model.width),
                layers.scratch_size(padded(model.config.embedding)),
            )
            self.scratch = [aligned(size) for _ in range(workers.threads)]
            self.recurrent_mask = model.recurrent_mask()
            self._sums = aligned(
                L - 1 if model.config.skip else 0, V
            )  # the decoder's bias again, of no use
        if panels is None:
            self.refresh()

    def refresh(self) -> None:
        """Read the model's parameters anew, after they have changed."""
        self.panels.refresh(self.workers)

    def evaluate(self, x: Ids, y: Ids, state: State, starts: Starts | None = None) -> Floats:
        """The loss of every character, nats (T, N), a buffer that the next call overwrites.

        x, y int32 (T, N); state is read and becomes the state at the end. starts bool (T, N): where
        the state is set to zero before a character is read.
        """
        self._check(x, y, state, starts)
        self._enter(x, state, starts, None)
        self.workers.run(
            self._forward, [(x, y, np.float32(1), None, a, b) for a, b in self._shards()]
        )
        self._leave(state, len(x))
        return self.losses[: len(x)]

    def gradients(
        self,
        x: Ids,
        y: Ids,
        state: State,
        key: int | None,
        starts: Starts | None = None,
        sums_over_time: bool = False,
        smoothing: float = 0.0,
    ) -> tuple[float, Parameters]:
        """The mean loss in nats of a batch, and its gradient by the parameters; `key` draws all
        that is random.

        Without a key nothing is dropped, as in evaluation; a network that is used so must not have
        been used with one.

        x, y int32 (T, N); state and starts as for `evaluate`; gradients go neither back beyond the
        state (truncated BPTT) nor across a start. With `sums_over_time` it is the gradient of T
        times that mean. With `smoothing` it is that of the cross-entropy with smoothed labels (see
        `kernels.softmax`); the loss is still the plain one. The next call overwrites it.
        """
        self._smoothing = np.float32(smoothing)
        self._check(x, y, state, starts)
        self._enter(x, state, starts, key)
        if self._starts.size and "base" not in self._backward:
            self._backward["base"] = aligned(*self.shape, self.model.width)
        drops_recurrent = key is not None and self.model.config.recurrent_dropout > 0
        if drops_recurrent and key is not None:
            self.panels.replace_recurrent(
                [layer.draw_recurrent(key) for layer in self.layers], self.workers
            )
        scale = np.float32(1 / (x.shape[1] if sums_over_time else x.size))
        self.workers.run(
            self._there_and_back, [(x, y, scale, key, a, b) for a, b in self._shards()]
        )
        self._leave(state, len(x))
        self._weight_gradients(x)
        if drops_recurrent:
            self.panels.replace_recurrent(self.panels.recurrent, self.workers)
        return float(self.losses[: len(x)].sum(dtype=np.float64)) / x.size, self.gradient

    def state_gradients(self, x: Ids, y: Ids, state: State) -> State:
        """The derivative of each stream's last loss by the state before its first character;
        nothing is dropped.

        x, y int32 (T, N); the state is read and becomes the state at the end. h and c (L, N, H) of
        the result are the derivatives of losses[-1], in nats, by h and c; c is zero for cells
        without a memory cell.
        """
        self._check(x, y, state, None)
        self._enter(x, state, None, None)
        N, steps, found = self.shape[1], len(x), State(self.model, self.shape[1])
        self._forward(x, y, np.float32(1), None, 0, N)
        self.logits[: steps - 1] = 0
        back, (first, middle, _) = Backward(self._backward), self.model.borders()
        if back.m is not None:
            back.m[:] = 0
        for index in reversed(range(len(self.layers))):
            layer, dh = self.layers[index], back.time if self.model.cell.has_output else back.up
            self._decode_back(index, back, steps, 0, N)
            layer.backward(self._memory_below(index), back, self._starts, steps, 0, N, drops=False)
            through_product = (
                layer.z[0, :, first:middle] @ self.panels.recurrent[index][:, : middle - first].T
            )
            found.h[index] = dh[0] + through_product
            if self.model.cell.has_memory:
                found.c[index] = back.c[0]
        self._leave(state, steps)
        return found

    def _check(self, x: Ids, y: Ids, state: State, starts: Starts | None) -> None:
        """Kernels do not check bounds: what would read or write past an array stops here."""
        T, N = self.shape
        for ids in (x, y):
            if (
                ids.dtype != np.int32
                or not ids.flags.c_contiguous
                or ids.ndim != 2
                or not 1 <= len(ids) <= T
                or ids.shape[1] != N
            ):
                raise ValueError(
                    f"ids must be int32, C-contiguous, (1 to {T}, {N}), not {ids.dtype} {ids.shape}"
                )
            if ids.min() < 0 or ids.max() >= self.model.config.vocab_size:
                raise ValueError(
                    f"ids must be 0 to {self.model.config.vocab_size - 1}, not {ids.min()} to "
                    f"{ids.max()}"
                )
        if len(x) != len(y) or state.h.shape[1] != N:
            raise ValueError(
                f"x {x.shape}, y {y.shape} and the state of {state.h.shape[1]} streams do not fit "
                "together"
            )
        if starts is not None and (
            starts.shape != x.shape or starts.dtype != np.bool_ or not starts.flags.c_contiguous
        ):
            raise ValueError(
                f"starts must be bool, C-contiguous, {x.shape}, not {starts.dtype} {starts.shape}"
            )

    def _shards(self) -> list[tuple[int, int]]:
        return ranges(self.shape[1], self.workers.threads)

    def _enter(self, x: Ids, state: State, starts: Starts | None, key: int | None) -> None:
        self._starts = self._no_starts if starts is None or not starts.any() else starts
        self._start_c = state.c.copy()
        self._end_c = state.c
        for index, layer in enumerate(self.layers):
            layer.h[0] = state.h[index]
            layer.prepare_outputs(self._starts)
            layer.choose_out(drops=key is not None)
            if self._starts.size:
                layer.h[0, self._starts[0]] = 0
                self._start_c[index, self._starts[0]] = 0
        self._drop_inputs(x, key)

    def _drop_inputs(self, x: Ids, key: int | None) -> None:
        """The factor of every character: 1, or in training 0 for those dropped and 1 / (1 - rate)
        for the rest.

        With locked dropout it is kinds of characters that a stream does not see (Gal & Ghahramani
        2016, section 4).
        """
        config = self.model.config
        rate = config.input_dropout if key is not None else 0.0
        self._factor[:] = 1
        if rate > 0:
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([key or 0, 0x1D])))
            T, N = x.shape
            kept = rng.random((config.vocab_size, N) if config.locked_dropout else (T, N)) >= rate
            if config.locked_dropout:
                kept = np.take_along_axis(kept, x, axis=0)
            self._factor[:T] = kept / np.float32(1 - rate)

    def _leave(self, state: State, steps: int) -> None:
        for index, layer in enumerate(self.layers):
            state.h[index] = layer.h[steps]

    def _forward(self, x: Ids, y: Ids, scale: np.float32, key: int | None, a: int, b: int) -> None:
        steps, starts = len(x), self._starts
        m_below, below = self.memory, None
        if self.memory is not None:
            table = self.model.parameters["rnn.memory.weight"]
            layers.look_up(
                table, NO_BIAS[: table.shape[1]], x, self._factor, self.memory, 0, steps, a, b
            )
        for index, layer in enumerate(self.layers):
            layer.c[0, a:b] = self._start_c[index, a:b]
            if key is None:
                layer.expect_masks(a, b)
            else:
                layer.draw_masks(key, steps, a, b)
            layer.forward(x, self._factor, below, m_below, starts, steps, a, b)
            self._end_c[index, a:b] = layer.c[steps, a:b]
            layer.hand_up(below, key is not None, steps, a, b)
            below, m_below = layer.out, layer.m
        self._decode(steps, a, b)
        smoothing = NOTHING_SMOOTHED if key is None else self._smoothing
        cross_entropy(
            self.logits, y, self.losses, self.model.config.vocab_size, scale, smoothing, steps, a, b
        )

    def _there_and_back(
        self, x: Ids, y: Ids, scale: np.float32, key: int | None, a: int, b: int
    ) -> None:
        self._forward(x, y, scale, key, a, b)
        steps, back = len(x), Backward(self._backward)
        if back.m is not None:
            back.m[:, a:b] = 0
        for index in reversed(range(len(self.layers))):
            self._decode_back(index, back, steps, a, b)
            below, drops = self._memory_below(index), key is not None
            self.layers[index].backward(below, back, self._starts, steps, a, b, drops)

    def _decode(self, steps: int, a: int, b: int) -> None:
        """The logits of streams a:b from the outputs of the layers that the decoder reads."""
        product, logits, width, bias = (
            self.arithmetic.product_at,
            self.logits,
            self.logits.shape[2],
            self.panels.decoder_bias,
        )
        read = [
            (layer.out, out)
            for layer, out in zip(self.layers, self.panels.out, strict=True)
            if out is not None
        ]
        for k, (outputs, out) in enumerate(read):
            if k == 0:
                layers.project(product, outputs, out, bias, logits, width, 0, steps, a, b)
            else:
                layers.add_projection(product, outputs, out, logits, width, steps, a, b)

    def _decode_back(self, index: int, back: Backward, steps: int, a: int, b: int) -> None:
        """The derivative by a layer's outputs, back.up[1:], that comes from the decoder, beside
        that from the layer above.
        """
        product, logits, out, dy = (
            self.arithmetic.product_at,
            self.logits,
            self.panels.out_back[index],
            back.up[1:],
        )
        if index == len(self.layers) - 1:
            layers.project_back(product, logits, out, dy, logits.shape[2], steps, a, b)
        elif out is not None:
            layers.add_projection(product, logits, out, dy, dy.shape[2], steps, a, b)

    def _memory_below(self, index: int) -> Floats | None:
        return self.layers[index - 1].m if index else self.memory

    def _weight_gradients(self, x: Ids) -> None:
        steps, threads, g = len(x), self.workers.threads, self.gradient
        jobs: list[tuple[Any, ...]] = []
        symbols, factor = x.reshape(-1), self._factor[:steps].reshape(-1)
        for index, layer in enumerate(self.layers):
            below = rows(self.layers[index - 1].out, 0, steps) if index else NOTHING
            jobs += layer.gradient_jobs(below, self._memory_below(index), g, steps, threads)
        table = g["rnn.weight_ih_l0"] if self.embedding is None else self.embedding.d_table
        looked_up = [(rows(self.layers[0].z, 0, steps), table)]
        if self.memory is not None:
            dm = self._backward["m_below" if len(self.layers) % 2 else "m"]
            looked_up.append((rows(dm, 0, steps), g["rnn.memory.weight"]))
        for dz, d_table in looked_up:
            arrays: tuple[Any, ...] = (symbols, factor, dz, d_table)
            jobs += [
                (layers.table_gradient, arrays, border)
                for border in ranges(d_table.shape[1], threads, layers.COLUMNS)
            ]
        dz = rows(self.logits, 0, steps)
        for index, name in enumerate(decoder_names(self.model.config)):
            if name is None:
                continue
            out = rows(self.layers[index].out, 0, steps)
            sums = g["decoder.bias"] if name == "decoder.weight" else self._sums[index]
            arrays = (self.arithmetic.packed_at, out, NOTHING, dz, g[name], NOTHING, sums)
            for a, b in ranges(dz.shape[1], threads, layers.COLUMNS):
                jobs.append((self.arithmetic.weight_gradients, arrays, (0, 0, a, b)))
        self.workers.run(
            self._gradient_jobs, [(jobs[k::threads], self.scratch[k]) for k in range(threads)]
        )
        self._mask_gradients()
        if self.embedding is not None:
            self.embedding.compute(g, self.scratch[0])

    def _gradient_jobs(self, jobs: list[tuple[Any, ...]], scratch: Floats) -> None:
        for function, arrays, places in jobs:
            if function is self.arithmetic.weight_gradients:
                function(*arrays, scratch, *places)
            else:
                function(*arrays, *places)

    def _mask_gradients(self) -> None:
        """Weights that a cell holds at zero have no gradient; those of dropped weights are zero, of
        kept ones scaled.
        """
        for index, layer in enumerate(self.layers):
            gradient = self.gradient[f"rnn.weight_hh_l{index}"]
            if self.recurrent_mask is not None:
                gradient *= self.recurrent_mask
            if layer.recurrent_mask is not None:
                gradient *= layer.recurrent_mask
