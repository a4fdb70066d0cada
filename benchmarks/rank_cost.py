"""When more ranks stop paying: a model of the time of a step, and the constants of this machine.

    t(R) = fixed + K update (0.4 + 0.6 / R) + K T N / R product    what a rank computes
         + max(0, exchange - overlap)                              what is not hidden
    exchange = 2 (R - 1) / R * 4 K / bandwidth + messages latency
    messages = 2 (L + 1) (R - 1) + 2 log2 R
    overlap  = K T N / R product / 3 * L / (L + 1)

K parameters, T steps of N streams, R ranks of one thread, one part each. The gradient of 4 K bytes
goes through an all-to-all, in L + 1 pieces, of which all but the last can travel while the weights'
gradients are computed, a third of the products; the updated parameters go through an all-gather.
Every rank updates its slice, and packs all weights.

--measure fits `fixed`, `update` and `product` to steps of one thread on this machine, and, under
mpiexec with two ranks, `latency` and `bandwidth`. Otherwise the constants below are used.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.tables import Row, table_text
from charrnn import Corpus, ModelConfig, Run, TrainConfig, bundled_corpus, on_ranks, train
from charrnn.network.parameters import parameter_count
from charrnn.runtime.mpi import launched_size, world

SEQ_LENGTH, LAYERS, SYMBOLS = 64, 2, 61
PACKING = 0.4
"""The share of the update that is packing the weights, at 2 x 256 on one thread."""


@dataclass(frozen=True)
class Processor:
    """Seconds of one thread: of every step, of a parameter in the update, and of a parameter and a
    character in the products.
    """

    fixed: float
    update: float
    product: float


@dataclass(frozen=True)
class Link:
    """What connects two ranks: seconds of a message, and bytes a second."""

    latency: float
    bandwidth: float


HERE = Processor(fixed=5e-5, update=8e-9, product=4.9e-11)
LINKS = {
    "one machine": Link(2.8e-6, 4.4e9),
    "100 Gbit/s": Link(2e-6, 11e9),
    "10 Gbit/s": Link(3e-5, 1.1e9),
    "1 Gbit/s": Link(5e-5, 1.1e8),
}
"""The first is measured here; the others are usual figures of InfiniBand and of Ethernet."""


def step_seconds(
    ranks: int,
    parameters: int,
    streams: int,
    processor: Processor,
    link: Link,
    seq_length: int = SEQ_LENGTH,
    layers: int = LAYERS,
) -> float:
    """The time of a step on so many ranks, each with a processor of its own."""
    products = parameters * seq_length * streams / ranks * processor.product
    update = parameters * processor.update * (PACKING + (1 - PACKING) / ranks)
    computing = processor.fixed + update + products
    messages = 2 * (layers + 1) * (ranks - 1) + 2 * math.log2(ranks)
    exchange = 2 * (ranks - 1) / ranks * 4 * parameters / link.bandwidth + messages * link.latency
    overlap = products / 3 * layers / (layers + 1)
    return computing + max(0.0, exchange - overlap)


def most_doublings(times: Sequence[float], gain: float = 1.4) -> int:
    """How often the number of ranks can be doubled so that each time makes a step at least `gain`
    times as fast; `times` are those of a step on 1, 2, 4, ... ranks.
    """
    pairs = enumerate(pairwise(times))
    return next((k for k, (usual, own) in pairs if usual < gain * own), len(times) - 1)


def network(hidden: int) -> ModelConfig:
    """Without rounds and attention, whose work does not follow from their parameters."""
    model = ModelConfig(SYMBOLS, layers=LAYERS, hidden=hidden)
    return model.filled(embedding=64, attention=0, mogrifier=0)


def cost_rows(processor: Processor) -> list[Row]:
    rows = []
    for hidden in (128, 256, 512, 1024):
        config = network(hidden)
        parameters = parameter_count(config)
        for streams in (32, 128, 512):
            row: Row = {"network": f"{LAYERS} x {hidden}", "streams": streams}
            row["ms on 1 rank"] = round(
                1e3 * step_seconds(1, parameters, streams, processor, Link(0, 1)), 1
            )
            for name, link in LINKS.items():
                times = [
                    step_seconds(2**k, parameters, streams, processor, link)
                    for k in range(streams.bit_length())
                ]
                paying = most_doublings(times)
                row[name] = f"{2**paying} ({times[0] / times[paying]:.1f} x)"
            rows.append(row)
    return rows


def measured_processor() -> Processor:
    """A least-squares fit to the fastest steps of one thread."""
    corpus, equations, seconds = Corpus.read(bundled_corpus()), [], []
    for hidden in (96, 128, 256, 384):
        for streams in (8, 16, 32):
            model = network(hidden)
            training = TrainConfig(streams, SEQ_LENGTH, steps=10**6, eval_every=10**6)
            run = Run.new(corpus, model, dataclasses.replace(training, sample_every=0))
            reports = train(run, corpus, threads=1)
            times = [next(reports).seconds for _ in range(25)]
            reports.close()
            parameters = run.model.count()
            equations.append([1, parameters, parameters * SEQ_LENGTH * streams])
            seconds.append(min(times[3:]))
    weights = 1 / np.array(seconds)  # relative errors
    found, *_ = np.linalg.lstsq(
        np.array(equations) * weights[:, None], np.ones(len(seconds)), rcond=None
    )
    return Processor(*map(float, found))


def measured_link(count: int = 1 << 18) -> Link:
    """Of ranks 0 and 1: the fastest exchanges of a number and of `count` numbers."""
    communicator: Any = world()
    fastest = []
    for size in (1, count):
        ours, theirs, times = np.zeros(2 * size, np.float32), np.zeros(2 * size, np.float32), []
        for _ in range(300):
            communicator.Barrier()
            start = time.perf_counter()
            communicator.Alltoall(ours, theirs)
            times.append(time.perf_counter() - start)
        fastest.append(min(times))
    return Link(fastest[0], 4 * (count - 1) / (fastest[1] - fastest[0]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.measure and launched_size() > 1:
        link = measured_link()
        on_ranks(lambda: print(link))
        return
    processor = measured_processor() if options.measure else HERE
    if options.measure:
        print(processor)
    print(table_text(cost_rows(processor), options.json))


if __name__ == "__main__":
    main()
