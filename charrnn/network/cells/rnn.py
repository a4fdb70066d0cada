"""The plain recurrent network (Elman 1990): h = phi(W x + U h' + b).

Its gradient passes through U^T diag(phi') at every step, and so vanishes or explodes (Hochreiter
1991; Bengio, Simard & Frasconi 1994). With --activation relu --recurrent-init identity it is the
IRNN of Le, Jaitly & Hinton 2015.
"""

from charrnn.compiler.rows import equation
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.forms import cell_kernel

GATES = ("h",)


@equation("z", "h")
def rnn(phi, z):
    """h = phi(z), which also replaces z."""
    h = phi(z)
    return h, h


@equation("z")
def through_rnn(phi, z, dh):
    """z, which holds h, becomes dz."""
    return dh * phi.slope(z)


step = cell_kernel("step", __name__, ("z",), rnn)
step_back = cell_kernel("step_back", __name__, ("z",), through_rnn)
CELL = Cell(GATES, GATES, GATES, step, step_back, forget=(), has_memory=False)
