"""The machine's peak speeds: chains of multiply-adds that stay in registers, and a read through
memory.

Neither computes anything useful; they are the reference for kernels that do. They are compiled on
first use.
"""

from functools import reduce

from numba import float32, int64

from charrnn.compiler.compiling import kernel
from charrnn.compiler.emitter import HAS_FMA, I32, VL, constant, emits
from charrnn.compiler.emitter import VECTOR as LANE
from charrnn.compiler.rows import SUM, rows
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
