"""All parameters of a network in one flat vector with named views, and their form on disk.

In memory a weight is (inputs, blocks * outputs), every block padded with zeros to a multiple of
LANES columns, so that kernels need no remainders. Padding starts at zero and stays zero, since its
gradient is zero. On disk, names, shapes and the order of blocks are PyTorch's where it has the
module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.simd import LANES, padded
from charrnn.config import ModelConfig
from charrnn.network.cells import cell_named

Floats = NDArray[np.float32]
Shapes = dict[str, tuple[int, ...]]
"""Float32 arrays by name; an array that is not needed has no elements."""
# Writable, since Numba treats read-only arrays as another type.
NOTHING = np.zeros((0, 0), np.float32)
EMPTY = np.zeros((0, 0, 0), np.float32)


ATTENTION_UNITS, ATTENTION_DISTANCES = 64, 16
"""Units d of a query and of a key; and biases, one for each power of two of the distance."""

ATTENTION_SPEED = 10.0
"""By how much a bias of attention weighs more than its number, since the rates are those of smaller
numbers.
"""


def aligned(*shape: int) -> Floats:
    """Float32 zeros, aligned to a cache line: vectors that straddle two lines halve the speed."""
    count = int(np.prod(shape, dtype=np.int64))
    memory = np.zeros(count + LANES, np.float32)
    start = (-memory.ctypes.data % 64) // 4
    return memory[start : start + count].reshape(shape)


class Fixed:
    """An object whose attributes are set once, since kernels hold the addresses of its arrays. The
    numbers in the arrays may change: `flat[:] = 0` and `parameters.flat *= 2` are allowed.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get(name, value) is not value:
            raise AttributeError(
                f"`{name}` of {type(self).__name__} is fixed; make a new {type(self).__name__}, or "
                "change the numbers in its arrays"
            )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"`{name}` of {type(self).__name__} is fixed")


@dataclass(frozen=True)
class Tensor:
    """One parameter: its name, its parts, and its layout on disk and in memory.

    A weight is (disk_blocks * outputs, inputs) on disk and (inputs, blocks * outputs) in memory; a
    bias has inputs = 0; a table (an embedding, or a cell's vectors) is (outputs, inputs) in both.
    `order[b]` is the position on disk of memory block b; positions that no block uses are zero on
    disk.
    """

    name: str
    outputs: int
    inputs: int
    order: tuple[int, ...] = (0,)
    disk_blocks: int = 1
    pad_inputs: bool = True
    is_table: bool = False

    @property
    def decays(self) -> bool:
        """True if weight penalties apply to it. Biases are exempt, and attention, which they would
        put out: few characters need it, so that it learns too slowly to withstand them.
        """
        return "bias" not in self.name and not self.name.startswith("attention")

    @property
    def disk_shape(self) -> tuple[int, ...]:
        """The shape in a checkpoint; PyTorch's if it has the module."""
        rows = self.disk_blocks * self.outputs
        return (rows, self.inputs) if self.inputs else (rows,)

    @property
    def shape(self) -> tuple[int, ...]:
        """The padded shape in memory."""
        if self.is_table:
            return self.outputs, padded(self.inputs)
        columns = len(self.order) * padded(self.outputs)
        if not self.inputs:
            return (columns,)
        return (padded(self.inputs) if self.pad_inputs else self.inputs), columns

    @property
    def count(self) -> int:
        """Number of trained elements."""
        return len(self.order) * self.outputs * (self.inputs or 1)

    def to_disk(self, view: Floats) -> Floats:
        """A copy of the array in checkpoint layout; view has `shape`."""
        if self.is_table:
            return np.array(view[:, : self.inputs], order="C")
        rows = self._blocks_of(view)
        blocks = np.zeros((self.disk_blocks, self.outputs, len(rows)), np.float32)
        blocks[list(self.order)] = rows.transpose(1, 2, 0)
        return blocks.reshape(self.disk_shape)

    def from_disk(self, array: Floats, view: Floats) -> None:
        """Fill view (of `shape`) from an array of `disk_shape`."""
        if self.is_table:
            view[:, : self.inputs] = array
            return
        blocks = array.reshape(self.disk_blocks, self.outputs, -1)[list(self.order)]
        self._blocks_of(view)[:] = blocks.transpose(2, 0, 1)

    def _blocks_of(self, view: Floats) -> Floats:
        """A weight or a bias in memory without its padding, (inputs, blocks, outputs); a view."""
        blocks = view.reshape(-1, len(self.order), padded(self.outputs))
        return blocks[: self.inputs or 1, :, : self.outputs]


