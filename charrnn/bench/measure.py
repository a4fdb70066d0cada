"""Speed at chosen shapes: training, sampling and reading, as a share of the machine's peak, and
compared with a peer.

Charrnn, the peer and the peak take turns, a fraction of a second each. A machine whose speed
drifts, such as a shared one, slows all of them; so a ratio is the median of the rounds' ratios, and
a share the median of the rounds' shares.

Only operations that the task needs are counted, two for each multiplication by a parameter: none
for the first layer's input, which is a table lookup, and none for padding, gates, softmax or the
update. The backward pass has two products for each one in the forward pass: for the gradients of
the inputs and of the weights.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from charrnn.bench.machine import multiply_add_speed
from charrnn.bench.peers import Peer
from charrnn.config import CorpusConfig, ModelConfig, SamplingConfig, TrainConfig
from charrnn.errors import ConfigError
from charrnn.generation.generate import generate_ids
from charrnn.generation.writer import Writer
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.network.parameters import matrix_names, parameter_count
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.training.loop import train
from charrnn.training.run import Run

SYMBOLS = 65
ROUND_SECONDS, WARM_UP_SECONDS = 0.5, 0.3
ENDLESS = 10**12
PLAIN: dict[str, Any] = {
    "embedding": 0,
    "attention": 0,
    "layer_norm": False,
    "forget_bias": 1.0,
    "dropout": 0.0,
    "input_dropout": 0.0,
}
"""The measured network: one-hot characters, no attention, no normalization, no dropout."""
RULE: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "warmup": 0,
    "clip_norm": 5.0,
}
"""How it is trained."""
TASKS = {"training": 6, "forward": 2, "sampling": 2}
"""The tasks, and their operations per parameter that multiplies: forward 2, backward 4."""


@dataclass(frozen=True)
class Shape:
    """What is measured. For sampling, `batch_size` is the number of texts written at once, and
    `seq_length` how many characters of each are written between two clock readings."""

    layers: int = 2
    hidden: int = 256
    batch_size: int = 50
    seq_length: int = 50
    threads: int = 1
    precision: str = "float32"


@dataclass(frozen=True)
class Measured:
    """The rounds of a task, in order: the speeds in characters per second, and each one's share of
    the float32 peak of its threads, for any `precision`.

    `theirs` are a peer's speeds, and empty without one.
    """

    task: str
    shape: Shape
    speeds: list[float]
    shares: list[float]
    theirs: list[float]

    @property
    def chars_per_second(self) -> float:
        """The median speed."""
        return median(self.speeds)

    @property
    def share_of_peak(self) -> float:
        """The median share."""
        return median(self.shares)

    @property
    def ratios(self) -> list[float]:
        """Charrnn's speed divided by the peer's, for each round."""
        return [a / b for a, b in zip(self.speeds, self.theirs, strict=False)]

    def as_json(self) -> dict[str, Any]:
        """One flat object; comparisons are included only if there was a peer."""
        figures = {
            **asdict(self.shape),
            "rounds": len(self.speeds),
            "chars_per_second": round(self.chars_per_second, 1),
            "share_of_peak": round(self.share_of_peak, 4),
        }
        if self.theirs:
            ratios = self.ratios
            figures["peer_chars_per_second"] = round(median(self.theirs), 1)
            figures["ratio"] = round(median(ratios), 3)
            figures["ratios"] = [round(min(ratios), 3), round(max(ratios), 3)]
        return figures


def measure(
    task: str,
    shape: Shape,
    corpus: Corpus | None = None,
    *,
    rounds: int = 5,
    against: str | None = None,
    progress: Callable[[], None] | None = None,
) -> Measured:
    """The speed of a task, "training", "sampling" or "forward" (reading, as in evaluation), at a
    shape.

    Without a corpus, a random text of 65 symbols is used. `against` names a peer, see `peers`.
    progress() is called after each round. `PeerError` if there is no such peer, `ConfigError` for a
    shape or precision that is not possible.
    """
    corpus = corpus or generated_corpus(shape)
    own = shape
    if task == "sampling":  # a writer rounds its weights itself, and reads little
        own = replace(shape, precision="float32", batch_size=1, seq_length=1)
    run = new_run(own, corpus)
    if (run.config.batch_size, run.config.seq_length) != (own.batch_size, own.seq_length):
        needed = own.batch_size * own.seq_length + 1
        raise ConfigError(
            f"the text is too short for {own.batch_size} x {own.seq_length}: it has "
            f"{len(corpus):,} characters, {needed:,} are needed; take a longer text or a smaller "
            "shape"
        )
    work = TASKS[task] * multiplications(run.model)
    with ExitStack() as stack:
        peer = None
        if against is not None:
            peer = stack.enter_context(
                closing(Peer(against, task, {**asdict(shape), "symbols": len(corpus.vocab)}))
            )
        workers = stack.enter_context(closing(Workers(shape.threads)))
        step = stack.enter_context(closing(STEPS[task](shape, run, corpus, workers)))  # type: ignore[type-var]
        ours = partial(_speed, step)
        for side in (ours, peer):
            if side is not None:
                side(WARM_UP_SECONDS)
        measured = Measured(task, shape, [], [], [])
        for _ in range(rounds):
            measured.speeds.append(ours(ROUND_SECONDS))
            measured.shares.append(measured.speeds[-1] * work / multiply_add_speed(workers))
            if peer is not None:
                measured.theirs.append(peer(ROUND_SECONDS))
            if progress is not None:
                progress()
    return measured


def expected_seconds(rounds: int, against: str | None) -> float:
    """About how long `measure` takes, if a step is not longer than a round."""
    sides, start = (1, 0.5) if against is None else (2, 4.0)
    return sides * (WARM_UP_SECONDS + rounds * (ROUND_SECONDS + 0.05)) + start


def multiplications(model: Model) -> int:
    """Multiplications by parameters for one character in the forward pass; weights that a cell
    holds at zero do not count.
    """
    return parameter_count(model.config, matrix_names(model.config))


def generated_corpus(shape: Shape) -> Corpus:
    """A text of uniformly random symbols, long enough for several batches of a shape."""
    characters = [chr(48 + k) for k in range(SYMBOLS)]
    size = max(100_000, 4 * shape.batch_size * shape.seq_length)
    text = "".join(characters) + "".join(np.random.default_rng(0).choice(characters, size))
    return Corpus.from_text(text, CorpusConfig(val_fraction=0.0))


def new_run(shape: Shape, corpus: Corpus) -> Run:
    """A run that never validates, saves or ends, of a plain network like the peer's."""
    model = ModelConfig.of({**vars(shape), **PLAIN})
    endless = {"steps": ENDLESS, "eval_every": ENDLESS, "sample_every": 0, "average": 0.0}
    return Run.new(corpus, model, TrainConfig.of({**vars(shape), **endless, **RULE}))


