"""The gated recurrent unit of Cho et al. 2014 (equations 5 to 8): the reset gate acts before the
product.

    r = sigmoid(W_r x + U_r h' + b_r)   u = sigmoid(W_u x + U_u h' + b_u)
    n = phi(W_n x + U_n (r * h') + b_n)
    h = (1 - u) * n + u * h'

The paper, checkpoints and PyTorch call u z; here z is the pre-activations.
"""

from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import equation
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.forms import cell_kernel

GATES = ("r", "z", "n")
BLOCKS = ("r", "u", "n")


@equation("r", "q")
def reset(r, h_before):
    """r, and q = r * h', the factor of U_n."""
    r = sigmoid(r)
    return r, r * h_before


@equation("u", "n", "h")
def gru(phi, u, n, h_before):
    """u, n and h; the gates replace z."""
    u, n = sigmoid(u), phi(n)
    return u, n, fma(u, h_before - n, n)


@equation("u", "n", "dh_before")
def through_gru(phi, u, n, h_before, dh, dh_before):
    """Their derivatives: u and n become dz, and dh' is added to."""
    return dh * (h_before - n) * slope(u), dh * (1.0 - u) * phi.slope(n), fma(dh, u, dh_before)


@equation("r", "dh_before")
def through_reset(r, h_before, dq, dh_before):
    """Those of r and q: r becomes dz, and dh' is added to."""
    return dq * h_before * slope(r), fma(dq, r, dh_before)


prepare = cell_kernel("prepare", __name__, BLOCKS, reset)
step = cell_kernel("step", __name__, BLOCKS, gru)
step_back = cell_kernel("step_back", __name__, BLOCKS, through_gru)
prepare_back = cell_kernel("prepare_back", __name__, BLOCKS, through_reset)
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
