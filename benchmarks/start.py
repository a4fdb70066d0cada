"""How long one waits: for the help, for a sample's first character, for training's first step, and
for compiling, once.

All but the last with kernels in the cache; wall time of whole processes, medians. Compiling is on
an empty cache, with one step of training on the text that ships, and its own part is what that
takes longer than with a full one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.tables import Row, program, table_text, timed

TRIES = 7


def rows(tries: int = TRIES, compiles: bool = True) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        taken = iter(range(1000))

        def train() -> list[str]:
            out = Path(folder, f"run-{next(taken)}")
            return program(
                "train", "--steps", 1, "--hidden", 128, "--out", out, "--sample-every", 0
            )

        timed(train())  # fills the cache
        sample = program("sample", Path(folder, "run-0"), "--length", 1, "--seed", 1)
        timed(sample)
        waits = {
            "charrnn --help": [timed(program("--help")) for _ in range(tries)],
            "charrnn sample, first character": [
                timed(sample, until_output=True) for _ in range(tries)
            ],
            "charrnn train --steps 1, all of it": [timed(train()) for _ in range(tries)],
        }
        result = [
            {
                "what": what,
                "seconds": round(statistics.median(times), 3),
                "least": round(min(times), 3),
            }
            for what, times in waits.items()
        ]
        if compiles:
            empty = Path(folder, "cache")
            first = timed(train(), CHARRNN_CACHE_DIR=str(empty))
            again = timed(train(), CHARRNN_CACHE_DIR=str(empty))
            result.append(
                {"what": "charrnn train --steps 1 on an empty cache", "seconds": round(first, 3)}
            )
            result.append({"what": "of that, compiling", "seconds": round(first - again, 3)})
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=TRIES)
    parser.add_argument("--no-compiling", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print(table_text(rows(options.tries, not options.no_compiling), options.json))


if __name__ == "__main__":
    main()
