"""Comparing configurations: each is trained from several seeds, one run after the other, and judged
by its best checkpoint.

Every run has a folder of its own, like any other run, and goes on where it was interrupted. Beside
them stands the plan, `compare.json`, which says what is compared; in each of them `measured.json`,
what a checkpoint does not know: speed and time.
"""

import json
import math
import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from charrnn.checkpoint.trained import Trained, load
from charrnn.config.files import values_of
from charrnn.errors import ConfigError, DivergenceError
from charrnn.evaluation.evaluate import evaluate
from charrnn.runtime.files import write_atomically
from charrnn.runtime.threads import Workers, usable_threads
from charrnn.text.streams import Streams, fit_batch_shape
from charrnn.training.loop import Report, train
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning.candidates import (
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
"""Steps, the last of a run, over which its median speed is taken."""


@dataclass(frozen=True)
class Outcome:
    """What came of one run. Losses are nats a character, of its best checkpoint: validation_loss on
    all of the validation text.

    `seconds` were spent on training steps, over all sessions; `chars_per_second` is the median over
    the last 1000 steps. A run that diverged is not finished; its losses are from before that, or
    None.
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
    """What happened in run number `run` of `runs`: a step (`report`), or its end (`outcome`).
    `share` of all the work is done.
    """

    candidate: Candidate
    seed: int
    run: int
    runs: int
    share: float
    report: Report | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Result:
    """A candidate and the outcomes of its runs so far."""

    candidate: Candidate
    outcomes: tuple[Outcome, ...]

    @property
    def losses(self) -> list[float]:
        """The validation losses of the runs that are finished."""
        return [
            one.validation_loss
            for one in self.outcomes
            if one.finished and one.validation_loss is not None
        ]

    @property
    def mean_loss(self) -> float | None:
        """Their mean; None without any."""
        return statistics.fmean(self.losses) if self.losses else None

    @property
    def loss_deviation(self) -> float | None:
        """Their standard deviation, that of a sample (n - 1); None for fewer than two."""
        return statistics.stdev(self.losses) if len(self.losses) > 1 else None

    @property
    def chars_per_second(self) -> float | None:
        """The median over the runs; None without any."""
        speeds = [one.chars_per_second for one in self.outcomes]
        return statistics.median(speeds) if speeds else None

    @property
    def mean_epochs(self) -> float | None:
        """Passes over the text, the mean over the runs; None without any."""
        epochs = [one.epochs for one in self.outcomes]
        return statistics.fmean(epochs) if epochs else None

    def as_json(self) -> dict[str, Any]:
        """All of it, fit for JSON."""
        return {
            "name": self.candidate.name,
            "settings": self.candidate.settings,
            "hidden": self.candidate.hidden,
            "parameters": self.candidate.parameters,
            "seeds": [asdict(one) for one in self.outcomes],
            "validation_loss_mean": self.mean_loss,
            "validation_loss_std": self.loss_deviation,
            "chars_per_second": self.chars_per_second,
        }


def results(candidates: Sequence[Candidate], events: Iterable[Event]) -> list[Result]:
    """The outcomes among the events, by candidate, the lowest mean loss first and what has none
    last.
    """
    ended = [(event.candidate, event.outcome) for event in events if event.outcome is not None]
    found = [
        Result(one, tuple(outcome for candidate, outcome in ended if candidate is one))
        for one in candidates
    ]
    return sorted(found, key=lambda one: (one.mean_loss is None, one.mean_loss))


def compare(
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    folder: str | Path,
    *,
    duration: float | None = None,
    threads: int | None = None,
) -> Iterator[Event]:
    """Train every candidate from every seed; an event for each step, and one for the end of each
    run.

    With a duration all runs together take that many seconds, in equal shares; candidates must then
    say their `hidden` (`with_size`). `ConfigError` for less than 5 seconds a run.
    The first seed of all candidates comes first. Where the iteration is closed, or the process
    dies, another call with the same candidates and seeds goes on; runs that are finished give their
    outcome at once. `RunError` if the folder holds another comparison or is in use, `ConfigError`
    for a text without a validation part. A run that diverges is an outcome.
    """
    check_comparison(candidates, seeds)
    if duration is not None and duration < LEAST_SECONDS * len(candidates) * len(seeds):
        runs = len(candidates) * len(seeds)
        raise ConfigError(
            f"`duration` {duration:g} seconds is too short for {runs} runs: each needs "
            f"{LEAST_SECONDS:g} seconds or more"
        )
    place = RunFolder(folder)
    check_plan(place.path, candidates, seeds)
    with place.locked():
        check_plan(place.path, candidates, seeds)
        write_atomically(place.path / PLAN, plan_text(candidates, seeds).encode())
        jobs = [
            _Job(one, seed, RunFolder(place.path / f"{name}-seed{seed}"), threads)
            for seed in seeds
            for one, name in zip(candidates, folder_names(candidates), strict=True)
        ]
        work = [_work(job.candidate) if duration is None else 1.0 for job in jobs]
        deadline = time.monotonic() + (duration or 0.0)
        for k, job in enumerate(jobs):
            if duration is not None and not job.is_begun:
                waiting = sum(not other.is_begun for other in jobs[k:])
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
    """The candidates with `hidden` where it is not given: as many units as suit the first of them
    if it trains for these seconds; in the folder of a comparison, as many as there.
    """
    first = candidates[0]
    hidden = first.model.hidden or hidden_in(Path(folder), first.name)
    if hidden is None:
        hidden = plan(
            first.corpus, seconds, first.model, first.training, threads=threads
        ).model.hidden
    return [replace(one, model=one.model.filled(hidden=hidden)) for one in candidates]


def check_comparison(candidates: Sequence[Candidate], seeds: Sequence[int]) -> None:
    """`ConfigError` unless there is something to compare, and by which."""
    if not candidates or not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(
            "a comparison needs at least one configuration and one seed, and no seed twice"
        )
    for candidate in candidates:
        if len(candidate.corpus.validation) < 2:
            raise ConfigError(
                "configurations are compared by their loss on the validation text, and there is "
                "none: give a larger `val_fraction`, or a longer text"
            )


def _work(candidate: Candidate) -> float:
    """How much a run is to do, as far as one can say: multiplications, or seconds where those are
    what ends it.
    """
    training, text = candidate.resolved[1], candidate.corpus.train
    if training.max_seconds is not None:
        return training.max_seconds
    shape = fit_batch_shape(len(text), training.batch_size, training.seq_length)
    steps = training.total_steps(Streams(text, *shape).steps)
    return float(steps * math.prod(shape) * candidate.parameters)


@dataclass
class _Job:
    """One run of a comparison, in its folder; the seconds that it may take, if it is to be planned;
    and its seconds and last speeds so far.
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
        """True if there is something to go on with."""
        return self.folder.last.exists()

    @property
    def measured(self) -> Path:
        """Speeds and seconds, and the outcome once it is there."""
        return self.folder.path / "measured.json"

    def events(self) -> Iterator[tuple[float, Report | None, Outcome | None]]:
        """Train, from where it was left: the share of this run that is done, and each step's report
        or the outcome.
        """
        outcome = self._read()
        if outcome is None:
            with self.folder.locked():
                (run, found), diverged = self._run(), False
                try:
                    yield from self._steps(run, found)
                except DivergenceError:
                    diverged = True
                outcome = self._outcome(run, diverged)
                self._write(outcome)
        yield 1.0, None, outcome

    def _run(self) -> tuple[Run, Plan | None]:
        """The run as it was left, or a new one, with its plan if it has a time."""
        one, found = self.candidate, None
        if self.is_begun:
            run = self.folder.resume()
            run.check_text(one.corpus)
            return run, None
        model, training = one.model, replace(one.training, seed=self.seed)
        if self.share is not None:
            found = plan(one.corpus, self.share, model, training, threads=self.threads)
            model, training = found.model, found.training
        run = Run.new(one.corpus, model, training)
        texts: dict[str, list[str]] = {}
        for source in one.corpus.sources:
            texts.setdefault(source.part or "text", []).append(source.path)
        settings = values_of(run.corpus_config, run.model.config, run.config)
        self.folder.create({**settings, **texts})
        return run, found

    def _steps(self, run: Run, found: Plan | None) -> Iterator[tuple[float, Report, None]]:
        limit, before = run.config.max_seconds, self.folder.seconds_before
        reports = train(run, self.candidate.corpus, folder=self.folder, threads=self.threads)
        if found is not None:
            reports = on_time(reports, run, found)
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
            loss, epoch = self._loss(best), best.origin.epoch
            loss = loss if math.isfinite(loss) else None
            # which lack the steps that a diverged run has lost
            losses = {entry["step"]: entry["train_loss"] for entry in run.validations}
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
        """The loss of a checkpoint on all of the validation text; training may have looked at a
        part of it only.
        """
        corpus = self.candidate.corpus
        with closing(Workers(usable_threads(self.threads))) as workers:
            return evaluate(
                best.model, corpus.validation, starts=corpus.validation_starts, workers=workers
            ).nats_per_char

    def _read(self) -> Outcome | None:
        """Take up what earlier sessions measured; the outcome, if there is one. A damaged file
        counts as none.
        """
        try:
            found = json.loads(self.measured.read_text(encoding="utf-8"))
            self.seconds = float(found["seconds"])
            self.speeds.extend(float(speed) for speed in found["speeds"])
            return None if found["outcome"] is None else Outcome(**found["outcome"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _write(self, outcome: Outcome | None) -> None:
        described = {
            "seconds": self.seconds,
            "speeds": [round(speed, 1) for speed in self.speeds],
            "outcome": outcome and asdict(outcome),
        }
        write_atomically(self.measured, json.dumps(described).encode())
