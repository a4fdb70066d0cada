"""The LSTM with peepholes (Gers & Schmidhuber 2000; the form of Graves 2013, equations 7 to 11).

With z = W_x x + W_h h' + b in four blocks of H columns and the vectors p_i, p_f, p_o,

    i = sigmoid(z_i + p_i * c')   f = sigmoid(z_f + p_f * c')   g = phi(z_g)
    c = f * c' + i * g
    o = sigmoid(z_o + p_o * c)
    h = o * phi(c)

The input and the forget gate see the old cell state, the output gate the new one. Peepholes start
at zero: a new network is a plain LSTM.
"""

from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import equation
from charrnn.network.cells.cell import Cell, Peephole
from charrnn.network.cells.forms import cell_kernel
from charrnn.network.cells.lstm_equations import show_peephole

GATES = ("i", "f", "g", "o")
VECTORS = ("p_i", "p_f", "p_o")


@equation("i", "f", "g", "c", "m")
def remember(phi, i, f, g, c_before, p_i, p_f):
    """The gates into the memory, which stand where z was, c, and m = c for the layer above."""
    i, f, g = sigmoid(fma(p_i, c_before, i)), sigmoid(fma(p_f, c_before, f)), phi(g)
    c = fma(f, c_before, i * g)
    return i, f, g, c, c


@equation("i", "f", "g", "o", "dc_before")
def through_peephole(phi, i, f, g, o, c_before, p_i, p_f, p_o, dh, dc, dc_before):
    """The derivatives of both: the gates become dz, and dc' is added to."""
    y, dy = phi(fma(f, c_before, i * g)), dh * o
    dz_o = dy * y * (1.0 - o)
    dc = fma(p_o, dz_o, fma(dy, phi.slope(y), dc))
    dz_i, dz_f, dz_g = dc * g * slope(i), dc * c_before * slope(f), dc * i * phi.slope(g)
    return dz_i, dz_f, dz_g, dz_o, fma(p_i, dz_i, fma(p_f, dz_f, fma(dc, f, dc_before)))


step = cell_kernel("step", __name__, GATES, remember, show_peephole, vectors=VECTORS)
step_back = cell_kernel("step_back", __name__, GATES, through_peephole, vectors=VECTORS)
CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    peepholes=(Peephole("i", "before"), Peephole("f", "before"), Peephole("o", "after")),
    keeps_memory=True,
)
