"""Several predictors of one text as one (`kernels.trusting`)."""

import numpy as np
from numpy.typing import NDArray

from charrnn.kernels.trusting import trust
from charrnn.network.parameters import Floats


class Trust:
    """How well each of C predictors has done so far, in a text of V symbols.

    behind (C,): how many nats each is behind at the start.
    """

    def __init__(self, symbols: int, behind: NDArray[np.float64]) -> None:
        self._past = behind.copy()
        self._past_after = np.zeros((symbols, len(behind)))
        self._weights = np.empty(len(behind))

    def mixed(self, losses: NDArray[np.float64], before: NDArray[np.integer]) -> Floats:
        """The losses (K,) of the next characters by all predictors together, from those of each
        (C, K) and the ids of the characters before them (K,).
        """
        found = np.empty(losses.shape[1])
        ids = np.ascontiguousarray(before, np.int32)
        past = self._past, self._past_after, self._weights
        trust(np.ascontiguousarray(losses), ids, *past, found)
        return found.astype(np.float32)
