"""Learning rates over time, by name: step -> factor of the peak rate, the first step being 0.

None depends on how long the run is to be, so that a run which is given more epochs continues as if it had had them from the
start.
"""

from __future__ import annotations

from collections.abc import Callable

DECAY_STEPS = 1000


def constant(step: int) -> float:
    """Always the peak rate."""
    return 1.0


def inverse_sqrt(step: int) -> float:
    """(1 + step / 1000)^-1/2: the decay that stochastic gradient descent's analysis asks for (Robbins & Monro 1951)."""
    return float((1 + step / DECAY_STEPS) ** -0.5)


SCHEDULES: dict[str, Callable[[int], float]] = {"constant": constant, "inverse-sqrt": inverse_sqrt}
