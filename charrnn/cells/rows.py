"""What several cells share: rows of the equations of LSTMs and GRUs, and of their derivatives.

All rows are float32 (H,); phi is the number of the nonlinearity. Each function is a few loops over few rows, since LLVM gives up on
a loop over many.
"""

from __future__ import annotations

from charrnn.kernels.compiling import inline
from charrnn.kernels.pointwise import (
    ONE,
    add_product_row,
    add_row,
    copy_row,
    fma,
    multiply_row,
    sigmoid_row,
    slope_row,
    squash_row,
)


@inline
def remember(i, f, g, c_before, c):
    """c = f * c' + i * g."""
    for u in range(c.size):
        c[u] = fma(f[u], c_before[u], i[u] * g[u])


@inline
def show(phi, o, c, h):
    """h = o * phi(c)."""
    copy_row(h, c)
    squash_row(h, phi)
    multiply_row(h, o)


@inline
def _through_gate(o, y, shown):
    for u in range(o.size):
        o[u] = shown[u] * y[u] * (ONE - o[u])


@inline
def through_output(phi, o, c, dh, dc):
    """Back through `show`: dc += dh * o * phi'(c), and o becomes dz_o. c and dh are used up."""
    squash_row(c, phi)
    multiply_row(dh, o)
    _through_gate(o, c, dh)
    slope_row(dh, c, phi)
    add_row(dc, dh)


@inline
def through_peeping_output(phi, o, c, dh, dc, p_o):
    """Back through h = o * phi(c), where o sees c: as `through_output`, and dc += p_o * dz_o."""
    through_output(phi, o, c, dh, dc)
    add_product_row(dc, p_o, o)


@inline
def _through_product(i, g, dc, di):
    for u in range(dc.size):
        di[u] = dc[u] * g[u] * i[u] * (ONE - i[u])
        i[u] *= dc[u]


@inline
def through_input(phi, i, g, dc, scratch):
    """Back through i * g: i becomes dz_i, g becomes dz_g."""
    _through_product(i, g, dc, scratch)
    slope_row(i, g, phi)
    copy_row(g, i)
    copy_row(i, scratch)


@inline
def through_forget(f, c_before, dc, dc_before):
    """Back through f * c': dc' += dc * f, and f becomes dz_f."""
    for u in range(dc.size):
        carried = dc[u] * f[u]
        f[u] = carried * c_before[u] * (ONE - f[u])
        dc_before[u] += carried


@inline
def lstm_row(phi, z, c_before, h, c):
    """A step of the LSTM: z (4H,), blocks i f g o, becomes the gates; h, c (H,) are written."""
    H = h.size
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H :]
    sigmoid_row(z[: 2 * H])
    squash_row(g, phi)
    sigmoid_row(o)
    remember(i, f, g, c_before, c)
    show(phi, o, c, h)


@inline
def through_lstm_row(phi, z, c_before, dc_before, dh, dc, scratch):
    """Back through `lstm_row`: the gates in z become dz, dc_before is added to; dh and dc are used up."""
    H = dh.size
    i, f, g, o = z[:H], z[H : 2 * H], z[2 * H : 3 * H], z[3 * H :]
    remember(i, f, g, c_before, scratch)
    through_output(phi, o, scratch, dh, dc)
    through_input(phi, i, g, dc, scratch)
    through_forget(f, c_before, dc, dc_before)


@inline
def mix(u, n, h_before, h):
    """h = (1 - u) * n + u * h'."""
    for k in range(h.size):
        h[k] = fma(u[k], h_before[k] - n[k], n[k])


@inline
def _through_update(u, n, h_before, dh, dn):
    for k in range(dh.size):
        du = dh[k] * (h_before[k] - n[k])
        dn[k] = dh[k] * (ONE - u[k])
        dh[k] *= u[k]
        u[k] = du * u[k] * (ONE - u[k])


@inline
def through_mix(phi, u, n, h_before, dh, scratch):
    """Back through `mix` and n = phi(z_n): u and n become dz_u and dz_n, and dh what goes on to h'."""
    _through_update(u, n, h_before, dh, scratch)
    slope_row(scratch, n, phi)
    copy_row(n, scratch)
