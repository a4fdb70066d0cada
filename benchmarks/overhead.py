"""Where the time of `charrnn train` with the defaults goes: in steps, and in validations,
checkpoints, samples, the record of every step, and display.

The command itself runs, in this process, on the plays that ship, with its display on a terminal; as
much of a run as has five validations and, as by default, one sample. Start and reading of the text
are left out: they do not grow with the run.
"""

from __future__ import annotations

import argparse
import os
import pty
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tables import Row, table_text

HIDDEN = 256
VALIDATIONS = 5
spent: dict[str, float] = defaultdict(float)


def clocked(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[part] += time.perf_counter() - start

    return call


def rows(hidden: int = HIDDEN, validations: int = VALIDATIONS) -> list[Row]:
    import charrnn
    from charrnn.cli.train_display import Display
    from charrnn.training import loop
    from charrnn.training.records import Recorder
    from charrnn.training.run_folder import RunFolder

    spent.clear()
    corpus = charrnn.Corpus.read(charrnn.bundled_corpus())
    per_epoch = charrnn.Run.new(corpus).steps_per_epoch
    steps = validations * charrnn.TrainConfig().eval_interval(per_epoch)
    trainer = loop._Trainer
    patched = [
        (loop, "evaluate", "validation"),
        (RunFolder, "save_last", "checkpoints"),
        (RunFolder, "save_best", "checkpoints"),
        (Recorder, "add_step", "record"),
        (Recorder, "flush", "record"),
        (Display, "show", "display"),
        (trainer, "_sample", "samples"),
        (trainer, "step", "all of training"),
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in patched]
    for place, name, part in patched:
        setattr(place, name, clocked(part, getattr(place, name)))
    try:
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder, "run"))
            _train_on_a_terminal(["--steps", str(steps), "--hidden", str(hidden), "--out", out])
    finally:
        for place, name, function in before:
            setattr(place, name, function)
    whole = spent.pop("all of training") + spent["display"]
    parts = {"steps": whole - sum(spent.values()), **spent}
    parts["all but the steps"] = sum(spent.values())
    return [
        {"part": part, "seconds": round(seconds, 3), "share": f"{seconds / whole:.2%}"}
        for part, seconds in {**parts, f"all of {steps} steps": whole}.items()
    ]


def _train_on_a_terminal(arguments: list[str]) -> None:
    """Run the command, with a terminal as standard error that nobody looks at."""
    from charrnn.cli.train import train

    ours, its = pty.openpty()
    reader = threading.Thread(target=read_away, args=(ours,), daemon=True)
    reader.start()
    stderr = os.dup(2)
    os.dup2(its, 2)
    try:
        train.main(arguments, standalone_mode=False)
        sys.stderr.flush()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(its)
        reader.join(1)


def read_away(place: int) -> None:
    try:
        while os.read(place, 65536):
            pass
    except OSError:  # the terminal is closed
        os.close(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=HIDDEN, help="units of a layer")
    parser.add_argument("--validations", type=int, default=VALIDATIONS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    print(table_text(rows(options.hidden, options.validations), options.json))


if __name__ == "__main__":
    main()
