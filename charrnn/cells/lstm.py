"""The LSTM (Hochreiter & Schmidhuber 1997), with the forget gate of Gers, Schmidhuber & Cummins 2000.

With z = W_x x + W_h h' + b in four blocks of H columns,

    i = sigmoid(z_i)   f = sigmoid(z_f)   g = tanh(z_g)   o = sigmoid(z_o)
    c = f * c' + i * g
    h = o * tanh(c)

Gates stand in PyTorch's order, i f g o. The forget gates' bias starts at 1, so that a new network remembers (Gers et al.
2000; Jozefowicz et al. 2015).
"""

from __future__ import annotations

import numpy as np

from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import ONE, fma, sigmoid_row, tanh, tanh_row
from charrnn.kernels.recurrent import STEP, STEP_BACK

GATES = ("i", "f", "g", "o")


def initial_bias(hidden: int, forget_bias: float) -> np.ndarray:
    """Zero for i, g and o, `forget_bias` for f; float32 (4, H)."""
    bias = np.zeros((4, hidden), np.float32)
    bias[GATES.index("f")] = forget_bias
    return bias


@inline
def _remember(i, f, g, c_previous, c):
    for u in range(c.size):
        c[u] = fma(f[u], c_previous[u], i[u] * g[u])


@inline
def _show(o, c, h):
    for u in range(h.size):
        h[u] = o[u] * tanh(c[u])


@kernel(STEP)
def step(z, h_previous, c_previous, h, c, start, stop):
    """One step of streams start:stop. z (N, 4H) is read and then holds the gates; h, c (N, H) are written."""
    H = h.shape[1]
    for n in range(start, stop):
        i, f, g, o = z[n, :H], z[n, H : 2 * H], z[n, 2 * H : 3 * H], z[n, 3 * H :]
        sigmoid_row(z[n, : 2 * H])
        tanh_row(g)
        sigmoid_row(o)
        _remember(i, f, g, c_previous[n], c[n])
        _show(o, c[n], h[n])


@inline
def _through_h(o, c, dh, dc):
    for u in range(c.size):
        y, shown = tanh(c[u]), dh[u] * o[u]
        dc[u] = fma(shown, fma(-y, y, ONE), dc[u])
        o[u] = shown * y * (ONE - o[u])


@inline
def _through_gates(i, g, dc):
    for u in range(dc.size):
        di = dc[u] * g[u]
        g[u] = dc[u] * i[u] * fma(-g[u], g[u], ONE)
        i[u] = di * i[u] * (ONE - i[u])


@inline
def _through_memory(f, c_previous, dc):
    for u in range(dc.size):
        carried = dc[u] * f[u]
        f[u] = carried * c_previous[u] * (ONE - f[u])
        dc[u] = carried


@kernel(STEP_BACK)
def step_back(z, h_previous, c_previous, h, c, dh, dc, start, stop):
    """Back through `step`. z holds the gates and then dz; dh is read; dc holds dc of this step and then of the one before."""
    H = h.shape[1]
    for n in range(start, stop):
        i, f, g, o = z[n, :H], z[n, H : 2 * H], z[n, 2 * H : 3 * H], z[n, 3 * H :]
        _through_h(o, c[n], dh[n], dc[n])
        _through_gates(i, g, dc[n])
        _through_memory(f, c_previous[n], dc[n])
