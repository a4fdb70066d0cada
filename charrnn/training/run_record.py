"""What a run's folder records, for those who only look, while it trains and afterwards.

Nothing is locked, written or trusted: what is damaged or missing is left out or NaN. No kernel is
loaded, and no tensor read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.header import configuration, count, opened_safely, value
from charrnn.checkpoint.paths import BEST, LAST, LOCK, ROOT, newest_folder
from charrnn.config import CorpusConfig, ModelConfig, TrainConfig
from charrnn.errors import RunError
from charrnn.runtime.files import exists, is_file, is_folder, is_locked, read_regular
from charrnn.text.vocab import Unit
from charrnn.training.curves import run_html
from charrnn.training.entries import (
    MOST_READ,
    Entry,
    has_numbers,
    has_step,
    judged_since,
    place,
    read_advice,
    read_history,
    read_lines,
    seconds_of_entries,
)
from charrnn.training.records import FIELDS, MOST_LOSS, SAMPLES, STEP, STEPS


@dataclass(frozen=True, eq=False)
class RunRecord:
    """The record of a run. Losses are in nats per character, or byte if that is the `unit`.

    folder: the run's folder.
    model, config: the settings of network and training, as of the last checkpoint.
    steps_per_epoch: steps in a pass over the training text.
    steps: a structured array; element i is step i + 1, with the fields `loss`, `gradient_norm`
        (before clipping by norm) and `learning_rate`, float32; NaN where that was not recorded, or
        is damaged: a loss below 0 or above 10,000.
    history: the entries of validations and of returns to an earlier step, in order (as in
        history.jsonl: `step`, `epoch`, `train_loss`, `validation_loss`, ..., `seconds`).
    samples: what the network wrote in training: `step`, `epoch` and `text`.
    is_running: whether a process is training in the folder.
    best_step, text_since: the step of the best checkpoint, and the one since which the text is as
        it is (0: since the first), both as of the last checkpoint.
    """

    folder: Path
    model: ModelConfig
    config: TrainConfig
    steps_per_epoch: int
    steps: NDArray[np.void]
    history: Sequence[Entry]
    samples: Sequence[Entry]
    is_running: bool
    best_step: int | None = None
    text_since: int = 0
    unit: Unit = "char"

    def __repr__(self) -> str:
        return f"RunRecord({str(self.folder)!r}, step {self.step:,} of {self.total_steps:,})"

    def _repr_html_(self) -> str:
        return run_html(repr(self), self.validations, self.steps["loss"], self.unit)

    @classmethod
    def read(cls, run: str | os.PathLike[str] | None = None) -> RunRecord:
        """The record in a run's folder, by default the newest run's. It takes some milliseconds.

        `RunError` if there is no run, `CheckpointError` if its last checkpoint is damaged.
        """
        folder = _folder_of(run)
        with opened_safely(folder / LAST) as (_, about):
            model = configuration(ModelConfig, about, "model")
            unit = configuration(CorpusConfig, about, "corpus").unit
            run_about = value(about, "run", dict)
            config = configuration(TrainConfig, run_about, "train")
            steps_per_epoch = count(run_about, "steps_per_epoch", least=1)
            config.total_steps(steps_per_epoch)  # raises if there is no length
            saved = value(run_about, "history", list)
            progress = value(run_about, "progress", dict)
            step, best_step = count(progress, "step"), progress.get("best_step")
            best_step = None if best_step is None else count(progress, "best_step")
            text_since = count(progress, "text_since")
        return cls(
            folder=folder,
            model=model,
            config=config,
            steps_per_epoch=steps_per_epoch,
            steps=_steps(folder, step),
            history=_history(folder, saved),
            samples=_samples(folder),
            is_running=is_locked(folder / LOCK),
            best_step=best_step,
            text_since=text_since,
            unit=unit,
        )

    @property
    def step(self) -> int:
        """Steps made so far."""
        return len(self.steps)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, as of the last checkpoint."""
        return self.config.total_steps(self.steps_per_epoch)

    @property
    def epochs(self) -> NDArray[np.float64]:
        """Passes over the training text, as it is now, after each step (steps,)."""
        return np.arange(1, self.step + 1) / self.steps_per_epoch

    @property
    def validations(self) -> list[Entry]:
        """The entries of the history that are validations."""
        return [entry for entry in self.history if "fell_back_from" not in entry]

    @property
    def best(self) -> Entry | None:
        """The validation with the lowest loss on the text as it is."""
        since = judged_since(self.best_step, self.text_since)
        known = [
            entry
            for entry in self.validations
            if entry.get("validation_loss") is not None and entry["step"] > since
        ]
        return min(known, key=lambda entry: entry["validation_loss"], default=None)

    @property
    def is_over(self) -> bool:
        """Whether its steps, its patience or its time have ended the run."""
        config, validations = self.config, self.validations
        if self.step >= self.total_steps:
            return True
        if not validations or validations[-1]["step"] != self.step:
            return False
        since = max(self.best_step or 0, self.text_since)
        stale = sum(entry["step"] > since for entry in validations)
        return (config.patience is not None and stale >= config.patience) or (
            config.max_seconds is not None and self.seconds >= config.max_seconds
        )

    @property
    def advice(self) -> list[Entry]:
        """What `charrnn train` has advised so far: `step`, `kind` and `text`."""
        return [entry for entry in read_advice(self.folder) if entry["step"] <= self.step]

    @property
    def seconds(self) -> float:
        """Training time up to the last entry of the history."""
        return seconds_of_entries(self.history)

    @property
    def missing(self) -> int:
        """Steps whose numbers were not recorded: those of a run from before charrnn did so, or of a
        damaged file.
        """
        return int(np.isnan(self.steps["loss"]).sum())

    @property
    def damage(self) -> str | None:
        """What is wrong with the record, in a line."""
        if not self.missing:
            return None
        return (
            f"{self.folder}: the losses of {self.missing:,} of {self.step:,} steps were not "
            "recorded, or the record is damaged"
        )


