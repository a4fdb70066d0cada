"""The parts of SOAP that are no matrix products: Adam's step in a rotated space, and the rotation.

The products themselves are in `optim.rotation`.
"""

import numpy as np
from numba import float32, void

from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import double
from charrnn.compiler.rows import SUM_OF_DOUBLES, add_product_row, copy_row, multiply_row, rows
from charrnn.kernels import adam as adam  # which makes the other weights' steps
from charrnn.kernels.product import MATRIX, VECTOR
from charrnn.kernels.update import rule_of

TINY = 1e-30
"""A row whose squares add up to less has no direction."""


@rows(fold=SUM_OF_DOUBLES)
def _product_of(a, b):
    """The scalar product of two rows."""
    return double(a) * double(b)


@kernel(rule_of(7, 2))
def rotated_adam(change, gradient, m, v, rule, clip_value, scale, start, stop):
    """change = what `adam` would add to a weight, on elements start:stop; `change` may be the
    gradient. clip_value and scale are not used.
    """
    beta1, a, beta2, b, epsilon, rate, correction = rule
    change, gradient = change[start:stop], gradient[start:stop]
    m, v = m[start:stop], v[start:stop]
    for k in range(change.size):
        g = gradient[k]
        m[k] = beta1 * m[k] + a * g
        v[k] = beta2 * v[k] + b * g * g
        change[k] = -rate * m[k] / (np.sqrt(v[k]) * correction + epsilon)


@kernel(void(VECTOR, float32))
def decay(a, factor):
    """a *= factor."""
    multiply_row(a, factor)


@kernel(void(MATRIX, MATRIX))
def orthonormalize(a, basis):
    """Replace the rows of a basis (K, K) by those of a (K, K), made orthonormal one after the other
    by the modified Gram-Schmidt process; a is overwritten.

    A row without a direction, such as that of a padded unit, leaves the row of the basis as it is.
    """
    K = a.shape[0]
    for i in range(K):
        square = _product_of(a[i], a[i])
        if square < TINY:
            continue
        multiply_row(a[i], np.float32(1 / np.sqrt(square)))
        for j in range(i + 1, K):
            add_product_row(a[j], a[i], np.float32(-_product_of(a[j], a[i])))
        copy_row(basis[i], a[i])
