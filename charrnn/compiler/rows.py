"""Loops over rows of numbers, in vectors that stay in registers from the first load to the last
store.

`rows` makes of an equation over `Lanes` what a kernel calls with its arrays:

    @rows("c")
    def remember(i, f, g, c_before):
        return fma(f, c_before, i * g)

    remember(i, f, g, c_before, c)        # in a kernel: c = f * c' + i * g, row by row

Left to LLVM's vectorizer such loops ran at a third of this speed on AVX-512: half its vectors'
width, tests for overlap, and a pass over memory for each of the few rows that it can follow at
once. They took longer to compile, too.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from charrnn.compiler.emitter import DOUBLE, FLOAT, I32, I64, VECTOR, VL, Emitter, constant, emits
from charrnn.compiler.lanes import NONLINEARITIES, Lanes, fma, maximum
from charrnn.compiler.simd import LANES


@dataclass(frozen=True)
class Fold:
    """How the numbers of a row become one: LANES partial results, place by place, and these by
    halves, on every machine alike.
    """

    start: float
    combine: Callable[[Lanes, Lanes], Lanes]
    number: types.Float = types.float32

    @property
    def kind(self) -> ir.VectorType:
        """A vector of partial results."""
        return ir.VectorType(DOUBLE if self.number == types.float64 else FLOAT, VL)


SUM = Fold(0.0, lambda a, b: a + b)
SUM_OF_DOUBLES = Fold(0.0, lambda a, b: a + b, types.float64)
MAXIMUM = Fold(float("-inf"), maximum)


def rows(*written: str, fold: Fold | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Make an equation into what a kernel calls, with arrays for the arguments' names and then for
    those of `written` that are no arguments.

    Arrays are float32 (size,), contiguous, all as long as the first one, a multiple of LANES; what
    is only read may also be a number, the same for all. The equation returns the new value of each
    array in `written`, and with a `fold` one more, of which the call returns the fold. Without a
    fold it may take `phi` first, which the kernel gives as a number (see NONLINEARITIES).
    """

    def decorate(equation: Callable[..., Any]) -> Any:
        names = list(inspect.signature(equation).parameters)
        chooses = names[0] == "phi"
        if chooses and fold is not None:
            raise TypeError(f"{equation.__name__} chooses phi: then it cannot have a fold")
        read = names[chooses:]
        operands = read + [name for name in written if name not in read]

        @intrinsic
        def loop(typingctx, *arguments):
            _check(equation.__name__, names[:chooses] + operands, arguments, written)

            def codegen(context, builder, signature, args):
                kinds, values = signature.args[0].types, cgutils.unpack_tuple(builder, args[0])
                pairs = zip(kinds[chooses:], values[chooses:], strict=True)
                places = (_operand(context, builder, *pair) for pair in pairs)
                data = dict(zip(operands, places, strict=True))
                first = context.make_array(kinds[chooses])(context, builder, values[chooses])
                (size,) = cgutils.unpack_tuple(builder, first.shape)
                code = Emitter(builder)
                emit = _Loop(code, data, size, read, written, fold).emit
                if fold is not None:
                    return emit(equation)
                if chooses:
                    phi = context.cast(builder, values[0], kinds[0], types.int64)
                    # a loop for each: a choice within would be made at every vector
                    code.switch(
                        phi,
                        {
                            k: partial(emit, partial(equation, nonlinearity))
                            for k, nonlinearity in enumerate(NONLINEARITIES)
                        },
                    )
                else:
                    emit(equation)
                return context.get_dummy_value()

            result = types.void if fold is None else fold.number
            return result(types.StarArgTuple(arguments)), codegen

        loop.__doc__ = equation.__doc__
        return loop

    return decorate


