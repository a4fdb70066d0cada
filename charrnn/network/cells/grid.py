"""The Grid LSTM in two dimensions, time and depth (Kalchbrenner, Danihelka & Graves 2015, section
3), with untied weights.

Each layer holds two LSTMs that read the same pair of hidden vectors, h' from the step before and x
from the layer below: z = W_x x + W_h h' + b in eight blocks. The first four are the gates along
time, the last four those along depth:

    c = f_t * c' + i_t * g_t          h = phi(o_t * c)      on to the next step
    m = f_d * m_below + i_d * g_d     y = phi(o_d * m)      up to the next layer, or the output

The output gate is inside phi, as in the paper's equation 1 and unlike in `lstm`. Below the lowest
layer, x is the character (or its embedding) and m_below a learned vector of it.
"""

from charrnn.compiler.lanes import fma, slope
from charrnn.compiler.rows import equation
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.forms import cell_kernel
from charrnn.network.cells.lstm_equations import remember

GATES = ("it", "ft", "gt", "ot", "id", "fd", "gd", "od")
BLOCKS = ("i", "f", "g", "o", *GATES[4:])


@equation("h")
def show(phi, o, c):
    """h = phi(o * c)."""
    return phi(o * c)


@equation("i", "f", "g", "o", "dc_before")
def through_grid(phi, i, f, g, o, c_before, dh, dc, dc_before):
    """The derivatives of both: the gates become dz, and dc' is added to."""
    c = fma(f, c_before, i * g)
    d_oc = dh * phi.slope(phi(o * c))
    dc = fma(d_oc, o, dc)
    dz_i, dz_f, dz_g = dc * g * slope(i), dc * c_before * slope(f), dc * i * phi.slope(g)
    return dz_i, dz_f, dz_g, d_oc * c * slope(o), fma(dc, f, dc_before)


@equation("dm_below")
def cleared(dm_below):
    """What is added to starts at zero."""
    return dm_below.like(0.0)


DEPTH = {"i": "id", "f": "fd", "g": "gd", "o": "od", "c_before": "m_below", "c": "m", "h": "y"}
DEPTH_BACK = DEPTH | {"dh": "dy", "dc": "dm", "dc_before": "dm_below"}
step = cell_kernel(
    "step", __name__, BLOCKS, remember, show, remember.renamed(**DEPTH), show.renamed(**DEPTH)
)
step_back = cell_kernel(
    "step_back", __name__, BLOCKS, through_grid, cleared, through_grid.renamed(**DEPTH_BACK)
)
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
