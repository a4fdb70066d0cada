"""The trials of a tuning: how one is run, when it is stopped early, what came of it."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from charrnn.config.fields import Value
from charrnn.config.files import parse_toml
from charrnn.errors import ConfigError
from charrnn.runtime.files import read_regular
from charrnn.training.entries import Entry
from charrnn.training.report import Report
from charrnn.tuning.candidates import MOST_READ
from charrnn.tuning.compared_run import ComparedRun
from charrnn.tuning.outcomes import Outcome

CHECKED = (25, 50, 75)
"""Percents of a trial's time at which it may be stopped."""
LEAST_ENDED = 4
"""Trials that must have come to their end before others are compared with them."""
Ending = Literal["complete", "stopped", "diverged", "failed"]
Early = dict[int, float]
"""Validation losses by the percent of a trial's time, which are some of `CHECKED`."""


@dataclass(frozen=True)
class Trial:
    """One trial: its number, from 1 (the recipe), the settings that were tuned, and what came of
    them. Losses are in nats per character, on the validation text.

    ended: "complete", "stopped" (early, since it was worse than the median of others after
    `percent` of its time), "diverged", or "failed" (it could not begin; `reason` says why).
    passes: how often it read the text.
    """

    number: int
    settings: dict[str, Value]
    ended: Ending
    percent: int
    validation_loss: float | None
    hidden: int
    parameters: int
    passes: float
    chars_per_second: float
    seconds: float
    reason: str | None = None

    @property
    def is_complete(self) -> bool:
        """True if it came to its end with a loss."""
        return self.ended == "complete" and self.validation_loss is not None

    def as_json(self) -> dict[str, Any]:
        """The trial as a JSON-compatible dictionary."""
        return asdict(self)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """The best trial first; those that have not come to their end last, the longest first."""

    def key(trial: Trial) -> tuple[bool, int, float, int]:
        loss = float("inf") if trial.validation_loss is None else trial.validation_loss
        return not trial.is_complete, -trial.percent, loss, trial.number

    return sorted(trials, key=key)


def early_losses(entries: Sequence[Entry], total_steps: int) -> Early:
    """A run's validation losses at the percents of `CHECKED` that it has reached: between two
    validations on the line that joins them, before the first one that one's.
    """
    points = [
        (100 * entry["step"] / total_steps, float(entry["validation_loss"]))
        for entry in entries
        if entry.get("validation_loss") is not None
    ]
    losses: Early = {}
    for percent in CHECKED:
        after = next((k for k, (at, _) in enumerate(points) if at >= percent - 1e-9), None)
        if after is None:
            break
        (at, loss), (start, before) = points[after], points[max(0, after - 1)]
        part = (percent - start) / (at - start) if at > start else 1.0
        losses[percent] = before + min(1.0, max(0.0, part)) * (loss - before) if after else loss
    return losses


def limits(ended: Sequence[Early]) -> Early:
    """The losses above which a trial is stopped: the medians of the trials that have come to their
    end, if there are four or more.
    """
    if len(ended) < LEAST_ENDED:
        return {}
    by_percent = {p: [losses[p] for losses in ended if p in losses] for p in CHECKED}
    return {p: statistics.median(losses) for p, losses in by_percent.items() if losses}


def over_limit(losses: Early, most: Early) -> int | None:
    """The first percent at which a trial's loss is above the limit."""
    return next((p for p, loss in losses.items() if p in most and loss > most[p]), None)


@dataclass(frozen=True)
class TrialEnd:
    """What a trial's run returns: the trial, and its losses on the way."""

    trial: Trial
    early: Early


@dataclass
class TrialRun:
    """A trial that is to be run, alone or on another rank; it is stopped above the limits."""

    number: int
    settings: dict[str, Value]
    run: ComparedRun
    most: Early = field(default_factory=dict)

    def events(self) -> Iterator[tuple[float, Report | None, TrialEnd | None]]:
        """Train from where the run stopped; yields the share that is done with each step's report
        or the end. A network that is too large for the time or the memory is an end, too, unless
        it is the first trial's.
        """
        try:
            yield from self._events()
        except (ConfigError, MemoryError) as error:
            if self.number == 1 or self.run.is_begun:
                raise
            yield 1.0, None, TrialEnd(self._trial("failed", 0, None, 0.0, 0.0, str(error)), {})

    def _events(self) -> Iterator[tuple[float, Report | None, TrialEnd | None]]:
        report: Report | None = None
        with closing(self.run.events()) as events:  # type: ignore[type-var]
            for done, current, outcome in events:
                if outcome is not None:
                    yield 1.0, None, self._end(outcome)
                    return
                assert current is not None
                is_checked = report is None or current.train_loss is not None
                report = current
                if is_checked and report.ended is None:
                    entries = self.run.folder.entries()
                    percent = over_limit(early_losses(entries, report.total_steps), self.most)
                    if percent is not None:
                        break
                yield done, report, None
        assert report is not None
        yield 1.0, None, self._stopped(percent or 0, report)

    def _end(self, outcome: Outcome) -> TrialEnd:
        entries = self.run.folder.entries()
        steps = max((entry["step"] for entry in entries), default=1)
        early = early_losses(entries, steps) if outcome.finished else {}
        ended: Ending = "complete" if outcome.finished else "diverged"
        speed = outcome.chars_per_second
        return TrialEnd(
            self._trial(ended, 100, outcome.validation_loss, outcome.epochs, speed), early
        )

    def _stopped(self, percent: int, report: Report) -> TrialEnd:
        entries = self.run.folder.entries()
        losses = [e["validation_loss"] for e in entries if e.get("validation_loss") is not None]
        early = {p: x for p, x in early_losses(entries, report.total_steps).items() if p <= percent}
        speed = statistics.median(self.run.speeds) if self.run.speeds else 0.0
        return TrialEnd(self._trial("stopped", percent, min(losses), report.epoch, speed), early)

    def _trial(
        self,
        ended: Ending,
        percent: int,
        loss: float | None,
        passes: float,
        speed: float,
        reason: str | None = None,
    ) -> Trial:
        candidate = self.run.candidate
        return Trial(
            number=self.number,
            settings=self._settings(),
            ended=ended,
            percent=percent,
            validation_loss=loss,
            hidden=candidate.hidden,
            parameters=candidate.parameters,
            passes=passes,
            chars_per_second=speed,
            seconds=self.run.seconds,
            reason=reason,
        )

    def _settings(self) -> dict[str, Value]:
        """The tuned settings as the run has them, the recipe's included."""
        with suppress(OSError, ValueError, RecursionError):
            text = read_regular(self.run.folder.config, MOST_READ).decode("utf-8")
            stored = parse_toml(text)
            return {name: stored.get(name) for name in self.settings}
        return self.settings
