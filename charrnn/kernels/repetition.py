"""A guard against loops: symbols that would go on repeating what was written are less probable.

After DRY ("Don't Repeat Yourself", p-e-w 2024) in llama.cpp. A symbol that would extend a run of L
symbols, the last L that also stand somewhere earlier with this symbol behind them, has

    logit -= multiplier * base^(L - allowed_length)

if L is allowed_length or more; the longest run counts. For each distance up to P, one number holds
how long the run is that repeats what stands so far back; each new symbol makes it longer by one or
zero. So a symbol costs one pass over P numbers, however long the runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float64, int32, int64, types, void
from numpy.typing import NDArray

from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.pointwise import ZERO

MOST = 1e4
"""Largest penalty: symbols that all have it still differ."""


class Recent(NamedTuple):
    """The last P symbols of N streams, and the runs that they repeat.

    symbols: int32 (N, 2 P): a ring, twice in a row, so that from heads[n] on the last P symbols
        stand next to each other, the newest first; -1 where there is none.
    runs: int32 (N, P): how many of the last symbols equal those that stand d + 1 before them.
    heads: int64 (N, 2): where the newest symbol is, and the longest run.
    """

    symbols: NDArray[np.int32]
    runs: NDArray[np.int32]
    heads: NDArray[np.int64]

    @classmethod
    def none(cls, streams: int, length: int) -> Recent:
        """Of streams that have no symbols yet."""
        return cls(
            np.full((streams, 2 * length), -1, np.int32),
            np.zeros((streams, length), np.int32),
            np.zeros((streams, 2), np.int64),
        )

    def of(self, streams: list[int]) -> Recent:
        """A copy for these streams, in this order."""
        return Recent(*(each[streams] for each in self))


class Penalty(NamedTuple):
    """multiplier, log(base) and allowed_length of the equation above."""

    multiplier: float
    log_base: float
    allowed_length: int


RECENT = types.NamedTuple((int32[:, ::1], int32[:, ::1], int64[:, ::1]), Recent)
PENALTY = types.NamedTuple((float64, float64, int64), Penalty)


@inline
def note(recent, n, symbol):
    """Stream n goes on with this symbol, an int32."""
    symbols, runs, P = recent.symbols[n], recent.runs[n], recent.runs.shape[1]
    if P == 0:
        return
    head, longest = recent.heads[n, 0], int32(0)
    window = symbols[head : head + P]
    for d in range(P):
        run = runs[d] + int32(1) if window[d] == symbol else int32(0)
        runs[d] = run
        longest = max(longest, run)
    head = (head if head > 0 else P) - 1
    symbols[head] = symbols[head + P] = symbol
    recent.heads[n, 0], recent.heads[n, 1] = head, longest


@inline
def penalize(row, penalty, recent, n, scratch):
    """Subtract the penalties from the logits row (V,). scratch (V,) is overwritten."""
    if recent.heads[n, 1] < penalty.allowed_length:
        return
    runs, window = recent.runs[n], recent.symbols[n, recent.heads[n, 0] :]
    for v in range(row.size):
        scratch[v] = ZERO
    for d in range(runs.size):
        if runs[d] >= penalty.allowed_length:
            scratch[window[d]] = max(scratch[window[d]], np.float32(runs[d]))
    for v in range(row.size):
        if scratch[v] > ZERO:
            excess = np.float64(scratch[v]) - penalty.allowed_length
            growth = np.exp(min(excess * penalty.log_base, 100.0))
            row[v] -= np.float32(min(penalty.multiplier * growth, MOST))


@kernel(void(RECENT, int32[::1]))
def note_all(recent, ids):
    """All streams go on with these ids (K,)."""
    for n in range(recent.runs.shape[0]):
        for symbol in ids:
            note(recent, n, symbol)
