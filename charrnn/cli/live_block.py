"""Lines at the bottom of a terminal that are drawn again in place, with messages above them.

The cursor stays at the end of the last line. No other program does this as training needs it: a
drawing with rich's `Live` takes several milliseconds, twice a second, and leaves pieces of the old
lines in a window that has become narrower.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from charrnn.cli.terminal import cells, has_color, is_terminal, laid_out

REFRESH = 0.5
"""Seconds between two drawings, at least."""
SHARE = 0.004
"""Share of the time that drawing may take, at most."""
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
"""A line that is wider than `cells` says is cut off instead of becoming two."""
_STYLE = re.compile("\x1b\\[[0-9;]*m")


@dataclass(frozen=True)
class Looks:
    """What a terminal can show: colors, and characters beyond ASCII such as braille."""

    has_color: bool = False
    has_dots: bool = True

    @classmethod
    def of(cls, stream: TextIO) -> Looks:
        """Those of a stream."""
        try:
            "⣿━•".encode(getattr(stream, "encoding", None) or "utf-8")
            has_dots = os.environ.get("TERM") != "linux"  # the console's font has no braille
        except (LookupError, UnicodeEncodeError):
            has_dots = False
        return cls(has_color(stream), has_dots)

    def styled(self, text: str, style: str) -> str:
        """The text in a style, such as "2" (faint) or "36" (cyan), if there are colors."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.has_color and text else text


class LiveBlock:
    """Lines at the bottom of a terminal. It shows nothing if `quiet`; if the stream is no terminal
    in which a cursor moves, only messages are printed.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.is_live = not quiet and is_terminal(stream) and _moves_its_cursor()
        self.looks = Looks.of(stream)
        self._stream = stream
        self._lines: list[str] = []
        self._columns = 0
        self._next = 0.0
        self.is_drawing = False
        """True in the middle of a drawing, which a signal may interrupt."""

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        return columns or 80, rows or 24

    @property
    def is_due(self) -> bool:
        """True if it is time to draw again."""
        return self.is_live and time.monotonic() >= self._next

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lines that are shown by these, of fewer columns than the terminal has."""
        if self.is_live:
            start = time.monotonic()
            self._write("", lines)
            end = time.monotonic()
            self._next = end + max(REFRESH, (end - start) / SHARE)

    def say(self, text: str) -> None:
        """Print lines for people above the block."""
        if self.is_live:
            self._write(laid_out(text, self._stream) + "\n", self._lines)
        elif not self.quiet:
            print(laid_out(text, self._stream), file=self._stream, flush=True)

    def leave(self, lines: Sequence[str]) -> None:
        """Print lines, which stay, instead of the block."""
        if self.is_live:
            self._write("".join(f"{line}\n" for line in lines), [])

    def close(self) -> None:
        """Remove the block."""
        if self._lines:
            self._write("", [])

    def _write(self, above: str, lines: Sequence[str]) -> None:
        up = self._rows_above_cursor()
        start = "\r" + (f"\x1b[{up}A" if up else "")
        shown = "\x1b[K\n".join([*above.split("\n")[:-1], ""]) + NO_WRAP
        shown += "\x1b[K\n".join(lines) + "\x1b[J" + WRAP
        self.is_drawing = True
        self._lines, self._columns = list(lines), self.size[0]
        try:
            self._stream.write(start + shown)
            self._stream.flush()
        finally:
            self.is_drawing = False

    def _rows_above_cursor(self) -> int:
        """Rows of the block above the cursor. A terminal that has become narrower has folded its
        lines.
        """
        columns, height = self.size
        widths = [min(cells(_STYLE.sub("", line)), self._columns) for line in self._lines]
        return min(height, max(1, sum(max(1, -(-width // columns)) for width in widths))) - 1


def _moves_its_cursor() -> bool:
    if os.environ.get("TERM") == "dumb":
        return False
    return os.name == "posix" or "WT_SESSION" in os.environ  # Windows Terminal
