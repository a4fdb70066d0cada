"""What the network thought at each place of a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from charrnn.network.parameters import Floats

LEAST = 1e-38
"""Smaller probabilities are told as this."""
Reals = NDArray[np.float64]
_NONE = np.zeros(0, np.int32), np.zeros(0)


@dataclass(frozen=True, eq=False)
class Place:
    """A symbol, ln p of it, and the most probable symbols there with theirs, most probable first:
    int32 and float64 (count,). p is the network's own distribution: at temperature 1, before all
    controls.
    """

    symbol: int
    logprob: float
    best: NDArray[np.int32]
    logprobs: NDArray[np.float64]

    @property
    def top(self) -> list[tuple[int, float]]:
        """The most probable symbols with ln p."""
        return list(zip(self.best.tolist(), self.logprobs.tolist(), strict=True))

    @classmethod
    def of(cls, symbol: int, logprob: float, logs: Reals, count: int) -> Self:
        """The place of a symbol; logs (V,): ln p of all, of which `count` are told."""
        if not count:
            return cls(symbol, logprob, *_NONE)
        best = np.argsort(-logs, kind="stable")[:count]
        return cls(symbol, logprob, best.astype(np.int32), logs[best])


def log_softmax(logits: Floats) -> Reals:
    """The logarithms of softmax(logits), float64 (V,)."""
    values: Reals = logits.astype(np.float64)
    values -= values.max()
    values -= np.log(np.exp(values).sum())
    return values
