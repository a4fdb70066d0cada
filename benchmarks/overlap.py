"""How long `charrnn overlap` takes, and how much memory; and what `--max-copy` costs.

The corpus has 100 MB of random words from the plays that ship, 12 in a line, so that nothing in it
repeats for long. The text has 1 MB of the same kind, with 200 passages of the corpus in it; in the
hard cases it is a piece of the corpus, or one letter, as the corpus then is. Wall time and peak
memory of whole processes: first without the corpus in the cache, then with it (the median of
`--tries`).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.tables import ROOT, Row, environment, peak_memory, program, table_text, timed

SIZE, TEXT_SIZE, PASSAGES = 100_000_000, 1_000_000, 200


def generate(folder: Path) -> None:
    """Write the corpora and the texts."""
    rng = np.random.default_rng(0)
    words = np.array((ROOT / "data" / "plays.txt").read_text(encoding="utf-8").split())

    def prose(size: int) -> str:
        lines = rng.choice(words, (size // 60, 12)).tolist()
        return "\n".join(map(" ".join, lines))[:size]

    corpus, text = prose(SIZE + SIZE // 4)[:SIZE], prose(TEXT_SIZE * 2)[:TEXT_SIZE]
    for place in rng.integers(0, TEXT_SIZE, PASSAGES).tolist():
        start, size = int(rng.integers(0, len(corpus) - 600)), int(rng.integers(30, 600))
        text = text[:place] + corpus[start : start + size] + text[place + size :]
    (folder / "corpus.txt").write_text(corpus, encoding="utf-8")
    (folder / "text.txt").write_text(text, encoding="utf-8")
    (folder / "piece.txt").write_text(corpus[SIZE // 2 :][:TEXT_SIZE], encoding="utf-8")
    (folder / "a.txt").write_text("a" * SIZE + "\n", encoding="utf-8")
    (folder / "short-a.txt").write_text("a" * TEXT_SIZE, encoding="utf-8")


CASES = {
    "200 passages": ("text.txt", "corpus.txt"),
    "200 passages, folded": ("text.txt", "corpus.txt", "--folded"),
    "200 passages, at least 12": ("text.txt", "corpus.txt", "--at-least", "12"),
    "a piece of the corpus": ("piece.txt", "corpus.txt"),
    "one letter": ("short-a.txt", "a.txt"),
}


def rows(folder: Path, tries: int) -> list[Row]:
    """A row for each case; the texts are in the folder."""
    found, seen = [], set[str]()
    for name, (text, corpus, *options) in CASES.items():
        command = program("overlap", folder / text, folder / corpus, *options, "--most", 1)
        cache = str(folder / "cache")
        if not seen:  # compiles
            timed(program("overlap", __file__, __file__), CHARRNN_CACHE_DIR=cache)
        first = timed(command, CHARRNN_CACHE_DIR=cache) if corpus not in seen else None
        seen.add(corpus)
        again = statistics.median(timed(command, CHARRNN_CACHE_DIR=cache) for _ in range(tries))
        found.append(
            {
                "case": name,
                "first, s": "" if first is None else f"{first:.1f}",
                "then, s": round(again, 2),
                "memory, MB": round(peak_memory(command)),
            }
        )
    return found


def writing(tries: int) -> list[Row]:
    """How much longer texts take with `max_copy`, in turn with texts without it."""
    import charrnn

    trained = charrnn.load(charrnn.bundled_network())
    corpus = charrnn.Corpus.read(charrnn.bundled_corpus())
    free = charrnn.SamplingConfig(length=1000, temperature=0.8, seed=1)
    found = []
    with_copies = [replace(free, max_copy=size) for size in (28, 20, 16)]
    for config in with_copies:
        for count in (1, 100):

            def seconds(config: charrnn.SamplingConfig, count: int = count) -> float:
                start = time.perf_counter()
                charrnn.generate_many(trained, count, "", config, training=[corpus])
                return time.perf_counter() - start

            seconds(config), seconds(free)
            ratios = [seconds(config) / seconds(free) for _ in range(tries)]
            texts = [
                charrnn.generate_many(trained, count, "", each, training=[corpus])
                for each in (free, config)
            ]
            found.append(
                {
                    "max_copy": config.max_copy,
                    "texts": count,
                    "time, of that without": round(statistics.median(ratios), 2),
                    "texts that changed": sum(a != b for a, b in zip(*texts, strict=True)),
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--generate", metavar="FOLDER", help="only write the texts")
    options = parser.parse_args()
    if options.generate:
        generate(Path(options.generate))
        return
    with tempfile.TemporaryDirectory() as name:
        # in a process of its own, which takes more memory than what is measured
        command = [sys.executable, "-m", "benchmarks.overlap", "--generate", name]
        subprocess.run(command, env=environment(), check=True)
        print(table_text(rows(Path(name), options.tries), options.json), flush=True)
    print()
    print(table_text(writing(options.tries), options.json))


if __name__ == "__main__":
    main()
