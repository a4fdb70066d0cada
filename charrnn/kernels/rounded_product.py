"""`vector_product` over weights of two bytes, which become float32 on their way into the
multiply-adds: bfloat16, the upper half of a float32.

It gives the bits that float32 weights of the same values give. Plain instructions: shift and mask.
"""

from charrnn.compiler.compiling import kernel
from charrnn.compiler.emitter import I32, I64, VECTOR, VL, constant, lanes_of
from charrnn.compiler.simd import LANES
from charrnn.kernels.vector_product import VECTOR_PRODUCT, WIDE, block_product, over_blocks

WORD = lanes_of(I32, VECTOR)


def _bf16_pair(emit, vectors, weights, k):
    """A word holds a column's weight of k below and that of k + 1 above."""
    builder = emit.builder
    row = builder.mul(builder.lshr(k, I64(1)), I64(VL * vectors))
    words = [emit.load(weights, I32, builder.add(row, I64(VL * v))) for v in range(vectors)]
    low = [builder.shl(word, constant(WORD, 16)) for word in words]
    high = [builder.and_(word, constant(WORD, 0xFFFF0000)) for word in words]
    return [[builder.bitcast(bits, VECTOR) for bits in half] for half in (low, high)]


bf16_wide, bf16_slim = (block_product(columns // VL, _bf16_pair) for columns in (WIDE, LANES))


@kernel(VECTOR_PRODUCT)
def bf16_product(x, weights, z, depth, columns):
    """As `vector_product`, over bfloat16."""
    over_blocks(bf16_wide, bf16_slim, 2 * depth, x, weights, z, depth, columns)
