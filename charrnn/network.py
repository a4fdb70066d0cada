"""A network at work: buffers for one batch shape, the forward and the backward pass over shards of the streams.

Each shard, a range of the batch's streams, walks through the whole sequence in one thread, without a barrier. Then the
weights' gradients, sums over all streams, are divided by columns. Every number is computed by the same chain of operations
whatever the shards and the threads, so results are the same bits on any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.kernels import layers
from charrnn.kernels.product import pack_transposed, product
from charrnn.kernels.recurrent import backward_layer, forward_layer
from charrnn.kernels.simd import padded
from charrnn.kernels.softmax import cross_entropy
from charrnn.model import Model, Panels, State
from charrnn.parameters import Floats, Parameters, aligned
from charrnn.workers import Workers, ranges

Ids = NDArray[np.int32]
NOTHING = np.zeros((0, 0), np.float32)


class Network:
    """Buffers for at most T steps of N streams. `training` adds what the backward pass needs.

    `panels` of another network of the same model are shared, and then that network refreshes them.
    """

    def __init__(
        self,
        model: Model,
        seq_length: int,
        streams: int,
        workers: Workers,
        training: bool = False,
        panels: Panels | None = None,
    ) -> None:
        self.model, self.workers = model, workers
        self.panels = panels or Panels(model, backward=training)
        T, N, L, H, V = seq_length, streams, model.config.layers, model.width, padded(model.config.vocab_size)
        Z = len(model.cell.gates) * H
        self.shape = T, N
        planes = L if training else 1
        self.z = [aligned(T, N, Z) for _ in range(planes)] * (L // planes)
        self.h = [aligned(T + 1, N, H) for _ in range(L)]
        self.c = [aligned(T + 1, N, H) for _ in range(planes)] * (L // planes)
        self.logits, self.losses = aligned(T, N, V), aligned(T, N)
        drops = training and model.config.dropout > 0
        self.masks = [aligned(T, N, H) for _ in range(L)] if drops else []
        self.dropped = [aligned(T, N, H) for _ in range(L)] if drops else []
        if training:
            embedded = padded(model.config.embedding)
            self.dh, self.dx, self.dc = aligned(T, N, H), aligned(T, N, H), aligned(N, H)
            self.gradient = model.parameters.like()
            self.embedding = _EmbeddingGradients(model, self.panels) if model.config.embedding else None
            self.scratch = [
                aligned(layers.DEPTH * (layers.COLUMNS + max(2 * H, embedded))) for _ in range(workers.threads)
            ]
        if panels is None:
            self.refresh()

    def refresh(self) -> None:
        """Read the model's parameters anew, after they have changed."""
        self.panels.refresh(self.workers)

    def evaluate(self, x: Ids, y: Ids, state: State) -> Floats:
        """The loss of every character, nats (T, N), a buffer that the next call overwrites.

        x, y int32 (T, N); state is read and becomes the state at the end.
        """
        self._check(x, y, state)
        self._enter(state)
        self.workers.run(self._forward, [(x, y, np.float32(1), None, a, b) for a, b in self._shards()])
        self._leave(state, len(x))
        return self.losses[: len(x)]

    def gradients(self, x: Ids, y: Ids, state: State, key: int) -> tuple[float, Parameters]:
        """The mean loss in nats of a batch, and its gradient by the parameters; `key` draws the dropout masks.

        x, y int32 (T, N); state as for `evaluate`; gradients do not go back beyond it (truncated BPTT). The gradient is
        overwritten by the next call.
        """
        self._check(x, y, state)
        self._enter(state)
        scale = np.float32(1 / x.size)
        self.workers.run(self._there_and_back, [(x, y, scale, key, a, b) for a, b in self._shards()])
        self._leave(state, len(x))
        self._weight_gradients(x)
        return float(self.losses[: len(x)].sum(dtype=np.float64)) / x.size, self.gradient

    def _check(self, x: Ids, y: Ids, state: State) -> None:
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
                raise ValueError(f"ids must be int32, C-contiguous, (1 to {T}, {N}), not {ids.dtype} {ids.shape}")
            if ids.min() < 0 or ids.max() >= self.model.config.vocab_size:
                raise ValueError(f"ids must be 0 to {self.model.config.vocab_size - 1}, not {ids.min()} to {ids.max()}")
        if len(x) != len(y) or state.h.shape[1] != N:
            raise ValueError(
                f"x {x.shape}, y {y.shape} and the state of {state.h.shape[1]} streams do not fit together"
            )

    def _shards(self) -> list[tuple[int, int]]:
        return ranges(self.shape[1], self.workers.threads)

    def _enter(self, state: State) -> None:
        for layer, h in enumerate(self.h):
            h[0] = state.h[layer]
        self._start_c = state.c.copy()
        self._end_c = state.c

    def _leave(self, state: State, steps: int) -> None:
        for layer, h in enumerate(self.h):
            state.h[layer] = h[steps]

    def _forward(self, x: Ids, y: Ids, scale: np.float32, key: int | None, start: int, stop: int) -> None:
        steps, p, step = len(x), self.panels, self.model.cell.step
        below, offset = self.h[0], 1
        for layer, (z, h, c) in enumerate(zip(self.z, self.h, self.c, strict=True)):
            c[0, start:stop] = self._start_c[layer, start:stop]
            if layer == 0:
                layers.look_up(p.table, p.bias[0], x, z, steps, start, stop)
            else:
                layers.project(product, below, p.up[layer], p.bias[layer], z, offset, steps, start, stop)
            forward_layer(product, step, z, h, c, p.over[layer], steps, start, stop)
            self._end_c[layer, start:stop] = c[steps, start:stop]
            below, offset = h, 1
            if key is not None and self.masks:
                self._drop(layer, key, steps, start, stop)
                below, offset = self.dropped[layer], 0
        layers.project(product, below, p.out, p.decoder_bias, self.logits, offset, steps, start, stop)
        symbols = self.model.config.vocab_size
        cross_entropy(self.logits, y, self.losses, symbols, scale, steps, start, stop)

    def _drop(self, layer: int, key: int, steps: int, start: int, stop: int) -> None:
        rate = self.model.config.dropout
        mask = self.masks[layer]
        words = np.random.SeedSequence([key, layer]).generate_state(1)
        threshold, scale = np.uint32(min(rate * 2**32, 2**32 - 1)), np.float32(1 / (1 - rate))
        layers.draw_mask(words[0], threshold, scale, mask, steps, start, stop)
        layers.drop(self.h[layer], mask, self.dropped[layer], steps, start, stop)

    def _there_and_back(self, x: Ids, y: Ids, scale: np.float32, key: int, start: int, stop: int) -> None:
        self._forward(x, y, scale, key, start, stop)
        steps, p, dh, dx = len(x), self.panels, self.dh, self.dx
        layers.project_back(product, self.logits, p.out_back, dh, steps, start, stop)
        for layer in reversed(range(len(self.h))):
            if self.masks:
                layers.drop_back(dh, self.masks[layer], steps, start, stop)
            z, h, c = self.z[layer], self.h[layer], self.c[layer]
            self.dc[start:stop] = 0
            backward_layer(
                product, self.model.cell.step_back, z, h, c, dh, self.dc, p.over_back[layer], steps, start, stop
            )
            if layer:
                layers.project_back(product, z, p.down[layer], dx, steps, start, stop)
                dh, dx = dx, dh

    def _weight_gradients(self, x: Ids) -> None:
        steps, threads, g = len(x), self.workers.threads, self.gradient
        jobs: list[tuple[Any, ...]] = []
        for layer, z in enumerate(self.z):
            dz, before = _rows(z, 0, steps), _rows(self.h[layer], 0, steps)
            if layer:
                below, dw_x = self._outputs(layer - 1, steps), g[f"rnn.weight_ih_l{layer}"]
            else:
                below, dw_x = NOTHING, NOTHING
                table = g["rnn.weight_ih_l0"] if self.embedding is None else self.embedding.d_table
                jobs += [
                    (None, x.reshape(-1), dz, table, a, b) for a, b in ranges(dz.shape[1], threads, layers.COLUMNS)
                ]
            dw_h, db = g[f"rnn.weight_hh_l{layer}"], g[f"rnn.bias_ih_l{layer}"]
            for a, b in ranges(dz.shape[1], threads, layers.COLUMNS):
                jobs.append((below, before, dz, dw_x, dw_h, db, a, b))
        top, dz = self._outputs(len(self.h) - 1, steps), _rows(self.logits, 0, steps)
        for a, b in ranges(dz.shape[1], threads, layers.COLUMNS):
            jobs.append((top, NOTHING, dz, g["decoder.weight"], NOTHING, g["decoder.bias"], a, b))
        self.workers.run(self._gradient_jobs, [(jobs[k::threads], self.scratch[k]) for k in range(threads)])
        if self.embedding is not None:
            self.embedding.compute(g, self.scratch[0])

    def _gradient_jobs(self, jobs: list[tuple[Any, ...]], scratch: Floats) -> None:
        for first, *rest in jobs:
            if first is None:
                layers.table_gradient(*rest)
            else:
                *arrays, a, b = rest
                layers.weight_gradients(product, first, *arrays, scratch, a, b)

    def _outputs(self, layer: int, steps: int) -> Floats:
        return _rows(self.dropped[layer], 0, steps) if self.masks else _rows(self.h[layer], 1, steps)


class _EmbeddingGradients:
    """From the gradient of the first layer's table, embedding times W_x, to those of its two factors."""

    def __init__(self, model: Model, panels: Panels) -> None:
        self.weight, self.embedding = model.parameters["rnn.weight_ih_l0"], model.parameters["embedding.weight"]
        self.d_table = aligned(*panels.table.shape)
        self._panels, self._sums = aligned(self.weight.size), aligned(self.weight.shape[1])

    def compute(self, gradient: Parameters, scratch: Floats) -> None:
        """dW_x = embedding^T d_table; d_embedding = d_table W_x^T."""
        (V, E), Z, d_table = self.embedding.shape, self.weight.shape[1], self.d_table
        dw, de = gradient["rnn.weight_ih_l0"], gradient["embedding.weight"]
        layers.weight_gradients(product, self.embedding, NOTHING, d_table, dw, NOTHING, self._sums, scratch, 0, Z)
        pack_transposed(self.weight, self._panels, 0, E)
        product(d_table.ctypes.data, Z, 1, 0, self._panels, de.ctypes.data, E, 0, 1, V, Z, E, 0)


def _rows(cube: Floats, offset: int, steps: int) -> Floats:
    return cube[offset : offset + steps].reshape(-1, cube.shape[2])
