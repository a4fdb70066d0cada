"""What the picture of `charrnn train` costs: the same run with it and with --quiet, in turn.

Each run is a process of its own that trains 2 x 128 units on the bundled plays on one thread. Its
time is that of the processor, without start and reading of the text, which a run of one step takes
as well: other programs on the machine disturb it little.

    python -m benchmarks.display --pairs 7
"""

from __future__ import annotations

import argparse
import os
import pty
import statistics
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks.overhead import read_away
from benchmarks.tables import Row, table_text

NETWORK = ("--hidden", "128", "--layers", "2", "--threads", "1")


def cpu_seconds(steps: int, *flags: str) -> float:
    """Processor time of a run, with a terminal of 80 columns as its standard error."""
    ours, its = pty.openpty()
    reader = threading.Thread(target=read_away, args=(ours,), daemon=True)
    reader.start()
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder, "run"))
        arguments = ["train", *NETWORK, "--steps", str(steps), "--out", out, *flags]
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "charrnn", *arguments],
            {**os.environ, "TERM": "xterm-256color"},
            file_actions=[(os.POSIX_SPAWN_DUP2, its, 2)],
        )
        _, status, usage = os.wait4(process, 0)
    os.close(its)
    reader.join(1)
    assert status == 0
    return usage.ru_utime + usage.ru_stime


def rows(pairs: int, steps: int) -> list[Row]:
    cpu_seconds(1)  # compiles what is not compiled yet
    start = statistics.median(cpu_seconds(1, "--quiet") for _ in range(3))
    ratios = list[float]()
    for pair in range(pairs):
        order = ((), ("--quiet",)) if pair % 2 else (("--quiet",), ())
        seconds = {flags: cpu_seconds(steps, *flags) - start for flags in order}
        ratios.append(seconds[()] / seconds["--quiet",] - 1)
    median = statistics.median(ratios)
    return [
        {"pair": f"{pair}", "the picture takes": f"{ratio:.2%}"}
        for pair, ratio in (*enumerate(ratios, 1), ("median", median))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print(table_text(rows(options.pairs, options.steps), options.json))


if __name__ == "__main__":
    main()
