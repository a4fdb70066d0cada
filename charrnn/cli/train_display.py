"""What training shows: the start, a bar for the whole run, a line per validation, samples, JSON,
and the end.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.cli.live_bar import LiveBar, fitted, speed_text
from charrnn.cli.options import with_own_flags
from charrnn.cli.terminal import (
    dim,
    duration_text,
    escaped,
    folded,
    json_text,
    loss_text,
    one_line,
    say,
    size_text,
)

if TYPE_CHECKING:
    from charrnn.config import TrainConfig
    from charrnn.text.corpus import Corpus
    from charrnn.training.recovery import FallBack
    from charrnn.training.report import Report
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder

ESTIMATED_AFTER = 2.0
"""Seconds of training before the time left is estimated."""

PROGRAM = 150e6  # bytes used by Python, its libraries and the compiled kernels
MANY_PARAMETERS = 3.0
"""Parameters per character; with more, a network soon overfits (docs/recipes.md). The recipe's
smallest network may have more, and a smaller one would be of no use.
"""
ADVICE = 2
"""Lines about what is wrong with the text; `charrnn check` says all."""


def show_start(
    run: Run, corpus: Corpus, folder: RunFolder, requested: TrainConfig, threads: int | None
) -> None:
    """Print what was read and how it will be trained on; `requested` is the configuration before
    its batch shape was fitted to the text.
    """
    from charrnn.runtime.threads import usable_threads
    from charrnn.text.vocab import counted
    from charrnn.training.check import advice
    from charrnn.training.memory_estimate import memory_estimate
    from charrnn.training.recipe import WIDTHS

    first = Path(corpus.sources[0].path)
    name = "standard input" if str(first) == "-" else first.name
    name += f" and {len(corpus.sources) - 1} more" if len(corpus.sources) > 1 else ""
    unit = "bytes" if corpus.vocab.unit == "byte" else "characters"
    parts = (
        f"train {len(corpus.train):,}, validation {len(corpus.validation):,}, test "
        f"{len(corpus.test):,}"
    )
    say(f"{one_line(name)}: {len(corpus):,} {unit}, {len(corpus.vocab)} symbols; {parts}")
    if corpus.document_starts is not None:
        count = len(corpus.document_starts) + 1
        missing = "" if count > 1 else "; --document-separator does not match anywhere in the text"
        say(f"documents: {count:,}{missing}")
    if run.step == 0:
        for finding in advice(corpus)[:ADVICE]:
            text = with_own_flags(f"{finding.kind}: {finding.text} {finding.command}")
            say(one_line(text).strip())
    model, config = run.model.config, run.config
    shape = config.batch_size, config.seq_length
    asked_shape = requested.batch_size or shape[0], requested.seq_length
    if run.step == 0 and asked_shape != shape:
        say(
            f"the text is short: batches of {shape[0]} x {shape[1]} characters instead of "
            f"{asked_shape[0]} x {asked_shape[1]}"
        )
    memory = size_text(
        memory_estimate(model, config, corpus.document_starts is not None, run.anchor is not None)
        + corpus.nbytes
        + PROGRAM
    )
    say(
        f"network: {model.cell} of {model.layers} x {model.hidden} units, {run.model.count():,} "
        f"parameters, about {memory} of memory"
    )
    per_character = run.model.count() / len(corpus.train)
    if per_character > MANY_PARAMETERS and model.hidden > WIDTHS[0]:
        say(
            f"warning: {per_character:.1f} parameters per {unit[:-1]} of training text: watch the "
            "validation loss, or use a smaller --hidden"
        )
    resumed = f", resumed at step {run.step:,}" if run.step else ""
    say(
        f"training: {counted(run.total_steps, 'step')}, "
        f"{run.total_steps / run.steps_per_epoch:.1f} passes over the text, on "
        f"{counted(usable_threads(threads), 'thread')}, into {folder.path}{resumed}"
    )


class Display:
    """Shows the reports of one call of `train`; lines and the bar on stderr, JSON on stdout."""

    def __init__(
        self, run: Run, *, quiet: bool = False, as_json: bool = False, seconds_before: float = 0.0
    ) -> None:
        self._run, self._json = run, as_json
        self._start, self._first_step = time.monotonic(), run.step
        limit = run.config.max_seconds
        self._limit = None if limit is None else max(0.0, limit - seconds_before)
        self._is_estimated = False
        self._characters = self._seconds = 0.0
        self._validation = next((e.get("validation_loss") for e in reversed(run.validations)), None)
        self._done = 0
        self._bar = LiveBar(run.total_steps, run.step, quiet=quiet)

    @property
    def seconds(self) -> float:
        """Since training began."""
        return time.monotonic() - self._start

    @property
    def _speed(self) -> str:
        return speed_text(self._characters / max(self._seconds, 1e-9))

    def show(self, report: Report) -> None:
        """Show the report of one step."""
        self._done += 1
        self._characters = 0.95 * self._characters + report.characters
        self._seconds = 0.95 * self._seconds + report.seconds
        if report.train_loss is not None:
            self._validation = report.validation_loss
            self._show_validation(report, report.train_loss)
        if report.fell_back is not None:
            self._show_fall_back(report.fell_back)
        if report.sample is not None and self._bar.is_live:
            self._bar.write(self._sample(report.sample))
        left = self._left(report)
        if not self._is_estimated and self.seconds >= ESTIMATED_AFTER:
            self._is_estimated = True
            if left > 1:
                self._bar.say(f"about {duration_text(left)} left, at {self._speed}")
        nats = report.smoothed_loss
        fields = [
            (0, f"{nats:.3f} nats"),
            (1, f"{nats / math.log(2):.2f} bits"),
            (3, self._speed),
            (4, f"grad {report.gradient_norm:.2f}"),
        ]
        if self._validation is not None:
            fields.append((2, f"val {self._validation:.4f}"))
        self._bar.show(report.step, report.total_steps, left, fields)

    def _show_validation(self, report: Report, train_loss: float) -> None:
        if self._json:
            _print_json(
                step=report.step,
                epoch=report.epoch,
                train_loss=train_loss,
                validation_loss=report.validation_loss,
                learning_rate=report.learning_rate,
                gradient_norm=report.gradient_norm,
                is_best=report.is_best,
                overfitting=report.overfitting,
                sample=report.sample,
                seconds=round(self.seconds, 3),
            )
        loss, validation = train_loss, []
        if report.validation_loss is not None:
            loss, validation = report.validation_loss, [f"val {report.validation_loss:.4f} nats"]
        fields = [
            (0, f"step {report.step}"),
            (2, f"epoch {report.epoch:.1f}"),
            (1, f"train {train_loss:.4f}" + ("" if validation else " nats")),
            *((0, text) for text in validation),
            (3, f"{loss / math.log(2):.2f} bits"),
            *([(0, "*best*")] if report.is_best else []),
        ]
        self._bar.say(fitted(fields, self._bar.width))

    def say(self, text: str) -> None:
        """Print lines above the bar."""
        self._bar.say(text)

    def _show_fall_back(self, fall: FallBack) -> None:
        """Print one line: what went wrong at which step, and where and how training continues."""
        if self._json:
            _print_json(
                event="fell back",
                step=fall.from_step,
                to_step=fall.to_step,
                rate_factor=fall.rate_factor,
                reason=fall.reason,
                seconds=round(self.seconds, 3),
            )
        fields = [
            (0, f"step {fall.from_step}: {fall.reason}"),
            (1, f"back to step {fall.to_step}"),
            (2, f"rate x {fall.rate_factor:g}"),
        ]
        self._bar.say(fitted(fields, self._bar.width, ", "))

    def _left(self, report: Report) -> float:
        """Seconds until the last step or the time limit."""
        left = (report.total_steps - report.step) * self.seconds / self._done
        return left if self._limit is None else min(left, max(0.0, self._limit - self.seconds))

    def _sample(self, text: str) -> str:
        width = max(20, self._bar.width - 4)
        lines = [
            f"    {piece}".rstrip()
            for line in escaped(text).split("\n")
            for piece in folded(line, width)
        ]
        return "\n" + dim("\n".join(lines), sys.stderr) + "\n"

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def end(self, folder: RunFolder, ended: str | None) -> None:
        """Print what ended the run (`ended` None: it was stopped), where the best checkpoint is,
        and what to do next; as JSON, one object.
        """
        run = self._run
        has_best = run.progress.best_loss is not None  # otherwise it is of the text before it grew
        best = folder.best if has_best and folder.best.exists() else None
        validated = any(entry.get("validation_loss") is not None for entry in run.history)
        if self._json:
            _print_json(
                run=str(folder.path),
                best=str(best) if best else None,
                best_step=run.progress.best_step if best else None,
                validation_loss=run.progress.best_loss if validated else None,
                steps=run.step,
                seconds=round(self.seconds, 3),
                finished=ended is not None,
                ended=ended,
            )
        path = shlex.quote(str(folder.path))
        if ended is not None and run.step > self._first_step:
            say(self._why(ended))
        if best is not None:
            kind = "validation loss" if validated else "training loss"
            say(f"best checkpoint: {best}, {kind} {loss_text(run.progress.best_loss)}")
        if ended is None:
            say(f"stopped at step {run.step}; resume with: charrnn train --resume {path}")
        if best is not None:
            step = run.progress.best_step
            age = f" (step {step:,} of {run.step:,})" if step != run.step else ""
            say(f"sample from it{age}: charrnn sample {path}")

    def _why(self, ended: str) -> str:
        """One line about why the run ended."""
        step, config = f"ended at step {self._run.step:,}", self._run.config
        return {
            "steps": f"{step}, the last",
            "epochs": f"{step}, after {self._run.epoch:.1f} epochs",
            "patience": f"{step}: no new best in {config.patience} validations; resume with a "
            "larger --patience to continue",
            "time": f"{step}: reached --max-time {config.max_time}; resume with a larger one to "
            "continue",
        }[ended]


def _print_json(**values: Any) -> None:
    print(json_text(values), flush=True)
