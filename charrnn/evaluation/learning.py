"""A copy of a network that reads a text, and learns from each segment after it was scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.start_states import StartStates
from charrnn.compiler.simd import LANES
from charrnn.config import DynamicConfig
from charrnn.errors import ConfigError, overflow
from charrnn.evaluation.decorrelation import Decorrelation
from charrnn.evaluation.evaluate import Progress, checked_text, preceded
from charrnn.evaluation.walk import Block, walk
from charrnn.kernels.adapting import adapt as adapt_kernel
from charrnn.network.layer import Ids, Starts
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.network.parameters import Floats, Parameters
from charrnn.optim.optimizers import Clipper
from charrnn.runtime.threads import Workers, ranges
from charrnn.text.documents import Positions
from charrnn.text.vocab import counted

LEAST_PART = 4096
"""Minimum length in characters of the parts that are read in parallel: each starts from a zero
state.
"""
TOGETHER = 1024
"""About how many characters a reader reads at a time."""
EPSILON = np.float32(1)
"""Added to the relative root mean squares, whose mean is 1."""
LONGEST = 2.0
"""Largest norm of a segment's gradient, as a multiple of the root mean square of all so far."""


class Segment(NamedTuple):
    """What a reader thought of a segment's characters before it learned from them.

    first: the first stream whose characters count. losses (T, N): in nats. p (T, N, V): the
    distributions, if they were asked for.
    """

    block: Block
    first: int
    losses: Floats
    p: Floats | None


