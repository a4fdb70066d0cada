"""The LSTM with coupled gates: what is forgotten is what is written (the variant CIFG of Greff et al. 2015).

With z = W_x x + W_h h' + b in three blocks of H columns,

    f = sigmoid(z_f)   g = phi(z_g)   o = sigmoid(z_o)
    c = f * c' + (1 - f) * g
    h = o * phi(c)
"""

from __future__ import annotations

from charrnn.cells.cell import Cell, forget_bias_for
from charrnn.cells.rows import show, through_output
from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    ONE,
    add_row,
    copy_row,
    fma,
    sigmoid_row,
    slope_row,
    squash_row,
)
from charrnn.kernels.recurrent import STEP, STEP_BACK

GATES = ("f", "g", "o")


@inline
def _remember(f, g, c_before, c):
    for u in range(c.size):
        c[u] = fma(f[u], c_before[u] - g[u], g[u])


@inline
def _step_row(phi, z, c_before, h, c):
    H = h.size
    f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H]
    sigmoid_row(f)
    squash_row(g, phi)
    sigmoid_row(o)
    _remember(f, g, c_before, c)
    show(phi, o, c, h)


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. z (N, 3H) is read and then holds the gates; h, c (N, H) are written."""
    for n in range(start, stop):
        _step_row(activation, z[n], c_before[n], h[n], c[n])


@inline
def _through_memory(f, g, c_before, dc, dg):
    for u in range(dc.size):
        df = dc[u] * (c_before[u] - g[u])
        dg[u] = dc[u] * (ONE - f[u])
        dc[u] *= f[u]
        f[u] = df * f[u] * (ONE - f[u])


@inline
def _back_row(phi, z, c_before, dc_before, dh, dc, scratch):
    H = dh.size
    f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H]
    _remember(f, g, c_before, scratch)
    through_output(phi, o, scratch, dh, dc)
    _through_memory(f, g, c_before, dc, scratch)
    slope_row(scratch, g, phi)
    copy_row(g, scratch)
    add_row(dc_before, dc)


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. z holds the gates and then dz; dh, dc of this step are read, dc_before is added to."""
    for n in range(start, stop):
        _back_row(activation, z[n], c_before[n], dc_before[n], dh[n], dc[n], scratch[n])


CELL = Cell(GATES, GATES, GATES, step, step_back, forget_bias_for(GATES))
