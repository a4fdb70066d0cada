"""What the machine can do at most: chains of multiply-adds that never leave the registers, and a
read through memory.

Neither computes anything; they are the yardstick for kernels that do. They are compiled when they
are first asked for.
"""

from llvmlite import ir
from numba import float32, int64, types
from numba.extending import intrinsic

from charrnn.compiler.compiling import kernel
from charrnn.compiler.rows import SUM, rows
from charrnn.compiler.simd import HAS_FMA, VL, emit_multiply_add
from charrnn.kernels.product import VECTOR

CHAINS = 24 if VL == 16 or (VL == 4 and HAS_FMA) else 12
"""Independent sums. A multiply-add takes four or five cycles, and two (NEON: four) start in each,
so that many keep the units busy; with two vectors for the factors they must fit the registers, 32
on AVX-512 and NEON, 16 otherwise."""

FLOPS = 2 * CHAINS * VL
"""Operations of one turn of `multiply_adds`."""


def _total(builder, vectors):
    """The sum of all lanes, so that no chain is left out as useless."""
    total = vectors[0]
    for vector in vectors[1:]:
        total = builder.fadd(total, vector)
    lanes = [builder.extract_element(total, ir.IntType(32)(lane)) for lane in range(VL)]
    for lane in lanes[1:]:
        lanes[0] = builder.fadd(lanes[0], lane)
    return lanes[0]


@intrinsic
def _chains(typingctx, turns, factor, term):
    """x = x * factor + term, `turns` times, for CHAINS vectors x."""

    def codegen(context, builder, signature, args):
        vector, none = ir.VectorType(ir.FloatType(), VL), ir.IntType(32)
        zeros = ir.Constant(ir.VectorType(none, VL), [0] * VL)
        undefined = ir.Constant(vector, ir.Undefined)
        factor, term = (
            builder.shuffle_vector(builder.insert_element(undefined, x, none(0)), undefined, zeros)
            for x in args[1:]
        )
        first = [ir.Constant(vector, [float(chain)] * VL) for chain in range(CHAINS)]
        before, i64 = builder.block, ir.IntType(64)
        loop, end = (builder.function.append_basic_block(name) for name in ("loop", "end"))
        builder.branch(loop)
        builder.position_at_end(loop)
        turn, now = builder.phi(i64), [builder.phi(vector) for _ in first]
        turn.add_incoming(i64(0), before)
        following = builder.add(turn, i64(1))
        turn.add_incoming(following, loop)
        new = [emit_multiply_add(builder, vector, f"v{VL}f32", x, factor, term) for x in now]
        for x, start, value in zip(now, first, new, strict=True):
            x.add_incoming(start, before)
            x.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[0]), loop, end)
        builder.position_at_end(end)
        return _total(builder, new)

    return types.float32(types.int64, types.float32, types.float32), codegen


@rows(fold=SUM)
def _sum(a):
    """The sum of a row."""
    return a


@kernel(float32(int64, float32, float32))
def multiply_adds(turns, factor, term):
    """CHAINS * VL numbers, each made x * factor + term `turns` >= 1 times, and then summed: `turns`
    * FLOPS operations.
    """
    return _chains(turns, factor, term)


@kernel(float32(VECTOR, int64, int64))
def read_through(numbers, start, stop):
    """The sum of numbers[start:stop], a multiple of LANES numbers."""
    return _sum(numbers[start:stop])
