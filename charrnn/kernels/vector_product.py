"""The product of one row with a matrix: it reads the weights once, as fast as the memory delivers
them.

A matrix (K, N), K even, N a multiple of LANES, lies in blocks of columns, each (K, width) and
contiguous: blocks of WIDE columns while they fit, then blocks of LANES. The sums of a block stay in
registers, each one chain of multiply-adds in the order of k, from what z holds: the same bits as
`product`. A block is as wide as hides the latency of the multiply-adds, and no wider.
"""

from numba import int64, intp, void

from charrnn.compiler.compiling import kernel, spliced
from charrnn.compiler.emitter import FLOAT, I64, VL, emits
from charrnn.compiler.simd import LANES

WIDE = 64 if VL > 4 else 32
"""Columns of a block: 4 vectors of AVX-512, and 8 of anything else."""
VECTOR_PRODUCT = void(intp, intp, intp, int64, int64)


def block_product(vectors: int, pair_of):
    """An intrinsic: z[: vectors * VL] += x[:depth] @ a block of weights; depth is even.

    pair_of(emit, vectors, weights, k): the weights of k and of k + 1, each `vectors` vectors
    """

    @emits(void(*[intp] * 4))
    def block(emit, x, weights, z, depth):
        build, places = emit.builder, range(0, VL * vectors, VL)
        sums = [emit.load(z, offset=place) for place in places]

        def body(k, totals):
            for step, across in enumerate(pair_of(emit, vectors, weights, k)):
                scalar = emit.broadcast(build.load(emit.at(x, FLOAT, build.add(k, I64(step)))))
                totals = [
                    emit.multiply_add(scalar, w, s) for w, s in zip(across, totals, strict=True)
                ]
            return totals

        _, totals = emit.loop(depth, 2, sums, body)
        for place, total in zip(places, totals, strict=True):
            emit.store(total, z, place)

    return block


def _float32_pair(emit, vectors, weights, k):
    row = emit.builder.mul(k, I64(VL * vectors))
    places = [emit.builder.add(row, I64(VL * v)) for v in range(2 * vectors)]
    loaded = [emit.load(weights, offset=place) for place in places]
    return loaded[:vectors], loaded[vectors:]


wide, slim = (block_product(columns // VL, _float32_pair) for columns in (WIDE, LANES))


@spliced
def over_blocks(wide, slim, size, x, weights, z, depth, columns):
    """A product by blocks, whose weights take `size` bytes a column."""
    n = 0
    while columns - n >= WIDE:
        wide(x, weights + n * size, z + 4 * n, depth)
        n += WIDE
    while n < columns:
        slim(x, weights + n * size, z + 4 * n, depth)
        n += LANES


@kernel(VECTOR_PRODUCT)
def vector_product(x, weights, z, depth, columns):
    """z (columns,) += x (depth,) @ the matrix at `weights`; all three are addresses."""
    over_blocks(wide, slim, 4 * depth, x, weights, z, depth, columns)
