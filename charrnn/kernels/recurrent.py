"""The time loop of a layer, forward and backward, for any cell.

A cell is a few compiled functions, passed as addresses (see `calling`): each loop is compiled once,
not once for each cell, and stays in the cache. So is the matrix product: linking it into every
caller would cost seconds.

A step of any cell goes through the same stations, the second and third of them empty for most:

    z += h' W_h                      the recurrent product, into columns first:middle of z
    prepare                          q from z and h', as the GRU's r * h'
    z += q W_q                       a second product, into columns middle:last
    step                             gates, and from them the new h and c
    carry                            zoneout, and zeros where the next character begins a document

Going back, a step never reads the states that came after it, only its gates and the states before
it: `carry` may change those.
"""

from __future__ import annotations

from numba import boolean, float32, int32, int64, intp, void

from charrnn.compiler.calling import caller
from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import fma
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import copy_row, fill_row, rows
from charrnn.compiler.simd import address
from charrnn.kernels.product import PRODUCT, VECTOR

PLANE = float32[:, ::1]
CUBE = float32[:, :, ::1]
STARTS = boolean[:, ::1]
BORDERS = int64[::1]
IDS = int32[:, ::1]
FEED = void(intp, CUBE, IDS, PLANE, PLANE, VECTOR, VECTOR, int64, CUBE, int64, int64, int64, int64)
PREPARE = void(PLANE, PLANE, PLANE, int64, int64)
PREPARE_BACK = void(PLANE, PLANE, PLANE, PLANE, int64, int64)
STEP = void(PLANE, PLANE, PLANE, PLANE, PLANE, PLANE, PLANE, PLANE, PLANE, int64, int64, int64)
STEP_BACK = void(
    PLANE,
    PLANE,
    PLANE,
    PLANE,
    PLANE,
    int64,
    PLANE,
    PLANE,
    PLANE,
    PLANE,
    PLANE,
    PLANE,
    PLANE,
    PLANE,
    int64,
    int64,
)
call_product, call_feed, call_prepare, call_step = (
    caller(PRODUCT),
    caller(FEED),
    caller(PREPARE),
    caller(STEP),
)
call_prepare_back, call_step_back = caller(PREPARE_BACK), caller(STEP_BACK)
FED = 3 << 14
"""Floats of z that are written at a time: they stay in the second cache until the time loop has
gone over them.
"""


@kernel(PREPARE)
def prepare_nothing(z, h_before, q, start, stop):
    """For a cell without a second product."""


@kernel(PREPARE_BACK)
def prepare_nothing_back(z, h_before, dq, dh_before, start, stop):
    """For a cell without a second product."""


@rows("after")
def keep_some(before, after, keep):
    """after += keep * (before - after)."""
    return fma(keep, before - after, after)


@kernel(void(int64, CUBE, CUBE, CUBE, int64, CUBE, CUBE, STARTS, int64, int64))
def carry(t, h, c, y, copies, keep_h, keep_c, starts, start, stop):
    """What becomes of the state after step t: zoneout, then zeros where the next character begins a
    document.

    h = h~ + keep_h (h' - h~), c likewise (Krueger et al. 2017, equations 3 and 4); keep_h, keep_c
    (T or 1, N, H) are 0 or 1 in training, the rate in evaluation, and empty (0, ...) without
    zoneout. With `copies`, y[t] = h[t + 1] before the zeros. starts (steps, N), or empty.
    """
    for n in range(start, stop):
        if keep_h.shape[0] > 0:
            keep_some(h[t, n], h[t + 1, n], keep_h[min(t, keep_h.shape[0] - 1), n])
        if keep_c.shape[0] > 0:
            keep_some(c[t, n], c[t + 1, n], keep_c[min(t, keep_c.shape[0] - 1), n])
        if copies:
            copy_row(y[t, n], h[t + 1, n])
        if t + 1 < starts.shape[0] and starts[t + 1, n]:
            fill_row(h[t + 1, n], ZERO)
            fill_row(c[t + 1, n], ZERO)


@rows("d_before", "d_after")
def keep_some_back(d_before, d_after, keep):
    """d_before += keep * d_after, d_after *= 1 - keep."""
    return fma(keep, d_after, d_before), d_after * (1.0 - keep)


@kernel(void(int64, CUBE, PLANE, PLANE, CUBE, CUBE, CUBE, STARTS, int64, int64))
def carry_back(t, dh, dc_before, dc, base, keep_h, keep_c, starts, start, stop):
    """Back through `carry`. dh (T + 1, N, H): row t + 1 is known, row t is added to; dc_before is
    written, dc changed.

    base (T, N, H) is what dh[t + 1] was before anything came back through time; read where a
    document begins.
    """
    for n in range(start, stop):
        if t + 1 < starts.shape[0] and starts[t + 1, n]:
            copy_row(dh[t + 1, n], base[t, n])
            fill_row(dc[n], ZERO)
        fill_row(dc_before[n], ZERO)
        if keep_h.shape[0] > 0:
            keep_some_back(dh[t, n], dh[t + 1, n], keep_h[min(t, keep_h.shape[0] - 1), n])
        if keep_c.shape[0] > 0:
            keep_some_back(dc_before[n], dc[n], keep_c[min(t, keep_c.shape[0] - 1), n])


