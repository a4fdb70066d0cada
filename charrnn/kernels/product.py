"""The matrix product with a right factor that is packed into panels once per update and then read
many times.

A packed (K, N) matrix, N a multiple of LANES, is a sequence of panels, each (K, width) and
contiguous: panels of NR columns while they fit, then panels of LANES columns. It has K * N floats.
"""

from numba import float32, int64, intp, void

from charrnn.compiler.compiling import inline, kernel, spliced
from charrnn.compiler.simd import (
    LANES,
    MR,
    NR,
    NV,
    VL,
    address,
    copy_lanes,
    powers_below,
    prefetch,
    tile_kernel,
)

MATRIX = float32[:, ::1]
VECTOR = float32[::1]
PRODUCT = void(
    intp, int64, int64, VECTOR, intp, int64, int64, intp, int64, int64, int64, int64, int64, int64
)
PACKED = void(intp, intp, int64, intp, int64, int64, int64, int64)
PACK = void(MATRIX, VECTOR, int64, int64, int64, int64)
GROUP = 128
"""Columns that are packed at a time."""
TILE = 16
"""Floats of a row of a packed tile: its rows (MR at most) and what is left."""
BLOCK = 1 << 16
"""Floats of A and C that go through all panels before the next are read: they stay in the second
cache.
"""

FEW = powers_below(MR)[-1]
"""The tallest tile of a panel of LANES columns, and of few rows: such tiles have a power of two of
rows, to have fewer of them.
"""


@inline
def tile_heights(rows):
    """(tall, first): the first rows, `first` in number, go into tiles of `tall` rows, all others
    into tiles of one row less.

    Fewer rows than half a tile go into tiles of powers of two: then `first` is 0.
    """
    if rows >= MR // 2:
        tiles = (rows + MR - 1) // MR
        low = rows // tiles
        return low + 1, (rows - low * tiles) * (low + 1)
    return 0, 0


@inline
def next_height(rows, m, tall, first):
    """Rows of the tile that begins at row m."""
    if rows >= MR // 2:
        return tall if m < first else tall - 1
    return few_rows(rows - m)


@inline
def few_rows(left):
    """The greatest power of two up to FEW and to the number of rows that are left."""
    height = FEW
    while height > left:
        height //= 2
    return height


