"""The depth-gated LSTM (Yao, Cohn, Vylomova, Duh & Dyer 2015): a gate from the lower layer's memory to the upper's.

With z = W_x x + W_h h' + b (d has no W_h), m the cell state of the layer below at this step, and vectors p_i, p_f, p_o, w_c, w_m,

    d = sigmoid(z_d + w_c * c' + w_m * m)
    i = sigmoid(z_i + p_i * c')   f = sigmoid(z_f + p_f * c')   g = phi(z_g)
    c = d * m + f * c' + i * g
    o = sigmoid(z_o + p_o * c)
    h = o * phi(c)

Below the lowest layer, m is a learned vector of the character. All vectors start at zero.
"""

from __future__ import annotations

from charrnn.cells.cell import Cell, Peephole, forget_bias_for
from charrnn.cells.rows import remember, show, through_forget, through_input, through_peeping_output
from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    ONE,
    add_product_row,
    add_row,
    copy_row,
    sigmoid_row,
    squash_row,
)
from charrnn.kernels.recurrent import STEP, STEP_BACK

GATES = ("d", "i", "f", "g", "o")


@inline
def _step_row(phi, z, c_before, m, h, c, p):
    H = h.size
    d, i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H], z[4 * H : 5 * H]
    add_product_row(d, p[3], c_before)
    add_product_row(d, p[4], m)
    add_product_row(i, p[0], c_before)
    add_product_row(f, p[1], c_before)
    sigmoid_row(z[: 3 * H])
    squash_row(g, phi)
    remember(i, f, g, c_before, c)
    add_product_row(c, d, m)
    add_product_row(o, p[2], c)
    sigmoid_row(o)
    show(phi, o, c, h)


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. z (N, 5H) is read and then holds the gates; h, c and m = c (N, H) are written."""
    for n in range(start, stop):
        _step_row(activation, z[n], c_before[n], m_below[n], h[n], c[n], p)
        copy_row(m[n], c[n])


@inline
def _through_depth(d, m, dc, dm_below):
    for u in range(d.size):
        passed = dc[u] * d[u]
        d[u] = passed * m[u] * (ONE - d[u])
        dm_below[u] = passed


@inline
def _back_row(phi, z, c_before, m, dc_before, dh, dc, scratch, dm_below, p):
    H = dh.size
    d, i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H], z[4 * H : 5 * H]
    remember(i, f, g, c_before, scratch)
    add_product_row(scratch, d, m)
    through_peeping_output(phi, o, scratch, dh, dc, p[2])
    _through_depth(d, m, dc, dm_below)
    add_product_row(dm_below, p[4], d)
    through_input(phi, i, g, dc)
    through_forget(f, c_before, dc, dc_before)
    add_product_row(dc_before, p[0], i)
    add_product_row(dc_before, p[1], f)
    add_product_row(dc_before, p[3], d)


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. z holds the gates and then dz; dh, dc, dm are read, dc_before is added to, dm_below written."""
    for n in range(start, stop):
        add_row(dc[n], dm[n])
        _back_row(activation, z[n], c_before[n], m_below[n], dc_before[n], dh[n], dc[n], scratch[n], dm_below[n], p)


CELL = Cell(
    GATES,
    GATES,
    GATES[1:],
    step,
    step_back,
    forget_bias_for(GATES),
    peepholes=(
        Peephole("i", "before"),
        Peephole("f", "before"),
        Peephole("o", "after"),
        Peephole("d", "before"),
        Peephole("d", "below"),
    ),
    reads_below=True,
    keeps_memory=True,
)
