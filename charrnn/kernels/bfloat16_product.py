"""Products of factors rounded to bfloat16, with sums in float32: the counterparts of `product` and
`layers` for words (see `bfloat16`).

A packed (K, N) matrix, K even, is a run of panels as in `product`, each (K / 2, width) words. The
left factor is float32, and is rounded once per call, not once per panel.
"""

from charrnn.compiler.bfloat16 import copy_word, multiply_add, pair_lanes, round_lanes, stack_words
from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.simd import LANES, NR, address, tile_kernel
from charrnn.kernels.layers import GRADIENTS, gradients
from charrnn.kernels.product import (
    PACK,
    PACKED,
    PRODUCT,
    TILE,
    multiply_packed,
    multiply_panels,
    pack_columns,
    packed_shapes,
    packers,
    product_shapes,
)

BLOCK = 1 << 16
"""Words of A that are rounded at a time, on the stack: a quarter of a megabyte."""
BAND = 64
"""Rows of a transpose that are packed at a time."""

pair_tile = tile_kernel(product_shapes(), 0, multiply_add)
pack_tiles, pack_panels = packers(pair_lanes, 2)
packed_pair_tile = tile_kernel(packed_shapes(), TILE, multiply_add)


@inline
def _pitch(depth):
    """Words from one rounded row to the next; rows whole kilobytes apart would evict one another
    from the cache.
    """
    words = depth // 2
    return words + LANES if words % 256 == 0 else words


@inline
def _round_rows(to, to_row, source, source_row, rows, depth):
    """Round (rows, depth) floats at an address to words; rows are as far apart in both."""
    for m in range(rows):
        for k in range(0, depth, LANES):
            round_lanes(to + 4 * m * to_row + 2 * k, source + 4 * (m * source_row + k))


@kernel(PRODUCT)
def pair_product(
    a, a_row, a_step, panels, s, s_row, s_step, c, c_row, c_step, steps, rows, depth, columns
):
    """As `product`, of A rounded and what `pack_pairs` has packed; depth is a multiple of LANES."""
    pitch = _pitch(depth)
    band = min(rows, max(1, BLOCK // pitch))
    block = min(steps, max(1, BLOCK // (pitch * max(1, band))))
    memory = stack_words(pitch * band * block)
    for top in range(0, rows, max(1, band)):
        height = min(band, rows - top)
        for t in range(0, steps, max(1, block)):
            count = min(block, steps - t)
            for i in range(count):
                x = a + 4 * ((t + i) * a_step + top * a_row)
                _round_rows(memory + 4 * i * band * pitch, pitch, x, a_row, height, depth)
            start = s + 4 * (t * s_step + top * s_row) if s != 0 else s
            to = c + 4 * (t * c_step + top * c_row)
            multiply_panels(pair_tile, memory, pitch, band * pitch, panels, start, s_row, s_step,
                            to, c_row, c_step, count, height, depth // 2, columns)  # fmt: skip


@kernel(PACK)
def pack_pairs(matrix, panels, first, columns, start, stop):
    """As `pack`, rounded: a word of panels is of rows 2k and 2k + 1 of the matrix, of which there
    are an even number.
    """
    pack_columns(pack_panels, 2, matrix, panels, first, start, stop)


@kernel(PACK)
def pack_pairs_transposed(matrix, panels, first, depth, start, stop):
    """As `pack_transposed`, rounded: a word is of columns 2k and 2k + 1 of the matrix; depth is a
    multiple of LANES.
    """
    N, K = matrix.shape
    rounded, pitch, words = stack_words(NR * BAND // 2), BAND // 2, depth // 2
    n = start
    while n < stop:
        width = NR if N - n >= NR else LANES
        for block in range(0, depth, BAND):
            count = min(BAND, depth - block)
            _round_rows(rounded, pitch, address(matrix, n * K + first + block), K, width, count)
            to = address(panels, n * words + block // 2 * width)
            for k in range(count // 2):
                for j in range(width):
                    copy_word(to + 4 * (k * width + j), rounded + 4 * (j * pitch + k))
        n += width


@kernel(PACKED)
def pair_product_packed(tiles, panel, width, c, c_row, rows, depth, accumulate):
    """As `product_packed`, of words: depth is the number of pairs."""
    multiply_packed(packed_pair_tile, tiles, panel, width, c, c_row, rows, depth, accumulate)


@kernel(GRADIENTS)
def pair_weight_gradients(
    product, x, h, dz, dw_x, dw_h, db, x_column, h_column, scratch, start, stop
):
    """As `layers.weight_gradients`, of x, h and dz rounded: a word is of two rows, the last one
    perhaps with zeros; db is the sum of dz as it is. The same scratch is enough.

    product is `pair_product_packed`.
    """
    gradients(
        pack_tiles,
        pack_panels,
        2,
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
