"""How `charrnn write` lays out a text in rows: wrapped at words, with wide characters, escapes for
control characters, and the continuation behind the cursor.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate, groupby
from typing import NamedTuple

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from charrnn.cli.terminal import escaped

TAB = 4
"""Columns of a tab."""
REMEMBERED = 1 << 15
"""Lines, and rows, that need not be laid out again."""
STYLES = {"y": "", "n": "class:network", "g": "class:ghost", "s": "class:selected"}
"""The style of a character by its mark: yours, the network's, of the continuation, selected."""


class Row(NamedTuple):
    """A row of characters: what to show; the column of each, and of what follows the last; and
    likewise how many characters are shown before it, which escapes make more, wide ones fewer.
    """

    shown: StyleAndTextTuples
    columns: tuple[int, ...]
    offsets: tuple[int, ...]


class Rows(NamedTuple):
    """A line in rows, the first of each row's characters, and where the continuation is in it."""

    rows: list[Row]
    firsts: list[int]
    at: int
    ghost: int

    def place(self, n: int) -> tuple[int, int, int]:
        """The row, the column and the offset of the line's n-th character, or of what follows the
        last one. The cursor at the continuation stands before that.
        """
        n += self.ghost if n > self.at else 0
        row = bisect_right(self.firsts, n) - 1
        own, n = self.rows[row], n - self.firsts[row]
        return row, own.columns[n], own.offsets[n]

    def nearest(self, row: int, column: int) -> int:
        """The character in a row that is nearest to a column, in a line without continuation."""
        columns = self.rows[row].columns
        last = len(columns) - (1 if row + 1 < len(self.rows) else 0)  # the next row has it
        here = range(max(1, last))
        return self.firsts[row] + min(here, key=lambda n: abs(columns[n] - column))


@lru_cache(REMEMBERED)
def rows_of(line: str, marks: str, width: int, ghost: str = "", at: int = 0) -> Rows:
    """A line without its newline, and the mark of each character (`STYLES`), in rows of less than
    `width` columns; the continuation `ghost` stands before character `at`.
    """
    text = line[:at] + ghost + line[at:]
    marks = marks[:at] + "g" * len(ghost) + marks[at:]
    most = 4 * width  # characters of a row: some have no width
    rows, firsts, first = list[Row](), list[int](), 0
    while True:
        row = _row(text[first : first + most], marks[first : first + most], max(2, width) - 1)
        rows.append(row)
        firsts.append(first)
        taken = len(row.columns) - 1
        first += taken
        if first == len(text) and (taken == 0 or text[-1] != "\n"):
            return Rows(rows, firsts, at, len(ghost))


@lru_cache(REMEMBERED)
def _row(text: str, marks: str, width: int) -> Row:
    """The first row of a text, of at most `width` columns: up to a newline, or cut after a space if
    there is one. A space between words may stand in the column after the last.
    """
    shown, columns, cut = list[str](), [0], 0
    for n, ch in enumerate(text):
        shown.append(_shown(ch))
        wide = get_cwidth(shown[-1])
        may_hang = ch.isspace() and ch != "\n" and n + 1 < len(text)
        if columns[-1] + wide > width + may_hang and n > 0:
            end = cut or n
            break
        columns.append(columns[-1] + wide)
        if ch.isspace():
            cut = n + 1
        if ch == "\n":
            end = n + 1
            break
    else:
        end = len(text)
    runs = groupby(range(end), key=marks.__getitem__)
    fragments = [(STYLES[mark], "".join(shown[n] for n in run)) for mark, run in runs]
    offsets = accumulate(map(len, shown[:end]), initial=0)
    return Row([*fragments], tuple(columns[: end + 1]), tuple(offsets))


def _shown(ch: str) -> str:
    return "" if ch == "\n" else " " * TAB if ch == "\t" else escaped(ch)
