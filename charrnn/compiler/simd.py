"""Vector instructions that Numba does not offer, as intrinsics that emit LLVM vector code.

The tile of the matrix product follows the machine (see `target`): VL float32 lanes in a vector, NV
vectors across, MR rows down.
"""

from llvmlite import ir
from numba import float32, intp, types, void
from numba.extending import intrinsic

from charrnn.compiler.emitter import FLOAT, I64, VECTOR, VL, Emitter, constant, emits
from charrnn.compiler.target import TARGET

NV, MR = TARGET.vectors, TARGET.rows
NR = NV * VL
LANES = 16
"""Columns are padded to a multiple of this on every machine, so that arrays have the same layout
everywhere.
"""


def padded(size: int) -> int:
    """The size rounded up to a whole number of LANES."""
    return -(-size // LANES) * LANES


def pitch(size: int) -> int:
    """Distance in floats between rows of `size` columns: rows whole kilobytes apart would evict one
    another from the cache.
    """
    return padded(size) + LANES if padded(size) % 256 == 0 else padded(size)


@intrinsic
def address(typingctx, array, offset):
    """The address of array.flat[offset] of a C-contiguous array, as an integer."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(builder.gep(data, [args[1]]), context.get_value_type(types.intp))

    return types.intp(array, types.intp), codegen


@emits(float32(float32, float32, float32))
def fma(emit, a, b, c):
    """a * b + c, with one rounding if the machine supports it; vectorizes."""
    return emit.multiply_add(a, b, c)


@emits(void(intp, intp, intp))
def copy_lanes(emit, target, source, _):
    """Copy LANES floats from one address to another, read before they are written."""
    values = [emit.load(source, offset=VL * v) for v in range(LANES // VL)]
    for v, value in enumerate(values):
        emit.store(value, target, VL * v)


@emits(void(intp))
def prefetch(emit, place):
    """Prefetch the cache line of an address."""
    emit.prefetch(emit.at(place, FLOAT))


AHEAD = 8
"""How many rows of a panel the prefetch is ahead of the product."""
UNROLL = 4


def powers_below(most: int) -> list[int]:
    """The powers of two up to a number."""
    return [1 << k for k in range(most.bit_length())]


def tile_kernel(shapes: set[tuple[int, int]], a_pitch: int = 0, step=Emitter.multiply_add):
    """An intrinsic: C[rows, vectors * VL] = S + sum over k of A(m, k) * B[k, :], for each of the
    shapes, (rows, vectors).

    kernel(shape, a, a_row, b, s, s_row, c, c_row, depth): shape is rows + 64 * vectors, addresses
    are in bytes, strides in floats. A(m, k) lies at a + 4 * (m * a_row + k), or, with an `a_pitch`,
    at a + 4 * (m + k * a_pitch), packed. S, the initial value of the sums, lies at s + 4 * (m *
    s_row), and is zero for s = 0. B is a packed panel: row k follows row k - 1. All sums stay in
    registers for the whole loop; each element is one chain of multiply-adds in the order of k,
    whatever the tile.

    Besides multiply-adds and loads, the loop does almost nothing: address arithmetic would take
    issue slots from the multiply-adds (a sixth of the speed on a Cascade Lake core). So the depth
    is unrolled by UNROLL, and the distances between rows are hidden from LLVM, which would
    otherwise replace the row pointers with a chain of additions.

    step(emit, a, b, c), on vectors of VL, emits one step of the sums; other steps may interpret the
    32 bits differently.
    """

    @emits(void(*[intp] * 9))
    def kernel(emit, shape, a, a_row, b, s, s_row, c, c_row, depth):
        with emit.cases(shape) as case:
            for rows, vectors in sorted(shapes):
                with case(rows + 64 * vectors):
                    size = rows, vectors
                    emit_tile(emit, size, a_pitch, step, a, a_row, b, s, s_row, c, c_row, depth)

    return kernel


def emit_tile(emit: Emitter, shape, a_pitch, step, a, a_row, b, s, s_row, c, c_row, depth):
    """The product of one tile; see `tile_kernel`."""
    build, (rows, vectors) = emit.builder, shape
    width, panel = VL * vectors, emit.at(b, FLOAT)

    def row_of(base, stride, m, hides=False):
        place = build.add(base, build.mul(stride, I64(4 * m)))
        return emit.at(_hidden(build, place) if hides else place, FLOAT)

    a_rows = [emit.at(a, FLOAT) if a_pitch else row_of(a, a_row, m, True) for m in range(rows)]

    def multiply(k, total, unroll):
        for j in range(unroll):
            row = emit.at(panel, FLOAT, build.mul(k, I64(width)))
            across = [emit.load(row, offset=width * j + VL * v) for v in range(vectors)]
            for place in range(0, width, 16):
                emit.prefetch(emit.at(row, FLOAT, width * (j + AHEAD) + place))
            if a_pitch:
                column = emit.at(a_rows[0], FLOAT, build.mul(k, I64(a_pitch)))
                emit.prefetch(emit.at(column, FLOAT, a_pitch * (j + AHEAD)))
                scalars = [emit.at(column, FLOAT, a_pitch * j + m) for m in range(rows)]
            else:
                scalars = [emit.at(emit.at(x, FLOAT, k), FLOAT, j) for x in a_rows]
            new = []
            for m, scalar in enumerate(scalars):
                lanes = emit.broadcast(build.load(scalar))
                new += [
                    step(emit, lanes, across[v], total[m * vectors + v]) for v in range(vectors)
                ]
            total = new
        return total

    sums = _first_sums(emit, s, [(s_row, m, v) for m in range(rows) for v in range(vectors)])
    whole = build.and_(depth, I64(-UNROLL))
    k, sums = emit.loop(whole, UNROLL, sums, lambda k, total: multiply(k, total, UNROLL))
    _, sums = emit.loop(depth, 1, sums, lambda k, total: multiply(k, total, 1), start=k)
    for place, total in enumerate(sums):
        emit.store(total, row_of(c, c_row, place // vectors), VL * (place % vectors))


def _first_sums(emit, s, places):
    """The initial sums: the values at s + 4 * m * s_row, or zeros for s = 0."""
    build, before = emit.builder, emit.builder.block
    read, start = (build.append_basic_block(name) for name in ("read", "start"))
    build.cbranch(build.icmp_signed("!=", s, I64(0)), read, start)
    build.position_at_end(read)
    old = [
        emit.load(build.add(s, build.mul(s_row, I64(4 * m))), offset=VL * v)
        for s_row, m, v in places
    ]
    build.branch(start)
    build.position_at_end(start)
    zero = constant(VECTOR, 0.0)
    return [emit.phi(VECTOR, (zero, before), (value, read)) for value in old]


def _hidden(builder, number):
    """The same number, hidden from LLVM's optimizer."""
    kind = ir.FunctionType(I64, [I64])
    return builder.call(ir.InlineAsm(kind, "", "=r,0"), [number])
