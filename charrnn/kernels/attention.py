"""Attention over what was read last (trained as in TRIME: Zhong, Lei & Chen 2022).

A character may be what followed the last time that the network was in such a state. Each output h_t
of the top layer has a query and a key, both of d units, and looks at the M positions before it,
after each of which the text is known to have gone on with a character:

    q_t = h_t W_q,  k_i = h_i W_k
    a_ti = q_t k_i / 2H + b[floor(log2(t - i))],  t - M <= i < t
    total_w = exp z_w + the sum over i with x_(i + 1) = w of exp a_ti
    p(w) = total_w / the sum of all totals

z are the decoder's logits. With g_w the derivative of the loss by log total_w, that is p_w minus
what was wanted, dz_w = g_w exp z_w / total_w and da_ti = g_w exp a_ti / total_w, w = x_(i + 1).

Keys from before the batch are constants, as its initial state is.
"""

import numpy as np
from llvmlite import ir
from numba import boolean, float32, int32, int64, intp, void

from charrnn.compiler.calling import caller
from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.emitter import FLOAT, I32, I64, VL, constant, emits
from charrnn.compiler.emitter import VECTOR as FLOATS
from charrnn.compiler.lanes import maximum
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import SUM, add_row, copy_row, fill_row, rows
from charrnn.compiler.simd import LANES, address
from charrnn.kernels.constraint import NEVER
from charrnn.kernels.product import PACK, VECTOR
from charrnn.kernels.recurrent import CUBE, IDS, PLANE, STARTS, call_product
from charrnn.kernels.softmax import exp_row, largest_of
from charrnn.kernels.writing import LOOK

TINY = np.float32(1e-30)
"""A total below this is taken for that of a symbol that no position speaks for."""
TOGETHER = 4
"""Keys that are compared with a query at the same time."""
call_pack = caller(PACK)


@rows("a")
def _scaled(b, scale):
    """a = b * scale."""
    return b * scale


@rows("r")
def _slopes(total, each, share):
    """r = each - share / total: the derivative by log total, divided by it."""
    return each - share / maximum(total, 1e-30)


@rows("a")
def _weighed(total, each, share):
    """a = total * each - share."""
    return total * each - share


@inline
def _multiply(product, a, a_row, panels, c, c_row, count, depth, columns):
    """C (count, columns) = A (count, depth) @ the packed matrix; a and c are addresses."""
    call_product(product, (a, a_row, 0, panels, 0, 0, 0, c, c_row, 0, 1, count, depth, columns))


@kernel( void( intp, intp, intp, CUBE, CUBE, PLANE, VECTOR, float32, PLANE, int64, CUBE, PLANE,
        CUBE, PLANE, IDS, CUBE, PLANE, IDS, int32[::1], IDS, IDS, STARTS, float32, float32, boolean,
        int64, int64, int64, int64, ) )  # fmt: skip
