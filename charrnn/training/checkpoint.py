"""Checkpoints: one safetensors file that holds everything a run goes on from.

Tensors have PyTorch's names, shapes and order of gates, here for the LSTM: `embedding.weight` (if
there is an embedding), `rnn.weight_ih_l0` (4H, D), `rnn.weight_hh_l0` (4H, H), `rnn.bias_ih_l0`,
`rnn.bias_hh_l0` (zero: one bias is trained, but for the block of gru-after that no input feeds),
..., `decoder.weight` (V, H), `decoder.bias`; and for some cells `rnn.peephole_l0` (K, H) and
`rnn.memory.weight` (V, H). These are the weights to evaluate and to write with; of a run that
averages its weights, those in training stand under `trained.`. The optimiser's slots stand under
`optimizer.<slot>.`, the carried state is `state.h` and `state.c` (L, N, H). The metadata has one
key, `charrnn`, JSON: `format_version`, `model`, `train`, `corpus`, `vocab` (a list of symbols, the
index is the id), `unit`, `unknown`, `step`, `epoch`, `progress`, `history`, `sources`, `sha256`. A
file read here is not trusted: it holds numbers and JSON only, nothing in it is run, and every size
is checked before it is used.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from charrnn.config.settings import CorpusConfig, ModelConfig, TrainConfig
from charrnn.errors import CharrnnError, CheckpointError
from charrnn.network.cells import cell_named
from charrnn.network.model import Model, State
from charrnn.network.parameters import tensors_of
from charrnn.optim.optimizers import OPTIMIZERS
from charrnn.runtime.files import write_atomically
from charrnn.text.corpus import Source
from charrnn.text.vocab import Vocab
from charrnn.training.run import Progress, Run

FORMAT_VERSION = 3
"""1 had the LSTM with Adam alone; 2 had no averaged weights."""
KEY = "charrnn"
TRAINED = "trained."
HISTORY_NUMBERS = (
    *("epoch", "train_loss", "validation_loss", "learning_rate", "gradient_norm"),
    *("fell_back_from", "lost", "rate_factor"),
)
MOST = 10**15
"""What no count in a checkpoint can reach."""


def save(path: str | os.PathLike[str], run: Run) -> None:
    """Write a run to a file, whole or not at all, and onto the disk before this returns;
    `CheckpointError` if it cannot be.
    """
    # ASCII only: a file's name that is not UTF-8 holds surrogates, which cannot be encoded but can
    # be escaped
    data = to_bytes(
        _tensors(run), {KEY: json.dumps(metadata_of(run), allow_nan=False, separators=(",", ":"))}
    )
    write_atomically(Path(path), data)


def _tensors(run: Run) -> dict[str, NDArray[np.float32]]:
    parameters, H = run.result.parameters, run.model.config.hidden
    tensors = dict(parameters.to_disk())
    for layer in range(run.model.config.layers):
        tensors.setdefault(
            f"rnn.bias_hh_l{layer}", np.zeros(_second_bias(run.model.config), np.float32)
        )
    if run.average is not None:
        tensors.update(
            {f"{TRAINED}{name}": array for name, array in run.model.parameters.to_disk()}
        )
    for slot, values in run.slots.items():
        tensors.update({f"optimizer.{slot}.{name}": array for name, array in values.to_disk()})
    tensors["state.h"] = np.ascontiguousarray(run.state.h[..., :H])
    tensors["state.c"] = np.ascontiguousarray(run.state.c[..., :H])
    return tensors


def _second_bias(config: ModelConfig) -> tuple[int]:
    """The shape of PyTorch's second bias."""
    return (len(cell_named(config.cell).recurrent_gates) * config.hidden,)


def metadata_of(run: Run) -> dict[str, Any]:
    """What a checkpoint says of a run beside its tensors, fit for JSON; the keys stand in the
    module's docstring.
    """
    return {
        "format_version": FORMAT_VERSION,
        "model": asdict(run.model.config),
        "train": asdict(run.config),
        "corpus": asdict(run.corpus_config),
        "vocab": run.vocab.to_list(),
        "unit": run.vocab.unit,
        "unknown": run.vocab.unknown,
        "step": run.step,
        "epoch": run.epoch,
        "steps_per_epoch": run.steps_per_epoch,
        "progress": asdict(run.progress),
        "history": run.history,
        "sources": [asdict(source) for source in run.sources],
        "sha256": run.sha256,
        "init_from": run.init_from,
    }


def load(path: str | os.PathLike[str]) -> Run:
    """The run in a checkpoint file. `CheckpointError`, one line, for whatever is not a sound
    checkpoint of a known format.
    """
    with _opened(path) as file:
        return _run(file, _read_metadata(file.metadata() or {}))


