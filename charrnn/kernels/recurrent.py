"""The time loop of a layer, forward and backward, for any cell.

A cell is a few compiled functions, passed as addresses (see `calling`): each loop is compiled once,
not once for each cell, and stays in the cache. So is the matrix product: linking it into every
caller would cost seconds.

A step of any cell goes through the same stations, of which most cells skip the second and third,
after the rounds of `mogrifying`, if the layer has any:

    z += h' W_h                      the recurrent product, into columns first:middle of z
    prepare                          q from z and h', as the GRU's r * h'
    z += q W_q                       a second product, into columns middle:last
    step                             gates, and from them the new h and c
    carry                            zoneout, and zeros where the next character begins a document

Arrays that a cell does not have are empty and never read or written.

In the backward pass, a step never reads later states, only its gates and the states before it,
since `carry` may change later ones.
"""

from typing import Any, NamedTuple

from numba import boolean, float32, int32, int64, intp, types, void

from charrnn.compiler.calling import caller
from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.lanes import fma
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import add_row, copy_row, fill_row, rows
from charrnn.compiler.simd import address
from charrnn.kernels.mogrifying import ROUNDS, mogrify, mogrify_back
from charrnn.kernels.product import PRODUCT, VECTOR

PLANE = float32[:, ::1]
CUBE = float32[:, :, ::1]
STARTS = boolean[:, ::1]
BORDERS = int64[::1]
IDS = int32[:, ::1]


class Ports(NamedTuple):
    """Arrays that few cells have besides h and c, for all steps or one; empty for other cells."""

    m_below: Any
    """Memory from the layer below, (T, N, H) or (N, H), read."""
    y: Any
    """An output that is not h, like m_below, written."""
    m: Any
    """Memory for the layer above, like m_below, written."""
    p: Any
    """The cell's vectors, (K, H), read."""


class PortsBack(NamedTuple):
    """Like `Ports`, for the backward pass."""

    m_below: Any
    """Memory from the layer below, read."""
    p: Any
    """The cell's vectors, read."""
    dy: Any
    """The derivative of y, read."""
    dm: Any
    """The derivative of m, read."""
    dm_below: Any
    """The derivative of m_below, written."""


PORTS = types.NamedTuple((CUBE, CUBE, CUBE, PLANE), Ports)
PORTS_BACK = types.NamedTuple((CUBE, PLANE, CUBE, CUBE, CUBE), PortsBack)
STEP_PORTS = types.NamedUniTuple(PLANE, 4, Ports)
STEP_PORTS_BACK = types.NamedUniTuple(PLANE, 5, PortsBack)
PREPARE = void(PLANE, PLANE, PLANE, int64, int64)
PREPARE_BACK = void(PLANE, PLANE, PLANE, PLANE, int64, int64)
STEP = void(PLANE, PLANE, PLANE, PLANE, PLANE, STEP_PORTS, int64, int64, int64)
STEP_BACK = void(
    PLANE, PLANE, PLANE, PLANE, PLANE, PLANE, PLANE, STEP_PORTS_BACK, int64, int64, int64
)
call_product = caller(PRODUCT)
call_prepare, call_prepare_back = caller(PREPARE), caller(PREPARE_BACK)
call_step, call_step_back = caller(STEP), caller(STEP_BACK)
FED = 3 << 14
"""Floats of z that are written at a time: they stay in the second cache until the time loop has
gone over them.
"""


@rows("a")
def set_product_row(a, b, c, d):
    """a = b * c + d, c a row or a number."""
    return fma(b, c, d)


@kernel(void(PLANE, VECTOR, IDS, PLANE, CUBE, int64, int64, int64, int64))
def look_up(table, bias, ids, factor, z, first, last, start, stop):
    """z[t, n] = factor[t, n] * table[ids[t, n]] + bias: the product with a one-hot input.

    For steps first:last and streams start:stop.

    table (V, X): read
    bias (Z,): read; columns of z from X on hold the bias alone
    ids, factor (T, N): read; factor is 1 unless inputs are dropped
    z (T, N, Z): written
    """
    X = table.shape[1]
    for t in range(first, last):
        for n in range(start, stop):
            row = z[t, n]
            set_product_row(row[:X], table[ids[t, n]], factor[t, n], bias[:X])
            copy_row(row[X : bias.size], bias[X:])


@kernel(void(intp, VECTOR, VECTOR, int64, CUBE, CUBE, int64, int64, int64, int64))
def project(product, panels, bias, columns, z, x, first, last, start, stop):
    """z[t, n] = bias, plus x[t, n] W in the first columns.

    For steps first:last and streams start:stop.

    product: the address of `product`
    panels: W (D, columns), packed
    bias (Z,), x (T, N, D): read
    z (T, N, Z): written
    """
    N, D, Z = z.shape[1], x.shape[2], z.shape[2]
    if columns < bias.size:
        for t in range(first, last):
            for n in range(start, stop):
                copy_row(z[t, n, columns : bias.size], bias[columns:])
    a, c = address(x, (first * N + start) * D), address(z, (first * N + start) * Z)
    begin, size = address(bias, 0), (last - first, stop - start, D, columns)
    call_product(product, (a, D, N * D, panels, begin, 0, 0, c, Z, N * Z, *size))


