"""The file format of a checkpoint, tensors and JSON, and the checks when it is read.

A checkpoint is one safetensors file. Its metadata has one key, `charrnn`, whose value is JSON.
Files are not trusted: nothing in them is run, and every size is checked before memory of that size
is allocated.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from charrnn.checkpoint.names import file_name, torch_module
from charrnn.config import ModelConfig
from charrnn.config.fields import Settings
from charrnn.errors import CharrnnError, CheckpointError, one_line
from charrnn.network.arithmetic import from_bf16
from charrnn.network.cells import cell_named
from charrnn.network.model import Model, State
from charrnn.network.parameters import Parameters, tensors_of
from charrnn.runtime.files import write_atomically

FORMAT_VERSION = 4
"""Earlier versions are from before the first release and are not supported."""
KEY = "charrnn"
MOST = 10**15
"""Upper limit of every count in a checkpoint."""

Metadata = dict[str, Any]
Arrays = dict[str, NDArray[Any]]
T = TypeVar("T")
S = TypeVar("S", bound=Settings)


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

    def __init__(self, file: Any) -> None:
        self._file = file
        self.names = frozenset(file.keys())
        self.about = _metadata(file.metadata() or {})

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

    def parameters(self, config: ModelConfig, prefix: str = "") -> Parameters:
        """A network's parameters, or other arrays of the same layout with this prefix."""
        parameters, cell = Parameters(tensors_of(config)), cell_named(config.cell)
        names = {
            tensor.name: prefix + file_name(tensor.name, config) for tensor in parameters.tensors
        }
        shapes = {names[tensor.name]: tensor.disk_shape for tensor in parameters.tensors}
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
        parameters.from_disk({name: arrays[names[name]] for name in names})
        return parameters

    def state(self, model: Model, prefix: str, streams: int | None = None) -> State:
        """The state stored under `prefix`, of this number of streams (default: all)."""
        L, H = model.config.layers, model.config.hidden
        streams = streams or self.streams(prefix)
        shape = (L, streams, H)
        state = State(model, streams)
        arrays = self.arrays({prefix + name: shape for name in "hc"})
        state.h[..., :H], state.c[..., :H] = arrays.values()
        return state

    def streams(self, prefix: str) -> int:
        """The number of streams in the state under `prefix`."""
        shape = self._file.get_slice(f"{prefix}h").get_shape()
        if len(shape) != 3 or not shape[1]:
            raise CheckpointError(f"the tensor {prefix}h is not a state; the file is damaged")
        return int(shape[1])


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[File]:
    """An open file; an error inside the block becomes a `CheckpointError` naming the file. Only
    regular files are opened: a pipe or a device may have no end.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise CheckpointError("a pipe, device or socket, not a file; give a checkpoint")
        with safe_open(os.fspath(path), framework="numpy") as file:
            yield File(file)
    except FileNotFoundError:
        if os.path.isdir(path):  # noqa: PTH112
            raise CheckpointError(f"{path}: this is a folder, not a checkpoint file") from None
        raise CheckpointError(
            f"{path}: no such file; give a checkpoint or a run's folder"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read the file: {error.strerror or error}") from None
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a checkpoint, or damaged ({one_line(error)})") from None
    except (
        RecursionError,
        OverflowError,
        ValueError,
    ) as error:  # a decompression bomb, or a NUL in the path
        raise CheckpointError(f"{path!r}: cannot read the file ({one_line(error)})") from None
    except CharrnnError as error:
        raise CheckpointError(f"{path}: {one_line(error)}") from None


def arrays_of(parameters: Parameters, config: ModelConfig, prefix: str = "") -> Arrays:
    """Parameter arrays by their names in a file, in the file's shapes and order."""
    return {prefix + file_name(name, config): array for name, array in parameters.to_disk()}


def second_biases(config: ModelConfig) -> Arrays:
    """Zeros for PyTorch's second bias of each layer; charrnn trains at most one gate of it."""
    size = len(cell_named(config.cell).recurrent_gates) * config.hidden
    layers = range(config.layers if torch_module(config) else 0)
    return {f"rnn.bias_hh_l{layer}": np.zeros(size, np.float32) for layer in layers}


def arrays_of_state(state: State, config: ModelConfig, prefix: str) -> Arrays:
    """h and c (L, N, H) by their names in a file."""
    arrays = {"h": state.h, "c": state.c}
    return {
        prefix + name: np.ascontiguousarray(array[..., : config.hidden])
        for name, array in arrays.items()
    }


def value(about: Metadata, key: str, kind: type[T]) -> T:
    """about[key], which must have this type (an int is allowed for a float)."""
    result = about.get(key)
    if kind is float and type(result) is int:
        result = float(result)
    if type(result) is not kind:
        raise CheckpointError(
            f"the metadata's {key!r} should be of type {kind.__name__}, but is {result!r:.60}; the "
            "file is damaged"
        )
    return result


def configuration(kind: type[S], about: Metadata, key: str) -> S:
    """about[key] as settings of this class, all of them set (none left to the recipe)."""
    config = kind.from_mapping(value(about, key, dict), f"the metadata's {key!r}")
    for name in config.undecided():
        raise CheckpointError(f"the metadata's {key!r} has no `{name}`; the file is damaged")
    return config


def count(about: Metadata, key: str, least: int = 0) -> int:
    """about[key], a whole number from `least` to `MOST`."""
    number = value(about, key, int)
    if not least <= number <= MOST:
        raise CheckpointError(
            f"the metadata's {key!r} is not between {least} and {MOST}; the file is damaged"
        )
    return number


def _metadata(metadata: dict[str, str]) -> Metadata:
    if KEY not in metadata:
        raise CheckpointError(
            "a safetensors file without charrnn metadata, so not a charrnn checkpoint"
        )
    try:
        about: Any = json.loads(metadata[KEY], parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the metadata is not JSON ({one_line(error)}); the file is damaged"
        ) from None
    version = about.get("format_version") if isinstance(about, dict) else None
    if type(version) is not int or version < 1:
        raise CheckpointError("the metadata has no format version; the file is damaged")
    if version < FORMAT_VERSION:
        raise CheckpointError(
            f"format version {version} is from before the first release and no longer supported; "
            "train a new network"
        )
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"format version {version} is newer than this program's ({FORMAT_VERSION}); update "
            "charrnn: pip install -U charrnn-numba"
        )
    return dict(about)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    """The number; 1e999 is valid JSON but would be infinite here."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits:.20} is too large")
    return number