FORWARD = void(
    intp, intp, intp, intp, CUBE, IDS, PLANE, PLANE, VECTOR, VECTOR, int64,
    CUBE, CUBE, CUBE, CUBE, CUBE, CUBE, CUBE, PLANE, int64, VECTOR, VECTOR, BORDERS,
    int64, CUBE, CUBE, STARTS, int64, int64, int64,
)  # fmt: skip


@kernel(FORWARD)
def forward_layer(product, feed, prepare, step, x, ids, factor, table, up, bias, columns, z, h, c,
                  q, m_below, y, m, p, activation, panels, second, borders, copies, keep_h, keep_c,
                  starts, steps, start, stop):  # fmt: skip
    """Streams start:stop of one layer over `steps` steps.

    feed writes W_x x + b into z (T, N, GH) for a few steps at a time, which are then still in the
    cache; x, ids, factor, table, up, bias and columns are for it (see `layers.feed_layer` and
    `layers.feed_characters`). z becomes the gates; h, c (T+1, N, H), row 0 the initial state, are
    written. What only some cells have, others are handed h for, and leave it alone: q (T, N, H),
    the factor of the second product; m_below (T, N, H), memory from the layer below; y (T, N, H),
    an output that is not h; m (T, N, H), memory for the layer above. p (K, H) are the cell's
    vectors; panels and second are W_h (H, middle - first) and W_q (H, last - middle) packed;
    borders = (first, middle, last). copies, keep_h, keep_c and starts as for `carry`.
    """
    N, H, Z = h.shape[1], h.shape[2], z.shape[2]
    first, middle, last = borders[0], borders[1], borders[2]
    fed = max(1, FED // ((stop - start) * Z))
    for t in range(steps):
        if t % fed == 0:
            call_feed(
                feed,
                (
                    product,
                    x,
                    ids,
                    factor,
                    table,
                    up,
                    bias,
                    columns,
                    z,
                    t,
                    min(t + fed, steps),
                    start,
                    stop,
                ),
            )
        at = (t * N + start) * Z
        to = address(z, at + first)
        a = address(h, (t * N + start) * H)
        call_product(
            product, (a, H, 0, panels, to, Z, 0, to, Z, 0, 1, stop - start, H, middle - first)
        )
        call_prepare(prepare, (z[t], h[t], q[t], start, stop))
        to = address(z, at + middle)
        a = address(q, (t * N + start) * H)
        call_product(
            product, (a, H, 0, second, to, Z, 0, to, Z, 0, 1, stop - start, H, last - middle)
        )
        call_step(
            step,
            (
                z[t],
                h[t],
                c[t],
                h[t + 1],
                c[t + 1],
                m_below[t],
                y[t],
                m[t],
                p,
                activation,
                start,
                stop,
            ),
        )
        carry(t, h, c, y, copies, keep_h, keep_c, starts, start, stop)


@kernel( void( intp, intp, intp, CUBE, CUBE, CUBE, CUBE, PLANE, int64, CUBE, CUBE, PLANE, CUBE,
        CUBE, CUBE, CUBE, VECTOR, VECTOR, BORDERS, CUBE, CUBE, STARTS, int64, int64, int64,
        ) )  # fmt: skip
def backward_layer(product, prepare_back, step_back, z, h, c, m_below, p, activation, dh, dc, dq,
                   dy, dm, dm_below, base, panels, second, borders, keep_h, keep_c, starts, steps,
                   start, stop):  # fmt: skip
    """Back through `forward_layer`.

    z holds the gates and then dz. dh (T+1, N, H): rows 1 to T hold the derivative by the outputs h,
    to which that through time is added; row 0 is written, and lacks the last product. dc (2, N, H)
    and dq (N, H) are scratch. dy, dm (T, N, H) are the derivatives by y and m, dm_below (T, N, H)
    is written, by cells that have these. base as for `carry_back`. panels and second are the
    transposes of W_h and W_q packed.
    """
    N, H, Z = h.shape[1], h.shape[2], z.shape[2]
    first, middle, last = borders[0], borders[1], borders[2]
    gated = stop - start if last > middle else 0
    for n in range(start, stop):
        fill_row(dh[0, n], ZERO)
        fill_row(dc[steps % 2, n], ZERO)
    for t in range(steps - 1, -1, -1):
        at = (t * N + start) * Z
        before, after = dc[t % 2], dc[(t + 1) % 2]
        carry_back(t, dh, before, after, base, keep_h, keep_c, starts, start, stop)
        call_step_back(step_back, (z[t], h[t], c[t], m_below[t], p, activation, dh[t], before,
                       dh[t + 1], after, dq, dy[t], dm[t], dm_below[t], start, stop))  # fmt: skip
        to = address(dq, start * H)
        call_product(
            product,
            (address(z, at + middle), Z, 0, second, 0, 0, 0, to, H, 0, 1, gated, last - middle, H),
        )
        call_prepare_back(prepare_back, (z[t], h[t], dq, dh[t], start, stop))
        if t > 0:
            to = address(dh, (t * N + start) * H)
            a = address(z, at + first)
            call_product(
                product, (a, Z, 0, panels, to, H, 0, to, H, 0, 1, stop - start, middle - first, H)
            )
