"""Sums of products of weights of 8 bits and numbers of 16 bits: integers, so they are exact.

The code emitted here has two forms (`instruction`), which give the same bits.

With AVX512-VNNI's or AVX-VNNI's vpdpbusd, which adds four products of unsigned and signed bytes to
each 32-bit sum, a number x with |x| <= 2^b, b <= 14, is two bytes: x + 2^b = 256 high + low. Then

    sum x w = 256 sum high w + sum low w - 2^b sum w

where the last term is known with the weights. Without it, pmaddwd adds two products of 16-bit
numbers (Intel 64 and IA-32 Software Developer's Manual, volume 2); other processors get multiply
and add. `CHARRNN_VNNI=emulate` chooses the second form anywhere.

For every four weights of a column, the numbers take 8 bytes: four high ones, then four low ones; or
numbers 0, 2, 1 and 3 in 16 bits each, as pairs of even and of odd bytes are multiplied.
"""

import platform

from llvmlite import binding, ir

from charrnn.compiler.emitter import FLOAT, I8, I16, I32, I64, VL, constant
from charrnn.compiler.simd import LANES
from charrnn.compiler.target import EMULATED_VNNI, IS_PORTABLE

_FEATURES = binding.get_host_cpu_features()
HAS_INSTRUCTION = not IS_PORTABLE and bool(
    {16: _FEATURES.get("avx512vnni"), 8: _FEATURES.get("avxvnni")}.get(VL)
)
INSTRUCTION = HAS_INSTRUCTION and not EMULATED_VNNI
"""The form that this process's kernels use."""
_HAS_PAIRS = platform.machine().lower() in ("x86_64", "amd64") and (
    VL in (4, 8) or (VL == 16 and bool(_FEATURES.get("avx512bw")))
)
_PAIRS = {4: "sse2.pmadd.wd", 8: "avx2.pmadd.wd", 16: "avx512.pmaddw.d.512"}

BITS = 14
"""Bits of a number, besides its sign; fewer if more than 2^10 are added, so that every sum has 31.
"""
_WORDS, _FLOATS = ir.VectorType(I32, LANES), ir.VectorType(FLOAT, LANES)
_WHOLE = 1.5 * 2**23
"""Added to a small number, it leaves no room for a fraction."""


def sums(instruction, emit, words, numbers, totals):
    """totals + the sums of four products: words, one vector of VL words with four weights each for
    each vector of totals; numbers, the address of the 8 bytes to multiply by.

    Of a vector, totals are [high, low] with the instruction, else [sum].
    """
    builder = emit.builder
    pair = [
        _broadcast(emit, builder.load(emit.at(numbers, I32, place)), words[0].type)
        for place in (0, 1)
    ]
    if instruction:
        name = f"llvm.x86.avx512.vpdpbusd.{32 * VL}"
        return [
            [emit.call(name, word.type, s, x, word) for s, x in zip(both, pair, strict=True)]
            for word, both in zip(words, totals, strict=True)
        ]
    result = []
    for word, (total,) in zip(words, totals, strict=True):
        halves = ir.VectorType(I16, 2 * VL)
        odd = builder.bitcast(word, halves)
        even = builder.shl(odd, constant(halves, 8))
        for x, half in zip(pair, (even, odd), strict=True):
            half = builder.ashr(half, constant(halves, 8))
            total = builder.add(total, _pair_products(emit, half, builder.bitcast(x, halves)))
        result.append([total])
    return result


def whole(instruction, emit, totals):
    """The sum, 32-bit integers, of what `sums` returns of a vector."""
    if not instruction:
        return totals[0]
    high, low = totals
    return emit.builder.add(emit.builder.shl(high, constant(high.type, 8)), low)


def first(instruction, starts):
    """What `sums` begins with; starts: - 2^b times the sum of the weights, 32-bit integers."""
    zero = constant(starts.type, 0)
    return [zero, starts] if instruction else [zero]


