"""A real terminal for tests: a program in a pseudo-terminal, and the screen that it draws."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pyte

import charrnn

SECONDS = 120
"""The first test on a machine compiles the kernels."""


class Terminal:
    """`charrnn` with these arguments, its screen, and all that it wrote (`raw`)."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        columns: int = 80,
        rows: int = 24,
        **environment: str,
    ) -> None:
        self.raw = ""
        source = str(Path(charrnn.__file__).parents[1])
        own = {**os.environ, "PYTHONPATH": source, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        own.pop("NO_COLOR", None)
        self.process = pexpect.spawn(
            sys.executable,
            ["-m", "charrnn", *arguments],
            cwd=str(folder),
            env=own | environment,
            dimensions=(rows, columns),
            encoding="utf-8",
        )
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self.screen)

    @property
    def lines(self) -> list[str]:
        """What the screen shows, without spaces at the ends of lines."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """What it shows above the two lines at the bottom, without empty lines at the end."""
        return "\n".join(self.lines[:-2]).rstrip("\n")

    @property
    def cursor(self) -> tuple[int, int]:
        """Its row and column."""
        return self.screen.cursor.y, self.screen.cursor.x

    def styles(self, row: int, style: str) -> str:
        """A row's characters that have a style: "underscore", "italics", or a color."""
        cells = self.screen.buffer[row]
        return "".join(
            cells[x].data
            for x in range(self.screen.columns)
            if getattr(cells[x], style, False) is True or cells[x].fg == style
        )

    def type(self, keys: str) -> None:
        """Press keys."""
        self.process.send(keys)

    def start(self) -> None:
        """Wait until the program shows its keys: what is typed before is shown then."""
        self.until(lambda: self.lines[-1].startswith("Tab"))

    def resize(self, columns: int, rows: int = 24) -> None:
        """Give the terminal another size. Its lines are not folded, as in xterm. If there are fewer
        rows, it loses those below the cursor first.
        """
        self.process.setwinsize(rows, columns)
        y, x = self.cursor
        lost = self.screen.lines - rows
        above = max(0, y - rows + 1)
        if lost > 0:  # pyte drops the first rows
            self.screen.cursor_position(1, 1)
            self.screen.insert_lines(lost - above)
        self.screen.resize(rows, columns)
        self.screen.cursor_position(y - above + 1, min(x, columns - 1) + 1)

    def hang_up(self) -> int:
        """Close the terminal; returns the exit status of the process."""
        self.process.ptyproc.fileobj.close()
        status = self.process.wait()
        self.process.closed = self.process.ptyproc.closed = True
        return int(status)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until the screen is so."""
        end = time.monotonic() + SECONDS
        while not is_so():
            assert time.monotonic() < end, "\n".join(self.lines)
            self._read()

    def until_text(self, text: str) -> None:
        """Wait until the screen shows this above the lines at the bottom, apart from spaces at the
        ends of lines.
        """
        text = "\n".join(line.rstrip() for line in text.split("\n")).rstrip("\n")
        end = time.monotonic() + SECONDS
        while self.text != text:
            assert time.monotonic() < end, f"{self.text!r} instead of {text!r}"
            self._read()

    def _read(self) -> None:
        try:
            self._feed(0.02)
        except pexpect.TIMEOUT:
            pass
        except pexpect.EOF:
            raise AssertionError("it has ended:\n" + "\n".join(self.lines)) from None

    def _feed(self, seconds: float) -> None:
        text = self.process.read_nonblocking(1 << 16, seconds)
        self.raw += text
        self._stream.feed(text)

    def end(self) -> int:
        """Wait for the end of the process; returns its exit status, or minus the signal."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                self._feed(0.1)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                break
        self.process.close()
        status, number = self.process.exitstatus, self.process.signalstatus
        return -(number or 0) if status is None else status


@contextmanager
def terminal(
    arguments: Sequence[str], folder: Path, columns: int = 80, **environment: str
) -> Iterator[Terminal]:
    """A terminal whose process is gone in the end."""
    made = Terminal(arguments, folder, columns, **environment)
    try:
        yield made
    finally:
        made.process.close(force=True)
