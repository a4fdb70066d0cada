"""The code around the time loop: inputs, layer to layer, dropout, and the gradients of the
weights.
"""

import numpy as np
from numba import boolean, float32, int32, int64, intp, uint32, void

from charrnn.compiler.calling import caller
from charrnn.compiler.compiling import inline, kernel, spliced
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import add_product_row, add_row, copy_row, fill_row, multiply_row
from charrnn.compiler.simd import LANES, MR, NR, address
from charrnn.kernels.normalization import normalize, normalize_back
from charrnn.kernels.product import (
    GROUP,
    MATRIX,
    PACKED,
    TILE,
    VECTOR,
    pack_panels,
    pack_tiles,
    tiles_size,
)
from charrnn.kernels.recurrent import CUBE, call_product, step_of

DEPTH = 256
"""Rows of dz packed at a time for a weight gradient."""
COLUMNS = 64
"""Weight gradients are divided among threads by multiples of this many columns."""


@kernel(void(intp, VECTOR, int64, int64, boolean, CUBE, CUBE, int64, int64, int64, int64))
def multiply(product, panels, depth, columns, adds, x, z, first, last, start, stop):
    """z[t, n, :columns] = x[t, n, :depth] W, or += if it `adds`.

    For steps first:last and streams start:stop.

    product: the address of `product`
    panels: W (depth, columns), packed; in the backward pass, a transpose
    x (T, N, X): read
    z (T, N, Z): written, or added to
    """
    N, X, Z = z.shape[1], x.shape[2], z.shape[2]
    a, c = address(x, (first * N + start) * X), address(z, (first * N + start) * Z)
    begin = c if adds else 0
    size = last - first, stop - start, depth, columns
    call_product(product, (a, X, N * X, panels, begin, Z, N * Z, c, Z, N * Z, *size))


