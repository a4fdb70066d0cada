"""Vector instructions that Numba does not offer, as intrinsics that emit LLVM vector code.

The tile of the matrix product follows the host: VL float32 lanes in a vector, NV vectors across, MR rows down; MR * NV
sums, NV columns and one broadcast must fit the registers (32 on AVX-512 and NEON, 16 otherwise).
"""

from __future__ import annotations

import platform

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def host_tile() -> tuple[int, int, int, bool]:
    """VL, NV, MR for this machine, and whether it multiplies and adds in one instruction."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return 4, 4, 6, True
    features = binding.get_host_cpu_features()
    fused = bool(features.get("fma"))
    if fused and features.get("avx512f"):
        return 16, 4, 6, True
    if fused and features.get("avx2"):
        return 8, 2, 6, True
    return 4, 2, 4, fused


VL, NV, MR, HAS_FMA = host_tile()
NR = NV * VL
LANES = 16
"""Columns are padded to a multiple of this on every machine, so that arrays have one layout everywhere."""


def padded(size: int) -> int:
    """The size rounded up to a whole number of LANES."""
    return -(-size // LANES) * LANES


@intrinsic
def address(typingctx, array, offset):
    """The address of array.flat[offset] of a C-contiguous array, as an integer."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(builder.gep(data, [args[1]]), context.get_value_type(types.intp))

    return types.intp(array, types.intp), codegen


def _multiply_add(builder, kind, suffix, a, b, c):
    if HAS_FMA:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), "llvm.fma." + suffix
        )
        return builder.call(function, [a, b, c])
    return builder.fadd(builder.fmul(a, b), c)


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c with one rounding, where the machine has it; vectorises."""

    def codegen(context, builder, signature, args):
        return _multiply_add(builder, ir.FloatType(), "f32", *args)

    return types.float32(types.float32, types.float32, types.float32), codegen


@intrinsic
def float_from_bits(typingctx, bits):
    """The float32 whose bits are those of an int32; vectorises."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


def tile_kernel(rows: int, vectors: int):
    """An intrinsic: C[rows, vectors * VL] = (C if accumulate else 0) + sum over k of A(m, k) * B[k, :].

    A(m, k) is read at a + 4 * (m * a_row + k * a_col), so A and its transpose are the same kernel. B is a packed panel:
    row k follows row k - 1. All sums stay in registers for the whole loop; each element is one chain of fused
    multiply-adds in the order of k, whatever the tile.
    """
    lane, i64 = ir.FloatType(), ir.IntType(64)
    vector = ir.VectorType(lane, VL)
    tile = [(m, v) for m in range(rows) for v in range(vectors)]

    @intrinsic
    def kernel(typingctx, a, a_row, a_col, b, c, c_row, depth, accumulate):
        def codegen(context, builder, signature, args):
            a, a_row, a_col, b, c, c_row, depth, accumulate = args
            a, b, c = (builder.inttoptr(x, lane.as_pointer()) for x in (a, b, c))

            def at(base, offset):
                return builder.gep(base, [offset if isinstance(offset, ir.Value) else i64(offset)])

            def load(place):
                value = builder.load(builder.bitcast(place, vector.as_pointer()))
                value.align = 4
                return value

            def broadcast(scalar):
                none = ir.Constant(vector, ir.Undefined)
                one = builder.insert_element(none, scalar, ir.IntType(32)(0))
                return builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(ir.IntType(32), VL), [0] * VL))

            a_rows = [at(a, builder.mul(a_row, i64(m))) for m in range(rows)]
            c_rows = [at(c, builder.mul(c_row, i64(m))) for m in range(rows)]
            before, function = builder.block, builder.function
            read, start, loop, end = (function.append_basic_block(x) for x in ("read", "start", "loop", "end"))
            builder.cbranch(builder.icmp_signed("!=", accumulate, i64(0)), read, start)
            builder.position_at_end(read)
            old = {(m, v): load(at(c_rows[m], VL * v)) for m, v in tile}
            builder.branch(start)
            builder.position_at_end(start)
            first = {}
            for key in tile:
                first[key] = builder.phi(vector)
                first[key].add_incoming(ir.Constant(vector, [0.0] * VL), before)
                first[key].add_incoming(old[key], read)
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(i64)
            k.add_incoming(i64(0), start)
            total = {}
            for key in tile:
                total[key] = builder.phi(vector)
                total[key].add_incoming(first[key], start)
            b_k, a_k = at(b, builder.mul(k, i64(VL * vectors))), builder.mul(k, a_col)
            across = [load(at(b_k, VL * v)) for v in range(vectors)]
            new = {}
            for m in range(rows):
                scalar = broadcast(builder.load(at(a_rows[m], a_k)))
                for v in range(vectors):
                    new[m, v] = _multiply_add(builder, vector, f"v{VL}f32", scalar, across[v], total[m, v])
            following = builder.add(k, i64(1))
            k.add_incoming(following, loop)
            for key in tile:
                total[key].add_incoming(new[key], loop)
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, end)
            builder.position_at_end(end)
            for m, v in tile:
                builder.store(new[m, v], builder.bitcast(at(c_rows[m], VL * v), vector.as_pointer())).align = 4
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), codegen

    return kernel
