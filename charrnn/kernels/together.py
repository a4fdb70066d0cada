"""Several networks that write one text together, without returning to Python: each next symbol is
drawn from the weighted mean of their distributions.

Of several streams, each thread has its own. A single one is written by threads that have networks
of their own: they meet when all have read a symbol, then one of them adds up what the networks say
and draws, and they meet again.
"""

import numpy as np
from numba import float64, int32, int64, intp, types, void

from charrnn.compiler.calling import framed
from charrnn.compiler.compiling import inline, kernel
from charrnn.kernels.product import VECTOR
from charrnn.kernels.recurrent import PLANE
from charrnn.kernels.sampling import CONTROLS, MEMORY
from charrnn.kernels.writing import (
    IDS,
    RANGE,
    WRITE,
    call_blend,
    call_draw,
    copy_numbers,
    meet_others,
    own_columns,
)

COLUMNS, SHARES = int32[:, ::1], float64[:, :, ::1]
LEAST = 1e-300
"""Before a logarithm."""
FRAME_OF, MEMBER, START, STOP, H_AT, C_AT, LAYERS, WIDTH, LOGITS, COPIED, ROW, SYMBOLS = range(12)
"""What is known of a job, in this order: the frame of `writing.write` for one symbol, the network's
number, the range of streams, the addresses of h and of c, the layers, the units of one, padded, the
addresses of the logits and of what is copied (or 0), the size of a row of these, and the symbols.
"""
store_arguments, call_stored = framed(WRITE)


@inline
def _share(own, copied, columns, weight, shares):
    """shares (2 U,): first what a network says, then what it copies; all of them sum to `weight`.
    own (V,): its logits; copied (V,), or (0,). columns (U,): the place there of each symbol of the
    union, or -1.
    """
    U, total, shift = columns.size, 0.0, 0.0
    if copied.size == 0:
        shift = np.float64(own[0])
        for v in range(own.size):
            shift = max(shift, np.float64(own[v]))
    for u in range(U):
        v = columns[u]
        shares[u] = np.exp(np.float64(own[v]) - shift) if v >= 0 else 0.0
        shares[U + u] = np.float64(copied[v]) if v >= 0 and copied.size > 0 else 0.0
        total += shares[u] + shares[U + u]
    for u in range(2 * U):
        shares[u] *= weight / total


@inline
def _mean(shares, n, own, copied):
    """own, copied (U,): the logarithm of what the networks say of stream n, and what they copy;
    shares (K, N, 2 U).
    """
    for u in range(own.size):
        total = of_copied = 0.0
        for k in range(shares.shape[0]):
            total += shares[k, n, u]
            of_copied += shares[k, n, own.size + u]
        own[u], copied[u] = np.float32(np.log(max(total, LEAST))), np.float32(of_copied)


@kernel(void(PLANE, PLANE, int32[::1], float64, float64[:, ::1]))
def share_of(own, copied, columns, weight, shares):
    """`_share` of N streams: own (N, V), copied (N, V) or (0, V), shares (N, 2 U)."""
    for n in range(own.shape[0]):
        found = copied[n] if copied.shape[0] > 0 else own[n, :0]
        _share(own[n], found, columns, weight, shares[n])


@kernel(void(SHARES, PLANE, PLANE))
def mean_of_shares(shares, own, copied):
    """`_mean` of N streams: own, copied (N, U)."""
    for n in range(own.shape[0]):
        _mean(shares, n, own[n], copied[n])


@kernel(void(intp, types.Tuple(WRITE.args)))
def keep(frame, arguments):
    """Put the arguments of a call of `writing.write` into a frame."""
    store_arguments(frame, arguments)


@inline
def _step(write, job, columns, weights, read, shares):
    """Let a job's network read read[k, 0]; its shares of what comes next follow."""
    k, start, stop, N = job[MEMBER], job[START], job[STOP], read.shape[2]
    call_stored(write, job[FRAME_OF])
    width, first, count = job[WIDTH], start * job[WIDTH], (stop - start) * job[WIDTH]
    for layer in range(job[LAYERS]):  # the state after the step becomes the one before the next
        for place in (job[H_AT], job[C_AT]):
            before = place + 4 * (2 * layer * N * width + first)
            copy_numbers(before, before + 4 * N * width, count)
    for n in range(start, stop):
        own = own_columns(job[LOGITS], (N, 0, job[ROW]))[n, : job[SYMBOLS]]
        copied = own[:0]
        if job[COPIED] != 0:
            copied = own_columns(job[COPIED], (N, 0, job[ROW]))[n, : job[SYMBOLS]]
        _share(own, copied, columns[k], weights[k], shares[k, n])


@kernel(void(intp, int64[:, ::1], COLUMNS, COLUMNS, float64[::1], int32[:, :, ::1], SHARES, PLANE,
        PLANE, intp, intp, CONTROLS, intp, int64, VECTOR, RANGE, IDS, float64[:, ::1],
        MEMORY))  # fmt: skip
def write_together(write, jobs, read_as, columns, weights, read, shares, own, copied, blend, draw,
                   controls, counter, parts, scratch, draws, ids, uniforms, memory):  # fmt: skip
    """Read ids[s] and draw ids[s + 1] from it, for s in turn; network k reads read[k, 0] first.

    write, blend, draw: addresses of kernels; blend is 0 if no network has attention.
    jobs (J, 12): those of this thread, see above.
    read_as, columns (K, U): as which symbol network k reads each of the union, and see `_share`.
    weights (K,): of the networks, whose sum is 1.
    read (K, 2, N), shares (K, N, 2 U), own, copied (N, U): overwritten.
    counter: an int64, 0, at which `parts` threads meet; if that is 1, they do not meet.
    scratch (U,): overwritten; this and `draws`, the range of streams that it draws for, are this
        thread's own.
    ids (S + 1, N): read and written. uniforms (S, N): read, in [0, 1).
    memory: what the draws remember.
    """
    met = 0
    for s in range(uniforms.shape[0]):
        for j in range(jobs.shape[0]):
            k = jobs[j, MEMBER]
            for n in range(jobs[j, START], jobs[j, STOP]):
                if s > 0:
                    read[k, 0, n] = read_as[k, ids[s, n]]
            _step(write, jobs[j], columns, weights, read, shares)
        met = meet_others(counter, met, parts)
        for n in range(draws[0], draws[1]):
            _mean(shares, n, own[n], copied[n])
            previous = np.int64(ids[s, n])
            if blend != 0:
                arguments = (own[n], copied[n], controls, previous, memory, n, scratch)
                call_blend(blend, arguments)
            ids[s + 1, n] = call_draw(
                draw, (own[n], controls, previous, uniforms[s, n], scratch, memory, n)
            )
        met = meet_others(counter, met, parts)
