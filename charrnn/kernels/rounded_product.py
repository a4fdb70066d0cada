"""`vector_product` over weights of two bytes or of one, which become float32 on their way into the
multiply-adds.

Both give the bits that float32 weights of the same values give. bfloat16 is the upper half of a
float32. Of int8, each column has a scale, a power of two, so that it may be taken out of the sum: z
+ sum x q s = s (z / s + sum x q), rounding included. Plain instructions: shift, mask, convert.
"""

from charrnn.compiler.compiling import kernel
from charrnn.compiler.emitter import I8, I32, I64, VECTOR, VL, constant, lanes_of
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


def _int8_pair(emit, vectors, weights, k):
    """Rows of int8, one after another."""
    builder = emit.builder
    row = builder.mul(k, I64(VL * vectors))
    loaded = [emit.load(weights, I8, builder.add(row, I64(VL * v))) for v in range(2 * vectors)]
    numbers = [builder.sitofp(builder.sext(x, WORD), VECTOR) for x in loaded]
    return numbers[:vectors], numbers[vectors:]


bf16_wide, bf16_slim = (block_product(columns // VL, _bf16_pair) for columns in (WIDE, LANES))
int8_wide, int8_slim = (block_product(columns // VL, _int8_pair, True) for columns in (WIDE, LANES))


@kernel(VECTOR_PRODUCT)
def bf16_product(x, weights, z, depth, columns):
    """As `vector_product`, over bfloat16."""
    over_blocks(bf16_wide, bf16_slim, 2 * depth, x, weights, z, depth, columns)


@kernel(VECTOR_PRODUCT)
def int8_product(x, weights, z, depth, columns):
    """As `vector_product`, over int8; a block is 4 bytes a column, its scale, and then one byte a
    weight.
    """
    over_blocks(int8_wide, int8_slim, 4 + depth, x, weights, z, depth, columns)
