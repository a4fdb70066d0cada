"""What a comparison yields, and how candidates rank."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from charrnn.training.report import Report
from charrnn.tuning.candidates import (
    Candidate,
)


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