@inline
def _mixed(x):
    """The final avalanche of MurmurHash3 (Appleby 2011). Each step says uint32: Numba would widen
    the products to 64 bits.
    """
    x = np.uint32(np.uint32(x ^ np.uint32(x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    x = np.uint32(np.uint32(x ^ np.uint32(x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ np.uint32(x >> np.uint32(16)))


@kernel(void(uint32, uint32, float32, CUBE, int64, int64, int64))
def draw_mask(key, threshold, scale, mask, steps, start, stop):
    """mask[t, n, u] = scale where a hash of (key, t, n, u) is at least threshold (of 2^32), else 0.

    The draw depends only on its position, so any thread may draw any part, and a resumed run draws
    the same.
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


@kernel(void(CUBE, CUBE, CUBE, CUBE, int64, int64, int64, int64))
def hand_up(y, mask, below, out, units, steps, start, stop):
    """out[t] = y[t] * mask[t] + below[t] for streams start:stop.

    y (T, N, H): a layer's outputs; normalized first over `units` units, if that is not 0
    mask (T or 1, N, H): of each step, or one for all; empty for none
    below (T, N, H): the layer's input; empty if it is not added
    out (T, N, H): written
    """
    masked, added = mask.shape[0] > 0, below.shape[0] > 0
    for t in range(steps):
        for n in range(start, stop):
            row = out[t, n]
            if units > 0:
                normalize(y[t, n], row, units)
            else:
                copy_row(row, y[t, n])
            if masked:
                multiply_row(row, mask[step_of(mask, t), n])
            if added:
                add_row(row, below[t, n])


@kernel(void(CUBE, CUBE, CUBE, CUBE, int64, int64, int64, int64))
def hand_back(y, mask, kept, dy, units, steps, start, stop):
    """Backward pass of `hand_up` for streams start:stop: dy, the derivative of out, becomes that of
    y.

    y, mask, units: as there
    kept (T, N, H): becomes the derivative of the layer's input, unless it is empty
    dy (T, N, H): changed
    """
    for t in range(steps):
        for n in range(start, stop):
            row = dy[t, n]
            if kept.shape[0] > 0:
                copy_row(kept[t, n], row)
            if mask.shape[0] > 0:
                multiply_row(row, mask[step_of(mask, t), n])
            if units > 0:
                normalize_back(y[t, n], row, units)


@kernel(void(CUBE, CUBE, int64, int64, int64))
def add_rows(a, b, steps, start, stop):
    """a += b for streams start:stop."""
    for t in range(steps):
        for n in range(start, stop):
            add_row(a[t, n], b[t, n])


def scratch_size(*rows: int) -> int:
    """Floats of scratch that `weight_gradients` needs for these numbers of columns of x and h."""
    return DEPTH * GROUP + sum(tiles_size(size, DEPTH) for size in rows)


call_packed = caller(PACKED)
GRADIENTS = void(
    intp, MATRIX, MATRIX, MATRIX, MATRIX, MATRIX, VECTOR, int64, int64, VECTOR, int64, int64
)


@spliced
def gradients(
    pack_tiles,
    pack_panels,
    size,
    product,
    x,
    h,
    dz,
    dw_x,
    dw_h,
    db,
    x_column,
    h_column,
    scratch,
    start,
    stop,
):
    """As `weight_gradients`, by these `packers` for words of `size` rows."""
    K, D, H = dz.shape[0], x.shape[1], h.shape[1]
    panels, x_tiles = address(scratch, 0), scratch[DEPTH * GROUP :]
    h_tiles = x_tiles[DEPTH * TILE * ((D + MR // 2 - 1) // (MR // 2)) :]
    fill_row(db[start:stop], ZERO)
    for k in range(0, K, size * DEPTH):
        last, later = min(k + size * DEPTH, K), 1 if k > 0 else 0
        depth = (last - k + size - 1) // size
        pack_tiles(x, k, last, x_tiles)
        pack_tiles(h, k, last, h_tiles)
        for group in range(start, stop, GROUP):
            end = min(group + GROUP, stop)
            pack_panels(dz, k, last, group, end - group, panels)
            for j in range(k, last):
                add_row(db[group:end], dz[j, group:end])
            n = group
            while n < end:
                width, panel = NR if end - n >= NR else LANES, panels + 4 * (n - group) * depth
                c = address(dw_x, n - x_column)
                call_packed(
                    product,
                    (address(x_tiles, 0), panel, width, c, dw_x.shape[1], D, depth, later),
                )
                c = address(dw_h, n - h_column)
                call_packed(
                    product,
                    (address(h_tiles, 0), panel, width, c, dw_h.shape[1], H, depth, later),
                )
                n += width


@kernel(GRADIENTS)
def weight_gradients(product, x, h, dz, dw_x, dw_h, db, x_column, h_column, scratch, start, stop):
    """dW_x = x^T dz, dW_h = h^T dz, db = the column sums of dz.

    For columns start:stop of dz, multiples of LANES. Each sum runs over k in order, so the bits do
    not depend on the thread.

    product: the address of `product_packed`
    x (K, D), h (K, H), dz (K, Z): read, K = T N rows of all streams; D or H may be 0
    dw_x (D, _), dw_h (H, _), db (Z,): written
    x_column, h_column: column n of dz belongs to n - x_column of dW_x and n - h_column of dW_h
    scratch (`scratch_size(D, H)`,): panels of dz for both products, tiles of x and h
    """
    gradients(
        pack_tiles,
        pack_panels,
        1,
        product,
        x,
        h,
        dz,
        dw_x,
        dw_h,
        db,
        x_column,
        h_column,
        scratch,
        start,
        stop,
    )


@kernel(void(int32[::1], VECTOR, MATRIX, MATRIX, int64, int64))
def table_gradient(ids, factor, dz, d_table, start, stop):
    """d_table[v] = the sum of factor[k] dz[k] over all k with ids[k] = v: back through `look_up`.

    For columns start:stop.
    """
    for v in range(d_table.shape[0]):
        fill_row(d_table[v, start:stop], ZERO)
    for k in range(ids.size):
        add_product_row(d_table[ids[k], start:stop], dz[k, start:stop], factor[k])


@kernel(void(MATRIX, MATRIX, VECTOR, int64, int64, int64))
def peephole_gradient(dz, memory, d, column, start, stop):
    """d[u] = the sum over k of dz[k, column + u] * memory[k, u], u in start:stop.

    dz (K, Z), memory (K, H): read
    d (H,): written
    """
    fill_row(d[start:stop], ZERO)
    for k in range(dz.shape[0]):
        add_product_row(d[start:stop], dz[k, column + start : column + stop], memory[k, start:stop])