def _check(name, operands, arguments, written):
    """Said while the kernel is compiled; Numba adds the line of the call."""
    call = f"{name}({', '.join(operands)})"
    if len(arguments) != len(operands):
        raise TypingError(f"{call} takes {len(operands)} arguments, not {len(arguments)}")
    first = operands[operands[0] == "phi"]
    for operand, kind in zip(operands, arguments, strict=True):
        is_row = isinstance(kind, types.Array) and (kind.dtype, kind.ndim, kind.layout) == (
            types.float32,
            1,
            "C",
        )
        if operand == "phi":
            fits, wanted = isinstance(kind, types.Integer), "an integer"
        elif operand == first or operand in written:
            fits, wanted = is_row, "a contiguous row of float32"
        else:
            fits, wanted = (
                is_row or isinstance(kind, types.Number),
                "a contiguous row of float32 or a number",
            )
        if not fits:
            raise TypingError(f"{operand} of {call} must be {wanted}, not {kind}")


def _operand(context, builder, kind, value):
    """Where an array begins, or a number in all lanes."""
    if isinstance(kind, types.Array):
        return context.make_array(kind)(context, builder, value).data
    return Emitter(builder).broadcast(context.cast(builder, value, kind, types.float32))


@dataclass
class _Loop:
    """Emits the loop over an equation: load, compute, store, fold."""

    code: Emitter
    data: dict[str, ir.Value]
    size: ir.Value
    read: list[str]
    written: tuple[str, ...]
    fold: Fold | None

    def emit(self, equation):
        """What the fold gives, or None without one."""
        vectors, first = 1, []
        if self.fold is not None:
            vectors = LANES // VL
            first = [constant(self.fold.kind, self.fold.start)] * vectors

        def body(u, folded):
            places = [self.code.builder.add(u, I64(v * VL)) for v in range(vectors)]
            new = [
                self._vector(equation, place, *folded[v : v + 1]) for v, place in enumerate(places)
            ]
            return new if self.fold is not None else []

        _, folded = self.code.loop(self.size, VL * vectors, first, body)
        return self._across([self._lanes(value) for value in folded]) if folded else None

    def _vector(self, equation, place, before=None):
        """The equation at one place; the partial result with its last value folded in."""
        results = equation(*(self._load(self.data[name], place) for name in self.read))
        results = list(results) if isinstance(results, tuple) else [results]
        folded = before
        if self.fold is not None:
            folded = self.fold.combine(self._lanes(before), results.pop()).value
        for name, result in zip(self.written, results, strict=True):
            self.code.store(result.value, self.data[name], place)
        return folded

    def _across(self, parts):
        """One number from all lanes: each half with the other, until one is left."""
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [
                self.fold.combine(a, b) for a, b in zip(parts[:half], parts[half:], strict=True)
            ]
        (whole,), width, builder = parts, VL, self.code.builder
        while width > 1:
            width //= 2
            lanes = ir.Constant(ir.VectorType(I32, VL), [(lane + width) % VL for lane in range(VL)])
            moved = builder.shuffle_vector(whole.value, whole.value, lanes)
            whole = self.fold.combine(whole, self._lanes(moved))
        return builder.extract_element(whole.value, I32(0))

    def _lanes(self, value):
        return Lanes(self.code.builder, value)

    def _load(self, source, place):
        is_number = source.type == VECTOR
        return self._lanes(source if is_number else self.code.load(source, offset=place))


def scalar(equation: Callable[[Lanes], Lanes]) -> Any:
    """Make an equation into a function of one float32, for what cannot be a loop over a row."""

    @emits(types.float32(types.float32))
    def function(emit, x):
        return equation(Lanes(emit.builder, x)).value

    return function


# Rows that many kernels need


@rows("a")
def fill_row(a, value):
    """a = value, everywhere."""
    return value


@rows("a")
def copy_row(a, b):
    """a = b."""
    return b


@rows("a")
def add_row(a, b):
    """a += b."""
    return a + b


@rows("a")
def multiply_row(a, b):
    """a *= b."""
    return a * b


@rows("a")
def add_product_row(a, b, c):
    """a += b * c, c a row or a number."""
    return fma(b, c, a)
