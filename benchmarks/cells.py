"""Training speed of every cell: characters a second, and multiplications by parameters a second as
a share of the LSTM's.

Same shapes for all: 65 symbols, 50 streams of 50 characters, Adam, clipping by norm. The cells take
turns, a few steps each, and every turn is compared with the LSTM's of the same round; figures are
medians. A multiplication by a parameter is one weight times one number on the way forward: W_h and,
from the second layer on, W_x, and the decoder; the first layer's input is a look-up. Weights that
the clockwork cell holds at zero do not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator

import charrnn
from charrnn.bench.machine import processor
from charrnn.bench.measure import PLAIN, RULE, Shape, generated_corpus, multiplications
from charrnn.config.settings import CELL_NAMES

STREAMS, LENGTH = 50, 50
ROUNDS, TURN = 9, 6


def steps_of(
    cell: str, hidden: int, layers: int, threads: int
) -> tuple[charrnn.Run, Iterator[charrnn.Report]]:
    shape = Shape(layers, hidden, STREAMS, LENGTH, threads)
    corpus = generated_corpus(shape)
    train = charrnn.TrainConfig(
        batch_size=STREAMS,
        seq_length=LENGTH,
        steps=10**6,
        eval_every=10**9,
        sample_every=0,
        **RULE,
    )
    model = charrnn.ModelConfig(cell=cell, layers=layers, hidden=hidden, **PLAIN)
    run = charrnn.Run.new(corpus, model, train)
    return run, iter(charrnn.train(run, corpus, threads=threads))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    print(
        f"{processor()}, {options.threads} threads, {options.layers} x {options.hidden}",
        file=sys.stderr,
    )
    running = {
        name: steps_of(name, options.hidden, options.layers, options.threads) for name in CELL_NAMES
    }
    speeds: dict[str, list[float]] = {name: [] for name in CELL_NAMES}
    for _ in range(options.rounds + 1):
        for name, (_, reports) in running.items():
            turn = [next(reports) for _ in range(TURN)]
            speeds[name].append(statistics.median(report.chars_per_second for report in turn))
    work = {name: multiplications(run.model) for name, (run, _) in running.items()}
    for name, (run, _) in running.items():
        rounds = list(zip(speeds[name], speeds["lstm"], strict=True))[
            1:
        ]  # the first round warms up
        share = statistics.median(own * work[name] / (lstm * work["lstm"]) for own, lstm in rounds)
        row = {"cell": name, "parameters": run.model.count(), "multiplications": work[name]}
        speed = round(statistics.median(own for own, _ in rounds))
        print(json.dumps({**row, "chars_per_second": speed, "share_of_lstm": round(share, 3)}))


if __name__ == "__main__":
    main()
