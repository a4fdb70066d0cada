"""Whether advice comes when something is wrong, and only then: twenty healthy runs of different
cells, sizes, texts and optimizers, and the same runs at ten times and a tenth of their rate.

    python -m benchmarks.advice [--rates 1,10,0.1] [--only 3,7] [--out FILE.md]
    python -m benchmarks.advice --cost

The texts are data/plays.txt, its words as a list, modules of Python's standard library, and docs/.
A run takes 300 to 800 steps. The table shows what advice is judged by: the largest update at the
peak rate, of the usual size of a layer's weights; how far updates of the size after the first
validation go in the whole run; the share of the time that the gates of the most saturated layer are
open or shut; and the smallest standard deviation of a unit.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import charrnn
from benchmarks.tables import Row, markdown
from charrnn.inspection.health import layer_health
from charrnn.network.parameters import Parameters
from charrnn.optim.optimizers import coefficients_of
from charrnn.optim.updates import usual_sizes
from charrnn.reporting.advice import advice
from charrnn.training import loop
from charrnn.training.run import Run

MODULES = "argparse ast doctest inspect subprocess tarfile typing zipfile"
RUNS: list[tuple[str, dict[str, Any]]] = [
    ("plays", {"cell": "lstm", "hidden": 64, "steps": 800}),
    ("plays", {"cell": "lstm", "layers": 1, "hidden": 128, "steps": 400}),
    ("plays", {"cell": "lstm", "layers": 3, "hidden": 48, "steps": 600}),
    ("plays", {"cell": "gru", "hidden": 96, "steps": 400}),
    ("plays", {"cell": "gru-after", "hidden": 64, "steps": 600}),
    ("plays", {"cell": "rnn", "layers": 1, "hidden": 64, "steps": 600}),
    ("plays", {"cell": "peephole", "hidden": 48, "steps": 500}),
    ("plays", {"cell": "coupled", "hidden": 64, "steps": 500}),
    ("plays", {"cell": "clockwork", "layers": 1, "hidden": 64, "steps": 600}),
    ("plays", {"cell": "depth-gated", "hidden": 32, "steps": 500}),
    ("plays", {"cell": "grid", "hidden": 32, "steps": 400}),
    ("plays", {"preset": "torch-rnn", "steps": 900}),
    ("code", {"cell": "lstm", "hidden": 192, "steps": 300}),
    ("code", {"cell": "gru", "layers": 1, "hidden": 128, "steps": 600}),
    ("code", {"cell": "lstm", "hidden": 64, "optimizer": "momentum", "steps": 800}),
    ("names", {"cell": "lstm", "hidden": 48, "steps": 600}),
    ("names", {"cell": "gru", "layers": 1, "hidden": 64, "steps": 600}),
    ("docs", {"cell": "lstm", "hidden": 96, "steps": 500}),
    ("docs", {"preset": "char-rnn", "steps": 400}),
    ("docs", {"cell": "rnn", "hidden": 64, "activation": "softsign", "steps": 500}),
]  # fmt: skip


def text_of(name: str) -> str:
    """One of the texts."""
    if name == "docs":
        return "".join(path.read_text() for path in sorted(Path("docs").glob("*.md")))
    if name == "code":
        library = Path(sysconfig.get_path("stdlib"))
        return "".join((library / f"{module}.py").read_text() for module in MODULES.split())
    plays = Path("data/plays.txt").read_text()
    if name == "plays":
        return plays
    names = sorted(set(re.findall("[a-z]{3,12}", plays.lower())))
    random.Random(0).shuffle(names)
    return "".join(f"{each}\n" for each in names)


def trained(
    text: str, given: dict[str, Any], factor: float, seed: int, threads: int | None
) -> tuple[Run, Any]:
    """A run at `factor` times its rate, trained as far as it goes."""
    settings = dict(given)
    preset = settings.pop("preset", None)
    values = {**(charrnn.preset(preset) if preset else {}), "seed": seed, **settings}
    values.pop("epochs", None)
    reading, model, training = charrnn.configs_of(values)
    separator = r"\n" if text == "names" else None
    reading = replace(reading, document_separator=separator, val_fraction=0.1)
    corpus = charrnn.Corpus.from_text(text_of(text), reading)
    run = Run.new(corpus, model, training)
    if factor != 1:
        rate = coefficients_of(run.config).learning_rate
        run = Run.new(corpus, model, replace(training, learning_rate=rate * factor))
    try:
        for _ in charrnn.train(run, corpus, threads=threads):
            pass
    except charrnn.DivergenceError:
        pass
    return run, corpus


def row(number: int, text: str, given: dict[str, Any], factor: float, threads: int | None) -> Row:
    """What became of one run."""
    run, corpus = trained(text, given, factor, number, threads)
    peak, usual = (
        coefficients_of(run.config).learning_rate,
        usual_sizes(run.model.parameters.tensors),
    )
    updates = [
        max(e["updates"][layer] / size * peak / e["learning_rate"] for layer, size in usual.items())
        for e in run.validations
        if e.get("updates") and e["learning_rate"] >= 0.1 * peak
    ]
    found = advice(run, corpus)
    layers = layer_health(run.result, corpus.validation, corpus.validation_starts)
    return {
        "run": number,
        "text": text,
        "characters": len(corpus.train),
        "network": run.model.summary.split(",")[0],
        "rest": " ".join(
            str(value)
            for name, value in given.items()
            if name in ("preset", "optimizer", "activation")
        ),
        "steps": run.step,
        "rate": f"{peak:.2g}",
        "nats": f"{run.progress.best_loss:.3f}",
        "falls": run.progress.fall_backs,
        "largest update": f"{max(updates, default=math.nan):.3f}",
        "reach": f"{updates[0] * math.sqrt(run.total_steps):.2f}" if updates else "",
        "saturated": f"{max(layer.saturated for layer in layers):.2f}",
        "least spread": f"{min(layer.spread.min() for layer in layers):.1g}",
        "advice": ", ".join(each.kind for each in found) or "none",
    }


def cost() -> str:
    """What advice costs of a run of 2 x 128 units with two validations, of one thread's time."""
    spent = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def run_timed(*arguments: Any) -> Any:
            nonlocal spent
            start = time.thread_time()
            result = function(*arguments)
            spent += time.thread_time() - start
            return result

        return run_timed

    corpus = charrnn.Corpus.from_text(text_of("plays"))
    config = charrnn.TrainConfig(steps=412, sample_every=0)
    run = Run.new(corpus, charrnn.ModelConfig(hidden=128), config)
    look = timed(advice)
    advice(run, corpus)  # loads and compiles what it needs
    with (
        mock.patch.object(loop, "sizes", timed(loop.sizes)),
        mock.patch.object(Parameters, "copy", timed(Parameters.copy)),
    ):
        start = time.thread_time()
        for report in charrnn.train(run, corpus, threads=1):
            if report.train_loss is not None:
                look(run, corpus)
    total = time.thread_time() - start
    return f"{1000 * spent:.0f} ms of {total:.1f} s, {100 * spent / total:.2f} %"


def main() -> None:
    """Train the runs, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rates", default="1,10,0.1", help="factors of the learning rate")
    parser.add_argument("--only", default="", help="numbers of the runs, from 1")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cost", action="store_true", help="only measure what it costs")
    parser.add_argument("--out", type=Path, help="a file for the tables")
    options = parser.parse_args()
    if options.cost:
        print(cost())
        return
    chosen = [int(each) for each in options.only.split(",") if each] or range(1, len(RUNS) + 1)
    parts = []
    for factor in map(float, options.rates.split(",")):
        rows = []
        for number in chosen:
            rows.append(row(number, *RUNS[number - 1], factor, options.threads))
            print(f"x {factor:g}", rows[-1], file=sys.stderr, flush=True)
        silent = sum(each["advice"] == "none" for each in rows)
        parts.append(
            f"## {factor:g} times the rate: {silent} of {len(rows)} without advice\n\n"
            + markdown(rows)
        )
    text = "\n\n".join(parts) + "\n"
    if options.out is not None:
        options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
