"""Kernels that call kernels which are passed to them, by address.

Numba's own first-class functions cost 0.1 ms each time one is passed from Python, with the GIL
held: a kernel that got five of them took as long to enter as fifty characters of a small network.
"""

from __future__ import annotations

from operator import attrgetter

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

COMPILED = attrgetter("library", "fndesc.llvm_func_name")
"""Where Numba keeps the machine code of what it compiled, and the name of its entry."""


def address_of(kernel) -> int:
    """Where a kernel's machine code begins, for a `caller` of its signature. It must stay alive, as
    what a module holds does.
    """
    (compiled,) = kernel.overloads.values()
    machine_code, name = COMPILED(compiled)
    return machine_code.get_pointer_to_function(name)


def caller(signature):
    """An intrinsic call(address, arguments) for kernels of one signature; the arguments are a
    tuple. Nothing may be raised.
    """

    @intrinsic
    def call(typingctx, function, arguments):
        def codegen(context, builder, own, args):
            convention, wanted = context.call_conv, signature.args
            given = cgutils.unpack_tuple(builder, args[1])
            values = [
                context.cast(builder, *each)
                for each in zip(given, own.args[1], wanted, strict=True)
            ]
            kind = convention.get_function_type(signature.return_type, wanted)
            pointer = builder.inttoptr(args[0], kind.as_pointer())
            return convention.call_function(
                builder, pointer, signature.return_type, wanted, values
            )[1]

        return signature.return_type(types.intp, arguments), codegen

    return call