def attend(product, pack, pack_transposed, qk, logits, losses, bias, root, by_distance, symbols,
           own_keys, own_flat, queries, scratch, own_ids, p, keys, read, places, x, y, starts,
           scale, smoothing, goes_back, first, steps, start, stop):  # fmt: skip
    """The losses of streams start:stop, as `softmax.cross_entropy` has them, with attention.

    product, pack, pack_transposed: addresses of kernels of `kernels.product`
    qk (T, N, 2 d): queries and keys, read; with goes_back their derivatives
    logits (T, N, V): read, then scale * (p - wanted); with goes_back the derivative by z
    losses (T, N): written
    bias (M,): b of the positions t - M to t - 1. root: 1 / 2H
    by_distance (N, M): with goes_back, the derivatives by `bias` are added
    own_keys (N, W, d), the same as own_flat (N, W d), queries (N, T', d), scratch (N, _), own_ids
        (N, W + 1): memory of the calling thread, at `start`; W = M + T', T' is T padded
    p (T, N, V): the distributions are written; or (0, 0, 0)
    keys (N, M d), read (N, M), places (N,): the last M keys, the characters, and where the oldest
        one is; become those of the end
    x, y (T, N), starts (T, N) or (0, N), scale, smoothing, steps: the batch
    goes_back: a backward pass follows. first: before this step, derivatives are 0
    """
    N, d, M, V = qk.shape[1], qk.shape[2] // 2, bias.size, logits.shape[2]
    K, Q, memory, ids = own_keys[start], queries[start], scratch[start], own_ids[start]
    W, padded = K.shape[0], Q.shape[0]
    panels = memory[: W * d]
    S = memory[W * d : W * d + padded * W]
    turned = memory[W * d + padded * W : W * d + padded * (W + padded)]
    last = memory[W * d + padded * (W + padded) :]
    totals, slopes = last[:V], last[V : 2 * V]
    hit, share = scale - scale * smoothing, scale * smoothing / np.float32(symbols)
    all_keys = own_flat[start]
    for n in range(start, stop):
        place = np.int64(places[n])
        copy_row(all_keys[: (M - place) * d], keys[n, place * d :])
        copy_row(all_keys[(M - place) * d : M * d], keys[n, : place * d])
        for t in range(padded):
            if t < steps:
                _scaled(qk[t, n, :d], root, Q[t])
                copy_row(K[M + t], qk[t, n, d:])
            else:
                fill_row(Q[t], ZERO)
                fill_row(K[M + t], ZERO)
        call_pack(pack_transposed, (K, panels, 0, d, 0, W))
        _multiply(product, address(Q, 0), d, panels, address(S, 0), W, steps, d, W)
        low = 0
        for j in range(M):
            ids[j] = read[n, (place + j) % M]
            if ids[j] < 0:
                low = j + 1
        for t in range(steps):
            ids[M + t] = x[t, n]
        for t in range(steps):
            if starts.shape[0] > 0 and starts[t, n]:
                low = M + t
            begin, end, at, target = max(low, t), M + t, t * W, y[t, n]
            row, window = logits[t, n], S[at + t : at + end]
            seen, followed = S[at + begin : at + end], ids[begin + 1 : end + 1]
            for v in range(symbols, V):
                row[v] = NEVER
            add_row(window, bias)
            S[at + t : at + begin] = NEVER
            largest = max(largest_of(row), largest_of(window))
            wanted = row[target] - largest
            total = exp_row(row, largest) + exp_row(window, largest)
            copy_row(totals, row)
            for j in range(end - begin):
                totals[np.uint32(followed[j])] += seen[j]
            if totals[target] > TINY:
                wanted = np.float32(np.log(np.float64(totals[target])))
            losses[t, n] = np.float32(np.log(np.float64(total))) - wanted
            if p.shape[0] > 0:
                _weighed(totals, np.float32(1) / total, ZERO, p[t, n])
            if not goes_back:
                _weighed(totals, scale / total, share, row)
                row[target] -= hit
                for v in range(symbols, V):
                    row[v] = ZERO
            elif t < first:
                fill_row(row, ZERO)
                fill_row(S[at : at + W], ZERO)
            else:
                _slopes(totals, scale / total, share, slopes)
                if totals[target] > TINY:
                    slopes[target] -= hit / totals[target]
                for v in range(symbols):
                    row[v] *= slopes[v]
                if totals[target] <= TINY:
                    row[target] -= hit
                for v in range(symbols, V):
                    row[v] = ZERO
                for j in range(end - begin):
                    seen[j] *= slopes[np.uint32(followed[j])]
                add_row(by_distance[n], window)
                S[at : at + t] = ZERO
                S[at + end : at + W] = ZERO
        if goes_back:
            call_pack(pack, (Q, panels, 0, d, 0, d))
            for j in range(padded):
                for t in range(padded):
                    turned[j * padded + t] = S[t * W + M + j] if max(j, t) < steps else ZERO
            c = address(qk, n * 2 * d)
            _multiply(product, address(turned, 0), padded, panels, c + 4 * d, N * 2 * d, steps,
                      padded, d)  # fmt: skip
            call_pack(pack, (K, panels, 0, d, 0, d))
            _multiply(product, address(S, 0), W, panels, c, N * 2 * d, steps, W, d)
            for t in range(steps):
                _scaled(qk[t, n, :d], root, qk[t, n, :d])
        for j in range(steps, min(M, low)):  # those that are left of the oldest
            read[n, (place + j) % M] = -1
        for j in range(max(M, steps), M + steps):
            at = (place + j) % M
            copy_row(keys[n, at * d : (at + 1) * d], K[j])
            read[n, at] = ids[j] if j >= low else -1
        places[n] = (place + steps) % M


