"""Draw the next symbol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import boolean, float32, float64, int32, int64, types
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
from charrnn.kernels.repetition import PENALTY, RECENT, Penalty, Recent, note, penalize
from charrnn.kernels.truncation import leave_best, leave_nucleus

COLD = np.float32(1e-6)
"""Dividing by a temperature below this overflows; only the most probable symbol is left anyway."""


class Temperatures(NamedTuple):
    """The temperature of the symbol after k that a stream has written: `inner` if the symbol before
    it is one of is_inner, (V,) or (0,), read; else first + slope * min(k, span).
    """

    first: float
    slope: float
    span: int
    is_inner: NDArray[np.bool_]
    inner: np.float32


class Controls(NamedTuple):
    """The settings that control how a symbol is drawn; one argument of the kernels.

    They are applied in this order, which is llama.cpp's where it has the same ones:

    1. banned (V,), read: these symbols are never drawn. edges: nor are those that the automaton
       does not allow.
    2. penalty: symbols that would go on repeating what was written become less probable.
    3. top_k: above 0, only the top_k most probable symbols are kept; ties go to the first.
    4. top_p: below 1, only the fewest most probable ones are kept whose probabilities, among those
       that are left, sum to top_p; ties go to the first.
    5. log_min_p: symbols whose logit is below the largest one plus this are dropped; -inf for none.
    6. The temperature divides the logits; at 1e-6 and below, the most probable symbol is taken, the
       first of equals.

    So a high temperature flattens what is left, but dropped symbols do not return. With
    attention, a temperature below 1 has shaped the logits before step 1 (`kernels.blending.blend`).
    """

    banned: NDArray[np.bool_]
    edges: Edges
    penalty: Penalty
    top_k: int
    top_p: float
    log_min_p: np.float32
    temperature: Temperatures


STATE, LEFT, WRITTEN, ENDED = range(4)


class Memory(NamedTuple):
    """What the draws of N streams remember from one to the next. A draw changes its stream's row.

    marks: int64 (N, 4). STATE: of the automaton; LEFT: how many symbols may still be written;
        WRITTEN: how many have been; ENDED: how many had been when there was none left to draw, -1
        before that.
    mass: float64 (N,): the sum over a stream's draws of log(the probability of what the automaton
        allowed), by the softmax of all symbols that are not banned, after the temperature.
    recent: the last symbols, those that were read included, if repeating them costs anything.
    """

    marks: NDArray[np.int64]
    mass: NDArray[np.float64]
    recent: Recent

    @classmethod
    def new(cls, streams: int, start: int = 0, length: int = 0, recent: int = 0) -> Memory:
        """That of streams which have written nothing of `length` symbols, in the automaton's state
        `start`; they remember the last `recent` symbols.
        """
        marks, mass = np.zeros((streams, 4), np.int64), np.zeros(streams)
        memory = cls(marks, mass, Recent.none(streams, recent))
        memory.begin(start, length)
        return memory

    def begin(self, start: int, length: int) -> None:
        """Nothing of `length` symbols is written yet, and the automaton is in the state `start`."""
        self.marks[:] = start, length, 0, -1
        self.mass[:] = 0

    def of(self, streams: Sequence[int]) -> Memory:
        """A copy for these streams, in this order."""
        chosen = list(streams)
        return Memory(self.marks[chosen], self.mass[chosen], self.recent.of(chosen))

    def put(self, stream: int, other: Memory, its: int) -> None:
        """Let a stream remember what another one's does."""
        for ours, theirs in zip(
            (self.marks, self.mass, *self.recent),
            (other.marks, other.mass, *other.recent),
            strict=True,
        ):
            ours[stream] = theirs[its]


TEMPERATURES = types.NamedTuple((float64, float64, int64, boolean[::1], float32), Temperatures)
CONTROLS = types.NamedTuple(
    (boolean[::1], EDGES, PENALTY, int64, float64, float32, TEMPERATURES), Controls
)
MEMORY = types.NamedTuple((int64[:, ::1], float64[::1], RECENT), Memory)
DRAW = int64(VECTOR, CONTROLS, int64, float64, VECTOR, MEMORY, int64)


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
def temperature_of(temperature, previous, written):
    """The temperature of the symbol that follows `previous`, after `written` ones."""
    if temperature.is_inner.size > 0 and temperature.is_inner[previous]:
        return temperature.inner
    moved = temperature.slope * np.float64(min(written, temperature.span))
    return np.float32(temperature.first + moved)


@inline
def _choose(logits, controls, temperature, uniform, scratch):
    """The symbol that `uniform` draws from these logits; -inf where there is none to draw. What is
    left in their place is as probable as it is drawn, times a constant.
    """
    best, largest = int64(0), NEVER  # a number that is NaN is never the largest
    for v in range(logits.size):
        if logits[v] > largest:
            best, largest = v, logits[v]
    if temperature <= COLD:
        for v in range(logits.size):
            logits[v] = ZERO
        logits[best] = np.float32(1)
        return best
    if 0 < controls.top_k < logits.size:
        leave_best(logits, controls.top_k, scratch)
    if controls.top_p < 1.0:
        leave_nucleus(logits, controls.top_p, largest, scratch)
    least = largest + controls.log_min_p
    for v in range(logits.size):
        logits[v] = NEVER if logits[v] < least else logits[v]
    exponentials(logits, largest, temperature)
    return _pick(logits, best, uniform)


@kernel(DRAW)
def draw(logits, controls, previous, uniform, scratch, memory, n):
    """The symbol of stream n after `previous` that a uniform number in [0, 1) draws from
    softmax(logits / temperature); `previous` again once a stream has ended.

    logits (V,): read, then how probable each symbol was, times a constant
    scratch (V,): overwritten
    """
    marks, edges = memory.marks[n], controls.edges
    if marks[ENDED] >= 0:
        return previous
    temperature = temperature_of(controls.temperature, previous, marks[WRITTEN])
    for v in range(logits.size):
        if controls.banned[v]:
            logits[v] = NEVER
    if edges.first.size > 0:
        if constrain(logits, edges, marks[STATE], marks[LEFT], scratch) == 0:
            marks[ENDED] = marks[WRITTEN]
            return previous
        if temperature > COLD:
            memory.mass[n] += log_mass(logits, scratch, temperature)
        for v in range(logits.size):
            logits[v] = scratch[v]
    penalize(logits, controls.penalty, memory.recent, n, scratch)
    chosen = _choose(logits, controls, temperature, uniform, scratch)
    note(memory.recent, n, int32(chosen))
    if edges.first.size > 0:
        marks[STATE] = edges.targets[edge_of(edges, marks[STATE], chosen)]
    marks[LEFT] -= 1
    marks[WRITTEN] += 1
    return chosen