def tensors_of(config: ModelConfig) -> tuple[Tensor, ...]:
    """The parameters of a network."""
    config, cell = config.sized(), cell_named(config.cell)
    V, E, H, L = config.vocab_size, config.embedding, config.hidden, config.layers
    tensors = [Tensor("embedding.weight", V, E, is_table=True)] if E else []
    if cell.reads_below:
        tensors.append(Tensor("rnn.memory.weight", V, H, is_table=True))
    fed, recurrent = cell.input_gates, cell.recurrent_gates
    by_input = tuple(fed.index(gate) for gate in cell.gates[: len(fed)])
    by_state = tuple(
        recurrent.index(gate) for gate in cell.gates[len(cell.gates) - len(recurrent) :]
    )
    for layer in range(L):
        inputs = H if layer else E or V
        one_hot = layer == 0 and not E
        tensors += [
            Tensor(
                f"rnn.weight_ih_l{layer}", H, inputs, by_input, len(fed), pad_inputs=not one_hot
            ),
            Tensor(f"rnn.weight_hh_l{layer}", H, H, by_state, len(recurrent)),
            Tensor(f"rnn.bias_ih_l{layer}", H, 0, by_input, len(fed)),
        ]
        if len(cell.gates) > len(fed):
            own = tuple(recurrent.index(gate) for gate in cell.gates[len(fed) :])
            tensors.append(Tensor(f"rnn.bias_hh_l{layer}", H, 0, own, len(recurrent)))
        if layer == 0:
            # each reads the one and scales the other
            sizes = zip(round_names(config), cycle([(E, H), (H, E)]), strict=False)
            tensors += [Tensor(name, *size) for name, size in sizes]
        if cell.peepholes:
            tensors.append(Tensor(f"rnn.peephole_l{layer}", len(cell.peepholes), H, is_table=True))
    tensors += [Tensor(name, V, H) for name in decoder_names(config) if name is not None]
    if config.attention:
        tensors.append(Tensor("attention.weight", ATTENTION_UNITS, H, (0, 1), 2))
        tensors.append(Tensor("attention.bias", ATTENTION_DISTANCES, 0))
    return (*tensors, Tensor("decoder.bias", V, 0))


def shapes_of(config: ModelConfig) -> Shapes:
    """The shape of all parameters in memory, one flat vector."""
    return {tensor.name: tensor.shape for tensor in tensors_of(config)}


def round_names(config: ModelConfig) -> list[str]:
    """The matrices of the Mogrifier's rounds."""
    return [f"rnn.weight_m{index}_l0" for index in range(1, (config.mogrifier or 0) + 1)]


def matrix_names(config: ModelConfig) -> list[str]:
    """The weights that a network reads completely for every character."""
    recurrent = [f"rnn.weight_hh_l{layer}" for layer in range(config.layers)]
    fed = range(0 if config.mogrifier else 1, config.layers)
    above = [*(f"rnn.weight_ih_l{layer}" for layer in fed), *round_names(config)]
    out = [name for name in decoder_names(config) if name is not None]
    return [*recurrent, *above, *out, *["attention.weight"] * (config.attention > 0)]


def buckets_of(last: int) -> NDArray[np.int64]:
    """Which bias of attention belongs to each of the last positions, from t - M to t - 1, int64
    (M,): floor(log2(distance)).
    """
    distance = np.arange(last, 0, -1)
    return np.minimum(np.log2(distance).astype(np.int64), ATTENTION_DISTANCES - 1)


