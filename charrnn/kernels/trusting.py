"""Several predictors as one: whichever has predicted better has more to say."""

import numpy as np
from numba import float64, int32, void

from charrnn.compiler.compiling import kernel

LASTING, LASTING_AFTER = 0.97, 0.999
"""How much of a past loss counts one character later, and the next time that the same character
stands before.
"""
TRUST, TRUST_AFTER = 0.7, 0.1
"""How much the sums of all past losses count, and of those after the same character."""


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
