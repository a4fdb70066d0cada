"""How far back a loss is felt, in a plain recurrent net and in an LSTM: the figure of
docs/vanishing-gradients.md.

Networks of one layer are measured as they are drawn and again after training, on the validation
part of the plays that ship. It writes the norms as JSON on stdout, and draws them into the file
given and one beside it; from norms that it wrote earlier with --results.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import charrnn
from charrnn.bench.measure import PLAIN
from charrnn.pages.charts import Labels, standalone
from charrnn.pages.lines import Series, line_chart

LAGS = 100
NETWORKS: dict[str, dict[str, Any]] = {
    "rnn": {"cell": "rnn"},
    "rnn, orthogonal": {"cell": "rnn", "recurrent_init": "orthogonal"},
    "lstm, forget bias 0": {"cell": "lstm", "forget_bias": 0.0},
    "lstm, forget bias 1": {"cell": "lstm", "forget_bias": 1.0},
    "lstm, forget bias 5": {"cell": "lstm", "forget_bias": 5.0},
}

RULE: dict[str, Any] = {
    "batch_size": 32,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "inverse-sqrt",
    "warmup": 0,
    "clip_norm": 1.0,
}


def measured(settings: dict[str, Any], hidden: int, epochs: float, seeds: int) -> dict[str, Any]:
    """Norms over lags before and after training, the geometric mean over seeds, and the mean
    validation loss.
    """
    corpus = charrnn.Corpus.read(str(charrnn.bundled_corpus()))
    before, after, losses = [], [], []
    for seed in range(seeds):
        model = charrnn.ModelConfig(layers=1, hidden=hidden, **{**PLAIN, **settings})
        training = charrnn.TrainConfig(epochs=epochs, sample_every=0, seed=seed, **RULE)
        run = charrnn.Run.new(corpus, model, training)
        before.append(np.log(charrnn.gradient_norms(run.result, corpus.validation, LAGS)))
        for _ in charrnn.train(run, corpus):
            pass
        after.append(np.log(charrnn.gradient_norms(run.result, corpus.validation, LAGS)))
        losses.append(charrnn.evaluate(run.result, corpus.validation).nats_per_char)
    means = [np.exp(np.mean(norms, axis=0)).tolist() for norms in (before, after)]
    return {"before": means[0], "after": means[1], "validation_loss": float(np.mean(losses))}


def draw(results: dict[str, dict[str, Any]], path: str) -> None:
    """As `charrnn report` draws how far gradients reach; the figure of the new networks beside it
    has `-initial` in its name.
    """
    for when, title, ending in (
        ("before", "Before training", "-initial"),
        ("after", "After training", ""),
    ):
        series = [
            Series(
                name,
                np.arange(LAGS + 1),
                np.array(result[when]),
                n,
                "dashed" if name.startswith("rnn") else "line",
            )
            for n, (name, result) in enumerate(results.items())
        ]
        labels = Labels(
            f"reach{ending}",
            title,
            f"{title}: the norm of the derivative of the loss by the state k characters earlier, "
            "of two plain recurrent nets and three LSTMs, on a logarithmic scale.",
            "characters back, k",
            "norm of d loss(t) / d state(t − k)",
        )
        chart = line_chart(series, labels, height=340, log_y=True, y_range=(1e-9, 10.0))
        file = Path(path)
        file.with_stem(file.stem + ending).write_text(standalone(chart), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", help="SVG file to draw into")
    parser.add_argument("--results", help="norms that this program wrote, to draw again")
    options = parser.parse_args()
    if options.results:
        draw(json.loads(Path(options.results).read_text()), options.figure)
        return
    results = {}
    for name, settings in NETWORKS.items():
        print(name, file=sys.stderr)
        results[name] = measured(settings, options.hidden, options.epochs, options.seeds)
    if options.figure:
        draw(results, options.figure)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
