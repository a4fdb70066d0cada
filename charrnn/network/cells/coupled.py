"""The LSTM with coupled input and forget gates (the variant CIFG of Greff et al. 2015).

With z = W_x x + W_h h' + b in three blocks of H columns,

    f = sigmoid(z_f)   g = phi(z_g)   o = sigmoid(z_o)
    c = f * c' + (1 - f) * g
    h = o * phi(c)
"""

from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import equation
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.forms import cell_kernel
from charrnn.network.cells.lstm_equations import show

GATES = ("f", "g", "o")


@equation("f", "g", "o", "c")
def remember(phi, f, g, o, c_before):
    """The gates, which replace z, and c."""
    f, g, o = sigmoid(f), phi(g), sigmoid(o)
    return f, g, o, fma(f, c_before - g, g)


@equation("f", "g", "o", "dc_before")
def through_coupled(phi, f, g, o, c_before, dh, dc, dc_before):
    """The derivatives of both: the gates become dz, and dc' is added to."""
    y, dy = phi(fma(f, c_before - g, g)), dh * o
    dc = fma(dy, phi.slope(y), dc)
    dz_f, dz_g = dc * (c_before - g) * slope(f), dc * (1.0 - f) * phi.slope(g)
    return dz_f, dz_g, dy * y * (1.0 - o), fma(dc, f, dc_before)


step = cell_kernel("step", __name__, GATES, remember, show)
step_back = cell_kernel("step_back", __name__, GATES, through_coupled)
CELL = Cell(GATES, GATES, GATES, step, step_back)
