"""The file of a run: a trained network (`checkpoint.trained`) and everything needed to resume.

The tensors with the network's names are the weights to sample and evaluate. If the run averages its
weights, the weights in training are stored under `trained.`; the optimizer slots are under
`optimizer.<slot>.`, and the carried state is `state.h` and `state.c` (L, N, H), with attention also
`state.keys`, `state.ids` and `state.places`. If the run started from a trained network, `anchor.`
holds its initial weights. `run` in the metadata contains `train`, `paths`, `steps_per_epoch`,
`progress`, `history` and `init_from`.
"""

import os
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from charrnn.checkpoint.format import File, arrays_of, arrays_of_state, opened, write
from charrnn.checkpoint.header import Metadata, configuration, count, value
from charrnn.checkpoint.paths import LAST
from charrnn.checkpoint.trained import SQUARES as RELATIVE
from charrnn.checkpoint.trained import Text, arrays_in_file, metadata_of, read_trained, texts_of
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import CheckpointError, ConfigError
from charrnn.network.model import Model
from charrnn.optim.optimizers import OPTIMIZERS, new_slots
from charrnn.text.sources import Source
from charrnn.training.entries import Entry, has_numbers, has_step
from charrnn.training.run import SQUARES, Progress, Run

TRAINED, OPTIMIZER, STATE, ANCHOR = "trained.", "optimizer.", "state.", "anchor."


def save_run(path: str | os.PathLike[str], run: Run) -> None:
    """Write a run to a file atomically, and flush it to disk before returning.

    `CheckpointError` if it cannot be written.
    """
    if not isinstance(run, Run):
        raise ConfigError(f"`run` must be a Run, not {type(run).__name__}; `save` writes a Trained")
    trained = run.trained
    config, about = run.model.config, metadata_of(trained)
    arrays = arrays_in_file(trained)
    if run.average is not None:
        arrays |= arrays_of(run.model.parameters, config, TRAINED)
    if run.anchor is not None:
        arrays |= arrays_of(run.anchor, config, ANCHOR)
    for slot, values in run.slots.items():
        arrays |= arrays_of(values, config, f"{OPTIMIZER}{slot}.")
    arrays |= arrays_of_state(run.state, config, STATE, rings=True)
    if OPTIMIZERS[run.config.optimizer].rotates and trained.squares is not None:
        arrays |= arrays_of(trained.squares, config, RELATIVE)
        about["squares"] = RELATIVE
    if run.config.optimizer in SQUARES:
        about["squares"] = f"{OPTIMIZER}{SQUARES[run.config.optimizer]}."
    about["run"] = {
        "train": asdict(run.config),
        "paths": [source.path for source in run.sources],
        "steps_per_epoch": run.steps_per_epoch,
        "progress": asdict(run.progress),
        "history": run.history,
        "init_from": run.init_from,
    }
    write(path, arrays, about)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Load the run in a file or in a run's folder (its last checkpoint); `CheckpointError` if it is
    missing, damaged or contains only a network.
    """
    with opened(_last_in(path)) as file:
        return _run(file)


def configurations_of(path: str | os.PathLike[str]) -> tuple[ModelConfig, TrainConfig]:
    """The configurations of network and training, without reading tensors. Errors as in
    `load_run`.
    """
    with opened(_last_in(path)) as file:
        model = configuration(ModelConfig, file.about, "model")
        return model, _train_config(_about_run(file))


def text_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of the text that the run in a file is on, without reading tensors. Errors as in
    `load_run`.
    """
    with opened(_last_in(path)) as file:
        return str(file.about.get("sha256"))


def progress_of(path: str | os.PathLike[str]) -> Progress:
    """The progress of the run in a file, without reading tensors. Errors as in `load_run`."""
    with opened(_last_in(path)) as file:
        return _progress(value(_about_run(file), "progress", dict))


def describe_run(path: str | os.PathLike[str]) -> Metadata | None:
    """The description of a checkpoint's run, as in JSON; None if there is none.

    It comes from the file itself, or from the last checkpoint of the same run beside it. No tensor
    is read. Errors as in `load_run`.
    """
    with opened(path) as file:
        sha256 = file.about.get("sha256")
        if "run" in file.about:
            return _checked(file)
    with suppress(CheckpointError), opened(Path(path).parent / LAST) as file:
        if file.about.get("sha256") == sha256:
            return _checked(file)
    return None


def _last_in(path: str | os.PathLike[str]) -> Path:
    """The last checkpoint of a run's folder, or the file itself."""
    return Path(path) / LAST if os.path.isdir(path) else Path(path)  # noqa: PTH112


def _checked(file: File) -> Metadata:
    about = _about_run(file)
    _train_config(about), _progress(value(about, "progress", dict))
    _history(value(about, "history", list)), count(about, "steps_per_epoch", least=1)
    _sources(value(about, "paths", list), texts_of(file.about))
    return about


def _about_run(file: File) -> Metadata:
    if "run" not in file.about:
        raise CheckpointError(
            "this file contains a network but not the run that trained it; resume from "
            "last.safetensors, or start a new run from these weights with `init_from`"
        )
    return dict(value(file.about, "run", dict))


def _train_config(about: Metadata) -> TrainConfig:
    config = configuration(TrainConfig, about, "train")
    config.total_steps(1)  # raises if there is no length
    return config


def _run(file: File) -> Run:
    about = _about_run(file)
    config, trained = _train_config(about), read_trained(file)
    model, model_config = trained.model, trained.model.config
    if config.average:
        model = Model(model_config, file.parameters(model_config, TRAINED))
        model.hold_zeros()
    run = Run(
        model,
        trained.vocab,
        trained.corpus_config,
        config,
        _sources(value(about, "paths", list), trained.origin.texts),
        trained.origin.sha256,
        {
            slot: file.parameters(model_config, f"{OPTIMIZER}{slot}.", like.tensors)
            for slot, like in new_slots(config.optimizer, model_config).items()
        },
        file.state(model, STATE, config.batch_size),
    )
    run.average = trained.model.parameters if config.average else None
    if any(name.startswith(ANCHOR) for name in file.names):
        run.anchor = file.parameters(model_config, ANCHOR)
    run.starts = trained.starts
    run.progress = _progress(value(about, "progress", dict))
    run.history = _history(value(about, "history", list))
    run.steps_per_epoch = count(about, "steps_per_epoch", least=1)
    run.init_from = None if about.get("init_from") is None else value(about, "init_from", str)
    return run


def _history(entries: list[Any]) -> list[Entry]:
    for entry in entries:
        if not has_step(entry):
            raise CheckpointError(
                "the metadata's 'history' is not a list of validations; the file is damaged"
            )
        if not has_numbers(entry):
            raise CheckpointError(
                "the metadata's 'history' contains a loss that is not a number; the file is damaged"
            )
    return entries


def _progress(about: Metadata) -> Progress:
    values: dict[str, Any] = {}
    for field in fields(Progress):
        name = field.name
        if field.default is None and about.get(name) is None:
            values[name] = None
        else:
            values[name] = value(about, name, float) if "loss" in name else count(about, name)
    return Progress(**values)


def _sources(paths: list[Any], texts: tuple[Text, ...]) -> tuple[Source, ...]:
    if len(paths) != len(texts) or not all(type(path) is str for path in paths):
        raise CheckpointError("the metadata's 'paths' do not match its texts; the file is damaged")
    return tuple(
        Source(path, text.characters, text.part) for path, text in zip(paths, texts, strict=True)
    )
