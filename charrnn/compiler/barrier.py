"""Where threads wait for one another inside a kernel, several times a character: too often to ask
the operating system.
"""

import platform

from llvmlite import binding, ir
from numba import intp, void

from charrnn.compiler.emitter import I32, I64, emits

PATIENCE = 1 << 20
"""Cycles that a thread only waits, 0.3 to 0.5 ms; then it sleeps between two looks, since whom it
waits for has no processor.

It must be longer than a sleep (0.1 ms): else the others would fall asleep over one that slept, and
so on for ever. To offer the processor instead (sched_yield) is worse: beside two other programs
that compute, a text took five times as long to write, since who comes back from that finds the
others gone. It takes longer than on one thread all the same: see `Writer`.
"""
SLEEP = next(
    (each for each in (("usleep", 50), ("Sleep", 1)) if binding.address_of_symbol(each[0])), None
)
"""A function of the system, and for how long: microseconds, or milliseconds on Windows."""
IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")


def _cycles(emit, looks):
    """A number that grows by one a cycle. Elsewhere than on x86 a program may not read a clock: a
    look is taken for 8 cycles.
    """
    return emit.call("llvm.readcyclecounter", I64) if IS_X86 else emit.builder.mul(looks, I64(8))


@emits(void(intp, intp))
def meet(emit, counter, goal):
    """Add one to the int64 at address `counter`, then wait until it is `goal` or more; the int64
    after it counts sleeps.

    Threads that meet for the k-th time, P at a time, pass goal = k P. What each wrote before is
    seen by all after it.
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
