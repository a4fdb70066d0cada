"""The LSTM (Hochreiter & Schmidhuber 1997), with the forget gate of Gers, Schmidhuber & Cummins
2000.

With z = W_x x + W_h h' + b in four blocks of H columns,

    i = sigmoid(z_i)   f = sigmoid(z_f)   g = phi(z_g)   o = sigmoid(z_o)
    c = f * c' + i * g
    h = o * phi(c)

Gates stand in PyTorch's order, i f g o; phi is tanh, softsign or relu. The forget gates' bias
starts at 1, so that a new network remembers (Gers et al. 2000; Jozefowicz et al. 2015).
"""

from charrnn.compiler.compiling import kernel
from charrnn.kernels.recurrent import STEP, STEP_BACK, four_blocks
from charrnn.network.cells.cell import Cell
from charrnn.network.cells.lstm_equations import remember, show, through_lstm

GATES = ("i", "f", "g", "o")


@kernel(STEP)
def step(z, h_before, c_before, h, c, ports, activation, start, stop):
    """One step of streams start:stop. z (N, 4H) is read and then holds the gates; h, c (N, H) are
    written.
    """
    H = h.shape[1]
    for n in range(start, stop):
        i, f, g, o = four_blocks(z[n], H)
        remember(activation, i, f, g, o, c_before[n], c[n])
        show(activation, o, c[n], h[n])


@kernel(STEP_BACK)
def step_back(z, h_before, c_before, dh_before, dc_before, dh, dc, ports, activation, start, stop):
    """Back through `step`. z holds the gates and then dz; dh, dc of this step are read, dc_before
    is added to.
    """
    H = dh.shape[1]
    for n in range(start, stop):
        i, f, g, o = four_blocks(z[n], H)
        through_lstm(activation, i, f, g, o, c_before[n], dh[n], dc[n], dc_before[n])


CELL = Cell(GATES, GATES, GATES, step, step_back)
