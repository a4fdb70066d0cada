"""What happens to parameters after the gradients are known: norm, clipping, and the optimisers' rules, over flat vectors."""

from __future__ import annotations

import numpy as np
from numba import float32, float64, int64, void

from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import ONE
from charrnn.kernels.product import VECTOR

BLOCK = 4096
"""Elements whose squares are summed together; the blocks' sums are added in order, so threads do not change the norm."""


@inline
def _clamped(g, limit):
    g = limit if g > limit else g
    return -limit if g < -limit else g


@kernel(void(VECTOR, float32, float64[::1], int64, int64))
def square_sums(gradient, clip_value, sums, start, stop):
    """sums[b] = the sum of squares of block b of the gradient, each element first clamped to +-clip_value; b in start:stop."""
    for block in range(start, stop):
        total = 0.0
        for k in range(block * BLOCK, min((block + 1) * BLOCK, gradient.size)):
            g = np.float64(_clamped(gradient[k], clip_value))
            total += g * g
        sums[block] = total


@kernel(void(VECTOR, VECTOR, VECTOR, VECTOR, float32[::1], float32, float32, int64, int64))
def adam(w, gradient, m, v, rule, clip_value, scale, start, stop):
    """Adam (Kingma & Ba 2015, algorithm 1) on elements start:stop; g = scale * clamp(gradient).

        m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g g,  w -= rate m / (sqrt(v) correction + epsilon)

    rule = (beta1, beta2, epsilon, rate, correction), where the caller folds 1 - beta1^t into the rate and has correction =
    1 / sqrt(1 - beta2^t).
    """
    beta1, beta2, epsilon, rate, correction = rule[0], rule[1], rule[2], rule[3], rule[4]
    a, b = ONE - beta1, ONE - beta2
    w, gradient, m, v = w[start:stop], gradient[start:stop], m[start:stop], v[start:stop]
    for k in range(w.size):
        g = scale * _clamped(gradient[k], clip_value)
        m[k] = beta1 * m[k] + a * g
        v[k] = beta2 * v[k] + b * g * g
        w[k] -= rate * m[k] / (np.sqrt(v[k]) * correction + epsilon)
