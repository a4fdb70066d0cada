"""Loops over rows of numbers, in vectors that stay in registers from the first load to the last
store.

`rows` turns an equation over `Lanes` into a function that a kernel calls with its arrays:

    @rows("c")
    def remember(i, f, g, c_before):
        return fma(f, c_before, i * g)

    remember(i, f, g, c_before, c)        # in a kernel: c = f * c' + i * g, row by row

With LLVM's vectorizer, such loops ran at a third of this speed on AVX-512: it used half the vector
width, tested for overlap, and made a pass over memory for each of the few rows that it can track at
once. They also took longer to compile.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    """How the numbers of a row are reduced to one: LANES partial results, which are then combined
    by halves, in the same way on every machine.
    """

    start: float
    combine: Callable[[Lanes, Lanes], Lanes]
    number: types.Float = types.float32

    @property
    def kind(self) -> ir.VectorType:
        """A vector of partial results."""
        return ir.VectorType(DOUBLE if self.number == types.float64 else FLOAT, VL)

    def across(self, builder, results):
        """Reduce all lanes to one number: combine the two halves until one is left."""
        parts = [Lanes(builder, value) for value in results]
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [self.combine(*pair) for pair in zip(parts[:half], parts[half:], strict=True)]
        (whole,), width = parts, VL
        while width > 1:
            width //= 2
            lanes = ir.Constant(ir.VectorType(I32, VL), [(lane + width) % VL for lane in range(VL)])
            moved = builder.shuffle_vector(whole.value, whole.value, lanes)
            whole = self.combine(whole, Lanes(builder, moved))
        return builder.extract_element(whole.value, I32(0))


SUM = Fold(0.0, lambda a, b: a + b)
SUM_OF_DOUBLES = Fold(0.0, lambda a, b: a + b, types.float64)
MAXIMUM = Fold(float("-inf"), maximum)


@dataclass(frozen=True)
class Equation:
    """A function over `Lanes`, with the names of the rows that it reads and writes.

    The function's first argument is `phi` if it `chooses` one (see NONLINEARITIES).
    """

    function: Callable[..., Any]
    read: tuple[str, ...]
    written: tuple[str, ...]
    chooses: bool
    fold: Fold | None

    @property
    def rows(self) -> tuple[str, ...]:
        """All names, without duplicates."""
        return tuple(dict.fromkeys(self.read + self.written))

    def renamed(self, **names: str) -> Equation:
        """The same equation with other row names."""
        read, written = (
            tuple(names.get(name, name) for name in group) for group in (self.read, self.written)
        )
        return replace(self, read=read, written=written)

    def emit(self, emit, size, data, phi=None):
        """Emit the loop over rows of this size, or one loop for each phi, since a choice inside the
        loop would be made for every vector; returns the result of the fold, or None.

        `data` has the pointer of each row, or a vector of the number that replaces it.
        """
        if not self.chooses:
            return self._loop(emit, size, data, self.function)
        with emit.cases(phi) as case:
            for number, choice in enumerate(NONLINEARITIES):
                with case(number):
                    self._loop(emit, size, data, partial(self.function, choice))
        return None

    def _loop(self, emit, size, data, function):
        """Load, compute, store, fold."""
        fold, builder = self.fold, emit.builder
        start = [constant(fold.kind, fold.start)] * (LANES // VL) if fold else []
        vectors = max(1, len(start))

        def body(u, folded):
            new = []
            for v in range(vectors):
                place = builder.add(u, I64(v * VL))
                loaded = (
                    data[name] if data[name].type == VECTOR else emit.load(data[name], offset=place)
                    for name in self.read
                )
                results = function(*(Lanes(builder, value) for value in loaded))
                results = list(results) if isinstance(results, tuple) else [results]
                if fold:
                    new.append(fold.combine(Lanes(builder, folded[v]), results.pop()).value)
                for name, result in zip(self.written, results, strict=True):
                    emit.store(result.value, data[name], place)
            return new

        _, folded = emit.loop(size, VL * vectors, start, body)
        return fold.across(builder, folded) if fold else None


def equation(*written: str, fold: Fold | None = None) -> Callable[[Callable[..., Any]], Equation]:
    """Turn a function over `Lanes` into an equation that writes these rows; its arguments are named
    after the rows that it reads.
    """

    def decorate(function: Callable[..., Any]) -> Equation:
        names = tuple(inspect.signature(function).parameters)
        chooses = names[0] == "phi"
        return Equation(function, names[chooses:], written, chooses, fold)

    return decorate


def rows(*written: str, fold: Fold | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Turn an equation into a function for kernels, which takes arrays for the equation's arguments
    and then for the names in `written` that are not arguments.

    Arrays are float32 (size,), contiguous, all as long as the first one, a multiple of LANES; an
    input that is only read may also be a number. The equation returns the new value of each array
    in `written` and, with a `fold`, one more value, whose fold the call returns.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        made = equation(*written, fold=fold)(function)

        @intrinsic
        def loop(typingctx, *arguments):
            _check(function.__name__, made.rows, arguments, written)

            def codegen(context, builder, signature, args):
                pairs = list(
                    zip(
                        signature.args[0].types, cgutils.unpack_tuple(builder, args[0]), strict=True
                    )
                )
                first = context.make_array(pairs[0][0])(context, builder, pairs[0][1])
                (size,) = cgutils.unpack_tuple(builder, first.shape)
                places = [_operand(context, builder, *pair) for pair in pairs]
                data = dict(zip(made.rows, places, strict=True))
                result = made.emit(Emitter(builder), size, data)
                return context.get_dummy_value() if result is None else result

            result = types.void if fold is None else fold.number
            return result(types.StarArgTuple(arguments)), codegen

        loop.__doc__ = function.__doc__
        return loop

    return decorate


def _check(name, operands, arguments, written):
    """Check the arguments while the kernel is compiled; Numba adds the line of the call."""
    call = f"{name}({', '.join(operands)})"
    if len(arguments) != len(operands):
        raise TypingError(f"{call} takes {len(operands)} arguments, not {len(arguments)}")
    for operand, kind in zip(operands, arguments, strict=True):
        row = types.Array(types.float32, 1, "C")
        fits, wanted = kind == row, "a contiguous row of float32"
        if operand != operands[0] and operand not in written:
            fits, wanted = fits or isinstance(kind, types.Number), f"{wanted} or a number"
        if not fits:
            raise TypingError(f"{operand} of {call} must be {wanted}, not {kind}")


def _operand(context, builder, kind, value):
    """The address of an array, or a number in all lanes."""
    if isinstance(kind, types.Array):
        return context.make_array(kind)(context, builder, value).data
    return Emitter(builder).broadcast(context.cast(builder, value, kind, types.float32))


def scalar(equation: Callable[[Lanes], Lanes]) -> Any:
    """Turn an equation into a function of one float32, for code that is not a loop over a row."""

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
