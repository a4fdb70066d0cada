"""Whole runs, one after the other here."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Protocol, TypeVar

from charrnn.training.report import Report


class Job(Protocol):
    """A run: yields the share of it that is done, with each step's report or, last, its result."""

    def events(self) -> Iterator[tuple[float, Report | None, Any]]:
        """The run from where it stopped to its end."""
        ...


J = TypeVar("J", bound=Job)


def deal(jobs: Iterator[J]) -> Iterator[tuple[J, float, Report | None, Any]]:
    """The events of all jobs, each with its job. A job is taken when there is a place for it."""
    for job in jobs:
        with closing(job.events()) as events:  # type: ignore[type-var]
            for event in events:
                yield job, *event
