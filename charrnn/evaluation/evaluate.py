"""How well a network or an ensemble predicts a text, in nats per character, with carried state or
in windows from a zero state.

Several models form an ensemble: the probability of a character is the mean of the models'
probabilities.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from functools import reduce
from itertools import cycle, islice, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.start_states import StartStates
from charrnn.errors import ConfigError, CorpusError, overflow
from charrnn.evaluation.walk import Block, walk
from charrnn.network.model import Model, Models, Panels, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Positions, checked_starts
from charrnn.text.vocab import checked_ids, counted

WARM_UP = 512
"""Characters that a stream reads unscored before its part, so that its state matches that of one
long stream; more with attention that reaches further.
"""
PART = 1024
"""Minimum number of characters in a part. A few long parts would not fill the tiles of the matrix
product: with 4,096, short texts took twice as long.
"""
STREAMS, STEPS = 32, 64

Progress = Callable[[int, int], None]
"""Called with the amount of work done and the total."""
Observer = Callable[[Sequence[Network], Sequence[Block], NDArray[np.bool_]], None]
"""Called after each block, with the networks that have just read it, their blocks, and which of the
predictions count, bool (T, N).
"""


@dataclass(frozen=True)
class Evaluation:
    """The mean loss over `characters` predictions.

    losses: the loss of each prediction in nats, in order, float32 (characters,); empty for a
        compressor.
    """

    nats_per_char: float
    characters: int
    losses: NDArray[np.float32] = field(repr=False, compare=False)

    @property
    def bits_per_char(self) -> float:
        """The mean loss in bits."""
        return self.nats_per_char / math.log(2)


def evaluate(
    model: Models | Mixture,
    ids: NDArray[Any],
    *,
    starts: Positions | None = None,
    openings: Sequence[StartStates] = (),
    workers: Workers | None = None,
    panels: Panels | None = None,
    progress: Progress | None = None,
    observe: Observer | None = None,
) -> Evaluation:
    """The loss of a text with carried state, by a model, by several with equal weights, or by a
    `Mixture`, whose vocabulary ids are then of.

    Every character after the first is predicted from all characters before it. ids (K,) may have
    any integer type; `CorpusError` if there is nothing to predict, `VocabError` for ids out of
    range. Long texts are read as up to 32 parts in parallel, each with a state warmed up on the 512
    characters before it, or as many as attention reaches; a test shows that this matches the loss
    of one stream to 1e-4. Texts below 2,049 characters are read as one stream.

    starts: positions in ids before whose characters the state is set to zero: int64, sorted
        (`documents.resets`).
    openings: one per model, such as `Trained.opening`: the text continues from the first state in
        it, and its first character is predicted too. Without them, the text is read from a zero
        state, and its first character is not predicted.
    panels: the packed weights of the model, if available; for a single model only.
    observe: sees the distributions, from which `score` takes more than the losses.
    """
    ids, targets = checked_text(model, ids, openings)
    texts, starts = preceded(read_by_each(model, ids), starts, openings)
    warm_up = max(WARM_UP, *(each.config.attention for each in members_of(model)))
    streams = max(1, min(STREAMS, targets // max(PART, warm_up)))
    part, warm_up = -(-targets // streams), warm_up * (streams > 1)
    firsts = np.minimum(np.arange(streams) * part, targets - part) - warm_up
    # the first stream has no text to warm up on: it starts scoring earlier and ends with the others
    firsts[0] = 0
    read = _Reading(texts, starts, openings, firsts[None], warm_up, part + warm_up)
    return _evaluate(model, ids[-targets:], read, workers, panels, progress, observe)


def evaluate_windows(
    model: Models | Mixture,
    ids: NDArray[Any],
    window: int = 256,
    *,
    starts: Positions | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The loss over consecutive windows of `window` predictions, each from a zero state.

    This is how nanoGPT computes its losses, except that it draws windows at random. The last window
    may be shorter. Other parameters as in `evaluate`.
    """
    ids, targets = checked_text(model, ids)
    if window < 1:
        raise ConfigError(f"`window` must be at least 1, not {window}")
    window = min(window, targets)
    last = (targets - 1) // window
    streams = min(last + 1, STREAMS)
    numbers = np.arange(last // streams * streams + streams).reshape(-1, streams)
    texts, starts = preceded(read_by_each(model, ids), starts, ())
    read = _Reading(texts, starts, (), np.minimum(numbers, last) * window, 0, window)
    return _evaluate(model, ids[-targets:], read, workers, None, progress)


@dataclass(frozen=True, eq=False)
class _Reading:
    """How a text is read: in R rounds, by N streams that begin at the positions firsts (R, N).

    In each round, every stream reads `length` characters from a zero state. The first `warm_up` of
    them are not scored, except at the start of the text. With openings, the stream there begins in
    the first state of its model's. texts: the ids for each model, or for all.
    """

    texts: Sequence[NDArray[Any]]
    starts: Positions | None
    openings: Sequence[StartStates]
    firsts: NDArray[np.int64]
    warm_up: int
    length: int


def _evaluate(
    model: Models | Mixture,
    targets: NDArray[Any],
    read: _Reading,
    workers: Workers | None,
    panels: Panels | None,
    progress: Progress | None,
    observe: Observer | None = None,
) -> Evaluation:
    models = members_of(model)
    (rounds, streams), done = read.firsts.shape, 0
    losses = [np.empty(len(read.texts[0]) - 1, np.float32) for _ in models]
    with using(workers) as threads:
        networks = [Network(each, STEPS, streams, threads, panels=panels) for each in models]
        states = [State(each, streams) for each in models]
        for begin in read.firsts:
            for state, opening in zip_longest(states, read.openings):
                state.reset()
                if opening is not None:
                    opening.put(state, begin == 0)
            scored = np.where(begin > 0, begin + read.warm_up, 0)
            # each character once: threads write what is observed of it
            scored[1:] = np.maximum(scored[1:], begin[:-1] + read.length)
            walks = (
                walk(ids, read.starts, begin, read.length, STEPS)
                for ids in islice(cycle(read.texts), len(models))
            )
            for blocks in zip(*walks, strict=True):
                places = blocks[0].places
                is_scored = (places >= scored) & (places < len(losses[0]))
                for block, network, state, own in zip(
                    blocks, networks, states, losses, strict=True
                ):
                    block_losses = network.evaluate(block.x, block.y, state, block.starts)
                    own[places[is_scored]] = block_losses[is_scored]
                    done += block_losses.size
                if observe is not None:
                    observe(networks, blocks, is_scored)
                if progress is not None:
                    progress(done, len(models) * rounds * streams * read.length)
    return mixed_by(model, losses, targets)


def read_by_each(model: Models | Mixture, ids: NDArray[Any]) -> list[NDArray[Any]]:
    """A text for each network of a mixture, in its own ids; for models, the text itself."""
    if isinstance(model, Mixture):
        return [model.read_by(n, ids) for n in range(len(model))]
    return [ids]


def preceded(
    texts: Sequence[NDArray[Any]], starts: Positions | None, openings: Sequence[StartStates]
) -> tuple[list[NDArray[Any]], Positions | None]:
    """A text for each opening, which begins with the id that the opening reads first, and the
    positions of the resets in it; without openings, the texts themselves. `ConfigError` for
    positions that cannot be resets.

    texts: for each opening, or one for all.
    """
    starts = None if starts is None else checked_starts(starts, len(texts[0]))
    if not openings:
        return [*texts], starts
    begun = [
        np.append(opening.ids[:1].astype(np.min_scalar_type(opening.ids.max(initial=0))), ids)
        for opening, ids in zip(openings, cycle(texts), strict=False)
    ]
    return begun, None if starts is None else starts + 1


def mixed_by(
    model: Models | Mixture, losses: Sequence[NDArray[np.float32]], targets: NDArray[Any]
) -> Evaluation:
    """As `mixed`, for the characters `targets` (K,) and the weights and symbols of a mixture."""
    if isinstance(model, Mixture):
        return mixed(losses, model.weights, model.is_absent(targets))
    return mixed(losses)


def mixed(
    losses: Sequence[NDArray[np.float32]],
    weights: Sequence[float] | None = None,
    is_absent: NDArray[np.bool_] | None = None,
) -> Evaluation:
    """The loss of an ensemble, from its members' losses for each character: -log of the mean of
    e^-loss.

    losses: float32 (K,) per member. weights: one per member, 1 in all; equal by default. is_absent:
    bool (members, K), True where a member gives no probability, whatever its loss. A single model's
    losses are unchanged. `DivergenceError` if one is NaN or infinite.
    """
    if not losses:
        raise ConfigError("an ensemble needs at least one model")
    for number, member in enumerate(losses, 1):
        if not np.isfinite(member).all():
            raise overflow("the network's" if len(losses) == 1 else f"network {number}'s")
    mean = losses[0]
    if len(losses) > 1:
        shares = np.array(weights or [1 / len(losses)] * len(losses))
        logs = np.log(shares)[:, None] - np.array(losses, np.float64)
        if is_absent is not None:
            logs[is_absent] = -np.inf
        mean = -reduce(np.logaddexp, logs).astype(np.float32)
    return Evaluation(float(mean.mean(dtype=np.float64)), len(mean), mean)


def members_of(model: Models | Mixture) -> Sequence[Model]:
    """The members of an ensemble; `ConfigError` if there are none, or if they are no models."""
    if isinstance(model, Mixture):
        return [network.model for network in model]
    models = [model] if isinstance(model, Model) else model
    if not isinstance(models, Sequence) or not all(isinstance(each, Model) for each in models):
        raise ConfigError(
            f"`model` must be a Model or several, not {type(model).__name__}; a Trained has its in "
            "the attribute `model`, a Run in `result`"
        )
    if not models:
        raise ConfigError("an ensemble needs at least one model")
    return models


def checked_text(
    model: Models | Mixture, ids: NDArray[Any], openings: Sequence[StartStates] = ()
) -> tuple[NDArray[Any], int]:
    """The ids, and the number of characters to predict: with openings, all of them. `CorpusError`
    if there are none, `VocabError` for ids that a model does not have.
    """
    members = members_of(model)
    if openings and len(openings) != len(members):
        raise ConfigError(f"`openings` must be one per model, {len(members)}, not {len(openings)}")
    for member, opening in zip(members, openings, strict=False):
        opening.check(member.config)
    symbols = min(each.config.vocab_size for each in members)
    if isinstance(model, Mixture):
        symbols = len(model.vocab)
    ids, least = checked_ids(ids, symbols), 1 if openings else 2
    if len(ids) < least:
        raise CorpusError(
            f"a text to evaluate needs at least {counted(least, 'character')} in the vocabulary; "
            f"this one has {len(ids)}"
        )
    return ids, len(ids) + 1 - least


def using(workers: Workers | None) -> AbstractContextManager[Workers]:
    """The caller's threads, or new ones that end with the block."""
    return closing(Workers()) if workers is None else nullcontext(workers)
