"""How `charrnn write` lays out a text in rows: wrapped at words, with wide characters, escapes for
control characters, and the continuation behind the cursor.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from charrnn.cli.terminal import escaped

TAB = 4
"""Columns of a tab."""
LINES = 1 << 15
"""Lines whose rows are remembered."""
STYLES = {"y": "", "n": "class:network", "g": "class:ghost", "s": "class:selected"}
"""The style of a character by its mark: yours, the network's, of the continuation, selected."""


class Rows(NamedTuple):
    """A line of the text in rows: what to show, and the row and column of every place in it, from
    before its first character to after its last.
    """

    shown: list[StyleAndTextTuples]
    places: list[tuple[int, int]]

    def nearest(self, row: int, column: int) -> int:
        """The place in a row that is nearest to a column."""
        here = [n for n, (r, _) in enumerate(self.places) if r == row]
        if not here:  # a row of the continuation only
            return max(n for n, (r, _) in enumerate(self.places) if r <= row)
        return min(here, key=lambda n: abs(self.places[n][1] - column))


class _Cell(NamedTuple):
    shown: str
    mark: str
    place: int  # in the line, -1 in the continuation
    width: int


@lru_cache(LINES)
def rows_of(line: str, marks: str, width: int, ghost: str = "", at: int = 0) -> Rows:
    """A line without its newline, and the mark of each character (`STYLES`), in rows of less than
    `width` columns; the continuation `ghost` is shown before place `at`.
    """
    cells = [
        *_cells(line[:at], marks[:at], 0),
        *_cells(ghost, "g" * len(ghost), None),
        *_cells(line[at:], marks[at:], at),
    ]
    wrapped = _wrapped(cells, max(2, width) - 1)
    places = [(0, 0)] * (len(line) + 1)
    cursor = None
    for row, own in enumerate(wrapped):
        column = 0
        for cell in own:
            if cell.place >= 0:
                places[cell.place] = row, column
            elif cursor is None:
                cursor = row, column
            column += cell.width
        end = row, column
    places[len(line)] = end
    if cursor is not None:
        places[at] = cursor
    return Rows([_fragments(own) for own in wrapped], places)


def _cells(text: str, marks: str, first: int | None) -> Iterator[_Cell]:
    for n, (ch, mark) in enumerate(zip(text, marks, strict=True)):
        shown, place = " " * TAB if ch == "\t" else escaped(ch), -1 if first is None else first + n
        yield _Cell(shown, mark, place, 0 if ch == "\n" else get_cwidth(shown))


def _wrapped(cells: list[_Cell], width: int) -> list[list[_Cell]]:
    """The cells in rows of at most `width` columns, cut after spaces where there are any; a space
    may stand in the column after.
    """
    rows: list[list[_Cell]] = [[]]
    column = cut = 0
    for cell in cells:
        if cell.shown == "\n":
            rows[-1].append(cell._replace(shown=""))
            rows.append([])
            column = cut = 0
            continue
        is_space = cell.shown.isspace()
        if column + cell.width > width + is_space and rows[-1]:
            row = rows[-1]
            rest = row[cut:] if cut else []
            del row[len(row) - len(rest) :]
            rows.append(rest)
            column, cut = sum(each.width for each in rest), 0
        rows[-1].append(cell)
        column += cell.width
        if is_space:
            cut = len(rows[-1])
    return rows


def _fragments(cells: list[_Cell]) -> StyleAndTextTuples:
    return [
        (STYLES[mark], "".join(cell.shown for cell in run))
        for mark, run in groupby(cells, key=lambda cell: cell.mark)
    ]
