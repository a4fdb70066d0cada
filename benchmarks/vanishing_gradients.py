"""How far back a loss is felt, in a plain recurrent net and in an LSTM: the figure of
docs/vanishing-gradients.md.

Networks of one layer are measured as they are drawn and again after training, on the validation
part of the plays that ship. It writes the norms as JSON on stdout and draws them (this needs
matplotlib) into the file given.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np

import charrnn
from charrnn.bench.measure import PLAIN

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
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "charrnn", "font.size": 9, "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.6), sharey=True)
    for panel, when, title in zip(
        axes, ("before", "after"), ("as drawn", "after training"), strict=True
    ):
        for name, result in results.items():
            style = "--" if name.startswith("rnn") else "-"
            panel.semilogy(np.maximum(result[when], 1e-12), style, linewidth=1.4, label=name)
        panel.set_title(title)
        panel.set_xlabel("characters back, k")
        panel.set_ylim(1e-9, 10)
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("norm of d loss(t) / d state(t - k)")
    axes[1].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--epochs", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--figure", help="SVG file to draw into")
    options = parser.parse_args()
    results = {}
    for name, settings in NETWORKS.items():
        print(name, file=sys.stderr)
        results[name] = measured(settings, options.hidden, options.epochs, options.seeds)
    if options.figure:
        draw(results, options.figure)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
