"""Weights of fewer bits, for generation: a product reads half or a quarter of float32's bytes.

Matrices that are read completely for every character are rounded: W_h of all layers, W_x from the
second layer on, the decoder's, and with rounds of the Mogrifier theirs and the first layer's W_x.
Without rounds only one row of that is read, and it stays in float32, as do embeddings, vectors and
biases.

    bf16 the upper half of a float32: 8 bits of precision, rounded to nearest, ties to even
    int8    q s: q from -127 to 127, s for each column of a matrix (one gate of one unit), the
            least number of 16 bits with which the largest weight fits, so that q s is exact

With int8 the products round their other factor as well, to 14 bits (`kernels.int8_product`).
"""

import numpy as np

from charrnn.config.sampling import Precision
from charrnn.network.arithmetic import from_bf16, to_bf16
from charrnn.network.model import Model
from charrnn.network.parameters import Floats, matrix_names

LEAST_SCALE = np.float32(2.0**-60)
"""The scale of a column of zeros or tiny numbers: dividing by it overflows only above 10^20."""


LEAST_MEAN = 12
"""Least mean of |q| over a matrix for `auto` to choose int8: where a few weights are far larger
than the others, the rounding, 1/4 in the mean, would be a large part of those. Trained networks
have 22 to 37.
"""


EXACT_CELLS = ("clockwork", "grid")
"""Cells for which `auto` is float32: int8 cost one network of each 7e-4 and 1.3e-3 nats per
character, those of other cells at most 3e-4, mostly less than could be measured.
"""


def precision_of(model: Model, precision: Precision = "auto") -> Precision:
    """The precision that a setting stands for: a function of the network alone, by whole numbers,
    so that it is the same on every machine.
    """
    if precision != "auto":
        return precision
    is_exact = model.config.cell in EXACT_CELLS
    is_fine = all(_is_fine(model.parameters[name]) for name in matrix_names(model.config))
    return "int8" if is_fine and not is_exact else "float32"


def _is_fine(weight: Floats) -> bool:
    """True if int8 is close to a matrix; zeros do not count."""
    if not np.isfinite(weight).all():
        return False
    total = np.abs(np.rint(weight / scales(weight))).sum(dtype=np.float64)  # exact
    return bool(total >= LEAST_MEAN * np.count_nonzero(weight))


def rounded(model: Model, precision: str) -> Model:
    """A model of the same configuration with its matrices rounded to one of `PRECISIONS`.

    They contain the nearest numbers of that precision, as float32. With float32, it is the model
    itself.
    """
    if precision == "float32":
        return model
    result, nearest = Model(model.config), ROUNDINGS[precision]
    result.parameters.flat[:] = model.parameters.flat
    for name in matrix_names(model.config):
        result.parameters[name][:] = nearest(result.parameters[name])
    return result


def _nearest_bf16(weight: Floats) -> Floats:
    return from_bf16(to_bf16(weight))


def _nearest_int8(weight: Floats) -> Floats:
    """The nearest multiples of each column's scale."""
    nearest: Floats = np.rint(weight / scales(weight)) * scales(weight)
    return nearest


def scales(weight: Floats) -> Floats:
    """s of each column of a matrix (K, N), float32 (N,).

    The scales of a rounded matrix are the ones that it was rounded with.
    """
    largest = np.abs(weight).max(0).astype(np.float64) / 127
    part, exponent = np.frexp(np.maximum(largest, LEAST_SCALE))
    least: Floats = np.ldexp(np.ceil(part * 2**16), exponent - 16).astype(np.float32)
    return least


ROUNDINGS = {"bf16": _nearest_bf16, "int8": _nearest_int8}
