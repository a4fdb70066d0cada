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
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from charrnn.compiler.lanes import NONLINEARITIES, VECTOR, Lanes, constant, fma, maximum
from charrnn.compiler.simd import LANES, VL

I32, I64 = ir.IntType(32), ir.IntType(64)


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
        return ir.VectorType(
            ir.DoubleType() if self.number == types.float64 else ir.FloatType(), VL
        )


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
                data = dict(
                    zip(
                        operands, (_operand(context, builder, *pair) for pair in pairs), strict=True
                    )
                )
                first = context.make_array(kinds[chooses])(context, builder, values[chooses])
                (size,) = cgutils.unpack_tuple(builder, first.shape)
                emit = _Loop(builder, data, size, read, written, fold).emit
                if fold is not None:
                    return emit(equation)
                if chooses:
                    phi = context.cast(builder, values[0], kinds[0], types.int64)
                    _choose(builder, phi, lambda phi: emit(lambda *lanes: equation(phi, *lanes)))
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
    number = context.cast(builder, value, kind, types.float32)
    none = ir.Constant(VECTOR, ir.Undefined)
    one = builder.insert_element(none, number, I32(0))
    return builder.shuffle_vector(one, none, constant(ir.VectorType(I32, VL), 0))


def _choose(builder, number, emit):
    """The code of one nonlinearity or another: a loop for each, since a choice within would be made
    at every vector.
    """
    end = builder.append_basic_block("chosen")
    switch = builder.switch(number, end)
    for k, phi in enumerate(NONLINEARITIES):
        block = builder.append_basic_block(f"phi{k}")
        switch.add_case(I64(k), block)
        builder.position_at_end(block)
        emit(phi)
        builder.branch(end)
    builder.position_at_end(end)


@dataclass
class _Loop:
    """Emits the loop over an equation: load, compute, store, fold."""

    builder: ir.IRBuilder
    data: dict[str, ir.Value]
    size: ir.Value
    read: list[str]
    written: tuple[str, ...]
    fold: Fold | None

    def emit(self, equation):
        """What the fold gives, or None without one."""
        build, before, vectors = (
            self.builder,
            self.builder.block,
            1 if self.fold is None else LANES // VL,
        )
        loop, end = build.append_basic_block("rows"), build.append_basic_block("rows_end")
        build.cbranch(build.icmp_signed(">", self.size, I64(0)), loop, end)
        build.position_at_end(loop)
        u = self._phi(I64, (I64(0), before))
        start = constant(self.fold.kind, self.fold.start) if self.fold else None
        partial = (
            [self._phi(start.type, (start, before)) for _ in range(vectors)] if self.fold else []
        )
        folded = [
            self._vector(equation, build.add(u, I64(v * VL)), *partial[v : v + 1])
            for v in range(vectors)
        ]
        following = build.add(u, I64(VL * vectors))
        u.add_incoming(following, loop)
        for old, new in zip(partial, folded, strict=bool(partial)):
            old.add_incoming(new.value, loop)
        build.cbranch(build.icmp_signed("<", following, self.size), loop, end)
        build.position_at_end(end)
        if not self.fold:
            return None
        return self._across(
            [
                Lanes(build, self._phi(start.type, (start, before), (new.value, loop)))
                for new in folded
            ]
        )

    def _vector(self, equation, place, partial=None):
        """The equation at one place; the partial result with its last value folded in."""
        results = equation(*(self._load(self.data[name], place) for name in self.read))
        results = list(results) if isinstance(results, tuple) else [results]
        folded = (
            self.fold.combine(Lanes(self.builder, partial), results.pop()) if self.fold else None
        )
        for name, result in zip(self.written, results, strict=True):
            self.builder.store(result.value, self._at(self.data[name], place)).align = 4
        return folded

    def _across(self, parts):
        """One number from all lanes: each half with the other, until one is left."""
        while len(parts) > 1:
            half = len(parts) // 2
            parts = [
                self.fold.combine(a, b) for a, b in zip(parts[:half], parts[half:], strict=True)
            ]
        (whole,), width = parts, VL
        while width > 1:
            width //= 2
            lanes = ir.Constant(ir.VectorType(I32, VL), [(lane + width) % VL for lane in range(VL)])
            moved = self.builder.shuffle_vector(whole.value, whole.value, lanes)
            whole = self.fold.combine(whole, Lanes(self.builder, moved))
        return self.builder.extract_element(whole.value, I32(0))

    def _load(self, source, place):
        if source.type == VECTOR:
            return Lanes(self.builder, source)
        value = self.builder.load(self._at(source, place))
        value.align = 4
        return Lanes(self.builder, value)

    def _at(self, base, place):
        return self.builder.bitcast(self.builder.gep(base, [place]), VECTOR.as_pointer())

    def _phi(self, kind, *incoming):
        phi = self.builder.phi(kind)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi


def scalar(equation: Callable[[Lanes], Lanes]) -> Any:
    """Make an equation into a function of one float32, for what cannot be a loop over a row."""

    @intrinsic
    def function(typingctx, x):
        def codegen(context, builder, signature, args):
            return equation(Lanes(builder, args[0])).value

        return types.float32(types.float32), codegen

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
