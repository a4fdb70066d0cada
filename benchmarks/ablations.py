"""What each technique is worth: the recipe, and the recipe with one thing changed, in
equal time, from several seeds.

How long a step of a variant takes, in relation to one of the recipe, is measured first, in turn
with the recipe; it then makes so many steps that all take the same time on one thread. Schedules
are complete: they end with the steps.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import charrnn
from benchmarks.tables import Row, table_text
from charrnn.config.settings import ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.text.corpus import Corpus
from charrnn.training.recipe import resolve

VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "no averaged weights": {"average": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "weight decay x 1/3": {"weight_decay": 1 / 3},
    "optimizer adam": {"optimizer": "adam", "weight_decay": 0.0},
    "input-dropout 0": {"input_dropout": 0.0},
    "input-dropout 0.1": {"input_dropout": 0.1},
    "dropout 0.1": {"dropout": 0.1},
    "dropout 0.1, locked-dropout": {"dropout": 0.1, "locked_dropout": True},
    "recurrent-dropout 0.1": {"recurrent_dropout": 0.1},
    "zoneout-h 0.05": {"zoneout_h": 0.05},
    "label-smoothing 0.05": {"label_smoothing": 0.05},
    "embedding 0": {"embedding": 0},
    "input-scale 0.1": {"input_scale": 0.1},
    "skip": {"skip": True},
    "no layer-norm": {"layer_norm": False},
    "layers 3, hidden 104, residual": {"layers": 3, "hidden": 104, "residual": True},
    "forget-bias 1": {"forget_bias": 1.0},
    "cell gru": {"cell": "gru", "layer_norm": False},
    "cell depth-gated": {"cell": "depth-gated"},
    "decay-after 0": {"decay_after": 0.0},
    "schedule one-cycle": {"schedule": "one-cycle"},
    "schedule inverse-sqrt": {"schedule": "inverse-sqrt"},
    "learning rate x 1/2": {"learning_rate": 0.5},
    "batch-size 16": {"batch_size": 16},
    "batch-size 64": {"batch_size": 64},
    "seq-length 32": {"seq_length": 32},
    "seq-length 128": {"seq_length": 128},
    "clip-norm 0.5": {"clip_norm": 0.5},
}
RELATIVE = ("weight_decay", "learning_rate")
"""Settings of which a variant gives the factor."""


def recipe(corpus: Corpus, width: int, epochs: float) -> tuple[ModelConfig, TrainConfig]:
    """What it decides for networks of this width, with the length in steps."""
    request = TrainConfig(epochs=epochs, sample_every=0)
    model, training = resolve(corpus, ModelConfig(hidden=width), request)
    steps = charrnn.Run.new(corpus, model, training).total_steps
    return model, replace(training, epochs=None, steps=steps, eval_every=steps)


def varied(
    model: ModelConfig, training: TrainConfig, changes: dict[str, Any]
) -> tuple[ModelConfig, TrainConfig]:
    before = {**asdict(model), **asdict(training)}
    new = {
        name: value * before[name] if name in RELATIVE else value for name, value in changes.items()
    }
    of_model = {name: value for name, value in new.items() if name in asdict(model)}
    return replace(model, **of_model), replace(
        training, **{name: new[name] for name in new if name not in of_model}
    )


Settings = tuple[ModelConfig, TrainConfig]


def relative_time(
    corpus: Corpus, variant: Settings, base: Settings, rounds: int = 5, seconds: float = 0.4
) -> float:
    """The time of a character in training on one thread, in relation to that of other settings,
    measured in turn.

    It is the first decile of the steps' times: what else runs on the machine makes some steps
    longer, and none shorter.
    """
    if variant == base:
        return 1.0
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for (model, training), seconds_each in zip((variant, base), times, strict=True):
            run = charrnn.Run.new(corpus, model, replace(training, steps=10**9, eval_every=10**9))
            with closing(charrnn.train(run, corpus, threads=1)) as reports:
                next(reports)
                start = time.perf_counter()
                while time.perf_counter() - start < seconds:
                    report = next(reports)
                    seconds_each.append(report.seconds / report.characters)
    first, second = (statistics.quantiles(side, n=10)[0] for side in times)
    return first / second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--epochs", type=float, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT"
    )
    parser.add_argument("--out", type=Path, default=Path("checkpoints/ablations"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    corpus = Corpus.read(options.text)
    base = recipe(corpus, options.width, options.epochs)
    candidates, costs = [], {}
    for name in options.only:
        model, training = varied(*base, VARIANTS[name])
        costs[name] = relative_time(corpus, (model, training), base)
        shape, own = (
            (base[1].batch_size * base[1].seq_length),
            training.batch_size * training.seq_length,
        )
        steps = round((base[1].steps or 0) * shape / own / costs[name])
        candidates.append(
            charrnn.Candidate(name, corpus, model, replace(training, steps=steps, eval_every=steps))
        )
    events = []
    for event in charrnn.compare(candidates, options.seeds, options.out, threads=1):
        if event.outcome is not None:
            print(
                f"{event.candidate.name}, seed {event.seed}: {event.outcome.validation_loss}",
                file=sys.stderr,
                flush=True,
            )
            events.append(event)
    rows: list[Row] = [
        {
            "variant": one.candidate.name,
            "nats": f"{one.mean_loss:.4f}" if one.mean_loss is not None else "diverged",
            "spread": f"{one.loss_deviation:.4f}" if one.loss_deviation is not None else "",
            "time of a character": f"{costs[one.candidate.name]:.2f}",
        }
        for one in charrnn.results(candidates, events)
    ]
    print(table_text(rows, options.json))


if __name__ == "__main__":
    main()
