"""Generate text: the network's steps and the draws between them, without returning to Python.

Several streams are divided among the threads; each goes through all steps with its own, by
`product`. One stream is divided by units: each thread has the columns of every weight that belong
to its units, so that its part of the weights stays in its own cache, and takes the cell's step for
them. The threads meet where one needs the others' results: after each layer, after `prepare`,
before outputs are normalized, and before the draw, which each thread repeats, as it does the
Mogrifier's rounds and the look back of attention.
"""

import numpy as np
from numba import boolean, float32, float64, int32, int64, intp, types, void
from numba.core import cgutils

from charrnn.compiler.barrier import meet
from charrnn.compiler.calling import caller
from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.emitter import I8, I64, emits
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import add_row, copy_row, fill_row
from charrnn.compiler.simd import address
from charrnn.kernels.mogrifying import scale_row
from charrnn.kernels.normalization import moments, standardize
from charrnn.kernels.product import MATRIX, PRODUCT, VECTOR
from charrnn.kernels.recurrent import BORDERS, CUBE, PLANE, PREPARE, STEP, Ports, keep_some
from charrnn.kernels.sampling import CONTROLS, DRAW, MEMORY
from charrnn.kernels.vector_product import VECTOR_PRODUCT

IDS = int32[:, ::1]
PLACES, RANGE, PART = int64[:, ::1], types.UniTuple(int64, 2), types.UniTuple(int64, 3)
call_product, call_vector_product = caller(PRODUCT), caller(VECTOR_PRODUCT)
call_prepare, call_step, call_draw = caller(PREPARE), caller(STEP), caller(DRAW)
LOOK = void(VECTOR, PLANE, IDS, int64, int64, int64, int64, VECTOR, float32, VECTOR, VECTOR)
BLEND = void(VECTOR, VECTOR, CONTROLS, int64, MEMORY, int64, VECTOR)
call_look, call_blend = caller(LOOK), caller(BLEND)
WRITE = void( intp, intp, intp, intp, intp, MATRIX, MATRIX, PLANE, VECTOR, PLANE, int64,
    BORDERS, CUBE, CUBE, PLANE, VECTOR, VECTOR, VECTOR, PLANE, PLANE, boolean[::1], VECTOR,
    VECTOR, boolean, boolean, int64, CONTROLS, int64, int64, int64, PLANE, int64, PLACES,
    RANGE, RANGE, RANGE, PLANE, int64[::1], PLANE, PLANE, PLANE, intp, intp, VECTOR, float32, PLANE,
    VECTOR, PLANE, IDS, int64, float64[:, ::1], MEMORY, PLANE, IDS, int32[::1], )  # fmt: skip


@emits(MATRIX(intp, PART))
def own_columns(emit, place, part):
    """Columns first:last of the float32 (N, columns) matrix at an address, part = (N, first, last):
    all of them, unless N is 1.
    """
    # which takes a tenth of a second, and only to compile
    from numba.np.arrayobj import populate_array

    builder, size = emit.builder, I64(4)
    N, first, last = cgutils.unpack_tuple(builder, part)
    array = emit.context.make_array(MATRIX)(emit.context, builder)
    place = builder.add(place, builder.mul(builder.mul(N, first), size))
    data, columns = builder.inttoptr(place, array.data.type), builder.sub(last, first)
    strides = [builder.mul(columns, size), size]
    populate_array(array, data, [N, columns], strides, size, meminfo=None)
    return array._getvalue()


@emits(void(intp, intp, intp))
def copy_numbers(emit, target, source, count):
    """Copy `count` float32 from one address to another."""
    cgutils.raw_memcpy(emit.builder, emit.at(target, I8), emit.at(source, I8), count, 4)


@inline
def meet_others(counter, met, parts):
    """Meet the other threads; returns the goal of the next meeting."""
    if parts > 1:
        meet(counter, met + parts)
    return met + parts


