"""Dynamic evaluation's step over flat vectors, towards the text just read and slightly back to the
trained weights, and the inverse that `evaluation.decorrelation` needs.
"""

import numpy as np
from numba import float32, float64, int64, void

from charrnn.compiler.compiling import kernel
from charrnn.kernels.product import VECTOR


@kernel(void(VECTOR, VECTOR, VECTOR, VECTOR, float32[::1], float32, int64, int64))
def adapt(w, gradient, trained, rms, rule, scale, start, stop):
    """Krause, Kahembwe, Murray & Renals 2018, equations 5 and 6, on elements start:stop; g = scale
    * gradient.

        w += -rate g / (rms + epsilon) + min(decay rms, 1) (trained - w)

    rule = (rate, epsilon, decay). w is updated, the others are read; rms, 1 on average, is zero for
    padding.
    """
    rate, epsilon, decay, one = rule[0], rule[1], rule[2], np.float32(1)
    rate *= scale
    w, gradient, trained, rms = (
        w[start:stop],
        gradient[start:stop],
        trained[start:stop],
        rms[start:stop],
    )
    for k in range(w.size):
        pull = decay * rms[k]
        pull = one if pull > one else pull
        w[k] += pull * (trained[k] - w[k]) - rate * gradient[k] / (rms[k] + epsilon)


@kernel(void(float64[:, ::1]))
def invert(a):
    """Replace a symmetric positive definite matrix (K, K) by its inverse (Gauss-Jordan elimination;
    such a matrix needs no pivots).
    """
    K = a.shape[0]
    for k in range(K):
        row = a[k]
        factor = 1.0 / row[k]
        row[k] = 1.0
        for j in range(K):
            row[j] *= factor
        for i in range(K):
            if i != k:
                other = a[i]
                share = other[k]
                other[k] = 0.0
                for j in range(K):
                    other[j] -= share * row[j]
