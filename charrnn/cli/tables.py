"""Tables on stdout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from charrnn.cli.terminal import console

Row = TypeVar("Row")
Column = tuple[int, str, Callable[[Row], str]]
"""Importance (0 is the highest, and marks the column of names), heading, and the cell of a row."""


def print_table(rows: Sequence[Row], columns: Sequence[Column[Row]]) -> None:
    """Print a table; the least important columns are dropped if the terminal is too narrow."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    output = console()
    # importance, and the heading with the cells below it
    remaining = [(rank, [heading, *map(cell, rows)]) for rank, heading, cell in columns]
    while len(remaining) > 2 and _width_of(remaining, output.width) > output.width:
        remaining.remove(max(remaining, key=lambda column: column[0]))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for rank, (heading, *_) in remaining:
        if rank == 0:
            table.add_column(heading, overflow="fold", min_width=len(heading))
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in zip(*(cells[1:] for _, cells in remaining), strict=True):
        table.add_row(*map(Text, row))
    output.print(table)


def _width_of(columns: Sequence[tuple[int, list[str]]], room: int) -> int:
    """The columns' total width with borders, if the names, which wrap, get a third of the room."""
    first, *others = (max(map(len, cells)) for _, cells in columns)
    return max(len(columns[0][1][0]), min(first, room // 3)) + sum(others) + 3 * len(others) + 2


def number_text(value: Any, layout: str, unit: float = 1.0) -> str:
    """A number divided by `unit`, formatted as in `format`; a dash for anything else."""
    return format(value / unit, layout) if isinstance(value, int | float) else "-"