def root_of(config: ModelConfig) -> np.float32:
    """What scalar products of queries and keys are multiplied by: 1 / (2 H)."""
    return np.float32(1 / (2 * config.hidden))


def attention_biases(parameters: Parameters, config: ModelConfig) -> Floats:
    """What attention adds for each of the last positions, float32 (M,); none without attention."""
    biases = aligned(config.attention)
    if config.attention:
        of_bucket = parameters["attention.bias"] * np.float32(ATTENTION_SPEED)
        biases[:] = of_bucket[buckets_of(config.attention)]
    return biases


def decoder_names(config: ModelConfig) -> list[str | None]:
    """The weight by which the decoder reads each layer's outputs; None if it does not (without
    `skip`, all layers but the last).
    """
    below = [
        f"decoder.weight_l{layer}" if config.skip else None for layer in range(config.layers - 1)
    ]
    return [*below, "decoder.weight"]


def parameter_count(config: ModelConfig, names: Collection[str] = ()) -> int:
    """The number of trained parameters in all tensors, or in those with these names (including
    W_h); weights that a cell holds at zero are not counted.
    """
    counts = {tensor.name: tensor.count for tensor in tensors_of(config)}
    total = sum(counts[name] for name in names or counts)
    mask = cell_named(config.cell).recurrent_mask
    return total if mask is None else total - config.layers * int((~mask(config)).sum())


class Parameters(Fixed):
    """A flat float32 vector and a view of it for every tensor; gradients and optimizer slots have
    the same layout.

    Weights come first, then biases; the biases of a layer are adjacent.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = tuple(tensors)
        laid = sorted(self.tensors, key=lambda tensor: not tensor.decays)
        sizes = [math.prod(tensor.shape) for tensor in laid]
        self.flat = aligned(sum(sizes))
        border = sum(size for tensor, size in zip(laid, sizes, strict=True) if tensor.decays)
        self.regions = ((0, border, True), (border, self.flat.size, False))
        """Ranges (start, stop, decays) of the flat vector: penalized tensors, and biases, which are
        exempt.
        """
        pieces = zip(laid, np.split(self.flat, np.cumsum(sizes)), strict=False)
        views: dict[str, Floats] = {t.name: piece.reshape(t.shape) for t, piece in pieces}
        self.views: Mapping[str, Floats] = MappingProxyType(views)

    def __repr__(self) -> str:
        return f"Parameters({self.flat.size:,} numbers, {len(self.tensors)} tensors)"

    def __reduce__(self) -> tuple[Callable[..., Parameters], tuple[Any, ...]]:
        # copied as an object, the views would no longer be views of the flat vector
        return _filled, (self.tensors, self.flat)

    def bias(self, layer: int) -> Floats:
        """All biases of a layer as one vector, in the order of the cell's gates."""
        names = f"rnn.bias_ih_l{layer}", f"rnn.bias_hh_l{layer}"
        parts = [self.views[name] for name in names if name in self.views]
        start = (parts[0].ctypes.data - self.flat.ctypes.data) // 4
        return self.flat[start : start + sum(part.size for part in parts)]

    def __getitem__(self, name: str) -> Floats:
        return self.views[name]

    def like(self) -> Parameters:
        """Zeros of the same layout."""
        return Parameters(self.tensors)

    def copy(self) -> Parameters:
        """A copy of the parameters."""
        return _filled(self.tensors, self.flat)

    def to_disk(self) -> Iterator[tuple[str, Floats]]:
        """Yields each tensor's name and its array in the shape on disk."""
        for tensor in self.tensors:
            yield tensor.name, tensor.to_disk(self[tensor.name])

    def from_disk(self, arrays: Mapping[str, Floats]) -> None:
        """Fill the parameters from arrays with the names and shapes on disk."""
        for tensor in self.tensors:
            tensor.from_disk(arrays[tensor.name], self[tensor.name])


def _filled(tensors: Iterable[Tensor], flat: Floats) -> Parameters:
    """Parameters with these numbers."""
    parameters = Parameters(tensors)
    parameters.flat[:] = flat
    return parameters
