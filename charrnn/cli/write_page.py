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
        self._laid_out: tuple[str, str, int] | None = None
        self._plain: list[Rows] = []  # the lines without continuation

    def create_content(self, width: int, height: int, preview_search: bool = False) -> UIContent:
        """The rows, and where the cursor stands."""
        self._width = width
        lines, firsts = self._lines(self._session.ghost)
        row, _, offset = self._place(lines, firsts)

        def get_line(number: int) -> StyleAndTextTuples:
            line = bisect_right(firsts, number) - 1
            return [*lines[line].rows[number - firsts[line]].shown, ("", " ")]  # for the cursor

        return UIContent(get_line, firsts[-1], Point(offset, row))

    def move(self, down: int, column: int | None = None) -> int:
        """Move the cursor this many rows down, and near a column; returns the column that it
        should stay near, by default its own.
        """
        lines, firsts = self._lines("")
        row, own, _ = self._place(lines, firsts)
        column = own if column is None else column
        target = row + down
        document = self.buffer.document
        if target < 0:
            self.buffer.cursor_position = 0
        elif target >= firsts[-1]:
            self.buffer.cursor_position = len(document.text)
        else:
            line = bisect_right(firsts, target) - 1
            place = lines[line].nearest(target - firsts[line], column)
            self.buffer.cursor_position = document.translate_row_col_to_index(line, place)
        return column

    def to_edge(self, is_end: bool) -> None:
        """Move the cursor to the first or the last place of its row."""
        self.move(0, 1 << 20 if is_end else 0)

    def _place(self, lines: list[Rows], firsts: list[int]) -> tuple[int, int, int]:
        """The row, the column and the offset of the cursor (`Rows.place`)."""
        document = self.buffer.document
        line = document.cursor_position_row
        row, column, offset = lines[line].place(document.cursor_position_col)
        return firsts[line] + row, column, offset

    def _lines(self, ghost: str) -> tuple[list[Rows], list[int]]:
        """The rows of every line, and the number of rows before each, and of all."""
        document, marks = self.buffer.document, self._session.manuscript.authors
        if document.selection:
            start, stop = document.selection_range()
            marks = marks[:start] + "s" * (stop - start) + marks[stop:]
        now = document.text, marks, self._width
        if now != self._laid_out:
            self._laid_out, self._plain, place = now, [], 0
            for line in document.lines:
                self._plain.append(rows_of(line, marks[place : place + len(line)], self._width))
                place += len(line) + 1
        lines, at = self._plain, document.cursor_position_col
        if ghost:
            line, place = document.current_line, document.cursor_position - at
            own = marks[place : place + len(line)]
            lines = lines.copy()
            lines[document.cursor_position_row] = rows_of(line, own, self._width, ghost, at)
        return lines, [0, *accumulate(len(each.rows) for each in lines)]
