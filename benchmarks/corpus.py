"""How fast a large text is read, how much memory that takes, and how long the second start takes,
when its ids are kept.

Texts of several scripts are generated in a temporary folder. Each is read twice, by processes of
their own: first the text, which the system has in its file cache, then the ids that were kept. Peak
memory is what a process had at most, less what it had before it read, in relation to the ids.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LATIN, CYRILLIC = "abcdefghijklmnopqrstuvwxyz", "абвгдежзийклмнопрстуфхцчшщъыьэюя"
GREEK, HAN = "αβγδεζηθικλμνξοπρστυφχψωάέή", "".join(chr(0x4E00 + n) for n in range(3000))
KINDS = ("ascii", "cyrillic", "han", "mixed", "crlf")
BLOCK = 20_000  # lines that are generated; the file repeats them


def generate(kind: str, size: int, path: Path) -> None:
    """A text of about so many bytes, of lines of invented words, each with a probability that falls
    with its rank.
    """
    rng = random.Random(kind)

    def words(alphabet: str, number: int) -> list[str]:
        return ["".join(rng.choices(alphabet, k=rng.randint(2, 10))) for _ in range(number)]

    latin = words(LATIN, 3000)
    vocabulary = {
        "ascii": latin,
        "cyrillic": words(CYRILLIC, 3000),
        "han": words(HAN, 3000),
        "mixed": [
            *latin,
            *words(CYRILLIC + GREEK, 300),
            *["“naïve”", "—", "café’s", "🙂", "漢字"] * 60,
        ],
        "crlf": latin,
    }[kind]
    rng.shuffle(vocabulary)
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    end = ".\r\n" if kind == "crlf" else ".\n"
    text = "".join(
        " ".join(rng.choices(vocabulary, weights, k=12)).capitalize() + end for _ in range(BLOCK)
    ).encode()
    with path.open("wb") as file:
        for _ in range(-(-size // len(text))):
            file.write(text)
        file.flush()
        os.fsync(file.fileno())  # or it is written to the disk while time is taken


def peak() -> int:
    """Bytes of memory that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def measured(path: Path) -> dict[str, object]:
    """Reads a text in this process: what that took."""
    import charrnn.kernels.utf8  # noqa: F401  (compiled or loaded before the time is taken)
    from charrnn.text.corpus import Corpus

    before, start = peak(), time.perf_counter()
    corpus = Corpus.read(path)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "megabytes_per_second": path.stat().st_size / seconds / 1e6,
        "peak_over_ids": (peak() - before) / corpus.ids.nbytes,
        "ids_bytes": corpus.ids.nbytes,
        "symbols": len(corpus.vocab),
        "sha256": corpus.sha256,
    }


def child(path: Path, folder: Path) -> dict[str, object]:
    environment = {**os.environ, "CHARRNN_CACHE_DIR": str(folder)}
    command = [sys.executable, __file__, "--one", str(path)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, object] = json.loads(done.stdout)
    return result


def row(kind: str, size: int, folder: Path) -> dict[str, object]:
    path = folder / f"{kind}.txt"
    try:
        generate(kind, size, path)
        first, second = child(path, folder), child(path, folder)
    finally:
        path.unlink(missing_ok=True)
        for ids in (folder / "texts").glob("*"):
            ids.unlink()
    assert first.pop("sha256") == second["sha256"]
    return {"text": kind, **first, "second_start_seconds": second["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--megabytes", type=int, default=1000, help="size of each text (default 1000)"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument(
        "--folder", help="where the texts are generated; it needs three times their size"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measured(args.one)))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        warm = Path(name) / "warm.txt"
        warm.write_text("first of all, the kernels are compiled\n")
        child(warm, Path(name))
        for kind in args.kinds:
            rows.append(row(kind, args.megabytes * 1_000_000, Path(name)))
            if not args.json:
                show(rows[-1], first=len(rows) == 1)
    if args.json:
        print(
            json.dumps(
                {
                    "machine": platform.processor() or platform.machine(),
                    "megabytes": args.megabytes,
                    "texts": rows,
                }
            )
        )


def show(row: dict[str, object], first: bool) -> None:
    if first:
        print("text       symbols  seconds    MB/s  peak/ids  second start")
    print(
        f"{row['text']:<10} {row['symbols']:7,}  {row['seconds']:7.2f}  "
        f"{row['megabytes_per_second']:6.0f}  "
        f"{row['peak_over_ids']:8.2f}  {row['second_start_seconds']:10.3f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