def write_numbers(instruction, emit, x, target, depth, bits):
    """Write depth float32 (a multiple of LANES) at x to `target` as whole numbers of a unit, a
    power of two, of at most 2^bits, 8 bytes for every four; returns the unit, a float32: NaN if one
    of the numbers is not finite.
    """
    builder = emit.builder

    def magnitudes(k, carried):
        loaded = builder.bitcast(_loaded(emit, x, k), _WORDS)
        magnitude = builder.and_(loaded, constant(_WORDS, 0x7FFFFFFF))
        is_larger = builder.icmp_unsigned(">", magnitude, carried[0])
        return [builder.select(is_larger, magnitude, carried[0])]

    _, (largest,) = emit.loop(depth, LANES, [constant(_WORDS, 0)], magnitudes)
    name = f"llvm.vector.reduce.umax.v{LANES}i32"
    exponent = builder.lshr(emit.call(name, I32, largest), I32(23))  # |x| < 2^(exponent - 126)
    is_finite = builder.icmp_unsigned("<", exponent, I32(255))
    is_large = builder.icmp_unsigned(">", exponent, I32(BITS))
    exponent = builder.select(is_large, exponent, I32(BITS))
    bits = builder.trunc(bits, I32)
    inverse = _power(emit, builder.add(bits, builder.sub(I32(253), exponent)))
    unit = _power(emit, builder.add(builder.sub(exponent, bits), I32(1)))
    unit = builder.select(is_finite, unit, ir.Constant(FLOAT, float("nan")))
    factor, offset = _broadcast(emit, inverse, _FLOATS), builder.shl(I32(1), bits)
    shift = builder.fadd(builder.uitofp(offset, FLOAT), ir.Constant(FLOAT, _WHOLE))
    added = _broadcast(emit, shift if instruction else ir.Constant(FLOAT, _WHOLE), _FLOATS)

    def body(k, _):
        scaled = builder.fmul(_loaded(emit, x, k), factor)
        shifted = builder.bitcast(builder.fadd(scaled, added), _WORDS)
        halves = ir.VectorType(I16, LANES)
        numbers = builder.trunc(shifted, halves)
        if instruction:
            numbers = builder.bitcast(numbers, ir.VectorType(I8, 2 * LANES))
            places = [
                8 * group + 2 * n + half
                for group in range(LANES // 4)
                for half in (1, 0)
                for n in range(4)
            ]
        else:
            places = [4 * group + n for group in range(LANES // 4) for n in (0, 2, 1, 3)]
        mask = ir.Constant(ir.VectorType(I32, len(places)), places)
        ordered = builder.shuffle_vector(numbers, numbers, mask)
        place = emit.at(target, I8, builder.mul(k, I64(2)))
        store = builder.store(ordered, builder.bitcast(place, ordered.type.as_pointer()))
        store.align = 16
        return []

    emit.loop(depth, LANES, [], body)
    return unit


def bits_of(depth: int) -> int:
    """Bits of a number in a sum of `depth` (see `BITS`)."""
    return min(BITS, 24 - max(1, depth - 1).bit_length())


def _power(emit, exponent):
    """2^(exponent - 127), float32."""
    return emit.builder.bitcast(emit.builder.shl(exponent, I32(23)), FLOAT)


def _loaded(emit, x, k):
    value = emit.builder.load(emit.builder.bitcast(emit.at(x, FLOAT, k), _FLOATS.as_pointer()))
    value.align = 4
    return value


def _broadcast(emit, scalar, kind):
    one = emit.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, I32(0))
    zeros = constant(ir.VectorType(I32, kind.count), 0)
    return emit.builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def _pair_products(emit, a, b):
    """The sums of two adjacent products, 32-bit integers (VL,); a and b are 16-bit (2 VL,)."""
    builder, words = emit.builder, ir.VectorType(I32, VL)
    if _HAS_PAIRS:
        return emit.call(f"llvm.x86.{_PAIRS[VL]}", words, a, b)
    a, b = builder.bitcast(a, words), builder.bitcast(b, words)
    total = builder.mul(*(builder.ashr(each, constant(words, 16)) for each in (a, b)))
    low = [
        builder.ashr(builder.shl(each, constant(words, 16)), constant(words, 16)) for each in (a, b)
    ]
    return builder.add(total, builder.mul(*low))
