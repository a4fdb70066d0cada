"""What surrounds the time loop: characters in, layer to layer, dropout, and the gradients of the weights."""

from __future__ import annotations

import numpy as np
from numba import float32, int32, int64, types, uint32, void

from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import (
    ZERO,
    add_product_row,
    add_row,
    add_scaled_row,
    copy_row,
    fill_row,
    multiply_row,
)
from charrnn.kernels.product import MATRIX, PRODUCT, VECTOR
from charrnn.kernels.recurrent import CUBE, PLANE
from charrnn.kernels.simd import LANES, NR, address

IDS = int32[:, ::1]
DEPTH = 128
"""Rows of dz packed at a time for a weight gradient."""
PITCH = DEPTH + LANES
"""Floats between two rows of a transposed block: not a power of two, so that they do not evict one another."""
COLUMNS = 64
"""Columns of a weight gradient that one job computes."""


@kernel(void(MATRIX, VECTOR, IDS, PLANE, CUBE, int64, int64, int64))
def look_up(table, bias, ids, factor, z, steps, start, stop):
    """z[t, n] = factor[t, n] * table[ids[t, n]] + bias for streams start:stop: the product with a one-hot input.

    table (V, X), bias (Z,), factor (T, N) 1 but for dropped inputs. Columns of z from X on hold the bias alone.
    """
    X = table.shape[1]
    for t in range(steps):
        for n in range(start, stop):
            row = z[t, n]
            copy_row(row, bias)
            add_scaled_row(row[:X], factor[t, n], table[ids[t, n]])


@kernel(void(types.FunctionType(PRODUCT), CUBE, VECTOR, VECTOR, CUBE, int64, int64, int64, int64))
def project(product, x, panels, bias, z, columns, steps, start, stop):
    """z[t, n] = bias, plus x[t, n] W in the first columns, for streams start:stop; panels are W (D, columns) packed."""
    N, D, Z = z.shape[1], x.shape[2], z.shape[2]
    for t in range(steps):
        for n in range(start, stop):
            copy_row(z[t, n], bias)
    a, b = address(x, start * D), address(z, start * Z)
    product(a, D, 1, N * D, panels, b, Z, N * Z, steps, stop - start, D, columns, 1)


@kernel(void(types.FunctionType(PRODUCT), CUBE, VECTOR, CUBE, int64, int64, int64, int64))
def project_back(product, dz, panels, dx, columns, steps, start, stop):
    """dx[t, n] = dz[t, n, :columns] W^T for streams start:stop; panels are the transpose of W packed."""
    N, Z, D = dz.shape[1], dz.shape[2], dx.shape[2]
    a, b = address(dz, start * Z), address(dx, start * D)
    product(a, Z, 1, N * Z, panels, b, D, N * D, steps, stop - start, columns, D, 0)


