"""The Clockwork RNN (Koutnik, Greff, Gomez & Schmidhuber 2014): groups of units that run at 1, 1/2, 1/4, ... of the speed.

Unit u of group k = u * groups // H has the period 2^k. At step s since the last zero state, the units whose period divides s are
active; the others keep their value:

    h = phi(W x + U h' + b)   where active
    h = h'                    elsewhere

U is block triangular: a unit reads those whose period is its own or longer. The clock lies in the state c, which counts the steps
since the unit was last active, modulo its period, and so is carried, saved and reset like any state; active is c' = 0.
"""

from __future__ import annotations

import numpy as np

from charrnn.cells.cell import Cell, forget_bias_for
from charrnn.config import ModelConfig
from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    ONE,
    ZERO,
    copy_row,
    slope_row,
    squash_row,
)
from charrnn.kernels.recurrent import STEP, STEP_BACK

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


@inline
def _tick(z, h_before, c_before, h, c, period):
    for u in range(h.size):
        h[u] = z[u] if c_before[u] == ZERO else h_before[u]
        passed = c_before[u] + ONE
        c[u] = ZERO if passed >= period[u] else passed


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. z (N, H) is read and then holds phi(z); h, c (N, H) are written; p (1, H) periods."""
    H = h.shape[1]
    for n in range(start, stop):
        squash_row(z[n, :H], activation)
        _tick(z[n, :H], h_before[n], c_before[n], h[n], c[n], p[0])


@inline
def _pass_by(c_before, dh_before, dh):
    for u in range(dh.size):
        active = c_before[u] == ZERO
        dh_before[u] += ZERO if active else dh[u]
        dh[u] = dh[u] if active else ZERO


@inline
def _back_row(phi, z, c_before, dh_before, dh):
    _pass_by(c_before, dh_before, dh)
    slope_row(dh, z, phi)
    copy_row(z, dh)


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. z holds phi(z) and then dz; dh is read, dh_before is added to."""
    H = dh.shape[1]
    for n in range(start, stop):
        _back_row(activation, z[n, :H], c_before[n], dh_before[n], dh[n])


CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    forget_bias_for(GATES, ()),
    constants=periods,
    has_memory=False,
    recurrent_mask=reads,
)
