"""The Mogrifier's rounds before each step of the lowest layer (see `kernels.mogrifying`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.simd import padded
from charrnn.config import ModelConfig
from charrnn.kernels.mogrifying import ROUND
from charrnn.kernels.recurrent import look_up
from charrnn.network.model import Model, Packed, Panels
from charrnn.network.parameters import (
    EMPTY,
    Floats,
    Shapes,
    aligned,
    round_names,
)

Rounds = NDArray[np.int64]


@dataclass(frozen=True)
class Round:
    """The arrays of a round, (T, N, E) or (T, N, H), and the derivatives of two of them."""

    reads: Floats
    scales: Floats
    scale: Floats
    """What `scales` is multiplied by; after a backward pass the derivative of the product."""
    after: Floats
    d_reads: Floats
    d_scales: Floats

    @property
    def units(self) -> tuple[int, int]:
        """How many numbers it reads and scales."""
        return self.reads.shape[2], self.scales.shape[2]


class Mogrifier:
    """The buffers of all rounds, for T steps of N streams; empty without rounds.

    count: how many rounds there are
    x (T, N, E): the characters' embeddings
    last_x (T, N, E), last_h (T, N, H): what is left of x and h', which the layer's products are
        with
    d_x (T, N, E): after a backward pass, the derivative of the loss by x
    d_h (T, N, H): scratch of the backward pass
    forward, backward: the rounds as the kernels read them
    """

    def __init__(
        self,
        model: Model,
        panels: Panels,
        shape: tuple[int, int],
        training: bool,
        h: Floats,
        count: int,
    ) -> None:
        self._model, self.count = model, count
        shapes = self.shapes(replace(model.config, mogrifier=count), shape, training)
        self.x, self.d_x, self.d_h, self._zeros, *own = (aligned(*size) for size in shapes.values())
        self._rounds: list[Round] = []
        self.last_x, self.last_h = self.x, h[: len(self.x)]
        for index, (scale, after) in enumerate(zip(own[::2], own[1::2], strict=True)):
            of_x, of_h = (self.last_x, self.d_x), (self.last_h, self.d_h)
            (read, d_read), (scaled, d_scaled) = (of_x, of_h) if index % 2 else (of_h, of_x)
            self._rounds.append(Round(read, scaled, scale, after, d_read, d_scaled))
            if index % 2:
                self.last_h = after
            else:
                self.last_x = after
        forward = [[one.reads, one.scales, one.scale, one.after] for one in self._rounds]
        back = [[one.scales, one.scale, one.d_scales, one.d_reads] for one in self._rounds]
        self.forward = self._rows(panels.forward, panels.rounds, forward)
        self.backward = self._rows(panels.back, panels.rounds_back, back * training)

    @staticmethod
    def shapes(config: ModelConfig, shape: tuple[int, int], training: bool) -> Shapes:
        """The shapes of its buffers."""
        rounds = config.mogrifier or 0
        x, h = (
            (*shape, padded(units)) if rounds else EMPTY.shape
            for units in (config.embedding, config.hidden)
        )
        shapes = {
            "x": x,
            "d_x": x if training else EMPTY.shape,
            "d_h": h if training else EMPTY.shape,
            "zeros": x[2:],
        }
        for index, size in zip(range(rounds), cycle((x, h)), strict=False):
            shapes |= {f"scale_{index}": size, f"after_{index}": size}
        return shapes

    def _rows(
        self, memory: Floats, packed: Sequence[Packed], arrays: Sequence[list[Floats]]
    ) -> Rounds:
        """A row for each round: where its matrix begins in the memory of the packed ones, the
        addresses of its arrays, and its units.
        """
        begin = memory.ctypes.data
        rows = [
            [
                (piece.memory.ctypes.data - begin) // 4,
                *(array.ctypes.data for array in own),
                *one.units,
            ]
            for one, piece, own in zip(self._rounds, packed, arrays, strict=False)
        ]
        return np.array(rows, np.int64).reshape(-1, len(ROUND))

    def embed(self, ids: NDArray[np.int32], factor: Floats, steps: int, a: int, b: int) -> None:
        """Write the embeddings of streams a:b, times the factor of input dropout."""
        if self.count:
            table = self._model.parameters["embedding.weight"]
            look_up(table, self._zeros, ids, factor, self.x, 0, steps, a, b)

    def gradient_factors(self, steps: int) -> list[tuple[str, Floats, Floats]]:
        """For each matrix its name and what its gradient is the product of: what was multiplied by
        it (steps N, K), and the derivative of the product (steps N, columns).
        """
        names = round_names(self._model.config)
        return [
            (
                name,
                one.reads[:steps].reshape(-1, one.units[0]),
                one.scale[:steps].reshape(-1, one.units[1]),
            )
            for name, one in zip(names, self._rounds, strict=False)
        ]
