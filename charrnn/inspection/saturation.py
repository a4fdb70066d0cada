"""How much of the time gates stand open or closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from charrnn.inspection.trace import Trace

CLOSED, OPEN = 0.1, 0.9
SIGMOIDS = frozenset(["i", "f", "o", "d", "r", "z", "it", "ft", "ot", "id", "fd", "od"])
"""The blocks of z that are gates between 0 and 1, of any cell; the others hold new contents."""


@dataclass(frozen=True, eq=False)
class Saturation:
    """The fraction of characters at which each unit's gate is left-saturated (below 0.1, closed)
    and right-saturated (above 0.9, open), float64 (L, H) each.
    """

    left: NDArray[np.float64]
    right: NDArray[np.float64]


def saturation(trace: Trace) -> dict[str, Saturation]:
    """The saturation of each gate of a trace, by its name, for the gates that are sigmoids; none
    for a plain recurrent network (Karpathy, Johnson & Fei-Fei 2015, section 4.2 and figure 2).

    A unit whose forget gate is right-saturated nearly always (at the right of their plot)
    remembers for long; one that is left-saturated nearly always works as if without a memory.
    """
    return {
        name: Saturation((gate < CLOSED).mean(axis=0), (gate > OPEN).mean(axis=0))
        for name, gate in trace.gates.items()
        if name in SIGMOIDS
    }
