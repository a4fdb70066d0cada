"""Draw the next symbol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import boolean, float32, float64, int64, types
from numpy.typing import NDArray

from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.pointwise import ZERO
from charrnn.kernels.constraint import (
    EDGES,
    NEVER,
    Edges,
    constrain,
    edge_of,
    exponentials,
    log_mass,
)
from charrnn.kernels.product import VECTOR


class Controls(NamedTuple):
    """The settings that control how a symbol is drawn; one argument of the kernels.

    banned: (V,), read: these symbols are never drawn.
    edges: the automaton that the symbols of every stream follow.
    temperature: divides the logits; 0 takes the most probable symbol, the first of equals.
    top_k: above 0, only the top_k most probable symbols are kept; ties go to the first.
    log_min_p: symbols whose logit is below the largest one plus this are not drawn; -inf for none.

    As in llama.cpp, top_k comes first, then min_p, both before the temperature: a high temperature
    flattens the remaining distribution, but dropped symbols do not return.
    """

    banned: NDArray[np.bool_]
    edges: Edges
    temperature: np.float32
    top_k: int
    log_min_p: np.float32


STATE, LEFT, WRITTEN, ENDED = range(4)


class Memory(NamedTuple):
    """What the draws of N streams remember from one to the next. A draw changes its stream's row.

    marks: int64 (N, 4). STATE: of the automaton; LEFT: how many symbols may still be written;
        WRITTEN: how many have been; ENDED: how many had been when there was none left to draw, -1
        before that.
    mass: float64 (N,): the sum over a stream's draws of log(the probability of what the automaton
        allowed), by the softmax of all symbols that are not banned, after the temperature.
    """

    marks: NDArray[np.int64]
    mass: NDArray[np.float64]

    @classmethod
    def new(cls, streams: int, start: int, length: int) -> Memory:
        """That of streams which have written nothing, in the automaton's state `start`."""
        marks = np.zeros((streams, 4), np.int64)
        marks[:] = start, length, 0, -1
        return cls(marks, np.zeros(streams))

    def of(self, streams: Sequence[int]) -> Memory:
        """A copy for these streams, in this order."""
        return Memory(*(each[streams] for each in self))

    def copy_from(self, other: Memory) -> None:
        """Copy another one."""
        for ours, theirs in zip(self, other, strict=True):
            ours[:] = theirs


CONTROLS = types.NamedTuple((boolean[::1], EDGES, float32, int64, float32), Controls)
MEMORY = types.NamedTuple((int64[:, ::1], float64[::1]), Memory)
DRAW = int64(VECTOR, CONTROLS, int64, float64, VECTOR, MEMORY, int64)


@inline
def _cut(row, top_k, largest):
    """The value of the top_k-th largest number; `largest` (top_k) is scratch."""
    count = 0
    for v in range(row.size):
        if count < top_k or row[v] > largest[count - 1]:
            place = min(count, top_k - 1)
            while place > 0 and largest[place - 1] < row[v]:
                largest[place] = largest[place - 1]
                place -= 1
            largest[place] = row[v]
            count = min(count + 1, top_k)
    return largest[count - 1]


@inline
def _leave_best(row, top_k, largest):
    """Set all but the top_k largest to -inf, of equals at the border the last; `largest` (top_k) is
    scratch.
    """
    cut, allowed = _cut(row, top_k, largest), top_k
    for v in range(row.size):
        if row[v] > cut:
            allowed -= 1
    for v in range(row.size):
        if row[v] == cut and allowed > 0:
            allowed -= 1
        elif row[v] <= cut:
            row[v] = NEVER


@inline
def _leave_from(row, least):
    """Set all that is smaller than `least` to -inf."""
    for v in range(row.size):
        row[v] = NEVER if row[v] < least else row[v]


@inline
def _pick(row, best, uniform):
    """The symbol at which the sum of the row's numbers, from the first on, exceeds `uniform` times
    their sum.
    """
    total = 0.0
    for v in range(row.size):
        total += np.float64(row[v])
    left, chosen = uniform * total, best
    for v in range(row.size):
        if row[v] > ZERO:
            chosen = v
            left -= np.float64(row[v])
            if left < 0.0:
                return chosen
    return chosen


@inline
def _choose(logits, controls, uniform, scratch):
    """The symbol that `uniform` draws from these logits; -inf where there is none to draw."""
    best, largest, temperature = -1, NEVER, controls.temperature
    for v in range(logits.size):
        if logits[v] > largest:
            best, largest = v, logits[v]
    if temperature <= ZERO:
        return best
    if 0 < controls.top_k < logits.size:
        _leave_best(logits, controls.top_k, scratch)
    _leave_from(logits, largest + controls.log_min_p)
    exponentials(logits, largest, temperature)
    return _pick(logits, best, uniform)


@kernel(DRAW)
def draw(logits, controls, previous, uniform, scratch, memory, n):
    """The symbol of stream n after `previous` that a uniform number in [0, 1) draws from
    softmax(logits / temperature); `previous` again once a stream has ended.

    logits (V,) are overwritten, and so is scratch (V,).
    """
    marks, edges = memory.marks[n], controls.edges
    if marks[ENDED] >= 0:
        return previous
    for v in range(logits.size):
        if controls.banned[v]:
            logits[v] = NEVER
    if edges.first.size > 0:
        if constrain(logits, edges, marks[STATE], marks[LEFT], scratch) == 0:
            marks[ENDED] = marks[WRITTEN]
            return previous
        if controls.temperature > ZERO:
            memory.mass[n] += log_mass(logits, scratch, controls.temperature)
        for v in range(logits.size):
            logits[v] = scratch[v]
    chosen = _choose(logits, controls, uniform, scratch)
    if edges.first.size > 0:
        marks[STATE] = edges.targets[edge_of(edges, marks[STATE], chosen)]
    marks[LEFT] -= 1
    marks[WRITTEN] += 1
    return chosen
