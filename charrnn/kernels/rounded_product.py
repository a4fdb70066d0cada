"""`vector_product` over weights of two bytes or of one, which become float32 on their way into the
multiply-adds.

Both give the bits that float32 weights of the same values give. bfloat16 is the upper half of a
float32. Of int8, each column has a scale, a power of two, so that it may be taken out of the sum: z
+ sum x q s = s (z / s + sum x q), rounding included. Plain instructions: shift, mask, convert.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from charrnn.compiler.compiling import kernel
from charrnn.compiler.simd import LANES, VL
from charrnn.kernels.vector_product import (
    FLOAT,
    I32,
    I64,
    LANE,
    VECTOR_PRODUCT,
    WIDE,
    Emitter,
    block_product,
    over_blocks,
)

I8 = ir.IntType(8)
WORD = ir.VectorType(I32, VL)


def _bf16_pair(emit, vectors, weights, k):
    """A word holds a column's weight of k below and that of k + 1 above."""
    builder = emit.builder
    row = builder.mul(builder.lshr(k, I64(1)), I64(VL * vectors))
    words = [emit.load(weights, I32, builder.add(row, I64(VL * v))) for v in range(vectors)]
    low = [builder.shl(word, ir.Constant(WORD, [16] * VL)) for word in words]
    high = [builder.and_(word, ir.Constant(WORD, [0xFFFF0000] * VL)) for word in words]
    return [[builder.bitcast(bits, LANE) for bits in half] for half in (low, high)]


def int8_block(vectors: int):
    """An intrinsic: z[: vectors * VL] += x[:depth] @ a block: float32 scales of the columns, then
    rows of int8.
    """

    @intrinsic
    def block(typingctx, x, weights, z, depth):
        def codegen(context, builder, signature, args):
            x, weights, z, depth = args
            emit, width = Emitter(builder), VL * vectors

            def pair(weights, k):
                rows = [builder.mul(builder.add(k, I64(step)), I64(width)) for step in range(2)]
                bytes_of = [
                    [emit.load(weights, I8, builder.add(row, I64(VL * v))) for v in range(vectors)]
                    for row in rows
                ]
                return [
                    [builder.sitofp(builder.sext(each, WORD), LANE) for each in row]
                    for row in bytes_of
                ]

            scales = [emit.load(weights, FLOAT, VL * v) for v in range(vectors)]
            sums = [
                builder.fdiv(emit.load(z, FLOAT, VL * v), scale) for v, scale in enumerate(scales)
            ]
            rows = builder.add(weights, I64(4 * width))
            for v, total in enumerate(emit.loop(x, rows, sums, depth, pair)):
                emit.store(builder.fmul(total, scales[v]), z, VL * v)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 4), codegen

    return block


bf16_wide, bf16_slim = (block_product(columns // VL, _bf16_pair) for columns in (WIDE, LANES))
int8_wide, int8_slim = int8_block(WIDE // VL), int8_block(LANES // VL)


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
