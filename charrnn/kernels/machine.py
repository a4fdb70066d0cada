"""The machine's peak speeds: chains of multiply-adds that stay in registers, and a read through
memory.

Neither computes anything useful; they are the reference for kernels that do. They are compiled on
first use.
"""

from functools import reduce

from numba import float32, int64, intp

from charrnn.compiler.compiling import kernel
from charrnn.compiler.emitter import HAS_FMA, I32, I64, VL, constant, emits, lanes_of
from charrnn.compiler.emitter import VECTOR as LANE
from charrnn.compiler.simd import address
from charrnn.kernels.product import VECTOR

CHAINS = 24 if VL == 16 or (VL == 4 and HAS_FMA) else 12
"""Independent sums. A multiply-add takes four or five cycles, and two (NEON: four) start in each,
so that many keep the units busy; with two vectors for the factors they must fit the registers, 32
on AVX-512 and NEON, 16 otherwise."""

FLOPS = 2 * CHAINS * VL
"""Operations of one turn of `multiply_adds`."""


@emits(float32(int64, float32, float32))
def _chains(emit, turns, factor, term):
    """x = x * factor + term, `turns` times, for CHAINS vectors x: the sum of all their lanes, so
    that no chain is left out as useless.
    """
    factor, term, builder = emit.broadcast(factor), emit.broadcast(term), emit.builder
    first = [constant(LANE, float(chain)) for chain in range(CHAINS)]
    _, chains = emit.loop(
        turns, 1, first, lambda _, now: [emit.multiply_add(x, factor, term) for x in now]
    )
    total = reduce(builder.fadd, chains)
    return reduce(builder.fadd, [builder.extract_element(total, I32(k)) for k in range(VL)])


READERS = 8
"""Vectors that are loaded in a turn of `read_through`, each into a sum of its own."""


@emits(int64(intp, int64))
def _read(emit, numbers, vectors):
    """The sum of the words in `vectors` vectors at an address, READERS at a time."""
    builder, words = emit.builder, lanes_of(I32, LANE)

    def body(k, sums):
        first = builder.mul(k, I64(VL))
        loaded = [emit.load(numbers, I32, builder.add(first, I64(VL * n))) for n in range(READERS)]
        return [builder.add(*pair) for pair in zip(sums, loaded, strict=True)]

    _, sums = emit.loop(vectors, READERS, [constant(words, 0)] * READERS, body)
    total = reduce(builder.add, sums)
    total = reduce(builder.add, [builder.extract_element(total, I32(k)) for k in range(VL)])
    return builder.sext(total, I64)


@kernel(float32(int64, float32, float32))
def multiply_adds(turns, factor, term):
    """CHAINS * VL numbers, each made x * factor + term `turns` >= 1 times, and then summed: `turns`
    * FLOPS operations.
    """
    return _chains(turns, factor, term)


@kernel(int64(VECTOR, int64, int64, int64))
def read_through(numbers, start, stop, passes):
    """Read numbers[start:stop], a multiple of READERS vectors, this often; returns what depends on
    it.
    """
    total = 0
    for _ in range(passes):
        total += _read(address(numbers, start), (stop - start) // VL)
    return total
