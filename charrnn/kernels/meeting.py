"""Where threads wait for one another inside a kernel, several times a character: too often to ask the operating system."""

from __future__ import annotations

import platform

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SPINS = 2000
"""Looks at the counter before the processor is offered to other threads: about 0.1 ms, far more than a thread that runs is late."""
YIELD = next((name for name in ("sched_yield", "SwitchToThread") if binding.address_of_symbol(name)), None)
PAUSES = {"x86_64": "llvm.x86.sse2.pause", "amd64": "llvm.x86.sse2.pause", "i686": "llvm.x86.sse2.pause"}


def _pause(builder):
    """Let the other threads of the processor, and its power supply, breathe."""
    name = PAUSES.get(platform.machine().lower())
    if name is not None:
        builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), name), [])


def _offer(builder):
    """Let the operating system run another thread: the one that is waited for may have no processor."""
    if YIELD is not None:
        function = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function, YIELD), [])


@intrinsic
def meet(typingctx, counter, goal):
    """Add one to the int64 at address `counter`, then wait until it is `goal` or more.

    Threads that meet for the k-th time, P at a time, pass goal = k P. What each wrote before is seen by all behind it.
    """

    def codegen(context, builder, signature, args):
        i64, i32 = ir.IntType(64), ir.IntType(32)
        place, goal = builder.inttoptr(args[0], i64.as_pointer()), args[1]
        builder.atomic_rmw("add", place, i64(1), "acq_rel")
        before = builder.block
        names = ("look", "wait", "spin", "yield", "again", "met")
        look, wait, spin, offer, again, met = (builder.function.append_basic_block(name) for name in names)
        builder.branch(look)
        builder.position_at_end(look)
        spins = builder.phi(i32)
        spins.add_incoming(i32(0), before)
        builder.cbranch(builder.icmp_signed(">=", builder.load_atomic(place, "acquire", 8), goal), met, wait)
        builder.position_at_end(wait)
        builder.cbranch(builder.icmp_signed("<", spins, i32(SPINS)), spin, offer)
        builder.position_at_end(spin)
        _pause(builder)
        more = builder.add(spins, i32(1))
        builder.branch(again)
        builder.position_at_end(offer)
        _offer(builder)
        builder.branch(again)
        builder.position_at_end(again)
        count = builder.phi(i32)
        count.add_incoming(more, spin)
        count.add_incoming(spins, offer)
        spins.add_incoming(count, again)
        builder.branch(look)
        builder.position_at_end(met)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen
