"""The network: its configuration and parameters, and what a stack of cells needs from the weights
before it can run.

    x_t -> [embedding] -> cell 1 -> dropout -> ... -> cell L -> dropout -> decoder -> softmax

With `skip` the decoder reads every layer's output, each with a weight of its own (Graves 2013,
equation 4).

Every layer's output passes a dropout mask on its way up, never on its way to the next step
(Zaremba, Sutskever & Vinyals 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.simd import NR, padded
from charrnn.config.settings import ACTIVATIONS, ModelConfig
from charrnn.network.arithmetic import FLOAT32, Arithmetic
from charrnn.network.cells import cell_named
from charrnn.network.cells.cell import Cell
from charrnn.network.initialization import initialise
from charrnn.network.parameters import (
    Floats,
    Parameters,
    aligned,
    decoder_names,
    parameter_count,
    tensors_of,
)
from charrnn.runtime.threads import Workers, ranges


class Model:
    """A configuration and its parameters: zeros, unless some of its layout are given."""

    def __init__(self, config: ModelConfig, parameters: Parameters | None = None) -> None:
        self.config = config
        self.cell: Cell = cell_named(config.cell)
        self.parameters = parameters or Parameters(tensors_of(config, self.cell))

    @property
    def width(self) -> int:
        """Units of a layer in memory: hidden, padded."""
        return padded(self.config.hidden)

    @property
    def activation(self) -> int:
        """The number of the nonlinearity, as kernels know it."""
        return ACTIVATIONS.index(self.config.activation)

    def count(self) -> int:
        """How many parameters are trained."""
        return parameter_count(self.config, self.cell)

    def borders(self) -> NDArray[np.int64]:
        """Columns of z between which the recurrent products write: first, middle, last (see
        `kernels.recurrent`).
        """
        first, last = self.cell.first_recurrent, len(self.cell.gates)
        return np.array([first, last - self.cell.gated, last], np.int64) * self.width

    def vectors(self, layer: int) -> Floats:
        """The rows p of a layer's cell, trained or constant, float32 (K, H padded); one row of
        zeros if it has none.
        """
        if self.cell.peepholes:
            return self.parameters[f"rnn.peephole_l{layer}"]
        rows = aligned(1, self.width)
        if self.cell.constants is not None:
            constants = self.cell.constants(self.config)
            rows = aligned(len(constants), self.width)
            rows[:, : self.config.hidden] = constants
        return rows

    def recurrent_mask(self) -> Floats | None:
        """1 where W_h may be other than zero, float32 (H padded, columns); None where that is
        everywhere.
        """
        if self.cell.recurrent_mask is None:
            return None
        mask, H = (
            np.zeros(self.parameters["rnn.weight_hh_l0"].shape, np.float32),
            self.config.hidden,
        )
        mask[:H, :H] = self.cell.recurrent_mask(self.config)
        return mask

    def hold_zeros(self) -> None:
        """Set to zero the recurrent weights that the cell does not have."""
        mask = self.recurrent_mask()
        if mask is None:
            return
        for layer in range(self.config.layers):
            weight = self.parameters[f"rnn.weight_hh_l{layer}"]
            weight *= mask

    @classmethod
    def initialised(cls, config: ModelConfig, seed: int) -> Model:
        """A network to train, with parameters as `initialisation.initialise` draws them."""
        model = cls(config)
        initialise(model.parameters, config, model.cell, seed)
        model.hold_zeros()
        return model


Models = Model | Sequence[Model]
"""One, or the members of an ensemble."""


class State:
    """What a stack of cells carries from one character to the next: h and c, float32 (L, N, H
    padded).
    """

    def __init__(self, model: Model, streams: int) -> None:
        self.h = aligned(model.config.layers, streams, model.width)
        self.c = aligned(model.config.layers, streams, model.width)

    def copy_from(self, other: State) -> None:
        """Take another state's numbers."""
        self.h[:], self.c[:] = other.h, other.c

    def reset(self) -> None:
        """Back to zero."""
        self.h[:], self.c[:] = 0, 0


class _Packed:
    """Columns first:first+count of a matrix, packed into a piece of memory; transposed for the way
    back.
    """

    def __init__(
        self, matrix: Floats, first: int, count: int, memory: Floats, transposed: bool = False
    ) -> None:
        self.matrix, self.first, self.count, self.memory, self.transposed = (
            matrix,
            first,
            count,
            memory,
            transposed,
        )

    def jobs(self, arithmetic: Arithmetic, parts: int) -> list[tuple[Any, ...]]:
        function = arithmetic.pack_transposed if self.transposed else arithmetic.pack
        size = self.matrix.shape[0] if self.transposed else self.count
        if not self.count:
            return []
        pieces = ranges(size, parts, NR)
        return [
            (function, self.matrix, self.memory, self.first, self.count, a, b) for a, b in pieces
        ]


