"""Layer normalization of a row of units (Ba, Kiros & Hinton 2016, equation 3, without gain and
bias).

    out = (y - mean(y)) r,   r = 1 / sqrt(mean((y - mean(y))^2) + 1e-5)

over the units of one character. Rows are padded with zeros, and so are the results.
"""

import numpy as np

from charrnn.compiler.compiling import inline
from charrnn.compiler.lanes import double
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import SUM_OF_DOUBLES, copy_row, rows

EPSILON = 1e-5


@rows(fold=SUM_OF_DOUBLES)
def _sum(a):
    """The sum of a row."""
    return double(a)


@rows(fold=SUM_OF_DOUBLES)
def _spread(a, mean):
    """The sum of squares of a - mean."""
    d = double(a - mean)
    return d * d


@rows(fold=SUM_OF_DOUBLES)
def _alike(d, a, mean):
    """The sum of d (a - mean)."""
    return double(d * (a - mean))


@rows("a")
def _standardized(a, mean, r):
    """a = (a - mean) r."""
    return (a - mean) * r


@rows("d")
def _through(d, a, mean, r, mean_d, slope):
    """d = r (d - mean_d - slope (a - mean))."""
    return (d - mean_d - slope * (a - mean)) * r


@inline
def moments(y, units):
    """The mean of a row of `units` units, and r."""
    mean = np.float32(_sum(y) / units)
    padding = np.float64(mean) * np.float64(mean) * (y.size - units)
    variance = max(_spread(y, mean) - padding, 0.0) / units
    return mean, np.float32(1.0 / np.sqrt(variance + EPSILON))


@inline
def standardize(a, mean, r, units):
    """a = (a - mean) r, and 0 after `units` units."""
    _standardized(a, mean, r)
    for u in range(max(0, units), a.size):
        a[u] = ZERO


@inline
def normalize(y, out, units):
    """out (H,) becomes y (H,) normalized over its first `units` numbers."""
    copy_row(out, y)
    mean, r = moments(y, units)
    standardize(out, mean, r, units)


@inline
def normalize_back(y, d, units):
    """d, the derivative of out, becomes that of y."""
    mean, r = moments(y, units)
    mean_d = np.float32(_sum(d) / units)
    slope = np.float32(_alike(d, y, mean) * np.float64(r) * np.float64(r) / units)
    _through(d, y, mean, r, mean_d, slope)
    for u in range(units, d.size):
        d[u] = ZERO
