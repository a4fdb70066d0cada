"""The network: its configuration and parameters, its state, and its weights packed for the matrix
products.

    x_t -> [embedding] -> cell 1 -> dropout -> ... -> cell L -> dropout -> decoder -> softmax

With `skip` the decoder reads every layer's output, each with a separate weight (Graves 2013,
equation 4).

Every layer's output passes a dropout mask on its way up, never on its way to the next step
(Zaremba, Sutskever & Vinyals 2014).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.simd import NR, padded
from charrnn.config.settings import ACTIVATIONS, ModelConfig
from charrnn.errors import ConfigError
from charrnn.network.arithmetic import FLOAT32, Arithmetic
from charrnn.network.cells import cell_named
from charrnn.network.cells.cell import Cell
from charrnn.network.initialization import initialize
from charrnn.network.parameters import (
    ATTENTION_UNITS,
    NOTHING,
    Fixed,
    Floats,
    Parameters,
    Shapes,
    aligned,
    decoder_names,
    matrix_names,
    parameter_count,
    round_names,
    shapes_of,
    tensors_of,
)
from charrnn.runtime.threads import Workers, ranges


class Model(Fixed):
    """A configuration and its parameters, zero by default. `ConfigError` if the configuration does
    not set the size of the network, or if the parameters are those of another one.
    """

    def __init__(self, config: ModelConfig, parameters: Parameters | None = None) -> None:
        self.config = config.resolved()
        self.cell: Cell = cell_named(config.cell)
        self.parameters = parameters or Parameters(tensors_of(self.config))
        if self.parameters.tensors != tensors_of(self.config):
            raise ConfigError("`parameters` are of another shape than the configuration's")

    def __repr__(self) -> str:
        return f"Model({self.summary})"

    def __reduce__(self) -> tuple[type[Model], tuple[Any, ...]]:
        # without the cell, whose kernels each process compiles or loads for itself
        return Model, (self.config, self.parameters)

    @property
    def summary(self) -> str:
        """A few words, such as "lstm 2 x 256, 661,377 parameters"."""
        config = self.config
        return f"{config.cell} {config.layers} x {config.hidden}, {self.count():,} parameters"

    @property
    def width(self) -> int:
        """Units per layer in memory: hidden, padded."""
        return padded(self.config.hidden)

    @property
    def activation(self) -> int:
        """The number of the nonlinearity in the kernels."""
        return ACTIVATIONS.index(self.config.activation)

    def count(self) -> int:
        """Number of trained parameters."""
        return parameter_count(self.config)

    def borders(self) -> NDArray[np.int64]:
        """Columns of z between which the recurrent products write: first, middle, last (see
        `kernels.recurrent`).
        """
        first, last = self.cell.first_recurrent, len(self.cell.gates)
        return np.array([first, last - self.cell.gated, last], np.int64) * self.width

    def vectors(self, layer: int) -> Floats:
        """The rows p of a layer's cell, trained or constant, float32 (K, H padded); K may be 0."""
        if self.cell.peepholes:
            return self.parameters[f"rnn.peephole_l{layer}"]
        if self.cell.constants is None:
            return aligned(0, self.width)
        constants = self.cell.constants(self.config)
        rows = aligned(len(constants), self.width)
        rows[:, : self.config.hidden] = constants
        return rows

    @property
    def recurrent(self) -> list[Floats]:
        """Each layer's W_h, float32 (H padded, columns), views."""
        return [self.parameters[f"rnn.weight_hh_l{layer}"] for layer in range(self.config.layers)]

    @cached_property
    def recurrent_mask(self) -> Floats | None:
        """1 where W_h may be nonzero, float32 (H padded, columns); None if it may be anywhere."""
        if self.cell.recurrent_mask is None:
            return None
        H = self.config.hidden
        mask = np.zeros(self.recurrent[0].shape, np.float32)
        mask[:H, :H] = self.cell.recurrent_mask(self.config)
        return mask

    def hold_zeros(self, parameters: Parameters | None = None, only: int | None = None) -> None:
        """Set the recurrent weights that the cell does not have, or their gradients, to zero, in
        all layers or one.
        """
        views = (parameters or self.parameters).views
        if self.recurrent_mask is not None:
            for layer in range(self.config.layers) if only is None else [only]:
                view = views[f"rnn.weight_hh_l{layer}"]
                view *= self.recurrent_mask

    @classmethod
    def initialized(cls, config: ModelConfig, seed: int) -> Model:
        """A new network, with parameters drawn by `initialization.initialize`."""
        model = cls(config)
        initialize(model.parameters, config, seed)
        model.hold_zeros()
        return model


Models = Model | Sequence[Model]
"""One model, or the members of an ensemble."""
Jobs = list[tuple[Any, ...]]
"""Calls to be made: functions and their arguments."""
Streams = int | slice | Sequence[int] | NDArray[Any]
"""Which of the streams."""


