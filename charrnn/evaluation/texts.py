"""How well a network or an ensemble predicts each of many short texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.start_states import StartStates
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import (
    STEPS,
    STREAMS,
    Evaluation,
    checked_text,
    members_of,
    mixed_by,
    read_by_each,
    using,
)
from charrnn.evaluation.walk import walk
from charrnn.network.model import Models, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Positions, checked_starts


def evaluate_texts(
    model: Models | Mixture,
    texts: Sequence[NDArray[Any]],
    openings: Sequence[StartStates],
    *,
    starts: Sequence[Positions] | None = None,
    chosen: Sequence[NDArray[np.int64]] | None = None,
    workers: Workers | None = None,
) -> list[Evaluation]:
    """The loss of each text, by a model, by several with equal weights, or by a `Mixture`. Every
    character is predicted, the first one too: a text continues from a state of its model's opening
    (`Trained.opening`).

    Texts of similar lengths are read in parallel; the result for one has the same bits whatever the
    others are, on any number of threads. `CorpusError` for a text without characters, `VocabError`
    for ids that a model does not have.

    texts: ids (K,) of any integer type, K >= 1. starts: for each text, as in `evaluate`. chosen:
    for each model, which state of its opening each text continues from, (texts,), such as
    `StartStates.chosen`; the first one by default.
    """
    if not texts:
        return []
    if not openings:
        raise ConfigError("`openings` must be one per model; a Trained has its own, `opening`")
    models, texts = members_of(model), [checked_text(model, text, openings)[0] for text in texts]
    each = [read_by_each(model, text) for text in texts]
    sizes = np.array([len(text) for text in texts], np.int64)
    chosen = chosen or [np.zeros(len(texts), np.int64)] * len(models)
    firsts = np.cumsum(sizes + 1) - sizes - 1  # an id precedes each text
    resets = None
    if starts is not None:
        checked = zip(map(checked_starts, starts, sizes.tolist()), firsts, sizes, strict=True)
        # one at the end of a text, which means nothing there, would be in the next
        resets = np.concatenate([own[own < size] + 1 + at for own, at, size in checked])
    losses = [np.zeros(int((sizes + 1).sum()), np.float32) for _ in models]
    order = np.argsort(sizes, kind="stable")
    with using(workers) as threads:
        for n, (member, opening, own) in enumerate(zip(models, openings, losses, strict=True)):
            before = opening.ids[chosen[n]]
            pairs = zip(before, (of[n % len(of)] for of in each), strict=True)
            ids = np.concatenate([part for first, text in pairs for part in ([first], text)])
            network, state = Network(member, STEPS, STREAMS, threads), State(member, STREAMS)
            for begin in range(0, len(order), STREAMS):
                group = order[np.minimum(np.arange(begin, begin + STREAMS), len(order) - 1)]
                begun = chosen[n][group]
                state.put(slice(None), opening.state, begun)
                ends = (firsts + sizes)[group]
                for block in walk(ids, resets, firsts[group], int(sizes[group].max()), STEPS):
                    block_losses = network.evaluate(block.x, block.y, state, block.starts)
                    is_scored = block.places < ends
                    own[block.places[is_scored]] = block_losses[is_scored]
    parts = zip(texts, firsts.tolist(), sizes.tolist(), strict=True)
    return [
        mixed_by(model, [own[first : first + size] for own in losses], text)
        for text, first, size in parts
    ]
