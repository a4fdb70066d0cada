"""`vector_product` over weights of one byte, in integers.

x is rounded to whole numbers n of a unit u, a power of two: of b = 14 bits and a sign, the largest
of at least 13. Sums of n q, q the weights from -127 to 127, are exact in 32 bits, and

    z = z + (s u) sum n q

in float32, rounded after each operation; s is the scale of a column. With more than 2^10 rows, b
decreases by one whenever they double. So every machine writes the same text (`compiler.int8`).
"""

from numba import int64, intp, void

from charrnn.compiler import int8
from charrnn.compiler.bfloat16 import stack_words
from charrnn.compiler.compiling import kernel, spliced
from charrnn.compiler.emitter import FLOAT, I32, I64, VL, emits
from charrnn.compiler.simd import LANES, address
from charrnn.kernels.product import PRODUCT
from charrnn.kernels.vector_product import VECTOR_PRODUCT, WIDE

TOGETHER = 4
"""Vectors of columns whose sums stay in registers."""
ROWS = 8
"""Rows that are multiplied by a block while it is in the first-level cache."""


def int8_block(instruction, width):
    """An intrinsic: z[:width] += (the numbers at `numbers`, in their unit) @ a block of weights.

    A block: scales, float32 (width,); - 2^b sum q, int32 (width,); for every four rows, their
    weights of each column, int8 (depth / 4, width, 4).
    """
    together = min(TOGETHER, width // VL)

    @emits(void(intp, intp, intp, intp, int64))
    def block(emit, numbers, unit, weights, z, depth):
        build, size = emit.builder, I64(4 * width)
        unit = emit.broadcast(build.load(emit.at(unit, FLOAT)))
        starts = build.add(weights, size)
        words = build.add(starts, size)
        for begin in range(0, width, together * VL):
            places = range(begin, begin + together * VL, VL)
            totals = [int8.first(instruction, emit.load(starts, I32, p)) for p in places]
            count = len(totals[0])

            def body(k, carried, places=places, count=count):
                totals = [carried[n : n + count] for n in range(0, len(carried), count)]
                row = build.mul(k, I64(width))
                at = [emit.load(words, I32, build.add(row, I64(p))) for p in places]
                place = build.add(numbers, build.mul(k, I64(8)))
                after = int8.sums(instruction, emit, at, place, totals)
                return [each for both in after for each in both]

            flat = [each for both in totals for each in both]
            _, flat = emit.loop(build.lshr(depth, I64(2)), 1, flat, body)
            for n, place in enumerate(places):
                whole = int8.whole(instruction, emit, flat[n * count : (n + 1) * count])
                product = build.fmul(
                    build.sitofp(whole, unit.type),
                    build.fmul(emit.load(weights, offset=place), unit),
                )
                emit.store(build.fadd(emit.load(z, offset=place), product), z, place)

    return block


def numbers_of(instruction):
    """An intrinsic: x (depth,) at an address as whole numbers at another, and their unit there."""

    @emits(void(intp, intp, intp, int64, int64))
    def write(emit, x, target, unit, depth, bits):
        value = int8.write_numbers(instruction, emit, x, target, depth, bits)
        emit.builder.store(value, emit.at(unit, FLOAT))

    return write


wide, slim = (int8_block(int8.INSTRUCTION, columns) for columns in (WIDE, LANES))
write_numbers = numbers_of(int8.INSTRUCTION)


@spliced
def multiply(wide, slim, write_numbers, x, x_row, weights, z, z_row, rows, depth, columns):
    """z (rows, columns) += x (rows, depth) @ the matrix at `weights`, in addresses and bytes."""
    bits, most = int8.BITS, 1 << 24 - int8.BITS
    while most < depth:
        bits, most = bits - 1, 2 * most
    units, size = stack_words(ROWS), 2 * depth
    numbers = stack_words(ROWS * depth // 2)
    for first in range(0, rows, ROWS):
        count = min(ROWS, rows - first)
        for r in range(count):
            row = x + (first + r) * x_row
            write_numbers(row, numbers + r * size, units + 4 * r, depth, bits)
        n = 0
        while columns - n >= WIDE:
            for r in range(count):
                out = z + (first + r) * z_row + 4 * n
                wide(numbers + r * size, units + 4 * r, weights + n * (8 + depth), out, depth)
            n += WIDE
        while n < columns:
            for r in range(count):
                out = z + (first + r) * z_row + 4 * n
                slim(numbers + r * size, units + 4 * r, weights + n * (8 + depth), out, depth)
            n += LANES


@kernel(VECTOR_PRODUCT)
def int8_product(x, weights, z, depth, columns):
    """z (columns,) += x (depth,) @ the matrix at `weights`; depth is a multiple of LANES."""
    multiply(wide, slim, write_numbers, x, 0, weights, z, 0, 1, depth, columns)


@kernel(PRODUCT)
def int8_rows(a, a_row, a_step, panels, s, s_row, s_step, c, c_row, c_step, steps, rows, depth,
              columns):  # fmt: skip
    """As `product`, where S is C and there is one step; each row has the bits of `int8_product`."""
    weights = address(panels, 0)
    multiply(wide, slim, write_numbers, a, 4 * a_row, weights, c, 4 * c_row, rows, depth, columns)
