"""Equations over rows of numbers, as loops over vectors that stay in registers from the first load to the last store.

An equation is a Python function over `Lanes`, VL numbers at once; it runs while a kernel is compiled, and what it does to its
arguments is the code of the loop. `rows` makes of it what a kernel calls with its arrays:

    @rows("c")
    def remember(i, f, g, c_before):
        return fma(f, c_before, i * g)

    remember(i, f, g, c_before, c)        # in a kernel: c = f * c' + i * g, row by row

Left to LLVM's vectoriser such loops ran at a third of this speed on AVX-512: half its vectors' width, tests for overlap, and a pass
over memory for each of the few rows that it can follow at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from charrnn.kernels.simd import VL, emit_multiply_add

VECTOR = ir.VectorType(ir.FloatType(), VL)
I64 = ir.IntType(64)


class Lanes:
    """VL float32 numbers of a loop that is being emitted."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value

    def _with(self, other: Lanes | float, emit: str, turned: bool = False) -> Lanes:
        pair = (self, self.like(other))
        a, b = pair[::-1] if turned else pair
        return Lanes(self.builder, getattr(self.builder, emit)(a.value, b.value))

    def like(self, number: Lanes | float) -> Lanes:
        """The number itself, or a constant in all lanes."""
        if isinstance(number, Lanes):
            return number
        return Lanes(self.builder, ir.Constant(VECTOR, [float(np.float32(number))] * VL))

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._with(other, "fadd")

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._with(other, "fsub")

    def __rsub__(self, other: float) -> Lanes:
        return self._with(other, "fsub", turned=True)

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
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(VECTOR, [VECTOR]), f"llvm.fabs.v{VL}f32"
        )
        return Lanes(self.builder, self.builder.call(function, [self.value]))


def fma(a: Lanes, b: Lanes | float, c: Lanes | float) -> Lanes:
    """a * b + c, with one rounding where the machine has it."""
    operands = [a.value, a.like(b).value, a.like(c).value]
    return Lanes(a.builder, emit_multiply_add(a.builder, VECTOR, f"v{VL}f32", *operands))


def where(condition: ir.Value, a: Lanes | float, b: Lanes) -> Lanes:
    """a where the condition holds, else b."""
    return Lanes(b.builder, b.builder.select(condition, b.like(a).value, b.value))


# tanh(x) = x P(x x) / Q(x x) on [-9, 9]: our least-maximum fit, relative error 2e-8; in float32 within 3.1e-7
TANH_LIMIT = 9.0
P = (0.99999998, 0.13381033393, 3.4955970427e-3, 2.0609218729e-5, 1.3354832390e-8)
Q = (1.0, 0.46714349012, 0.025877016847, 3.2856489423e-4, 7.7766320371e-7)


