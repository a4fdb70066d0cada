"""Dynamic evaluation: a network that goes on learning from the text that it is judged on (Krause,
Kahembwe, Murray & Renals 2018).

The text is read in segments. Each is first scored, with the weights as they are, and then learned
from, by one step of gradient descent: no character is predicted by weights that have seen it. What
comes out is not the loss of the trained network, and is not to be compared with such losses: it is
that of a network which also remembers in its weights.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.simd import LANES
from charrnn.config.settings import DynamicConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import Evaluation, Progress, check_ids, mean_of, using
from charrnn.kernels.adapting import adapt
from charrnn.network.layer import Ids
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.network.parameters import Floats, Parameters
from charrnn.optim.optimizers import Clipper
from charrnn.runtime.threads import Workers, ranges
from charrnn.text.documents import Starts, starts_in_batch
from charrnn.text.gathered import counted

LEAST_PART = 4096
"""Characters of a part, at least, for several to be read side by side: each begins without a
memory.
"""
EPSILON = np.float32(0.3)
"""Added to the relative root mean squares, whose mean is 1."""
LONGEST = 2.0
"""Of a segment's gradient, as a multiple of the root mean square of all so far."""


def evaluate_dynamic(
    model: Model,
    ids: NDArray[Any],
    config: DynamicConfig | None = None,
    *,
    squares: Parameters | None = None,
    starts: Starts | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The loss of a text that the network learns from as it reads on, nats a character. The model
    itself stays as it is.

    After each segment, of mean loss E, a copy of the model, which began as theta_0, moves by

        theta += -rate g / (r + 0.3) + min(decay r, 1) (theta_0 - theta),   g = dE/dtheta / s

    (equations 5 and 6 of the paper). r are the root mean squares of gradients over the training
    text, whose mean is taken to be 1: how sensitive each weight is. `squares` holds them squared,
    and `squares_of` finds them in a run; without them r is 1 everywhere. s is the one number that
    brings r to the size of this text's gradients so far, so that a rate means nearly the same for
    networks of any size and segments of any length; no g is longer than 2 |r|.

    ids and `starts` as for `evaluation.evaluate`. Nothing is dropped. With more than one of
    `dynamic_streams` the text is read in so many parts of equal length side by side, all with the
    same weights, which learn from all of them at once, each from a zero state. The result is the
    same bits on any number of threads. `ConfigError` if the weights grow without bounds.
    """
    given: dict[str, Any] = {
        "squares": squares,
        "starts": starts,
        "workers": workers,
        "progress": progress,
    }
    return mean_of(per_character_dynamic(model, ids, config, **given))


def per_character_dynamic(
    model: Model,
    ids: NDArray[Any],
    config: DynamicConfig | None = None,
    *,
    squares: Parameters | None = None,
    starts: Starts | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """The loss of each character but the first, nats, float32 (K - 1,), as `evaluate_dynamic`
    averages them.
    """
    check_ids(ids)
    config = config or DynamicConfig()
    streams = max(1, min(config.dynamic_streams, (len(ids) - 1) // LEAST_PART))
    with using(workers) as threads:
        learner = _Learner(model, config, streams, squares, threads)
        return _Reader(learner, ids, starts).read(config.dynamic_segment, progress)


class _Learner:
    """A copy of a model that learns."""

    def __init__(
        self,
        model: Model,
        config: DynamicConfig,
        streams: int,
        squares: Parameters | None,
        workers: Workers,
    ) -> None:
        self.model, self.workers, self._trained = (
            Model(model.config),
            workers,
            model.parameters.flat.copy(),
        )
        self.model.parameters.flat[:] = self._trained
        self.network = Network(self.model, config.dynamic_segment, streams, workers, training=True)
        self._rms = relative(squares, model.parameters)
        self._rule = np.array([config.dynamic_rate, EPSILON, config.dynamic_decay], np.float32)
        self._clipper = Clipper(model.parameters, workers, 0.0, 0.0)
        self._length = self._clipper.measure(self._rms)[0]
        self._sum, self._steps = 0.0, 0

    def learn(self, gradient: Parameters) -> None:
        """One step along a gradient, which is that of the weights as they are."""
        norm, _ = self._clipper.measure(gradient.flat)
        if not math.isfinite(norm):
            rate, done = self._rule[0], counted(self._steps, "step")
            raise ConfigError(
                f"the loss is no longer a number after {done} of dynamic evaluation: "
                f"--dynamic-rate {rate:g} is too high"
            )
        self._sum, self._steps = self._sum + norm * norm, self._steps + 1
        size = math.sqrt(self._sum / self._steps)
        if size == 0:
            return
        scale = np.float32(self._length / size * min(1.0, LONGEST * size / norm if norm else 1.0))
        w = self.model.parameters.flat
        arrays = (w, gradient.flat, self._trained, self._rms, self._rule, scale)
        self.workers.run(
            adapt, [(*arrays, a, b) for a, b in ranges(w.size, self.workers.threads, LANES)]
        )
        self.network.refresh()


class _Reader:
    """The parts of a text, side by side."""

    def __init__(self, learner: _Learner, ids: NDArray[Any], starts: Starts | None) -> None:
        self._learner, self._ids, self._starts = learner, ids, starts
        streams = learner.network.shape[1]
        self.part, self.rest = divmod(len(ids) - 1, streams)
        self._firsts = np.arange(streams, dtype=np.int64) * self.part
        self._state = State(learner.model, streams)

    def columns(self, done: int, steps: int) -> tuple[Ids, Ids, NDArray[np.bool_] | None]:
        """x, y and starts (steps, N) of every part from a place in it; past the end of the text,
        its last character again.
        """
        places = np.minimum(self._firsts + done + np.arange(steps + 1)[:, None], len(self._ids) - 1)
        block = np.ascontiguousarray(self._ids[places], np.int32)
        resets = (
            None
            if self._starts is None
            else starts_in_batch(self._starts, self._firsts + done, steps)
        )
        return block[:-1], block[1:], resets

    def read(self, segment: int, progress: Progress | None) -> NDArray[np.float32]:
        """The losses. What is left of the division, fewer characters than parts, belongs to the
        last part.
        """
        network, state, whole = self._learner.network, self._state, len(self._ids) - 1
        losses = np.empty(whole, np.float32)
        by_part = losses[: whole - self.rest].reshape(-1, self.part)
        for done in range(0, self.part, segment):
            steps = min(segment, self.part - done)
            x, y, resets = self.columns(done, steps)
            _, gradient = network.gradients(x, y, state, None, resets)
            by_part[:, done : done + steps] = network.losses[:steps].T
            self._learner.learn(gradient)
            if progress is not None:
                progress(by_part.shape[0] * (done + steps), whole)
        for place in range(self.part, self.part + self.rest):
            x, y, resets = self.columns(place, 1)
            losses[place - self.part - self.rest] = network.evaluate(x, y, state, resets)[0, -1]
        if progress is not None:
            progress(whole, whole)
        return losses


def relative(squares: Parameters | None, like: Parameters) -> Floats:
    """Root mean squares whose mean is 1, float32 of the flat layout, and 0 for padding; all 1 if
    none are known.
    """
    if squares is None or not squares.flat.any():
        every = like.like()
        every.from_disk(
            {tensor.name: np.ones(tensor.disk_shape, np.float32) for tensor in like.tensors}
        )
        return every.flat
    found: Floats = np.sqrt(squares.flat)
    found /= np.float32(found[found > 0].mean(dtype=np.float64))
    return found
