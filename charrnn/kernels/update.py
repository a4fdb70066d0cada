"""The work before an optimizer's step: gradient norm, clipping, and penalties, over flat
vectors.

The optimizers' rules are in `adam.py`, `descent.py` and `adaptive.py`; only the one in use is
loaded.
"""

from typing import Any

import numpy as np
from numba import float32, float64, int64, types, void

from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.lanes import double, maximum, minimum
from charrnn.compiler.rows import SUM_OF_DOUBLES, rows
from charrnn.kernels.product import VECTOR

BLOCK = 4096
"""Elements whose squares are summed together; NumPy adds the blocks' sums, so threads do not change
the norm.
"""


def rule_of(numbers: int, slots: int) -> Any:
    """The signature of an optimizer's kernel: (w, gradient, *slots, rule, clip_value, scale, start,
    stop), where the rule is a tuple of numbers.
    """
    rule = types.UniTuple(float32, numbers)
    return void(*[VECTOR] * (2 + slots), rule, float32, float32, int64, int64)


@inline
def clamped(g, limit):
    """The number within +-limit; a NaN stays one."""
    g = limit if g > limit else g
    return -limit if g < -limit else g


@rows(fold=SUM_OF_DOUBLES)
def squares_of(a, limit):
    """The sum of squares of a row, clamped to +-limit; NaN if there is one."""
    g = double(maximum(minimum(a, limit), -limit))
    return g * g


@kernel(void(VECTOR, float32, float64[::1], int64, int64))
def square_sums(gradient, clip_value, sums, start, stop):
    """sums[b] = the sum of squares of block b of the gradient, each element first clamped to
    +-clip_value; b in start:stop. The gradient's size is a multiple of LANES.
    """
    for block in range(start, stop):
        part = gradient[block * BLOCK : min((block + 1) * BLOCK, gradient.size)]
        sums[block] = squares_of(part, clip_value)


@kernel(void(VECTOR, VECTOR, float32, int64, int64))
def average(w, averaged, share, start, stop):
    """averaged += share (w - averaged) on elements start:stop."""
    w, averaged = w[start:stop], averaged[start:stop]
    for k in range(w.size):
        averaged[k] += share * (w[k] - averaged[k])


@kernel(rule_of(3, 0))
def penalize(w, gradient, penalties, clip_value, scale, start, stop):
    """Clipping and weight penalties on elements start:stop; the gradient and w are overwritten.

        g = scale * clamp(g) + l2 w + l1 sign(w),  w -= decay w

    penalties = (l1, l2, decay): the gradients of l1 |w| and of l2/2 w^2, and the decoupled weight
    decay of Loshchilov & Hutter 2019 (algorithm 2, line 12), where the caller has multiplied it by
    the learning rate. Zeros, such as padding, stay zero.
    """
    l1, l2, decay = penalties
    w, gradient = w[start:stop], gradient[start:stop]
    for k in range(w.size):
        sign = np.float32(w[k] > 0) - np.float32(w[k] < 0)
        gradient[k] = scale * clamped(gradient[k], clip_value) + l2 * w[k] + l1 * sign
        w[k] -= decay * w[k]
