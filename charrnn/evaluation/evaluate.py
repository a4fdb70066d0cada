"""How well a network, or several together, predict a text: nats a character, with carried state or
in cold windows.

Several models are an ensemble: the probability of a character is the mean of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError, CorpusError
from charrnn.network.layer import Ids
from charrnn.network.model import Model, Models, Panels, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Starts, starts_in_batch

WARM_UP = 512
"""Characters before a stream's part that it reads without being judged, so that its state is that
of one long stream.
"""
PART = 1024
"""Least characters of a part. Few long parts fill no tile of the product: with 4,096, short texts
took twice as long.
"""
STREAMS, STEPS = 32, 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """The mean loss over `characters` predictions."""

    nats_per_char: float
    characters: int

    @property
    def bits_per_char(self) -> float:
        """The same in bits."""
        return self.nats_per_char / math.log(2)


def evaluate(
    model: Models,
    ids: NDArray[Any],
    *,
    starts: Starts | None = None,
    workers: Workers | None = None,
    panels: Panels | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The loss of a text with carried state: every character after the first, given all before it,
    by a model or an ensemble.

    ids (K,), any integer type, K >= 2, else `CorpusError`. Long texts are read in up to 32 parts
    side by side, each with a state warmed up on the 512 characters before it; a test shows that
    this is the loss of one stream to 1e-4. Texts below 2,049 characters are read in one stream.
    `starts` are the positions in ids at which a document begins, if the state is to be zero there:
    int64, sorted (`documents.document_starts`).
    """
    return mean_of(
        per_character(model, ids, starts=starts, workers=workers, panels=panels, progress=progress)
    )


def per_character(
    model: Models,
    ids: NDArray[Any],
    *,
    starts: Starts | None = None,
    workers: Workers | None = None,
    panels: Panels | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """The loss of each character but the first, nats, float32 (K - 1,), as `evaluate` averages
    them.

    `panels` are those of a single model.
    """
    check_ids(ids)
    with using(workers) as own:
        losses = [
            _carried(one, ids, starts, own, panels, told) for one, told in in_turn(model, progress)
        ]
    return mixed(losses)


def _carried(
    model: Model,
    ids: NDArray[Any],
    starts: Starts | None,
    workers: Workers,
    panels: Panels | None,
    progress: Progress | None,
) -> NDArray[np.float32]:
    targets = len(ids) - 1
    streams = max(1, min(STREAMS, targets // PART))
    part = -(-targets // streams)
    warm_up = WARM_UP if streams > 1 else 0
    firsts = [max(0, min(n * part, targets - part) - warm_up) for n in range(streams)]
    losses = np.empty(targets, np.float32)
    network, state = Network(model, STEPS, streams, workers, panels=panels), State(model, streams)
    # the first stream has nothing to warm up on: it runs ahead of the others and stops where they
    # do
    length = part + warm_up
    for done in range(0, length, STEPS):
        steps = min(STEPS, length - done)
        found = network.evaluate(
            *_columns(ids, firsts, done, steps), state, _resets(starts, firsts, done, steps)
        )
        for n, first in enumerate(firsts):
            a, b = first + done, min(first + done + steps, targets)
            skip = max(0, (first + warm_up if n else 0) - a)
            if a + skip < b:
                losses[a + skip : b] = found[skip : b - a, n]
        if progress is not None:
            progress((done + steps) * streams, length * streams)
    return losses


def evaluate_windows(
    model: Models,
    ids: NDArray[Any],
    window: int = 256,
    *,
    starts: Starts | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The loss over windows of `window` predictions, one behind the other, each from a zero state.

    This is how nanoGPT's figures are made, but for its drawing windows at random. A rest shorter
    than a window is a window. `starts` as for `evaluate`.
    """
    check_ids(ids)
    if window < 1:
        raise ConfigError(f"--window must be at least 1, not {window}")
    window = min(window, len(ids) - 1)  # a longer one would only read past the end
    with using(workers) as own:
        losses = [
            _cold(one, ids, window, starts, own, told) for one, told in in_turn(model, progress)
        ]
    return mean_of(mixed(losses))


def _cold(
    model: Model,
    ids: NDArray[Any],
    window: int,
    starts: Starts | None,
    workers: Workers,
    progress: Progress | None,
) -> NDArray[np.float32]:
    targets = len(ids) - 1
    count = -(-targets // window)
    streams = min(count, STREAMS)
    losses = np.empty(targets, np.float32)
    network, state = Network(model, STEPS, streams, workers), State(model, streams)
    for first in range(0, count, streams):
        firsts = [min(first + n, count - 1) * window for n in range(streams)]
        state.reset()
        for done in range(0, window, STEPS):
            steps = min(STEPS, window - done)
            found = network.evaluate(
                *_columns(ids, firsts, done, steps), state, _resets(starts, firsts, done, steps)
            )
            for n in range(min(streams, count - first)):
                a = firsts[n] + done
                kept = max(0, min(steps, targets - a))
                losses[a : a + kept] = found[:kept, n]
        if progress is not None:
            progress(min(first + streams, count), count)
    return losses


def mean_of(losses: NDArray[np.float32]) -> Evaluation:
    """The mean of losses in nats, one a character."""
    return Evaluation(float(losses.mean(dtype=np.float64)), len(losses))


def mixed(losses: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The losses of an ensemble: -log of the mean of e^-loss, for each character. Those of one
    model are as they were.
    """
    if not losses:
        raise ConfigError("an ensemble needs at least one model")
    if len(losses) == 1:
        return losses[0]
    total = np.negative(losses[0], dtype=np.float64)
    for other in losses[1:]:
        np.logaddexp(total, -other.astype(np.float64), out=total)
    return (math.log(len(losses)) - total).astype(np.float32)


def check_ids(ids: NDArray[Any]) -> None:
    """`CorpusError` for a text of fewer than two characters."""
    if len(ids) < 2:
        raise CorpusError(
            "a text to evaluate needs at least 2 characters that the model knows; this one has "
            f"{len(ids)}"
        )


def _columns(ids: NDArray[Any], firsts: list[int], done: int, steps: int) -> tuple[Ids, Ids]:
    """x and y (steps, N): each stream's next characters; past the end of the text, its last one
    again.
    """
    places = np.minimum(
        np.array(firsts)[None, :] + done + np.arange(steps + 1)[:, None], len(ids) - 1
    )
    block = np.ascontiguousarray(ids[places], np.int32)
    return block[:-1], block[1:]


def _resets(
    starts: Starts | None, firsts: list[int], done: int, steps: int
) -> NDArray[np.bool_] | None:
    """Where a document begins among the same characters, (steps, N)."""
    return (
        None
        if starts is None
        else starts_in_batch(starts, np.array(firsts, np.int64) + done, steps)
    )


def in_turn(model: Models, progress: Progress | None) -> list[tuple[Model, Progress | None]]:
    """The models, and for each how to tell its progress as a part of that of all."""
    models = [model] if isinstance(model, Model) else list(model)

    def part(k: int, tell: Progress) -> Progress:
        return lambda done, whole: tell(k * whole + done, len(models) * whole)

    return [(one, None if progress is None else part(k, progress)) for k, one in enumerate(models)]


@contextmanager
def using(given: Workers | None) -> Iterator[Workers]:
    """The threads, which are ended again if they were made here."""
    workers = given or Workers()
    try:
        yield workers
    finally:
        if given is None:
            workers.close()
