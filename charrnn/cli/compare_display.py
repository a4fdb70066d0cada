"""What a comparison shows: one bar over all runs, a line for each that ends, and the table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.cli.live_bar import LiveBar, speed_text
from charrnn.cli.tables import Column, print_table
from charrnn.cli.terminal import duration_text, loss_text, one_line
from charrnn.cli.train_display import ESTIMATED_AFTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charrnn.tuning.comparison import Event, Outcome, Result


class Display:
    """Shows the events of a comparison on stderr."""

    def __init__(self, seeds: int, folder: Path, quiet: bool) -> None:
        self._seeds, self._folder = seeds, folder
        self._bar = LiveBar(1.0, quiet=quiet)
        # when training began, and the share that was done by then
        self._begun: tuple[float, float] | None = None
        self._trained: tuple[str, int] | None = None  # the run that is being trained
        self._is_announced = self._is_estimated = False

    def _announce(self, event: Event) -> None:
        from charrnn.text.vocab import counted

        self._is_announced = True
        self._bar.say(
            f"{counted(event.runs // self._seeds, 'configuration')}, "
            f"{counted(self._seeds, 'seed')}: {counted(event.runs, 'run')}, one after the other, "
            f"into {one_line(str(self._folder))}"
        )

    def show(self, event: Event) -> None:
        """What happened."""
        if not self._is_announced:
            self._announce(event)
        fields = [
            (0, f"{event.run} of {event.runs}"),
            (1, f"{one_line(event.candidate.name)}, seed {event.seed}"),
        ]
        if event.report is not None:
            self._trained = (event.candidate.name, event.seed)
            self._begun = self._begun or (time.monotonic(), event.share)
            fields += [
                (2, f"{event.report.smoothed_loss:.3f} nats"),
                (3, speed_text(event.report.chars_per_second)),
            ]
        left = self._left(event)
        left_text = f"about {duration_text(left)} to go" if left and not self._bar.is_live else ""
        if event.outcome is not None:
            ended = self._ended(event, event.outcome)
            self._bar.say(f"{ended}; {left_text}" if left_text else ended)
        elif left_text and not self._is_estimated:
            self._bar.say(left_text)
        self._is_estimated = self._is_estimated or bool(left_text)
        self._bar.show(event.share, 1.0, left, fields)

    def _left(self, event: Event) -> float | None:
        """Seconds that all runs together will still take; None while unknown."""
        if self._begun is None:
            return None
        start, before = self._begun
        elapsed = time.monotonic() - start
        if elapsed < ESTIMATED_AFTER or event.share <= before or event.share >= 1:
            return None
        return elapsed * (1 - event.share) / (event.share - before)

    def _ended(self, event: Event, outcome: Outcome) -> str:
        parts = [
            loss_text(outcome.validation_loss) if outcome.finished else "diverged",
            speed_text(outcome.chars_per_second),
            duration_text(outcome.seconds),
        ]
        old = "" if self._trained == (event.candidate.name, event.seed) else " (from before)"
        run = f"{event.run} of {event.runs}: {one_line(event.candidate.name)}, seed {event.seed}"
        return f"{run}: {', '.join(parts)}{old}"

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def print_results(results: Sequence[Result], seeds: int) -> None:
    """The results on stdout, in the order given."""
    columns: list[Column[Result]] = [
        (0, "configuration", lambda one: one_line(one.candidate.name)),
        (5, "hidden", lambda one: f"{one.candidate.model.hidden:,}"),
        (3, "parameters", lambda one: f"{one.candidate.parameters:,}"),
        (1, "loss (nats)", _loss),
        (2, "spread", _spread),
        (4, "chars/s", lambda one: _number(one.chars_per_second, ",.0f")),
        (6, "epochs", lambda one: _number(one.mean_epochs, ".1f")),
    ]
    if any(len(one.losses) < seeds for one in results):
        columns.insert(5, (2, "seeds", lambda one: f"{len(one.losses)} of {seeds}"))
    print_table(results, [one for one in columns if seeds > 1 or one[1] != "spread"])


def _number(value: float | None, layout: str) -> str:
    return "" if value is None else format(value, layout)


def _spread(result: Result) -> str:
    return f"{min(result.losses):.4f} to {max(result.losses):.4f}" if result.losses else ""


def _loss(result: Result) -> str:
    if result.mean_loss is not None:
        return f"{result.mean_loss:.4f}"
    return "diverged" if result.outcomes else ""