class Panels:
    """The weights packed for the matrix product, made anew after each change of the parameters.

    over, second: each layer's W_h and W_q; up: W_x of the layers from the second on; out: the
    decoder's weights of the layers that it reads; *_back and down: their transposes. `forward` is
    over and second of every layer, up, and out, one behind the other. They are for the products of
    `arithmetic` alone. `embedding` (V, E padded) are the characters' vectors, None for
    one-hot characters; `table` (V, X) is the first layer's product with each character, `bias` not
    included.
    """

    def __init__(self, model: Model, backward: bool, arithmetic: Arithmetic = FLOAT32) -> None:
        self.model, self.arithmetic = model, arithmetic
        L, p, gates = model.config.layers, model.parameters, len(model.cell.gates)
        self.inputs = [p[f"rnn.weight_ih_l{layer}"] for layer in range(L)]
        self.recurrent = [p[f"rnn.weight_hh_l{layer}"] for layer in range(L)]
        self.bias = [p.bias(layer) for layer in range(L)]
        self.decoder, self.decoder_bias = p["decoder.weight"], p["decoder.bias"]
        first, middle, last = model.borders()
        assert last == gates * model.width
        self.split = int(middle - first), int(last - middle)
        pieces = [
            (w, a, n)
            for w in self.recurrent
            for a, n in zip((0, self.split[0]), self.split, strict=True)
        ]
        read = [p[name] for name in decoder_names(model.config) if name is not None]
        pieces += [(w, 0, w.shape[1]) for w in (*self.inputs[1:], *read)]
        self.forward = aligned(
            sum(w.shape[0] * count for w, _, count in pieces) // arithmetic.density
        )
        self._forward = self._placed(pieces, self.forward, False)
        backs = aligned(self.forward.size if backward else 0)
        self._backward = self._placed(pieces, backs, True) if backward else []
        forward, back = (
            [packed.memory for packed in kind] for kind in (self._forward, self._backward)
        )
        self.over, self.second, self.up, self.out = _by_layer(forward, L)
        if backward:
            self.over_back, self.second_back, self.down, self.out_back = _by_layer(back, L)
        embeds = model.config.embedding > 0
        self.table = (
            aligned(model.config.vocab_size, self.inputs[0].shape[1]) if embeds else self.inputs[0]
        )
        self._first = aligned(self.inputs[0].size) if embeds else None
        self.embedding: Floats | None = p["embedding.weight"] if embeds else None

    def _placed(
        self, pieces: list[tuple[Floats, int, int]], memory: Floats, transposed: bool
    ) -> list[_Packed]:
        placed, at = [], 0
        for matrix, first, count in pieces:
            size = matrix.shape[0] * count // self.arithmetic.density
            placed.append(_Packed(matrix, first, count, memory[at : at + size], transposed))
            at += size
        return placed

    def refresh(self, workers: Workers) -> None:
        """Pack the parameters as they are now."""
        self._pack([*self._forward, *self._backward], workers)
        if self._first is not None and self.embedding is not None:
            embedding, weight = self.embedding, self.inputs[0]
            self.arithmetic.pack(weight, self._first, 0, weight.shape[1], 0, weight.shape[1])
            (V, E), Z, product = embedding.shape, weight.shape[1], self.arithmetic.product
            product(
                embedding.ctypes.data,
                E,
                0,
                self._first,
                0,
                0,
                0,
                self.table.ctypes.data,
                Z,
                0,
                1,
                V,
                E,
                Z,
            )

    def replace_recurrent(self, weights: list[Floats], workers: Workers) -> None:
        """Pack other recurrent weights, one (H, columns) a layer, in the place of the model's,
        until the next `refresh`.
        """
        L = len(weights)
        placed = [*self._forward[: 2 * L], *self._backward[: 2 * L]]
        others = [
            _Packed(weights[k % (2 * L) // 2], p.first, p.count, p.memory, p.transposed)
            for k, p in enumerate(placed)
        ]
        self._pack(others, workers)

    def _pack(self, pieces: list[_Packed], workers: Workers) -> None:
        jobs = [job for piece in pieces for job in piece.jobs(self.arithmetic, workers.threads)]
        share = [jobs[k :: workers.threads] for k in range(workers.threads)]
        workers.run(_run_all, [(jobs,) for jobs in share if jobs])


def _by_layer(
    pieces: list[Floats], L: int
) -> tuple[list[Floats], list[Floats], list[Floats | None], list[Floats | None]]:
    """W_h, W_q, W_x and the decoder's weights of each layer; None where it has none."""
    above, read = pieces[2 * L : 3 * L - 1], pieces[3 * L - 1 :]
    return (
        pieces[: 2 * L : 2],
        pieces[1 : 2 * L : 2],
        [None, *above],
        [*[None] * (L - len(read)), *read],
    )


def _run_all(jobs: list[tuple[Any, ...]]) -> None:
    for function, *arguments in jobs:
        function(*arguments)
