"""The Clockwork RNN (Koutnik, Greff, Gomez & Schmidhuber 2014): groups of units that run at 1, 1/2,
1/4, ... of the speed.

Unit u of group k = u * groups // H has the period 2^k. At step s since the last zero state, the
units whose period divides s are active; the others keep their value:

    h = phi(W x + U h' + b)   where active
    h = h'                    elsewhere

U is block triangular: a unit reads those whose period is its own or longer. The clock lies in the
state c, which counts the steps since the unit was last active, modulo its period, and so is
carried, saved and reset like any state; active is c' = 0.
"""

import numpy as np

from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import where
from charrnn.compiler.rows import rows
from charrnn.config import ModelConfig
from charrnn.kernels.recurrent import STEP, STEP_BACK
from charrnn.network.cells.cell import Cell

GATES = ("h",)


def _groups(config: ModelConfig) -> np.ndarray:
    """The group of each unit, (H,)."""
    groups = min(config.clockwork_groups, config.hidden)
    return np.arange(config.hidden) * groups // config.hidden


def periods(config: ModelConfig) -> np.ndarray:
    """The period of each unit in steps, float32 (1, H)."""
    return (2.0 ** _groups(config))[None].astype(np.float32)


def reads(config: ModelConfig) -> np.ndarray:
    """Which unit (row) acts on which (column), bool (H, H): those of longer or equal period."""
    groups = _groups(config)
    return groups[:, None] >= groups[None, :]


@rows("z", "h", "c")
def clockwork(phi, z, h_before, c_before, period):
    """The equations above, and the clock; phi(z) stands where z was. A clock that is not above 0 is
    at 0.
    """
    z, passed = phi(z), c_before + 1.0
    return z, where(c_before > 0.0, h_before, z), where(passed < period, passed, 0.0)


@rows("z", "dh_before")
def through_clockwork(phi, z, c_before, dh, dh_before):
    """Their derivatives: z becomes dz, and dh' is added to where h' was kept."""
    is_kept = c_before > 0.0
    return where(is_kept, 0.0, dh * phi.slope(z)), where(is_kept, dh_before + dh, dh_before)


@kernel(STEP)
def step(z, h_before, c_before, h, c, ports, activation, start, stop):
    """One step of streams start:stop. z (N, H) is read and then holds phi(z); h, c (N, H) are
    written; p (1, H) periods.
    """
    H = h.shape[1]
    for n in range(start, stop):
        clockwork(activation, z[n, :H], h_before[n], c_before[n], ports.p[0], h[n], c[n])


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop):
    """Back through `step`. z holds phi(z) and then dz; dh is read, dh_before is added to."""
    H = dh.shape[1]
    for n in range(start, stop):
        through_clockwork(activation, z[n, :H], c_before[n], dh[n], dh_before[n])


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
