"""The time loop of a layer, forward and backward, for any cell.

A cell is a pair of compiled functions, `step` and `step_back`, passed as values: each loop is compiled once, not once for
each cell, and stays in the cache. So is the matrix product: linking it into every caller would cost seconds.
"""

from __future__ import annotations

from numba import float32, int64, types, void

from charrnn.kernels.compiling import kernel
from charrnn.kernels.product import PRODUCT, VECTOR
from charrnn.kernels.simd import address

PLANE = float32[:, ::1]
CUBE = float32[:, :, ::1]
STEP = void(PLANE, PLANE, PLANE, PLANE, PLANE, int64, int64)
STEP_BACK = void(PLANE, PLANE, PLANE, PLANE, PLANE, PLANE, PLANE, int64, int64)


@kernel(void(types.FunctionType(PRODUCT), types.FunctionType(STEP), CUBE, CUBE, CUBE, VECTOR, int64, int64, int64))
def forward_layer(product, step, z, h, c, panels, steps, start, stop):
    """Streams start:stop of one layer over `steps` steps.

    z (T, N, GH) holds W_x x + b and then the gates; h, c (T+1, N, H), row 0 the initial state, are written; panels are
    W_h (H, GH) packed.
    """
    N, H, Z = h.shape[1], h.shape[2], z.shape[2]
    for t in range(steps):
        h_t, z_t = address(h, (t * N + start) * H), address(z, (t * N + start) * Z)
        product(h_t, H, 1, 0, panels, z_t, Z, 0, 1, stop - start, H, Z, 1)
        step(z[t], h[t], c[t], h[t + 1], c[t + 1], start, stop)


@kernel(
    void(
        types.FunctionType(PRODUCT), types.FunctionType(STEP_BACK), CUBE, CUBE, CUBE, CUBE, PLANE, VECTOR, int64, int64, int64
    )
)  # fmt: skip
def backward_layer(product, step_back, z, h, c, dh, dc, panels, steps, start, stop):
    """Back through `forward_layer`.

    z holds the gates and then dz; dh (T, N, H) holds the derivative by the outputs, to which that through the next step is
    added; dc (N, H) is scratch, zero on entry; panels are the transpose of W_h, (GH, H), packed.
    """
    N, H, Z = h.shape[1], h.shape[2], z.shape[2]
    for t in range(steps - 1, -1, -1):
        if t + 1 < steps:
            dz, dh_t = address(z, ((t + 1) * N + start) * Z), address(dh, (t * N + start) * H)
            product(dz, Z, 1, 0, panels, dh_t, H, 0, 1, stop - start, Z, H, 1)
        step_back(z[t], h[t], c[t], h[t + 1], c[t + 1], dh[t], dc, start, stop)