NO_KEYS = aligned(0, 0), np.zeros((0, 0), np.int32), np.zeros(0, np.int32)


class State(Fixed):
    """The state that a stack of cells carries from one character to the next: h and c, float32 (L,
    N, H padded), and with attention what the last M characters left: `keys`, float32 (1, N, M, d),
    and the characters themselves, `ids`, int32 (1, N, M), -1 where none was read. These two are
    rings: the next character takes the place of the oldest one, `places`, int32 (1, N). Without
    attention the last three are empty, (0, N, ...).
    """

    def __init__(self, model: Model, streams: int) -> None:
        shapes = self.shapes(model.config, streams)
        self.h, self.c, self.keys = (aligned(*shapes[name]) for name in ("h", "c", "keys"))
        self.ids = np.full(shapes["ids"], -1, np.int32)
        self.places = np.zeros(shapes["places"], np.int32)

    def __repr__(self) -> str:
        return "State({} layers, {} streams, {} units)".format(*self.h.shape)

    def __setstate__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.h, self.c, self.keys = (aligned(*arrays[n].shape) for n in ("h", "c", "keys"))
        self.h[:], self.c[:], self.keys[:] = arrays["h"], arrays["c"], arrays["keys"]
        self.ids, self.places = arrays["ids"].copy(), arrays["places"].copy()

    @staticmethod
    def shapes(config: ModelConfig, streams: int) -> Shapes:
        """The shapes of its arrays."""
        cells = dict.fromkeys("hc", (config.layers, streams, padded(config.hidden)))
        places, M = (int(config.attention > 0), streams), config.attention
        return {
            **cells,
            "keys": (*places, M, ATTENTION_UNITS),
            "ids": (*places, M),
            "places": places,
        }

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All of them; the second axis of each is that of the streams."""
        return self.h, self.c, self.keys, self.ids, self.places

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        return sum(array.nbytes for array in self.arrays)

    def of_streams(self, start: int, stop: int) -> State:
        """The state of streams start:stop; it shares this one's memory."""
        part = State.__new__(State)
        arrays = (array[:, start:stop] for array in self.arrays)
        part.h, part.c, part.keys, part.ids, part.places = arrays
        return part

    @property
    def read_last(self) -> tuple[Floats, NDArray[np.int32], NDArray[np.int32]]:
        """The keys (N, M d), ids (N, M) and places (N,), as kernels change them: views."""
        if not len(self.keys):
            return NO_KEYS
        (keys,), (ids,), (places,) = self.keys, self.ids, self.places
        return keys.reshape(len(keys), -1), ids, places

    def copy(self) -> State:
        """A copy of the state."""
        copy = State.__new__(State)
        copy.__setstate__(vars(self))
        return copy

    def put(self, streams: Streams, other: State, its: Streams = slice(None)) -> None:
        """Let these streams have the state of those of another one of the same network."""
        for ours, theirs in zip(self.arrays, other.arrays, strict=True):
            ours[:, streams] = theirs[:, its]

    def copy_from(self, other: State) -> None:
        """Copy another state."""
        self.put(slice(None), other)

    def reset(self, streams: Streams = slice(None)) -> None:
        """Set the state to zero, in all streams or these: nothing was read."""
        self.h[:, streams], self.c[:, streams] = 0, 0
        self.ids[:, streams], self.places[:, streams] = -1, 0


@dataclass(frozen=True)
class Packed:
    """Columns first:first+count of a matrix (K, N), and the memory for them (or their transpose) in
    packed form.
    """

    matrix: Floats
    first: int
    count: int
    memory: Floats
    transposed: bool

    @property
    def columns(self) -> Floats:
        """A view of the matrix."""
        return self.matrix[:, self.first : self.first + self.count]

    def jobs(self, arithmetic: Arithmetic, parts: int, matrix: Floats | None = None) -> Jobs:
        """Calls that pack the matrix, or another one in its place, in at most `parts` parts."""
        matrix = self.matrix if matrix is None else matrix
        function = arithmetic.pack_transposed if self.transposed else arithmetic.pack
        size, what = (len(matrix) if self.transposed else self.count), (self.first, self.count)
        pieces = ranges(size, parts, NR) if self.count else []
        return [(function, matrix, self.memory, *what, a, b) for a, b in pieces]


class LayerPanels(NamedTuple):
    """The weights that a layer multiplies by; missing ones have no columns."""

    up: Packed
    """W_x, for the layer below; none in the first layer."""
    over: Packed
    """W_h, for the previous step."""
    second: Packed
    """W_q, for the second product."""
    out: Packed
    """The decoder's weight; none if it does not read the layer."""
    attend: Packed
    """The weight of queries and keys; none but of the last layer, with attention."""


