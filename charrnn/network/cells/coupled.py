"""The LSTM with coupled gates: what is forgotten is what is written (the variant CIFG of Greff et
al. 2015).

With z = W_x x + W_h h' + b in three blocks of H columns,

    f = sigmoid(z_f)   g = phi(z_g)   o = sigmoid(z_o)
    c = f * c' + (1 - f) * g
    h = o * phi(c)
"""

from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import rows
from charrnn.kernels.recurrent import STEP, STEP_BACK
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.lstm_equations import show

GATES = ("f", "g", "o")


@rows("f", "g", "o", "c")
def remember(phi, f, g, o, c_before):
    """The gates, which stand where z was, and c."""
    f, g, o = sigmoid(f), phi(g), sigmoid(o)
    return f, g, o, fma(f, c_before - g, g)


@rows("f", "g", "o", "dc_before")
def through_coupled(phi, f, g, o, c_before, dh, dc, dc_before):
    """The derivatives of both: the gates become dz, and dc' is added to."""
    y, shown = phi(fma(f, c_before - g, g)), dh * o
    dc = fma(shown, phi.slope(y), dc)
    dz_f, dz_g = dc * (c_before - g) * slope(f), dc * (1.0 - f) * phi.slope(g)
    return dz_f, dz_g, shown * y * (1.0 - o), fma(dc, f, dc_before)


@kernel(STEP)
def step(z, h_before, c_before, h, c, ports, activation, start, stop):
    """One step of streams start:stop. z (N, 3H) is read and then holds the gates; h, c (N, H) are
    written.
    """
    H = h.shape[1]
    for n in range(start, stop):
        f, g, o = z[n, :H], z[n, H : 2 * H], z[n, 2 * H : 3 * H]
        remember(activation, f, g, o, c_before[n], c[n])
        show(activation, o, c[n], h[n])


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop):
    """Back through `step`. z holds the gates and then dz; dh, dc of this step are read, dc_before
    is added to.
    """
    H = dh.shape[1]
    for n in range(start, stop):
        f, g, o = z[n, :H], z[n, H : 2 * H], z[n, 2 * H : 3 * H]
        through_coupled(activation, f, g, o, c_before[n], dh[n], dc[n], dc_before[n])


CELL = Cell(GATES, GATES, GATES, step, step_back)
