"""What people see: lines on stderr, progress, and generated text made safe for a terminal.

Results go to stdout, everything else to stderr. Only the command line prints. rich and tqdm are
imported only when needed, so that `charrnn --help` is quick.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import textwrap
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from charrnn.errors import LONGEST, shortened

try:
    import termios
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from rich.console import Console


COMMAND = ": charrnn "
"""What a message says before the command that it ends with."""
UNWATCHED = 1000
"""Columns if the output is not a terminal: nothing is left out or wrapped."""
LINE = LONGEST + 100
"""Most characters of a line: a message of the library and a few words more."""
READING_SHOWN_AFTER = 1.0
"""Seconds before a progress bar appears."""

# C0 except tab and newline, DEL, C1; bidirectional marks; line separators; surrogates
_HARMFUL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


PARAMETER = re.compile("`([a-z][a-z0-9_]*)`")
"""A parameter in backticks in one of the library's messages or help texts."""


def is_terminal(stream: TextIO) -> bool:
    """True when a person reads the stream."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def is_joined() -> bool:
    """True when stdout and stderr go to the same pipe or file, as after 2>&1."""
    try:
        return os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):
        return False


def has_color(stream: TextIO) -> bool:
    """True when the stream can show styles: it is a terminal, and NO_COLOR is not set."""
    return (
        is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def width_of(stream: TextIO) -> int:
    """Columns of the terminal; many if the stream is not one."""
    if not is_terminal(stream):
        return UNWATCHED
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def cells(text: str) -> int:
    """Columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(ch) in "WF" for ch in text)
    return len(text) + wide - sum(unicodedata.combining(ch) > 0 for ch in text)


def wrapped(text: str, columns: int) -> str:
    """The text with newlines instead of spaces where a line would be wider than this. A word that
    is wider than a line stays whole. So does a command after a colon, for the terminal to fold: of
    two lines that are copied, a shell would run the first alone.
    """
    lines = []
    for line in text.split("\n"):
        before, colon, command = line.partition(COMMAND)
        row, *words = f"{before}{colon[:1]}".split(" ")
        words += [f"{colon[2:]}{command}"] if colon else []
        for word in words:
            if cells(row) + 1 + cells(word) <= columns:
                row = f"{row} {word}"
            else:
                lines.append(row)
                row = word
        lines.append(row)
    return "\n".join(lines)


def folded(line: str, columns: int) -> list[str]:
    """The pieces of a line without control characters: broken at spaces, and in words that are
    wider than this.
    """
    # a second character stands for the second column of a wide one
    spread = "".join(ch + "\0" * (cells(ch) - 1) for ch in line)
    rows = []
    for piece in textwrap.wrap(spread, columns, break_long_words=False):
        row = ""
        for ch in piece.replace("\0", ""):
            if row and cells(row + ch) > columns:
                rows.append(row)
                row = ""
            row += ch
        rows.append(row)
    return rows or [""]


def laid_out(text: str, stream: TextIO) -> str:
    """Lines for people: without control characters, none too long, and wrapped in a terminal."""
    lines = "\n".join(shortened(line, LINE) for line in escaped(text).split("\n"))
    return wrapped(lines, width_of(stream)) if is_terminal(stream) else lines


def escaped(text: str, stream: TextIO | None = None) -> str:
    """The text with control characters and bidirectional marks as visible escapes, if the stream is
    a terminal.

    Newlines and tabs stay. Without a stream the text is always escaped; for a pipe it is unchanged.
    """
    if stream is not None and not is_terminal(stream):
        return text
    return _HARMFUL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(text: str) -> str:
    """The text on one line, with every control character as an escape."""
    return escaped(text).replace("\n", "\\n").replace("\t", "\\t")


