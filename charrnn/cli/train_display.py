"""What training shows: the start, a bar over the whole run, a line for every validation, samples,
JSON, and the end.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.cli.terminal import (
    dim,
    duration_text,
    escaped,
    is_terminal,
    loss_text,
    one_line,
    say,
    size_text,
)

if TYPE_CHECKING:
    from charrnn.config.settings import TrainConfig
    from charrnn.text.corpus import Corpus
    from charrnn.training.loop import Report
    from charrnn.training.recovery import FallBack
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder

ESTIMATED_AFTER = 2.0
"""Seconds of training before it is told how long it will take."""

PROGRAM = 150e6  # bytes that Python, its libraries and the compiled kernels take by themselves
OVERFITTING = (
    "the validation loss rises while the training loss falls; the best checkpoint, of {best}, is "
    "kept. More text, more --dropout "
    "or a smaller --hidden would help; --patience would end the run"
)
MANY_PARAMETERS = 3.0
"""For each character: with more, a network soon learns a text by heart (docs/recipes.md)."""
BAR_NEEDS = 24
"""Columns for percentage, bar and time left; what the terminal has more is for figures."""


def fitted(fields: list[tuple[int, str]], width: int, gap: str = "  ") -> str:
    """The texts side by side, without the least important (highest number) ones where they do not
    fit the width.
    """
    kept = list(fields)
    while len(kept) > 1 and len(gap.join(text for _, text in kept)) > width:
        kept.remove(max(kept, key=lambda field: field[0]))
    return gap.join(text for _, text in kept)


def speed_text(characters_per_second: float) -> str:
    """Three digits: 950, 9.5k, 187k, 1.2M chars/s."""
    for letter, scale in (("M", 1e6), ("k", 1e3)):
        if characters_per_second >= scale:
            value = characters_per_second / scale
            return f"{value:.1f}{letter} chars/s" if value < 10 else f"{value:.0f}{letter} chars/s"
    return f"{characters_per_second:.0f} chars/s"


def show_start(
    run: Run, corpus: Corpus, folder: RunFolder, asked: TrainConfig, threads: int | None
) -> None:
    """What was read, and what will be made of it; `asked` is the configuration before its batch
    shape was fitted to the text.
    """
    from charrnn.runtime.threads import usable_threads
    from charrnn.text.gathered import counted
    from charrnn.training.memory_estimate import memory_estimate

    first = Path(corpus.sources[0].path)
    name = "standard input" if str(first) == "-" else first.name
    name += f" and {len(corpus.sources) - 1} more" if len(corpus.sources) > 1 else ""
    unit = "bytes" if corpus.vocab.unit == "byte" else "characters"
    parts = (
        f"train {len(corpus.train):,}, validation {len(corpus.validation):,}, test "
        f"{len(corpus.test):,}"
    )
    say(f"{one_line(name)}: {len(corpus):,} {unit}, {len(corpus.vocab)} symbols; {parts}")
    if corpus.skipped:
        names = ", ".join(Path(path).name for path in corpus.skipped[:3]) + (
            ", ..." if len(corpus.skipped) > 3 else ""
        )
        say(f"skipped, because binary: {counted(len(corpus.skipped), 'file')} ({one_line(names)})")
    if corpus.document_starts is not None:
        found = len(corpus.document_starts)
        say(
            f"documents: {found + 1:,}"
            if found
            else "documents: 1; --document-separator occurs nowhere in the text"
        )
    model, config = run.model.config, run.config
    if run.step == 0 and (asked.batch_size, asked.seq_length) != (
        config.batch_size,
        config.seq_length,
    ):
        say(
            f"the text is short: batches of {config.batch_size} x {config.seq_length} characters "
            "instead of "
            f"{asked.batch_size} x {asked.seq_length}"
        )
    memory = size_text(
        memory_estimate(model, config, corpus.document_starts is not None)
        + corpus.ids.nbytes
        + PROGRAM
    )
    say(
        f"network: {model.cell} of {model.layers} x {model.hidden} units, {run.model.count():,} "
        "parameters, "
        f"about {memory} of memory"
    )
    per_character = run.model.count() / len(corpus.train)
    if per_character > MANY_PARAMETERS:
        say(
            f"warning: {per_character:.1f} parameters for each of the {unit} to train on: watch "
            "the validation loss, or use a "
            "smaller --hidden"
        )
    going_on = f", going on from step {run.step:,}" if run.step else ""
    threads = usable_threads(threads)
    say(
        f"training: {counted(run.total_steps, 'step')}, "
        f"{run.total_steps / run.steps_per_epoch:.1f} epochs, on "
        f"{counted(threads, 'thread')}, into {folder.path}{going_on}"
    )


class Display:
    """Shows the reports of one call of `train`; lines and the bar on stderr, JSON on stdout."""

    def __init__(
        self, run: Run, *, quiet: bool = False, as_json: bool = False, seconds_before: float = 0.0
    ) -> None:
        self._run, self._quiet, self._json = run, quiet, as_json
        self._live = not quiet and is_terminal(sys.stderr)
        self._start, self._first_step, self._total = time.monotonic(), run.step, run.total_steps
        limit = run.config.max_seconds
        self._limit = None if limit is None else max(0.0, limit - seconds_before)
        self._estimated = False
        self._characters = self._seconds = 0.0
        self._validation = next((e.get("validation_loss") for e in reversed(run.validations)), None)
        self._done = 0
        self._bar: Any = self._make_bar() if self._live else None

    def _make_bar(self) -> Any:
        from tqdm import tqdm

        options = {
            "leave": False,
            "dynamic_ncols": True,
            "smoothing": 0.05,
            "bar_format": "{percentage:3.0f}%|{bar}|",
        }
        return tqdm(total=self._run.total_steps, initial=self._run.step, file=sys.stderr, **options)

    @property
    def seconds(self) -> float:
        """Since training began."""
        return time.monotonic() - self._start

    def show(self, report: Report) -> None:
        """What one step did."""
        self._done += 1
        if report.total_steps != self._total:
            self._show_change(report.total_steps)
        self._characters = 0.95 * self._characters + report.characters
        self._seconds = 0.95 * self._seconds + report.seconds
        if report.train_loss is not None:
            self._validation = report.validation_loss
            self._show_validation(report)
        if report.fell_back is not None:
            self._show_fall_back(report.fell_back)
        if report.sample is not None and self._live:
            self._say(self._sample(report.sample))
        self._estimate(report)
        if self._bar is not None:
            left = "{remaining}"  # tqdm's, from the steps
            if self._limit is not None:
                left = self._bar.format_interval(self._left(report))
            self._bar.bar_format = (
                "{percentage:3.0f}%|{bar}| " + left + " left  " + self._figures(report)
            )
            self._bar.update(report.step - self._bar.n)  # backwards after falling back

    def _figures(self, report: Report) -> str:
        nats = report.smoothed_loss
        fields = [
            (0, f"{nats:.3f} nats {nats / math.log(2):.2f} bits"),
            (2, speed_text(self._characters / max(self._seconds, 1e-9))),
            (3, f"grad {report.gradient_norm:.2f}"),
        ]
        if self._validation is not None:
            fields.append((1, f"val {self._validation:.4f}"))
        width = self._width() - BAR_NEEDS
        return fitted(fields, width) if width >= len(fields[0][1]) else f"{nats:.3f} nats"

    def _show_validation(self, report: Report) -> None:
        if self._json:
            _print_json(
                step=report.step,
                epoch=report.epoch,
                train_loss=report.train_loss,
                validation_loss=report.validation_loss,
                learning_rate=report.learning_rate,
                gradient_norm=report.gradient_norm,
                is_best=report.is_best,
                overfitting=report.overfitting,
                sample=report.sample,
                seconds=round(self.seconds, 3),
            )
        if self._quiet:
            return
        loss = report.train_loss if report.validation_loss is None else report.validation_loss
        assert loss is not None and report.train_loss is not None
        fields = [
            (0, f"step {report.step}"),
            (2, f"epoch {report.epoch:.1f}"),
            (1, f"train {report.train_loss:.4f}"),
        ]
        if report.validation_loss is not None:
            fields.append((0, f"val {report.validation_loss:.4f}"))
        fields[-1] = (fields[-1][0], fields[-1][1] + " nats")
        fields.append((3, f"{loss / math.log(2):.2f} bits"))
        if report.is_best:
            fields.append((0, "*best*"))
        self._say(fitted(fields, self._width()))
        if report.overfitting:
            best = f"step {self._run.progress.best_step:,}"
            self._say(textwrap.fill(f"overfitting: {OVERFITTING.format(best=best)}", self._width()))

    def _show_change(self, total: int) -> None:
        """A plan's number of steps was settled anew."""
        if not self._quiet:
            pace = "slower" if total < self._total else "faster"
            said = (
                f"plan: this goes {pace} than it was measured: {total:,} steps instead of "
                f"{self._total:,}"
            )
            self._say(textwrap.fill(said, self._width()))
        if self._bar is not None:
            self._bar.total = total
        self._total = total

    def _show_fall_back(self, fall: FallBack) -> None:
        """One line: where something was wrong, what, and from where it goes on, how."""
        if self._json:
            reached = {
                "step": fall.from_step,
                "to_step": fall.to_step,
                "rate_factor": fall.rate_factor,
            }
            _print_json(
                event="fell back", **reached, reason=fall.reason, seconds=round(self.seconds, 3)
            )
        if not self._quiet:
            self._say(fitted(_fall_back_fields(fall), self._width(), ", "))

    def _estimate(self, report: Report) -> None:
        """Once, when the speed is known, how long it will take."""
        if self._estimated or self._quiet or self.seconds < ESTIMATED_AFTER:
            return
        self._estimated = True
        left = self._left(report)
        speed = speed_text(self._characters / max(self._seconds, 1e-9))
        if left > 1:
            self._say(f"about {duration_text(left)} to go, at {speed}")

    def _left(self, report: Report) -> float:
        """Seconds until the last step, or until the limit of the time."""
        left = (report.total_steps - report.step) * self.seconds / self._done
        return left if self._limit is None else min(left, max(0.0, self._limit - self.seconds))

    def _sample(self, text: str) -> str:
        width = max(20, self._width() - 4)
        lines = [
            piece
            for line in escaped(text).split("\n")
            for piece in textwrap.wrap(line, width) or [""]
        ]
        return "\n" + dim("\n".join(f"    {line}".rstrip() for line in lines), sys.stderr) + "\n"

    def _width(self) -> int:
        if not self._live:
            return 1000  # nobody watches: nothing is left out
        try:
            return os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def _say(self, text: str) -> None:
        """A line above the bar, on stderr."""
        if self._bar is None:
            say(text)
        else:
            self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def end(self, folder: RunFolder, ended: str | None) -> None:
        """What ended the run (None: it was stopped), where the best checkpoint is, and what to do
        next; as JSON, one object.
        """
        from charrnn.text.gathered import counted

        run, best = self._run, folder.best if folder.best.exists() else None
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
            say(f"stopped at step {run.step}; go on with: charrnn train --resume {path}")
        elif best is not None:
            older = run.step - (run.progress.best_step or 0)
            age = (
                f" (step {run.progress.best_step:,}, {counted(older, 'step')} before the last)"
                if older
                else ""
            )
            say(f"sample from it{age}: charrnn sample {path}")

    def _why(self, ended: str) -> str:
        """One line about the end of the run."""
        step, config = f"ended at step {self._run.step:,}", self._run.config
        return {
            "steps": f"{step}, the last",
            "epochs": f"{step}, after {self._run.epoch:.1f} epochs",
            "patience": f"{step}: no new best in {config.patience} validations; a larger "
            "--patience goes on",
            "time": f"{step}: the {config.max_time} of --max-time are over; a larger one goes on",
        }[ended]


def _fall_back_fields(fall: FallBack) -> list[tuple[int, str]]:
    """A fall back in pieces, by their importance."""
    what, to = f"step {fall.from_step}: {fall.reason}", f"back to step {fall.to_step}"
    return [(0, what), (1, to), (2, f"rate x {fall.rate_factor:g}")]


def _print_json(**values: Any) -> None:
    print(json.dumps(values), flush=True)
