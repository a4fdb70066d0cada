"""Files of one JSON object per line in a run's folder, such as its history.

They may hold anything: a line cut off by a crash, or what somebody else wrote. What is not an entry
is left out. Loads no kernel.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from charrnn.checkpoint.header import MOST
from charrnn.runtime.files import parse_json, read_regular, write_atomically

HISTORY = "history.jsonl"
"""The file of the validations and fall-backs of a run."""
ADVICE = "advice.jsonl"
"""The file of what was advised while a run was trained."""
MOST_READ = 10**9
"""Bytes of a file that are read: some millions of validations, or 80 million steps."""
NUMBERS = (
    *("epoch", "train_loss", "validation_loss", "learning_rate", "gradient_norm"),
    *("fell_back_from", "lost", "rate_factor", "seconds"),
)

Entry = dict[str, Any]
"""An entry of a run's history, as in JSON: a validation, or a return to an earlier step."""


def has_step(entry: Any) -> bool:
    """True if this is an entry of a history, apart from its numbers."""
    step = entry.get("step") if isinstance(entry, dict) else None
    return type(step) is int and 0 <= step <= MOST


def has_numbers(entry: Entry) -> bool:
    """True if every number that an entry may have is one, and finite, or missing."""
    return all(_is_number(entry.get(name)) for name in NUMBERS)


def _is_number(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and abs(value) < 1e300)


def read_history(folder: Path) -> list[Entry]:
    """The entries of the history in a run's folder, in the order of the file."""
    return [e for e in read_lines(folder / HISTORY) if has_step(e) and has_numbers(e)]


def read_advice(folder: Path) -> list[Entry]:
    """What was advised about the run in a folder: entries with `step`, `kind` and `text`, each in
    one line (`reporting.advice`).
    """
    return [
        entry
        for entry in read_lines(folder / ADVICE)
        if has_step(entry) and all(isinstance(entry.get(name), str) for name in ("kind", "text"))
    ]


def place(entry: Entry) -> tuple[int, float]:
    """A key that increases from entry to entry: the step, and all steps lost so far by going
    back.
    """
    return entry["step"], entry.get("lost") or 0


def seconds_of_entries(entries: Sequence[Entry]) -> float:
    """Training time up to the last of these entries."""
    return max((float(entry.get("seconds") or 0.0) for entry in entries), default=0.0)


def judged_since(best_step: int | None, text_since: int) -> int:
    """The step up to which validations no longer count, because the text has grown since; 0 if all
    count. With a file of its own to validate on, an earlier step may still be the best.
    """
    is_file = best_step is not None and best_step <= text_since
    return 0 if is_file else text_since


def read_lines(path: Path) -> list[Entry]:
    """The JSON objects in a file, one per line; anything else, such as a line cut off by a crash,
    is skipped, and so is what is not a regular file.
    """
    entries = []
    with suppress(OSError):
        for line in read_regular(path, MOST_READ).splitlines():
            with suppress(ValueError):
                entries.append(parse_json(line))
    return [entry for entry in entries if isinstance(entry, dict)]


def write_lines(path: Path, entries: Sequence[Entry]) -> None:
    """Replace a file with these entries; `CheckpointError` if that fails."""
    write_atomically(path, b"".join(map(line_of, entries)))


def line_of(entry: Entry) -> bytes:
    """The line of an entry, in ASCII."""
    return json.dumps(entry).encode() + b"\n"
