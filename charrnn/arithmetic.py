"""The matrix products of a network in one precision or another; everything else is float32 always.

float32   all in float32
bf16      factors rounded to bfloat16, to nearest even, wherever two matrices are multiplied; sums, and what is kept, in float32
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from charrnn.errors import ConfigError
from charrnn.kernels import layers
from charrnn.kernels import product as products

Kernel = Callable[..., Any]


@dataclass(frozen=True)
class Arithmetic:
    """Kernels with the signatures of those in `kernels.product` and `kernels.layers`; `density` numbers are packed into 4 bytes."""

    product: Kernel
    pack: Kernel
    pack_transposed: Kernel
    weight_gradients: Kernel
    density: int


FLOAT32 = Arithmetic(products.product, products.pack, products.pack_transposed, layers.weight_gradients, 1)


def arithmetic_of(precision: str) -> Arithmetic:
    """The products in this precision, whose kernels are loaded now; `ConfigError` where they cannot be had on this machine."""
    if precision == "float32":
        return FLOAT32
    if precision != "bf16":
        raise ConfigError(f"--precision must be float32 or bf16, not {precision}")
    from charrnn.kernels.bfloat16 import check_bf16

    check_bf16()
    from charrnn.kernels import bfloat16_product as pairs

    return Arithmetic(pairs.pair_product, pairs.pack_pairs, pairs.pack_pairs_transposed, pairs.pair_weight_gradients, 2)
