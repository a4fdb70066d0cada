"""Dynamic evaluation: a network keeps learning from the text that it is scored on (Krause,
Kahembwe, Murray & Renals 2018).

The text is read in segments. Each one is first scored with the current weights and then used for
one step of gradient descent, so no character is predicted by weights that have seen it. The result
is not the loss of the trained network and should not be compared with one: it is the loss of a
network that also remembers the text in its weights.

Which rate is best depends on the network and on the text. So two copies learn, one slowly and one
fast, and whichever has predicted the last characters better has more to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
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
    by_past_losses,
    checked_text,
    members_of,
    mixed,
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
SPEEDS = (0.5, 2.0)
"""What rate and decay are multiplied by: a copy of each network learns at each of these speeds."""
TOGETHER = 1024
"""About how many characters each network reads between two reports of progress."""
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

        theta += -s rate g / (r + 1) + min(s decay r, 1) (theta_0 - theta),   g = P dE/dtheta / d

    (equations 5 and 6 of the paper, which has no P: it makes independent what a weight reads, see
    `evaluation.decorrelation`). r is the root mean square of each weight's gradients over the
    training text, scaled to a mean of 1; it measures how sensitive the weight is. The scalar d
    scales r to the size of this text's gradients so far, so that a rate means nearly the same for
    networks of any size and segments of any length; g is clipped to a norm of 2 |r|. There are two
    copies of each model, with s = 1/2 and s = 2. The ensembles of the slow and of the fast ones are
    weighted by their past losses (`evaluate.by_past_losses`).

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
    config = with_precision(config, targets)
    readers: list[Callable[[Workers], _Reader]] = []
    for n, (member, own) in enumerate(zip(members, cycle(read_by_each(model, ids)))):
        about = squares[n] if squares else None, starts, openings[n] if openings else None
        readers += [partial(_Reader, member, own, config, speed, *about) for speed in SPEEDS]
    losses = [reader.losses for reader in _read(readers, workers, progress)]
    slow_and_fast = [
        mixed_by(model, losses[k :: len(SPEEDS)], ids[len(ids) - targets :]).losses
        for k in range(len(SPEEDS))
    ]
    each, streams = np.array(slow_and_fast, np.float64), _streams(config, targets)
    cuts = targets // streams * np.arange(1, streams)
    # no part may depend on how another ends, since that one has learned from its beginning
    parts = np.split(each, cuts, axis=1)
    return mixed([np.concatenate([by_past_losses(part) for part in parts])])


def _streams(config: DynamicConfig, targets: int) -> int:
    """In how many parts a text is read."""
    return max(1, min(config.dynamic_streams, targets // LEAST_PART))


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
    config = with_precision(config or DynamicConfig(), 0)
    readers: list[Callable[[Workers], _Reader]] = []
    for n, network in enumerate(mixture):
        own, pattern = mixture.read_by(n, ids), network.corpus_config.document_separator
        starts = None if pattern is None else resets(own, network.vocab, pattern)
        about = network.squares, starts, network.opening
        readers.append(partial(_Reader, network.model, own, config, 1.0, *about))
    networks = [
        replace(network, model=reader.model)
        for network, reader in zip(mixture, _read(readers, workers, progress), strict=True)
    ]
    if isinstance(trained, Mixture):
        return Mixture(networks, trained.weights)
    return networks[0]


def _read(
    readers: Sequence[Callable[[Workers], _Reader]],
    workers: Workers | None,
    progress: Progress | None,
) -> Iterator[_Reader]:
    """Let these read, a thread for each: the steps of one stream cannot be divided well."""
    alone = Workers(1)
    with using(workers) as threads:
        for first in range(0, len(readers), threads.threads):
            inside = threads if len(readers) == 1 else alone
            group = [make(inside) for make in readers[first : first + threads.threads]]
            jobs, whole = [(reader,) for reader in group], group[0].targets
            while group[0].read < whole:
                threads.run(_Reader.go_on, jobs)
                if progress is not None:
                    done = first * whole + sum(reader.read for reader in group)
                    progress(done // len(readers), whole)
            yield from group


class _Reader:
    """A copy of a network that reads a text and learns from it.

    losses: of the `read` characters of `targets` that it has read. model: as it has become
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
        workers: Workers,
    ) -> None:
        openings = [] if opening is None else [opening]
        ids, self.targets = checked_text(model, ids, openings)
        (ids,), starts = preceded([ids], starts, openings)
        if squares is not None and squares.tensors != model.parameters.tensors:
            raise ConfigError("`squares` belong to a network of another shape")
        streams = _streams(config, self.targets)
        self.losses, self.read = np.empty(self.targets, np.float32), 0
        learner = _Learner(model, config, speed, streams, squares, workers)
        self.model, state = learner.model, State(learner.model, streams)
        part = self.targets // streams
        firsts = np.arange(streams, dtype=np.int64) * part
        if opening is not None:
            opening.put(state, firsts == 0)
        self._segments = self._learned(learner, state, ids, starts, firsts, config.dynamic_segment)
        self._together = max(1, TOGETHER // (config.dynamic_segment * streams))

    def go_on(self) -> None:
        """Read the next segments."""
        for read in islice(self._segments, self._together):
            self.read = read

    def _learned(
        self,
        learner: _Learner,
        state: State,
        ids: NDArray[Any],
        starts: Positions | None,
        firsts: NDArray[np.int64],
        segment: int,
    ) -> Iterator[int]:
        """After each segment, the number of characters that have been read."""
        network, (part, rest) = learner.network, divmod(self.targets, len(firsts))
        for block in walk(ids, starts, firsts, part, segment):
            _, gradient = learner.gradients(block.x, block.y, state, block.starts)
            # scored before the update: these losses are of weights that have not seen the segment
            self.losses[block.places] = network.losses[: len(block.x)]
            learner.learn(gradient)
            yield block.read * len(firsts)
        # the remainder of the division belongs to the last part
        for block in walk(ids, starts, firsts + part, rest, segment):
            segment_losses = network.evaluate(block.x, block.y, state, block.starts)
            self.losses[block.places[:, -1]] = segment_losses[:, -1]
            yield part * len(firsts) + block.read


class _Learner:
    """A copy of a model that keeps learning."""

    def __init__(
        self,
        model: Model,
        config: DynamicConfig,
        speed: float,
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
