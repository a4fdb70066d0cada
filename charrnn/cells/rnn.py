"""The plain recurrent net (Elman 1990): h = phi(W x + U h' + b).

Its gradient goes back through U^T diag(phi') once a step, and so it vanishes or explodes (Hochreiter 1991; Bengio, Simard &
Frasconi 1994). With --activation relu --recurrent-init identity it is the IRNN of Le, Jaitly & Hinton 2015.
"""

from __future__ import annotations

from charrnn.cells.cell import Cell, forget_bias_for
from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    copy_row,
    slope_row,
    squash_row,
)
from charrnn.kernels.recurrent import STEP, STEP_BACK

GATES = ("h",)


@inline
def _step_row(phi, z, h):
    squash_row(z, phi)
    copy_row(h, z)


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. z (N, H) is read and then holds phi(z), as does h (N, H)."""
    H = h.shape[1]
    for n in range(start, stop):
        _step_row(activation, z[n, :H], h[n])


@inline
def _back_row(phi, z, dh):
    slope_row(dh, z, phi)
    copy_row(z, dh)


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. z holds phi(z) and then dz; dh is read."""
    H = dh.shape[1]
    for n in range(start, stop):
        _back_row(activation, z[n, :H], dh[n])


CELL = Cell(GATES, GATES, GATES, step, step_back, forget_bias_for(GATES, ()), has_memory=False)
