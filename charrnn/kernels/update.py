"""What happens to parameters before an optimiser's step: the gradient's norm, clipping, and penalties, over flat vectors.

The optimisers' rules stand in `adam.py`, `descent.py` and `adaptive.py`; only the one in use is loaded.
"""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, void

from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.product import VECTOR

BLOCK = 4096
"""Elements whose squares are summed together; the blocks' sums are added in order, so threads do not change the norm."""


@inline
def clamped(g, limit):
    """The number within +-limit; a NaN stays one."""
    g = limit if g > limit else g
    return -limit if g < -limit else g


@inline
def _square(g, limit):
    clipped = np.float64(clamped(g, limit))
    return clipped * clipped


@kernel(void(VECTOR, float32, float64[::1], int64, int64))
def square_sums(gradient, clip_value, sums, start, stop):
    """sums[b] = the sum of squares of block b of the gradient, each element first clamped to +-clip_value; b in start:stop.

    Four chains of additions, since each addition waits four cycles for the one before it.
    """
    for block in range(start, stop):
        a, b, c, d = 0.0, 0.0, 0.0, 0.0
        first, last = block * BLOCK, min((block + 1) * BLOCK, gradient.size)
        whole = last - (last - first) % 4
        for k in range(first, whole, 4):
            a += _square(gradient[k], clip_value)
            b += _square(gradient[k + 1], clip_value)
            c += _square(gradient[k + 2], clip_value)
            d += _square(gradient[k + 3], clip_value)
        for k in range(whole, last):
            a += _square(gradient[k], clip_value)
        sums[block] = (a + b) + (c + d)


@kernel(void(VECTOR, VECTOR, float32[::1], float32, float32, int64, int64))
def penalise(w, gradient, penalties, clip_value, scale, start, stop):
    """Clipping and weight penalties on elements start:stop; the gradient and w are overwritten.

        g = scale * clamp(g) + l2 w + l1 sign(w),  w -= decay w

    penalties = (l1, l2, decay): the gradients of l1 |w| and of l2/2 w^2, and the decoupled weight decay of Loshchilov & Hutter
    2019 (algorithm 2, line 12), where the caller has multiplied it by the learning rate. Zeros, such as padding, stay zero.
    """
    l1, l2, decay = penalties[0], penalties[1], penalties[2]
    w, gradient = w[start:stop], gradient[start:stop]
    for k in range(w.size):
        sign = np.float32(w[k] > 0) - np.float32(w[k] < 0)
        gradient[k] = scale * clamped(gradient[k], clip_value) + l2 * w[k] + l1 * sign
        w[k] -= decay * w[k]
