"""Does a network know what it knows? Of the characters that it was 70 % sure of, about 70 % should
come.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Calibration:
    """How often predictions came true, by how sure they were: B bins of equal width from 0 to 1.

    counts: predictions in each bin, int64 (B,)
    confidence: their mean probability, float64 (B,); NaN for an empty bin
    accuracy: the share of them that came true, float64 (B,); NaN for an empty bin
    error: the expected calibration error, the mean of |accuracy - confidence| over all predictions
        (Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017, equation 3)
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    error: float

    def __repr__(self) -> str:
        return f"Calibration({self.counts.sum():,} predictions, error {self.error:.4f})"


def calibration(probabilities: NDArray[Any], came: NDArray[Any], bins: int = 15) -> Calibration:
    """The calibration of predictions, each with a probability (K,), that came true or not (K,).

    Of a network: `score(trained, text, top=1)` gives, for each character, the most probable one and
    its probability:

        calibration(result.probabilities[:, 0], result.top[:, 0] == ids)

    `ConfigError` for fewer than one bin, for other shapes, and for numbers that are no
    probabilities.
    """
    p, came = np.asarray(probabilities, np.float64), np.asarray(came, np.bool_)
    if bins < 1:
        raise ConfigError(f"`bins` must be at least 1, not {bins}")
    if p.ndim != 1 or p.shape != came.shape:
        raise ConfigError(
            f"`probabilities` and `came` must be (K,), not {p.shape} and {came.shape}"
        )
    if len(p) and not (p.min() >= 0 and p.max() <= 1 + 1e-4):
        raise ConfigError("`probabilities` must be from 0 to 1")
    number = np.minimum((p * bins).astype(np.int64), bins - 1)
    counts = np.bincount(number, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(number, p, bins) / counts
        accuracy = np.bincount(number, came, bins) / counts
    gaps = np.abs(np.nan_to_num(accuracy - confidence))
    error = float((counts * gaps).sum() / max(1, len(p)))
    return Calibration(counts, confidence, accuracy, error)
