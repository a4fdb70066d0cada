"""The weights in the layout for generation, and how one stream's weights are divided among
threads.

Several streams read the `Panels` of the model. A single stream reads another layout
(`kernels.vector_product`), and each thread the blocks of its units: a share of every matrix, in a
separate order. Arrays indexed by units are put into the same order here.
"""

import contextlib
import mmap
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.compiling import module_of
from charrnn.compiler.int8 import bits_of
from charrnn.compiler.simd import LANES, padded
from charrnn.generation.quantization import scales
from charrnn.kernels.int8_product import int8_product, int8_rows
from charrnn.kernels.product import product
from charrnn.kernels.vector_product import WIDE, vector_product
from charrnn.network.arithmetic import to_bf16
from charrnn.network.model import Panels
from charrnn.network.parameters import Floats, aligned
from charrnn.runtime.threads import ranges

SHARE = 1 << 18
"""Bytes of weights that make another thread worth its synchronization."""
PAGE = 1 << 21
"""Size of a large page in bytes."""
BYTES = {"float32": 4, "bf16": 2, "int8": 1}
"""Bytes per weight in each precision."""


@dataclass(frozen=True)
class Share:
    """What one thread reads: weights, and the offsets in it (in floats) of W_x, W_h, W_q, the
    decoder's weight and attention's of each layer, and of the Mogrifier's rounds.

    units and logits are the ranges (first, last) that it computes.
    """

    weights: Floats
    places: NDArray[np.int64]
    rounds: NDArray[np.int64]
    units: tuple[int, int]
    logits: tuple[int, int]


class Weights:
    """Packed weights, already rounded to a precision, as one stream or several read them. What has
    been made is kept, for writers that go on with fewer streams.
    """

    def __init__(self, panels: Panels, precision: str) -> None:
        self.panels, self.precision = panels, precision
        self._shares: dict[int, list[Share]] = {}

    def shares(self, streams: int, threads: int) -> list[Share]:
        """One share of all units for several streams, or for one those of its threads."""
        key = threads if streams == 1 else 0
        if key not in self._shares:
            self._shares[key] = (
                shares_of_stream(self.panels, threads, self.precision)
                if streams == 1
                else [share_of_streams(self.panels, self.precision)]
            )
        return self._shares[key]


def share_of_streams(panels: Panels, precision: str) -> Share:
    """A share with all units, for the product of several streams."""
    if precision == "int8":
        return shares_of_stream(panels, 1, precision)[0]
    begin, model = panels.forward.ctypes.data, panels.model
    *places, rounds = (
        np.array([(piece.memory.ctypes.data - begin) // 4 for piece in row], np.int64)
        for row in (*panels.layers, panels.rounds)
    )
    units, logits = (0, model.width), (0, padded(model.config.vocab_size))
    return Share(panels.forward, np.stack(places), rounds, units, logits)


def shares_of_stream(panels: Panels, threads: int, precision: str) -> list[Share]:
    """The weights, already rounded, divided among at most `threads` threads for the vector product
    of this precision.
    """
    model, parts = panels.model, panels.forward.size * BYTES[precision] // SHARE
    units = ranges(model.width, max(1, min(threads, parts)), LANES)
    logits = ranges(padded(model.config.vocab_size), len(units), LANES)
    logits += [(logits[-1][1], logits[-1][1])] * (len(units) - len(logits))
    return [_share(panels, precision, own, out) for own, out in zip(units, logits, strict=True)]


def product_of(precision: str) -> Any:
    """The kernel; that of bf16 is loaded or compiled on first use."""
    if precision == "bf16":
        return import_module(module_of(precision)).bf16_product
    return int8_product if precision == "int8" else vector_product


def rows_product_of(precision: str) -> Any:
    """The kernel for several streams, over panels; of int8, over blocks as for one."""
    return int8_rows if precision == "int8" else product


def by_share(array: Floats, shares: list[Share], width: int) -> Floats:
    """An array (R, B * width) whose rows are B blocks of `width` units, reordered so that each
    share's units of all blocks are adjacent.
    """
    if len(shares) == 1:
        return array
    placed = aligned(*array.shape)
    np.concatenate([_columns(array, width, share.units) for share in shares], 1, out=placed)
    return placed


def _share(
    panels: Panels, precision: str, units: tuple[int, int], logits: tuple[int, int]
) -> Share:
    width = panels.model.width
    pieces = [
        blocks(weight, precision)
        for *row, out, attend in ([piece.columns for piece in layer] for layer in panels.layers)
        for weight in (*(_columns(w, width, units) for w in row), out[:, slice(*logits)], attend)
    ]
    layers = len(pieces)
    pieces += [blocks(piece.columns, precision) for piece in panels.rounds]
    ends = np.cumsum([0, *(piece.size for piece in pieces)], dtype=np.int64)
    weights = _memory(int(ends[-1]))
    np.concatenate(pieces, out=weights)
    places = ends[:layers].reshape(-1, len(panels.layers[0]))
    return Share(weights, places, ends[layers:-1], units, logits)


def _memory(size: int) -> Floats:
    """Float32 memory in large pages, if available: small, scattered pages evict one another from a
    cache that could hold them all.
    """
    if size * 4 < SHARE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return aligned(size)
    memory = mmap.mmap(-1, size * 4 + PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a system without large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    whole: Floats = np.frombuffer(memory, np.float32)
    start = -whole.ctypes.data % PAGE // 4
    return whole[start : start + size]


def _columns(weight: Floats, width: int, units: tuple[int, int]) -> Floats:
    """The units' columns of every block of a matrix (K, B * width)."""
    K, B = len(weight), weight.shape[1] // width
    first, last = units
    return weight.reshape(K, B, width)[:, :, first:last].reshape(K, B * (last - first))


def blocks(weight: Floats, precision: str) -> Floats:
    """A matrix (K, N), already rounded, as a flat array in the layout that `kernels.vector_product`
    or that of another precision reads.
    """
    N = weight.shape[1]
    wide = N // WIDE * WIDE
    edges = [*range(0, wide, WIDE), *range(wide, N, LANES), N]
    pieces = [_block(weight[:, a:b], precision) for a, b in pairwise(edges)]
    return np.concatenate([np.zeros(0, np.float32), *pieces])


def _block(weight: Floats, precision: str) -> Floats:
    if precision == "float32":
        return weight.ravel()
    if precision == "bf16":
        words = to_bf16(weight).astype(np.uint32)
        return (words[::2] | words[1::2] << np.uint32(16)).ravel().view(np.float32)
    scale = scales(weight)
    numbers = np.rint(weight / scale).astype(np.int8)
    starts = -(numbers.sum(0, dtype=np.int32) << bits_of(len(weight)))
    words = numbers.reshape(-1, 4, numbers.shape[1]).transpose(0, 2, 1).copy()
    return np.concatenate([scale, *(x.ravel().view(np.float32) for x in (starts, words))])
