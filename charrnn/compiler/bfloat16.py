"""Numbers of 16 bits: the upper half of a float32, 8 bits of precision, two to a word of 32 bits.

A word holds the numbers of 2k (below) and 2k + 1 (above). One instruction, AVX512-BF16's vdpbf16ps,
multiplies and adds both:

    s = a(2k + 1) b(2k + 1) + s,  then  s = a(2k) b(2k) + s

in float32, each rounded to nearest even (Intel 64 and IA-32 Software Developer's Manual, volume 2).
Numbers below 2^-126 count as zero there; that rounding makes them zero already is therefore no
loss. Words are carried in arrays of float32: nothing computes with them as such.

What is emitted here comes in two forms, with the instructions or with plain float32 ones
(`instruction`). They give the same bits, but for sums below 2^-126. The second form is no faster
than float32: it is for tests where the instructions are not at hand.
"""

import os
from functools import partial

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from charrnn.compiler.simd import LANES, VL, emit_multiply_add
from charrnn.errors import ConfigError

EMULATED = os.environ.get("CHARRNN_BF16") == "emulate"
HAS_INSTRUCTION = VL == 16 and bool(binding.get_host_cpu_features().get("avx512bf16"))
INSTRUCTION = HAS_INSTRUCTION and not EMULATED
"""The form of this process's kernels."""

I16, I32, I64 = (ir.IntType(bits) for bits in (16, 32, 64))


def check_bf16() -> None:
    """`ConfigError` where there is no instruction for it."""
    if not (INSTRUCTION or EMULATED):
        raise ConfigError(
            "`precision` bf16 needs a processor with AVX512-BF16, which this one lacks; leave it "
            "out, or use float32"
        )


class _Bfloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not have."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bfloat)

    def __hash__(self) -> int:
        return hash(_Bfloat)


def _call(builder, name, result, *values):
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def emit_pair_multiply_add(instruction, builder, kind, suffix, a, b, c):
    """c + the products of both halves of each word of a and b; vectors of VL float32 that hold
    words.
    """
    if instruction:
        halves = ir.VectorType(_Bfloat(), 2 * VL)
        a, b = (builder.bitcast(x, halves) for x in (a, b))
        return _call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", kind, c, a, b)
    words = ir.VectorType(I32, VL)
    a, b = (builder.bitcast(x, words) for x in (a, b))
    upper = [builder.and_(x, _constant(x, 0xFFFF0000)) for x in (a, b)]
    lower = [builder.shl(x, _constant(x, 16)) for x in (a, b)]
    for pair in (upper, lower):
        c = emit_multiply_add(builder, kind, suffix, *(builder.bitcast(x, kind) for x in pair), c)
    return c


def emit_rounded(instruction, builder, x):
    """The nearest bfloat16 of each number of a vector of VL float32, ties to even, as 16-bit
    integers.

    NaN stays NaN and becomes a quiet one; what is below 2^-126 becomes a zero of its sign.
    """
    count = x.type.count
    if instruction:
        rounded = _call(
            builder, "llvm.x86.avx512bf16.cvtneps2bf16.512", ir.VectorType(_Bfloat(), count), x
        )
        return builder.bitcast(rounded, ir.VectorType(I16, count))
    bits = builder.bitcast(x, ir.VectorType(I32, count))
    magnitude = builder.and_(bits, _constant(bits, 0x7FFFFFFF))
    even = builder.and_(builder.lshr(bits, _constant(bits, 16)), _constant(bits, 1))
    rounded = builder.add(builder.add(bits, _constant(bits, 0x7FFF)), even)
    is_nan = builder.icmp_unsigned(">", magnitude, _constant(bits, 0x7F800000))
    rounded = builder.select(is_nan, builder.or_(bits, _constant(bits, 0x00400000)), rounded)
    is_tiny = builder.icmp_unsigned("<", magnitude, _constant(bits, 0x00800000))
    rounded = builder.select(is_tiny, builder.and_(bits, _constant(bits, 0x80000000)), rounded)
    return builder.trunc(builder.lshr(rounded, _constant(bits, 16)), ir.VectorType(I16, count))


def _constant(like, value):
    return ir.Constant(like.type, [value] * like.type.count)


def emit_pairs(instruction, builder, low, high):
    """Words of vectors of VL float32, as VL 32-bit integers: rounded, the first below and the
    second above.
    """
    words = ir.VectorType(I32, low.type.count)
    low, high = (builder.zext(emit_rounded(instruction, builder, x), words) for x in (low, high))
    return builder.or_(low, builder.shl(high, _constant(high, 16)))


def _at(builder, place, kind, index=0):
    return builder.gep(builder.inttoptr(place, kind.as_pointer()), [I64(index)])


def _load(builder, place, v):
    value = builder.load(_at(builder, place, ir.VectorType(ir.FloatType(), VL), v))
    value.align = 4
    return value


def _store(builder, value, place, v):
    builder.store(value, _at(builder, place, value.type, v)).align = 4


@intrinsic
def round_lanes(typingctx, target, source):
    """Round LANES floats at an address to LANES / 2 words at another."""

    def codegen(context, builder, signature, args):
        for v in range(LANES // VL):
            _store(
                builder, emit_rounded(INSTRUCTION, builder, _load(builder, args[1], v)), args[0], v
            )
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def pair_lanes(typingctx, target, low, high):
    """LANES words at an address, of LANES floats at each of two; high = 0 stands for zeros."""

    def codegen(context, builder, signature, args):
        target, low, high = args
        vectors = range(LANES // VL)
        is_there = builder.icmp_signed("!=", high, I64(0))
        place = builder.select(is_there, high, low)  # of numbers that may be read
        for v in vectors:
            above = _load(builder, place, v)
            above = builder.select(is_there, above, ir.Constant(above.type, [0.0] * VL))
            _store(
                builder, emit_pairs(INSTRUCTION, builder, _load(builder, low, v), above), target, v
            )
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@intrinsic
def copy_word(typingctx, target, source):
    """Copy a word from one address to another."""

    def codegen(context, builder, signature, args):
        builder.store(builder.load(_at(builder, args[1], I32)), _at(builder, args[0], I32))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def stack_words(typingctx, count):
    """The address of memory for so many words, which the function that asks for it has until it
    returns.
    """

    def codegen(context, builder, signature, args):
        memory = builder.alloca(I32, args[0])
        memory.align = 64
        return builder.ptrtoint(memory, I64)

    return types.intp(types.intp), codegen


multiply_add = partial(emit_pair_multiply_add, INSTRUCTION)
