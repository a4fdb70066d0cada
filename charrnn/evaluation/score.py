"""How surprising every character of a text is to a network: its loss, its rank, and what the
network expected instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import Progress, evaluate, using
from charrnn.evaluation.walk import Block
from charrnn.network.network import Network
from charrnn.network.parameters import Floats
from charrnn.runtime.threads import Workers, ranges
from charrnn.text.documents import resets
from charrnn.text.vocab import Unknown, checked_ids

TIE = np.float32(1 + 4e-6)
"""Probabilities that differ by less than this factor count as equal: the loss of a character, from
which its own probability is computed, is rounded.
"""
BOUNDS = (2, 10, 100, 1000)
"""The levels of surprise that are shown: a character that was expected more than once in 2 times
has level 0, one in 2 to 10 level 1, and so on.
"""
CELLS = 1 << 16
"""Probabilities looked at together by one thread, so that they stay in its cache."""


@dataclass(frozen=True, eq=False)
class Score:
    """What a network thought of each of the K symbols of a text, given all symbols before it.

    nats: -ln p of the symbol that came, float32 (K,); the losses of `evaluate`
    rank: 1 if no other symbol was more probable, 2 if one was, and so on, int32 (K,)
    entropy: the mean of -ln p under the network's own distribution, in nats: how surprised it
        expected to be, float32 (K,)
    top: the ids of the most probable symbols, the most probable first, uint8 or uint16 (K, top)
    probabilities: of these, float32 (K, top)
    """

    nats: NDArray[np.float32]
    rank: NDArray[np.int32]
    entropy: NDArray[np.float32]
    top: NDArray[Any]
    probabilities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.nats)

    def __repr__(self) -> str:
        return f"Score({len(self):,} symbols, {self.nats.mean(dtype=np.float64):.4f} nats each)"


def score(
    trained: Trained | Sequence[Trained],
    text: str | bytes | NDArray[Any],
    *,
    top: int = 5,
    unknown: Unknown = "error",
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Score:
    """The surprise of every character of a text, by a network, by several with equal weights, or by
    a `Mixture`.

    The text is read as `evaluate` reads it from the network's opening, document by document if the
    network was trained so; the losses are the same bits. Memory is in proportion to the text, 12
    bytes a character and 5 or 6 for each of the `top` symbols, whatever the size of the vocabulary.
    `CorpusError` for an empty text, `VocabError` for characters or ids that the network lacks.

    text: a string or bytes, or ids (K,) of any integer type.
    unknown: what to do with characters that the vocabulary lacks (`Vocab.encode`).
    """
    mixture = Mixture.of(trained)
    vocab, pattern = mixture.vocab, mixture.corpus_config.document_separator
    if not 0 <= top <= len(vocab):
        raise ConfigError(f"`top` must be 0 to {len(vocab)}, the size of the vocabulary, not {top}")
    if isinstance(text, str | bytes):
        ids = vocab.encode(text, unknown)
    else:
        ids = checked_ids(text, len(vocab))
    result = Score(
        nats=np.empty(len(ids), np.float32),
        rank=np.empty(len(ids), np.int32),
        entropy=np.empty(len(ids), np.float32),
        top=np.empty((len(ids), top), vocab.dtype),
        probabilities=np.empty((len(ids), top), np.float32),
    )
    with using(workers) as threads:
        evaluation = evaluate(
            mixture,
            ids,
            starts=None if pattern is None else resets(ids, vocab, pattern),
            openings=[network.opening for network in mixture],
            workers=threads,
            progress=progress,
            observe=_Distributions(result, mixture, ids, threads).read,
        )
    result.nats[:] = evaluation.losses
    return result


def levels(nats: NDArray[Any]) -> NDArray[np.int8]:
    """The level of surprise, 0 to 4, of each loss, int8; -1 for NaN. See `BOUNDS`."""
    found = np.searchsorted(np.log(BOUNDS), nats, side="right").astype(np.int8)
    found[np.isnan(nats)] = -1
    return found


@dataclass(frozen=True, eq=False)
class _Distributions:
    """Fills a score from the distributions of one block after another."""

    score: Score
    mixture: Mixture
    ids: NDArray[Any]
    workers: Workers

    def read(
        self,
        networks: Sequence[Network],
        blocks: Sequence[Block],
        is_scored: NDArray[np.bool_],
    ) -> None:
        """Note what the score keeps of a block's distributions."""
        shards = ranges(is_scored.shape[1], self.workers.threads)
        self.workers.run(self._shard, [(networks, blocks, is_scored, a, b) for a, b in shards])

    def _shard(
        self,
        networks: Sequence[Network],
        blocks: Sequence[Block],
        is_scored: NDArray[np.bool_],
        start: int,
        stop: int,
    ) -> None:
        symbols, (steps, _) = len(self.mixture.vocab), is_scored.shape
        rows = max(1, CELLS // (symbols * (stop - start)))
        for first in range(0, steps, rows):
            last = min(first + rows, steps)
            part = np.s_[first:last, start:stop]
            kept = is_scored[part]
            if not kept.any():
                continue
            p = np.zeros((*kept.shape, symbols), np.float32)
            for n, (network, block) in enumerate(zip(networks, blocks, strict=True)):
                own = network.probabilities(block.y, first, last, start, stop)
                own *= np.float32(self.mixture.weights[n])
                if self.mixture.is_whole[n]:
                    p += own
                else:
                    p[..., self.mixture.ids_of[n]] += own
            places = blocks[0].places[part][kept]
            self._note(places, p[kept], self.ids[places])

    def _note(self, places: NDArray[np.int64], p: Floats, y: NDArray[Any]) -> None:
        """Fill the score at `places` (n,) from the distributions p (n, V) of symbols y (n,)."""
        own = np.take_along_axis(p, y[:, None].astype(np.int64), axis=1)
        self.score.rank[places] = 1 + np.count_nonzero(p > own * TIE, axis=1)
        self.score.entropy[places] = -np.einsum("nv,nv->n", p, np.log(np.maximum(p, 1e-37)))
        count = self.score.top.shape[1]
        if count:
            best = np.argpartition(p, -count, axis=1)[:, -count:]
            chances = np.take_along_axis(p, best, axis=1)
            order = np.argsort(-chances, axis=1, kind="stable")
            self.score.top[places] = np.take_along_axis(best, order, axis=1)
            self.score.probabilities[places] = np.take_along_axis(chances, order, axis=1)
