"""The rounds of the Mogrifier (Melis, Kocisky & Blunsom 2020): before each step of the lowest
layer, its input x, an embedding, and its state h' scale each other in turn,

    x <- 2 sigmoid(M_i h') * x        in rounds i = 1, 3, 5, ...
    h' <- 2 sigmoid(M_i x) * h'       in rounds i = 2, 4, ...

and the layer's products are with what is left of both. Since x has few units, a round costs little.

Arrays of numbers are (T, N, units of x or h), float32, given by the addresses of their first one.
"""

from numba import int64, intp, void

from charrnn.compiler.calling import caller
from charrnn.compiler.compiling import kernel
from charrnn.compiler.emitter import FLOAT, emits
from charrnn.compiler.lanes import sigmoid
from charrnn.compiler.rows import equation, rows
from charrnn.kernels.product import PRODUCT, VECTOR

ROUNDS = int64[:, ::1]
ROUND = ("weights", "reads", "scales", "scale", "after", "read_units", "scaled_units")
"""What a row of integers says of a round: where its matrix begins in the packed ones; the arrays
that are read, scaled, and written: the scale, and what was scaled; and how many units those two
have.
"""
ROUND_BACK = ("weights", "scales", "scale", "d_scaled", "d_read", "read_units", "scaled_units")
"""In the backward pass, with the transpose: the array that was scaled, the scale, and the
derivatives of what was scaled and what was read.
"""
call_product = caller(PRODUCT)


@equation("scale", "after")
def scaled_by(scale, before):
    """The scale, 2 sigmoid, in place of the product, and what is scaled by it."""
    scale = 2.0 * sigmoid(scale)
    return scale, scale * before


@rows("before")
def scale_row(before, scale):
    """What is scaled, by 2 sigmoid of the product."""
    return 2.0 * sigmoid(scale) * before


@equation("scale", "d")
def back_through(scale, before, d):
    """The derivative of the product in place of the scale, and that of what was scaled."""
    return d * before * scale * (1.0 - 0.5 * scale), d * scale


def over_numbers(made):
    """An intrinsic: the equation over `count` numbers, a multiple of LANES, at addresses."""

    @emits(void(int64, *[intp] * len(made.rows)))
    def run(emit, count, *places):
        data = dict(zip(made.rows, (emit.at(place, FLOAT) for place in places), strict=True))
        made.emit(emit, count, data)

    return run


scale_numbers, scale_numbers_back = over_numbers(scaled_by), over_numbers(back_through)


@kernel(void(intp, VECTOR, ROUNDS, int64, int64))
def mogrify(product, panels, rounds, at, streams):
    """All rounds of this many streams of a step.

    product: the address of `product`
    panels: all matrices, packed
    rounds: (rounds, 7), read: see `ROUND`
    at: how many streams are before them, those of earlier steps included
    """
    for r in range(rounds.shape[0]):
        weights, reads, scales = rounds[r, 0], rounds[r, 1], rounds[r, 2]
        scale, after, read_units, units = rounds[r, 3], rounds[r, 4], rounds[r, 5], rounds[r, 6]
        a, to = reads + 4 * at * read_units, scale + 4 * at * units
        call_product(
            product, (a, read_units, 0, panels[weights:], 0, 0, 0, to, units, 0, 1, streams,
                      read_units, units)
        )  # fmt: skip
        scale_numbers(streams * units, to, scales + 4 * at * units, after + 4 * at * units)


@kernel(void(intp, VECTOR, ROUNDS, int64, int64))
def mogrify_back(product, panels, rounds, at, streams):
    """Back through `mogrify`: the scales become the derivatives of the products; d_scaled and
    d_read, those of the last x and h', become those of the first ones.

    panels: the transposes, packed
    rounds: (rounds, 7), read: see `ROUND_BACK`
    """
    for r in range(rounds.shape[0] - 1, -1, -1):
        weights, scales, scale = rounds[r, 0], rounds[r, 1], rounds[r, 2]
        d_scaled, d_read = rounds[r, 3], rounds[r, 4]
        read_units, units = rounds[r, 5], rounds[r, 6]
        a, to = scale + 4 * at * units, d_read + 4 * at * read_units
        scale_numbers_back(streams * units, a, scales + 4 * at * units, d_scaled + 4 * at * units)
        call_product(
            product, (a, units, 0, panels[weights:], to, read_units, 0, to, read_units, 0, 1,
                      streams, units, read_units)
        )  # fmt: skip
