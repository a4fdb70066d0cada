"""How good the text is after a time: runs of `charrnn train --for`, from typing the command to its
end, with several seeds.

A row is a loss that is asked for on tiny-shakespeare (or another text), within a time. Runs are
processes of their own, one after the other; the losses are those of `charrnn eval` on the
validation part, with the state carried and in cold windows of 256.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.tables import Row, environment, program, table_text

ROWS = {"20s": 1.49, "132s": 1.385, "7m": 1.335, "30m": 1.31, "60m": 1.30}
COLD = {"20s": 1.515, "132s": 1.41, "7m": 1.36, "30m": 1.335, "60m": 1.325}
"""Time given and the loss that it should reach, nats, with the state carried and in cold windows of
256.
"""


def run(text: str, duration: str, seed: int, folder: Path, more: list[str]) -> Row:
    """One run and its losses; `seconds` are those of the command."""
    out = folder / f"{duration}-seed{seed}"
    start = time.perf_counter()
    command = program(
        "train", text, "--for", duration, "--seed", seed, "--out", out, "--quiet", *more
    )
    subprocess.run(command, check=True, env=environment(), stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    done = subprocess.run(
        program("eval", out, "--json"),
        check=True,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    evaluation: dict[str, Any] = json.loads(done.stdout)
    return {
        "for": duration,
        "seed": seed,
        "seconds": round(seconds, 1),
        "folder": str(out),
        **evaluation,
    }


def row(duration: str, runs: list[Row]) -> Row:
    """The medians of the seeds, beside what is asked for."""
    carried = [one["nats_per_char"] for one in runs]
    medians: Row = {
        "for": duration,
        "seeds": len(runs),
        "seconds": statistics.median(one["seconds"] for one in runs),
    }
    medians |= {
        "nats": f"{statistics.median(carried):.4f}",
        "lowest": f"{min(carried):.4f}",
        "highest": f"{max(carried):.4f}",
    }
    cold = [one["window"]["nats_per_char"] for one in runs]
    if cold:
        medians["cold, 256"] = f"{statistics.median(cold):.4f}"
    return medians | {"asked": ROWS.get(duration) or "", "asked cold": COLD.get(duration, "")}


def curve(folder: Path) -> list[tuple[float, float]]:
    """(seconds, validation loss) of a run's history."""
    entries = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [
        (entry["seconds"], entry["validation_loss"])
        for entry in entries
        if entry.get("validation_loss") is not None
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--for", dest="durations", nargs="+", default=list(ROWS), metavar="TIME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("checkpoints/quality"))
    parser.add_argument("--curves", type=Path, help="CSV file for the learning curves")
    parser.add_argument("--json", action="store_true")
    options, more = parser.parse_known_args()
    rows, curves = [], ["for,seed,seconds,validation"]
    for duration in options.durations:
        runs = []
        for seed in options.seeds:
            runs.append(run(options.text, duration, seed, options.out, more))
            print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
            points = curve(Path(runs[-1]["folder"]))
            curves += [f"{duration},{seed},{seconds:.1f},{loss:.4f}" for seconds, loss in points]
            if options.curves:
                options.curves.write_text("\n".join(curves) + "\n")
        rows.append(row(duration, runs))
    print(table_text(rows, options.json))


if __name__ == "__main__":
    main()
