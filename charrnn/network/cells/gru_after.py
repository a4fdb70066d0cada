"""The gated recurrent unit with the reset gate after the product and a separate bias there: cuDNN's
and PyTorch's GRU.

    r = sigmoid(W_r x + U_r h' + b_r)   u = sigmoid(W_u x + U_u h' + b_u)
    k = U_n h' + b_hn
    n = phi(W_n x + b_n + r * k)
    h = (1 - u) * n + u * h'

Checkpoints and PyTorch call u z. In memory the blocks are n, r, u, k: W_x feeds the first three, U
the last three. Source: the variant of Cho et al. 2014, version 1 of the paper; the equations in
PyTorch's documentation of nn.GRU.
"""

from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import equation
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.forms import cell_kernel

GATES = ("n", "r", "z", "k")


@equation("n", "r", "u")
def reset(n, r, u, k):
    """The gates, which stand where z was, and what n is phi of."""
    r, u = sigmoid(r), sigmoid(u)
    return fma(r, k, n), r, u


@equation("n", "h")
def mix(phi, n, u, h_before):
    """n = phi(n) and h."""
    n = phi(n)
    return n, fma(u, h_before - n, n)


@equation("n", "r", "u", "k", "dh_before")
def through_gru_after(phi, n, r, u, k, h_before, dh, dh_before):
    """The derivatives of both: all blocks become dz, and dh' is added to."""
    dz_n = dh * (1.0 - u) * phi.slope(n)
    return (
        dz_n,
        dz_n * k * slope(r),
        dh * (h_before - n) * slope(u),
        dz_n * r,
        fma(dh, u, dh_before),
    )


step = cell_kernel("step", __name__, ("n", "r", "u", "k"), reset, mix)
step_back = cell_kernel("step_back", __name__, ("n", "r", "u", "k"), through_gru_after)
CELL = Cell(
    GATES,
    ("r", "z", "n"),
    ("r", "z", "k"),
    step,
    step_back,
    forget=(),
    has_memory=False,
)