def configurations_of(path: str | os.PathLike[str]) -> tuple[ModelConfig, TrainConfig]:
    """The network's and the training's configuration in a checkpoint file, of which no tensor is
    read; errors as for `load`.
    """
    with _opened(path) as file:
        return _configurations(_read_metadata(file.metadata() or {}))


def progress_of(path: str | os.PathLike[str]) -> Progress:
    """How far the run in a checkpoint file has come; no tensor is read; errors as for `load`."""
    with _opened(path) as file:
        return _progress(_get(_read_metadata(file.metadata() or {}), "progress", dict))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The open safetensors file; what goes wrong in the block becomes a `CheckpointError` that
    names the file.
    """
    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            yield file
    except FileNotFoundError:
        if os.path.isdir(path):  # noqa: PTH112
            raise CheckpointError(f"{path}: this is a folder, not a checkpoint file") from None
        raise CheckpointError(
            f"{path}: there is no such file; give a checkpoint, or the folder of a run"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or a damaged one ({_one_line(error)})"
        ) from None
    except (
        RecursionError,
        OverflowError,
        ValueError,
    ) as error:  # a bomb in the metadata, or a path with a zero byte
        raise CheckpointError(f"{path!r}: cannot be read ({_one_line(error)})") from None
    except CharrnnError as error:
        raise CheckpointError(f"{path}: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _read_metadata(metadata: dict[str, str]) -> dict[str, Any]:
    if KEY not in metadata:
        raise CheckpointError(
            "a safetensors file, but not one of charrnn's: it has no charrnn metadata"
        )
    try:
        found: Any = json.loads(metadata[KEY], parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the metadata is not JSON ({_one_line(error)}); the file is damaged"
        ) from None
    version = found.get("format_version") if isinstance(found, dict) else None
    if type(version) is not int or version < 1:
        raise CheckpointError("the metadata names no format version; the file is damaged")
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"format version {version} is newer than this program's, {FORMAT_VERSION}; update "
            "charrnn: pip install -U charrnn-numba"
        )
    return dict(found)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    """The number; 1e999 is one in JSON, but an infinity here."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits:.20} is too large")
    return value


def _get(metadata: dict[str, Any], key: str, kind: type) -> Any:
    """metadata[key], which must be of this type (an int will do for a float)."""
    value = metadata.get(key)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise CheckpointError(
            f"the metadata's {key!r} should be of type {kind.__name__}, but is {value!r:.60}; the "
            "file is damaged"
        )
    return value


def _configurations(metadata: dict[str, Any]) -> tuple[ModelConfig, TrainConfig]:
    model = ModelConfig.from_mapping(_get(metadata, "model", dict), "the metadata's 'model'")
    training = _get(metadata, "train", dict)
    if metadata["format_version"] < 3:
        training = {**training, "average": 0.0}
    return model, TrainConfig.from_mapping(training, "the metadata's 'train'")


def _run(file: Any, metadata: dict[str, Any]) -> Run:
    model_config, config = _configurations(metadata)
    corpus_config = CorpusConfig.from_mapping(
        _get(metadata, "corpus", dict), "the metadata's 'corpus'"
    )
    vocab = Vocab.from_list(metadata.get("vocab"), metadata.get("unit"), metadata.get("unknown"))
    if len(vocab) != model_config.vocab_size:
        raise CheckpointError(
            f"the vocabulary holds {len(vocab)} symbols, the network {model_config.vocab_size}; "
            "the file is damaged"
        )
    arrays = _arrays(file, model_config, config)
    result = Model(model_config)
    _add_second_bias(arrays, result)
    result.parameters.from_disk(arrays)
    result.hold_zeros()  # a file from elsewhere may have numbers there
    model = result
    if config.average:
        model = Model(model_config)
        model.parameters.from_disk(arrays, TRAINED)
        model.hold_zeros()
    slots = {name: model.parameters.like() for name in OPTIMIZERS[config.optimizer].slots}
    for name, values in slots.items():
        values.from_disk(arrays, f"optimizer.{name}.")
    state = State(model, config.batch_size)
    state.h[..., : model_config.hidden], state.c[..., : model_config.hidden] = (
        arrays["state.h"],
        arrays["state.c"],
    )
    history = _get(metadata, "history", list)
    if not all(
        isinstance(entry, dict) and type(entry.get("step")) is int and 0 <= entry["step"] <= MOST
        for entry in history
    ):
        raise CheckpointError(
            "the metadata's 'history' is not a list of validations; the file is damaged"
        )
    if not all(_is_number(entry.get(name)) for entry in history for name in HISTORY_NUMBERS):
        raise CheckpointError(
            "the metadata's 'history' holds a loss that is no number; the file is damaged"
        )
    steps_per_epoch = _get(metadata, "steps_per_epoch", int)
    if not 1 <= steps_per_epoch <= MOST:
        raise CheckpointError(
            f"the metadata's 'steps_per_epoch' is {steps_per_epoch}; the file is damaged"
        )
    sources, sha256 = _sources(_get(metadata, "sources", list)), _get(metadata, "sha256", str)
    run = Run(model, vocab, corpus_config, config, sources, sha256, slots, state)
    run.average = result.parameters if config.average else None
    run.progress = _progress(_get(metadata, "progress", dict))
    run.history, run.steps_per_epoch = history, steps_per_epoch
    run.init_from = (
        metadata.get("init_from") if isinstance(metadata.get("init_from"), str) else None
    )
    return run


