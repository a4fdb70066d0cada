"""Emit LLVM code: the building blocks of our loops, and intrinsics that use them.

An intrinsic is a function that emits code where a kernel calls it:

    @emits(void(intp, intp))
    def copy_word(emit, target, source):
        emit.builder.store(emit.builder.load(emit.at(source, I32)), emit.at(target, I32))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from inspect import Parameter, Signature
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from charrnn.compiler.target import TARGET

VL, HAS_FMA = TARGET.lanes, TARGET.is_fused
"""float32 numbers of a vector; whether there is a fused multiply-add."""
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
VECTOR = ir.VectorType(FLOAT, VL)


def constant(kind: ir.Type, number: float) -> ir.Constant:
    """The number as a constant, in all lanes for a vector type."""
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


def lanes_of(kind: ir.Type, like: ir.Type) -> ir.Type:
    """The type, with as many lanes as another type has."""
    return ir.VectorType(kind, like.count) if isinstance(like, ir.VectorType) else kind


class Emitter:
    """Emits code at one point of a function that is being compiled."""

    def __init__(self, builder: ir.IRBuilder, context: Any = None) -> None:
        self.builder, self.context = builder, context

    def at(self, base, kind, offset=0):
        """A pointer to item `offset` (a value or a number) of a type at an address."""
        if base.type == I64:
            base = self.builder.inttoptr(base, kind.as_pointer())
        return self.builder.gep(base, [offset if isinstance(offset, ir.Value) else I64(offset)])

    def load(self, base, kind=FLOAT, offset=0):
        """VL numbers of a type, aligned to the size of one number."""
        vector = ir.VectorType(kind, VL)
        value = self.builder.load(
            self.builder.bitcast(self.at(base, kind, offset), vector.as_pointer())
        )
        value.align = kind.width // 8 if isinstance(kind, ir.IntType) else 4
        return value

    def store(self, value, base, offset=0):
        """Store a vector at item `offset`, counted in its elements."""
        element = value.type.element
        place = self.builder.bitcast(self.at(base, element, offset), value.type.as_pointer())
        self.builder.store(value, place).align = element.width // 8 if element != FLOAT else 4

    def broadcast(self, scalar):
        """The same float32 in VL lanes."""
        none = ir.Constant(VECTOR, ir.Undefined)
        one = self.builder.insert_element(none, scalar, I32(0))
        return self.builder.shuffle_vector(one, none, constant(ir.VectorType(I32, VL), 0))

    def call(self, name, result, *values):
        """Call one of LLVM's functions or the system's."""
        kind = ir.FunctionType(result, [value.type for value in values])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, values)

    def multiply_add(self, a, b, c):
        """a * b + c, with one rounding if the machine supports it."""
        if not HAS_FMA:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        return self.call(f"llvm.fma.{suffix(a.type)}", a.type, a, b, c)

    def prefetch(self, place):
        """Prefetch the cache line of a pointer."""
        byte = self.builder.bitcast(place, I8.as_pointer())
        self.call("llvm.prefetch.p0", ir.VoidType(), byte, I32(0), I32(3), I32(1))

    def phi(self, kind, *incoming):
        """The value of the preceding block, from pairs of value and block."""
        phi = self.builder.phi(kind)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi

    @contextmanager
    def cases(self, number):
        """For blocks `with case(k): ...`, each with the code for one value of an integer; other
        values do nothing.
        """
        build = self.builder
        end = build.append_basic_block("end")
        switch = build.switch(number, end)

        @contextmanager
        def case(k):
            block = build.append_basic_block("case")
            switch.add_case(I64(k), block)
            build.position_at_end(block)
            yield
            build.branch(end)

        yield case
        build.position_at_end(end)

    def loop(
        self,
        stop: ir.Value,
        step: int,
        carried: Sequence[ir.Value],
        body: Callable[[ir.Value, list[Any]], Sequence[ir.Value]],
        start: ir.Value | None = None,
    ) -> tuple[ir.Value, list[ir.Value]]:
        """Loop over k from `start` (or 0) in steps while k < stop; returns k and the carried
        values.

        body(k, values) returns the next values.
        """
        build, before, first = self.builder, self.builder.block, I64(0) if start is None else start
        loop, end = build.append_basic_block("loop"), build.append_basic_block("loop_end")
        build.cbranch(build.icmp_signed("<", first, stop), loop, end)
        build.position_at_end(loop)
        k = self.phi(I64, (first, before))
        values = [self.phi(value.type, (value, before)) for value in carried]
        new = body(k, values)
        following, last = build.add(k, I64(step)), build.block
        for phi, value in zip((k, *values), (following, *new), strict=True):
            phi.add_incoming(value, last)
        build.cbranch(build.icmp_signed("<", following, stop), loop, end)
        build.position_at_end(end)
        after = [
            self.phi(old.type, (old, before), (value, last))
            for old, value in zip((first, *carried), (following, *new), strict=True)
        ]
        return after[0], after[1:]


def suffix(kind: ir.Type) -> str:
    """LLVM's suffix for the type in function names."""
    return f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"


def emits(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a function (emit, *values) into an intrinsic of this signature.

    It emits code and returns the result, or None for void.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        def define(typingctx, *_):
            def codegen(context, builder, _, args):
                result = function(Emitter(builder, context), *args)
                return context.get_dummy_value() if result is None else result

            return signature, codegen

        names = ["typingctx", *(f"value{k}" for k in range(len(signature.args)))]
        define.__name__, define.__doc__ = function.__name__, function.__doc__
        define.__signature__ = Signature(
            [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        )
        return intrinsic(define)

    return decorate
