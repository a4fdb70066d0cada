"""A range test for people: a picture in a terminal, a table elsewhere, and what to type."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import click
import numpy as np

from charrnn.cli import terminal
from charrnn.cli.line_chart import braille_lines, column_of
from charrnn.cli.live_block import Looks
from charrnn.cli.tables import print_table
from charrnn.runtime.shell import joined
from charrnn.tuning.rate_test import HALVED, RateTest

WIDEST, ROWS = 100, 12
"""Columns of the picture at most, and its rows."""
GUTTER = 6
"""Columns left of the picture, for the losses."""
PER_POWER = 4
"""Rows of the table for each power of ten."""
CURVE, COLORS = "36", ("32", "33")
"""Colors of the curve and of the marked rates."""
Mark = tuple[str, float | None]
"""A rate's name and the rate."""


def print_test(test: RateTest, command: list[str], *, is_given: bool) -> None:
    """Print the losses, the suggestion in plain words, and what to type. `is_given`: the planned
    rate is the user's own.
    """
    model = test.model
    terminal.show(
        f"{model.cell}, {model.layers} x {model.hidden} units, {test.training.optimizer}: "
        f"{len(test.rates)} steps at rates from {test.rates[0]:.2g} to {test.rates[-1]:.2g}"
    )
    marks = [("suggestion", test.suggestion), ("yours" if is_given else "recipe", test.planned)]
    looks = Looks.of(sys.stdout)
    if terminal.is_terminal(sys.stdout) and looks.has_dots:
        lines = picture(test, marks, terminal.width_of(sys.stdout), looks)
        print("\n".join(lines), flush=True)
    else:
        _print_rows(test, marks)
    whose = "the rate that you gave" if is_given else "the recipe's own rate"
    terminal.show(verdict(test, whose))
    terminal.show("type:")
    click.echo(f"  {joined(command)}")


def verdict(test: RateTest, whose: str) -> str:
    """What the test says, in a line. `whose` names the planned rate."""
    planned = f"{test.planned:.2g}"
    if test.outcome == "flat":
        return (
            f"no suggestion: the loss never fell at rates from {test.rates[0]:.2g} to "
            f"{test.rates[-1]:.2g}; {whose} is {planned}"
        )
    if test.suggestion is None:
        return (
            f"no suggestion: nothing diverged; repeat with --highest {10 * test.rates[-1]:.2g} or "
            f"more; {whose} is {planned}"
        )
    low, high = test.bottom
    less = "; a whole run needs less" if test.training.optimizer in HALVED else ""
    text = (
        f"suggestion: {test.suggestion:g}. The loss was lowest from {low:.2g} to {high:.2g} and "
        f"then rose{less}. {whose.capitalize()} is {planned}"
    )
    if test.agrees:
        return f"{text}: the two agree, as far as a short test can tell"
    than = "higher" if test.planned > test.suggestion else "lower"
    return (
        f"{text}, much {than}. The two disagree, and only whole runs can tell which is better: add "
        f"--vary learning-rate={test.suggestion:g},{planned} to charrnn compare"
    )


def picture(test: RateTest, marks: Sequence[Mark], columns: int, looks: Looks) -> list[str]:
    """The smoothed loss over the logarithm of the rate, with these rates marked."""
    width = max(10, min(columns, WIDEST) - GUTTER - 1)
    labels = {0: test.smoothed.max(), ROWS - 1: test.smoothed.min()}
    lines = ["loss"] + [
        f"{f'{labels[k]:.2f}' if k in labels else '':>{GUTTER - 1}} {looks.styled(row, CURVE)}"
        for k, row in enumerate(braille_lines(np.log(test.rates), test.smoothed, width, ROWS))
    ]
    margin = " " * GUTTER
    lines.append(margin + _ticks(test, width))
    for (name, rate), color in zip(marks, COLORS, strict=True):
        column = _column(test, rate, width)
        if column is not None:
            lines.append(margin + _mark(f"{rate:.2g} {name}", column, width, color, looks))
    return lines


def _column(test: RateTest, rate: float | None, width: int) -> int | None:
    """The column of a rate in the picture; None if it is outside."""
    low, high = math.log(test.rates[0]), math.log(test.rates[-1])
    return column_of(math.log(rate), low, high, width) if rate else None


def _ticks(test: RateTest, width: int) -> str:
    """The powers of ten beneath the picture, as many as have room."""
    row, free = "", 0
    first, last = math.ceil(np.log10(test.rates[0])), math.floor(np.log10(test.rates[-1]))
    for power in range(first, last + 1):
        at, label = _column(test, 10.0**power, width), f"{10.0**power:g}"
        if at is not None and at >= free and at + len(label) <= width:
            row = f"{row:<{at}}{label}"
            free = len(row) + 2
    return row


def _mark(label: str, column: int, width: int, color: str, looks: Looks) -> str:
    """An arrow at this column with its label at its right, or at its left if there is no room."""
    if column + 2 + len(label) <= width:
        return " " * column + looks.styled(f"\u25b2 {label}", color)
    return looks.styled(f"{label} \u25b2".rjust(column + 1), color)


def _print_rows(test: RateTest, marks: Sequence[Mark]) -> None:
    """A table of rates and losses, a few rows for each power of ten."""
    logs = np.log10(test.rates)
    grid = np.linspace(logs[0], logs[-1], max(2, round(PER_POWER * (logs[-1] - logs[0])) + 1))
    shown = sorted({int(np.argmin(abs(logs - at))) for at in grid})
    notes: dict[int, list[str]] = {}
    for name, rate in marks:
        if rate is not None and rate > 0:
            distances = abs(logs[shown] - math.log10(rate))
            nearest = shown[int(np.argmin(distances))]
            notes.setdefault(nearest, []).append(f"{name} {rate:.2g}")
    print_table(
        shown,
        [
            (1, "rate", lambda k: f"{test.rates[k]:.2g}"),
            (1, "loss", lambda k: f"{test.smoothed[k]:.3f}"),
            (0, "", lambda k: ", ".join(notes.get(k, []))),
        ],
    )
