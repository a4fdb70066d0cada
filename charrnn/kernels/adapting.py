"""Dynamic evaluation's step over flat vectors: towards the text just read, and slightly back to the
trained weights.
"""

import numpy as np
from numba import float32, int64, void

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
