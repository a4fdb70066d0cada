"""Weights of fewer bits, for writing: a product reads a half or a quarter of float32's bytes.

Matrices that are read as a whole for every character are rounded: W_h of all layers, W_x from the
second layer on, the decoder's. The first layer's W_x, of which one row is read, embeddings, vectors
and biases stay as they are.

    bf16    the upper half of a float32: 8 bits of precision, rounded to nearest, ties to even
    int8    q s: q from -127 to 127, s for each column of a matrix (one gate of one unit), the
            least power of two with which the largest weight fits
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError
from charrnn.network.model import Model
from charrnn.network.parameters import Floats, decoder_names

Precision = Literal["float32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LEAST_SCALE = np.float32(2.0**-60)
"""Of a column of zeros, or of what is too small to matter: dividing by it overflows only what is
past 10^20.
"""


def check_precision(precision: str) -> None:
    """`ConfigError` unless it is one of PRECISIONS."""
    if precision not in PRECISIONS:
        raise ConfigError(f"--precision must be one of {', '.join(PRECISIONS)}, not {precision}")


def rounded(model: Model, precision: Precision) -> Model:
    """A model of the same configuration whose matrices hold the nearest numbers of that precision,
    as float32.
    """
    check_precision(precision)
    if precision == "float32":
        return model
    other = Model(model.config)
    other.parameters.flat[:] = model.parameters.flat
    for name in matrices(model):
        weight = other.parameters[name]
        weight[:] = (
            to_bf16(weight)
            if precision == "bf16"
            else np.rint(weight / scales(weight)) * scales(weight)
        )
    return other


def matrices(model: Model) -> list[str]:
    """Names of the matrices that are rounded."""
    L = model.config.layers
    above = [f"rnn.weight_ih_l{layer}" for layer in range(1, L)]
    decoders = [name for name in decoder_names(model.config) if name is not None]
    return [*(f"rnn.weight_hh_l{layer}" for layer in range(L)), *above, *decoders]


def to_bf16(weight: Floats) -> Floats:
    """The nearest numbers whose lower 16 bits are zero, of two equally near the one whose last bit
    is zero.
    """
    bits: NDArray[np.uint32] = weight.view(np.uint32)
    half = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return (bits + half & np.uint32(0xFFFF0000)).view(np.float32)


def scales(weight: Floats) -> Floats:
    """s of each column of a matrix (K, N), float32 (N,); those of a rounded matrix are the ones it
    was rounded with.
    """
    largest = np.abs(weight).max(0).astype(np.float64) / 127
    exponents = np.ceil(np.log2(np.maximum(largest, LEAST_SCALE)))
    found: Floats = (2.0**exponents).astype(np.float32)
    return found
