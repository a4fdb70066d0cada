"""Products of factors rounded to bfloat16 by AMX (see `compiler.amx`): the counterparts of
`product` and `layers` for panels of LANES columns.

A packed (K, N) matrix, K even, is a run of panels, each (K / 2, LANES) words.
"""

from charrnn.compiler.amx import (
    TILE_BYTES,
    block_kernel,
    configure,
    release,
    transpose_words,
    zero_lanes,
)
from charrnn.compiler.bfloat16 import pair_lanes, round_lanes, stack_words
from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import add_row, fill_row
from charrnn.compiler.simd import LANES, address, copy_lanes, prefetch
from charrnn.kernels.layers import GRADIENTS
from charrnn.kernels.product import GROUP, PACK, PRODUCT

BLOCK = 1 << 16
"""Words of A that are rounded at a time, on the stack: a quarter of a megabyte."""
TILE, HALF = 16, 8
"""Rows of a tile, which are words of B; words of the rest of a depth that is no multiple of 32."""
BAND = 32
"""Rows of dz that are packed, and then added, at a time."""

block = block_kernel(64)
packed_block = block_kernel(TILE_BYTES)


@inline
def _pitch(words):
    """Words from one rounded row to the next, in whole tiles; rows whole kilobytes apart would
    evict one another from the cache.
    """
    whole = (words + TILE - 1) // TILE * TILE
    return whole + TILE if whole % 256 == 0 else whole


