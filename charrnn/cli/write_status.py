"""The two lines at the bottom of `charrnn write`: the file and the state; and the keys."""

from __future__ import annotations

from prompt_toolkit.formatted_text import StyleAndTextTuples

from charrnn.cli.terminal import cells, one_line
from charrnn.cli.write_saving import Saver
from charrnn.generation.cowriter import Cowriter

KEYS = (
    ("Tab", "word"),
    ("^L", "line"),
    ("^N", "next"),
    ("^Z", "undo"),
    ("^Q", "quit"),
    ("^R", "retake"),
    ("^T^G", "temp"),
    ("^O", "words"),
    ("^P", "previous"),
    ("^Y", "redo"),
)
"""Keys and what they do, the most useful first: those are shown that fit."""


def status_line(session: Cowriter, saver: Saver, message: str, width: int) -> StyleAndTextTuples:
    """The file, a message or the take, and if they fit, the temperature and the network's part."""
    take = f"take {session.request.take}" + (", known words" if session.only_known else "")
    name, most = one_line(saver.file.path.name), max(8, width // 2)
    parts = [
        (name if cells(name) <= most else f"...{name[3 - most :]}") + "*" * saver.is_dirty,
        saver.file.note or message or take,
        f"temp {session.config.temperature:g}",
        f"{session.manuscript.share:.0%} network",
    ]
    while len(parts) > 2 and cells("  ".join(parts)) > width - 2:
        parts.pop()
    line = " " + "  ".join(parts)
    return [("", line + " " * max(0, width - cells(line)))]


def key_line(width: int) -> StyleAndTextTuples:
    """As many keys as fit into one row."""
    shown: StyleAndTextTuples = []
    used, space = 0, " " if width < 60 else "  "
    for key, what in KEYS:
        used += len(key) + len(what) + 1
        if used > width:
            break
        used += len(space)
        shown += [("bold", key), ("", f" {what}{space}")]
    return shown
