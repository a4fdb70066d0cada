"""Evaluation with a memory of what was read: a neural cache (Grave, Joulin & Usunier 2017,
"Improving Neural Language Models with a Continuous Cache").

The network's weights do not change. It remembers the outputs of its top layer at the last
characters, and which character came after each:

    p(w) = (1 - share) p_network(w) + share p_memory(w)
    p_memory(w) = sum over i with x_(i+1) = w of a_i / S,   a_i = exp(sharpness (k_t . k_i - 1))
    share = sqrt(S) / (sqrt(S) + c),   S = sum over all i of a_i

over the `size` positions i before t; k is the output minus the mean of those before, scaled to
length 1. So a character is likely that came before in a place that looked alike to the network, and
the more places there are, the more their word counts. (In the paper the share is a constant, which
gained two thirds as much.) c is not a constant either: p is a mean for several c with weights by
their past losses (`kernels.trusting`), so where the memory is of no use, it soon has no say (c =
infinity is one of them).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.start_states import StartStates
from charrnn.config import MemoryConfig
from charrnn.errors import CorpusError
from charrnn.evaluation.evaluate import (
    Evaluation,
    Progress,
    checked_text,
    evaluate,
    members_of,
    mixed,
    preceded,
    using,
)
from charrnn.evaluation.trust import Trust
from charrnn.evaluation.walk import Block
from charrnn.network.arithmetic import FLOAT32
from charrnn.network.model import Models
from charrnn.network.network import Network
from charrnn.network.parameters import Floats, aligned
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Positions

LONGEST = 1_000_000
"""Characters of the longest text: all outputs are held in memory, two bytes a number."""
TOGETHER = 512
"""Characters that are compared with the memory at a time."""
BETWEEN = 16
"""Such blocks between two reports of progress."""
CAUTIONS = np.array([0.5, 1, 2, 3, 4.5, 7, 12, 30, np.inf])
"""The values of c."""


def check_length(characters: int) -> None:
    """`CorpusError` for a text that is too long for a memory."""
    if characters > LONGEST:
        raise CorpusError(
            f"the text has {characters:,} characters, but a memory can be kept of {LONGEST:,} at "
            "most; take a part of it"
        )


def evaluate_with_memory(
    model: Models | Mixture,
    ids: NDArray[Any],
    config: MemoryConfig | None = None,
    *,
    starts: Positions | None = None,
    openings: Sequence[StartStates] = (),
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The loss, in nats per character, of a text with a memory of the characters before each.

    Nothing is compared with what comes later. ids, `starts` and `openings` as in
    `evaluation.evaluate`; documents share the memory. In an ensemble each network remembers its own
    outputs, and all sums are weighted means of theirs.

    `CorpusError` above a million characters.
    """
    config, members = config or MemoryConfig(), members_of(model)
    ids, targets = checked_text(model, ids, openings)
    check_length(targets)
    outputs = [np.zeros((targets, each.width), np.float16) for each in members]

    def keep(networks: Sequence[Network], blocks: Sequence[Block], scored: NDArray[Any]) -> None:
        steps, places = len(blocks[0].x), blocks[0].places[scored]
        for own, network in zip(outputs, networks, strict=True):
            own[places] = network.layers[-1].out[:steps][scored]

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(done * targets // total, 2 * targets)

    with using(workers) as threads:
        read = evaluate(
            model,
            ids,
            starts=starts,
            openings=openings,
            workers=threads,
            progress=tell,
            observe=keep,
        )
        following = ids[len(ids) - targets :]
        losses = np.empty((len(CAUTIONS), targets))
        shares = model.weights if isinstance(model, Mixture) else [1 / len(members)] * len(members)
        memories = [_Memory(own, following, config) for own in outputs]
        jobs = [(a, min(a + TOGETHER, targets)) for a in range(0, targets, TOGETHER)]

        def compare(start: int, stop: int) -> None:
            sums = np.array([memory.alike(start, stop) for memory in memories])
            same, all_alike = np.tensordot(shares, sums, 1)
            known = np.divide(same, all_alike, out=np.zeros_like(same), where=all_alike > 0)
            share = np.sqrt(all_alike) / (np.sqrt(all_alike) + CAUTIONS[:, None])
            own = np.exp(-read.losses[start:stop].astype(np.float64))
            losses[:, start:stop] = -np.log((1 - share) * own + share * known)

        for first in range(0, len(jobs), BETWEEN):
            threads.run(compare, jobs[first : first + BETWEEN])
            if progress is not None:
                progress(targets + jobs[: first + BETWEEN][-1][1], 2 * targets)
    symbols = len(model.vocab) if isinstance(model, Mixture) else members[0].config.vocab_size
    (text,), _ = preceded([ids], None, openings[:1])
    return mixed([Trust(symbols, np.zeros(len(CAUTIONS))).mixed(losses, text[:-1])])


class _Memory:
    """outputs (K, H) of the positions before the characters `following` (K,)."""

    def __init__(
        self, outputs: NDArray[np.float16], following: NDArray[Any], config: MemoryConfig
    ) -> None:
        self._outputs, self._following, self._config = outputs, following, config
        sums = [np.zeros(outputs.shape[1])]
        for start in range(0, len(outputs), TOGETHER):
            sums.append(sums[-1] + outputs[start : start + TOGETHER].sum(axis=0, dtype=np.float64))
        self._sums = sums
        """Of all positions before each block."""

    def alike(self, start: int, stop: int) -> NDArray[np.float64]:
        """For the characters start:stop, a block: the sum of a_i over the positions after which
        the same character came, and S; both 0 where there is no memory yet. (2, stop - start)
        """
        size, sharpness = self._config.memory_size, self._config.memory_sharpness
        first = max(0, start - size)
        width = -(-(stop - first) // 64) * 64
        mean = (self._sums[start // TOGETHER] / max(1, start)).astype(np.float32)
        keys = aligned(width, self._outputs.shape[1])
        keys[: stop - first] = self._outputs[first:stop] - mean
        lengths = np.sqrt(np.square(keys).sum(axis=1, dtype=np.float64))
        keys /= np.maximum(lengths, 1e-9)[:, None].astype(np.float32)
        products = self._products(keys, start - first, stop - first)
        place, position = np.arange(first, first + width), np.arange(start, stop)[:, None]
        is_known = (place < position) & (place >= position - size)
        weight = np.exp(np.float32(sharpness) * (products - 1)) * is_known
        came = np.zeros(width, self._following.dtype)
        came[: stop - first] = self._following[first:stop]
        is_same = came == self._following[start:stop, None]
        same = (weight * is_same).sum(axis=1, dtype=np.float64)
        return np.array([same, weight.sum(axis=1, dtype=np.float64)])

    def _products(self, keys: Floats, start: int, stop: int) -> Floats:
        """The scalar products of keys start:stop with all keys, by the network's own product, whose
        bits do not depend on the machine.
        """
        width, depth = keys.shape
        panels, out = aligned(math.prod(keys.shape)), aligned(stop - start, width)
        FLOAT32.pack_transposed(keys, panels, 0, depth, 0, width)
        FLOAT32.multiply(np.ascontiguousarray(keys[start:stop]), panels, out)
        return out