@inline
def _place(index, full, height, step, row):
    """Where tile `index` of C or A begins, in bytes; each step has `full` tiles of `height`
    rows.
    """
    return 4 * (index // full * step + index % full * height * row)


@inline
def _multiply(
    memory, pitch, a_step, panels, panel, s, s_row, s_step, c, c_row, c_step, count, full, height,
    depth, columns
):  # fmt: skip
    """C = S + A B for `full` tiles of `height` rows of each of `count` steps; panels are `panel`
    bytes apart.
    """
    tiles = count * full
    across = 2 if tiles > 1 else 4
    for n in range(0, columns, LANES * across):
        wide = min(across, (columns - n) // LANES)
        b = panels + n // LANES * panel
        index = 0
        while index < tiles:
            down = 2 if index + 1 < tiles and wide <= 2 else 1
            later = index + down - 1
            a = _place(index, full, height, a_step, pitch)
            x = _place(index, full, height, s_step, s_row)
            z = _place(index, full, height, c_step, c_row)
            block(
                down + 8 * wide, memory + a, 4 * pitch,
                _place(later, full, height, a_step, pitch) - a, b, panel,
                s + x + 4 * n if s != 0 else 0, 4 * s_row,
                _place(later, full, height, s_step, s_row) - x, c + z + 4 * n, 4 * c_row,
                _place(later, full, height, c_step, c_row) - z, depth,
            )  # fmt: skip
            index += down


@inline
def _multiply_rows(
    tiles, memory, pitch, a_step, panels, s, s_row, s_step, c, c_row, c_step, count, full, height,
    words, columns
):  # fmt: skip
    """`_multiply` for the depth in whole tiles, and then for what is left of it."""
    whole, panel = words // TILE, 4 * LANES * words
    configure(tiles, height, TILE)
    _multiply(memory, pitch, a_step, panels, panel, s, s_row, s_step, c, c_row, c_step, count, full,
              height, whole, columns)  # fmt: skip
    if words > TILE * whole:
        configure(tiles, height, words - TILE * whole)
        _multiply(memory + 64 * whole, pitch, a_step, panels + TILE_BYTES * whole, panel, c, c_row,
                  c_step, c, c_row, c_step, count, full, height, 1, columns)  # fmt: skip


@kernel(PRODUCT)
def amx_product(
    a, a_row, a_step, panels, s, s_row, s_step, c, c_row, c_step, steps, rows, depth, columns
):
    """As `product`, of A rounded and what `pack_amx` has packed; depth is a multiple of LANES."""
    words = depth // 2
    pitch = _pitch(words)
    most = max(1, BLOCK // pitch // TILE) * TILE
    band = min(rows, most)
    span = min(steps, max(1, BLOCK // (pitch * max(1, band))))
    memory, tiles = stack_words(pitch * band * span), stack_words(TILE)
    to = address(panels, 0)
    for top in range(0, rows, max(1, band)):
        height = min(band, rows - top)
        for t in range(0, steps, max(1, span)):
            count = min(span, steps - t)
            for i in range(count):
                x = a + 4 * ((t + i) * a_step + top * a_row)
                for m in range(height):
                    for k in range(0, depth, LANES):
                        round_lanes(
                            memory + 4 * (i * band + m) * pitch + 2 * k, x + 4 * (m * a_row + k)
                        )
            start = s + 4 * (t * s_step + top * s_row) if s != 0 else 0
            end = c + 4 * (t * c_step + top * c_row)
            full = height // TILE
            if full > 0:
                _multiply_rows(tiles, memory, pitch, band * pitch, to, start, s_row, s_step, end,
                               c_row, c_step, count, full, TILE, words, columns)  # fmt: skip
            left = height - full * TILE
            if left > 0:
                done = full * TILE
                later = start + 4 * done * s_row if s != 0 else 0
                _multiply_rows(tiles, memory + 4 * done * pitch, pitch, band * pitch, to, later,
                               s_row, s_step, end + 4 * done * c_row, c_row, c_step, count, 1, left,
                               words, columns)  # fmt: skip
    release()


@inline
def _pack_rows(matrix, start, stop, column, columns, words, to):
    """Pack columns column:column+columns of rows start:stop into panels of `words` words, the last
    ones perhaps zeros, at an address.
    """
    N = matrix.shape[1]
    for j in range((stop - start + 1) // 2):
        row = start + 2 * j
        source, above = address(matrix, row * N + column), 4 * N if row + 1 < stop else 0
        for n in range(0, columns, LANES):
            prefetch(source + 4 * (16 * N + n))
            pair_lanes(to + 4 * (n * words + j * LANES), source + 4 * n, above)


@kernel(PACK)
def pack_amx(matrix, panels, first, columns, start, stop):
    """As `pack`, rounded: a word is of rows 2k and 2k + 1 of the matrix, of which there are an even
    number.
    """
    K = matrix.shape[0]
    for n in range(start, stop, GROUP):
        count = min(GROUP, stop - n)
        _pack_rows(matrix, 0, K, first + n, count, K // 2, address(panels, n * (K // 2)))


@kernel(PACK)
def pack_amx_transposed(matrix, panels, first, depth, start, stop):
    """As `pack_transposed`, rounded: a word is of columns 2k and 2k + 1 of the matrix; depth is a
    multiple of LANES.
    """
    K, words = matrix.shape[1], depth // 2
    pitch = (words + TILE - 1) // TILE * TILE + TILE
    rounded, last = stack_words(TILE * pitch), stack_words(TILE * TILE)
    for n in range(start, stop, LANES):
        to = address(panels, n * words)
        for m in range(LANES):
            source = address(matrix, (n + m) * K + first)
            for k in range(0, depth, LANES):
                round_lanes(rounded + 4 * m * pitch + 2 * k, source + 4 * k)
        for k in range(0, words - HALF, TILE):
            transpose_words(to + 4 * k * LANES, rounded + 4 * k, pitch)
        if words % TILE > 0:
            k = words - words % TILE
            transpose_words(last, rounded + 4 * k, pitch)
            for row in range(words % TILE):
                copy_lanes(to + 4 * (k + row) * LANES, last + 4 * row * LANES, 0)


@inline
def _pack_tiles(matrix, start, stop, depth, words, to):
    """Pack rows start:stop of a (K, D) matrix as the left factor of the transpose: tile (i, k),
    LANES columns and the next 32 rows, is the (i depth + k)-th. words: scratch of one tile.
    """
    D = matrix.shape[1]
    for k in range((stop - start + 2 * TILE - 1) // (2 * TILE)):
        for m in range(0, D, LANES):
            for j in range(TILE):
                row = start + 2 * (k * TILE + j)
                if row < stop:
                    above = 4 * D if row + 1 < stop else 0
                    pair_lanes(words + 64 * j, address(matrix, row * D + m), above)
                else:
                    zero_lanes(words + 64 * j)
            transpose_words(to + TILE_BYTES * (m // LANES * depth + k), words, TILE)


@inline
def _multiply_tiles(tiles, panels, depth, dw, rows, column, columns, adds):
    """Columns of dW (+)= packed tiles @ packed panels."""
    row = 4 * dw.shape[1]
    for n in range(0, columns, 2 * LANES):
        wide = min(2, (columns - n) // LANES)
        for m in range(0, rows, 2 * TILE):
            down = min(2, (rows - m) // TILE)
            c = address(dw, m * dw.shape[1] + column + n)
            packed_block(
                down + 8 * wide, tiles + 4 * m * depth * TILE, 64, TILE_BYTES * depth,
                panels + 4 * n * depth * TILE, TILE_BYTES * depth, c if adds else 0, row,
                TILE * row, c, row, TILE * row, depth,
            )  # fmt: skip


@kernel(GRADIENTS)
def amx_weight_gradients(
    product, x, h, dz, dw_x, dw_h, db, x_column, h_column, scratch, start, stop
):
    """As `layers.weight_gradients`, of x, h and dz rounded; db is the sum of dz as it is. The same
    scratch is enough. product is not called.
    """
    K, D, H = dz.shape[0], x.shape[1], h.shape[1]
    words, tiles = stack_words(TILE * LANES), stack_words(TILE)
    most = scratch.size // (TILE * (GROUP + D + H))
    panels = address(scratch, 0)
    x_tiles = panels + 4 * most * TILE * GROUP
    h_tiles = x_tiles + 4 * most * TILE * D
    fill_row(db[start:stop], ZERO)
    for k in range(0, K, 2 * TILE * most):
        last = min(k + 2 * TILE * most, K)
        depth = (last - k + 2 * TILE - 1) // (2 * TILE)
        _pack_tiles(x, k, last, depth, words, x_tiles)
        _pack_tiles(h, k, last, depth, words, h_tiles)
        configure(tiles, TILE, TILE)
        for group in range(start, stop, GROUP):
            end = min(group + GROUP, stop)
            for part in range(k, last, BAND):
                after = min(part + BAND, last)
                to = panels + 2 * LANES * (part - k)
                _pack_rows(dz, part, after, group, end - group, depth * TILE, to)
                for j in range(part, after):
                    add_row(db[group:end], dz[j, group:end])
            for j in range((last - k + 1) // 2, depth * TILE):
                for n in range(0, end - group, LANES):
                    zero_lanes(panels + 4 * (n * depth * TILE + j * LANES))
            _multiply_tiles(x_tiles, panels, depth, dw_x, D, group - x_column, end - group, k > 0)
            _multiply_tiles(h_tiles, panels, depth, dw_h, H, group - h_column, end - group, k > 0)
    release()
