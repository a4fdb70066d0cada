"""What several cells share: rows of the equations of LSTMs and GRUs, and of their derivatives.

All rows are float32 (H,); phi is the number of the nonlinearity. Each function is a loop over few rows, since LLVM gives up on one
over many. The loops stand there once for each nonlinearity: a function that was passed as an argument could not be cached.
"""

from __future__ import annotations

from charrnn.kernels.compiling import inline
from charrnn.kernels.pointwise import (
    ONE,
    SOFTSIGN,
    TANH,
    add_product_row,
    fma,
    relu,
    relu_slope,
    sigmoid_row,
    softsign,
    softsign_slope,
    squash_row,
    tanh,
    tanh_slope,
)


@inline
def remember(i, f, g, c_before, c):
    """c = f * c' + i * g."""
    for u in range(c.size):
        c[u] = fma(f[u], c_before[u], i[u] * g[u])


@inline
def show(phi, o, c, h):
    """h = o * phi(c)."""
    if phi == TANH:
        for u in range(h.size):
            h[u] = o[u] * tanh(c[u])
    elif phi == SOFTSIGN:
        for u in range(h.size):
            h[u] = o[u] * softsign(c[u])
    else:
        for u in range(h.size):
            h[u] = o[u] * relu(c[u])


@inline
def through_output(phi, o, c, dh, dc):
    """Back through `show`: dc += dh * o * phi'(c), and o becomes dz_o."""
    if phi == TANH:
        for u in range(c.size):
            y, shown = tanh(c[u]), dh[u] * o[u]
            dc[u] = fma(shown, tanh_slope(y), dc[u])
            o[u] = shown * y * (ONE - o[u])
    elif phi == SOFTSIGN:
        for u in range(c.size):
            y, shown = softsign(c[u]), dh[u] * o[u]
            dc[u] = fma(shown, softsign_slope(y), dc[u])
            o[u] = shown * y * (ONE - o[u])
    else:
        for u in range(c.size):
            y, shown = relu(c[u]), dh[u] * o[u]
            dc[u] = fma(shown, relu_slope(y), dc[u])
            o[u] = shown * y * (ONE - o[u])


@inline
def through_peeping_output(phi, o, c, dh, dc, p_o):
    """Back through h = o * phi(c), where o sees c: as `through_output`, and dc += p_o * dz_o."""
    through_output(phi, o, c, dh, dc)
    add_product_row(dc, p_o, o)


@inline
def through_input(phi, i, g, dc):
    """Back through i * g: i becomes dz_i, g becomes dz_g."""
    if phi == TANH:
        for u in range(dc.size):
            di = dc[u] * g[u]
            g[u] = dc[u] * i[u] * tanh_slope(g[u])
            i[u] = di * i[u] * (ONE - i[u])
    elif phi == SOFTSIGN:
        for u in range(dc.size):
            di = dc[u] * g[u]
            g[u] = dc[u] * i[u] * softsign_slope(g[u])
            i[u] = di * i[u] * (ONE - i[u])
    else:
        for u in range(dc.size):
            di = dc[u] * g[u]
            g[u] = dc[u] * i[u] * relu_slope(g[u])
            i[u] = di * i[u] * (ONE - i[u])


@inline
def through_forget(f, c_before, dc, dc_before):
    """Back through f * c': dc' += dc * f, and f becomes dz_f."""
    for u in range(dc.size):
        carried = dc[u] * f[u]
        f[u] = carried * c_before[u] * (ONE - f[u])
        dc_before[u] += carried


@inline
def lstm_memory_row(phi, z, c_before, c):
    """The gates of an LSTM and its new c: z (4H,), blocks i f g o, becomes the gates; c (H,) is written."""
    H = c.size
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
    sigmoid_row(z[: 2 * H])
    squash_row(g, phi)
    sigmoid_row(o)
    remember(i, f, g, c_before, c)


@inline
def lstm_row(phi, z, c_before, h, c):
    """A step of the LSTM: as `lstm_memory_row`, and h (H,) is written."""
    lstm_memory_row(phi, z, c_before, c)
    show(phi, z[3 * c.size : 4 * c.size], c, h)


@inline
def through_lstm_row(phi, z, c_before, dc_before, dh, dc, scratch):
    """Back through `lstm_row`: the gates in z become dz, dc_before is added to; dh and dc are used up."""
    H = dh.size
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H : 4 * H]
    remember(i, f, g, c_before, scratch)
    through_output(phi, o, scratch, dh, dc)
    through_input(phi, i, g, dc)
    through_forget(f, c_before, dc, dc_before)


@inline
def mix(u, n, h_before, h):
    """h = (1 - u) * n + u * h'."""
    for k in range(h.size):
        h[k] = fma(u[k], h_before[k] - n[k], n[k])


@inline
def through_mix(phi, u, n, h_before, dh):
    """Back through `mix` and n = phi(z_n): u and n become dz_u and dz_n, and dh what goes on to h'."""
    if phi == TANH:
        for k in range(dh.size):
            du = dh[k] * (h_before[k] - n[k])
            n[k] = dh[k] * (ONE - u[k]) * tanh_slope(n[k])
            dh[k] *= u[k]
            u[k] = du * u[k] * (ONE - u[k])
    elif phi == SOFTSIGN:
        for k in range(dh.size):
            du = dh[k] * (h_before[k] - n[k])
            n[k] = dh[k] * (ONE - u[k]) * softsign_slope(n[k])
            dh[k] *= u[k]
            u[k] = du * u[k] * (ONE - u[k])
    else:
        for k in range(dh.size):
            du = dh[k] * (h_before[k] - n[k])
            n[k] = dh[k] * (ONE - u[k]) * relu_slope(n[k])
            dh[k] *= u[k]
            u[k] = du * u[k] * (ONE - u[k])
