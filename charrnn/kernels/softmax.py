"""The softmax and its cross-entropy, with the gradient in the same pass."""

import numpy as np
from numba import float32, int64, void

from charrnn.compiler.compiling import kernel
from charrnn.compiler.lanes import exp
from charrnn.compiler.pointwise import ZERO
from charrnn.compiler.rows import MAXIMUM, SUM, rows
from charrnn.kernels.recurrent import CUBE, IDS, PLANE
from charrnn.kernels.sampling import NEVER


@rows(fold=MAXIMUM)
def largest_of(a):
    """The largest number of a row."""
    return a


@rows("a", fold=SUM)
def exp_row(a, largest):
    """a = exp(a - largest), and the sum of that."""
    y = exp(a - largest)
    return y, y


@rows("a")
def weigh(a, weight, share):
    """a = weight * a - share."""
    return a * weight - share


@kernel(void(CUBE, IDS, PLANE, int64, float32, float32, int64, int64, int64))
def cross_entropy(logits, targets, losses, symbols, scale, smoothing, steps, start, stop):
    """losses[t, n] = -ln p[targets[t, n]], p = softmax(logits[t, n, :symbols]), in nats.

    For streams start:stop. Label smoothing spreads part of the target evenly over all symbols
    (Szegedy et al. 2016, section 7):

        wanted = (1 - smoothing) onehot(target) + smoothing / symbols

    logits (T, N, V): read, then the derivative scale * (p - wanted), 0 from column `symbols` on
    targets (T, N): read
    losses (T, N): written
    """
    hit, share = scale - scale * smoothing, scale * smoothing / np.float32(symbols)
    for t in range(steps):
        for n in range(start, stop):
            row, y = logits[t, n], targets[t, n]
            for v in range(symbols, row.size):
                row[v] = NEVER
            largest = largest_of(row)
            wanted = row[y] - largest
            total = exp_row(row, largest)
            losses[t, n] = np.float32(np.log(np.float64(total))) - wanted
            weigh(row, scale / total, share)
            for v in range(symbols, row.size):
                row[v] = ZERO
            row[y] -= hit
