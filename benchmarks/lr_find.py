"""Whether the rate that `charrnn lr-find` suggests is a good one: short runs with it, with the
recipe's rate, and with ten times the suggestion.

A row is a text, a cell and an optimizer. Losses are those of the validation part at the end of a
run, in nats per character, and means over the seeds; the suggestion is that of the first seed.
`--curve` also trains with rates from a sixteenth of the recipe's to thirty times it, and --json
then has the whole test, from which the rule was chosen (`tuning.rate_test`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.tables import ROOT, Row, table_text
from charrnn import (
    Corpus,
    CorpusConfig,
    DivergenceError,
    ModelConfig,
    RateTest,
    Run,
    TrainConfig,
    lr_find,
    train,
)

CURVE = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 10, 30)


def loss_at(
    corpus: Corpus,
    model: ModelConfig,
    training: TrainConfig,
    rate: float,
    seeds: Iterable[int],
    threads: int | None,
) -> float:
    """The mean of the validation losses at the ends of runs with this peak rate; infinity if one of
    them diverged.
    """
    losses = []
    for seed in seeds:
        settings = {"learning_rate": rate, "seed": seed, "sample_every": 0, "eval_every": 10**9}
        config = TrainConfig(**{**vars(training), **settings})
        try:
            *_, last = train(Run.new(corpus, model, config), corpus, threads=threads)
        except DivergenceError:
            return float("inf")
        losses.append(last.validation_loss or float("inf"))
    return statistics.mean(losses)


def row(name: str, test: RateTest, losses: dict[float, float]) -> Row:
    planned, suggestion = test.planned, test.suggestion
    about: Row = {"text": name, "cell": test.model.cell, "units": test.model.hidden}
    about |= {"optimizer": test.training.optimizer, "recipe's rate": planned}
    low, high = test.bottom
    about |= {"nats": f"{losses[planned]:.4f}", "lowest from": f"{low:.2g} to {high:.2g}"}
    if suggestion is None:
        return about | {"suggestion": test.outcome}
    change = losses[suggestion] - losses[planned]
    worse = losses[10 * suggestion] - losses[suggestion]
    return about | {
        "suggestion": f"{suggestion:g}",
        "its nats": f"{losses[suggestion]:.4f}",
        "to the recipe": f"{change:+.4f}",
        "ten times it": f"{worse:+.4f}",
        "within 0.02": "yes" if change <= 0.02 else "no",
        "ten times worse": "yes" if worse > 0 else "no",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="*", default=[str(ROOT / "data" / "plays.txt")])
    parser.add_argument("--characters", type=int, default=400_000, help="of each text, at most")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru", "rnn"])
    parser.add_argument("--optimizers", nargs="+", default=["adamw", "sgd", "rmsprop"])
    parser.add_argument("--hidden", type=int, nargs="+", default=[128])
    parser.add_argument("--passes", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--curve", action="store_true", help="also other rates than these three")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for path in options.texts:
        text = Path(path).read_text(encoding="utf-8")[: options.characters]
        corpus = Corpus.from_text(text, CorpusConfig())
        for hidden, cell, optimizer in (
            (hidden, cell, optimizer)
            for hidden in options.hidden
            for cell in options.cells
            for optimizer in options.optimizers
        ):
            model = ModelConfig(cell=cell, hidden=hidden)
            training = TrainConfig(
                optimizer=optimizer, epochs=options.passes, seed=options.seeds[0]
            )
            test = lr_find(corpus, model, training, threads=options.threads)
            rates = [test.planned]
            if test.suggestion is not None:
                rates += [test.suggestion, 10 * test.suggestion]
            rates += [factor * test.planned for factor in CURVE] if options.curve else []
            losses = {
                rate: loss_at(corpus, model, training, rate, options.seeds, options.threads)
                for rate in dict.fromkeys(rates)
            }
            rows.append(row(Path(path).name, test, losses))
            print(table_text(rows[-1:], True), file=sys.stderr, flush=True)
            if options.curve:
                rows[-1] |= {"losses by rate": list(losses.items())}
                rows[-1] |= {"rates": test.rates.tolist(), "losses": test.losses.tolist()}
    print(table_text(rows, options.json))


if __name__ == "__main__":
    main()
