"""The Grid LSTM in two dimensions, time and depth (Kalchbrenner, Danihelka & Graves 2015, section
3), with untied weights.

Each layer holds two LSTMs that read the same pair of hidden vectors, h' from the step before and x
from the layer below: z = W_x x + W_h h' + b in eight blocks. The first four are the gates along
time, the last four those along depth:

    c = f_t * c' + i_t * g_t          h = phi(o_t * c)      on to the next step
    m = f_d * m_below + i_d * g_d     y = phi(o_d * m)      up to the next layer, or the output

The output gate stands inside phi, as in the paper's equation 1, other than in `lstm`.
Below the lowest layer, x is the character (or its embedding) and m_below a learned vector of it.
"""

from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import fma, slope
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import fill_row, rows
from charrnn.kernels.recurrent import STEP, STEP_BACK, four_blocks
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.lstm_equations import remember

GATES = ("it", "ft", "gt", "ot", "id", "fd", "gd", "od")


@rows("h")
def show(phi, o, c):
    """h = phi(o * c)."""
    return phi(o * c)


@rows("i", "f", "g", "o", "dc_before")
def through_grid(phi, i, f, g, o, c_before, dh, dc, dc_before):
    """The derivatives of both: the gates become dz, and dc' is added to."""
    c = fma(f, c_before, i * g)
    shown = dh * phi.slope(phi(o * c))
    dc = fma(shown, o, dc)
    dz_i, dz_f, dz_g = dc * g * slope(i), dc * c_before * slope(f), dc * i * phi.slope(g)
    return dz_i, dz_f, dz_g, shown * c * slope(o), fma(dc, f, dc_before)


@kernel(STEP)
def step(z, h_before, c_before, h, c, ports, activation, start, stop):
    """One step of streams start:stop. z (N, 8H) is read and then holds the gates; h, c, y, m (N, H)
    are written.
    """
    H = h.shape[1]
    for n in range(start, stop):
        i, f, g, o = four_blocks(z[n], H)
        remember(activation, i, f, g, o, c_before[n], c[n])
        show(activation, o, c[n], h[n])
        i, f, g, o = four_blocks(z[n, 4 * H :], H)
        remember(activation, i, f, g, o, ports.m_below[n], ports.m[n])
        show(activation, o, ports.m[n], ports.y[n])


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop):
    """Back through `step`. z holds the gates and then dz; dh, dc, dy, dm are read, dc_before is
    added to, dm_below written.
    """
    H = dh.shape[1]
    for n in range(start, stop):
        i, f, g, o = four_blocks(z[n], H)
        through_grid(activation, i, f, g, o, c_before[n], dh[n], dc[n], dc_before[n])
        i, f, g, o = four_blocks(z[n, 4 * H :], H)
        dm_below = ports.dm_below[n]
        fill_row(dm_below, ZERO)
        through_grid(activation, i, f, g, o, ports.m_below[n], ports.dy[n], ports.dm[n], dm_below)


CELL = Cell(
    GATES,
    GATES,
    GATES,
    step,
    step_back,
    forget=("ft", "fd"),
    reads_below=True,
    keeps_memory=True,
    has_output=True,
)
