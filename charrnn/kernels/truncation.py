"""Leave only the most probable symbols: top_k, top_p, min_p. What is dropped becomes -inf."""

import numpy as np

from charrnn.compiler.compiling import inline
from charrnn.compiler.pointwise import exp
from charrnn.kernels.constraint import NEVER, exponentials

ONE = np.float32(1)


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


@inline
def _leave(row, count, cut):
    """Leave the `count` largest numbers, the smallest of which is `cut`; of those that are equal to
    it, the first.
    """
    for v in range(row.size):
        count -= row[v] > cut
    for v in range(row.size):
        if row[v] == cut and count > 0:
            count -= 1
        elif row[v] <= cut:
            row[v] = NEVER


@inline
def leave_best(row, top_k, scratch):
    """Leave the top_k largest; of equals at the border the first. scratch (top_k) is
    overwritten.
    """
    _leave(row, top_k, _cut(row, top_k, scratch))


@inline
def _sink(heap, place, size):
    """Move a number down a heap, in which none is larger than the one at half its place."""
    value, child = heap[place], 2 * place + 1
    while child < size:
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = value


@inline
def leave_nucleus(row, top_p, largest, scratch):
    """Leave the fewest most probable symbols whose probabilities, softmax(row), sum to top_p or
    more (Holtzman et al. 2020). scratch, as long as row, is overwritten.
    """
    total, size, count = 0.0, 0, 0
    for v in range(row.size):
        scratch[v] = row[v]
    exponentials(scratch, largest, ONE)
    for v in range(row.size):
        total += np.float64(scratch[v])
    # all that are less probable than this are, together, less probable than 1 - top_p
    least, needed = 0.99 * (1 - top_p) * total / row.size, top_p * total
    for v in range(row.size):
        if row[v] > NEVER and scratch[v] >= least:
            scratch[size] = row[v]
            size += 1
    cut, place = largest, size // 2
    while size > 0 and (count == 0 or needed > 0.0):
        if place > 0:  # not a heap yet
            place -= 1
        else:
            cut = scratch[0]
            needed -= np.float64(exp(cut - largest))
            count += 1
            size -= 1
            scratch[0] = scratch[size]
        _sink(scratch, place, size)
    _leave(row, count, cut)
