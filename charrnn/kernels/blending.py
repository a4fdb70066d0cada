"""The temperature of what a network says and of what it copies by attention."""

import numpy as np

from charrnn.compiler.compiling import inline, kernel
from charrnn.compiler.pointwise import ZERO
from charrnn.kernels.constraint import NEVER, exponentials, largest_of
from charrnn.kernels.sampling import COLD, WRITTEN, temperature_of
from charrnn.kernels.writing import BLEND

ONE = np.float32(1)


@inline
def _exponentials(row, largest, temperature, scratch):
    """scratch = e^((row - largest) / temperature), and the sum of that, float64."""
    total = 0.0
    for v in range(row.size):
        scratch[v] = row[v]
    exponentials(scratch, largest, temperature)
    for v in range(row.size):
        total += np.float64(scratch[v])
    return total


@inline
def _sharpen(copied, temperature):
    """copied = log(copied / the largest) / temperature, -inf where it is 0. With the result added
    to these, their exponentials have the sum that copied had.
    """
    largest, before, after = np.float64(largest_of(copied)), 0.0, 0.0
    for v in range(copied.size):
        before += np.float64(copied[v])
        if copied[v] > ZERO:
            log = np.log(np.float64(copied[v]) / largest) / np.float64(temperature)
            copied[v] = np.float32(log)
            after += np.exp(log)
        else:
            copied[v] = NEVER
    return np.log(before / after) if before > 0.0 else 0.0


@kernel(BLEND)
def blend(row, copied, controls, previous, memory, n, scratch):
    """What the network itself says, and what it copies (see `attention.look`), become the logits
    for the temperature T of the symbol after `previous`:

        row_w = log(e^z_w + c_w)                                    from T = 1 on
        row_w = T log(D e^(z_w / T) / D_T + S c_w^(1 / T) / S_T)    below

    D and S are the sums of e^z_w and of c_w, D_T and S_T those of their powers. So a low T, by
    which the draw divides, sharpens both, but in each draw copying keeps the share that it has at
    1. What was copied once is likelier to be copied again: soon there would be nothing else.
    row (V,): z, becomes the logits. copied (V,): c, overwritten. scratch (V,): overwritten.
    controls, previous, memory, n: as for `sampling.draw`, which has the same temperature.
    """
    T = temperature_of(controls.temperature, previous, memory.marks[n, WRITTEN])
    T, largest = max(COLD, min(T, ONE)), largest_of(row)
    total = _exponentials(row, largest, ONE, scratch)
    if T == ONE:
        factor = np.exp(np.float64(largest))
        for v in range(row.size):
            if copied[v] > ZERO:
                both = np.float64(scratch[v]) * factor + np.float64(copied[v])
                row[v] = np.float32(np.log(both))
        return
    sharp = _exponentials(row, largest, T, scratch)
    lead, lead_of_copied = np.float64(largest) + np.log(total / sharp), _sharpen(copied, T)
    for v in range(row.size):
        own = np.float64(row[v] - largest) / np.float64(T) + lead
        other = np.float64(copied[v]) + lead_of_copied
        both = max(own, other)
        both += np.log(1.0 + np.exp(min(own, other) - both))
        row[v] = np.float32(np.float64(T) * both)
