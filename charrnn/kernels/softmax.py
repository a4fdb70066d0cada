"""The softmax and its cross-entropy, with the gradient in the same pass."""

from __future__ import annotations

import numpy as np
from numba import float32, int64, void

from charrnn.kernels.compiling import kernel
from charrnn.kernels.recurrent import IDS
from charrnn.kernels.pointwise import ZERO, exp, fill_row
from charrnn.kernels.recurrent import CUBE, PLANE


@kernel(void(CUBE, IDS, PLANE, int64, float32, int64, int64, int64))
def cross_entropy(logits, targets, losses, symbols, scale, steps, start, stop):
    """For streams start:stop, losses[t, n] = -ln p[targets[t, n]] with p = softmax(logits[t, n, :symbols]), in nats.

    logits (T, N, V padded) become the derivative scale * (p - onehot(target)); columns from `symbols` on become 0.
    """
    for t in range(steps):
        for n in range(start, stop):
            row, y = logits[t, n], targets[t, n]
            largest = row[0]
            for v in range(1, symbols):
                if row[v] > largest:
                    largest = row[v]
            wanted = row[y] - largest
            for v in range(symbols):
                row[v] = exp(row[v] - largest)
            total = ZERO
            for v in range(symbols):
                total += row[v]
            losses[t, n] = np.float32(np.log(np.float64(total))) - wanted
            factor = scale / total
            for v in range(symbols):
                row[v] *= factor
            row[y] -= scale
            fill_row(row[symbols:], ZERO)
