"""Sampling speed: one text on one thread and on two, with weights of each precision, against a loop
over `torch.nn.LSTMCell`.

    python -m benchmarks.sampling [--hidden 256] [--json]     (a Python that has both)

Two LSTM layers, 65 symbols, random weights. PyTorch: an embedding's row, two LSTMCells and a Linear
in inference mode on the number of threads that is best for it, softmax, and a draw in numpy, which
is faster than `torch.multinomial`. The medians of programs that took turns. Then 64 texts at once,
against `Network.evaluate` over 50 streams of 50 characters: forward and losses.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from charrnn.bench.measure import PLAIN
from charrnn.config.sampling import PRECISIONS, SamplingConfig
from charrnn.config.settings import ModelConfig
from charrnn.generation.writer import Writer
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers

SYMBOLS, LAYERS, TEXTS, STREAMS, LENGTH = 65, 2, 64, 50, 50
SECONDS, TURNS = 0.25, 9

Speed = Callable[[], float]
"""Characters a second, measured once."""


def timed(write: Callable[[int], int]) -> Speed:
    """The speed of write(pieces), which returns how many characters it wrote."""

    def once() -> float:
        start, done = time.perf_counter(), 0
        while (passed := time.perf_counter() - start) < SECONDS:
            done += write(1)
        return done / passed

    return once


def torch_loop(hidden: int, threads: int) -> Speed:
    cells = [torch.nn.LSTMCell(hidden, hidden) for _ in range(LAYERS)]
    embedding, decoder = (
        torch.nn.Embedding(SYMBOLS, hidden).weight.detach(),
        torch.nn.Linear(hidden, SYMBOLS),
    )
    states = [(torch.zeros(1, hidden), torch.zeros(1, hidden)) for _ in cells]
    rng, symbol = np.random.default_rng(0), 0

    def write(_: int) -> int:
        nonlocal symbol
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for _ in range(20):
                x = embedding[symbol : symbol + 1]
                for k, cell in enumerate(cells):
                    states[k] = cell(x, states[k])
                    x = states[k][0]
                sums = torch.softmax(decoder(x) / 0.8, 1)[0].numpy().cumsum()
                symbol = min(SYMBOLS - 1, int(sums.searchsorted(rng.random() * sums[-1])))
        return 20

    return timed(write)


def writer(model: Model, threads: Workers, count: int = 1, precision: str = "float32") -> Speed:
    made = Writer(model, SamplingConfig(precision=precision), streams=count, workers=threads)
    made.read(np.array([1]))
    return timed(lambda _: made.write(made.chunk).size)


def evaluation(model: Model, threads: Workers) -> Speed:
    network, state, x = (
        Network(model, LENGTH, STREAMS, threads),
        State(model, STREAMS),
        np.zeros((LENGTH, STREAMS), np.int32),
    )
    return timed(lambda _: network.evaluate(x, x, state).size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--hidden", type=int, action="append", help="units of a layer (may be repeated)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a size")
    options = parser.parse_args()
    one, two = Workers(1), Workers(2)
    for hidden in options.hidden or [128, 256, 512]:
        config = ModelConfig(vocab_size=SYMBOLS, layers=LAYERS, hidden=hidden, **PLAIN)
        model = Model.initialized(config, 0)
        speeds = {f"LSTMCell, {n} threads": torch_loop(hidden, n) for n in (1, 2)}
        speeds |= {f"float32, {n} threads": writer(model, w) for n, w in ((1, one), (2, two))}
        speeds |= {f"{p}, 2 threads": writer(model, two, precision=p) for p in PRECISIONS[1:]}
        speeds |= {
            f"{TEXTS} texts": writer(model, two, TEXTS),
            "evaluation": evaluation(model, two),
        }
        for speed in speeds.values():
            speed()
        turns = [{name: speed() for name, speed in speeds.items()} for _ in range(TURNS)]
        typical = {name: round(median(turn[name] for turn in turns)) for name in speeds}
        peer = max(typical[f"LSTMCell, {n} threads"] for n in (1, 2))
        if options.json:
            print(json.dumps({"hidden": hidden, "chars_per_second": typical}))
            continue
        print(f"{LAYERS} x {hidden}")
        for name, speed in typical.items():
            print(
                f"  {name:24}{speed:12,} characters a second   {speed / peer:6.2f} times "
                "LSTMCell's best"
            )
    for workers in (one, two):
        workers.close()


if __name__ == "__main__":
    main()
