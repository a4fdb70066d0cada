"""One run of a comparison, in its folder. There, `measured.json` records what a checkpoint does not
contain: speed and time.
"""

import json
import math
import statistics
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from charrnn.checkpoint.trained import Trained, load
from charrnn.config.files import values_of
from charrnn.errors import DivergenceError
from charrnn.evaluation.evaluate import evaluate
from charrnn.runtime.files import parse_json, read_regular, write_atomically
from charrnn.runtime.threads import Workers
from charrnn.text.documents import follows_separator
from charrnn.training.loop import train
from charrnn.training.report import Report
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning.candidates import (
    MOST_READ,
    Candidate,
)
from charrnn.tuning.outcomes import Outcome
from charrnn.tuning.pacing import on_time
from charrnn.tuning.planning import Plan, plan

SPEEDS_KEPT = 1000
"""The median speed is taken over this many steps at the end of a run."""


@dataclass
class ComparedRun:
    """One run of a comparison, in its folder: `share` is its time in seconds if it is planned,
    `seconds` and `speeds` are the time and last speeds so far.
    """

    candidate: Candidate
    seed: int
    folder: RunFolder
    threads: int | None
    share: float | None = None
    seconds: float = 0.0
    speeds: deque[float] = field(default_factory=lambda: deque(maxlen=SPEEDS_KEPT))

    @property
    def is_begun(self) -> bool:
        """True if there is a checkpoint to resume from."""
        return self.folder.last.exists()

    @property
    def is_ended(self) -> bool:
        """True if its outcome has been measured."""
        stored = self._stored()
        return stored is not None and stored[2] is not None

    @property
    def measured(self) -> Path:
        """The file with speeds, seconds and, at the end, the outcome."""
        return self.folder.path / "measured.json"

    def events(self) -> Iterator[tuple[float, Report | None, Outcome | None]]:
        """Train from where the run stopped; yields the share of this run that is done, with each
        step's report or the outcome.
        """
        outcome = self._read()
        if outcome is None:
            with self.folder.locked():
                (run, run_plan), diverged = self._run(), False
                try:
                    yield from self._steps(run, run_plan)
                except DivergenceError:
                    diverged = True
                outcome = self._outcome(run, diverged)
                self._write(outcome)
        yield 1.0, None, outcome

    def _run(self) -> tuple[Run, Plan | None]:
        """The resumed run, or a new one with its plan if it has a time."""
        candidate, run_plan = self.candidate, None
        if self.is_begun:
            run = self.folder.resume()
            run.check_text(candidate.corpus)
            return run, None
        model = candidate.model
        training = replace(candidate.training, seed=self.seed, networks=1)
        if self.share is not None:
            run_plan = plan(candidate.corpus, self.share, model, training, threads=self.threads)
            model, training = run_plan.model, run_plan.training
        run = Run.new(candidate.corpus, model, training)
        texts: dict[str, list[str]] = {}
        for source in candidate.corpus.sources:
            texts.setdefault(source.part or "text", []).append(source.path)
        settings = values_of(run.corpus_config, run.model.config, run.config)
        self.folder.create({**settings, **texts})
        return run, run_plan

    def _steps(self, run: Run, run_plan: Plan | None) -> Iterator[tuple[float, Report, None]]:
        limit, before = run.config.max_seconds, self.folder.seconds_before
        if run.ended_by(before) is not None:  # it was stopped before it was measured
            return
        reports = train(run, self.candidate.corpus, folder=self.folder, threads=self.threads)
        if run_plan is not None:
            reports = on_time(reports, run, run_plan)
        try:
            with closing(reports):
                for report in reports:
                    self.seconds += report.seconds
                    self.speeds.append(report.chars_per_second)
                    done = report.step / report.total_steps
                    if limit is not None:
                        done = max(done, min(1.0, max(before, self.seconds) / limit))
                    if report.train_loss is not None:
                        self._write(None)
                    yield done, report, None
        finally:
            self._write(None)

    def _outcome(self, run: Run, diverged: bool) -> Outcome:
        loss = train_loss = epoch = None
        if self.folder.best.exists():
            best = load(self.folder.best)
            epoch = best.origin.epoch
            with suppress(DivergenceError):
                loss = self._loss(best)
            # without the steps that a diverged run has lost
            losses = {entry["step"]: entry.get("train_loss") for entry in run.validations}
            train_loss = losses.get(best.origin.step)
        return Outcome(
            seed=self.seed,
            validation_loss=loss,
            train_loss=train_loss,
            best_epoch=epoch,
            epochs=run.epoch,
            chars_per_second=statistics.median(self.speeds) if self.speeds else 0.0,
            seconds=self.seconds,
            finished=not diverged,
        )

    def _loss(self, best: Trained) -> float:
        """The loss of a checkpoint on the whole validation text; training may have used only part
        of it.
        """
        corpus = self.candidate.corpus
        starts = corpus.validation_starts
        openings = [best.opening] if follows_separator(starts) else []
        with closing(Workers(self.threads)) as workers:
            return evaluate(
                best.model, corpus.validation, starts=starts, openings=openings, workers=workers
            ).nats_per_char

    def _read(self) -> Outcome | None:
        """Load what earlier sessions measured; returns the outcome, if there is one."""
        stored = self._stored()
        if stored is None:
            return None
        self.seconds, speeds, outcome = stored
        self.speeds.extend(speeds)
        return outcome

    def _stored(self) -> tuple[float, list[float], Outcome | None] | None:
        """The seconds, speeds and outcome of earlier sessions; a damaged file counts as none."""
        try:
            stored = parse_json(read_regular(self.measured, MOST_READ))
            seconds, speeds = float(stored["seconds"]), [float(each) for each in stored["speeds"]]
            outcome = None if stored["outcome"] is None else Outcome(**stored["outcome"])
            if outcome is not None:
                math.fsum(value or 0 for value in asdict(outcome).values())  # raises unless numbers
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return None
        return seconds, speeds, outcome

    def _write(self, outcome: Outcome | None) -> None:
        described = {
            "seconds": self.seconds,
            "speeds": [round(speed, 1) for speed in self.speeds],
            "outcome": outcome and asdict(outcome),
        }
        write_atomically(self.measured, json.dumps(described).encode())
