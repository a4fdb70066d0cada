"""The gated recurrent unit of Cho et al. 2014 (equations 5 to 8): the reset gate acts before the product.

    r = sigmoid(W_r x + U_r h' + b_r)   u = sigmoid(W_u x + U_u h' + b_u)
    n = phi(W_n x + U_n (r * h') + b_n)
    h = (1 - u) * n + u * h'

u is what the paper, the disk and PyTorch call z; here z is the pre-activations.
"""

from __future__ import annotations

from charrnn.cells.cell import Cell, forget_bias_for
from charrnn.cells.rows import mix, through_mix
from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    ONE,
    add_row,
    copy_row,
    fma,
    multiply_row,
    sigmoid_row,
    squash_row,
)
from charrnn.kernels.recurrent import PREPARE, PREPARE_BACK, STEP, STEP_BACK

GATES = ("r", "z", "n")


@kernel(PREPARE)
def prepare(z, h_before, q, start, stop):
    """q = r * h', the factor of U_n. The first block of z (N, 3H) becomes r."""
    H = q.shape[1]
    for n in range(start, stop):
        r = z[n, :H]
        sigmoid_row(r)
        copy_row(q[n], h_before[n])
        multiply_row(q[n], r)


@inline
def _step_row(phi, z, h_before, h):
    H = h.size
    u, n = z[H : 2 * H], z[2 * H : 3 * H]
    sigmoid_row(u)
    squash_row(n, phi)
    mix(u, n, h_before, h)


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop, after `prepare`. z (N, 3H) then holds the gates; h (N, H) is written."""
    for n in range(start, stop):
        _step_row(activation, z[n], h_before[n], h[n])


@inline
def _back_row(phi, z, h_before, dh_before, dh):
    H = dh.size
    through_mix(phi, z[H : 2 * H], z[2 * H : 3 * H], h_before, dh)
    add_row(dh_before, dh)


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, m_below, p, activation, dh_before, dc_before, dh, dc, scratch, dy, dm, dm_below,
              start, stop):  # fmt: skip
    """Back through `step`. The blocks u and n of z become dz; dh is read, dh_before is added to."""
    for n in range(start, stop):
        _back_row(activation, z[n], h_before[n], dh_before[n], dh[n])


@inline
def _through_reset(r, h_before, dq, dh_before):
    for k in range(r.size):
        dr = dq[k] * h_before[k]
        dh_before[k] = fma(dq[k], r[k], dh_before[k])
        r[k] = dr * r[k] * (ONE - r[k])


@kernel(PREPARE_BACK)
def prepare_back(z, h_before, dq, dh_before, start, stop):
    """Back through `prepare`. The first block of z becomes dz_r; dq (N, H) is read, dh_before is added to."""
    H = dq.shape[1]
    for n in range(start, stop):
        _through_reset(z[n, :H], h_before[n], dq[n], dh_before[n])


CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    forget_bias_for(GATES, ()),
    gated=1,
    prepare=prepare,
    prepare_back=prepare_back,
    has_memory=False,
)
