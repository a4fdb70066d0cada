"""The plain recurrent net (Elman 1990): h = phi(W x + U h' + b).

Its gradient goes back through U^T diag(phi') once a step, and so it vanishes or explodes
(Hochreiter 1991; Bengio, Simard & Frasconi 1994). With --activation relu --recurrent-init identity
it is the IRNN of Le, Jaitly & Hinton 2015.
"""

from charrnn.compiler.compiling import kernel
from charrnn.compiler.rows import rows
from charrnn.kernels.recurrent import STEP, STEP_BACK
from charrnn.network.cells.cell import Cell

GATES = ("h",)


@rows("z", "h")
def rnn(phi, z):
    """h = phi(z), which stands where z was too."""
    h = phi(z)
    return h, h


@rows("z")
def through_rnn(phi, z, dh):
    """z, which holds h, becomes dz."""
    return dh * phi.slope(z)


@kernel(STEP)
def step(z, h_before, c_before, h, c, ports, activation, start, stop):
    """One step of streams start:stop. z (N, H) is read and then holds phi(z), as does h (N, H)."""
    H = h.shape[1]
    for n in range(start, stop):
        rnn(activation, z[n, :H], h[n])


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop):
    """Back through `step`. z holds phi(z) and then dz; dh is read."""
    H = dh.shape[1]
    for n in range(start, stop):
        through_rnn(activation, z[n, :H], dh[n])


CELL = Cell(GATES, GATES, GATES, step, step_back, forget=(), has_memory=False)