@rows("after")
def keep_some(before, after, keep):
    """after += keep * (before - after)."""
    return fma(keep, before - after, after)


@inline
def step_of(mask, t):
    """Where in a mask (T or 1, N, H), of each step or one for all, that of step t stands."""
    return min(t, mask.shape[0] - 1)


@kernel(void(int64, CUBE, CUBE, CUBE, CUBE, CUBE, STARTS, int64, int64))
def carry(t, h, c, keep_h, keep_c, copied, starts, start, stop):
    """Update the state after step t: zoneout, then zeros where a document begins.

    Zoneout is h = h~ + keep_h (h' - h~), c likewise (Krueger et al. 2017, equations 3 and 4).

    h, c (T + 1, N, H): row t is read, row t + 1 is changed
    keep_h, keep_c (T or 1, N, H): 0 or 1 in training, the rate in evaluation; empty for no zoneout
    copied (T, N, H): row t becomes h[t + 1] before the zeros, unless it is empty
    starts (steps, N): true where a character is read from a zero state, or empty
    """
    for n in range(start, stop):
        if keep_h.shape[0] > 0:
            keep_some(h[t, n], h[t + 1, n], keep_h[step_of(keep_h, t), n])
        if keep_c.shape[0] > 0:
            keep_some(c[t, n], c[t + 1, n], keep_c[step_of(keep_c, t), n])
        if copied.shape[0] > 0:
            copy_row(copied[t, n], h[t + 1, n])
        if t + 1 < starts.shape[0] and starts[t + 1, n]:
            fill_row(h[t + 1, n], ZERO)
            fill_row(c[t + 1, n], ZERO)


@rows("d_before", "d_after")
def keep_some_back(d_before, d_after, keep):
    """d_before += keep * d_after, d_after *= 1 - keep."""
    return fma(keep, d_after, d_before), d_after * (1.0 - keep)


@kernel(void(int64, CUBE, PLANE, PLANE, CUBE, CUBE, CUBE, STARTS, int64, int64))
def carry_back(t, dh, dc_before, dc, base, keep_h, keep_c, starts, start, stop):
    """Backward pass of `carry`.

    dh (T + 1, N, H): row t + 1 is changed, row t is added to
    dc_before (N, H): written
    dc (N, H): changed
    base (T, N, H): dh[t + 1] without the part from later steps; read where a document begins
    """
    for n in range(start, stop):
        if t + 1 < starts.shape[0] and starts[t + 1, n]:
            copy_row(dh[t + 1, n], base[t, n])
            fill_row(dc[n], ZERO)
        fill_row(dc_before[n], ZERO)
        if keep_h.shape[0] > 0:
            keep_some_back(dh[t, n], dh[t + 1, n], keep_h[step_of(keep_h, t), n])
        if keep_c.shape[0] > 0:
            keep_some_back(dc_before[n], dc[n], keep_c[step_of(keep_c, t), n])


@kernel( void( intp, intp, intp, PLANE, VECTOR, VECTOR, int64, CUBE, CUBE, CUBE, CUBE, PORTS,
        int64, VECTOR, VECTOR, BORDERS, CUBE, CUBE, PLANE, VECTOR, CUBE, CUBE, ROUNDS, IDS, CUBE,
        CUBE, STARTS, int64, int64, int64, ) )  # fmt: skip