def _folder_of(run: str | os.PathLike[str] | None) -> Path:
    folder = newest_folder() if run is None else Path(run)
    if folder.name in (LAST, BEST) and is_file(folder):
        folder = folder.parent
    if not exists(folder / LAST):
        problem = "not a folder" if exists(folder) else "no such folder"
        if is_folder(folder):
            problem = f"no {LAST} in this folder"
        raise RunError(
            f"{folder}: no run ({problem}); give a run's folder, such as {ROOT / 'book'}"
        )
    return folder


def _steps(folder: Path, least: int) -> NDArray[np.void]:
    """The records of the steps, at least as many as the last checkpoint has steps. One whose loss
    cannot be a loss is NaN.
    """
    data = b""
    with suppress(OSError):
        data = read_regular(folder / STEPS, MOST_READ)
    steps = np.frombuffer(data[: len(data) - len(data) % STEP.itemsize], STEP)
    with np.errstate(invalid="ignore"):
        is_damaged = (steps["loss"] < 0) | (steps["loss"] > MOST_LOSS)
    if is_damaged.any():
        steps = steps.copy()
        for name in FIELDS:
            steps[name][is_damaged] = np.nan
    if len(steps) < least <= MOST_READ // STEP.itemsize:
        missing = np.full((least - len(steps), len(FIELDS)), np.nan, "<f4").view(STEP)[:, 0]
        steps = np.concatenate([steps, missing])
    return steps


def _history(folder: Path, saved: Sequence[Any]) -> list[Entry]:
    """The entries of the file, and those that only the checkpoint has."""
    of_checkpoint = [entry for entry in saved if has_step(entry) and has_numbers(entry)]
    every = {place(entry): entry for entry in (*of_checkpoint, *read_history(folder))}
    return [every[key] for key in sorted(every)]


def _samples(folder: Path) -> list[Entry]:
    return [
        entry
        for entry in read_lines(folder / SAMPLES)
        if has_step(entry) and has_numbers(entry) and isinstance(entry.get("text"), str)
    ]
