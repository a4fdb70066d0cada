"""The matrix product, over a right factor that is packed once an update into panels and then read many times.

A packed (K, N) matrix, N a multiple of LANES, is a run of panels, each (K, width) and contiguous: panels of NR columns
while they fit, then panels of LANES columns. It holds K * N floats.
"""

from __future__ import annotations

from numba import float32, int64, intp, void

from charrnn.kernels.compiling import kernel
from charrnn.kernels.pointwise import copy_row
from charrnn.kernels.simd import LANES, MR, NR, NV, VL, address, tile_kernel

MATRIX = float32[:, ::1]
VECTOR = float32[::1]
PRODUCT = void(intp, int64, int64, int64, VECTOR, intp, int64, int64, int64, int64, int64, int64, int64)

wide1, wide2, wide3, wide4, wide5, wide6 = (tile_kernel(rows, NV) for rows in range(1, 7))
slim1, slim2, slim3, slim4, slim5, slim6 = (tile_kernel(rows, LANES // VL) for rows in range(1, 7))


@kernel(void(intp, int64, int64, intp, intp, int64, int64, int64, int64))
def wide_panel(a, a_row, a_col, b, c, c_row, rows, depth, accumulate):
    """C[rows, NR] (+)= A[rows, depth] @ B[depth, NR], in tiles of nearly equal height."""
    tiles = (rows + MR - 1) // MR
    for tile in range(tiles):
        m = tile * rows // tiles
        height = (tile + 1) * rows // tiles - m
        x, y = a + 4 * m * a_row, c + 4 * m * c_row
        if height == 6:
            wide6(x, a_row, a_col, b, y, c_row, depth, accumulate)
        elif height == 5:
            wide5(x, a_row, a_col, b, y, c_row, depth, accumulate)
        elif height == 4:
            wide4(x, a_row, a_col, b, y, c_row, depth, accumulate)
        elif height == 3:
            wide3(x, a_row, a_col, b, y, c_row, depth, accumulate)
        elif height == 2:
            wide2(x, a_row, a_col, b, y, c_row, depth, accumulate)
        else:
            wide1(x, a_row, a_col, b, y, c_row, depth, accumulate)


@kernel(void(intp, int64, int64, intp, intp, int64, int64, int64, int64))
def slim_panel(a, a_row, a_col, b, c, c_row, rows, depth, accumulate):
    """As wide_panel, for a panel of LANES columns; written out again because Numba does not cache closures reliably."""
    tiles = (rows + MR - 1) // MR
    for tile in range(tiles):
        m = tile * rows // tiles
        height = (tile + 1) * rows // tiles - m
        x, y = a + 4 * m * a_row, c + 4 * m * c_row
        if height == 6:
            slim6(x, a_row, a_col, b, y, c_row, depth, accumulate)
        elif height == 5:
            slim5(x, a_row, a_col, b, y, c_row, depth, accumulate)
        elif height == 4:
            slim4(x, a_row, a_col, b, y, c_row, depth, accumulate)
        elif height == 3:
            slim3(x, a_row, a_col, b, y, c_row, depth, accumulate)
        elif height == 2:
            slim2(x, a_row, a_col, b, y, c_row, depth, accumulate)
        else:
            slim1(x, a_row, a_col, b, y, c_row, depth, accumulate)


@kernel(PRODUCT)
def product(a, a_row, a_col, a_step, panels, c, c_row, c_step, steps, rows, depth, columns, accumulate):
    """For s in range(steps): C_s (rows, columns) (+)= A_s (rows, depth) @ the matrix packed in `panels`.

    a and c are addresses; A_s(m, k) lies s * a_step + m * a_row + k * a_col floats on, C_s(m, n) s * c_step + m * c_row
    + n. One panel serves all steps before the next is read.
    """
    n = 0
    while n < columns:
        b = address(panels, n * depth)
        if columns - n >= NR:
            for s in range(steps):
                wide_panel(
                    a + 4 * s * a_step, a_row, a_col, b, c + 4 * (s * c_step + n), c_row, rows, depth, accumulate
                )
            n += NR
        else:
            for s in range(steps):
                slim_panel(
                    a + 4 * s * a_step, a_row, a_col, b, c + 4 * (s * c_step + n), c_row, rows, depth, accumulate
                )
            n += LANES


@kernel(void(MATRIX, VECTOR, int64, int64, int64, int64))
def pack(matrix, panels, first, columns, start, stop):
    """Pack columns first:first+columns of a (K, N) matrix into panels; of those this call packs start:stop (multiples of NR)."""
    K = matrix.shape[0]
    n = start
    while n < stop:
        width = NR if columns - n >= NR else LANES
        for k in range(K):
            to = n * K + k * width
            copy_row(panels[to : to + width], matrix[k, first + n : first + n + width])
        n += width


@kernel(void(MATRIX, VECTOR, int64, int64, int64, int64))
def pack_transposed(matrix, panels, first, depth, start, stop):
    """Pack the transpose, (depth, N), of columns first:first+depth of an (N, K) matrix; this call its columns start:stop."""
    N = matrix.shape[0]
    n = start
    while n < stop:
        width = NR if N - n >= NR else LANES
        for block in range(0, depth, 64):
            for j in range(width):
                for k in range(block, min(block + 64, depth)):
                    panels[n * depth + k * width + j] = matrix[n + j, first + k]
        n += width
