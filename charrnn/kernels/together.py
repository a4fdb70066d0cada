"""Several networks that write one text together, without returning to Python: each next symbol is
drawn from the weighted mean of their distributions.

Networks, or streams if there are several, are divided among the threads. They meet when all
networks have read a symbol; then one of them adds up what they say and draws, and they meet again.
"""

import numpy as np
from numba import boolean, float64, int32, int64, intp, types, void

from charrnn.compiler.calling import framed
from charrnn.compiler.compiling import inline, kernel
from charrnn.kernels.product import VECTOR
from charrnn.kernels.recurrent import PLANE
from charrnn.kernels.sampling import CONTROLS, MEMORY
from charrnn.kernels.writing import (
    IDS,
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
FRAME_OF, MEMBER, START, STOP, H, C, LAYERS, WIDTH, LOGITS, COPIED, ROW, SYMBOLS = range(12)
"""What is known of a job: the frame of `writing.write` for one symbol, the network's number, its
streams, the addresses of h, c, logits and of what it copies (or 0), and their sizes.
"""
store_arguments, call_stored = framed(WRITE)


@inline
def _share(own, copied, columns, weight, shares):
    """shares (2 U,) = weight p: of what a network says, then of what it copies, whose sums are
    `weight` together. own (V,): its logits; copied (V,), or (0,). columns (U,): the place there of
    each symbol of the union, or -1.
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
        said = again = 0.0
        for k in range(shares.shape[0]):
            said += shares[k, n, u]
            again += shares[k, n, own.size + u]
        own[u], copied[u] = np.float32(np.log(max(said, LEAST))), np.float32(again)


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
def _read(write, job, columns, weights, read, shares):
    """Let a job's network read read[k, 0]; its shares of what comes next follow."""
    k, start, stop, N = job[MEMBER], job[START], job[STOP], read.shape[2]
    call_stored(write, job[FRAME_OF])
    H_, first, count = job[WIDTH], start * job[WIDTH], (stop - start) * job[WIDTH]
    for layer in range(job[LAYERS]):  # the state after the step becomes the one before the next
        for memory in (job[H], job[C]):
            before = memory + 4 * (2 * layer * N * H_ + first)
            copy_numbers(before, before + 4 * N * H_, count)
    for n in range(start, stop):
        own = own_columns(job[LOGITS], (N, 0, job[ROW]))[n, : job[SYMBOLS]]
        copied = own[:0]
        if job[COPIED] != 0:
            copied = own_columns(job[COPIED], (N, 0, job[ROW]))[n, : job[SYMBOLS]]
        _share(own, copied, columns[k], weights[k], shares[k, n])


@kernel(void(intp, int64[:, ::1], COLUMNS, COLUMNS, float64[::1], int32[:, :, ::1], SHARES, PLANE,
        PLANE, intp, intp, CONTROLS, VECTOR, intp, int64, boolean, IDS, float64[:, ::1],
        MEMORY))  # fmt: skip
def write_together(write, jobs, read_as, columns, weights, read, shares, own, copied, blend, draw,
                   controls, scratch, counter, parts, draws, ids, uniforms, memory):  # fmt: skip
    """Read ids[s] and draw ids[s + 1] from it, for s in turn; network k reads read[k, 0] first.

    write, blend, draw: addresses of kernels; blend is 0 if no network has attention.
    jobs (J, 12): those of this thread, see above.
    read_as, columns (K, U): as which symbol network k reads each of the union, and see `_share`.
    weights (K,): of the networks, whose sum is 1.
    read (K, 2, N): overwritten. shares (K, N, 2 U), own, copied (N, U), scratch (U,): overwritten.
    counter: an int64, 0, at which `parts` threads meet, of which one `draws`.
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
            _read(write, jobs[j], columns, weights, read, shares)
        met = meet_others(counter, met, parts)
        if draws:
            for n in range(ids.shape[1]):
                _mean(shares, n, own[n], copied[n])
                previous = np.int64(ids[s, n])
                if blend != 0:
                    arguments = (own[n], copied[n], controls, previous, memory, n, scratch)
                    call_blend(blend, arguments)
                ids[s + 1, n] = call_draw(
                    draw, (own[n], controls, previous, uniforms[s, n], scratch, memory, n)
                )
        met = meet_others(counter, met, parts)
