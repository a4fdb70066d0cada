"""Compare configurations: each is trained from several seeds, one run at a time, and scored by its
best checkpoint.

Each run has a folder, like any other run, and resumes where it was interrupted. Next to these
folders, `compare.json` records what is compared; in each folder, `measured.json` records what a
checkpoint does not contain: speed and time.
"""

import json
import math
import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from charrnn.checkpoint.trained import Trained, load
from charrnn.config.files import values_of
from charrnn.errors import ConfigError, DivergenceError
from charrnn.evaluation.evaluate import evaluate
from charrnn.runtime.files import parse_json, read_regular, write_atomically
from charrnn.runtime.threads import Workers
from charrnn.text.documents import follows_separator
from charrnn.text.streams import Streams, fit_batch_shape
from charrnn.training.loop import Report, train
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning.candidates import (
    MOST_READ,
    PLAN,
    Candidate,
    check_plan,
    folder_names,
    hidden_in,
    plan_text,
)
from charrnn.tuning.pacing import on_time
from charrnn.tuning.planning import LEAST_SECONDS, Plan, plan

SPEEDS_KEPT = 1000
"""The median speed is taken over this many steps at the end of a run."""


@dataclass(frozen=True)
class Outcome:
    """The result of one run. Losses are in nats per character, of its best checkpoint;
    `validation_loss` covers the whole validation text.

    `seconds` is the time spent on training steps in all sessions; `chars_per_second` is the median
    over the last 1000 steps. A run that diverged is not finished; its losses are from before it
    diverged, or None.
    """

    seed: int
    validation_loss: float | None
    train_loss: float | None
    best_epoch: float | None
    epochs: float
    chars_per_second: float
    seconds: float
    finished: bool


@dataclass(frozen=True)
class Event:
    """An event in run number `run` of `runs`: a step (`report`) or the end (`outcome`). `share` is
    the fraction of all work that is done.
    """

    candidate: Candidate
    seed: int
    run: int
    runs: int
    share: float
    report: Report | None = None
    outcome: Outcome | None = None

    def __repr__(self) -> str:
        return f"Event({self.candidate!r}, run {self.run} of {self.runs}, {self.share:.1%} done)"


@dataclass(frozen=True)
class Result:
    """A candidate and the outcomes of its runs so far."""

    candidate: Candidate
    outcomes: tuple[Outcome, ...]

    def __repr__(self) -> str:
        mean = "no loss yet" if self.mean_loss is None else f"mean loss {self.mean_loss:.4f}"
        return f"Result({self.candidate!r}, {len(self.outcomes)} runs, {mean})"

    @property
    def losses(self) -> list[float]:
        """The validation losses of the finished runs."""
        return [
            outcome.validation_loss
            for outcome in self.outcomes
            if outcome.finished and outcome.validation_loss is not None
        ]

    @property
    def mean_loss(self) -> float | None:
        """The mean of the losses; None if there are none."""
        return statistics.fmean(self.losses) if self.losses else None

    @property
    def loss_deviation(self) -> float | None:
        """The sample standard deviation (n - 1) of the losses; None for fewer than two."""
        return statistics.stdev(self.losses) if len(self.losses) > 1 else None

    @property
    def chars_per_second(self) -> float | None:
        """The median over the runs; None if there are none."""
        speeds = [outcome.chars_per_second for outcome in self.outcomes]
        return statistics.median(speeds) if speeds else None

    @property
    def mean_epochs(self) -> float | None:
        """The mean number of passes over the text; None without runs."""
        epochs = [outcome.epochs for outcome in self.outcomes]
        return statistics.fmean(epochs) if epochs else None

    def as_json(self) -> dict[str, Any]:
        """The result as a JSON-compatible dictionary."""
        return {
            "name": self.candidate.name,
            "settings": self.candidate.settings,
            "hidden": self.candidate.hidden,
            "parameters": self.candidate.parameters,
            "seeds": [asdict(outcome) for outcome in self.outcomes],
            "validation_loss_mean": self.mean_loss,
            "validation_loss_std": self.loss_deviation,
            "chars_per_second": self.chars_per_second,
        }


def results(candidates: Sequence[Candidate], events: Iterable[Event]) -> list[Result]:
    """The results by candidate, lowest mean loss first and those without a loss last."""
    ended = [event for event in events if event.outcome is not None]
    ranking = [
        Result(candidate, tuple(e.outcome for e in ended if e.outcome and e.candidate is candidate))
        for candidate in candidates
    ]
    return sorted(ranking, key=lambda result: (result.mean_loss is None, result.mean_loss))


