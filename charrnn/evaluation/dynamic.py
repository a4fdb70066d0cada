"""Dynamic evaluation: a network keeps learning from the text that it is scored on (Krause,
Kahembwe, Murray & Renals 2018).

The text is read in segments. Each one is first scored with the current weights and then used for
one step of gradient descent, so no character is predicted by weights that have seen it. The result
is not the loss of the trained network and should not be compared with one: it is the loss of a
network that also remembers the text in its weights.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Trained
from charrnn.compiler.simd import LANES
from charrnn.config import DynamicConfig
from charrnn.errors import ConfigError, CorpusError, overflow
from charrnn.evaluation.decorrelation import Decorrelation
from charrnn.evaluation.evaluate import (
    Evaluation,
    Progress,
    checked_text,
    members_of,
    mixed_by,
    preceded,
    read_by_each,
    using,
)
from charrnn.evaluation.walk import walk
from charrnn.kernels.adapting import adapt as adapt_kernel
from charrnn.network.arithmetic import check_precision, rounded_precision
from charrnn.network.layer import Ids, Starts
from charrnn.network.model import Model, Models, State
from charrnn.network.network import Network
from charrnn.network.parameters import Floats, Parameters
from charrnn.optim.optimizers import Clipper
from charrnn.runtime.threads import Workers, ranges
from charrnn.text.documents import Positions, resets
from charrnn.text.vocab import Unknown, counted

SHORT = 20_000
"""For texts up to this length, which take seconds, the precision auto is float32: the result is
then the same on any machine.
"""
LEAST_PART = 4096
"""Minimum length in characters of the parts that are read in parallel: each starts from a zero
state.
"""
EPSILON = np.float32(1)
"""Added to the relative root mean squares, whose mean is 1."""
LONGEST = 2.0
"""Largest norm of a segment's gradient, as a multiple of the root mean square of all so far."""


