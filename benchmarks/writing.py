"""How long a key waits for the first grey text of `charrnn write`, without a screen.

    python -m benchmarks.writing [--hidden 512] [--threads 2] [--json]

Two LSTM layers, 65 symbols, made-up weights whose words have six characters or so; a text of 100
KB. For each kind of key, the median and the longest time from the key to the first whole word; and
what a character takes in the same minute.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from charrnn.bench.measure import PLAIN
from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CorpusConfig, ModelConfig
from charrnn.generation.cowriter import Cowriter
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.manuscript import Manuscript
from charrnn.generation.writer import Writer
from charrnn.network.model import Model
from charrnn.runtime.threads import Workers
from charrnn.text.vocab import Vocab

SYMBOLS = "\n abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,;:!?'-()0"
SIZE, TIMES, SPACES = 100_000, 25, 2.6


def session(hidden: int, workers: Workers) -> tuple[Trained, Cowriter]:
    config = ModelConfig(vocab_size=len(SYMBOLS), layers=2, hidden=hidden, **PLAIN)
    model = Model.initialized(config, 0)
    model.parameters["decoder.bias"][1] = SPACES
    rng = random.Random(0)
    words = ["".join(rng.choices(SYMBOLS[2:28], k=rng.randint(1, 9))) for _ in range(3000)]
    text = "".join(rng.choice(words) + rng.choice("     \n") for _ in range(SIZE // 6))[:SIZE]
    trained = Trained(model, Vocab(tuple(SYMBOLS)), CorpusConfig())
    known = Lexicon.of_text(text)
    made = Cowriter(trained, Manuscript(text), known_words=known, workers=workers)
    made.write_known(False)
    return trained, made


def first_ghost(session: Cowriter) -> float:
    """Seconds until the first word is there; then the rest is computed."""
    words: list[float] = []
    start = time.perf_counter()
    session.compute(report=lambda: words.append(time.perf_counter() - start))
    return words[0] if words else 0.0


def keys(session: Cowriter) -> dict[str, Callable[[], object]]:
    """What each key calls, before the network computes."""

    def back() -> None:
        session.cursor -= 37

    def edit() -> None:
        session.cursor -= 200
        session.insert("x")

    def warmer() -> None:
        session.change_temperature(0.5 + random.random())

    return {
        "a letter": lambda: session.insert(random.choice(SYMBOLS[2:28])),
        "next": session.another,
        "line": lambda: session.take("line"),
        "undo": session.undo,
        "temperature": warmer,
        "cursor": back,
        "edit in the middle": edit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=512, help="units of a layer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one JSON object a key")
    options = parser.parse_args()
    workers = Workers(options.threads)
    trained, made = session(options.hidden, workers)
    times = {"opening": [first_ghost(made)]}
    for name, key in keys(made).items():
        times[name] = []
        for _ in range(TIMES):
            key()
            times[name].append(first_ghost(made))
    times["a character"] = []
    writer = Writer(trained.model, SamplingConfig(), workers=workers)
    writer.read(np.array([1]))
    for _ in range(TIMES):
        start = time.perf_counter()
        writer.write(16)
        times["a character"].append((time.perf_counter() - start) / 16)
    made.write_known(True)
    first_ghost(made)
    times["known words"] = []
    for _ in range(TIMES):
        made.another()
        times["known words"].append(first_ghost(made))
    for name, own in times.items():
        typical, longest = 1e3 * median(own), 1e3 * max(own)
        if options.json:
            print(json.dumps({"key": name, "median_ms": typical, "longest_ms": longest}))
        else:
            print(f"{name:20}{typical:10.1f} ms{longest:10.1f} ms at most")


if __name__ == "__main__":
    main()
