"""Lines at the bottom of a terminal that are drawn again in place, with messages above them.

The cursor stays at the start of the last line, where ^C and what is typed do no harm. rich's `Live`
takes ten times as long to draw, and leaves pieces of the old lines in a window that has become
narrower.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

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
    """Lines at the bottom of a terminal, with a faint one, the foot, below them. It shows nothing
    if `quiet`; if the stream is no terminal in which a cursor moves, only messages are printed.

    It must be closed. After Ctrl-Z and `fg` it is drawn again below what the shell has printed.
    """

    def __init__(self, stream: TextIO, *, quiet: bool = False, foot: str = "") -> None:
        self.quiet, self._foot = quiet, foot
        self.is_live = not quiet and is_terminal(stream) and _moves_its_cursor()
        self.looks = Looks.of(stream)
        self._stream = stream
        self._lines: list[str] = []
        self._shown: list[str] = []
        self._before: Any = None
        self._columns = 0
        self._next = 0.0
        self._is_drawing, self._is_open = False, True
        if self.is_live and hasattr(signal, "SIGCONT"):
            self._before = signal.signal(signal.SIGCONT, lambda *_: self._shown.clear())

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        return columns or 80, rows or 24

    def refresh(self, lines: Callable[[int, int], Sequence[str]]) -> None:
        """If it is time to, draw the lines that this function returns. It is called with the
        columns of the terminal, which no line may fill, and the rows.
        """
        start = time.monotonic()
        if self.is_live and start >= self._next:
            columns, rows = self.size
            self.draw(lines(columns, rows - 2))
            end = time.monotonic()
            self._next = end + max(REFRESH, (end - start) / SHARE)

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lines that are shown by these."""
        if self.is_live:
            self._write("", lines)

    def say(self, text: str) -> None:
        """Print lines for people above the block."""
        if self.is_live:
            self._write(laid_out(text, self._stream) + "\n", self._lines)
        elif not self.quiet:
            print(laid_out(text, self._stream), file=self._stream, flush=True)

    def set_foot(self, text: str) -> None:
        """Show another foot from now on. A signal's handler may call this at any moment."""
        self._foot = text
        if self.is_live and self._is_open and not self._is_drawing:
            self._write("", self._lines)

    def leave(self, lines: Sequence[str]) -> None:
        """Print lines, which stay, instead of the block."""
        if self.is_live:
            self._foot = ""
            self._write("".join(f"{line}\n" for line in lines), [])

    def clear(self) -> None:
        """Remove the block until it is drawn again."""
        if self._shown:
            foot, self._foot = self._foot, ""
            self._write("", [])
            self._foot = foot

    def close(self) -> None:
        """Remove the block."""
        self.clear()
        self._is_open = False
        if self._before is not None:
            signal.signal(signal.SIGCONT, self._before)
            self._before = None

    def _write(self, above: str, lines: Sequence[str]) -> None:
        self._is_drawing = True
        up, foot = self._rows_above_cursor(), self._foot
        self._lines, self._columns = list(lines), self.size[0]
        self._shown = [*lines, *([self.looks.styled(foot, "2")] if foot else [])]
        start = "\r" + (f"\x1b[{up}A" if up else "")
        text = "\x1b[K\n".join([*above.split("\n")[:-1], ""]) + NO_WRAP
        text += "\x1b[K\n".join(self._shown) + "\x1b[J\r" + WRAP
        try:
            self._stream.write(start + text)
            self._stream.flush()
        finally:
            self._is_drawing = False
        if foot != self._foot:  # a signal has changed it meanwhile
            self._write("", lines)

    def _rows_above_cursor(self) -> int:
        """Rows of the block above the cursor. A terminal that has become narrower has folded its
        lines.
        """
        columns, height = self.size
        widths = [min(cells(_STYLE.sub("", line)), self._columns) for line in self._shown[:-1]]
        return min(height - 1, sum(max(1, -(-width // columns)) for width in widths))


def _moves_its_cursor() -> bool:
    if os.environ.get("TERM") == "dumb":
        return False
    return os.name == "posix" or "WT_SESSION" in os.environ  # Windows Terminal
