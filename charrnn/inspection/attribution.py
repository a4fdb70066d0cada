"""What past characters a prediction hangs on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.trained import Trained
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import Progress
from charrnn.network.model import State
from charrnn.network.network import Network
from charrnn.network.parameters import Floats
from charrnn.runtime.threads import Workers
from charrnn.text.documents import resets
from charrnn.text.vocab import Unknown, checked_ids

REACH = 100
"""Characters before the prediction that are looked at."""
STEPS, STEPS_OF_MANY = 256, 16
"""Characters read at a time: by one stream, and by one for each character that is left out."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """What the prediction of ids[at] hangs on: the K characters ids[first:at] before it.

    target: the id whose probability it is about: of the character that came, or another.
    logprob: ln p of it.
    gradients: how strongly ln p depends on each input, float32 (K,): the Euclidean norm of the
        derivative of ln p with respect to the vector that the network reads there, the character's
        embedding, or without one its one-hot vector. Exact, for infinitely small changes.
    without: ln p of the target if that one character is left out, float32 (K,); NaN if nothing
        would be left to read.
    probabilities: of each symbol, float32 (V,).
    """

    ids: NDArray[Any] = field(repr=False)
    at: int
    first: int
    target: int
    logprob: float
    gradients: Floats = field(repr=False)
    without: Floats = field(repr=False)
    probabilities: Floats = field(repr=False)

    @property
    def changes(self) -> Floats:
        """By how many nats ln p falls if a character is left out, float32 (K,); below zero where it
        rises.
        """
        return np.float32(self.logprob) - self.without


def attribution(
    trained: Trained,
    text: str | bytes | NDArray[Any],
    at: int,
    *,
    character: str | None = None,
    reach: int = REACH,
    unknown: Unknown = "error",
    progress: Progress | None = None,
) -> Attribution:
    """What the probability of the character at this place, from 0, hangs on: the derivative of its
    logarithm by each of the `reach` characters before it, and what is lost without each of them.

    The derivative says where the network listens, whatever stands there; leaving out says what
    would be different, and it moves all characters before it one place nearer. The text is read as
    in `trace`, from a zero state or the last one before it, so characters of earlier documents have
    no part in it. `ConfigError` unless 1 <= at <= len(text) in symbols, `VocabError` as in `trace`.

    character: the one whose probability it is about; by default the one that came, or the most
        probable one at the end of the text.
    """
    vocab = trained.vocab
    ids = vocab.encode(text, unknown) if isinstance(text, str | bytes) else text
    ids = checked_ids(ids, len(vocab)).astype(vocab.dtype)
    if not 1 <= at <= len(ids):
        raise ConfigError(f"`at` must be 1 to {len(ids):,}, the length of the text, not {at:,}")
    if reach < 1:
        raise ConfigError(f"`reach` must be at least 1, not {reach}")
    read, count = _read(trained, ids, at, reach)
    window = read[-count:]
    before, after = _states(trained, read[:-count], progress)
    target = _target(trained, character, ids[at] if at < len(ids) else None)
    network = Network(trained.model, count, 1, Workers(1), training=True)
    y = np.append(window[1:], np.int32(target or 0))[:, None]
    state = State(trained.model, 1)
    state.copy_from(after)
    network.evaluate(window[:, None], y, state)
    probabilities = network.probabilities(y, count - 1, count, 0, 1)[0, 0]
    if target is None:
        target = int(probabilities.argmax())
        y[-1] = target
    state.copy_from(after)
    gradients = network.input_gradients(window[:, None], y, state)[:, 0]
    return Attribution(
        ids=ids,
        at=at,
        first=at - count,
        target=target,
        logprob=-float(network.losses[count - 1, 0]),
        gradients=np.sqrt(np.square(gradients, dtype=np.float64).sum(axis=1)).astype(np.float32),
        without=_without(trained, read[:-count][-1:], window, target, (before, after)),
        probabilities=probabilities,
    )


def _target(trained: Trained, character: str | None, came: Any) -> int | None:
    if character is None:
        return None if came is None else int(came)
    ids = trained.vocab.encode(character)
    if len(ids) != 1:
        raise ConfigError(f"`character` must be one of the vocabulary, not {character!r:.40}")
    return int(ids[0])


def _read(
    trained: Trained, ids: NDArray[Any], at: int, reach: int
) -> tuple[NDArray[np.int32], int]:
    """What is read from the last zero state up to a place, int32 (K,), and how many characters at
    its end to look at.
    """
    pattern, begin = trained.corpus_config.document_separator, 0
    if pattern is not None:
        starts = resets(ids, trained.vocab, pattern)
        begin = int(starts[starts < at].max(initial=-1))
    lead = trained.opening.ids[:1] if begin < 0 else ids[:0]
    read = np.append(lead, ids[max(begin, 0) : at]).astype(np.int32)
    return read, min(reach, at - max(begin, 0))


def _states(
    trained: Trained, read: NDArray[np.int32], progress: Progress | None
) -> tuple[State, State]:
    """The states before and after the last of these characters; zero states if there are none."""
    before, after = State(trained.model, 1), State(trained.model, 1)
    network = Network(trained.model, STEPS, 1, Workers(1))
    for a in range(0, len(read) - 1, STEPS):
        x = read[a : min(a + STEPS, len(read) - 1), None]
        network.evaluate(x, x, after)
        if progress is not None:
            progress(a + len(x), len(read))
    before.copy_from(after)
    if len(read):
        network.evaluate(read[-1:, None], read[-1:, None], after)
    return before, after


def _without(
    trained: Trained,
    lead: NDArray[np.int32],
    window: NDArray[np.int32],
    target: int,
    states: tuple[State, State],
) -> Floats:
    """ln p of the target after the window (K,) without each of its characters, float32 (K,). The
    lead, which may be empty, is read before it from the first state.
    """
    count = len(window)
    kept = np.tile(window, (count, 1))[~np.eye(count, dtype=np.bool_)].reshape(count, count - 1)
    x = np.concatenate([np.tile(lead, (count, 1)), kept], axis=1).T
    if not len(x):
        return np.full(count, np.nan, np.float32)
    x = np.ascontiguousarray(x, np.int32)
    y = np.ascontiguousarray(np.concatenate([x[1:], np.full((1, count), target, np.int32)]))
    network = Network(trained.model, STEPS_OF_MANY, count, Workers(1))
    state = State(trained.model, count)
    state.put(slice(None), states[0])
    for a in range(0, len(x), STEPS_OF_MANY):
        losses = network.evaluate(x[a : a + STEPS_OF_MANY], y[a : a + STEPS_OF_MANY], state)
    result: Floats = -losses[-1]
    return result