def streams_of(config: DynamicConfig, targets: int) -> int:
    """In how many parts a text is read."""
    return max(1, min(config.dynamic_streams, targets // LEAST_PART))


def read(
    makers: Sequence[Callable[[Workers], Reader]], workers: Workers, progress: Progress | None
) -> Iterator[list[Reader]]:
    """Let readers of one text read it side by side; they are yielded after every thousand
    characters or so. Each has a thread: the steps of one stream cannot be divided well.
    """
    inside = workers if len(makers) == 1 else Workers(1)
    readers = [make(inside) for make in makers]
    jobs, whole = [(reader,) for reader in readers], readers[0].targets
    while readers[0].read < whole:
        workers.run(Reader.go_on, jobs)
        yield readers
        if progress is not None:
            progress(readers[0].read, whole)


class Reader:
    """Reads a text of `targets` characters to predict, of which it has `read` some.

    segments: those that it has just read. model: the network as it has become
    """

    def __init__(
        self,
        model: Model,
        ids: NDArray[Any],
        config: DynamicConfig,
        speed: float,
        squares: Parameters | None,
        starts: Positions | None,
        opening: StartStates | None,
        with_distributions: bool,
        workers: Workers,
    ) -> None:
        openings = [] if opening is None else [opening]
        ids, self.targets = checked_text(model, ids, openings)
        (ids,), starts = preceded([ids], starts, openings)
        if squares is not None and squares.tensors != model.parameters.tensors:
            raise ConfigError("`squares` belong to a network of another shape")
        streams = streams_of(config, self.targets)
        learner = _Learner(model, config, speed, streams, squares, with_distributions, workers)
        self.model, state = learner.model, State(learner.model, streams)
        firsts = np.arange(streams, dtype=np.int64) * (self.targets // streams)
        if opening is not None:
            opening.put(state, firsts == 0)
        self.read, self.segments = 0, list[Segment]()
        self._whole_parts = self.targets // streams * streams
        self._learned = self._learn(learner, state, ids, starts, firsts, config.dynamic_segment)
        self._together = max(1, TOGETHER // (config.dynamic_segment * streams))

    def go_on(self) -> None:
        """Read the next segments, of which the same streams count."""
        self.segments = []
        for segment in islice(self._learned, self._together):
            self.segments.append(segment)
            if self.read == self._whole_parts:
                break

    def _learn(
        self,
        learner: _Learner,
        state: State,
        ids: NDArray[Any],
        starts: Positions | None,
        firsts: NDArray[np.int64],
        segment: int,
    ) -> Iterator[Segment]:
        network, streams = learner.network, len(firsts)
        part, rest = divmod(self.targets, streams)

        def found(block: Block, first: int) -> Segment:
            losses, p = network.losses[: len(block.x)].copy(), None
            if network.distributions.size:
                p = network.probabilities(block.y, 0, len(block.x), 0, streams)
            return Segment(block, first, losses, p)

        for block in walk(ids, starts, firsts, part, segment):
            _, gradient = learner.gradients(block.x, block.y, state, block.starts)
            # scored before the update: by weights that have not seen the segment
            scored = found(block, 0)
            learner.learn(gradient)
            self.read = block.read * streams
            yield scored
        # the remainder of the division belongs to the last part
        for block in walk(ids, starts, firsts + part, rest, segment):
            network.evaluate(block.x, block.y, state, block.starts)
            self.read = part * streams + block.read
            yield found(block, streams - 1)


class _Learner:
    """A copy of a model that keeps learning."""

    def __init__(
        self,
        model: Model,
        config: DynamicConfig,
        speed: float,
        streams: int,
        squares: Parameters | None,
        with_distributions: bool,
        workers: Workers,
    ) -> None:
        self.model, self.workers = Model(model.config), workers
        self._trained = model.parameters.flat
        self.model.parameters.flat[:] = self._trained
        self.network = Network(
            self.model,
            config.dynamic_segment,
            streams,
            workers,
            training=True,
            precision=config.dynamic_precision,
            with_distributions=with_distributions,
        )
        self._decorrelation = Decorrelation(self.network)
        self._rms = relative(squares, model.parameters)
        self._rate, self._steps = config.dynamic_rate, 0
        rule = speed * config.dynamic_rate, EPSILON, speed * config.dynamic_decay
        self._rule = np.array(rule, np.float32)
        self._clipper = Clipper(model.parameters, workers, 0.0, 0.0)
        self._length = self._clipper.measure(self._rms)[0]
        self._sum = 0.0

    def gradients(
        self, x: Ids, y: Ids, state: State, starts: Starts | None
    ) -> tuple[float, Parameters]:
        """The mean loss of a segment, and the gradient to learn from; parameters as for
        `Network.gradients`.
        """
        return self.network.gradients(x, y, state, None, starts, decorrelate=self._decorrelation)

    def learn(self, gradient: Parameters) -> None:
        """Take one step along a gradient, computed at the current weights."""
        norm, _ = self._clipper.measure(gradient.flat)
        if not math.isfinite(norm):
            if not self._steps:
                raise overflow()
            done = counted(self._steps, "step")
            raise ConfigError(
                f"the loss is NaN or infinite after {done} of dynamic evaluation: `dynamic_rate` "
                f"{self._rate:g} is too high; lower it"
            )
        self._sum, self._steps = self._sum + norm * norm, self._steps + 1
        size = math.sqrt(self._sum / self._steps)
        if size == 0:
            return
        scale = np.float32(self._length / size * min(1.0, LONGEST * size / norm if norm else 1.0))
        w = self.model.parameters.flat
        arrays = (w, gradient.flat, self._trained, self._rms, self._rule, scale)
        self.workers.run(
            adapt_kernel, [(*arrays, a, b) for a, b in ranges(w.size, self.workers.threads, LANES)]
        )
        self.network.refresh()


def relative(squares: Parameters | None, like: Parameters) -> Floats:
    """Root mean squares scaled to a mean of 1, float32 in the flat layout, 0 for padding; all 1 if
    `squares` is None.
    """
    if squares is None or not squares.flat.any():
        every = like.like()
        every.from_disk({t.name: np.ones(t.disk_shape, np.float32) for t in like.tensors})
        return every.flat
    rms: Floats = np.sqrt(squares.flat)
    return rms / np.float32(rms[rms > 0].mean(dtype=np.float64))