def forward_layer(product, prepare, step, table, up, bias, columns, z, h, c, q, ports,
                  activation, over, second, borders, keep_h, keep_c, factor, mogrifier, last_x,
                  last_h, rounds, ids, x, copied, starts, steps, start, stop):  # fmt: skip
    """Streams start:stop of one layer over `steps` steps.

    product, prepare, step: addresses of kernels
    table, bias, ids, factor: for `look_up`, where x is empty
    up, bias, columns, x: for `project`, where it is not; both write W_x x + b into z for a few
    steps at a time, which are then still in the cache
    z (T, N, GH): overwritten, then the gates
    h, c (T + 1, N, H): row 0 is the state before, the others are written
    q (T, N, H): the factor of the second product, written; empty without one
    ports: see `Ports`
    over, second: W_h (H, middle - first) and W_q (H, last - middle), packed
    borders: first, middle, last
    mogrifier, rounds: see `mogrify`; no rounds for most layers
    last_x (T, N, D), last_h (T, N, H): what the rounds leave of x and h'
    keep_h, keep_c, copied, starts: see `carry`
    """
    N, H, Z = h.shape[1], h.shape[2], z.shape[2]
    first, middle, last = borders[0], borders[1], borders[2]
    fed = max(1, FED // ((stop - start) * Z))
    for t in range(steps):
        row = t * N + start
        read = address(h, row * H)
        if rounds.shape[0] > 0:
            mogrify(product, mogrifier, rounds, row, stop - start)
            project(product, up, bias, columns, z, last_x, t, t + 1, start, stop)
            read = address(last_h, row * H)
        elif t % fed == 0:
            end = min(t + fed, steps)
            if x.shape[0] > 0:
                project(product, up, bias, columns, z, x, t, end, start, stop)
            else:
                look_up(table, bias, ids, factor, z, t, end, start, stop)
        at = row * Z
        to = address(z, at + first)
        call_product(
            product, (read, H, 0, over, to, Z, 0, to, Z, 0, 1, stop - start, H, middle - first)
        )
        if last > middle:
            call_prepare(prepare, (z[t], h[t], q[t], start, stop))
            to = address(z, at + middle)
            a = address(q, row * H)
            call_product(
                product, (a, H, 0, second, to, Z, 0, to, Z, 0, 1, stop - start, H, last - middle)
            )
        now = Ports(ports.m_below[t], ports.y[t], ports.m[t], ports.p)
        call_step(step, (z[t], h[t], c[t], h[t + 1], c[t + 1], now, activation, start, stop))
        carry(t, h, c, keep_h, keep_c, copied, starts, start, stop)


@kernel( void( intp, intp, intp, CUBE, CUBE, CUBE, int64, VECTOR, VECTOR, BORDERS, CUBE, CUBE,
        VECTOR, VECTOR, int64, CUBE, ROUNDS, CUBE, CUBE, CUBE, PLANE, PORTS_BACK, CUBE, STARTS,
        int64, int64, int64, ) )  # fmt: skip
def backward_layer(product, prepare_back, step_back, z, h, c, activation, over, second, borders,
                   keep_h, keep_c, down, mogrifier, columns, d_h, rounds, d_x, dh, dc, dq, ports,
                   base, starts, steps, start, stop):  # fmt: skip
    """Backward pass of `forward_layer`.

    z: the gates, then dz
    over, second: the transposes of W_h and W_q, packed
    dh (T + 1, N, H): rows 1 to T contain the derivative of the outputs h, to which that through
    time is added; row 0 is written, and lacks the last product, unless there are rounds
    dc (2, N, H), dq (N, H): scratch; dq is empty without a second product
    down, columns: the transpose of W_x, packed, and its depth; read only if there are rounds
    mogrifier, rounds: see `mogrify_back`
    d_x (T, N, D): the derivative of x, written if there are rounds; d_h (T, N, H): scratch then
    ports: see `PortsBack`
    base: see `carry_back`
    """
    N, H, Z = h.shape[1], h.shape[2], z.shape[2]
    first, middle, last = borders[0], borders[1], borders[2]
    rows = stop - start
    for n in range(start, stop):
        fill_row(dh[0, n], ZERO)
        fill_row(dc[steps % 2, n], ZERO)
    for t in range(steps - 1, -1, -1):
        row = t * N + start
        at = row * Z
        before, after = dc[t % 2], dc[(t + 1) % 2]
        carry_back(t, dh, before, after, base, keep_h, keep_c, starts, start, stop)
        now = PortsBack(ports.m_below[t], ports.p, ports.dy[t], ports.dm[t], ports.dm_below[t])
        call_step_back(
            step_back, (z[t], h[t], c[t], dh[t], before, dh[t + 1], after, now, activation, start,
                        stop)
        )  # fmt: skip
        if last > middle:
            a, to = address(z, at + middle), address(dq, start * H)
            call_product(product, (a, Z, 0, second, 0, 0, 0, to, H, 0, 1, rows, last - middle, H))
            call_prepare_back(prepare_back, (z[t], h[t], dq, dh[t], start, stop))
        if rounds.shape[0] > 0:
            D = d_x.shape[2]
            a, to = address(z, at), address(d_x, row * D)
            call_product(product, (a, Z, 0, down, 0, 0, 0, to, D, 0, 1, rows, columns, D))
            a, to = address(z, at + first), address(d_h, row * H)
            call_product(product, (a, Z, 0, over, 0, 0, 0, to, H, 0, 1, rows, middle - first, H))
            mogrify_back(product, mogrifier, rounds, row, rows)
            for n in range(start, stop):
                add_row(dh[t, n], d_h[t, n])
        elif t > 0:
            a, to = address(z, at + first), address(dh, row * H)
            call_product(product, (a, Z, 0, over, to, H, 0, to, H, 0, 1, rows, middle - first, H))
