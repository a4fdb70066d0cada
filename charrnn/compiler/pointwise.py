"""Functions for loops over single numbers; loops over whole rows are in `rows.py`."""

import numpy as np

from charrnn.compiler import lanes
from charrnn.compiler.rows import scalar

ZERO = np.float32(0)

exp = scalar(lanes.exp)
"""e^x for one float32 x <= 0."""
