"""The matrix products of a network in each precision; everything else is always float32.

float32: all in float32.
bf16: factors of matrix products rounded to bfloat16, to nearest even; sums and stored values in
    float32.
amx: the same, by tiles, with another order of additions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.calling import address_of
from charrnn.errors import ConfigError
from charrnn.kernels import product as products
from charrnn.network.parameters import NOTHING, Floats

Kernel = Callable[..., Any]


DENSITY = {"float32": 1, "bf16": 2, "amx": 2}
"""How many numbers fit into 4 bytes, by precision."""


@dataclass(frozen=True)
class Arithmetic:
    """Kernels with the signatures of those in `kernels.product`; `density` numbers are packed into
    4 bytes.

    `gradients` is the module and name of the kernel that matches `layers.weight_gradients`; only
    training loads it.
    """

    product: Kernel
    product_packed: Kernel
    pack: Kernel
    pack_transposed: Kernel
    gradients: tuple[str, str]
    density: int

    @cached_property
    def weight_gradients(self) -> Kernel:
        """The kernel of this signature; its first argument is `packed_at`."""
        module, name = self.gradients
        kernel: Kernel = getattr(import_module(f"charrnn.kernels.{module}"), name)
        return kernel

    def input_gradients(self, x: Floats, dz: Floats, dw: Floats, db: Floats) -> Callable[..., None]:
        """dW = x^T dz, db = the column sums of dz, by `weight_gradients`; a call passes scratch,
        start and stop.
        """
        kernel, product = self.weight_gradients, self.packed_at
        return partial(kernel, product, x, NOTHING, dz, dw, NOTHING, db, 0, 0)

    def multiply(self, a: Floats, panels: Floats, out: Floats) -> None:
        """out (M, N) = a (M, K) @ the matrix (K, N) packed in `panels`."""
        (M, K), N = a.shape, out.shape[1]
        self.product(a.ctypes.data, K, 0, panels, 0, 0, 0, out.ctypes.data, N, 0, 1, M, K, N)

    @cached_property
    def product_at(self) -> int:
        """The address of `product`, for the kernels that call it."""
        return address_of(self.product)

    @cached_property
    def packed_at(self) -> int:
        """The address of `product_packed`."""
        return address_of(self.product_packed)


FLOAT32 = Arithmetic(
    products.product,
    products.product_packed,
    products.pack,
    products.pack_transposed,
    ("layers", "weight_gradients"),
    DENSITY["float32"],
)


def to_bf16(numbers: Floats) -> NDArray[np.uint16]:
    """Round float32 numbers to bfloat16 (their upper halves): to nearest, ties to even."""
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bf16(words: NDArray[np.uint16]) -> Floats:
    """Convert bfloat16 numbers to float32."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def check_precision(precision: str) -> None:
    """`ConfigError` if there is no such precision, or if this machine does not support it."""
    if precision not in DENSITY:
        raise ConfigError(f"`precision` must be float32, bf16 or amx, not {precision}")
    if precision == "bf16":
        from charrnn.compiler.bfloat16 import check_bf16

        check_bf16()
    if precision == "amx":
        from charrnn.compiler.amx import check_amx

        check_amx()


def rounded_precision() -> Literal["bf16", "amx"] | None:
    """The precision besides float32 that may be the faster one on this machine."""
    from charrnn.compiler.amx import is_there
    from charrnn.compiler.bfloat16 import INSTRUCTION

    if is_there():
        return "amx"
    return "bf16" if INSTRUCTION else None


def arithmetic_of(precision: str) -> Arithmetic:
    """The products in this precision, loading their kernels; errors as `check_precision`."""
    check_precision(precision)
    if precision == "float32":
        return FLOAT32
    if precision == "amx":
        from charrnn.kernels import amx_product as tiles

        return Arithmetic(
            tiles.amx_product,
            tiles.amx_weight_gradients,
            tiles.pack_amx,
            tiles.pack_amx_transposed,
            ("amx_product", "amx_weight_gradients"),
            DENSITY[precision],
        )
    from charrnn.kernels import bfloat16_product as pairs

    return Arithmetic(
        pairs.pair_product,
        pairs.pair_product_packed,
        pairs.pack_pairs,
        pairs.pack_pairs_transposed,
        ("bfloat16_product", "pair_weight_gradients"),
        DENSITY[precision],
    )