def _is_number(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and abs(value) < 1e300)


def _arrays(file: Any, model: ModelConfig, config: TrainConfig) -> dict[str, NDArray[Any]]:
    """Every tensor that the configuration asks for; shapes are compared before anything of that
    size is made.
    """
    tensors = tensors_of(model, cell_named(model.cell))
    shapes = {tensor.name: tensor.disk_shape for tensor in tensors}
    if config.average:
        shapes |= {f"{TRAINED}{tensor.name}": tensor.disk_shape for tensor in tensors}
    for slot in OPTIMIZERS[config.optimizer].slots:
        shapes |= {f"optimizer.{slot}.{tensor.name}": tensor.disk_shape for tensor in tensors}
    shapes |= dict.fromkeys(("state.h", "state.c"), (model.layers, config.batch_size, model.hidden))
    present = set(file.keys())
    seconds = dict.fromkeys(
        (f"rnn.bias_hh_l{layer}" for layer in range(model.layers)), _second_bias(model)
    )
    shapes |= {name: shape for name, shape in seconds.items() if name in present}
    for name, shape in shapes.items():
        if name not in present:
            raise CheckpointError(f"the tensor {name} is missing; the file is damaged")
        header = file.get_slice(name)
        if tuple(header.get_shape()) != shape or header.get_dtype() != "F32":
            raise CheckpointError(
                f"the tensor {name} is {header.get_dtype()} {list(header.get_shape())}, where the "
                "configuration asks for F32 "
                f"{list(shape)}; the file is damaged"
            )
    arrays = {name: np.array(file.get_tensor(name)) for name in shapes}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"the tensor {name} holds a NaN or an infinity; the file is damaged"
            )
    return arrays


def _add_second_bias(arrays: dict[str, NDArray[Any]], model: Model) -> None:
    """A file from elsewhere may have trained PyTorch's second bias: of blocks that have both, only
    the sum counts.
    """
    cell, H = model.cell, model.config.hidden
    for layer in range(model.config.layers):
        first, second = arrays[f"rnn.bias_ih_l{layer}"], arrays.get(f"rnn.bias_hh_l{layer}")
        if second is None:
            continue
        for place, gate in enumerate(cell.recurrent_gates):
            if gate in cell.input_gates:
                to = cell.input_gates.index(gate)
                first[to * H : (to + 1) * H] += second[place * H : (place + 1) * H]


def _progress(found: dict[str, Any]) -> Progress:
    kinds = {
        "step": int,
        "since": int,
        "loss_sum": float,
        "smoothed_loss": float,
        "best_loss": float,
        "best_step": int,
    }
    kinds |= {
        "good_step": int,
        "calm_loss": float,
        "high_steps": int,
        "fall_backs": int,
        "lost": int,
        "falls": int,
    }
    # files from before there was a plateau schedule, or falling back, have none of these
    found = {"falls": 0, "high_steps": 0, "fall_backs": 0, "lost": 0, **found}
    optional = {"smoothed_loss", "best_loss", "best_step", "good_step", "calm_loss"}
    values: dict[str, Any] = {}
    for f in fields(Progress):
        missing = f.name in optional and found.get(f.name) is None
        values[f.name] = None if missing else _get(found, f.name, kinds[f.name])
    for name in (name for name, kind in kinds.items() if kind is int):
        if not 0 <= (values[name] or 0) <= MOST:
            raise CheckpointError(
                f"the metadata's {name!r} is not between 0 and {MOST}; the file is damaged"
            )
    return Progress(**values)


def _sources(found: list[Any]) -> tuple[Source, ...]:
    sources = []
    for entry in found:
        if not isinstance(entry, dict):
            raise CheckpointError(
                "the metadata's 'sources' are no list of files; the file is damaged"
            )
        sources.append(Source(_get(entry, "path", str), _get(entry, "characters", int)))
    return tuple(sources)
