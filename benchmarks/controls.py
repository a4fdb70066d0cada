"""What each control of the next character costs: the time of one text with it, as a multiple of the
time without, and the time of its draws alone.

    python -m benchmarks.controls [--hidden 256] [--symbols 65] [--threads 1] [--json]

Two LSTM layers with random weights. All take turns, and the medians are compared; on one thread, of
the processor's time, on which other programs have less influence. With --sure 0 all symbols are
nearly equally probable, which is the most work for `top_p`; with 3 the most probable of 65 has a
quarter of the probability, and the ten most probable have nine tenths.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median
from typing import Any

import numpy as np
from numba import njit

from charrnn.bench.measure import PLAIN
from charrnn.compiler.calling import address_of, caller
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import ModelConfig
from charrnn.generation.writer import Writer
from charrnn.kernels.constraint import Edges
from charrnn.kernels.sampling import DRAW, draw
from charrnn.network.model import Model, Panels
from charrnn.runtime.threads import Workers

CHARACTERS = 64
DRAWS = 4000
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
call = caller(DRAW)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def draws(address, logits, row, scratch, controls, uniforms, memory):  # type: ignore[no-untyped-def]
    """Draw with each of the uniform numbers from the same logits."""
    symbol = 0
    for uniform in uniforms:
        row[:] = logits
        symbol = call(address, (row, controls, symbol, uniform, scratch, memory, 0))
    return symbol


def nanoseconds(writer: Writer) -> float:
    """Of one draw, without the network."""
    logits = writer.step(writer.last)[0].copy()
    row, scratch, uniforms = logits.copy(), logits.copy(), np.random.default_rng(0).random(DRAWS)
    arguments = logits, row, scratch, writer.controls, uniforms, writer.memory.of([0])
    draws(address_of(draw), *arguments)
    start = time.thread_time()
    draws(address_of(draw), *arguments)
    return 1e9 * (time.thread_time() - start) / DRAWS


def seconds(writer: Writer) -> float:
    """Of writing CHARACTERS."""
    clock = time.thread_time if writer.workers.threads == 1 else time.perf_counter
    start = clock()
    writer.write(CHARACTERS)
    return clock() - start


def writers_of(hidden: int, symbols: int, sure: float, workers: Workers) -> dict[str, Writer]:
    """A writer with each control; that with an automaton may write everything."""
    shape = ModelConfig(vocab_size=symbols, layers=2, hidden=hidden, **PLAIN)
    model = Model.initialized(shape, 0)
    model.parameters["decoder.bias"][:symbols] = sure * np.random.default_rng(0).normal(
        size=symbols
    )
    panels = Panels(model, backward=False)
    panels.refresh(workers)
    one = np.zeros(symbols, np.int32)
    free = Edges(np.array([0, symbols]), np.arange(symbols, dtype=np.int32), one, one[:1])
    writers = {}
    for name, settings in (CONTROLS | {"automaton": {}}).items():
        writers[name] = writer = Writer(
            model,
            SamplingConfig(length=10**9, **settings),
            inner=range(symbols // 2),
            edges=free if name == "automaton" else None,
            workers=workers,
            panels=panels,
        )
        writer.read(np.arange(2000) % symbols)
    return writers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256, help="units of a layer")
    parser.add_argument("--symbols", type=int, default=65, help="size of the vocabulary")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sure", type=float, default=3, help="deviation of the decoder's biases")
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    workers = Workers(options.threads)
    writers = writers_of(options.hidden, options.symbols, options.sure, workers)
    times: dict[str, list[float]] = {name: [] for name in writers}
    alone: dict[str, list[float]] = {name: [] for name in writers}
    for turn in range(options.turns):
        for name in sorted(writers, reverse=turn % 2 > 0):
            times[name].append(1e6 * seconds(writers[name]) / CHARACTERS)
            if turn < 7:
                alone[name].append(nanoseconds(writers[name]))
    workers.close()
    rows = {
        name: {
            "microseconds": round(median(each), 2),
            "ratio": round(median(each) / median(times["none"]), 3),
            "draw_nanoseconds": round(median(alone[name])),
        }
        for name, each in times.items()
    }
    if options.json:
        print(json.dumps(vars(options) | {"controls": rows}))
        return
    print(f"2 x {options.hidden}, {options.symbols} symbols, {options.threads} threads")
    print(f"{'':20}{'us a character':>16}{'ratio':>8}{'ns a draw':>12}")
    for name, (microseconds, ratio, draw_alone) in ((n, row.values()) for n, row in rows.items()):
        print(f"{name:20}{microseconds:16.1f}{ratio:8.3f}{draw_alone:12,}")


if __name__ == "__main__":
    main()
