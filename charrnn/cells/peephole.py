"""The LSTM with peepholes (Gers & Schmidhuber 2000; the form of Graves 2013, equations 7 to 11).

With z = W_x x + W_h h' + b in four blocks of H columns and the vectors p_i, p_f, p_o,

    i = sigmoid(z_i + p_i * c')   f = sigmoid(z_f + p_f * c')   g = phi(z_g)
    c = f * c' + i * g
    o = sigmoid(z_o + p_o * c)
    h = o * phi(c)

The input and the forget gate see the old cell state, the output gate the new one. Peepholes start at zero: a new network is a
plain LSTM.
"""

from __future__ import annotations

from charrnn.cells.cell import Cell, Peephole, forget_bias_for
from charrnn.cells.rows import remember, show, through_forget, through_input, through_peeping_output
from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    add_product_row,
    copy_row,
    sigmoid_row,
    squash_row,
)
from charrnn.kernels.recurrent import STEP, STEP_BACK

GATES = ("i", "f", "g", "o")


@inline
def _step_row(phi, z, c_before, h, c, p_i, p_f, p_o):
    H = h.size
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
    add_product_row(i, p_i, c_before)
    add_product_row(f, p_f, c_before)
    sigmoid_row(z[: 2 * H])
    squash_row(g, phi)
    remember(i, f, g, c_before, c)
    add_product_row(o, p_o, c)
    sigmoid_row(o)
    show(phi, o, c, h)


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. z (N, 4H) is read and then holds the gates; h, c and m = c (N, H) are written."""
    for n in range(start, stop):
        _step_row(activation, z[n], c_before[n], h[n], c[n], p[0], p[1], p[2])
        copy_row(m[n], c[n])


@inline
def _back_row(phi, z, c_before, dc_before, dh, dc, scratch, p_i, p_f, p_o):
    H = dh.size
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
    remember(i, f, g, c_before, scratch)
    through_peeping_output(phi, o, scratch, dh, dc, p_o)
    through_input(phi, i, g, dc)
    through_forget(f, c_before, dc, dc_before)
    add_product_row(dc_before, p_i, i)
    add_product_row(dc_before, p_f, f)


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. z holds the gates and then dz; dh, dc of this step are read, dc_before is added to."""
    for n in range(start, stop):
        _back_row(activation, z[n], c_before[n], dc_before[n], dh[n], dc[n], scratch[n], p[0], p[1], p[2])


CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    forget_bias_for(GATES),
    peepholes=(Peephole("i", "before"), Peephole("f", "before"), Peephole("o", "after")),
    keeps_memory=True,
)