@inline
def _multiply(multiplier, a, depth, weights, z, z_row, rows, columns):
    """z (rows, columns) += a (rows, depth) @ weights; a, weights and z are addresses, rows of z are
    z_row apart.
    """
    product, vector_product, is_vector = multiplier
    if is_vector:
        call_vector_product(vector_product, (a, weights, z, depth, columns))
    else:
        panels = own_columns(weights, (1, 0, 0))[0]
        call_product(
            product, (a, depth, 0, panels, z, z_row, 0, z, z_row, 0, 1, rows, depth, columns)
        )


@inline
def _mogrify(
    multiplier, embedding, ids, h, weights, rounds, last_x, last_h, scale, start, stop
):  # fmt: skip
    """The rounds of `mogrifying` for streams start:stop; h is the address of the first one's."""
    E, H, size, rows = last_x.shape[1], last_h.shape[1], scale.shape[1], stop - start
    copy_numbers(address(last_h, start * H), h, rows * H)
    for n in range(start, stop):
        copy_row(last_x[n], embedding[ids[n]])
    for r in range(rounds.size):
        for n in range(start, stop):
            fill_row(scale[n], ZERO)
        reads, depth, units = address(last_h, start * H), H, E
        if r % 2 == 1:
            reads, depth, units = address(last_x, start * E), E, H
        _multiply(multiplier, reads, depth, weights + 4 * rounds[r],
                  address(scale, start * size), size, rows, units)  # fmt: skip
        for n in range(start, stop):
            if r % 2 == 0:
                scale_row(last_x[n], scale[n, :E])
            else:
                scale_row(last_h[n], scale[n, :H])


@inline
def _is_finite(row):
    """True unless one of the numbers is NaN or infinite."""
    count = 0
    for v in range(row.size):
        count += row[v] - row[v] != ZERO
    return count == 0


@inline
def _remember(qk, keys, read, place, symbol):
    """Put a key, and the symbol that was read, in the place of the oldest ones."""
    d = qk.size // 2
    copy_row(keys[place * d : (place + 1) * d], qk[d:])
    read[place] = symbol


