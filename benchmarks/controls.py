"""What each control of the next character costs: the time of one text with it, as a multiple of the
time without.

    python -m benchmarks.controls [--hidden 256] [--symbols 65] [--threads 2] [--json]

Two LSTM layers with random weights, so that all symbols are nearly equally probable: the most work
for `top_p`. Each control takes turns with a writer that has none; medians of the ratios of
neighbours.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median
from typing import Any

import numpy as np

from charrnn.bench.measure import PLAIN
from charrnn.config.settings import ModelConfig, SamplingConfig
from charrnn.generation.writer import Writer
from charrnn.kernels.constraint import Edges
from charrnn.network.model import Model, Panels
from charrnn.runtime.threads import Workers

CHARACTERS, TURNS = 256, 60
LENGTH = 10**9
CONTROLS: dict[str, dict[str, Any]] = {
    "none": {},
    "top_k": {"top_k": 40},
    "top_p": {"top_p": 0.9},
    "min_p": {"min_p": 0.05},
    "inner_temperature": {"inner_temperature": 0.5},
    "temperature_to": {"temperature_to": 1.2},
    "dry": {"dry_multiplier": 0.8},
}
CONTROLS["all of these"] = {k: v for each in CONTROLS.values() for k, v in each.items()}


def free(symbols: int) -> Edges:
    """An automaton of one state that allows every symbol: the most edges."""
    ids = np.arange(symbols, dtype=np.int32)
    zeros = np.zeros(1, np.int32)
    return Edges(np.array([0, symbols]), ids, np.zeros(symbols, np.int32), zeros)


def seconds(writer: Writer) -> float:
    """Of writing CHARACTERS."""
    start = time.perf_counter()
    writer.write(CHARACTERS)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256, help="units of a layer")
    parser.add_argument("--symbols", type=int, default=65, help="size of the vocabulary")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    workers, symbols = Workers(options.threads), options.symbols
    shape = ModelConfig(vocab_size=symbols, layers=2, hidden=options.hidden, **PLAIN)
    model = Model.initialized(shape, 0)
    panels = Panels(model, backward=False)
    panels.refresh(workers)

    def made(edges: Edges | None = None, **settings: Any) -> Writer:
        config = SamplingConfig(length=LENGTH, **settings)
        inner = range(symbols // 2)
        writer = Writer(model, config, inner=inner, edges=edges, workers=workers, panels=panels)
        writer.read(np.arange(2000) % symbols)
        return writer

    plain = made()
    writers = {name: made(**settings) for name, settings in CONTROLS.items()}
    writers["automaton"] = made(free(symbols))
    ratios: dict[str, list[float]] = {name: [] for name in writers}
    times = []
    for turn in range(TURNS):
        for name, writer in writers.items():
            order = (plain, writer) if turn % 2 else (writer, plain)
            passed = {id(each): seconds(each) for each in order}
            ratios[name].append(passed[id(writer)] / passed[id(plain)])
            times.append(passed[id(plain)] / CHARACTERS)
    typical = {name: round(median(each), 3) for name, each in ratios.items()}
    microseconds = round(1e6 * median(times), 1)
    if options.json:
        print(json.dumps({**vars(options), "microseconds": microseconds, "ratios": typical}))
    else:
        print(
            f"2 x {options.hidden}, {symbols} symbols, {options.threads} threads: "
            f"{microseconds} microseconds a character"
        )
        for name, ratio in typical.items():
            print(f"  {name:20}{ratio:6.3f}")
    workers.close()


if __name__ == "__main__":
    main()
