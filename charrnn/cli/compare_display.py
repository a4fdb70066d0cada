"""What a comparison shows: one bar for all runs, a line for each finished run, and the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.cli.live_bar import bar_line, speed_text
from charrnn.cli.live_block import LiveBlock
from charrnn.cli.signals import STOPPING, Stop
from charrnn.cli.tables import Column, number_text, print_table
from charrnn.cli.terminal import duration_text, loss_text, one_line
from charrnn.cli.time_left import TimeLeft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charrnn.tuning.outcomes import Event, Outcome, Result


class Display:
    """Shows the events of a comparison on stderr."""

    def __init__(self, seeds: int, folder: Path, stop: Stop, quiet: bool) -> None:
        self._seeds, self._folder = seeds, folder
        self._block = LiveBlock(sys.stderr, quiet=quiet)
        if self._block.is_live:
            stop.notify = lambda: self._block.set_foot(STOPPING)
        # when training began, and the share already done by then
        self._time_left = TimeLeft()
        self._trained: set[str] = set()  # in this session
        self._is_announced = self._is_estimated = False

    def _announce(self, event: Event) -> None:
        from charrnn.text.vocab import counted

        self._is_announced = True
        self._block.say(
            f"{counted(event.runs // self._seeds, 'configuration')}, "
            f"{counted(self._seeds, 'seed')}: {counted(event.runs, 'run')} into "
            f"{one_line(str(self._folder))}"
        )

    def show(self, event: Event) -> None:
        """Show one event."""
        if not self._is_announced:
            self._announce(event)
        place = f"{event.run} of {event.runs}"
        name = f"{one_line(event.candidate.name)}, seed {event.seed}"
        fields = [(0, place), (1, name)]
        if event.report is not None:
            self._trained.add(name)
            self._time_left.begin(event.share)
            fields += [
                (2, f"{event.report.smoothed_loss:.3f} nats"),
                (3, speed_text(event.report.chars_per_second)),
            ]
        news = []
        if event.outcome is not None:
            old = "" if name in self._trained else " (already done)"
            from charrnn.text.vocab import NOUNS

            noun = NOUNS[event.candidate.corpus.vocab.unit]
            news.append(f"{place}: {name}: {_ended(event.outcome, noun)}{old}")
        left = self._time_left.seconds(event.share)
        if left and not self._block.is_live and (news or not self._is_estimated):
            self._is_estimated = True
            news.append(f"about {duration_text(left)} left")
        if news:
            self._block.say("; ".join(news))
        if left is not None:
            fields.insert(0, (0, f"{duration_text(left)} left"))
        looks = self._block.looks
        self._block.refresh(lambda columns, _: [bar_line(event.share, fields, columns, looks)])

    def close(self) -> None:
        """Remove the bar."""
        self._block.close()


def print_results(results: Sequence[Result], seeds: int) -> None:
    """The results on stdout, in the order given."""
    columns: list[Column[Result]] = [
        (0, "configuration", lambda result: one_line(result.candidate.name)),
        (5, "hidden", lambda result: f"{result.candidate.hidden:,}"),
        (3, "parameters", lambda result: f"{result.candidate.parameters:,}"),
        (1, "loss (nats)", _loss),
        (2, "spread", _spread),
        (4, "chars/s", lambda result: number_text(result.chars_per_second, ",.0f")),
        (6, "epochs", lambda result: number_text(result.mean_epochs, ".1f")),
    ]
    if any(len(result.losses) < seeds for result in results):
        columns.insert(5, (2, "seeds", lambda result: f"{len(result.losses)} of {seeds}"))
    print_table(results, [column for column in columns if seeds > 1 or column[1] != "spread"])


def _ended(outcome: Outcome, noun: str) -> str:
    loss = loss_text(outcome.validation_loss, noun) if outcome.finished else "diverged"
    return f"{loss}, {speed_text(outcome.chars_per_second)}, {duration_text(outcome.seconds)}"


def _spread(result: Result) -> str:
    return f"{min(result.losses):.4f} to {max(result.losses):.4f}" if result.losses else "-"


def _loss(result: Result) -> str:
    has_diverged = result.mean_loss is None and result.outcomes
    return "diverged" if has_diverged else number_text(result.mean_loss, ".4f")
