"""The Grid LSTM in two dimensions, time and depth (Kalchbrenner, Danihelka & Graves 2015, section 3), with untied weights.

Each layer holds two LSTMs that read the same pair of hidden vectors, h' from the step before and x from the layer below: z =
W_x x + W_h h' + b in eight blocks. The first four are the gates along time, the last four those along depth:

    c = f_t * c' + i_t * g_t          h = phi(o_t * c)      on to the next step
    m = f_d * m_below + i_d * g_d     y = phi(o_d * m)      up to the next layer, or the output

The output gate stands inside phi, as in the paper's equation 1, other than in `lstm`.
Below the lowest layer, x is the character (or its embedding) and m_below a learned vector of it.
"""

from __future__ import annotations

from charrnn.cells.cell import Cell, forget_bias_for
from charrnn.cells.rows import lstm_memory_row, remember, through_forget, through_input
from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    ONE,
    ZERO,
    copy_row,
    fill_row,
    fma,
    multiply_row,
    slope_row,
    squash_row,
)
from charrnn.kernels.recurrent import STEP, STEP_BACK

GATES = ("it", "ft", "gt", "ot", "id", "fd", "gd", "od")


@inline
def _step_row(phi, z, c_before, h, c):
    lstm_memory_row(phi, z, c_before, c)
    copy_row(h, c)
    multiply_row(h, z[3 * h.size : 4 * h.size])
    squash_row(h, phi)


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. z (N, 8H) is read and then holds the gates; h, c, y, m (N, H) are written."""
    H = h.shape[1]
    for n in range(start, stop):
        time, depth = z[n, : 4 * H], z[n, 4 * H : 8 * H]
        _step_row(activation, time, c_before[n], h[n], c[n])
        _step_row(activation, depth, m_below[n], y[n], m[n])


@inline
def _through_output(o, c, dh, dc):
    for u in range(c.size):
        dc[u] = fma(dh[u], o[u], dc[u])
        o[u] = dh[u] * c[u] * o[u] * (ONE - o[u])


@inline
def _back_row(phi, z, c_before, dc_before, dh, dc, scratch):
    H = dh.size
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
    remember(i, f, g, c_before, scratch)
    multiply_row(scratch, o)
    squash_row(scratch, phi)
    slope_row(dh, scratch, phi)
    remember(i, f, g, c_before, scratch)
    _through_output(o, scratch, dh, dc)
    through_input(phi, i, g, dc)
    through_forget(f, c_before, dc, dc_before)


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. z holds the gates and then dz; dh, dc, dy, dm are read, dc_before is added to, dm_below written."""
    H = dh.shape[1]
    for n in range(start, stop):
        time, depth = z[n, : 4 * H], z[n, 4 * H : 8 * H]
        fill_row(dm_below[n], ZERO)
        _back_row(activation, time, c_before[n], dc_before[n], dh[n], dc[n], scratch[n])
        _back_row(activation, depth, m_below[n], dm_below[n], dy[n], dm[n], scratch[n])


CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    forget_bias_for(GATES, ("ft", "fd")),
    reads_below=True,
    keeps_memory=True,
    has_output=True,
)