def _speed(steps: Iterator[int], seconds: float) -> float:
    """Characters per second, over one or more steps that take about `seconds`."""
    done, start = 0, time.perf_counter()
    while True:
        done += next(steps)
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return done / elapsed


def _training(shape: Shape, run: Run, corpus: Corpus, workers: Workers) -> Iterator[int]:
    with closing(train(run, corpus, threads=workers.threads)) as reports:
        for report in reports:
            yield report.characters


def _forward(shape: Shape, run: Run, corpus: Corpus, workers: Workers) -> Iterator[int]:
    network = Network(
        run.model, shape.seq_length, shape.batch_size, workers, precision=run.config.precision
    )
    state, (x, y) = State(run.model, shape.batch_size), run.streams(corpus).batch(0)
    while True:
        network.evaluate(x, y, state)
        yield x.size


def _sampling(shape: Shape, run: Run, corpus: Corpus, workers: Workers) -> Iterator[int]:
    config = SamplingConfig.of({"temperature": 1.0, "precision": shape.precision})
    writer, done = Writer(run.model, config, streams=shape.batch_size, workers=workers), 0
    for block in generate_ids(writer, corpus.ids[:1], ENDLESS):
        done += block.size
        if done >= shape.seq_length * shape.batch_size:
            yield done
            done = 0


STEPS = {"training": _training, "forward": _forward, "sampling": _sampling}
