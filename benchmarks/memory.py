"""Peak memory of training, against PyTorch's where it is installed, and of importing alone: each in
a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.tables import Row, peak_memory, program, table_text
from charrnn.bench.peers import PEERS

LAYERS, HIDDEN, STREAMS, LENGTH, THREADS = 2, 512, 50, 50, 2
STEPS = """
import charrnn.bench.measure as b
b.measure("training", b.Shape({layers}, {hidden}, {streams}, {length}, {threads}), rounds=1)
"""


def rows(hidden: int = HIDDEN, threads: int = THREADS) -> list[Row]:
    shape = {
        "layers": LAYERS,
        "hidden": hidden,
        "streams": STREAMS,
        "length": LENGTH,
        "threads": threads,
    }
    name = f"training {LAYERS} x {hidden}, {STREAMS} x {LENGTH}, {threads} threads"
    python = [sys.executable, "-c"]
    measured = [
        {
            "what": "charrnn, import charrnn.training.loop",
            "MB": peak_memory([*python, "import charrnn.training.loop"]),
        },
        {"what": f"charrnn, {name}", "MB": peak_memory([*python, STEPS.format(**shape)])},
    ]
    with tempfile.TemporaryDirectory() as folder:
        size = [
            "--layers",
            LAYERS,
            "--hidden",
            hidden,
            "--batch-size",
            STREAMS,
            "--seq-length",
            LENGTH,
        ]
        run = [
            "--steps",
            6,
            "--eval-every",
            3,
            "--embedding",
            0,
            "--no-layer-norm",
            "--dropout",
            0,
            "--input-dropout",
            0,
            "--threads",
            threads,
            "--out",
            Path(folder, "run"),
        ]
        measured.append(
            {
                "what": "charrnn train, the same, validations and checkpoints",
                "MB": peak_memory(program("train", *size, *run)),
            }
        )
    if find_spec("torch") is not None:
        task = {
            "task": "training",
            "symbols": 65,
            "layers": LAYERS,
            "hidden": hidden,
            "batch_size": STREAMS,
        }
        task |= {"seq_length": LENGTH, "threads": threads, "precision": "float32"}
        measured.append(
            {"what": "PyTorch, import torch", "MB": peak_memory([*python, "import torch"])}
        )
        peer = peak_memory(
            [sys.executable, "-P", str(PEERS["torch"])], json.dumps(task) + "\n1.0\n"
        )
        measured.append({"what": f"PyTorch, {name}", "MB": peer})
        for row in measured:
            row["share of PyTorch's"] = round(row["MB"] / peer, 3)
    return [{**row, "MB": round(row["MB"], 1)} for row in measured]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=HIDDEN)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print(table_text(rows(options.hidden, options.threads), options.json))


if __name__ == "__main__":
    main()
