"""How well a network or an ensemble predicts each of many short texts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.start_states import StartStates
from charrnn.errors import CorpusError
from charrnn.evaluation.evaluate import STEPS, STREAMS, Evaluation, members_of, mixed, using
from charrnn.evaluation.walk import walk
from charrnn.network.model import Models, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Positions, checked_starts
from charrnn.text.vocab import checked_ids


def evaluate_texts(
    model: Models,
    texts: Sequence[NDArray[Any]],
    openings: Sequence[StartStates],
    *,
    starts: Sequence[Positions] | None = None,
    workers: Workers | None = None,
) -> list[Evaluation]:
    """The loss of each text, by a model or an ensemble. Every character is predicted, the first one
    too: a text continues from the first state of its model's opening (`Trained.opening`).

    Texts of similar lengths are read in parallel; the result for one has the same bits whatever the
    others are, on any number of threads. `CorpusError` for a text without characters, `VocabError`
    for ids that a model does not have.

    texts: ids (K,) of any integer type, K >= 1. starts: for each text, as in `evaluate`.
    """
    if not texts:
        return []
    models = members_of(model)
    symbols = min(member.config.vocab_size for member in models)
    texts = [checked_ids(text, symbols) for text in texts]
    sizes = np.array([len(text) for text in texts], np.int64)
    if not sizes.all():
        raise CorpusError("a text to evaluate needs at least 1 character in the vocabulary")
    firsts = np.cumsum(sizes + 1) - sizes - 1  # an id precedes each text
    resets = None
    if starts is not None:
        checked = map(checked_starts, starts, sizes.tolist())
        resets = np.concatenate([own + 1 + at for own, at in zip(checked, firsts, strict=True)])
    losses = [np.zeros(int((sizes + 1).sum()), np.float32) for _ in models]
    order = np.argsort(sizes, kind="stable")
    with using(workers) as threads:
        for member, opening, own in zip(models, openings, losses, strict=True):
            ids = np.concatenate([part for text in texts for part in (opening.ids[:1], text)])
            network, state = Network(member, STEPS, STREAMS, threads), State(member, STREAMS)
            for begin in range(0, len(order), STREAMS):
                group = order[np.minimum(np.arange(begin, begin + STREAMS), len(order) - 1)]
                opening.put(state, np.ones(STREAMS, np.bool_))
                ends = (firsts + sizes)[group]
                for block in walk(ids, resets, firsts[group], int(sizes[group].max()), STEPS):
                    block_losses = network.evaluate(block.x, block.y, state, block.starts)
                    is_scored = block.places < ends
                    own[block.places[is_scored]] = block_losses[is_scored]
    parts = zip(firsts.tolist(), sizes.tolist(), strict=True)
    return [mixed([own[first : first + size] for own in losses]) for first, size in parts]