def say(text: str) -> None:
    """Print one line or several on stderr (`laid_out`); markup is not interpreted."""
    print(laid_out(text, sys.stderr), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print a result of one line or several on stdout (`laid_out`)."""
    print(laid_out(text, sys.stdout), flush=True)


def print_error(message: str) -> None:
    """Print `error: ` and the message on stderr, as one line unless a terminal is too narrow."""
    say(f"error: {one_line(message)}")


def json_text(value: Any) -> str:
    """A value as JSON on one line. JSON has no NaN and no infinity: they become null."""
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dim(text: str, stream: TextIO) -> str:
    """The text in a fainter color, if the stream has colors."""
    return f"\x1b[2m{text}\x1b[0m" if has_color(stream) else text


def console() -> Console:
    """A rich console on stdout for tables. Pass it `rich.text.Text`, not strings with markup."""
    from rich.console import Console

    # None turns off bold and other styles too
    colors: Any = "auto" if has_color(sys.stdout) else None
    result = Console(
        width=width_of(sys.stdout), highlight=False, markup=False, emoji=False, color_system=colors
    )
    result.on_broken_pipe = _raise_again  # type: ignore[method-assign]  # not rich's exit with 1
    return result


def _raise_again() -> None:
    raise


def size_text(size: float) -> str:
    """A number of bytes for people: 512 bytes, 1.5 MB (10^6)."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= scale:
            return f"{size / scale:.{0 if size >= 100 * scale else 1}f} {unit}"
    return f"{size:.0f} bytes"


def duration_text(seconds: float) -> str:
    """A time for people: 45 s, 12 min, 3 h 20 min, 4 days."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours < 48 else f"{round(hours / 24)} days"


def passes_text(passes: float) -> str:
    """How often a text is read, for people: 39.7 passes over the text."""
    if passes < 0.05:
        return "less than a tenth of a pass over the text"
    return f"{passes:,.1f} passes over the text"


def loss_text(nats: float | None, noun: str = "character") -> str:
    """A loss in both units: 1.6275 nats, 2.3480 bits per character."""
    return "none" if nats is None else f"{nats:.4f} nats, {nats / math.log(2):.4f} bits per {noun}"


def new_bar(total: float | None, **options: Any) -> Any:
    """A progress bar on stderr, as wide as the terminal, that disappears when closed."""
    from charrnn.cli.progress_bar import ProgressBar

    ProgressBar.monitor_interval = 0  # no thread that looks after bars; miniters does
    options = {"miniters": 1, **options}
    return ProgressBar(total=total, file=sys.stderr, leave=False, **options)


@contextmanager
def progress_bar(
    label: str, *, unit: str = "B", quiet: bool = False
) -> Iterator[Callable[[int, int | None], None]]:
    """Yields the library's `progress(done, total)` callback (total None if unknown), shown as a bar
    on stderr. The bar appears after a second, only on a terminal, and disappears at the end of the
    block.
    """
    bar: Any = None
    is_shown, start = not quiet and is_terminal(sys.stderr), time.monotonic()

    def show(done: int, total: int | None) -> None:
        nonlocal bar
        if bar is None and is_shown and time.monotonic() - start >= READING_SHOWN_AFTER:
            bar = new_bar(total, desc=label, initial=done, unit=unit, unit_scale=True)
        if bar is not None:
            bar.total = total
            bar.update(done - bar.n)

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def announced(text: str) -> Iterator[None]:
    """Print a line on stderr if the block takes more than a second."""
    timer = threading.Timer(READING_SHOWN_AFTER, say, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def without_echo() -> Iterator[None]:
    """In the block the terminal does not show the keys that are pressed, which stay to be read."""
    if termios is None or not is_terminal(sys.stdin):
        yield
        return
    before: list[Any] | None = None
    try:
        with suppress(termios.error):  # the terminal is gone
            before = termios.tcgetattr(sys.stdin)
            silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
            termios.tcsetattr(sys.stdin, termios.TCSANOW, silent)
        yield
    finally:
        if before is not None:
            with suppress(termios.error, ValueError):
                termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


def settings_text(values: Mapping[str, Any]) -> str:
    """Settings and their values in one line, without those that are None and without the record of
    the pace, which is long.
    """
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
        if value is not None and name != "pace"
    )
