"""The product of one row with a matrix: all it does is to read the weights once, as fast as the
memory gives them.

A matrix (K, N), K even, N a multiple of LANES, lies in blocks of columns, each (K, width) and
contiguous: blocks of WIDE columns while they fit, then blocks of LANES. The sums of a block stay in
registers, each one chain of multiply-adds in the order of k, from what z holds: the same bits as
`product`. A block is as wide as hides the latency of the multiply-adds, and no wider.
"""

from functools import partial

from llvmlite import ir
from numba import int64, intp, types, void
from numba.extending import intrinsic

from charrnn.compiler.compiling import kernel, spliced
from charrnn.compiler.simd import LANES, VL, emit_multiply_add

WIDE = 64 if VL > 4 else 32
"""Columns of a block: 4 vectors of AVX-512, and 8 of anything else."""
VECTOR_PRODUCT = void(intp, intp, intp, int64, int64)

I16, I32, I64, FLOAT = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
LANE = ir.VectorType(FLOAT, VL)


class Emitter:
    """What the loops over a block of columns are made of; each kind of weights adds how its numbers
    become float32.
    """

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def at(self, base, kind, offset):
        """The address of item `offset`, a value or a number, of the `kind` at address `base`, as a
        pointer.
        """
        base = self.builder.inttoptr(base, kind.as_pointer())
        return self.builder.gep(base, [offset if isinstance(offset, ir.Value) else I64(offset)])

    def load(self, base, kind, offset):
        """VL numbers of a kind, which need not be aligned beyond their own size."""
        vector = ir.VectorType(kind, VL)
        value = self.builder.load(
            self.builder.bitcast(self.at(base, kind, offset), vector.as_pointer())
        )
        value.align = kind.width // 8 if isinstance(kind, ir.IntType) else 4
        return value

    def store(self, value, base, offset):
        """VL float32 back."""
        place = self.builder.bitcast(self.at(base, FLOAT, offset), LANE.as_pointer())
        self.builder.store(value, place).align = 4

    def broadcast(self, scalar):
        """VL times the same number."""
        none = ir.Constant(LANE, ir.Undefined)
        one = self.builder.insert_element(none, scalar, I32(0))
        return self.builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(I32, VL), [0] * VL))

    def loop(self, x, weights, sums, depth, pair):
        """The sums (vectors) after k = 0, 1, ... depth - 1; pair(place of the weights, k) gives the
        weights of k and k + 1.
        """
        builder, before = self.builder, self.builder.block
        body, end = (
            builder.function.append_basic_block(name) for name in ("columns", "columns_end")
        )
        builder.branch(body)
        builder.position_at_end(body)
        k, totals = builder.phi(I64), [builder.phi(LANE) for _ in sums]
        k.add_incoming(I64(0), before)
        new = list(totals)
        for step, across in enumerate(pair(weights, k)):
            scalar = self.broadcast(builder.load(self.at(x, FLOAT, builder.add(k, I64(step)))))
            new = [
                emit_multiply_add(builder, LANE, f"v{VL}f32", scalar, w, s)
                for w, s in zip(across, new, strict=True)
            ]
        following = builder.add(k, I64(2))
        k.add_incoming(following, body)
        for total, first, value in zip(totals, sums, new, strict=True):
            total.add_incoming(first, before)
            total.add_incoming(value, body)
        builder.cbranch(builder.icmp_signed("<", following, depth), body, end)
        builder.position_at_end(end)
        return new


def block_product(vectors: int, pair_of):
    """An intrinsic: z[: vectors * VL] += x[:depth] @ a block of weights; depth is even.

    pair_of(emit, vectors, weights, k): the weights of k and of k + 1, each so many vectors
    """

    @intrinsic
    def block(typingctx, x, weights, z, depth):
        def codegen(context, builder, signature, args):
            x, weights, z, depth = args
            emit = Emitter(builder)
            sums = [emit.load(z, FLOAT, VL * v) for v in range(vectors)]
            pair = partial(pair_of, emit, vectors)
            for v, total in enumerate(emit.loop(x, weights, sums, depth, pair)):
                emit.store(total, z, VL * v)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 4), codegen

    return block


def _float32_pair(emit, vectors, weights, k):
    row = emit.builder.mul(k, I64(VL * vectors))
    places = [emit.builder.add(row, I64(VL * v)) for v in range(2 * vectors)]
    loaded = [emit.load(weights, FLOAT, place) for place in places]
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
