"""A barrier for threads inside a kernel, passed several times per character: too often for the
operating system's locks.
"""

import platform

from llvmlite import binding, ir
from numba import intp, void

from charrnn.compiler.emitter import I32, I64, emits

PATIENCE = 1 << 20
"""Cycles that a thread spins, 0.3 to 0.5 ms; after that it sleeps between two checks, since the
thread that it waits for has no processor.

It must be longer than a sleep (0.1 ms): otherwise the other threads would fall asleep waiting for
one that slept, and so on forever. Yielding the processor instead (sched_yield) is worse: with two
other busy programs, a text took five times as long to write, since a thread that returns from it
finds the others gone. Even so, it takes longer than on one thread: see `Writer`.
"""
SLEEP = next(
    (each for each in (("usleep", 50), ("Sleep", 1)) if binding.address_of_symbol(each[0])), None
)
"""The system's sleep function and its argument: microseconds, or milliseconds on Windows."""
IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")


def _cycles(emit, looks):
    """A number that increases by one per cycle. Other than on x86, a program may not be allowed to
    read a clock: each check then counts as 8 cycles.
    """
    return emit.call("llvm.readcyclecounter", I64) if IS_X86 else emit.builder.mul(looks, I64(8))


@emits(void(intp, intp))
def meet(emit, counter, goal):
    """Add one to the int64 at address `counter`, then wait until it is `goal` or more; the int64
    after it counts sleeps.

    At their k-th meeting, P threads pass goal = k P. Everything written before it is visible to all
    afterwards.
    """
    builder, place = emit.builder, emit.at(counter, I64)
    builder.atomic_rmw("add", place, I64(1), "acq_rel")
    start, before = _cycles(emit, I64(0)), builder.block
    look, wait, met = (builder.append_basic_block(name) for name in ("look", "wait", "met"))
    builder.branch(look)
    builder.position_at_end(look)
    looks = emit.phi(I64, (I64(0), before))
    arrived = builder.icmp_signed(">=", builder.load_atomic(place, "acquire", 8), goal)
    builder.cbranch(arrived, met, wait)
    builder.position_at_end(wait)
    passed = builder.sub(_cycles(emit, looks), start)
    with builder.if_else(builder.icmp_signed("<", passed, I64(PATIENCE))) as (early, late):
        with early:
            if IS_X86:
                emit.call("llvm.x86.sse2.pause", ir.VoidType())
        with late:
            builder.atomic_rmw("add", emit.at(place, I64, 1), I64(1), "monotonic")
            if SLEEP is not None:
                emit.call(SLEEP[0], I32, I32(SLEEP[1]))
    looks.add_incoming(builder.add(looks, I64(1)), builder.block)
    builder.branch(look)
    builder.position_at_end(met)
