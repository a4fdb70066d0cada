"""Names of files and folders in commands that people copy."""

import os
import re
import shlex
from collections.abc import Iterable

QUOTES = b"'\\"
ODD = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\udc80-\udcff]")
"""What a terminal would not show as it is: control characters, marks of direction, line separators
and bytes that are not UTF-8.
"""


def argument(path: str | os.PathLike[str]) -> str:
    """A path, or - for standard input, as a word of a command that is not taken for a flag."""
    name = str(path)
    return f"./{name}" if name.startswith("-") and name != "-" else name


def quoted(path: str | os.PathLike[str]) -> str:
    """The same in a line for a shell."""
    return _word(argument(path))


def joined(words: Iterable[str]) -> str:
    """The words of a command in a line for a shell."""
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    """A word for a shell; one that a terminal would not show as it is needs bash or zsh."""
    if not ODD.search(text):
        return shlex.quote(text)
    data = text.encode("utf-8", "surrogateescape")
    characters = [
        chr(b) if 32 <= b < 127 and b not in QUOTES else "\\" + format(b, "03o") for b in data
    ]
    return "$'" + "".join(characters) + "'"
