"""What a report needs to know of a run, whether it is in a folder, in a file or in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.paths import BEST, LAST, find_checkpoint
from charrnn.checkpoint.trained import Trained, load
from charrnn.config import TrainConfig
from charrnn.reporting.advice import Advice, advice
from charrnn.training.entries import Entry, judged_since, read_history, seconds_of_entries
from charrnn.training.run import Run
from charrnn.training.run_file import describe_run
from charrnn.training.run_folder import RunFolder
from charrnn.training.run_record import RunRecord

Source = str | Path | RunFolder | Run
"""A run's folder, a checkpoint, or a run in memory."""


@dataclass(frozen=True, eq=False)
class RunFacts:
    """A run's network, settings and history.

    path: of the checkpoint; None for a run in memory. training: None if only a network is known.
    validations: entries of the history, in order. steps, samples: the record of every step, with
        `loss`, `gradient_norm` and `learning_rate` (step i at i - 1), and what the network wrote
        (`step`, `epoch`, `text`); empty if there is none. advice: what was wrong
        (`reporting.advice`). is_over: whether the run has ended. text_since: the step up to
        which validations are of the text before it grew; 0 if none is.
    """

    name: str
    path: Path | None
    trained: Trained
    training: TrainConfig | None
    validations: tuple[Entry, ...]
    steps: NDArray[Any]
    samples: tuple[Entry, ...]
    step: int
    steps_per_epoch: int
    is_fine_tuned: bool = False
    advice: tuple[Advice, ...] = ()
    is_over: bool = True
    text_since: int = 0

    @property
    def losses(self) -> NDArray[Any]:
        """The loss of every step; empty if there is no record of them."""
        losses = self.steps["loss"] if len(self.steps) else np.zeros(0)
        return losses if np.isfinite(losses).any() else np.zeros(0)

    @property
    def seed(self) -> int:
        """Of the first weights."""
        return 0 if self.training is None else self.training.seed

    @property
    def total_steps(self) -> int:
        """Of the whole run."""
        return (
            self.step if self.training is None else self.training.total_steps(self.steps_per_epoch)
        )

    @property
    def passes(self) -> float:
        """Over the text."""
        alone = self.training is None  # a network without a run says it itself
        return self.trained.origin.epoch if alone else self.step / self.steps_per_epoch

    @property
    def seconds(self) -> float | None:
        """Of training, up to the last validation; None if unknown."""
        return max(
            (float(e["seconds"]) for e in self.validations if e.get("seconds")), default=None
        )

    @property
    def best(self) -> Entry | None:
        """The validation with the lowest loss on the text as it is."""
        known = [entry for entry in self.validations if entry["step"] > self.text_since]
        return min(known, key=lambda entry: entry["validation_loss"], default=None)


def facts_of(source: Source) -> RunFacts:
    """A run's facts; `CheckpointError` if there is no intact checkpoint."""
    if isinstance(source, Run):
        name = source.sources[0].path if source.sources else "run"
        return RunFacts(
            Path(name).stem.strip("<>") or "run",
            None,
            source.trained,
            source.config,
            _validations(source.history),
            np.zeros(0),
            (),
            source.step,
            source.steps_per_epoch,
            source.init_from is not None,
            tuple(advice(source)),
            source.ended_by(seconds_of_entries(source.history)) is not None,
            judged_since(source.progress.best_step, source.progress.text_since),
        )
    path = source.path if isinstance(source, RunFolder) else Path(source)
    checkpoint = find_checkpoint(path)
    folder, trained, run = checkpoint.parent, load(checkpoint), describe_run(checkpoint)
    is_run = checkpoint.name in (BEST, LAST)
    if run is None or not is_run:  # a copy may lie beside another run
        name = folder.resolve().name if is_run else checkpoint.stem
        entries = _validations(read_history(folder)) if is_run else ()
        step = trained.origin.step
        return RunFacts(name, checkpoint, trained, None, entries, np.zeros(0), (), step, 1)
    record = RunRecord.read(folder)
    return RunFacts(
        folder.resolve().name,
        checkpoint,
        trained,
        record.config,
        _validations(record.history),
        record.steps,
        tuple(record.samples),
        record.step,
        record.steps_per_epoch,
        run["init_from"] is not None,
        tuple(Advice(entry["kind"], entry["text"]) for entry in record.advice),
        record.is_over,
        judged_since(record.best_step, record.text_since),
    )


def _validations(entries: Any) -> tuple[Entry, ...]:
    """The validations in a history, each step once, in order."""
    by_step = {e["step"]: e for e in entries if e.get("validation_loss") is not None}
    return tuple(by_step[step] for step in sorted(by_step))
