"""The sum of the gradients of a batch's parts, in the order of the parts.

On several ranks the gradient travels in pieces, each as soon as it is computed: every rank receives
a slice of the piece from the parts of a round (all-to-all), which it owns, and adds them in order;
after the last round all ranks receive all slices (all-gather). So each number is the same chain of
additions on any number of ranks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from charrnn.compiler.simd import LANES
from charrnn.network.parameters import Floats, aligned
from charrnn.runtime.mpi import Request, wait
from charrnn.runtime.threads import Workers, ranges
from charrnn.training.ranks import Ranks


class SharedSum:
    """Adds the gradients of rounds of parts, each of which another rank computes.

    gradient (K,): this rank's, written by the network in pieces, which are ranges that follow one
        another; in the end it holds the sum
    """

    def __init__(
        self,
        ranks: Ranks,
        parts: int,
        gradient: Floats,
        pieces: Sequence[tuple[int, int]],
        workers: Workers,
    ) -> None:
        self.ranks, self.parts, self.gradient, self.workers = ranks, parts, gradient, workers
        self._pieces = [_Piece(ranks, start, stop) for start, stop in pieces]
        self._first, self._sent, self._has_part = -ranks.size, 0, True
        self._travelling: deque[tuple[_Piece, Request]] = deque()
        self._gathered: list[Request] = []

    def begin(self, part: int | None) -> None:
        """Begin the next round, in which this rank computes a part or none. The gradient of the
        round before may be overwritten from now on.
        """
        self._take_in(waits=True)
        self._first, self._sent, self._has_part = self._first + self.ranks.size, 0, part is not None
        if part is None:
            for _ in self._pieces:
                self.ready()

    def ready(self) -> None:
        """Send the next piece of this rank's gradient, which is complete."""
        piece, ranks = self._pieces[self._sent], self.ranks
        self._sent += 1
        count = min(ranks.size, self.parts - self._first)
        self._travelling.append(
            (piece, piece.exchanged(ranks, self.gradient, count, sends=self._has_part))
        )
        self._take_in(waits=False)

    def finish(self) -> None:
        """Return when `gradient` holds the sum."""
        self._take_in(waits=True)
        for request in self._gathered:
            wait(request)
        self._gathered.clear()
        self._first = -self.ranks.size

    def _take_in(self, waits: bool) -> None:
        """Add what has arrived, in the order in which it was sent, and send on what is complete."""
        ranks = self.ranks
        is_last = self._first + ranks.size >= self.parts
        while self._travelling:
            piece, request = self._travelling[0]
            if waits:
                wait(request)
            elif not request.Test():
                break
            self._travelling.popleft()
            for rank in range(min(ranks.size, self.parts - self._first)):
                is_first = self._first == rank == 0
                add(piece.own, piece.received[rank], self.workers, is_first=is_first)
            if is_last:
                self._gathered.append(piece.gathered(ranks, self.gradient))


class _Piece:
    """A range of the gradient, of which every rank owns a slice.

    received (R, k): this rank's slice of each part of a round
    own (k,): its sum
    """

    def __init__(self, ranks: Ranks, start: int, stop: int) -> None:
        slices = ranges(stop - start, ranks.size, LANES)
        slices += [(0, 0)] * (ranks.size - len(slices))
        self._places = [start + a for a, _ in slices]
        self._sizes = [b - a for a, b in slices]
        size = self._sizes[ranks.rank]
        self.received, self.own = aligned(ranks.size, size), aligned(size)

    def exchanged(self, ranks: Ranks, gradient: Floats, count: int, sends: bool) -> Request:
        """Begin to receive the slices of the first `count` ranks, and to send those of others."""
        size = self.own.size
        sizes = self._sizes if sends else [0] * ranks.size
        expected = [size * (rank < count) for rank in range(ranks.size)]
        places = [size * rank for rank in range(ranks.size)]
        return ranks.communicator.Ialltoallv(
            [gradient, (sizes, self._places)], [self.received, (expected, places)]
        )

    def gathered(self, ranks: Ranks, total: Floats) -> Request:
        """Begin to send the sum to all ranks, and to receive the others' slices."""
        assert ranks.other is not None
        return ranks.other.Iallgatherv(self.own, [total, (self._sizes, self._places)])


def add(total: Floats, more: Floats, workers: Workers, *, is_first: bool) -> None:
    """total += more, or total = more."""

    def run(start: int, stop: int) -> None:
        if is_first:
            total[start:stop] = more[start:stop]
            return
        with np.errstate(over="ignore", invalid="ignore"):  # a step that fails is noticed later
            total[start:stop] += more[start:stop]

    workers.run(run, ranges(total.size, workers.threads, LANES))
