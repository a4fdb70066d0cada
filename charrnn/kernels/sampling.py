"""Writing text: the network's steps and the draws between them, for several streams at once, without going back to Python."""

from __future__ import annotations

import numpy as np
from numba import boolean, float32, float64, int32, int64, types, void

from charrnn.kernels.compiling import inline, kernel
from charrnn.kernels.pointwise import ZERO, exp
from charrnn.kernels.product import MATRIX, PRODUCT, VECTOR
from charrnn.kernels.recurrent import BORDERS, CUBE, FORWARD, PLANE, PREPARE, STARTS, STEP
from charrnn.kernels.rows import add_row, copy_row
from charrnn.kernels.simd import address

GRID = float32[:, :, :, ::1]
DRAW = int64(VECTOR, boolean[::1], float32, int64, float64, VECTOR)


@inline
def _cut(row, top_k, largest):
    """The value of the top_k-th largest number; `largest` (top_k) is scratch."""
    count = 0
    for v in range(row.size):
        if count < top_k or row[v] > largest[count - 1]:
            place = min(count, top_k - 1)
            while place > 0 and largest[place - 1] < row[v]:
                largest[place] = largest[place - 1]
                place -= 1
            largest[place] = row[v]
            count = min(count + 1, top_k)
    return largest[count - 1]


@kernel(DRAW)
def draw(logits, banned, temperature, top_k, coin, scratch):
    """The symbol that a coin in [0, 1) draws from softmax(logits / temperature) (V,), which is overwritten.

    Banned symbols (V,) are never drawn. temperature 0 takes the most probable, the first of equals. top_k > 0 leaves only the
    top_k most probable, of equals at the border the first. scratch (V,).
    """
    V = logits.size
    best = -1
    for v in range(V):
        if banned[v]:
            logits[v] = -np.float32(np.inf)
        elif best < 0 or logits[v] > logits[best]:
            best = v
    if temperature <= ZERO:
        return best
    allowed = V
    cut = -np.float32(np.inf)
    if 0 < top_k < V:
        cut, allowed = _cut(logits, top_k, scratch), top_k
        for v in range(V):
            if logits[v] > cut:
                allowed -= 1
    largest, total = logits[best], 0.0
    for v in range(V):
        kept = logits[v] > cut
        if logits[v] == cut and allowed > 0 and not banned[v]:
            kept = True
            allowed -= 1
        p = exp((logits[v] - largest) / temperature) if kept and not banned[v] else ZERO
        logits[v] = p
        total += np.float64(p)
    left = coin * total
    chosen = best
    for v in range(V):
        if logits[v] > ZERO:
            chosen = v
            left -= np.float64(logits[v])
            if left < 0.0:
                return chosen
    return chosen


@kernel(
    void(
        types.FunctionType(PRODUCT), types.FunctionType(FORWARD), types.FunctionType(PREPARE), types.FunctionType(STEP),
        types.FunctionType(DRAW), int32[:, ::1], int64, float64[:, ::1], MATRIX, MATRIX, MATRIX, VECTOR, CUBE, VECTOR, int64,
        BORDERS, GRID, GRID, GRID, CUBE, CUBE, CUBE, PLANE, PLANE, CUBE, CUBE, STARTS, int64, int64, int64,
        boolean[::1], float32, int64, VECTOR, int64, int64,
    )
)  # fmt: skip
def write(product, forward, prepare, step, draw, ids, given, coins, table, memory_table, bias, out_bias, p, panels, activation,
          borders, h, c, m, z, q, y, x, logits, keep_h, keep_c, no_starts, columns, has_output, is_residual, banned, temperature,
          top_k, scratch, start, stop):  # fmt: skip
    """Read ids[s] and draw ids[s + 1] from it, for s in turn and for streams start:stop; the first `given` ids are not drawn.

    ids (S + 1, N); coins (S, N) in [0, 1); table (V, X), bias (L, GH), p (L, K, H) and out_bias (V padded) as in `model`;
    memory_table (V, H), or (0, 0) without one; panels: as `Panels.forward`; columns: X. h, c (L, 2, N, H): plane 0 holds the state.
    m (2, 1, N, H), z (1, N, GH), q, y (1, N, H), x (N, H), logits (N, V padded) and scratch (N * V) are overwritten. keep_h, keep_c
    and no_starts as for `forward_layer`.
    """
    L, H, Z, V, width = h.shape[0], h.shape[3], z.shape[2], table.shape[0], logits.shape[1]
    N, over = stop - start, borders[2] - borders[0]
    for s in range(ids.shape[0] - 1):
        for layer in range(L):
            if layer == 0:
                for n in range(start, stop):
                    copy_row(z[0, n], bias[0])
                    add_row(z[0, n, :columns], table[ids[s, n]])
                    if memory_table.shape[0] > 0:
                        copy_row(m[1, 0, n], memory_table[ids[s, n]])
            else:
                for n in range(start, stop):
                    copy_row(z[0, n], bias[layer])
                up = panels[L * H * over + (layer - 1) * H * columns :]
                to = address(z, start * Z)
                product(address(x, start * H), H, 0, up, to, Z, 0, to, Z, 0, 1, N, H, columns)
            first = panels[layer * H * over :]
            second = panels[layer * H * over + H * (borders[1] - borders[0]) :]
            forward(product, prepare, step, z, h[layer], c[layer], q, m[(layer + 1) % 2], y, m[layer % 2], p[layer], activation,
                    first, second, borders, 0, keep_h, keep_c, no_starts, 1, start, stop)  # fmt: skip
            for n in range(start, stop):
                if is_residual and layer > 0:
                    add_row(x[n], y[0, n] if has_output else h[layer, 1, n])
                else:
                    copy_row(x[n], y[0, n] if has_output else h[layer, 1, n])
                copy_row(h[layer, 0, n], h[layer, 1, n])
                copy_row(c[layer, 0, n], c[layer, 1, n])
        if s + 1 >= given:
            for n in range(start, stop):
                copy_row(logits[n], out_bias)
            out = panels[L * H * over + (L - 1) * H * columns :]
            to = address(logits, start * width)
            product(address(x, start * H), H, 0, out, to, width, 0, to, width, 0, 1, N, H, width)
            for n in range(start, stop):
                row, own = logits[n, :V], scratch[n * V : (n + 1) * V]
                ids[s + 1, n] = draw(row, banned, temperature, top_k, coins[s, n], own)