def evaluate_dynamic(
    model: Models | Mixture,
    ids: NDArray[Any],
    config: DynamicConfig | None = None,
    *,
    squares: Sequence[Parameters | None] = (),
    starts: Positions | None = None,
    openings: Sequence[StartStates] = (),
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The loss, in nats per character, of a text that the network learns from while reading it. The
    model itself is not changed. Several models, or a `Mixture`, learn each by itself.

    After each segment, with mean loss E, a copy of the model, initially theta_0, is updated by

        theta += -rate g / (r + 1) + min(decay r, 1) (theta_0 - theta),   g = P dE/dtheta / s

    (equations 5 and 6 of the paper, which has no P: it makes independent what a weight reads, see
    `evaluation.decorrelation`). r is the root mean square of each weight's gradients over the
    training text, scaled to a mean of 1; it measures how sensitive the weight is. The scalar s
    scales r to the size of this text's gradients so far, so that a rate means nearly the same for
    networks of any size and segments of any length; g is clipped to a norm of 2 |r|.

    squares: the squared values of r, one per model or None, as a `Trained` has them; a `Mixture`
        has those of its networks. Without them, r is 1 everywhere.
    ids, starts, openings: as in `evaluation.evaluate`.

    There is no dropout. With `dynamic_streams` above 1, the text is read as that many equal parts
    in parallel, each from a zero state; they share the weights, which learn from all parts at once.
    The result has the same bits on any number of threads. `ConfigError` if the weights diverge, if
    `squares` are those of another network, or if this machine lacks the precision.
    """
    config, members = config or DynamicConfig(), members_of(model)
    ids, targets = checked_text(model, ids, openings)
    if isinstance(model, Mixture):
        squares = squares or [network.squares for network in model]
    if squares and len(squares) != len(members):
        raise ConfigError(f"`squares` must be one per model, {len(members)}, not {len(squares)}")
    config, losses = with_precision(config, targets), []
    with using(workers) as threads:
        for n, (member, own) in enumerate(zip(members, cycle(read_by_each(model, ids)))):
            told = None if progress is None else _part_of(progress, n, len(members))
            read, _ = _read(
                member,
                own,
                config,
                squares[n] if squares else None,
                starts,
                openings[n] if openings else None,
                threads,
                told,
            )
            losses.append(read)
    return mixed_by(model, losses, ids[len(ids) - targets :])


def with_precision(config: DynamicConfig, characters: int) -> DynamicConfig:
    """The configuration with the precision of the products for a text of this length, not auto;
    `ConfigError` if this machine lacks the one that it asks for.
    """
    if config.dynamic_precision == "auto":
        rounded = rounded_precision() if characters > SHORT else None
        return replace(config, dynamic_precision=rounded or "float32")
    try:
        check_precision(config.dynamic_precision)
    except ConfigError as error:
        raise ConfigError(str(error).replace("`precision`", "`dynamic_precision`")) from None
    return config


def _part_of(progress: Progress, n: int, parts: int) -> Progress:
    """The progress of the n-th of several equal parts."""
    return lambda done, total: progress(n * total + done, parts * total)


@overload
def adapt(
    trained: Trained,
    text: str | bytes,
    config: DynamicConfig | None = ...,
    *,
    unknown: Unknown = ...,
    workers: Workers | None = ...,
    progress: Progress | None = ...,
) -> Trained: ...


@overload
def adapt(
    trained: Mixture,
    text: str | bytes,
    config: DynamicConfig | None = ...,
    *,
    unknown: Unknown = ...,
    workers: Workers | None = ...,
    progress: Progress | None = ...,
) -> Mixture: ...


def adapt(
    trained: Trained | Mixture,
    text: str | bytes,
    config: DynamicConfig | None = None,
    *,
    unknown: Unknown = "error",
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Trained | Mixture:
    """The network, or the mixture, after it has read a text and learned from it, by the steps of
    `evaluate_dynamic`; the one that is passed stays as it is.

    The text is read from where texts start (`Trained.opening`), with its documents. unknown: how to
    treat characters that the vocabulary lacks, as in `Vocab.encode`. Errors as in
    `evaluate_dynamic`.
    """
    mixture = Mixture.of(trained)
    ids = mixture.vocab.encode(text, unknown)
    if not len(ids):
        lack = "has no character of the vocabulary" if text else "is empty"
        raise CorpusError(f"the text to learn from {lack}")
    # auto as for a short text: what is then written is the same on any machine
    networks, config = [], with_precision(config or DynamicConfig(), 0)
    for n, network in enumerate(mixture):
        own, pattern = mixture.read_by(n, ids), network.corpus_config.document_separator
        starts = None if pattern is None else resets(own, network.vocab, pattern)
        _, model = _read(
            network.model,
            own,
            config,
            network.squares,
            starts,
            network.opening,
            workers,
            progress,
        )
        networks.append(replace(network, model=model))
    if isinstance(trained, Mixture):
        return Mixture(networks, trained.weights)
    return networks[0]


def _read(
    model: Model,
    ids: NDArray[Any],
    config: DynamicConfig,
    squares: Parameters | None,
    starts: Positions | None,
    opening: StartStates | None,
    workers: Workers | None,
    progress: Progress | None,
) -> tuple[NDArray[np.float32], Model]:
    """The loss of each character, and the model as it has become."""
    openings = [] if opening is None else [opening]
    ids, targets = checked_text(model, ids, openings)
    (ids,), starts = preceded([ids], starts, openings)
    if squares is not None and squares.tensors != model.parameters.tensors:
        raise ConfigError("`squares` belong to a network of another shape")
    streams = max(1, min(config.dynamic_streams, targets // LEAST_PART))
    part, rest = divmod(targets, streams)
    firsts = np.arange(streams, dtype=np.int64) * part
    losses = np.empty(targets, np.float32)
    with using(workers) as threads:
        learner = _Learner(model, config, streams, squares, threads)
        network, state = learner.network, State(learner.model, streams)
        if opening is not None:
            opening.put(state, firsts == 0)
        for block in walk(ids, starts, firsts, part, config.dynamic_segment):
            _, gradient = learner.gradients(block.x, block.y, state, block.starts)
            # scored before the update: these losses are of weights that have not seen the segment
            losses[block.places] = network.losses[: len(block.x)]
            learner.learn(gradient)
            if progress is not None:
                progress(block.read * streams, targets)
        # the remainder of the division belongs to the last part
        for block in walk(ids, starts, firsts + part, rest, config.dynamic_segment):
            segment_losses = network.evaluate(block.x, block.y, state, block.starts)
            losses[block.places[:, -1]] = segment_losses[:, -1]
    if progress is not None:
        progress(targets, targets)
    return losses, learner.model


class _Learner:
    """A copy of a model that keeps learning."""

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
        shape, precision = (config.dynamic_segment, streams), config.dynamic_precision
        self.network = Network(self.model, *shape, workers, training=True, precision=precision)
        self._decorrelation = Decorrelation(self.network)
        self._rms = relative(squares, model.parameters)
        self._rule = np.array([config.dynamic_rate, EPSILON, config.dynamic_decay], np.float32)
        self._clipper = Clipper(model.parameters, workers, 0.0, 0.0)
        self._length = self._clipper.measure(self._rms)[0]
        self._sum, self._steps = 0.0, 0

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
            rate, done = self._rule[0], counted(self._steps, "step")
            raise ConfigError(
                f"the loss is NaN or infinite after {done} of dynamic evaluation: `dynamic_rate` "
                f"{rate:g} is too high; lower it"
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
