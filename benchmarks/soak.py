"""Memory over a million steps of a tiny network, with validations, samples and checkpoints: the
resident size must not grow. It takes several minutes; --seconds ends it earlier.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

from benchmarks.tables import Row, table_text
from charrnn import Corpus, ModelConfig, Run, RunFolder, TrainConfig, bundled_corpus, train

STEPS, ROWS = 1_000_000, 20
WARM_UP = 0.1
"""Fraction of the rows from which on memory counts: caches fill, and the history begins."""
ALLOWED = 1024
"""Kilobytes by which it may grow afterwards: the history has an entry for each validation."""


def resident() -> int:
    """Kilobytes of this process in memory (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit("benchmarks.soak reads /proc/self/status, which is missing here")


def soaked(steps: int, seconds: float, threads: int, folder: Path) -> list[Row]:
    """Train; a row for each twentieth of the steps, or of the time if that ends first."""
    corpus = Corpus.read(bundled_corpus())
    config = TrainConfig(
        steps=steps, batch_size=2, seq_length=8, eval_every=10_000, sample_every=50_000
    )
    run = Run.new(corpus, ModelConfig(layers=2, hidden=8, embedding=0), config)
    rows: list[Row] = []
    place = RunFolder(folder)
    place.create({})
    start = time.monotonic()
    with closing(train(run, corpus, folder=place, threads=threads)) as reports:
        for report in islice(reports, 999, None, 1000):
            spent = time.monotonic() - start
            due = max(report.step / steps, spent / seconds) * ROWS
            if due >= len(rows) + 1 or report.ended:
                rows.append({"step": report.step, "seconds": round(spent), "KB": resident()})
            if spent > seconds:
                break
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="an object a line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = soaked(options.steps, options.seconds, options.threads, Path(folder))
    print(table_text(rows, options.json))
    after = [row["KB"] for row in rows[int(len(rows) * WARM_UP) :]]
    growth = after[-1] - after[0]
    print(f"memory grew by {growth:,} KB", file=sys.stderr)
    if growth > ALLOWED:
        sys.exit(f"more than {ALLOWED:,} KB")


if __name__ == "__main__":
    main()
