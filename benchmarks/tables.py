"""What the programs of this folder share: how their rows are shown, and how a program's time and
memory are taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
Row = dict[str, Any]


def table_text(rows: Sequence[Row], as_json: bool) -> str:
    """The rows as JSON, an object a line, or as a Markdown table."""
    return "\n".join(json.dumps(row) for row in rows) if as_json else markdown(rows)


def markdown(rows: Sequence[Row]) -> str:
    """A table whose columns are the keys of all rows; numbers on the right."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric = [all(isinstance(row.get(name, 0), int | float) for row in rows) for name in names]
    lines = [names, ["---:" if number else "---" for number in numeric]]
    lines += [[_cell(row.get(name, "")) for name in names] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def environment(**others: str) -> dict[str, str]:
    """This process's environment, where `charrnn` is the one beside this folder."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **others}


def program(*arguments: object) -> list[str]:
    """The command line of `charrnn` with these arguments."""
    return [sys.executable, "-m", "charrnn", *map(str, arguments)]


def timed(command: Sequence[str], until_output: bool = False, **variables: str) -> float:
    """Seconds from a process's start to its end, or to the first byte of its standard output."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(**variables)
    ) as process:
        assert process.stdout is not None
        seconds = 0.0
        if until_output:
            process.stdout.read(1)
            seconds = time.perf_counter() - start
        process.stdout.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)}: ended with status {process.returncode}")
    return seconds if until_output else time.perf_counter() - start


def peak_memory(command: Sequence[str], text: str = "") -> float:
    """The largest resident memory of a process, in 10^6 bytes. It cannot be less than this
    process's own.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    assert process.stdin is not None
    process.stdin.write(text.encode())
    process.stdin.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: ended with status {process.returncode}")
    return usage.ru_maxrss / 1e6 if sys.platform == "darwin" else usage.ru_maxrss * 1024 / 1e6
