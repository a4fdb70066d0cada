"""Dynamic evaluation's step over flat vectors, towards the text just read and slightly back to the
trained weights; the inverse that `evaluation.decorrelation` needs; and which of several predictors
has the most to say.
"""

import numpy as np
from numba import float32, float64, int32, int64, void

from charrnn.compiler.compiling import kernel
from charrnn.kernels.product import VECTOR

LASTING, LASTING_AFTER = 0.97, 0.999
"""How much of a past loss counts one character later, and the next time that the same character
stands before.
"""
TRUST, TRUST_AFTER = 0.7, 0.1
"""How much the sums of all past losses count, and of those after the same character."""


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


@kernel(
    void(float64[:, ::1], int32[::1], float64[::1], float64[:, ::1], float64[::1], float64[::1])
)
def trust(losses, before, past, past_after, weights, mixed):
    """The loss of each of K characters by a mixture of C predictors with these losses (C, K), in
    which a predictor's weight is

        exp(-0.7 sum over i < t of 0.97^(t-1-i) loss_i - 0.1 sum over j < n of 0.999^(n-1-j) loss_j)

    with the sum over i of all characters before, and that over j of the n that also came after the
    character before this one.

    before (K,): the character before each. past (C,), past_after (V, C): the sums, which go on.
    weights (C,): overwritten. mixed (K,): written.
    """
    C, K = losses.shape
    for t in range(K):
        after = past_after[before[t]]
        least, lowest = np.inf, np.inf
        for c in range(C):
            weights[c] = TRUST * past[c] + TRUST_AFTER * after[c]
            least = min(least, weights[c])
            lowest = min(lowest, losses[c, t])
        total, likely = 0.0, 0.0
        for c in range(C):
            weight = np.exp(least - weights[c])
            total += weight
            likely += weight * np.exp(lowest - losses[c, t])
        mixed[t] = lowest - np.log(likely / total)
        for c in range(C):
            past[c] = LASTING * past[c] + losses[c, t]
            after[c] = LASTING_AFTER * after[c] + losses[c, t]
