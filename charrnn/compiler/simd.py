"""Vector instructions that Numba does not offer, as intrinsics that emit LLVM vector code.

The tile of the matrix product follows the machine (see `target`): VL float32 lanes in a vector, NV
vectors across, MR rows down.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from charrnn.compiler.target import TARGET

VL, NV, MR, HAS_FMA = TARGET.lanes, TARGET.vectors, TARGET.rows, TARGET.is_fused
NR = NV * VL
LANES = 16
"""Columns are padded to a multiple of this on every machine, so that arrays have one layout
everywhere.
"""


def padded(size: int) -> int:
    """The size rounded up to a whole number of LANES."""
    return -(-size // LANES) * LANES


def pitch(size: int) -> int:
    """Floats from one row of so many columns to the next: rows whole kilobytes apart would evict
    one another from the cache.
    """
    return padded(size) + LANES if padded(size) % 256 == 0 else padded(size)


@intrinsic
def address(typingctx, array, offset):
    """The address of array.flat[offset] of a C-contiguous array, as an integer."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(builder.gep(data, [args[1]]), context.get_value_type(types.intp))

    return types.intp(array, types.intp), codegen


def emit_multiply_add(builder, kind, suffix, a, b, c):
    """The code for a * b + c, of numbers of a kind, of which LLVM's functions have the suffix."""
    if HAS_FMA:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), "llvm.fma." + suffix
        )
        return builder.call(function, [a, b, c])
    return builder.fadd(builder.fmul(a, b), c)


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c with one rounding, where the machine has it; vectorizes."""

    def codegen(context, builder, signature, args):
        return emit_multiply_add(builder, ir.FloatType(), "f32", *args)

    return types.float32(types.float32, types.float32, types.float32), codegen


@intrinsic
def copy_lanes(typingctx, target, source):
    """Copy LANES floats from one address to another, read before they are written."""

    def codegen(context, builder, signature, args):
        kind = ir.VectorType(ir.FloatType(), VL)
        target, source = (builder.inttoptr(x, kind.as_pointer()) for x in args)
        values = [
            builder.load(builder.gep(source, [ir.IntType(64)(v)])) for v in range(LANES // VL)
        ]
        for v, value in enumerate(values):
            value.align = 4
            builder.store(value, builder.gep(target, [ir.IntType(64)(v)])).align = 4
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def prefetch(typingctx, place):
    """Ask for the cache line of an address."""

    def codegen(context, builder, signature, args):
        _emit_prefetch(builder, builder.inttoptr(args[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.intp), codegen


def _emit_prefetch(builder, place):
    i32, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(place, pointer), i32(0), i32(3), i32(1)])


AHEAD = 8
"""Rows of a panel that the prefetch is ahead of the product."""
UNROLL = 4


def powers_below(most: int) -> list[int]:
    """The powers of two up to a number."""
    return [1 << k for k in range(most.bit_length())]


def tile_kernel(shapes: set[tuple[int, int]], a_pitch: int = 0, multiply_add=emit_multiply_add):
    """An intrinsic: C[rows, vectors * VL] = S + sum over k of A(m, k) * B[k, :], for each of the
    shapes, (rows, vectors).

    kernel(shape, a, a_row, b, s, s_row, c, c_row, depth): shape is rows + 64 * vectors, addresses
    are in bytes, strides in floats. A(m, k) lies at a + 4 * (m * a_row + k), or, with an `a_pitch`,
    at a + 4 * (m + k * a_pitch), packed. S, what the sums start from, lies at s + 4 * (m * s_row),
    and is zero for s = 0. B is a packed panel: row k follows row k - 1. All sums stay in registers
    for the whole loop; each element is one chain of multiply-adds in the order of k, whatever the
    tile.

    Beside multiply-adds and loads the loop has next to nothing: additions to addresses would take
    issue slots from the multiply-adds (a sixth of the speed on a Cascade Lake core). So the depth
    is unrolled by UNROLL, and what LLVM knows of the distances between rows is hidden from it, or
    it would replace a pointer for each row by a chain of additions.

    multiply_add(builder, kind, suffix, a, b, c), vectors of VL, emits the sums' step; another one
    may read the 32 bits otherwise.
    """

    @intrinsic
    def kernel(typingctx, shape, a, a_row, b, s, s_row, c, c_row, depth):
        def codegen(context, builder, signature, args):
            shape, *places = args
            end = builder.function.append_basic_block("done")
            switch = builder.switch(shape, end)
            for rows, vectors in sorted(shapes):
                block = builder.function.append_basic_block(f"tile{rows}x{vectors}")
                switch.add_case(ir.Constant(ir.IntType(64), rows + 64 * vectors), block)
                builder.position_at_end(block)
                _Tile(builder, rows, vectors, a_pitch, multiply_add).emit(*places)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 9), codegen

    return kernel


class _Tile:
    """Emits the product of one tile; see `tile_kernel`."""

    def __init__(
        self,
        builder: ir.IRBuilder,
        rows: int,
        vectors: int,
        a_pitch: int,
        multiply_add=emit_multiply_add,
    ) -> None:
        self.builder, self.rows, self.vectors, self.a_pitch = builder, rows, vectors, a_pitch
        self.multiply_add = multiply_add
        self.i32, self.i64 = ir.IntType(32), ir.IntType(64)
        self.vector = ir.VectorType(ir.FloatType(), VL)
        self.keys = [(m, v) for m in range(rows) for v in range(vectors)]

    def emit(self, a, a_row, b, s, s_row, c, c_row, depth):
        build, i64 = self.builder, self.i64
        self.b = self._pointer(b)
        starts = [
            a if self.a_pitch else build.add(a, build.mul(a_row, i64(4 * m)))
            for m in range(self.rows)
        ]
        self.a_rows = [self._pointer(x if self.a_pitch else self._hidden(x)) for x in starts]
        first = self._first(s, s_row)
        whole = build.and_(depth, i64(-UNROLL))
        k, total = self._loop("loop", i64(0), first, whole, UNROLL)
        k, total = self._loop("rest", k, total, depth, 1)
        for m, v in self.keys:
            place = self._at(self._pointer(build.add(c, build.mul(c_row, i64(4 * m)))), VL * v)
            build.store(total[m, v], build.bitcast(place, self.vector.as_pointer())).align = 4

    def _first(self, s, s_row):
        """What the sums start from."""
        build, before = self.builder, self.builder.block
        read, go_on = (build.function.append_basic_block(name) for name in ("read", "start"))
        build.cbranch(build.icmp_signed("!=", s, self.i64(0)), read, go_on)
        build.position_at_end(read)
        rows = [
            self._pointer(build.add(s, build.mul(s_row, self.i64(4 * m)))) for m in range(self.rows)
        ]
        old = {(m, v): self._load(rows[m], VL * v) for m, v in self.keys}
        build.branch(go_on)
        build.position_at_end(go_on)
        zero = ir.Constant(self.vector, [0.0] * VL)
        return {key: self._phi(self.vector, (zero, before), (old[key], read)) for key in self.keys}

    def _loop(self, name, k0, first, stop, unroll):
        """From k0 on in steps of `unroll` while k < stop: k and the sums behind the loop."""
        build, before = self.builder, self.builder.block
        loop, end = (build.function.append_basic_block(x) for x in (name, name + "_end"))
        build.cbranch(build.icmp_signed("<", k0, stop), loop, end)
        build.position_at_end(loop)
        k = self._phi(self.i64, (k0, before))
        total = {key: self._phi(self.vector, (first[key], before)) for key in self.keys}
        new = total
        for j in range(unroll):
            new = self._multiply_add(k, j, new)
        following = build.add(k, self.i64(unroll))
        k.add_incoming(following, loop)
        for key in self.keys:
            total[key].add_incoming(new[key], loop)
        build.cbranch(build.icmp_signed("<", following, stop), loop, end)
        build.position_at_end(end)
        sums = {
            key: self._phi(self.vector, (first[key], before), (new[key], loop)) for key in self.keys
        }
        return self._phi(self.i64, (k0, before), (following, loop)), sums

    def _multiply_add(self, k, j, total):
        """The sums with row k + j of the panel multiplied and added."""
        build, width = self.builder, VL * self.vectors
        row = self._at(self.b, build.mul(k, self.i64(width)))
        across = [self._load(row, width * j + VL * v) for v in range(self.vectors)]
        for place in range(0, width, 16):
            _emit_prefetch(build, self._at(row, width * (j + AHEAD) + place))
        if self.a_pitch:
            column = self._at(self.a_rows[0], build.mul(k, self.i64(self.a_pitch)))
            _emit_prefetch(build, self._at(column, self.a_pitch * (j + AHEAD)))
            scalars = [self._at(column, self.a_pitch * j + m) for m in range(self.rows)]
        else:
            scalars = [self._at(self._at(row, k), j) for row in self.a_rows]
        new = {}
        for m in range(self.rows):
            scalar = self._broadcast(build.load(scalars[m]))
            for v in range(self.vectors):
                new[m, v] = self.multiply_add(
                    build, self.vector, f"v{VL}f32", scalar, across[v], total[m, v]
                )
        return new

    def _pointer(self, number):
        return self.builder.inttoptr(number, ir.FloatType().as_pointer())

    def _at(self, base, offset):
        return self.builder.gep(
            base, [offset if isinstance(offset, ir.Value) else self.i64(offset)]
        )

    def _load(self, base, offset):
        value = self.builder.load(
            self.builder.bitcast(self._at(base, offset), self.vector.as_pointer())
        )
        value.align = 4
        return value

    def _broadcast(self, scalar):
        none = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(none, scalar, self.i32(0))
        return self.builder.shuffle_vector(
            one, none, ir.Constant(ir.VectorType(self.i32, VL), [0] * VL)
        )

    def _hidden(self, number):
        """The same number, of which LLVM knows nothing."""
        return self.builder.call(
            ir.InlineAsm(ir.FunctionType(self.i64, [self.i64]), "", "=r,0"), [number]
        )

    def _phi(self, kind, *incoming):
        phi = self.builder.phi(kind)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi
