"""A progress bar at the bottom of the terminal, with figures beside it and messages above it."""

from __future__ import annotations

import sys
from typing import Any

from charrnn.cli.progress_bar import FREE
from charrnn.cli.terminal import (
    UNWATCHED,
    duration_text,
    is_terminal,
    laid_out,
    new_bar,
    say,
    width_of,
)

BAR_NEEDS = 24
"""Columns that percentage, bar and time left take; the figures get the rest."""


class LiveBar:
    """Lines on stderr and, on a terminal, a bar below them. Shows nothing if `quiet`."""

    def __init__(self, total: float, done: float = 0, *, quiet: bool = False) -> None:
        self.quiet, self.is_live = quiet, not quiet and is_terminal(sys.stderr)
        self._bar: Any = None
        if self.is_live:
            self._bar = new_bar(total, initial=done, bar_format="{percentage:3.0f}%|{bar}|")

    @property
    def width(self) -> int:
        """Width of the terminal in columns; many if there is none."""
        return width_of(sys.stderr) if self.is_live else UNWATCHED

    def say(self, text: str) -> None:
        """Print lines above the bar."""
        if self._bar is not None:
            self.write(laid_out(text, sys.stderr))
        elif not self.quiet:
            say(text)

    def write(self, text: str) -> None:
        """Print a text above the bar as it is; only a terminal shows it."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)

    def show(self, done: float, total: float, left: float | None, fields: Fields) -> None:
        """Move the bar, also backwards. Beside it, show the seconds `left` unless None, and as many
        fields as fit.
        """
        if self._bar is None:
            return
        figures = (
            fitted(fields, self.width - FREE - BAR_NEEDS).replace("{", "{{").replace("}", "}}")
        )
        time_left = "" if left is None else f"{duration_text(left)} left  "
        self._bar.bar_format = "{percentage:3.0f}%|{bar}| " + time_left + figures
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


Fields = list[tuple[int, str]]
"""Pairs of an importance (0 is the highest) and a text."""


def fitted(fields: Fields, width: int, gap: str = "  ") -> str:
    """The texts side by side; the least important are dropped until the rest fits the width."""
    remaining = list(fields)
    while len(remaining) > 1 and len(gap.join(text for _, text in remaining)) > width:
        remaining.remove(max(reversed(remaining), key=lambda field: field[0]))
    return gap.join(text for _, text in remaining)


def speed_text(characters_per_second: float) -> str:
    """Three digits: 950, 9.5k, 187k, 1.2M chars/s."""
    for letter, scale in (("M", 1e6), ("k", 1e3)):
        if characters_per_second >= scale:
            value = characters_per_second / scale
            return f"{value:.{1 if value < 10 else 0}f}{letter} chars/s"
    return f"{characters_per_second:.0f} chars/s"