def compare(
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    folder: str | Path,
    *,
    duration: float | None = None,
    threads: int | None = None,
) -> Iterator[Event]:
    """Train every candidate from every seed. Yields an event for each step and for the end of each
    run.

    With a duration, all runs together take that many seconds, in equal shares; the candidates'
    `hidden` must then be set (`with_size`). `ConfigError` for less than 5 seconds per run. All
    candidates run with the first seed before the second. If the iteration is closed or the process
    dies, another call with the same candidates and seeds resumes; finished runs yield their outcome
    at once. `RunError` if the folder contains another comparison or is in use, `ConfigError` for a
    text without a validation part. A run that diverges counts as an outcome.
    """
    check_comparison(candidates, seeds)
    if duration is not None and duration < LEAST_SECONDS * len(candidates) * len(seeds):
        runs = len(candidates) * len(seeds)
        raise ConfigError(
            f"`duration` {duration:g} seconds is too short for {runs} runs: each needs at least "
            f"{LEAST_SECONDS:g} seconds"
        )
    place = RunFolder(folder)
    check_plan(place.path, candidates, seeds)
    with place.locked():
        check_plan(place.path, candidates, seeds)
        write_atomically(place.path / PLAN, plan_text(candidates, seeds).encode())
        jobs = [
            _Job(candidate, seed, RunFolder(place.path / f"{name}-seed{seed}"), threads)
            for seed in seeds
            for candidate, name in zip(candidates, folder_names(candidates), strict=True)
        ]
        work = [_work(job.candidate) if duration is None else 1.0 for job in jobs]
        deadline = time.monotonic() + (duration or 0.0)
        for k, job in enumerate(jobs):
            if duration is not None and not job.is_begun:
                waiting = sum(not later.is_begun for later in jobs[k:])
                job.share = max(LEAST_SECONDS, (deadline - time.monotonic()) / waiting)
            for done, report, outcome in job.events():
                share = (sum(work[:k]) + done * work[k]) / sum(work)
                yield Event(job.candidate, job.seed, k + 1, len(jobs), share, report, outcome)


def with_size(
    candidates: Sequence[Candidate],
    folder: str | Path,
    seconds: float,
    *,
    threads: int | None = None,
) -> list[Candidate]:
    """The candidates with `hidden` filled in where it is None: the value planned for the first
    candidate in these seconds, or the one recorded in the comparison's folder.
    """
    first = candidates[0]
    hidden = first.model.hidden or hidden_in(Path(folder), first.name)
    if hidden is None:
        hidden = plan(
            first.corpus, seconds, first.model, first.training, threads=threads
        ).model.hidden
    return [
        replace(candidate, model=candidate.model.filled(hidden=hidden)) for candidate in candidates
    ]


def check_comparison(candidates: Sequence[Candidate], seeds: Sequence[int]) -> None:
    """`ConfigError` unless there are candidates, distinct seeds, and a validation text."""
    if not candidates or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(
            "a comparison needs at least one configuration and one seed, all seeds different"
        )
    for candidate in candidates:
        if len(candidate.corpus.validation) < 2:
            raise ConfigError(
                "configurations are compared by their loss on the validation text, but there is "
                "none: use a larger `val_fraction` or a longer text"
            )


def _work(candidate: Candidate) -> float:
    """The work of a run, as far as it is known: multiplications, or seconds if a time limit ends
    it.
    """
    training, text = candidate.resolved[1], candidate.corpus.train
    if training.max_seconds is not None:
        return training.max_seconds
    shape = fit_batch_shape(len(text), training.batch_size, training.seq_length)
    steps = training.total_steps(Streams(text, *shape).steps)
    return float(steps * math.prod(shape) * candidate.parameters)


@dataclass
class _Job:
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
        model, training = candidate.model, replace(candidate.training, seed=self.seed)
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
        """Load what earlier sessions measured; returns the outcome, if there is one. A damaged file
        is ignored.
        """
        try:
            stored = parse_json(read_regular(self.measured, MOST_READ))
            seconds, speeds = float(stored["seconds"]), [float(each) for each in stored["speeds"]]
            outcome = None if stored["outcome"] is None else Outcome(**stored["outcome"])
            if outcome is not None:
                math.fsum(value or 0 for value in asdict(outcome).values())  # raises unless numbers
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return None
        self.seconds = seconds
        self.speeds.extend(speeds)
        return outcome

    def _write(self, outcome: Outcome | None) -> None:
        described = {
            "seconds": self.seconds,
            "speeds": [round(speed, 1) for speed in self.speeds],
            "outcome": outcome and asdict(outcome),
        }
        write_atomically(self.measured, json.dumps(described).encode())
