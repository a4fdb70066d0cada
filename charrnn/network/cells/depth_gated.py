"""The depth-gated LSTM (Yao, Cohn, Vylomova, Duh & Dyer 2015): a gate from the lower layer's memory
to the upper's.

With z = W_x x + W_h h' + b (d has no W_h), m the cell state of the layer below at this step, and
vectors p_i, p_f, p_o, w_c, w_m,

    d = sigmoid(z_d + w_c * c' + w_m * m)
    i = sigmoid(z_i + p_i * c')   f = sigmoid(z_f + p_f * c')   g = phi(z_g)
    c = d * m + f * c' + i * g
    o = sigmoid(z_o + p_o * c)
    h = o * phi(c)

Below the lowest layer, m is a learned vector of the character. All vectors start at zero.
"""

from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import equation
from charrnn.network.cells.cell import Cell, Peephole
from charrnn.network.cells.forms import cell_kernel
from charrnn.network.cells.lstm_equations import show_peephole

GATES = ("d", "i", "f", "g", "o")
VECTORS = ("p_i", "p_f", "p_o", "w_c", "w_m")


@equation("d", "i", "f", "g", "c", "m")
def remember(phi, d, i, f, g, c_before, m_below, p_i, p_f, w_c, w_m):
    """The gates into the memory, which stand where z was, c, and m = c for the layer above."""
    d = sigmoid(fma(w_m, m_below, fma(w_c, c_before, d)))
    i, f, g = sigmoid(fma(p_i, c_before, i)), sigmoid(fma(p_f, c_before, f)), phi(g)
    c = fma(d, m_below, fma(f, c_before, i * g))
    return d, i, f, g, c, c


@equation("d", "i", "f", "g", "o", "dc_before", "dm_below")
def through_depth_gated(
    phi, d, i, f, g, o, c_before, m_below, p_i, p_f, p_o, w_c, w_m, dh, dc, dm, dc_before
):
    """The derivatives of both: the gates become dz, dc' is added to, and dm of the layer below is
    set.
    """
    y, dy = phi(fma(d, m_below, fma(f, c_before, i * g))), dh * o
    dz_o = dy * y * (1.0 - o)
    dc = fma(p_o, dz_o, fma(dy, phi.slope(y), dc + dm))
    dz_d, dz_i, dz_f = dc * m_below * slope(d), dc * g * slope(i), dc * c_before * slope(f)
    dc_before = fma(w_c, dz_d, fma(p_i, dz_i, fma(p_f, dz_f, fma(dc, f, dc_before))))
    return dz_d, dz_i, dz_f, dc * i * phi.slope(g), dz_o, dc_before, fma(w_m, dz_d, dc * d)


step = cell_kernel("step", __name__, GATES, remember, show_peephole, vectors=VECTORS)
step_back = cell_kernel("step_back", __name__, GATES, through_depth_gated, vectors=VECTORS)
CELL = Cell(
    GATES,
    GATES,
    GATES[1:],
    step,
    step_back,
    peepholes=(
        Peephole("i", "before"),
        Peephole("f", "before"),
        Peephole("o", "after"),
        Peephole("d", "before"),
        Peephole("d", "below"),
    ),
    reads_below=True,
    keeps_memory=True,
)