@kernel(WRITE)
def write(product, vector_product, prepare, step, draw, table, memory_table, bias,
          out_bias, p, activation, borders, h, c, m, z, q, y, x, logits, overflows, keep_h, keep_c,
          has_output, is_residual, first_read, controls, counter, parts, normal, scratch, weights,
          places, own_streams, own_units, own_logits, embedding, rounds, last_x, last_h, scale,
          look, blend, look_bias, root, qk, look_memory, copied, ids, given, uniforms, memory, keys,
          read, oldest):  # fmt: skip
    """Read ids[s] and draw ids[s + 1] from it, for s in turn and for this thread's own streams; the
    first `given` ids are not drawn, and none without uniforms.

    `generation.writer` binds all but the last seven arguments, by name. product, vector_product,
    prepare, step, draw, look, weights and counter are addresses. What belongs to units lies unit
    range after unit range, each a matrix by itself, if one stream is divided.

    table: (V, X), read: the first layer's product with each symbol; (0, X) if there are rounds.
    memory_table: (V, H), read: the first layer's m below; or (0, 0).
    bias: (L, GH), out_bias: (V padded), p: (L, K H), read.
    h, c: (L, 2, N H): plane 0 holds the state before, plane S % 2 receives the one after.
    m: (2, N H), x: (L, N H), z: (N GH), q, y: (N H), logits: (N, V padded), overwritten.
    overflows: (1,), set to True if a logit is NaN or infinite; the symbols drawn mean nothing then.
    keep_h, keep_c: (N H), read, or empty without zoneout.
    first_read: the decoder reads the layers from this one on.
    controls: how symbols are drawn, see `sampling.Controls`.
    counter: an int64, 0, at which `parts` threads meet.
    normal: over how many units layers' outputs are normalized, or 0.
    scratch: (2, V padded), overwritten; this and all following arguments belong to this thread.
    weights: W_x, W_h, W_q, the decoder's weight and attention's of layer l, from places[l] on.
    own_streams, own_units, own_logits: ranges (first, last); if one stream is divided, of units and
    logits, else all of these.
    embedding: (V, E), read, if there are rounds of the Mogrifier; or (0, 0). rounds: where the
        matrix of each begins in `weights`. last_x (N, E), last_h (N, H): overwritten with what is
        left of the embeddings and h. scale (N, the larger one): overwritten.
    look, blend: `attention.look` and `blend`, or 0. look_bias (M,), root: see there. qk (N, 2 d),
        look_memory (M + V padded,): overwritten.
    copied: (N, V padded): without uniforms what each stream copies, and its logits are its own ones
        (see `look`); of no size without attention.
    ids: (S + 1, N), read and written.
    uniforms: (S, N), read, in [0, 1); or (0, N).
    memory: what the draws remember, see `sampling.Memory`. Each thread's is its own if one stream
        is divided, since all draw the same symbols.
    keys, read, oldest: (N, M d), (N, M), (N,): the ring of attention, changed; of no size without.
    """
    (start, stop), (first, last), (first_out, last_out) = own_streams, own_units, own_logits
    L, S, N = h.shape[0], ids.shape[0] - 1, ids.shape[1]
    V = max(table.shape[0], embedding.shape[0])
    H = h.shape[2] // N
    G, G_x, K, units = bias.shape[1] // H, table.shape[1] // H, p.shape[1] // H, last - first
    rows, Z, width, met = stop - start, G * units, logits.shape[1], 0
    reach, width_qk = max(1, look_bias.size), qk.shape[1]
    from_h, from_q, end = borders[0] // H * units, borders[1] // H * units, borders[2] // H * units
    multiplier, own = (product, vector_product, N == 1), (N, first, last)
    gates = own_columns(address(z, 0), (N, G * first, G * last))
    q_own, y_own = own_columns(address(q, 0), own), own_columns(address(y, 0), own)
    for s in range(S):
        now, then = s % 2, 1 - s % 2
        for layer in range(L):
            above, below = layer % 2, (layer + 1) % 2
            before, after = (layer * 2 + now) * N * H, (layer * 2 + then) * N * H
            h_before = own_columns(address(h, before), own)
            h_after = own_columns(address(h, after), own)
            c_before = own_columns(address(c, before), own)
            c_after = own_columns(address(c, after), own)
            m_below = own_columns(address(m, below * N * H), own)
            m_above = own_columns(address(m, above * N * H), own)
            x_below = own_columns(address(x, max(layer - 1, 0) * N * H), own)
            x_above = own_columns(address(x, layer * N * H), own)
            vectors = own_columns(address(p, layer * K * H), (K, first, last))
            for n in range(start, stop):
                copy_numbers(address(gates, n * Z), address(bias, (layer * H + first) * G), Z)
            fed = address(h, before + start * H)
            if layer == 0 and rounds.size > 0:
                _mogrify(multiplier, embedding, ids[s], fed, weights, rounds, last_x, last_h, scale,
                         start, stop)  # fmt: skip
                E, fed = last_x.shape[1], address(last_h, start * H)
                _multiply(multiplier, address(last_x, start * E), E, weights + 4 * places[0, 0],
                          address(gates, start * Z), Z, rows, G_x * units)  # fmt: skip
            elif layer == 0:
                for n in range(start, stop):
                    looked_up = address(table, (ids[s, n] * H + first) * G_x)
                    add_row(gates[n, : G_x * units], own_columns(looked_up, (1, 0, G_x * units))[0])
                    if memory_table.shape[0] > 0:
                        copy_numbers(
                            address(m_below, n * units),
                            address(memory_table, ids[s, n] * H + first),
                            units,
                        )
            else:
                _multiply(multiplier, address(x,
                          ((layer - 1) * N + start) * H), H, weights + 4 * places[layer, 0],
                          address(gates, start * Z), Z, rows, G_x * units)  # fmt: skip
            _multiply(multiplier, fed, H, weights + 4 * places[layer, 1],
                      address(gates, start * Z + from_h), Z, rows, from_q - from_h)  # fmt: skip
            if end > from_q:
                call_prepare(prepare, (gates, h_before, q_own, start, stop))
                met = meet_others(counter, met, parts)
                _multiply(multiplier, address(q, start * H), H,
                          weights + 4 * places[layer, 2], address(gates, start * Z + from_q), Z,
                          rows, end - from_q)  # fmt: skip
            ports = Ports(m_below, y_own, m_above, vectors)
            call_step(
                step,
                (gates, h_before, c_before, h_after, c_after, ports, activation, start, stop),
            )
            for n in range(start, stop):
                if keep_h.size > 0:
                    keep_some(h_before[n], h_after[n], own_columns(address(keep_h, 0), own)[n])
                if keep_c.size > 0:
                    keep_some(c_before[n], c_after[n], own_columns(address(keep_c, 0), own)[n])
                copy_numbers(
                    address(x_above, n * units),
                    address(y_own if has_output else h_after, n * units),
                    units,
                )
            if normal > 0:  # over all units, some of which other threads may have computed
                met = meet_others(counter, met, parts)
                outputs = own_columns(address(y, 0) if has_output else address(h, after), (N, 0, H))
                for n in range(start, stop):
                    mean, r = moments(outputs[n], normal)
                    standardize(x_above[n], mean, r, min(units, normal - first))
            if is_residual and layer > 0:
                for n in range(start, stop):
                    add_row(x_above[n], x_below[n])
            met = meet_others(counter, met, parts)
        if look != 0:
            for n in range(start, stop):
                fill_row(qk[n], ZERO)
            _multiply(multiplier, address(x, ((L - 1) * N + start) * H), H,
                      weights + 4 * places[L - 1, 4], address(qk, start * width_qk), width_qk,
                      rows, width_qk)  # fmt: skip
        if s + 1 < given:
            if look != 0 and first == 0:
                for n in range(start, stop):
                    _remember(qk[n], keys[n], read[n], (oldest[n] + s) % reach, ids[s, n])
            continue
        for n in range(start, stop):
            copy_numbers(
                address(logits, n * width + first_out),
                address(out_bias, first_out),
                last_out - first_out,
            )
        for layer in range(first_read, L):
            _multiply(multiplier, address(x, (layer * N + start) * H), H,
                      weights + 4 * places[layer, 3], address(logits, start * width + first_out),
                      width, rows, last_out - first_out)  # fmt: skip
        met = meet_others(counter, met, parts)
        for n in range(start, stop):
            if not _is_finite(logits[n, :V]):
                overflows[0] = True
            if look != 0 and (uniforms.shape[0] > 0 or first == 0):
                copy_numbers(address(scratch, 0), address(logits, n * width), width)
                ring = keys, read, n, (oldest[n] + s) % reach, ids[s, n]
                call_look(look, (qk[n], *ring, V, look_bias, root, look_memory, scratch[0]))
                if not _is_finite(scratch[0, :V]):
                    overflows[0] = True
            elif uniforms.shape[0] > 0:
                copy_numbers(address(scratch, 0), address(logits, n * width), V)
            if uniforms.shape[0] > 0:
                row, other, previous = scratch[0, :V], scratch[1, :V], np.int64(ids[s, n])
                if look != 0:
                    found = look_memory[reach : reach + V]
                    call_blend(blend, (row, found, controls, previous, memory, n, other))
                ids[s + 1, n] = call_draw(
                    draw, (row, controls, previous, uniforms[s, n], other, memory, n)
                )
            elif look != 0 and first == 0:
                copy_numbers(address(logits, n * width), address(scratch, 0), V)
                copy_numbers(address(copied, n * width), address(look_memory, reach), V)
        if look != 0:
            met = meet_others(counter, met, parts)  # all have looked back
            if first == 0:
                for n in range(start, stop):
                    _remember(qk[n], keys[n], read[n], (oldest[n] + s) % reach, ids[s, n])
    if look != 0:
        met = meet_others(counter, met, parts)  # all have read where the oldest was
        if first == 0:
            for n in range(start, stop):
                oldest[n] = (oldest[n] + S) % reach
