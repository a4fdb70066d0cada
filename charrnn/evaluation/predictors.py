"""What the copies of networks that learn, and plain counts, together say of a text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.evaluation.evaluate import members_of
from charrnn.evaluation.learning import Reader, Segment
from charrnn.evaluation.trust import Trust
from charrnn.evaluation.walk import Block
from charrnn.network.model import Models
from charrnn.network.parameters import Floats
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Positions

SPEEDS = (0.5, 2.0)
"""What rate and decay are multiplied by: a copy of each network learns at each of these speeds."""
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5)
"""The shares of the counts."""
DOUBT = 10.0
"""How many nats counts are behind at the start, times their share."""
LEAST = np.float32(1e-37)
"""A probability below this is taken for this one."""


class Predictors:
    """What all predictors together say of one segment after another."""

    def __init__(
        self,
        model: Models | Mixture,
        streams: int,
        counting: bool,
        before: tuple[NDArray[Any], Positions | None] | None,
    ) -> None:
        if isinstance(model, Mixture):
            self._weights: Sequence[float] = model.weights
            self._ids, self._symbols = model.ids_of, len(model.vocab)
        else:
            sizes = [each.config.vocab_size for each in members_of(model)]
            self._weights = [1 / len(sizes)] * len(sizes)
            self._ids, self._symbols = [np.arange(size) for size in sizes], max(sizes)
        self._heard = np.zeros(self._symbols, np.float32)
        for weight, own in zip(self._weights, self._ids, strict=True):
            self._heard[own] += np.float32(weight)
        self._shares: Sequence[float] = SHARES[:1]
        self._counts = None
        if counting:
            from charrnn.evaluation.counts import Counts  # loads another kernel

            self._shares, self._counts = SHARES, Counts(self._symbols, streams)
            if before is not None:
                self._counts.learn(*before)
        behind = DOUBT * np.tile(self._shares, len(SPEEDS))
        # no part may depend on how another ends, since that one has learned from its beginning
        self._trust = [Trust(self._symbols, behind) for _ in range(streams)]

    def losses(
        self, readers: Sequence[Reader], ids: NDArray[Any], workers: Workers
    ) -> tuple[NDArray[np.int64], Floats]:
        """Where the characters stand that the readers have just read, and their losses, both
        (T, N), of the streams that count. readers: each network's in turn. ids: of the whole text.
        """
        segments = list(zip(*(reader.segments for reader in readers), strict=True))
        blocks, first = [each[0].block for each in segments], segments[0][0].first
        places = np.concatenate([block.places for block in blocks])[:, first:]
        x, y = ids[places], ids[places + 1].astype(np.int64)
        # segment by segment, as the networks learn: part 1 may not know what part 0 reads later
        counted = [self._counted(block, first, ids) for block in blocks]
        losses = np.empty((len(SPEEDS), len(self._shares), *y.shape))

        def judge(k: int, n: int, begin: int) -> None:
            own = np.s_[begin : begin + len(blocks[n].x)]
            said = self._said(segments[n][k :: len(SPEEDS)])
            losses[k, :, own] = self._mixed(said, counted[n], y[own])

        begins = np.cumsum([0, *(len(block.x) for block in blocks)]).tolist()
        jobs = [(k, n, begins[n]) for k in range(len(SPEEDS)) for n in range(len(blocks))]
        workers.run(judge, jobs)
        result = np.empty(y.shape, np.float32)
        for n in range(y.shape[1]):
            own = losses[..., n].reshape(-1, len(y))
            result[:, n] = self._trust[first + n].mixed(own, x[:, n])
        return places, result

    def _said(self, segments: Sequence[Segment]) -> Floats:
        """The logarithm of what the networks at one speed say, up to a constant: (T, N, V)."""
        (steps, streams), first = segments[0].losses.shape, segments[0].first
        said = np.zeros((steps, streams - first, self._symbols), np.float32)
        for weight, own, segment in zip(self._weights, self._ids, segments, strict=True):
            assert segment.p is not None
            logs = np.log(np.maximum(segment.p[:, first:], LEAST))
            y = segment.block.y[:, first:, None].astype(np.int64)
            np.put_along_axis(logs, y, -segment.losses[:, first:, None], axis=2)
            logs *= np.float32(weight)
            said[..., own] += logs
        said /= self._heard
        return said

    def _counted(self, block: Block, first: int, ids: NDArray[Any]) -> Floats | None:
        """The logarithm of what the counts say, (T, N, V)."""
        if self._counts is None:
            return None
        x, y = (ids[block.places + k].astype(np.int32) for k in (0, 1))
        logs: Floats = np.log(self._counts.foresee(x, y, block.starts, first)[:, first:])
        return logs

    def _mixed(
        self, said: Floats, counted: Floats | None, y: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The losses of y (T, N) for each share of the counts, (shares, T, N)."""
        losses = np.empty((len(self._shares), *y.shape))
        ahead = 0 if counted is None else counted - said
        for share, own in zip(self._shares, losses, strict=True):
            logs = said + np.float32(share) * ahead
            logs -= logs.max(axis=2, keepdims=True)
            own[:] = -np.take_along_axis(logs, y[..., None], axis=2)[..., 0]
            np.exp(logs, out=logs)
            own += np.log(logs.sum(axis=2, dtype=np.float64))
        return losses
