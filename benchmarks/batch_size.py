"""What a larger batch costs in loss: runs of as many passes over the text with 1, 4 and 16 times
the streams, so that there are 1, 1/4 and 1/16 of the updates.

Each batch is tried at the recipe's learning rate and at multiples of it, since fewer updates want
larger ones; everything else is the recipe's. A row is a batch and a rate; losses are the lowest
validation losses, in nats per character, and means over the seeds.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks.tables import ROOT, Row, table_text
from charrnn import Corpus, DivergenceError, ModelConfig, Run, TrainConfig, train
from charrnn.training.recipe import learning_rate_for


def lowest_loss(corpus: Corpus, model: ModelConfig, training: TrainConfig) -> tuple[float, int]:
    """The lowest validation loss of a run, and the number of its updates; infinity if it fails."""
    run = Run.new(corpus, model, training)
    try:
        for _ in train(run, corpus):
            pass
    except DivergenceError:
        return float("inf"), run.step
    return run.progress.best_loss or float("inf"), run.step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", type=Path, default=ROOT / "data" / "plays.txt")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--passes", type=float, default=12.0)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    corpus, model = Corpus.read(options.text), ModelConfig(hidden=options.hidden)
    rows: list[Row] = []
    for times in options.times:
        for factor in options.rates:
            losses = []
            for seed in options.seeds:
                training = TrainConfig(
                    batch_size=times * options.streams,
                    epochs=options.passes,
                    learning_rate=factor * learning_rate_for(options.hidden),
                    seed=seed,
                    sample_every=0,
                )
                loss, steps = lowest_loss(corpus, model, training)
                losses.append(loss)
            rows.append(
                {
                    "batch": f"{times} x {options.streams}",
                    "updates": steps,
                    "rate": f"{factor:g} x",
                    "nats": f"{statistics.mean(losses):.4f}",
                }
            )
            print(table_text(rows[-1:], as_json=True), flush=True)
    if not options.json:
        print(table_text(rows, as_json=False))


if __name__ == "__main__":
    main()
