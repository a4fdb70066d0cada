"""What a comparison shows: one bar over all runs, a line for each that ends, and the table."""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.cli.tables import Column, print_columns
from charrnn.cli.terminal import duration_text, is_terminal, loss_text, one_line, say
from charrnn.cli.train_display import BAR_NEEDS, ESTIMATED_AFTER, fitted, speed_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charrnn.tuning.comparison import Event, Outcome, Result


class Progress:
    """Shows the events of a comparison on stderr."""

    def __init__(self, seeds: int, folder: Path, quiet: bool) -> None:
        self._quiet, self._bar = quiet, None
        self._seeds, self._folder = seeds, folder
        self._begun: tuple[float, float] | None = (
            None  # when training began, and the share that was done by then
        )
        self._trained: tuple[str, int] | None = None  # the run that is being trained
        self._told = self._estimated = False

    def _show_start(self, event: Event) -> None:
        from charrnn.text.gathered import counted

        self._told = True
        configurations, each = (
            counted(event.runs // self._seeds, "configuration"),
            counted(self._seeds, "seed"),
        )
        runs = counted(event.runs, "run")
        say(
            f"{configurations}, {each}: {runs}, one after the other, into "
            f"{one_line(str(self._folder))}"
        )
        if is_terminal(sys.stderr):
            from tqdm import tqdm

            layout = "{percentage:3.0f}%|{bar}|"
            self._bar = tqdm(
                total=1.0, file=sys.stderr, leave=False, dynamic_ncols=True, bar_format=layout
            )

    def show(self, event: Event) -> None:
        """What happened."""
        if self._quiet:
            return
        if not self._told:
            self._show_start(event)
        if event.report is not None:
            self._trained = (event.candidate.name, event.seed)
            self._begun = self._begun or (time.monotonic(), event.share)
        if event.outcome is not None:
            self._say(self._ended(event, event.outcome))
        left = self._left(event)
        if self._bar is not None:
            self._bar.bar_format = "{percentage:3.0f}%|{bar}| " + (
                f"{duration_text(left)} left  " if left else ""
            )
            self._bar.bar_format += self._figures(event)
            self._bar.update(event.share - self._bar.n)
        elif left is not None and not self._estimated:
            self._estimated = True
            self._say(f"about {duration_text(left)} to go")

    def _left(self, event: Event) -> float | None:
        """Seconds that all runs together will still take; None before that can be told."""
        if self._begun is None:
            return None
        start, before = self._begun
        elapsed = time.monotonic() - start
        if elapsed < ESTIMATED_AFTER or event.share <= before or event.share >= 1:
            return None
        return elapsed * (1 - event.share) / (event.share - before)

    def _figures(self, event: Event) -> str:
        fields = [
            (0, f"{event.run} of {event.runs}"),
            (1, f"{one_line(event.candidate.name)}, seed {event.seed}"),
        ]
        if event.report is not None:
            fields += [
                (2, f"{event.report.smoothed_loss:.3f} nats"),
                (3, speed_text(event.report.chars_per_second)),
            ]
        return fitted(fields, self._width() - BAR_NEEDS).replace("{", "{{").replace("}", "}}")

    def _ended(self, event: Event, outcome: Outcome) -> str:
        parts = [loss_text(outcome.validation_loss) if outcome.finished else "diverged"]
        parts += [speed_text(outcome.chars_per_second), duration_text(outcome.seconds)]
        old = "" if self._trained == (event.candidate.name, event.seed) else " (from before)"
        left = self._left(event) if self._bar is None else None
        to_go = f"; about {duration_text(left)} to go" if left else ""
        self._estimated = self._estimated or bool(left)
        run = f"{event.run} of {event.runs}: {one_line(event.candidate.name)}, seed {event.seed}"
        return f"{run}: {', '.join(parts)}{old}{to_go}"

    def _say(self, text: str) -> None:
        if self._bar is None:
            say(text)
        else:
            self._bar.write(text, file=sys.stderr)

    def _width(self) -> int:
        try:
            return os.get_terminal_size(sys.stderr.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


def print_table(results: Sequence[Result], seeds: int) -> None:
    """The results on stdout, in the order given."""
    print_columns(_columns(results, seeds))


def _columns(results: Sequence[Result], seeds: int) -> list[Column]:
    columns = [
        (0, "configuration", [one_line(one.candidate.name) for one in results]),
        (5, "hidden", [f"{one.candidate.model.hidden:,}" for one in results]),
        (3, "parameters", [f"{one.candidate.parameters:,}" for one in results]),
        (1, "loss (nats)", [_loss(one) for one in results]),
        (
            2,
            "spread",
            [
                f"{min(one.losses):.4f} to {max(one.losses):.4f}" if one.losses else ""
                for one in results
            ],
        ),
        (
            4,
            "chars/s",
            [
                "" if one.chars_per_second is None else f"{one.chars_per_second:,.0f}"
                for one in results
            ],
        ),
        (6, "epochs", [_epochs(one) for one in results]),
    ]
    if any(len(one.losses) < seeds for one in results):
        columns.insert(5, (2, "seeds", [f"{len(one.losses)} of {seeds}" for one in results]))
    return columns if seeds > 1 else [column for column in columns if column[1] != "spread"]


def _loss(result: Result) -> str:
    if result.mean_loss is not None:
        return f"{result.mean_loss:.4f}"
    return "diverged" if result.outcomes else ""


def _epochs(result: Result) -> str:
    return (
        f"{statistics.fmean(one.epochs for one in result.outcomes):.1f}" if result.outcomes else ""
    )
