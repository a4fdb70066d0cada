"""The gated recurrent unit with the reset gate after the product, and a bias of its own there: cuDNN's and PyTorch's GRU.

    r = sigmoid(W_r x + U_r h' + b_r)   u = sigmoid(W_u x + U_u h' + b_u)
    k = U_n h' + b_hn
    n = phi(W_n x + b_n + r * k)
    h = (1 - u) * n + u * h'

u is what the disk and PyTorch call z. In memory the blocks are n, r, u, k: W_x feeds the first three, U the last three. Source: the
variant of Cho et al. 2014, version 1 of the paper; the equations in PyTorch's documentation of nn.GRU.
"""

from __future__ import annotations

from charrnn.cells.cell import Cell, forget_bias_for
from charrnn.cells.rows import mix, through_mix
from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    ONE,
    add_product_row,
    add_row,
    sigmoid_row,
    squash_row,
)
from charrnn.kernels.recurrent import STEP, STEP_BACK

GATES = ("n", "r", "z", "k")


@inline
def _step_row(phi, z, h_before, h):
    H = h.size
    n, r, u, k = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
    sigmoid_row(z[H : 3 * H])
    add_product_row(n, r, k)
    squash_row(n, phi)
    mix(u, n, h_before, h)


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. z (N, 4H) is read and then holds n, r, u and k; h (N, H) is written."""
    for n in range(start, stop):
        _step_row(activation, z[n], h_before[n], h[n])


@inline
def _through_reset(dz_n, r, k):
    for j in range(r.size):
        dr = dz_n[j] * k[j]
        k[j] = dz_n[j] * r[j]
        r[j] = dr * r[j] * (ONE - r[j])


@inline
def _back_row(phi, z, h_before, dh_before, dh):
    H = dh.size
    n, r, u, k = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
    through_mix(phi, u, n, h_before, dh)
    _through_reset(n, r, k)
    add_row(dh_before, dh)


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. z holds its blocks and then dz; dh is read, dh_before is added to."""
    for n in range(start, stop):
        _back_row(activation, z[n], h_before[n], dh_before[n], dh[n])


CELL = Cell(
    GATES,
    ("r", "z", "n"),
    ("r", "z", "k"),
    step,
    step_back,
    forget_bias_for(GATES, ()),
    has_memory=False,
)
