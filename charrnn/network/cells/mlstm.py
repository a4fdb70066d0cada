"""The multiplicative LSTM (Krause, Lu, Murray & Renals 2016): the recurrent product is another for
each input.

Between two hidden states stands W_q diag(s) U_k, of which the diagonal depends on the character:

    s = W_s x + b_s   k = W_k x + U_k h' + b_k   q = s * k
    z = W x + W_q q + b, in four blocks of H columns
    i = sigmoid(z_i)   f = sigmoid(z_f)   g = phi(z_g)   o = sigmoid(z_o)
    c = f * c' + i * g
    h = o * phi(c)

q is the paper's m. Its k is U_k h' alone, without W_k x, and it has no b_s and b_k; here W_x feeds
the first blocks of z and W_h the last, so that one which both leave out has no place. In the lowest
layer that costs a look-up, in the others a twelfth of the products. The output gate stands as in
`lstm`.
"""

from __future__ import annotations

from charrnn.compiler.compiling import kernel
from charrnn.compiler.rows import rows
from charrnn.kernels.recurrent import PREPARE, PREPARE_BACK, STEP, STEP_BACK
from charrnn.network.cells.cell import Cell, forget_bias_for
from charrnn.network.cells.lstm_equations import remember, show, through_lstm

GATES = ("s", "k", "i", "f", "g", "o")


@rows("q")
def multiply(s, k):
    """q = s * k, the factor of W_q."""
    return s * k


@rows("s", "k")
def through_multiply(s, k, dq):
    """Its derivatives: s and k become dz."""
    return dq * k, dq * s


@kernel(PREPARE)
def prepare(z, h_before, q, start, stop):
    """q = s * k, the factor of W_q. The first two blocks of z (N, 6H) are read."""
    H = q.shape[1]
    for n in range(start, stop):
        multiply(z[n, :H], z[n, H : 2 * H], q[n])


@kernel(STEP)
def step(z, h_before, c_before, h, c, m_below, y, m, p, activation, start, stop):
    """One step of streams start:stop. The last four blocks of z (N, 6H) then hold the gates; h, c
    (N, H) are written.
    """
    H = h.shape[1]
    for n in range(start, stop):
        i, f, g, o = (
            z[n, 2 * H : 3 * H],
            z[n, 3 * H : 4 * H],
            z[n, 4 * H : 5 * H],
            z[n, 5 * H : 6 * H],
        )
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
        i, f, g, o = (
            z[n, 2 * H : 3 * H],
            z[n, 3 * H : 4 * H],
            z[n, 4 * H : 5 * H],
            z[n, 5 * H : 6 * H],
        )
        through_lstm(activation, i, f, g, o, c_before[n], dh[n], dc[n], dc_before[n])


@kernel(PREPARE_BACK)
def prepare_back(z, h_before, dq, dh_before, start, stop):
    """Back through `prepare`. The first two blocks of z become dz; dq (N, H) is read."""
    H = dq.shape[1]
    for n in range(start, stop):
        through_multiply(z[n, :H], z[n, H : 2 * H], dq[n])


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