@emits(void(intp, intp, int64, int64, intp))
def _compare(emit, query, keys, units, count, scores):
    """scores[j] = query @ keys[j] for j < count. A key has `units` numbers, a multiple of LANES;
    all but these two are addresses. Products are summed in LANES lanes, and the lanes by halves, so
    the bits are the same on any processor.
    """
    build, vectors = emit.builder, LANES // VL

    def compare(first, together):
        begins = [build.mul(build.add(first, I64(n)), units) for n in range(together)]

        def body(k, sums):
            new = []
            for v in range(vectors):
                place = build.add(k, I64(v * VL))
                part = emit.load(query, offset=place)
                for n, begin in enumerate(begins):
                    key = emit.load(keys, offset=build.add(begin, place))
                    new.append(emit.multiply_add(part, key, sums[v * together + n]))
            return new

        start = [constant(FLOATS, 0.0)] * (vectors * together)
        _, sums = emit.loop(units, LANES, start, body)
        while len(sums) > together:
            half = len(sums) // 2
            sums = [build.fadd(a, b) for a, b in zip(sums[:half], sums[half:], strict=True)]
        for n, total in enumerate(sums):
            lanes = VL
            while lanes > 1:
                lanes //= 2
                low, high = (
                    ir.Constant(ir.VectorType(I32, lanes), [*range(a, a + lanes)])
                    for a in (0, lanes)
                )
                halves = (build.shuffle_vector(total, total, half) for half in (low, high))
                total = build.fadd(*halves)
            place = emit.at(scores, FLOAT, build.add(first, I64(n)))
            build.store(build.extract_element(total, I32(0)), place)

    def several(j, _):
        compare(j, TOGETHER)
        return []

    def one(j, _):
        compare(j, 1)
        return []

    whole = build.and_(count, I64(-TOGETHER))
    emit.loop(whole, TOGETHER, [], several)
    emit.loop(count, 1, [], one, whole)


@rows("score", fold=SUM)
def _placed(score, bias, root):
    """score = score * root + bias, and a sum that is 0 unless one of them is NaN or infinite."""
    placed = score * root + bias
    return placed, placed - placed


@kernel(LOOK)
def look(qk, keys, read, n, place, newest, symbols, bias, root, memory, row):
    """What the network itself says of stream n, and what it copies, for one character.

    qk (2 d,): its query and key. keys (N, M d), read (N, M): the ring, and in it the `place` of the
    oldest. newest: the character that was read just now.
    row (V,): z, becomes z - r, where r is the largest of all z_w and a_ti.
    memory (M + V,): overwritten; ends with copied, (V,): the sum of e^(a_ti - r) over what was
        followed by each character.
    A product that is NaN or infinite makes row[0] NaN.
    """
    d, M, V = qk.size // 2, bias.size, row.size
    window, copied, ids = memory[:M], memory[M : M + V], read[n]
    until, begin = M - place, 0  # from `until` on, positions are at the beginning of the ring
    while begin < M and ids[(place + begin) % M] < 0:
        begin += 1
    later = max(begin, until)
    fill_row(memory[: M + V], ZERO)
    if begin < until:
        start = (n * M + place + begin) * d
        _compare(address(qk, 0), address(keys, start), d, until - begin, address(window, begin))
    if later < M:
        start = (n * M + later - until) * d
        _compare(address(qk, 0), address(keys, start), d, M - later, address(window, later))
    doubt = _placed(window, bias, root)
    if doubt != ZERO:
        row[0] = doubt  # NaN, which the caller will find
    window[:begin] = NEVER
    for v in range(symbols, V):
        row[v] = NEVER
    largest = max(largest_of(row), largest_of(window))
    exp_row(window, largest)
    for j in range(begin, until - 1):
        copied[np.uint32(ids[place + j + 1])] += window[j]
    for j in range(max(begin, until - 1), M - 1):
        copied[np.uint32(ids[j + 1 - until])] += window[j]
    copied[newest] += window[M - 1]
    for v in range(V):
        row[v] -= largest
