"""Dynamic evaluation: a network that goes on learning from the text that it is judged on (Krause,
Kahembwe, Murray & Renals 2018).

The text is read in segments. Each is first scored, with the weights as they are, and then learned
from, by one step of gradient descent: no character is predicted by weights that have seen it. What
comes out is not the loss of the trained network, and is not to be compared with such losses: it is
that of a network which also remembers in its weights.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.simd import LANES
from charrnn.config import DynamicConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import Evaluation, Progress, check_ids, mixed, using
from charrnn.evaluation.walk import walk
from charrnn.kernels.adapting import adapt
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.network.parameters import Floats, Parameters
from charrnn.optim.optimizers import Clipper
from charrnn.runtime.threads import Workers, ranges
from charrnn.text.documents import Positions
from charrnn.text.vocab import counted

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
    starts: Positions | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The loss of a text that the network learns from as it reads on, nats a character. The model
    itself stays as it is.

    After each segment, of mean loss E, a copy of the model, which began as theta_0, moves by

        theta += -rate g / (r + 0.3) + min(decay r, 1) (theta_0 - theta),   g = dE/dtheta / s

    (equations 5 and 6 of the paper). r are the root mean squares of gradients over the training
    text, whose mean is taken to be 1: how sensitive each weight is. `squares` holds them squared,
    and a `Trained` has them; without them r is 1 everywhere. s is the one number that
    brings r to the size of this text's gradients so far, so that a rate means nearly the same for
    networks of any size and segments of any length; no g is longer than 2 |r|.

    ids and `starts` as for `evaluation.evaluate`. Nothing is dropped. With more than one of
    `dynamic_streams` the text is read in as many equal parts side by side, all with the
    same weights, which learn from all of them at once, each from a zero state. The result is the
    same bits on any number of threads. `ConfigError` if the weights grow without bounds.
    """
    targets, config = check_ids(ids), config or DynamicConfig()
    streams = max(1, min(config.dynamic_streams, targets // LEAST_PART))
    part, rest = divmod(targets, streams)
    firsts = np.arange(streams, dtype=np.int64) * part
    losses = np.empty(targets, np.float32)
    with using(workers) as threads:
        learner = _Learner(model, config, streams, squares, threads)
        network, state = learner.network, State(learner.model, streams)
        for block in walk(ids, starts, firsts, part, config.dynamic_segment):
            _, gradient = network.gradients(block.x, block.y, state, None, block.starts)
            losses[block.places] = network.losses[: len(block.x)]
            learner.learn(gradient)
            if progress is not None:
                progress(block.read * streams, targets)
        # what the division leaves, fewer characters than parts, belongs to the last part
        for block in walk(ids, starts, firsts + part, rest, config.dynamic_segment):
            found = network.evaluate(block.x, block.y, state, block.starts)
            losses[block.places[:, -1]] = found[:, -1]
    if progress is not None:
        progress(targets, targets)
    return mixed([losses])


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
        self.model, self.workers = Model(model.config), workers
        self._trained = model.parameters.flat
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
                f"`dynamic_rate` {rate:g} is too high"
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


def relative(squares: Parameters | None, like: Parameters) -> Floats:
    """Root mean squares whose mean is 1, float32 of the flat layout, and 0 for padding; all 1 if
    none are known.
    """
    if squares is None or not squares.flat.any():
        every = like.like()
        every.from_disk({t.name: np.ones(t.disk_shape, np.float32) for t in like.tensors})
        return every.flat
    rms: Floats = np.sqrt(squares.flat)
    return rms / np.float32(rms[rms > 0].mean(dtype=np.float64))
