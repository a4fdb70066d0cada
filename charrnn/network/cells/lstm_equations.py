"""The equations of the LSTM, shared by variants that change only what its gates read (or, in
`grid`, what it remembers); not a kernel.

i = sigmoid(z_i)   f = sigmoid(z_f)   g = phi(z_g)   o = sigmoid(z_o)
c = f * c' + i * g
h = o * phi(c)
"""

from charrnn.compiler.lanes import fma, sigmoid, slope
from charrnn.compiler.rows import equation

# Two loops: in a single one phi(c) waits for the gates, and the processor does not see as far as
# the next vector's


@equation("i", "f", "g", "o", "c")
def remember(phi, i, f, g, o, c_before):
    """The gates, which stand where z was, and c."""
    i, f, g, o = sigmoid(i), sigmoid(f), phi(g), sigmoid(o)
    return i, f, g, o, fma(f, c_before, i * g)


@equation("h")
def show(phi, o, c):
    """h = o * phi(c)."""
    return o * phi(c)


@equation("i", "f", "g", "o", "dc_before")
def through_lstm(phi, i, f, g, o, c_before, dh, dc, dc_before):
    """The derivatives of both: the gates become dz, and dc' is added to."""
    y, dy = phi(fma(f, c_before, i * g)), dh * o
    dc = fma(dy, phi.slope(y), dc)
    dz_i, dz_f, dz_g = dc * g * slope(i), dc * c_before * slope(f), dc * i * phi.slope(g)
    return dz_i, dz_f, dz_g, dy * y * (1.0 - o), fma(dc, f, dc_before)


@equation("o", "h")
def show_peephole(phi, o, c, p_o):
    """The output gate that reads c, in place of z, and h = o * phi(c)."""
    o = sigmoid(fma(p_o, c, o))
    return o, o * phi(c)
