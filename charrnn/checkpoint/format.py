"""The file format of a checkpoint, tensors and JSON, and the checks when it is read.

`header` reads the metadata. Files are not trusted: every size is checked before memory of that size
is allocated.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as to_bytes

from charrnn.checkpoint.header import FORMAT_VERSION, KEY, Metadata, opened_safely
from charrnn.checkpoint.names import file_name, torch_module
from charrnn.config import ModelConfig
from charrnn.errors import CheckpointError
from charrnn.network.arithmetic import from_bf16
from charrnn.network.cells import cell_named
from charrnn.network.model import Model, State
from charrnn.network.parameters import Parameters, Tensor, tensors_of
from charrnn.runtime.files import write_atomically

Arrays = dict[str, NDArray[Any]]


def write(
    path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], about: Metadata
) -> None:
    """Write a file atomically, and flush it to disk before returning."""
    # ASCII only: a file name that is not UTF-8 contains surrogates, which must be escaped
    text = json.dumps(
        {"format_version": FORMAT_VERSION, **about}, allow_nan=False, separators=(",", ":")
    )
    write_atomically(Path(path), to_bytes(dict(arrays), {KEY: text}))


class File:
    """An open checkpoint: its metadata, and its tensors, read on request."""

    def __init__(self, file: Any, about: Metadata) -> None:
        self._file, self.about = file, about
        self.names = frozenset(file.keys())

    def arrays(self, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
        """The float32 tensors with these names, after checking shape, type and finite values.

        bfloat16 values, which safetensors' NumPy interface lacks, are stored as U16.
        """
        arrays: Arrays = {}
        for name, shape in shapes.items():
            if name not in self.names:
                raise CheckpointError(f"the tensor {name} is missing; the file is damaged")
            header = self._file.get_slice(name)
            kind, size = header.get_dtype(), list(header.get_shape())
            if size != list(shape) or kind not in ("F32", "U16"):
                raise CheckpointError(
                    f"the tensor {name} is {kind} {size}, but the configuration requires F32 "
                    f"{list(shape)}; the file is damaged"
                )
            array = np.array(self._file.get_tensor(name))
            arrays[name] = array = from_bf16(array) if kind == "U16" else array
            if not np.isfinite(array).all():
                raise CheckpointError(
                    f"the tensor {name} contains NaN or infinity; the file is damaged"
                )
        return arrays

    def parameters(
        self, config: ModelConfig, prefix: str = "", tensors: Sequence[Tensor] | None = None
    ) -> Parameters:
        """A network's parameters, or other arrays of this layout, by default the same, with this
        prefix.
        """
        tensors = tensors_of(config) if tensors is None else tensors
        cell = cell_named(config.cell)
        names = {tensor.name: prefix + file_name(tensor.name, config) for tensor in tensors}
        shapes = {names[tensor.name]: tensor.disk_shape for tensor in tensors}
        seconds = {prefix + name: zeros.shape for name, zeros in second_biases(config).items()}
        arrays = self.arrays(shapes | {n: seconds[n] for n in seconds if n in self.names})
        # PyTorch may have trained its second bias: if a gate has both, use the sum
        for name in seconds:
            if name in arrays:
                first = arrays[name.replace("_hh_", "_ih_")].reshape(-1, config.hidden)
                second = arrays[name].reshape(-1, config.hidden)
                for gate, bias in zip(cell.recurrent_gates, second, strict=True):
                    if gate in cell.input_gates:
                        first[cell.input_gates.index(gate)] += bias
        parameters = Parameters(tensors)
        parameters.from_disk({name: arrays[names[name]] for name in names})
        return parameters

    def state(self, model: Model, prefix: str, streams: int | None = None) -> State:
        """The state stored under `prefix`, of this number of streams (default: all); its ring of
        attention is empty unless it is stored, too.
        """
        L, H = model.config.layers, model.config.hidden
        streams = streams or self.streams(prefix)
        shape = (L, streams, H)
        arrays = self.arrays({prefix + name: shape for name in "hc"})
        state = State(model, streams)
        state.h[..., :H], state.c[..., :H] = arrays.values()
        if f"{prefix}keys" in self.names and len(state.keys):
            limits = {"ids": (-1, model.config.vocab_size), "places": (0, model.config.attention)}
            names = ["keys", *limits]
            rings = self.arrays({prefix + name: getattr(state, name).shape for name in names})
            for name in names:
                array = rings[prefix + name]
                least, most = limits.get(name, (-np.inf, np.inf))
                if name in limits and not _are_whole(array, least, most):
                    raise CheckpointError(
                        f"the tensor {prefix}{name} has numbers that are not {least} to "
                        f"{most - 1}; the file is damaged"
                    )
                getattr(state, name)[:] = array
        return state

    def streams(self, prefix: str) -> int:
        """The number of streams in the state under `prefix`."""
        shape = self._file.get_slice(f"{prefix}h").get_shape()
        if len(shape) != 3 or not shape[1]:
            raise CheckpointError(f"the tensor {prefix}h is not a state; the file is damaged")
        return int(shape[1])


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[File]:
    """An open file; an error inside the block becomes a `CheckpointError` naming the file."""
    with opened_safely(path) as (file, about):
        yield File(file, about)


def arrays_of(parameters: Parameters, config: ModelConfig, prefix: str = "") -> Arrays:
    """Parameter arrays by their names in a file, in the file's shapes and order."""
    return {prefix + file_name(name, config): array for name, array in parameters.to_disk()}


def second_biases(config: ModelConfig) -> Arrays:
    """Zeros for PyTorch's second bias of each layer; charrnn trains at most one gate of it."""
    zeros = np.zeros(len(cell_named(config.cell).recurrent_gates) * config.hidden, np.float32)
    layers = range(config.layers if torch_module(config) else 0)
    return {f"rnn.bias_hh_l{layer}": zeros for layer in layers}


def _are_whole(array: NDArray[Any], least: float, most: float) -> bool:
    """True if all are whole numbers, from `least` to below `most`."""
    return bool(((array >= least) & (array < most) & (array == np.floor(array))).all())


def arrays_of_state(state: State, config: ModelConfig, prefix: str, rings: bool = False) -> Arrays:
    """h and c (L, N, H) by their names in a file, and if asked for the `rings` of attention, whole
    numbers as float32.
    """
    arrays = {"h": state.h, "c": state.c}
    found = {
        prefix + name: np.ascontiguousarray(array[..., : config.hidden])
        for name, array in arrays.items()
    }
    if rings and len(state.keys):
        for name in ("keys", "ids", "places"):
            found[prefix + name] = np.array(getattr(state, name), np.float32)
    return found
