"""What the rest of the program knows of a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: its gates' names in the order of its weights' blocks, its compiled steps, and its first bias.

    `step` and `step_back` have the signatures STEP and STEP_BACK of `kernels.recurrent`. `initial_bias(hidden, forget_bias)`
    gives float32 (G, H).
    """

    gates: tuple[str, ...]
    step: Any
    step_back: Any
    initial_bias: Callable[[int, float], np.ndarray]
