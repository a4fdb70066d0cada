"""The activity of units as it is shown: numbers near -1 to 1, and a scale of colors with two sides
for each unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.inspection.trace import Trace

SIDES = 3
"""Levels on each side of the middle one."""
NAMES = {"c": "tanh(c)", "h": "h"}


def activity(trace: Trace, kind: str | None = None) -> NDArray[np.float32]:
    """What is shown of every unit, float32 (T, L, H): tanh(c) for the kind "c", as Karpathy,
    Johnson & Fei-Fei 2015 show it, or h for "h"; by default "c" if the cell has one.

    `ConfigError` for another kind, or "c" of a cell without one.
    """
    kinds = kinds_of(trace)
    if kind is not None and kind not in kinds:
        raise ConfigError(f"`kind` must be {' or '.join(kinds)} for this cell, not {kind!r:.40}")
    if trace.c is None or kind == "h":
        return trace.h
    shown: NDArray[np.float32] = np.tanh(trace.c)
    return shown


def kinds_of(trace: Trace) -> tuple[str, ...]:
    """The numbers that the units of a cell have: c and h, or h alone."""
    return ("h",) if trace.c is None else ("c", "h")


def bounds(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of each unit's scale, float64 (...) each, from its values (T, ...): numbers beyond
    them are among the 1 % lowest or highest, or as far from 0 as these. The middle is 0 if values
    lie on both of its sides.
    """
    low, high = np.percentile(values, (1, 99), axis=0)
    far = np.maximum(-low, high)
    is_two_sided = (low < 0) & (high > 0)
    return np.where(is_two_sided, -far, low), np.where(is_two_sided, far, high)


def positions(values: NDArray[Any]) -> NDArray[np.float64]:
    """Where on its unit's scale each of the values (T, ...) lies, float64: -1 to 1, and 0 for a
    unit that never changes.
    """
    low, high = bounds(values)
    span = high - low
    is_still = span < 1e-6
    places = 2 * (values - low) / np.where(is_still, 1, span) - 1
    result: NDArray[np.float64] = np.where(is_still, 0, np.clip(places, -1, 1))
    return result


def levels(places: NDArray[Any]) -> NDArray[np.int8]:
    """The level of color of positions -1 to 1, int8: -3 to 3, 0 in the middle seventh."""
    count = 2 * SIDES + 1
    found = np.minimum(((places + 1) / 2 * count).astype(np.int8), count - 1) - SIDES
    return found.astype(np.int8)
