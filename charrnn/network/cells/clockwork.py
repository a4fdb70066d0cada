"""The Clockwork RNN (Koutnik, Greff, Gomez & Schmidhuber 2014): groups of units that run at 1, 1/2,
1/4, ... of the speed.

Unit u of group k = u * groups // H has the period 2^k. At step s since the last zero state, the
units whose period divides s are active; the others keep their value:

    h = phi(W x + U h' + b)   where active
    h = h'                    elsewhere

U is block triangular: a unit reads units with the same or a longer period. The clock is the state
c, which counts the steps since the unit was last active, modulo its period, and so is carried,
saved and reset like any state; a unit is active if c' = 0.
"""

import numpy as np

from charrnn.compiler.lanes import where
from charrnn.compiler.rows import equation
from charrnn.config.settings import ModelConfig
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.forms import cell_kernel

GATES = ("h",)
BLOCKS, VECTORS = ("z",), ("period",)


def _groups(config: ModelConfig) -> np.ndarray:
    """The group of each unit, (H,)."""
    groups = min(config.clockwork_groups, config.hidden)
    return np.arange(config.hidden) * groups // config.hidden


def periods(config: ModelConfig) -> np.ndarray:
    """The period of each unit in steps, float32 (1, H)."""
    return (2.0 ** _groups(config))[None].astype(np.float32)


def reads(config: ModelConfig) -> np.ndarray:
    """True if unit (row) feeds unit (column), bool (H, H): those of longer or equal period."""
    groups = _groups(config)
    return groups[:, None] >= groups[None, :]


@equation("z", "h", "c")
def clockwork(phi, z, h_before, c_before, period):
    """The equations above, and the clock; phi(z) replaces z. A clock that is not above 0 counts as
    0.
    """
    z, passed = phi(z), c_before + 1.0
    return z, where(c_before > 0.0, h_before, z), where(passed < period, passed, 0.0)


@equation("z", "dh_before")
def through_clockwork(phi, z, c_before, dh, dh_before):
    """Their derivatives: z becomes dz, and dh' is added to where h' was kept."""
    is_kept = c_before > 0.0
    return where(is_kept, 0.0, dh * phi.slope(z)), where(is_kept, dh_before + dh, dh_before)


step = cell_kernel("step", __name__, BLOCKS, clockwork, vectors=VECTORS)
step_back = cell_kernel("step_back", __name__, BLOCKS, through_clockwork, vectors=VECTORS)
CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    forget=(),
    constants=periods,
    has_memory=False,
    recurrent_mask=reads,
)
