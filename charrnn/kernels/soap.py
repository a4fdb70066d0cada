"""SOAP's step of one weight, and the rotation of its basis; see `optim.rotation`."""

import numpy as np
from numba import float32, int64, intp, types, void

from charrnn.compiler.calling import caller
from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.rows import SUM, add_product_row, copy_row, multiply_row, rows
from charrnn.compiler.simd import address
from charrnn.kernels import adam as adam  # which makes the other weights' steps
from charrnn.kernels.product import GROUP, MATRIX, PACK, VECTOR
from charrnn.kernels.recurrent import call_product

TINY = 1e-30
"""A row whose squares add up to less has no direction."""
LITTLE, NOTHING = 1e-3, 1e-11
"""What is left of a row's squares that is little, or nothing."""
call_pack = caller(PACK)


@rows(fold=SUM)
def _product_of(a, b):
    """The scalar product of two rows."""
    return a * b


@kernel(void(intp, intp, MATRIX, MATRIX, MATRIX, MATRIX, MATRIX, MATRIX, VECTOR, MATRIX,
             types.UniTuple(float32, 7), int64, int64))  # fmt: skip
def rotated_step(product, pack, basis, inverse, gradient, w, m, v, panels, rotated, rule, start,
                 stop):  # fmt: skip
    """w += inverse @ N for columns start:stop, multiples of GROUP but the last; N is what `adam`
    would add for the gradient basis @ gradient.

    product, pack: addresses of kernels of one arithmetic
    basis, inverse (K, K), gradient (K, Z): read
    w, m, v (K, Z): updated
    panels, rotated (K, GROUP): scratch
    """
    beta1, a, beta2, b, epsilon, rate, correction = rule
    K, Z = w.shape
    for n in range(start, stop, GROUP):
        count = min(GROUP, stop - n)
        to = address(rotated, 0)
        call_pack(pack, (gradient, panels, n, count, 0, count))
        call_product(
            product, (address(basis, 0), K, 0, panels, 0, 0, 0, to, GROUP, 0, 1, K, K, count)
        )
        for k in range(K):
            g, m_k, v_k = rotated[k, :count], m[k, n : n + count], v[k, n : n + count]
            for j in range(count):
                m_k[j] = beta1 * m_k[j] + a * g[j]
                v_k[j] = beta2 * v_k[j] + b * g[j] * g[j]
                g[j] = -rate * m_k[j] / (np.sqrt(v_k[j]) * correction + epsilon)
        call_pack(pack, (rotated, panels, 0, count, 0, count))
        c = address(w, n)
        call_product(product, (address(inverse, 0), K, 0, panels, c, Z, 0, c, Z, 0, 1, K, K, count))


@kernel(void(VECTOR, float32))
def decay(a, factor):
    """a *= factor."""
    multiply_row(a, factor)


@inline
def _clean(a, i):
    """Make row i of length 1 and orthogonal to the rows before it."""
    for _ in range(2):
        multiply_row(a[i], np.float32(1 / np.sqrt(max(_product_of(a[i], a[i]), np.float32(TINY)))))
        for j in range(i):
            add_product_row(a[i], a[j], np.float32(-_product_of(a[i], a[j])))


@kernel(void(MATRIX, MATRIX, VECTOR))
def orthonormalize(a, basis, squares):
    """Replace the rows of a basis (K, K) by those of a (K, K), made orthonormal one after the other
    by the modified Gram-Schmidt process; a and squares (K,) are overwritten.

    A row of which little is left is cleaned twice (Giraud et al. 2005): what is left may be the
    rounding errors of the others. If nothing is left, the row of the basis takes its place.
    """
    K = a.shape[0]
    for i in range(K):
        squares[i] = _product_of(a[i], a[i])
    for i in range(K):
        left = _product_of(a[i], a[i])
        if not left > LITTLE * squares[i] or squares[i] < TINY:
            if not left > NOTHING * squares[i] or squares[i] < TINY:
                copy_row(a[i], basis[i])
            _clean(a, i)
            left = _product_of(a[i], a[i])
        multiply_row(a[i], np.float32(1 / np.sqrt(max(left, np.float32(TINY)))))
        for j in range(i + 1, K):
            add_product_row(a[j], a[i], np.float32(-_product_of(a[j], a[i])))
        copy_row(basis[i], a[i])