class Panels:
    """The weights packed for the matrix product; packed again after each change of the
    parameters.

    They are only valid for the products of `arithmetic`.

    forward, back (K,): the packed weights of all layers
    layers, layers_back: one record per layer; those of the backward pass hold transposes
    rounds, rounds_back: the Mogrifier's, likewise
    table (V, X): the first layer's product with each character, without the bias; with rounds,
        which change the characters' embeddings before the product, it has no rows
    """

    def __reduce__(self) -> tuple[Callable[..., Panels], tuple[Any, ...]]:
        raise TypeError("Panels cannot be copied: make new ones from the model")

    def __init__(self, model: Model, backward: bool, arithmetic: Arithmetic = FLOAT32) -> None:
        self.model, self.arithmetic = model, arithmetic
        shapes = self.shapes(model.config, backward, arithmetic.density)
        self.forward, self.back = aligned(*shapes["forward"]), aligned(*shapes["back"])
        self.layers, self.rounds = self._placed(self.forward, transposed=False)
        self.layers_back: list[LayerPanels] = []
        self.rounds_back: list[Packed] = []
        if backward:
            self.layers_back, self.rounds_back = self._placed(self.back, transposed=True)
        weight = model.parameters["rnn.weight_ih_l0"]
        self.table = aligned(*shapes["table"]) if model.config.embedding else weight
        self._first = aligned(*shapes["first"])

    @staticmethod
    def shapes(config: ModelConfig, backward: bool, density: int) -> Shapes:
        """The shapes of its arrays."""
        shapes = shapes_of(config)
        size = sum(math.prod(shapes[name]) for name in matrix_names(config)) // density
        E, columns = shapes["rnn.weight_ih_l0"]
        embeds = has_table(config)
        return {
            "forward": (size,),
            "back": (size * backward,),
            "table": (config.vocab_size * embeds, columns),
            "first": (E * columns * embeds,),
        }

    def _placed(self, memory: Floats, transposed: bool) -> tuple[list[LayerPanels], list[Packed]]:
        p, (first, middle, last), at = self.model.parameters, self.model.borders(), 0

        def place(matrix: Floats, first: int, count: int) -> Packed:
            nonlocal at
            start, at = at, at + len(matrix) * count // self.arithmetic.density
            return Packed(matrix, first, count, memory[start:at], transposed)

        placed, rounds = [], round_names(self.model.config)
        for layer, name in enumerate(decoder_names(self.model.config)):
            w_x, w_h = p[f"rnn.weight_ih_l{layer}"], p[f"rnn.weight_hh_l{layer}"]
            decoder = p[name or "decoder.weight"]
            attends = self.model.config.attention and layer == self.model.config.layers - 1
            attention = p["attention.weight"] if attends else NOTHING
            placed.append(
                LayerPanels(
                    over=place(w_h, 0, middle - first),
                    second=place(w_h, middle - first, last - middle),
                    up=place(w_x, 0, w_x.shape[1] if layer or rounds else 0),
                    out=place(decoder, 0, decoder.shape[1] if name else 0),
                    attend=place(attention, 0, attention.shape[1]),
                )
            )
        return placed, [place(p[name], 0, p[name].shape[1]) for name in rounds]

    def refresh(self, workers: Workers) -> None:
        """Pack the parameters as they are now."""
        jobs = [
            job
            for panels in (*self.layers, *self.layers_back, self.rounds, self.rounds_back)
            for piece in panels
            for job in piece.jobs(self.arithmetic, workers.threads)
        ]
        workers.run(operator.call, jobs)
        if has_table(self.model.config):
            p = self.model.parameters
            weight, columns = p["rnn.weight_ih_l0"], self.table.shape[1]
            self.arithmetic.pack(weight, self._first, 0, columns, 0, columns)
            self.arithmetic.multiply(p["embedding.weight"], self._first, self.table)

    def pack_recurrent(self, weights: Sequence[Floats], workers: Workers) -> None:
        """Pack these recurrent weights, one (H, columns) per layer, in place of the model's."""
        jobs = [
            job
            for layers in (self.layers, self.layers_back)
            for panels, weight in zip(layers, weights, strict=bool(layers))
            for piece in (panels.over, panels.second)
            for job in piece.jobs(self.arithmetic, workers.threads, weight)
        ]
        workers.run(operator.call, jobs)


def has_table(config: ModelConfig) -> bool:
    """True if the products of the characters' embeddings with the first layer's W_x are made once
    for all positions.
    """
    return config.embedding > 0 and not config.mogrifier


def check_panels(
    panels: Panels, model: Model, backward: bool = False, arithmetic: Arithmetic | None = None
) -> None:
    """`ConfigError` unless these are the packed weights of this model, with those of the backward
    pass if asked for, and packed for this arithmetic if any: kernels do not check.
    """
    if panels.model is not model:
        raise ConfigError("`panels` are the packed weights of another model; leave them out")
    if backward and not panels.layers_back:
        raise ConfigError("`panels` are without those of the backward pass; leave them out")
    if arithmetic not in (None, panels.arithmetic):
        raise ConfigError("`panels` are packed for another precision; leave them out")
