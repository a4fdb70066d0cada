"""Nonlinearities and products over rows of numbers: what the cells' equations are written in.

Each is a loop over few contiguous float32 rows, which LLVM turns into vector code (one loop over all of a cell's arrays at
once does not vectorise: too many pointers to check for overlap).
"""

from __future__ import annotations

import numpy as np

from charrnn.kernels.compiling import inline
from charrnn.kernels.simd import float_from_bits, fma

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
TANH, SOFTSIGN, RELU = 0, 1, 2
"""Numbers of the nonlinearities phi, in the order of `config.ACTIVATIONS`."""

# tanh(x) = x P(x x) / Q(x x) on [-9, 9]: our least-maximum fit, relative error 2e-8; in float32 within 3.1e-7
TANH_LIMIT = np.float32(9)
P0, P1, P2, P3, P4 = (
    np.float32(p) for p in (0.99999998, 0.13381033393, 3.4955970427e-3, 2.0609218729e-5, 1.3354832390e-8)
)
Q1, Q2, Q3, Q4 = (np.float32(q) for q in (0.46714349012, 0.025877016847, 3.2856489423e-4, 7.7766320371e-7))

# exp(x) = 2^n e^r with n whole and |r| <= ln(2) / 2; ln(2) in two parts, e^r by its Taylor series
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
E2, E3, E4, E5, E6 = (np.float32(1 / k) for k in (2, 6, 24, 120, 720))
EXP_LIMIT = np.float32(-87)


@inline
def tanh(x):
    """The hyperbolic tangent of a float32, in [-1, 1], NaN for NaN."""
    x = TANH_LIMIT if x > TANH_LIMIT else x
    x = -TANH_LIMIT if x < -TANH_LIMIT else x
    u = x * x
    p = fma(fma(fma(fma(P4, u, P3), u, P2), u, P1), u, P0)
    q = fma(fma(fma(fma(Q4, u, Q3), u, Q2), u, Q1), u, ONE)
    y = x * p / q
    y = ONE if y > ONE else y
    return -ONE if y < -ONE else y


@inline
def tanh_slope(y):
    """The derivative of tanh where it is y: 1 - y^2."""
    return fma(-y, y, ONE)


@inline
def softsign(x):
    """x / (1 + |x|), in (-1, 1) (Glorot & Bengio 2010, section 2.2)."""
    return x / (ONE + abs(x))


@inline
def softsign_slope(y):
    """The derivative of softsign where it is y: (1 - |y|)^2."""
    return (ONE - abs(y)) * (ONE - abs(y))


@inline
def relu(x):
    """max(x, 0), NaN for NaN."""
    return ZERO if x < ZERO else x


@inline
def relu_slope(y):
    """The derivative of relu where it is y: 1 above zero."""
    return ONE if y > ZERO else ZERO


@inline
def sigmoid(x):
    """1 / (1 + exp(-x)) = 1/2 + tanh(x / 2) / 2."""
    return fma(HALF, tanh(HALF * x), HALF)


@inline
def exp(x):
    """e^x of a float32 x <= 0 (below -87 as at -87), to 2e-7 of its value."""
    x = EXP_LIMIT if x < EXP_LIMIT else x
    n = np.floor(fma(x, LOG2_E, HALF))
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    y = fma(fma(fma(fma(fma(fma(E6, r, E5), r, E4), r, E3), r, E2), r, ONE), r, ONE)
    return y * float_from_bits((np.int32(n) + np.int32(127)) << np.int32(23))


# Rows are set and copied by loops: a slice assignment does the same but costs a second to compile


@inline
def fill_row(a, value):
    """a = value, everywhere."""
    for u in range(a.size):
        a[u] = value


@inline
def copy_row(a, b):
    """a = b."""
    for u in range(a.size):
        a[u] = b[u]


@inline
def sigmoid_row(a):
    """a = sigmoid(a)."""
    for u in range(a.size):
        a[u] = sigmoid(a[u])


@inline
def squash_row(a, phi):
    """a = phi(a), phi one of TANH, SOFTSIGN, RELU."""
    if phi == TANH:
        for u in range(a.size):
            a[u] = tanh(a[u])
    elif phi == SOFTSIGN:
        for u in range(a.size):
            a[u] = softsign(a[u])
    else:
        for u in range(a.size):
            a[u] = relu(a[u])


@inline
def slope_row(a, y, phi):
    """a *= phi'(x), where y = phi(x)."""
    if phi == TANH:
        for u in range(a.size):
            a[u] *= tanh_slope(y[u])
    elif phi == SOFTSIGN:
        for u in range(a.size):
            a[u] *= softsign_slope(y[u])
    else:
        for u in range(a.size):
            a[u] *= relu_slope(y[u])


@inline
def add_row(a, b):
    """a += b."""
    for u in range(a.size):
        a[u] += b[u]


@inline
def multiply_row(a, b):
    """a *= b."""
    for u in range(a.size):
        a[u] *= b[u]


@inline
def add_product_row(a, b, c):
    """a += b * c."""
    for u in range(a.size):
        a[u] = fma(b[u], c[u], a[u])


@inline
def add_scaled_row(a, factor, b):
    """a += factor * b."""
    for u in range(a.size):
        a[u] = fma(factor, b[u], a[u])
