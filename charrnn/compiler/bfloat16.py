"""Numbers of 16 bits: the upper half of a float32, 8 bits of precision, two to a word of 32 bits.

A word holds the numbers of 2k (below) and 2k + 1 (above). One instruction, AVX512-BF16's vdpbf16ps,
multiplies and adds both:

    s = a(2k + 1) b(2k + 1) + s,  then  s = a(2k) b(2k) + s

in float32, each rounded to nearest even (Intel 64 and IA-32 Software Developer's Manual, volume 2).
Numbers below 2^-126 count as zero there, so rounding may set them to zero without loss. Words are
stored in float32 arrays, but never used as float32 numbers.

The code emitted here has two forms, with these instructions or with plain float32 ones
(`instruction`). They give the same bits, except for sums below 2^-126. The second form is no faster
than float32: it is for tests on machines without the instructions.
"""

from functools import partial

from llvmlite import binding, ir
from numba import intp, void

from charrnn.compiler.emitter import I16, I32, I64, VL, constant, emits, lanes_of
from charrnn.compiler.simd import LANES
from charrnn.compiler.target import EMULATED
from charrnn.errors import ConfigError

HAS_INSTRUCTION = VL == 16 and bool(binding.get_host_cpu_features().get("avx512bf16"))
INSTRUCTION = HAS_INSTRUCTION and not EMULATED
"""The form that this process's kernels use."""


def check_bf16() -> None:
    """`ConfigError` if the processor has no instruction for it."""
    if not (INSTRUCTION or EMULATED):
        raise ConfigError(
            "`precision` bf16 needs a processor with AVX512-BF16, which this one lacks; use "
            "`precision` float32"
        )


class _Bfloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not have."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bfloat)

    def __hash__(self) -> int:
        return hash(_Bfloat)


def pair_multiply_add(instruction, emit, a, b, c):
    """c + the products of both halves of each word of a and b; vectors of VL float32 that contain
    words.
    """
    builder, kind = emit.builder, c.type
    if instruction:
        halves = ir.VectorType(_Bfloat(), 2 * VL)
        a, b = (builder.bitcast(x, halves) for x in (a, b))
        return emit.call("llvm.x86.avx512bf16.dpbf16ps.512", kind, c, a, b)
    words = lanes_of(I32, kind)
    a, b = (builder.bitcast(x, words) for x in (a, b))
    upper = [builder.and_(x, constant(words, 0xFFFF0000)) for x in (a, b)]
    lower = [builder.shl(x, constant(words, 16)) for x in (a, b)]
    for pair in (upper, lower):
        c = emit.multiply_add(*(builder.bitcast(x, kind) for x in pair), c)
    return c


def rounded(instruction, emit, x):
    """The nearest bfloat16 of each number of a vector of VL float32, ties to even, as 16-bit
    integers.

    NaN becomes a quiet NaN; numbers below 2^-126 become zero with the same sign.
    """
    builder, halves, words = emit.builder, lanes_of(I16, x.type), lanes_of(I32, x.type)
    if instruction:
        name = "llvm.x86.avx512bf16.cvtneps2bf16.512"
        return builder.bitcast(emit.call(name, lanes_of(_Bfloat(), x.type), x), halves)
    bits = builder.bitcast(x, words)
    magnitude = builder.and_(bits, constant(words, 0x7FFFFFFF))
    even = builder.and_(builder.lshr(bits, constant(words, 16)), constant(words, 1))
    nearest = builder.add(builder.add(bits, constant(words, 0x7FFF)), even)
    is_nan = builder.icmp_unsigned(">", magnitude, constant(words, 0x7F800000))
    nearest = builder.select(is_nan, builder.or_(bits, constant(words, 0x00400000)), nearest)
    is_tiny = builder.icmp_unsigned("<", magnitude, constant(words, 0x00800000))
    nearest = builder.select(is_tiny, builder.and_(bits, constant(words, 0x80000000)), nearest)
    return builder.trunc(builder.lshr(nearest, constant(words, 16)), halves)


def pairs(instruction, emit, low, high):
    """Words of vectors of VL float32, as VL 32-bit integers: rounded, the first below and the
    second above.
    """
    builder, words = emit.builder, lanes_of(I32, low.type)
    low, high = (builder.zext(rounded(instruction, emit, x), words) for x in (low, high))
    return builder.or_(low, builder.shl(high, constant(words, 16)))


@emits(void(intp, intp))
def round_lanes(emit, target, source):
    """Round LANES floats at an address to LANES / 2 words at another."""
    for place in range(0, LANES, VL):
        emit.store(rounded(INSTRUCTION, emit, emit.load(source, offset=place)), target, place)


@emits(void(intp, intp, intp))
def pair_lanes(emit, target, source, above):
    """LANES words at an address, of floats at another and `above` bytes after it; 0 stands for
    zeros.
    """
    builder = emit.builder
    is_there, higher = builder.icmp_signed("!=", above, I64(0)), builder.add(source, above)
    for place in range(0, LANES, VL):
        low, high = (emit.load(base, offset=place) for base in (source, higher))
        high = builder.select(is_there, high, constant(high.type, 0.0))
        emit.store(pairs(INSTRUCTION, emit, low, high), target, place)


@emits(void(intp, intp))
def copy_word(emit, target, source):
    """Copy a word from one address to another."""
    emit.builder.store(emit.builder.load(emit.at(source, I32)), emit.at(target, I32))


@emits(intp(intp))
def stack_words(emit, count):
    """The address of memory for this number of words, until the calling function returns."""
    memory = emit.builder.alloca(I32, count)
    memory.align = 64
    return emit.builder.ptrtoint(memory, I64)


multiply_add = partial(pair_multiply_add, INSTRUCTION)
