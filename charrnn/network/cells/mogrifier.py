"""The LSTM whose input gates what it remembers: of the Mogrifier (Melis, Kocisky & Blunsom 2020),
the round that acts on h'.

    r = sigmoid(W_r x + b_r)   q = 2 r * h'
    z = W x + U q + b, in four blocks of H columns
    i = sigmoid(z_i)   f = sigmoid(z_f)   g = phi(z_g)   o = sigmoid(z_o)
    c = f * c' + i * g
    h = o * phi(c)

The paper takes turns: x is gated by h', then h' by what x has become, and so on, five times (its
equations 1 and 2, without a bias). A round that gates x would put the product with W into the time
loop, and take the look-up of characters from the lowest layer; this one costs a ninth of the
products of upper layers more, and a look-up in the lowest. b_r starts at zero: r is near 1/2, and q
near h'.
"""

from __future__ import annotations

from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import rows
from charrnn.kernels.recurrent import PREPARE, PREPARE_BACK, STEP, STEP_BACK
from charrnn.network.cells.cell import Cell, forget_bias_for
from charrnn.network.cells.lstm_equations import remember, show, through_lstm

GATES = ("r", "i", "f", "g", "o")


@rows("r", "q")
def admit(r, h_before):
    """r, where z was, and q = 2 r * h', the factor of U."""
    r = sigmoid(r)
    return r, 2.0 * r * h_before


@rows("r", "dh_before")
def through_admit(r, h_before, dq, dh_before):
    """Their derivatives: r becomes dz, and dh' is added to."""
    return 2.0 * dq * h_before * slope(r), fma(2.0 * dq, r, dh_before)


@kernel(PREPARE)
def prepare(z, h_before, q, start, stop):
    """q = 2 r * h', the factor of U. The first block of z (N, 5H) becomes r."""
    H = q.shape[1]
    for n in range(start, stop):
        admit(z[n, :H], h_before[n], q[n])


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. The last four blocks of z (N, 5H) then hold the gates; h, c
    (N, H) are written.
    """
    H = h.shape[1]
    for n in range(start, stop):
        i, f, g, o = z[n, H : 2 * H], z[n, 2 * H : 3 * H], z[n, 3 * H : 4 * H], z[n, 4 * H : 5 * H]
        remember(activation, i, f, g, o, c_before[n], c[n])
        show(activation, o, c[n], h[n])


@kernel(STEP_BACK)
def step_back(
    z,
    h_before,
    c_before,
    m_below,
    p,
    activation,
    dh_before,
    dc_before,
    dh,
    dc,
    scratch,
    dy,
    dm,
    dm_below,
    start,
    stop,
):
    """Back through `step`. The gates become dz; dh, dc of this step are read, dc_before is added
    to.
    """
    H = dh.shape[1]
    for n in range(start, stop):
        i, f, g, o = z[n, H : 2 * H], z[n, 2 * H : 3 * H], z[n, 3 * H : 4 * H], z[n, 4 * H : 5 * H]
        through_lstm(activation, i, f, g, o, c_before[n], dh[n], dc[n], dc_before[n])


@kernel(PREPARE_BACK)
def prepare_back(z, h_before, dq, dh_before, start, stop):
    """Back through `prepare`. The first block of z becomes dz_r; dq (N, H) is read, dh_before is
    added to.
    """
    H = dq.shape[1]
    for n in range(start, stop):
        through_admit(z[n, :H], h_before[n], dq[n], dh_before[n])


CELL = Cell(
    GATES,
    GATES,
    GATES[1:],
    step,
    step_back,
    forget_bias_for(GATES),
    gated=4,
    prepare=prepare,
    prepare_back=prepare_back,
)
