"""The draw of the next symbol."""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int64

from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.pointwise import ZERO, exp
from charrnn.kernels.product import VECTOR

NEVER = -np.float32(np.inf)
DRAW = int64(VECTOR, boolean[::1], float32, int64, float64, VECTOR)


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
def _exponentials(row, largest, temperature):
    """row = e^((row - largest) / temperature), zero where it is -inf: a loop by itself, since the
    sum would not vectorise.
    """
    for v in range(row.size):
        p = exp((row[v] - largest) / temperature)
        row[v] = p if row[v] > NEVER else ZERO


@kernel(DRAW)
def draw(logits, banned, temperature, top_k, coin, scratch):
    """The symbol that a coin in [0, 1) draws from softmax(logits / temperature) (V,), which is
    overwritten.

    Banned symbols (V,) are never drawn. temperature 0 takes the most probable, the first of equals.
    top_k > 0 leaves only the top_k most probable, of equals at the border the first. scratch (V,).
    """
    V, best = logits.size, -1
    largest = NEVER
    for v in range(V):
        if banned[v]:
            logits[v] = NEVER
        elif best < 0 or logits[v] > largest:
            best, largest = v, logits[v]
    if temperature <= ZERO:
        return best
    if 0 < top_k < V:
        _leave_best(logits, top_k, scratch)
    _exponentials(logits, largest, temperature)
    total = 0.0
    for v in range(V):
        total += np.float64(logits[v])
    left, chosen = coin * total, best
    for v in range(V):
        if logits[v] > ZERO:
            chosen = v
            left -= np.float64(logits[v])
            if left < 0.0:
                return chosen
    return chosen
