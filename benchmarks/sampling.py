"""Sampling speed: one text on one thread and on two, with weights of each precision, against a loop
over `torch.nn.LSTMCell`.

    python -m benchmarks.sampling [--hidden 256] [--turns 9] [--json]   (a Python that has both)

Two LSTM layers, 65 symbols, random weights. PyTorch: an embedding's row, two LSTMCells and a Linear
in inference mode, softmax, and a draw in numpy, which is faster than `torch.multinomial`; ratios
are to the better of one thread and two. The medians of programs that took turns.

The roof: a character needs all weights once (MB), and as many bytes are read again and again, by
the same threads, at so many GB/s, from whatever cache holds them; the last column is the speed's
share of that. Then 64 texts at once, two networks that write one text together, attention as far
as by default, and `Network.evaluate` over 50 streams of 50 characters.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, product
from statistics import median

import numpy as np
import torch

from charrnn.bench.machine import read_speed
from charrnn.bench.measure import PLAIN
from charrnn.config.sampling import PRECISIONS, SamplingConfig
from charrnn.config.settings import ModelConfig
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.writer import Writer
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.training.recipe import attention_for

SYMBOLS, LAYERS, TEXTS, STREAMS, LENGTH = 65, 2, 64, 50, 50
SECONDS, TURNS = 0.2, 9
HEAD = """\
| network | one text | threads | characters/s | x LSTMCell | MB | GB/s | of roof | |
|---|---|---|---|---|---|---|---|---|"""

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


def writer(model: Model, threads: Workers, count: int = 1, precision: str = "float32") -> Writer:
    made = Writer(model, SamplingConfig(precision=precision), streams=count, workers=threads)
    made.read(np.array([1]))
    return made


def timed_writing(made: Writer | Ensemble) -> Speed:
    return timed(lambda _: made.write(made.chunk).size)


def evaluation(model: Model, threads: Workers) -> Speed:
    network, state, x = (
        Network(model, LENGTH, STREAMS, threads),
        State(model, STREAMS),
        np.zeros((LENGTH, STREAMS), np.int32),
    )
    return timed(lambda _: network.evaluate(x, x, state).size)


@dataclass(frozen=True)
class Row:
    """One text of one size, as it was written."""

    hidden: int
    writer: str
    threads: int
    speed: float
    """Characters a second: the median, as all that follow."""
    ratio: float
    """To the better of PyTorch's two in the same run."""
    disturbed: bool
    """True if the median is less than 0.85 of the best turn."""
    megabytes: float = 0.0
    """Of weights, which are read for every character."""
    bandwidth: float = 0.0
    """Gigabytes a second at which these threads read as many bytes again and again."""

    @property
    def of_roof(self) -> float:
        """The share of `bandwidth` at which the weights were read."""
        return self.speed * self.megabytes / 1000 / self.bandwidth if self.bandwidth else 0.0


def one_text(hidden: int, pools: Sequence[Workers], turns: int) -> Iterator[Row]:
    """PyTorch's loop and one text of each precision, on each number of threads, in turn."""
    config = ModelConfig(vocab_size=SYMBOLS, layers=LAYERS, hidden=hidden, **PLAIN)
    model, keys = Model.initialized(config, 0), list(product(PRECISIONS, pools))
    peers = [("LSTMCell", each.threads, torch_loop(hidden, each.threads)) for each in pools]
    made = [writer(model, each, precision=precision) for precision, each in keys]
    speeds = [speed for *_, speed in peers] + [timed_writing(each) for each in made]
    sizes = [each._work.weights for each in made]
    measured = [
        [speed() for speed in speeds]
        + [read_speed(each, size) for (_, each), size in zip(keys, sizes, strict=True)]
        for _ in range(turns + 1)
    ]
    middle = [median(turn[k] for turn in measured[1:]) for k in range(len(measured[0]))]
    best = [max(turn[k] for turn in measured[1:]) for k in range(len(speeds))]
    peer = max(middle[: len(peers)])
    names = [(name, threads) for name, threads, _ in peers]
    names += [(precision, each.threads) for precision, each in keys]
    for k, (name, threads) in enumerate(names):
        row = Row(hidden, name, threads, middle[k], middle[k] / peer, middle[k] < 0.85 * best[k])
        if k >= len(peers):
            size, bandwidth = sizes[k - len(peers)] / 1e6, middle[k + len(keys)] / 1e9
            row = replace(row, megabytes=size, bandwidth=bandwidth)
        yield row


def several_texts(hidden: int, workers: Workers, turns: int) -> Iterator[Row]:
    """A text with attention as by default, one of two networks, several texts at once, and
    evaluation, beside one of PyTorch's.
    """
    config = ModelConfig(vocab_size=SYMBOLS, layers=LAYERS, hidden=hidden, **PLAIN)
    model, reach = Model.initialized(config, 0), attention_for(hidden, math.inf)
    attentive = Model.initialized(replace(config, attention=reach), 0)
    speeds = {f"LSTMCell {n}": torch_loop(hidden, n) for n in (1, 2)} | {
        f"{TEXTS} texts, {p}": timed_writing(writer(model, workers, TEXTS, p)) for p in PRECISIONS
    }
    for name, own in (("", model), (f", attention {reach:,}", attentive)):
        pair = [writer(own, workers, precision="int8") for _ in range(2)]
        speeds[f"2 networks, int8{name}"] = timed_writing(Ensemble(pair))
        if own is attentive:
            speeds[f"int8{name}"] = timed_writing(pair[0].branch([0]))
    speeds["evaluation"] = evaluation(model, workers)
    measured = [{name: speed() for name, speed in speeds.items()} for _ in range(turns + 1)][1:]
    middle = {name: median(turn[name] for turn in measured) for name in speeds}
    peer = max(middle["LSTMCell 1"], middle["LSTMCell 2"])
    for name in list(speeds)[2:]:
        best = max(turn[name] for turn in measured)
        is_disturbed = middle[name] < 0.85 * best
        yield Row(hidden, name, workers.threads, middle[name], middle[name] / peer, is_disturbed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--hidden", type=int, action="append", help="units of a layer (may be repeated)"
    )
    parser.add_argument("--turns", type=int, default=TURNS, help="turns that are measured")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    options = parser.parse_args()
    pools = [Workers(1), Workers(2)]
    if not options.json:
        print(HEAD)
    for hidden in options.hidden or [128, 256, 512]:
        for row in chain(
            one_text(hidden, pools, options.turns), several_texts(hidden, pools[1], options.turns)
        ):
            if options.json:
                print(json.dumps(asdict(row) | {"of_roof": row.of_roof}), flush=True)
                continue
            roof = ["", "", ""]
            if row.bandwidth:
                roof = [f"{row.megabytes:.2f}", f"{row.bandwidth:.0f}", f"{row.of_roof:.0%}"]
            cells = [f"2 x {hidden}", row.writer, row.threads, f"{row.speed:,.0f}"]
            cells += [f"{row.ratio:.1f}", *roof, "disturbed" if row.disturbed else ""]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    for workers in pools:
        workers.close()


if __name__ == "__main__":
    main()
