"""The LSTM (Hochreiter & Schmidhuber 1997), with the forget gate of Gers, Schmidhuber & Cummins
2000.

With z = W_x x + W_h h' + b in four blocks of H columns,

    i = sigmoid(z_i)   f = sigmoid(z_f)   g = phi(z_g)   o = sigmoid(z_o)
    c = f * c' + i * g
    h = o * phi(c)

Gates are in PyTorch's order, i f g o; phi is tanh, softsign or relu. The forget gates' bias starts
at `forget_bias`; with 1, a new network remembers (Gers et al. 2000; Jozefowicz et al. 2015).
"""

from charrnn.network.cells.cell import Cell
from charrnn.network.cells.forms import cell_kernel
from charrnn.network.cells.lstm_equations import remember, show, through_lstm

GATES = ("i", "f", "g", "o")


step = cell_kernel("step", __name__, GATES, remember, show)
step_back = cell_kernel("step_back", __name__, GATES, through_lstm)
CELL = Cell(GATES, GATES, GATES, step, step_back)