def _polynomial(coefficients: tuple[float, ...], u: Lanes) -> Lanes:
    total = u.like(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = fma(total, u, coefficient)
    return total


def tanh(x: Lanes) -> Lanes:
    """The hyperbolic tangent, in [-1, 1], NaN for NaN."""
    x = where(x > TANH_LIMIT, TANH_LIMIT, x)
    x = where(x < -TANH_LIMIT, -TANH_LIMIT, x)
    u = x * x
    y = x * _polynomial(P, u) / _polynomial(Q, u)
    y = where(y > 1.0, 1.0, y)
    return where(y < -1.0, -1.0, y)


def sigmoid(x: Lanes) -> Lanes:
    """1 / (1 + exp(-x)) = 1/2 + tanh(x / 2) / 2."""
    return fma(tanh(0.5 * x), 0.5, 0.5)


def slope(y: Lanes) -> Lanes:
    """The derivative of the sigmoid where it is y."""
    return y * (1.0 - y)


@dataclass(frozen=True)
class Nonlinearity:
    """phi, and its derivative where phi is y."""

    phi: Callable[[Lanes], Lanes]
    slope: Callable[[Lanes], Lanes]

    def __call__(self, x: Lanes) -> Lanes:
        """phi(x)."""
        return self.phi(x)


NONLINEARITIES = (
    Nonlinearity(tanh, lambda y: fma(-y, y, 1.0)),
    # x / (1 + |x|), in (-1, 1) (Glorot & Bengio 2010, section 2.2)
    Nonlinearity(lambda x: x / (1.0 + abs(x)), lambda y: (1.0 - abs(y)) * (1.0 - abs(y))),
    Nonlinearity(lambda x: where(x < 0.0, 0.0, x), lambda y: where(y > 0.0, 1.0, y.like(0.0))),
)
"""In the order of `config.ACTIVATIONS`."""


def rows(*written: str) -> Callable[[Callable[..., Any]], Any]:
    """Make an equation into what a kernel calls, with arrays for the arguments' names and then for those of `written` that are no
    arguments.

    Arrays are float32, contiguous, all as long as the first, a multiple of LANES; a float is the same for all. The equation returns
    the new value of each array in `written`, and may take `phi` first, which the kernel gives as a number (see NONLINEARITIES).
    """

    def decorate(equation: Callable[..., Any]) -> Any:
        names = list(inspect.signature(equation).parameters)
        chooses = names[0] == "phi"
        read = names[chooses:]
        operands = read + [name for name in written if name not in read]

        @intrinsic
        def loop(typingctx, *arguments):
            def codegen(context, builder, signature, args):
                given = cgutils.unpack_tuple(builder, args[0])
                kinds, values = signature.args[0].types[chooses:], given[chooses:]
                if len(values) != len(operands):
                    raise TypeError(f"{equation.__name__} takes {operands}, not {len(values)} arrays")
                data = dict(
                    zip(
                        operands,
                        (_pointer_or_number(context, builder, k, v) for k, v in zip(kinds, values, strict=True)),
                        strict=True,
                    )
                )
                first = context.make_array(kinds[0])(context, builder, values[0])
                (size,) = cgutils.unpack_tuple(builder, first.shape)
                if not chooses:
                    _emit(builder, equation, read, written, data, size)
                    return context.get_dummy_value()
                end = builder.append_basic_block("end")
                switch = builder.switch(given[0], end)
                for number, phi in enumerate(NONLINEARITIES):
                    block = builder.append_basic_block(f"phi{number}")
                    switch.add_case(ir.Constant(I64, number), block)
                    builder.position_at_end(block)
                    _emit(builder, lambda *x, phi=phi: equation(phi, *x), read, written, data, size)
                    builder.branch(end)
                builder.position_at_end(end)
                return context.get_dummy_value()

            return types.void(types.StarArgTuple(arguments)), codegen

        loop.__doc__ = equation.__doc__
        return loop

    return decorate


def _pointer_or_number(context, builder, kind, value):
    if isinstance(kind, types.Array):
        return context.make_array(kind)(context, builder, value).data
    return value


def _emit(builder, equation, read, written, data, size):
    """The loop: load, run the equation, store."""
    before = builder.block
    loop, end = builder.append_basic_block("rows"), builder.append_basic_block("rows_end")
    builder.cbranch(builder.icmp_signed(">", size, I64(0)), loop, end)
    builder.position_at_end(loop)
    u = builder.phi(I64)
    u.add_incoming(I64(0), before)
    results = equation(*(Lanes(builder, _load(builder, data[name], u)) for name in read))
    for name, result in zip(written, results if isinstance(results, tuple) else (results,), strict=True):
        place = builder.bitcast(builder.gep(data[name], [u]), VECTOR.as_pointer())
        builder.store(result.value, place).align = 4
    following = builder.add(u, I64(VL))
    u.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, size), loop, end)
    builder.position_at_end(end)


def _load(builder, source, u):
    """A vector of an array, or a number in all lanes."""
    if isinstance(source.type, ir.PointerType):
        value = builder.load(builder.bitcast(builder.gep(source, [u]), VECTOR.as_pointer()))
        value.align = 4
        return value
    none, i32 = ir.Constant(VECTOR, ir.Undefined), ir.IntType(32)
    one = builder.insert_element(none, source, i32(0))
    return builder.shuffle_vector(one, none, ir.Constant(ir.VectorType(i32, VL), [0] * VL))
