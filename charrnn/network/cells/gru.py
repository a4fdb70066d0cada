"""The gated recurrent unit of Cho et al. 2014 (equations 5 to 8): the reset gate acts before the
product.

    r = sigmoid(W_r x + U_r h' + b_r)   u = sigmoid(W_u x + U_u h' + b_u)
    n = phi(W_n x + U_n (r * h') + b_n)
    h = (1 - u) * n + u * h'

u is what the paper, the disk and PyTorch call z; here z is the pre-activations.
"""

from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import rows
from charrnn.kernels.recurrent import PREPARE, PREPARE_BACK, STEP, STEP_BACK
from charrnn.network.cells.cell import Cell

GATES = ("r", "z", "n")


@rows("r", "q")
def reset(r, h_before):
    """r, and q = r * h', the factor of U_n."""
    r = sigmoid(r)
    return r, r * h_before


@rows("u", "n", "h")
def gru(phi, u, n, h_before):
    """u, n and h; the gates stand where z was."""
    u, n = sigmoid(u), phi(n)
    return u, n, fma(u, h_before - n, n)


@rows("u", "n", "dh_before")
def through_gru(phi, u, n, h_before, dh, dh_before):
    """Their derivatives: u and n become dz, and dh' is added to."""
    return dh * (h_before - n) * slope(u), dh * (1.0 - u) * phi.slope(n), fma(dh, u, dh_before)


@rows("r", "dh_before")
def through_reset(r, h_before, dq, dh_before):
    """Those of r and q: r becomes dz, and dh' is added to."""
    return dq * h_before * slope(r), fma(dq, r, dh_before)


@kernel(PREPARE)
def prepare(z, h_before, q, start, stop):
    """q = r * h', the factor of U_n. The first block of z (N, 3H) becomes r."""
    H = q.shape[1]
    for n in range(start, stop):
        reset(z[n, :H], h_before[n], q[n])


@kernel(STEP)
def step(z, h_before, c_before, h, c, ports, activation, start, stop):
    """One step of streams start:stop, after `prepare`. z (N, 3H) then holds the gates; h (N, H) is
    written.
    """
    H = h.shape[1]
    for n in range(start, stop):
        gru(activation, z[n, H : 2 * H], z[n, 2 * H : 3 * H], h_before[n], h[n])


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop):
    """Back through `step`. The blocks u and n of z become dz; dh is read, dh_before is added to."""
    H = dh.shape[1]
    for n in range(start, stop):
        through_gru(
            activation, z[n, H : 2 * H], z[n, 2 * H : 3 * H], h_before[n], dh[n], dh_before[n]
        )


@kernel(PREPARE_BACK)
def prepare_back(z, h_before, dq, dh_before, start, stop):
    """Back through `prepare`. The first block of z becomes dz_r; dq (N, H) is read, dh_before is
    added to.
    """
    H = dq.shape[1]
    for n in range(start, stop):
        through_reset(z[n, :H], h_before[n], dq[n], dh_before[n])


CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    forget=(),
    gated=1,
    prepare=prepare,
    prepare_back=prepare_back,
    has_memory=False,
)
