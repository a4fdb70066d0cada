"""The LSTM with peepholes (Gers & Schmidhuber 2000; the form of Graves 2013, equations 7 to 11).

With z = W_x x + W_h h' + b in four blocks of H columns and the vectors p_i, p_f, p_o,

    i = sigmoid(z_i + p_i * c')   f = sigmoid(z_f + p_f * c')   g = phi(z_g)
    c = f * c' + i * g
    o = sigmoid(z_o + p_o * c)
    h = o * phi(c)

The input and the forget gate see the old cell state, the output gate the new one. Peepholes start
at zero: a new network is a plain LSTM.
"""

from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import rows
from charrnn.kernels.recurrent import STEP, STEP_BACK, four_blocks
from charrnn.network.cells.cell import Cell, Peephole
from charrnn.network.cells.lstm_equations import show_peephole

GATES = ("i", "f", "g", "o")


@rows("i", "f", "g", "c", "m")
def remember(phi, i, f, g, c_before, p_i, p_f):
    """The gates into the memory, which stand where z was, c, and m = c for the layer above."""
    i, f, g = sigmoid(fma(p_i, c_before, i)), sigmoid(fma(p_f, c_before, f)), phi(g)
    c = fma(f, c_before, i * g)
    return i, f, g, c, c


@rows("i", "f", "g", "o", "dc_before")
def through_peephole(phi, i, f, g, o, c_before, p_i, p_f, p_o, dh, dc, dc_before):
    """The derivatives of both: the gates become dz, and dc' is added to."""
    y, shown = phi(fma(f, c_before, i * g)), dh * o
    dz_o = shown * y * (1.0 - o)
    dc = fma(p_o, dz_o, fma(shown, phi.slope(y), dc))
    dz_i, dz_f, dz_g = dc * g * slope(i), dc * c_before * slope(f), dc * i * phi.slope(g)
    return dz_i, dz_f, dz_g, dz_o, fma(p_i, dz_i, fma(p_f, dz_f, fma(dc, f, dc_before)))


@kernel(STEP)
def step(z, h_before, c_before, h, c, ports, activation, start, stop):
    """One step of streams start:stop. z (N, 4H) is read and then holds the gates; h, c and m = c
    (N, H) are written.
    """
    H, p = h.shape[1], ports.p
    for n in range(start, stop):
        i, f, g, o = four_blocks(z[n], H)
        remember(activation, i, f, g, c_before[n], p[0], p[1], c[n], ports.m[n])
        show_peephole(activation, o, c[n], p[2], h[n])


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop):
    """Back through `step`. z holds the gates and then dz; dh, dc of this step are read, dc_before
    is added to.
    """
    H, p = dh.shape[1], ports.p
    for n in range(start, stop):
        i, f, g, o = four_blocks(z[n], H)
        through_peephole(
            activation, i, f, g, o, c_before[n], p[0], p[1], p[2], dh[n], dc[n], dc_before[n]
        )


CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    peepholes=(Peephole("i", "before"), Peephole("f", "before"), Peephole("o", "after")),
    keeps_memory=True,
)