@inline
def _mixed(x):
    """The final avalanche of MurmurHash3 (Appleby 2011). Each step says uint32: Numba would widen the products to 64 bits."""
    x = np.uint32(np.uint32(x ^ np.uint32(x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    x = np.uint32(np.uint32(x ^ np.uint32(x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ np.uint32(x >> np.uint32(16)))


@kernel(void(uint32, uint32, float32, CUBE, int64, int64, int64))
def draw_mask(key, threshold, scale, mask, steps, start, stop):
    """mask[t, n, u] = scale where a hash of (key, t, n, u) is at least threshold (of 2^32), else 0.

    The draw depends on its place alone, so any thread may make any part, and a resumed run draws the same.
    """
    N, H = mask.shape[1], mask.shape[2]
    for t in range(steps):
        for n in range(start, stop):
            row = mask[t, n]
            first = np.uint32((t * N + n) * H)
            for u in range(row.size):
                place = np.uint32(first + np.uint32(u))
                x = _mixed(np.uint32(np.uint32(place * np.uint32(0x9E3779B1)) + key))
                x = _mixed(np.uint32(x + key))
                row[u] = scale if x >= threshold else ZERO


@kernel(void(CUBE, CUBE, CUBE, CUBE, int64, int64, int64))
def hand_up(y, mask, below, out, steps, start, stop):
    """out[t] = y[t] * mask[t] + below[t] for streams start:stop.

    mask (T, N, H), or (1, N, H) for all steps, or empty for none; below (T, N, H), what came into the layer, or empty.
    """
    masked, added = mask.shape[0] > 0, below.shape[0] > 0
    for t in range(steps):
        for n in range(start, stop):
            row = out[t, n]
            copy_row(row, y[t, n])
            if masked:
                multiply_row(row, mask[min(t, mask.shape[0] - 1), n])
            if added:
                add_row(row, below[t, n])


@kernel(void(CUBE, CUBE, int64, int64, int64))
def drop_back(dy, mask, steps, start, stop):
    """dy *= mask for streams start:stop; mask as for `hand_up`."""
    for t in range(steps):
        for n in range(start, stop):
            multiply_row(dy[t, n], mask[min(t, mask.shape[0] - 1), n])


@kernel(void(CUBE, CUBE, int64, int64, int64))
def add_rows(a, b, steps, start, stop):
    """a += b for streams start:stop."""
    for t in range(steps):
        for n in range(start, stop):
            add_row(a[t, n], b[t, n])


@kernel(void(CUBE, CUBE, int64, int64, int64))
def copy_rows(a, b, steps, start, stop):
    """a = b for streams start:stop."""
    for t in range(steps):
        for n in range(start, stop):
            copy_row(a[t, n], b[t, n])


@inline
def _transpose(x, start, depth, out):
    """out (D, PITCH), flat, = the transpose of rows start:start + depth of x (K, D): lines are written whole, read piecewise."""
    D = x.shape[1]
    whole = depth // LANES * LANES
    for block in range(0, whole, LANES):
        for u in range(D):
            to = u * PITCH + block
            for j in range(LANES):
                out[to + j] = x[start + block + j, u]
    for j in range(whole, depth):
        for u in range(D):
            out[u * PITCH + j] = x[start + j, u]


def scratch_size(rows: int) -> int:
    """Floats that `weight_gradients` needs for x and h of so many columns together."""
    return DEPTH * COLUMNS + PITCH * rows


@kernel(
    void(
        types.FunctionType(PRODUCT), MATRIX, MATRIX, MATRIX, MATRIX, MATRIX, VECTOR, VECTOR, int64, int64, int64, int64,
    )
)  # fmt: skip
def weight_gradients(product, x, h, dz, dw_x, dw_h, db, scratch, x_column, h_column, start, stop):
    """dW_x = x^T dz, dW_h = h^T dz, db = the column sums of dz, for columns start:stop of dz (multiples of LANES).

    x (K, D), h (K, H), dz (K, Z), K = T N rows of all streams; D or H may be 0. Column n of dz belongs to column n - x_column of
    dW_x and n - h_column of dW_h. Each sum runs over k in order, so the bits do not depend on who computes it. scratch
    (`scratch_size(D + H)`): dz packed once for both products, x and h transposed: read as they lie, a column's numbers are a power
    of two apart and evict one another from the cache.
    """
    K, D, H = dz.shape[0], x.shape[1], h.shape[1]
    x_block, h_block = scratch[DEPTH * COLUMNS :], scratch[DEPTH * COLUMNS + PITCH * D :]
    fill_row(db[start:stop], ZERO)
    for k in range(0, K, DEPTH):
        depth, later = min(DEPTH, K - k), 1 if k > 0 else 0
        _transpose(x, k, depth, x_block)
        _transpose(h, k, depth, h_block)
        for n in range(start, stop, COLUMNS):
            columns = min(COLUMNS, stop - n)
            m = 0
            while m < columns:
                width = NR if columns - m >= NR else LANES
                for j in range(depth):
                    to = m * depth + j * width
                    row = dz[k + j, n + m : n + m + width]
                    copy_row(scratch[to : to + width], row)
                    add_row(db[n + m : n + m + width], row)
                m += width
            if D > 0:
                to = address(dw_x, n - x_column)
                product(address(x_block, 0), PITCH, 1, 0, scratch, to, dw_x.shape[1], 0, 1, D, depth, columns, later)
            if H > 0:
                to = address(dw_h, n - h_column)
                product(address(h_block, 0), PITCH, 1, 0, scratch, to, dw_h.shape[1], 0, 1, H, depth, columns, later)


@kernel(void(int32[::1], VECTOR, MATRIX, MATRIX, int64, int64))
def table_gradient(ids, factor, dz, d_table, start, stop):
    """d_table[v] = the sum of factor[k] dz[k] over all k with ids[k] = v, columns start:stop: the gradient of `look_up`."""
    for v in range(d_table.shape[0]):
        fill_row(d_table[v, start:stop], ZERO)
    for k in range(ids.size):
        add_scaled_row(d_table[ids[k], start:stop], factor[k], dz[k, start:stop])


@kernel(void(MATRIX, MATRIX, VECTOR, int64, int64, int64))
def peephole_gradient(dz, memory, d, column, start, stop):
    """d[u] = the sum over k of dz[k, column + u] * memory[k, u], u in start:stop. dz (K, Z), memory (K, H)."""
    fill_row(d[start:stop], ZERO)
    for k in range(dz.shape[0]):
        add_product_row(d[start:stop], dz[k, column + start : column + stop], memory[k, start:stop])
