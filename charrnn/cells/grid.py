"""The Grid LSTM in two dimensions, time and depth (Kalchbrenner, Danihelka & Graves 2015, section 3), with untied weights.

Each layer holds two LSTMs that read the same pair of hidden vectors, h' from the step before and x from the layer below: z =
W_x x + W_h h' + b in eight blocks. The first four are the gates along time, the last four those along depth:

    c = f_t * c' + i_t * g_t      h = o_t * phi(c)      on to the next step
    m = f_d * m_below + i_d * g_d     y = o_d * phi(m)      up to the next layer, or the output

Below the lowest layer, x is the character (or its embedding) and m_below a learned vector of it.
"""

from __future__ import annotations

from charrnn.cells.cell import Cell, forget_bias_for
from charrnn.cells.rows import lstm_row, through_lstm_row
from charrnn.kernels.compiling import kernel
from charrnn.kernels.pointwise import (
    ZERO,
    fill_row,
)
from charrnn.kernels.recurrent import STEP, STEP_BACK

GATES = ("it", "ft", "gt", "ot", "id", "fd", "gd", "od")


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. z (N, 8H) is read and then holds the gates; h, c, y, m (N, H) are written."""
    H = h.shape[1]
    for n in range(start, stop):
        time, depth = z[n, : 4 * H], z[n, 4 * H :]
        lstm_row(activation, time, c_before[n], h[n], c[n])
        lstm_row(activation, depth, m_below[n], y[n], m[n])


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. z holds the gates and then dz; dh, dc, dy, dm are read, dc_before is added to, dm_below written."""
    H = dh.shape[1]
    for n in range(start, stop):
        time, depth = z[n, : 4 * H], z[n, 4 * H :]
        fill_row(dm_below[n], ZERO)
        through_lstm_row(activation, time, c_before[n], dc_before[n], dh[n], dc[n], scratch[n])
        through_lstm_row(activation, depth, m_below[n], dm_below[n], dy[n], dm[n], scratch[n])


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
