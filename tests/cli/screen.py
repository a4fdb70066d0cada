"""A terminal for tests: what was written to it, and the lines that it would show."""

import io
import os
import re

FD = 2
CODE = "\x1b\\[[?0-9;]*[A-Za-z]"


class Screen(io.StringIO):
    """A stream that says it is a terminal of so many columns."""

    def __init__(self, monkeypatch, columns=80, name="stderr"):
        super().__init__()
        self.columns = columns
        monkeypatch.setattr(
            os, "get_terminal_size", lambda *_: os.terminal_size((self.columns, 24))
        )
        monkeypatch.setattr(f"sys.{name}", self)

    def isatty(self):
        return True

    def fileno(self):
        return FD

    def lines(self):
        """The lines shown in the end, without colors, as if the window had no width."""
        lines, row, column = [""], 0, 0
        for part in re.split(f"(\r|\n|{CODE})", self.getvalue()):
            if part == "\r":
                column = 0
            elif part == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif re.fullmatch("\x1b\\[[0-9]*A", part):
                row = max(0, row - int(part[2:-1] or 1))
            elif part == "\x1b[K":
                lines[row] = lines[row][:column]
            elif part == "\x1b[J":
                lines[row:] = [lines[row][:column]]
            elif not part.startswith("\x1b"):
                lines[row] = lines[row][:column] + part + lines[row][column + len(part) :]
                column += len(part)
        return lines

    def widest(self):
        """Columns of the widest line, of those that were overwritten too."""
        plain = re.sub(CODE, "", self.getvalue())
        return max(map(len, re.split("[\r\n]", plain)))
