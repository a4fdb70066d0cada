"""All parameters of a network in one flat vector, with named views, and how they look on disk.

In memory a weight is (inputs, gates * outputs), every gate's block padded with zeros to a multiple of LANES columns, so
that kernels need no remainders. Padding starts at zero, its gradient is zero, and so it stays. On disk names, shapes and
gate order are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig
from charrnn.errors import CheckpointError
from charrnn.kernels.simd import LANES, padded

Floats = NDArray[np.float32]


def aligned(*shape: int) -> Floats:
    """Zeros, float32, that start on a cache line: vectors that straddle two lines halve the speed."""
    count = int(np.prod(shape, dtype=np.int64))
    memory = np.zeros(count + LANES, np.float32)
    start = (-memory.ctypes.data % 64) // 4
    return memory[start : start + count].reshape(shape)


@dataclass(frozen=True)
class Tensor:
    """One parameter: its name, its parts on disk, and whether it is stored transposed in memory.

    A weight is (gates * outputs, inputs) on disk and (inputs, gates * outputs) in memory; a bias has inputs = 0; an embedding
    is (outputs, inputs) in both.
    """

    name: str
    outputs: int
    inputs: int
    gates: int = 1
    pad_inputs: bool = True
    transposed: bool = True

    @property
    def decays(self) -> bool:
        """True if penalties on weights act on it; biases are exempt."""
        return "bias" not in self.name

    @property
    def disk_shape(self) -> tuple[int, ...]:
        """The shape in a checkpoint, PyTorch's."""
        return (self.gates * self.outputs, self.inputs) if self.inputs else (self.gates * self.outputs,)

    @property
    def shape(self) -> tuple[int, ...]:
        """The padded shape in memory."""
        if not self.transposed:
            return self.outputs, padded(self.inputs)
        columns = self.gates * padded(self.outputs)
        if not self.inputs:
            return (columns,)
        return (padded(self.inputs) if self.pad_inputs else self.inputs), columns

    def to_disk(self, view: Floats) -> Floats:
        """The array as a checkpoint holds it, a copy; view has `shape`."""
        if not self.transposed:
            return np.array(view[:, : self.inputs], order="C")
        rows = view.reshape(-1, self.gates, padded(self.outputs))[: self.inputs or 1, :, : self.outputs]
        return np.array(rows.transpose(1, 2, 0).reshape(self.disk_shape), order="C")

    def from_disk(self, array: Floats, view: Floats) -> None:
        """Fill view (of `shape`) from an array of `disk_shape`."""
        if not self.transposed:
            view[:, : self.inputs] = array
            return
        rows = array.reshape(self.gates, self.outputs, -1).transpose(2, 0, 1)
        view.reshape(-1, self.gates, padded(self.outputs))[: self.inputs or 1, :, : self.outputs] = rows


def tensors_of(config: ModelConfig, gates: int) -> tuple[Tensor, ...]:
    """The parameters of a network, in the order of the flat vector."""
    V, E, H = config.vocab_size, config.embedding, config.hidden
    tensors = [Tensor("embedding.weight", V, E, transposed=False)] if E else []
    for layer in range(config.layers):
        inputs = H if layer else E or V
        one_hot = layer == 0 and not E
        tensors += [
            Tensor(f"rnn.weight_ih_l{layer}", H, inputs, gates, pad_inputs=not one_hot),
            Tensor(f"rnn.weight_hh_l{layer}", H, H, gates),
            Tensor(f"rnn.bias_ih_l{layer}", H, 0, gates),
        ]
    return (*tensors, Tensor("decoder.weight", V, H), Tensor("decoder.bias", V, 0))


class Parameters:
    """A flat float32 vector and a view of it for every tensor; gradients and optimiser slots have the same layout."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = tuple(tensors)
        sizes = [int(np.prod(tensor.shape)) for tensor in self.tensors]
        self.flat = aligned(sum(sizes))
        self.views: dict[str, Floats] = {}
        self.regions: list[tuple[int, int, bool]] = []
        """(start, stop, decays) of the flat vector: by turns tensors that penalties act on, and biases, which are exempt."""
        start = 0
        for tensor, size in zip(self.tensors, sizes, strict=True):
            begin = self.regions.pop()[0] if self.regions and self.regions[-1][2] == tensor.decays else start
            self.regions.append((begin, start + size, tensor.decays))
            self.views[tensor.name] = self.flat[start : start + size].reshape(tensor.shape)
            start += size

    def __getitem__(self, name: str) -> Floats:
        return self.views[name]

    def like(self) -> Parameters:
        """Zeros of the same layout."""
        return Parameters(self.tensors)

    def count(self) -> int:
        """How many numbers there are, padding left out."""
        return sum(int(np.prod(tensor.disk_shape)) for tensor in self.tensors)

    def to_disk(self) -> Iterator[tuple[str, Floats]]:
        """Each tensor's name and its array in PyTorch's shape."""
        for tensor in self.tensors:
            yield tensor.name, tensor.to_disk(self[tensor.name])

    def from_disk(self, arrays: Mapping[str, NDArray[np.generic]], prefix: str = "") -> None:
        """Fill from arrays of PyTorch's names and shapes; `CheckpointError` when one is missing, misshapen or not finite."""
        for tensor in self.tensors:
            name = prefix + tensor.name
            if name not in arrays:
                raise CheckpointError(f"the tensor {name} is missing")
            array = arrays[name]
            if array.shape != tensor.disk_shape or array.dtype != np.float32:
                raise CheckpointError(
                    f"the tensor {name} is {array.dtype} {array.shape}, where the configuration asks for float32 "
                    f"{tensor.disk_shape}"
                )
            if not np.isfinite(array).all():
                raise CheckpointError(f"the tensor {name} holds a NaN or an infinity")
            tensor.from_disk(array.astype(np.float32, copy=False), self[tensor.name])