def product_shapes() -> set[tuple[int, int]]:
    """Rows and vectors of the tiles that `product` needs."""
    whole = {*range(MR // 2, MR + 1), *powers_below(MR)}
    return {(rows, NV) for rows in whole} | {
        (rows, LANES // VL) for rows in powers_below(MR) if NR > LANES
    }


def packed_shapes() -> set[tuple[int, int]]:
    """Those of packed tiles, which hold a multiple of LANES rows."""
    heights = set()
    for rows in range(LANES, MR * LANES + 1, LANES):
        tiles = -(-rows // MR)
        heights |= {rows // tiles, -(-rows // tiles)}
    return {(rows, vectors) for rows in heights for vectors in (NV, LANES // VL)}


tile = tile_kernel(product_shapes())
packed_tile = tile_kernel(packed_shapes(), TILE)


@inline
def _prefetch_rows(place, row, rows, width):
    """Prefetch the initial sums of the next tile: it cannot begin without them."""
    for m in range(rows):
        for line in range(0, 4 * width, 64):
            prefetch(place + 4 * m * row + line)


@spliced
def multiply_panels(
    tile, a, a_row, a_step, panels, s, s_row, s_step, c, c_row, c_step, steps, rows, depth, columns
):
    """As `product`, by this tile, with depth in numbers of 4 bytes of a packed row; one panel
    serves all steps before the next is read.
    """
    tall, tall_rows = tile_heights(rows)
    n = 0
    while n < columns:
        width = NR if columns - n >= NR else LANES
        b = address(panels, n * depth)
        for t in range(steps):
            m = 0
            while m < rows:
                height = (
                    next_height(rows, m, tall, tall_rows) if width == NR else few_rows(rows - m)
                )
                x = a + 4 * (t * a_step + m * a_row)
                y = s + 4 * (t * s_step + m * s_row + n) if s != 0 else s
                z = c + 4 * (t * c_step + m * c_row + n)
                if y != 0 and s_row != 0 and m + height < rows:
                    left = min(height, rows - m - height)
                    _prefetch_rows(y + 4 * height * s_row, s_row, left, width)
                tile(height + 64 * (width // VL), x, a_row, b, y, s_row, z, c_row, depth)
                m += height
        n += width


@kernel(PRODUCT)
def product(
    a, a_row, a_step, panels, s, s_row, s_step, c, c_row, c_step, steps, rows, depth, columns
):
    """For t in range(steps): C_t (rows, columns) = S_t + A_t (rows, depth) @ the matrix packed in
    `panels`.

    a, s and c are addresses; A_t(m, k) lies t * a_step + m * a_row + k floats on, S_t(m, n) t *
    s_step + m * s_row + n, C likewise. S may be C; s = 0 stands for zeros. One panel serves all
    steps of a block before the next is read.
    """
    block = max(1, BLOCK // max(1, rows * (depth + columns)))
    for t in range(0, steps, block):
        start = s + 4 * t * s_step if s != 0 else s
        multiply_panels(tile, a + 4 * t * a_step, a_row, a_step, panels, start, s_row, s_step,
                        c + 4 * t * c_step, c_row, c_step, min(block, steps - t), rows, depth,
                        columns)  # fmt: skip


@inline
def tile_place(tile_start, rows):
    """Where a packed tile begins in its TILE floats: the last one of few rows is at the end, so
    that nothing is read past a row.
    """
    return max(0, tile_start + TILE - rows)


def packers(put, size: int):
    """The functions `pack_tiles` and `pack_panels` for words of `size` rows.

    put(to, source, above) packs LANES words at an address, of floats at another and `above` bytes
    after it; 0 stands for a row of zeros.
    """

    @inline
    def pack_tiles(matrix, start, stop, tiles):
        """Pack rows start:stop of a (K, D) matrix, as the left factor of the transpose: tile after
        tile, each (words, TILE).
        """
        D, words = matrix.shape[1], (stop - start + size - 1) // size
        tall, tall_rows = tile_heights(D)
        for j in range(words):
            row = start + size * j
            m, to, source = 0, address(tiles, j * TILE), address(matrix, row * D)
            above = 4 * D if row + 1 < stop else 0
            while m < D:
                put(to, source + 4 * (m - tile_place(m, D)), above)
                m += next_height(D, m, tall, tall_rows)
                to += 4 * words * TILE

    @inline
    def pack_panels(matrix, start, stop, column, columns, to):
        """Pack columns column:column+columns of rows start:stop into panels at an address.

        Row by row: lines of a row that lie together are fetched together, and pages are seldom
        changed.
        """
        N, words, wide = matrix.shape[1], (stop - start + size - 1) // size, columns // NR * NR
        for j in range(words):
            row = start + size * j
            source, above = address(matrix, row * N + column), 4 * N if row + 1 < stop else 0
            for n in range(0, columns, LANES):
                inside = n % NR if n < wide else 0
                width = NR if n < wide else LANES
                prefetch(source + 4 * (16 * N + n))
                put(to + 4 * ((n - inside) * words + j * width + inside), source + 4 * n, above)

    return pack_tiles, pack_panels


pack_tiles, pack_panels = packers(copy_lanes, 1)


def tiles_size(rows: int, depth: int) -> int:
    """Floats that `pack_tiles` writes for `rows` rows of the transpose, at most."""
    return -(-rows // (MR // 2)) * depth * TILE


@spliced
def multiply_packed(tile, tiles, panel, width, c, c_row, rows, depth, accumulate):
    """As `product_packed`, by this tile."""
    m, a = 0, tiles
    tall, tall_rows = tile_heights(rows)
    while m < rows:
        height = next_height(rows, m, tall, tall_rows)
        x, z = a + 4 * tile_place(m, rows), c + 4 * m * c_row
        if accumulate:
            left = min(height, rows - m - height)
            _prefetch_rows(z + 4 * height * c_row, c_row, left, width)
        start = z if accumulate else 0
        tile(height + 64 * (width // VL), x, 1, panel, start, c_row, z, c_row, depth)
        m += height
        a += 4 * depth * TILE


@kernel(PACKED)
def product_packed(tiles, panel, width, c, c_row, rows, depth, accumulate):
    """C (rows, width) (+)= the factor of `pack_tiles` (rows, depth) @ one panel (depth, width);
    tiles, panel and c are addresses.
    """
    multiply_packed(packed_tile, tiles, panel, width, c, c_row, rows, depth, accumulate)


@spliced
def pack_columns(pack_panels, size, matrix, panels, first, start, stop):
    """As `pack`, by one of the `packers`."""
    K = matrix.shape[0]
    for n in range(start, stop, GROUP):
        to = address(panels, n * (K // size))
        pack_panels(matrix, 0, K, first + n, min(GROUP, stop - n), to)


@kernel(PACK)
def pack(matrix, panels, first, columns, start, stop):
    """Pack columns first:first+columns of a (K, N) matrix into panels; of those this call packs
    start:stop (multiples of NR).
    """
    pack_columns(pack_panels, 1, matrix, panels, first, start, stop)


@kernel(PACK)
def pack_transposed(matrix, panels, first, depth, start, stop):
    """Pack the transpose, (depth, N), of columns first:first+depth of an (N, K) matrix; this call
    its columns start:stop.
    """
    N = matrix.shape[0]
    n = start
    while n < stop:
        width = NR if N - n >= NR else LANES
        for block in range(0, depth, 64):
            for j in range(width):
                for k in range(block, min(block + 64, depth)):
                    panels[n * depth + k * width + j] = matrix[n + j, first + k]
        n += width
