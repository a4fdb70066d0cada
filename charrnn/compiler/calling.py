"""How kernels get their arguments: from Python by name, from other kernels by address.

Numba's first-class functions cost 0.1 ms each time one is passed from Python, with the GIL held:
entering a kernel with five of them took as long as fifty characters of a small network.
"""

from functools import cache, partial
from operator import attrgetter
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

COMPILED = attrgetter("library", "fndesc.llvm_func_name")
"""Where Numba stores compiled machine code, and the name of its entry."""


def bind(kernel: Any, **named: Any) -> partial[Any]:
    """The kernel with its first arguments bound by name; calls pass the others, in order or by
    name.

    The names must be the first ones of the kernel's signature, in any order and without a gap;
    arguments passed by a call come last. `TypeError` names missing or unknown ones. A call costs no
    more than one with all arguments.
    """
    code = kernel.py_func.__code__
    names = code.co_varnames[: code.co_argcount]
    first = names[: len(named)]
    if set(first) != named.keys():
        unknown = ", ".join(sorted(named.keys() - set(names))) or "none"
        missing = ", ".join(name for name in first if name not in named) or "none"
        raise TypeError(
            f"{kernel.py_func.__name__}: the first {len(named)} arguments are to be bound; "
            f"missing: {missing}, unknown: {unknown}"
        )
    return partial(kernel, *(named[name] for name in first))


@cache
def address_of(kernel) -> int:
    """The address of a kernel's machine code, for a `caller` of its signature; 0 for None.

    LLVM is asked once: it takes a lock, and a child that is forked meanwhile would never get it.
    """
    if kernel is None:
        return 0
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


FRAME = 1 << 14
"""Bytes of memory for a call's arguments, see `framed`."""


def framed(signature):
    """Two intrinsics for kernels of one signature whose arguments lie in memory, so that a kernel
    can call them for several networks, one after another: store(frame, arguments) puts a tuple of
    them at an address, where there are FRAME bytes; call(address, frame) calls a kernel with them.
    Arrays stay where they are, and must live on. Nothing may be raised.
    """
    wanted = types.Tuple(signature.args)

    def place(context, builder, frame):
        kind = context.get_value_type(wanted)
        if context.get_abi_sizeof(kind) > FRAME:
            raise ValueError(f"the arguments take more than {FRAME} bytes")
        return builder.inttoptr(frame, kind.as_pointer())

    @intrinsic
    def store(typingctx, frame, arguments):
        def codegen(context, builder, own, args):
            builder.store(args[1], place(context, builder, args[0]))
            return context.get_dummy_value()

        return types.void(types.intp, wanted), codegen

    @intrinsic
    def call(typingctx, function, frame):
        def codegen(context, builder, own, args):
            convention, result = context.call_conv, signature.return_type
            values = cgutils.unpack_tuple(builder, builder.load(place(context, builder, args[1])))
            kind = convention.get_function_type(result, signature.args)
            pointer = builder.inttoptr(args[0], kind.as_pointer())
            return convention.call_function(builder, pointer, result, signature.args, values)[1]

        return signature.return_type(types.intp, types.intp), codegen

    return store, call
