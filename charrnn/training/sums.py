"""The sum of the gradients of a batch's parts, in the order of the parts, in slices.

On several ranks the gradient travels in pieces, each as soon as it is computed: every rank receives
a slice of the piece from the parts of a round (all-to-all), which it owns, and adds them in order.
So each number is the same chain of additions on any number of ranks. A rank updates the parameters
of its slices, and all ranks receive them (all-gather).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from charrnn.compiler.simd import LANES
from charrnn.kernels.update import BLOCK
from charrnn.network.parameters import Floats, aligned
from charrnn.runtime.mpi import Request, wait
from charrnn.runtime.threads import Workers, ranges
from charrnn.training.ranks import Ranks


class SharedSum:
    """Adds the gradients of rounds of parts, each of which another rank computes.

    gradient (K,): this rank's, written by the network in pieces, which are ranges that follow one
        another
    total (K,): in the end it holds the sum, in the slices that this rank owns
    own: the start and stop of these slices, one of each piece; whole blocks of the gradient's norm
    """

    def __init__(
        self,
        ranks: Ranks,
        parts: int,
        gradient: Floats,
        total: Floats,
        pieces: Sequence[tuple[int, int]],
        workers: Workers,
    ) -> None:
        self.ranks, self.parts, self.gradient, self.workers = ranks, parts, gradient, workers
        cuts = [0, *(stop // BLOCK * BLOCK for _, stop in pieces[:-1]), gradient.size]
        self._pieces = [_Piece(ranks, total, *place) for place in pairwise(cuts)]
        self.own = [piece.place for piece in self._pieces]
        self._first, self._sent, self._has_part = -ranks.size, 0, True
        self._travelling: deque[tuple[_Piece, Request]] = deque()

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
        """Return when the own slices of `total` hold the sum."""
        self._take_in(waits=True)
        self._first = -self.ranks.size

    def gathered(self, index: int, vector: Floats) -> Request:
        """Begin to send the own slice of a piece of a vector (K,) to all ranks, and to receive
        theirs.
        """
        return self._pieces[index].gathered(self.ranks, vector)

    def gather(self, vector: Floats) -> None:
        """Send the own slices of a vector (K,) to all ranks, and receive theirs."""
        for piece in self._pieces:
            wait(piece.gathered(self.ranks, vector))

    def _take_in(self, waits: bool) -> None:
        """Add what has arrived, in the order in which it was sent."""
        ranks = self.ranks
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


class _Piece:
    """A range of the gradient, of which every rank owns a slice.

    place: where this rank's slice starts and stops
    received (R, k): this rank's slice of each part of a round
    own (k,): its sum, a view
    """

    def __init__(self, ranks: Ranks, total: Floats, start: int, stop: int) -> None:
        slices = ranges(stop - start, ranks.size, BLOCK)
        slices += [(stop - start, stop - start)] * (ranks.size - len(slices))
        self._places = [start + a for a, _ in slices]
        self._sizes = [b - a for a, b in slices]
        a, b = slices[ranks.rank]
        self.place = start + a, start + b
        self.received, self.own = aligned(ranks.size, b - a), total[start + a : start + b]

    def exchanged(self, ranks: Ranks, gradient: Floats, count: int, sends: bool) -> Request:
        """Begin to receive the slices of the first `count` ranks, and to send those of others."""
        size = self.own.size
        sizes = self._sizes if sends else [0] * ranks.size
        expected = [size * (rank < count) for rank in range(ranks.size)]
        places = [size * rank for rank in range(ranks.size)]
        return ranks.communicator.Ialltoallv(
            [gradient, (sizes, self._places)], [self.received, (expected, places)]
        )

    def gathered(self, ranks: Ranks, vector: Floats) -> Request:
        """Begin to send this rank's slice of a vector to all, and to receive the others'."""
        return ranks.communicator.Iallgatherv(None, [vector, (self._sizes, self._places)])


def add(total: Floats, more: Floats, workers: Workers, *, is_first: bool) -> None:
    """total += more, or total = more."""

    def run(start: int, stop: int) -> None:
        if is_first:
            total[start:stop] = more[start:stop]
            return
        with np.errstate(over="ignore", invalid="ignore"):  # a step that fails is noticed later
            total[start:stop] += more[start:stop]

    workers.run(run, ranges(total.size, workers.threads, LANES))
