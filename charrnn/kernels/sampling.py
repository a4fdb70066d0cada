"""Draw the next symbol."""

from typing import NamedTuple

import numpy as np
from numba import boolean, float32, float64, int64, types
from numpy.typing import NDArray

from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.pointwise import ZERO, exp
from charrnn.kernels.product import VECTOR


class Controls(NamedTuple):
    """The settings that control how a symbol is drawn; one argument of the kernels.

    banned: (V,), read: these symbols are never drawn.
    temperature: divides the logits; 0 takes the most probable symbol, the first of equals.
    top_k: above 0, only the top_k most probable symbols are kept; ties go to the first.
    log_min_p: symbols whose logit is below the largest one plus this are not drawn; -inf for none.

    As in llama.cpp, top_k comes first, then min_p, both before the temperature: a high temperature
    flattens the remaining distribution, but dropped symbols do not return.
    """

    banned: NDArray[np.bool_]
    temperature: np.float32
    top_k: int
    log_min_p: np.float32


CONTROLS = types.NamedTuple((boolean[::1], float32, int64, float32), Controls)
DRAW = int64(VECTOR, CONTROLS, float64, VECTOR)
NEVER = -np.float32(np.inf)


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
def _exponentials(row, largest, temperature):
    """row = e^((row - largest) / temperature), zero where it is -inf: a loop by itself, since the
    sum would not vectorize.
    """
    for v in range(row.size):
        p = exp((row[v] - largest) / temperature)
        row[v] = p if row[v] > NEVER else ZERO


@kernel(DRAW)
def draw(logits, controls, uniform, scratch):
    """The symbol that a uniform number in [0, 1) draws from softmax(logits / temperature).

    logits (V,) are overwritten, and so is scratch (V,).
    """
    V, best, temperature = logits.size, -1, controls.temperature
    largest = NEVER
    for v in range(V):
        if controls.banned[v]:
            logits[v] = NEVER
        elif best < 0 or logits[v] > largest:
            best, largest = v, logits[v]
    if temperature <= ZERO:
        return best
    if 0 < controls.top_k < V:
        _leave_best(logits, controls.top_k, scratch)
    _leave_from(logits, largest + controls.log_min_p)
    _exponentials(logits, largest, temperature)
    total = 0.0
    for v in range(V):
        total += np.float64(logits[v])
    left, chosen = uniform * total, best
    for v in range(V):
        if logits[v] > ZERO:
            chosen = v
            left -= np.float64(logits[v])
            if left < 0.0:
                return chosen
    return chosen
