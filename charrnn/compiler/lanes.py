"""Equations over vectors of numbers: the language that the cells are written in.

`Lanes` are VL float32 numbers in code that is being emitted. An equation is a Python function over
them; it runs while a kernel is compiled, and its operations become the code. `rows.py` turns it
into loops over arrays. This module has the functions that equations use.

tanh and sigmoid are a rational function, exp a polynomial and a shift: multiply-adds and one
division, the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from charrnn.compiler.emitter import DOUBLE, I32, Emitter, constant, lanes_of, suffix


class Lanes:
    """VL float32 numbers in a loop that is being emitted, or a single one."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value, self.kind = builder, value, value.type

    def _with(self, other: Lanes | float, emit: str) -> Lanes:
        emitted = getattr(self.builder, emit)(self.value, self.like(other).value)
        return Lanes(self.builder, emitted)

    def like(self, number: Lanes | float) -> Lanes:
        """The number itself, or a constant in all lanes."""
        if isinstance(number, Lanes):
            return number
        return Lanes(self.builder, constant(self.kind, float(np.float32(number))))

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._with(other, "fadd")

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._with(other, "fsub")

    def __rsub__(self, other: float) -> Lanes:
        return self.like(other) - self

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._with(other, "fmul")

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._with(other, "fdiv")

    def __neg__(self) -> Lanes:
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __gt__(self, other: Lanes | float) -> ir.Value:
        return self.builder.fcmp_ordered(">", self.value, self.like(other).value)

    def __lt__(self, other: Lanes | float) -> ir.Value:
        return self.builder.fcmp_ordered("<", self.value, self.like(other).value)

    def __abs__(self) -> Lanes:
        name, emit = f"llvm.fabs.{suffix(self.kind)}", Emitter(self.builder)
        return Lanes(self.builder, emit.call(name, self.kind, self.value))


def fma(a: Lanes, b: Lanes | float, c: Lanes | float) -> Lanes:
    """a * b + c, with one rounding if the machine supports it."""
    operands = a.value, a.like(b).value, a.like(c).value
    return Lanes(a.builder, Emitter(a.builder).multiply_add(*operands))


def where(condition: ir.Value, a: Lanes | float, b: Lanes | float) -> Lanes:
    """a if the condition holds, else b; one of them may be a number."""
    lanes = a if isinstance(a, Lanes) else b
    assert isinstance(lanes, Lanes)
    return Lanes(
        lanes.builder, lanes.builder.select(condition, lanes.like(a).value, lanes.like(b).value)
    )


def maximum(a: Lanes, b: Lanes | float) -> Lanes:
    """The larger one; a if one is NaN."""
    return where(a < b, b, a)


def minimum(a: Lanes, b: Lanes | float) -> Lanes:
    """The smaller one; a if one is NaN."""
    return where(a > b, b, a)


def double(a: Lanes) -> Lanes:
    """The same numbers as float64."""
    return Lanes(a.builder, a.builder.fpext(a.value, lanes_of(DOUBLE, a.kind)))


def polynomial(coefficients: tuple[float, ...], x: Lanes) -> Lanes:
    """The sum of coefficients[k] x^k."""
    total = x.like(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = fma(total, x, coefficient)
    return total


# tanh(x) = x P(x x) / Q(x x) on [-9, 9]: our least-maximum fit, relative error 2e-8; in float32
# within 3.1e-7
TANH_LIMIT = 9.0
P = (0.99999998, 0.13381033393, 3.4955970427e-3, 2.0609218729e-5, 1.3354832390e-8)
Q = (1.0, 0.46714349012, 0.025877016847, 3.2856489423e-4, 7.7766320371e-7)
# the same for x / 2, halved: powers of two cause no rounding
HALF_P = tuple(p / 4 ** (k + 1) for k, p in enumerate(P))
HALF_Q = tuple(q / 4**k for k, q in enumerate(Q))


def tanh(x: Lanes) -> Lanes:
    """The hyperbolic tangent, in [-1, 1], NaN for NaN."""
    u = minimum(x * x, TANH_LIMIT**2)  # beyond the limit, the quotient would grow past 1
    return maximum(minimum(x * polynomial(P, u) / polynomial(Q, u), 1.0), -1.0)


def sigmoid(x: Lanes) -> Lanes:
    """1 / (1 + exp(-x)) = 1/2 + tanh(x / 2) / 2, in [0, 1], NaN for NaN."""
    u = minimum(x * x, (2 * TANH_LIMIT) ** 2)
    return maximum(minimum(x * polynomial(HALF_P, u) / polynomial(HALF_Q, u), 0.5), -0.5) + 0.5


def slope(y: Lanes) -> Lanes:
    """The derivative of the sigmoid, given its value y."""
    return fma(-y, y, y)


# exp(x) = 2^n e^r with n whole and |r| <= ln(2) / 2; ln(2) in two parts, e^r by its Taylor series
LOG2_E, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.693359375, -2.12194440e-4
E = (1.0, 1.0, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720)
EXP_LIMIT = -87.0
WHOLE = 1.5 * 2**23
"""Added to a small number, it leaves no room for a fraction, so the integer is in the lowest
bits.
"""
BIAS = 127
"""Bias of a float32's exponent."""


def exp(x: Lanes) -> Lanes:
    """e^x for x <= 0, with relative error 2e-7; 0 below -87, NaN for NaN."""
    shifted = fma(x, LOG2_E, WHOLE + BIAS)
    n = shifted - (WHOLE + BIAS)
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    return where(x < EXP_LIMIT, 0.0, polynomial(E, r) * _power_of_two(shifted))


def _power_of_two(shifted: Lanes) -> Lanes:
    """2^n, given n + BIAS in the lowest bits: shifted to the exponent's position."""
    build, kind = shifted.builder, shifted.kind
    bits = lanes_of(I32, kind)
    moved = build.shl(build.bitcast(shifted.value, bits), constant(bits, 23))
    return Lanes(build, build.bitcast(moved, kind))


@dataclass(frozen=True)
class Nonlinearity:
    """phi, and its derivative given y = phi(x)."""

    phi: Callable[[Lanes], Lanes]
    slope: Callable[[Lanes], Lanes]

    def __call__(self, x: Lanes) -> Lanes:
        """phi(x)."""
        return self.phi(x)


NONLINEARITIES = (
    Nonlinearity(tanh, lambda y: fma(-y, y, 1.0)),
    # x / (1 + |x|), in (-1, 1) (Glorot & Bengio 2010, section 2.2)
    Nonlinearity(lambda x: x / (1.0 + abs(x)), lambda y: (1.0 - abs(y)) * (1.0 - abs(y))),
    Nonlinearity(lambda x: where(x < 0.0, 0.0, x), lambda y: where(y > 0.0, y.like(1.0), 0.0)),
)
"""phi, in the order of `config.ACTIVATIONS`."""
