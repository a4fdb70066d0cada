"""The text of `charrnn write` on the screen: a control of prompt_toolkit, in rows of its own.

prompt_toolkit's `BufferControl` wraps within words, and its suggestions stand behind the last line
only.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Point
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.controls import BufferControl, UIContent

from charrnn.cli.write_rows import Rows, rows_of
from charrnn.generation.cowriter import Cowriter


class Page(BufferControl):
    """Shows a session's text, who wrote it, and the continuation at the buffer's cursor."""

    def __init__(self, session: Cowriter, buffer: Buffer) -> None:
        super().__init__(buffer, include_default_input_processors=False)
        self._session, self._width = session, 80

    def create_content(self, width: int, height: int, preview_search: bool = False) -> UIContent:
        """The rows, and where the cursor stands."""
        self._width = width
        rows, firsts = self._rows(self._session.ghost)
        shown: list[StyleAndTextTuples] = [row for line in rows for row in line.shown]
        row, column = self._place(rows, firsts)
        return UIContent(shown.__getitem__, len(shown), Point(column, row))

    def move(self, down: int, column: int | None = None) -> int:
        """Move the cursor this many rows down, and near a column; returns the column that it
        should stay near, by default its own.
        """
        rows, firsts = self._rows("")
        row, own = self._place(rows, firsts)
        column = own if column is None else column
        target = row + down
        document = self.buffer.document
        if target < 0:
            self.buffer.cursor_position = 0
        elif target >= firsts[-1]:
            self.buffer.cursor_position = len(document.text)
        else:
            line = bisect_right(firsts, target) - 1
            place = rows[line].nearest(target - firsts[line], column)
            self.buffer.cursor_position = document.translate_row_col_to_index(line, place)
        return column

    def to_edge(self, is_end: bool) -> None:
        """Move the cursor to the first or the last place of its row."""
        self.move(0, 1 << 20 if is_end else 0)

    def _place(self, rows: list[Rows], firsts: list[int]) -> tuple[int, int]:
        """The row and column of the cursor."""
        document = self.buffer.document
        line = document.cursor_position_row
        row, column = rows[line].places[document.cursor_position_col]
        return firsts[line] + row, column

    def _rows(self, ghost: str) -> tuple[list[Rows], list[int]]:
        """The rows of every line, and the number of rows before each, and of all."""
        document, authors = self.buffer.document, self._session.manuscript.authors
        cursor_line, at, place = document.cursor_position_row, document.cursor_position_col, 0
        selected = document.selection_range() if document.selection else None
        rows = []
        for number, line in enumerate(document.lines):
            marks = authors[place : place + len(line)]
            if selected is not None:
                marks = _with_selection(marks, place, *selected)
            shown = (ghost, at) if number == cursor_line else ("", 0)
            rows.append(rows_of(line, marks, self._width, *shown))
            place += len(line) + 1
        return rows, [0, *accumulate(len(each.shown) for each in rows)]


def _with_selection(marks: str, place: int, start: int, stop: int) -> str:
    """The marks of a line that begins at this place, with what is selected of it."""
    first, last = (min(max(0, edge - place), len(marks)) for edge in (start, stop))
    return marks[:first] + "s" * (last - first) + marks[last:]
