"""The processes (ranks) that train one network together: rank 0 leads, the others compute.

The P parts of a batch are dealt to R ranks in rounds: part p goes to rank p mod R. After each round
every rank receives a slice of the round's gradients, which it owns, and adds them in the order of
the parts; after the last round all ranks receive all slices. So the sum has the same bits for any
R.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from charrnn.runtime.mpi import wait
from charrnn.runtime.threads import Workers, ranges

if TYPE_CHECKING:
    from charrnn.network.parameters import Floats  # loads kernels
    from charrnn.runtime.mpi import Communicator

LANES = 16
"""Slices are whole cache lines of so many numbers."""
PIECE = 1 << 30
"""Bytes of a text that are sent at once: a message has less than 2^31 elements."""


class Ranks:
    """This process among those of a communicator; alone without one.

    session: rank 0's object whose data the others hold, or None
    is_busy: True while the others wait for this rank in the middle of a step
    """

    def __init__(self, communicator: Communicator | None = None) -> None:
        self._communicator = communicator
        self.rank = 0 if communicator is None else communicator.rank
        self.size = 1 if communicator is None else communicator.size
        self.session: object = None
        self.is_busy = False
        self._text: NDArray[Any] | None = None

    def __repr__(self) -> str:
        return f"Ranks(rank {self.rank} of {self.size})"

    @property
    def communicator(self) -> Communicator:
        """What connects the ranks; there must be several."""
        assert self._communicator is not None
        return self._communicator

    def say(self, command: int, step: int = 0, rate: float = 0.0) -> None:
        """On rank 0: tell all others what comes next."""
        wait(self.communicator.Ibcast(np.array([command, step, rate]), 0))

    def hear(self) -> tuple[int, int, float]:
        """On the others: the next command, step and learning rate, once rank 0 says it."""
        message = np.zeros(3)
        wait(self.communicator.Ibcast(message, 0))
        return int(message[0]), int(message[1]), float(message[2])

    def send(self, session: object, data: Any, text: NDArray[Any]) -> None:
        """On rank 0: give all others data, and a text if it is not the one that they have."""
        is_same = self._text is not None and _are_same(self._text, text)
        self.communicator.bcast((data, None if is_same else (text.shape, text.dtype)))
        if not is_same:
            self._text = np.ascontiguousarray(text)
            self._share_text()
        self._text, self.session = text, session

    def receive(self) -> tuple[Any, NDArray[Any]]:
        """On the others: the data and the text."""
        data, new = self.communicator.bcast(None)
        if new is not None:
            self._text = np.empty(*new)
            self._share_text()
        assert self._text is not None
        return data, self._text

    def _share_text(self) -> None:
        assert self._text is not None
        memory = self._text.reshape(-1).view(np.uint8)
        for start in range(0, memory.size, PIECE):
            self.communicator.Bcast(memory[start : start + PIECE])

    def parts(self, parts: int) -> list[int | None]:
        """The part that this rank computes in each round, if there is one."""
        own = range(self.rank, parts, self.size)
        return [*own, *[None] * (-(-parts // self.size) - len(own))]

    def losses(self, own: Sequence[float], parts: int) -> list[float]:
        """The loss of each part, from this rank's in each round."""
        if self.size == 1:
            return list(own)
        every = np.empty((self.size, len(own)))
        wait(self.communicator.Iallgather(np.array(own), every))
        return [float(loss) for loss in every.T.reshape(-1)[:parts]]

    def gather(self, own: Floats) -> Floats | None:
        """On rank 0, the arrays of all ranks, (R, ...)."""
        every = np.empty((self.size, *own.shape), np.float32) if self.rank == 0 else None
        wait(self.communicator.Igather(own, every, 0))
        return every


class Sum:
    """The sum of the parts' gradients, in their order; `total` (K,) is written."""

    def __init__(self, ranks: Ranks, parts: int, total: Floats, workers: Workers) -> None:
        self.ranks, self.parts, self.total, self.workers = ranks, parts, total, workers
        self._added = 0
        pieces = ranges(total.size, ranks.size, LANES)
        self._places = [start for start, _ in pieces]
        self._sizes = [stop - start for start, stop in pieces]
        rest = ranks.size - len(pieces)
        self._places, self._sizes = self._places + [0] * rest, self._sizes + [0] * rest
        own = self._sizes[ranks.rank]
        if ranks.size > 1:
            self._received, self._own = np.empty((ranks.size, own), np.float32), total[:0]
            self._own = np.empty(own, np.float32)

    def add(self, gradient: Floats | None) -> None:
        """Add the gradients of the next round, of which this rank's may be missing."""
        ranks, first = self.ranks, self._added
        count = min(ranks.size, self.parts - first)
        self._added += count
        if ranks.size == 1:
            assert gradient is not None
            if gradient is not self.total:
                self._add(self.total, gradient, is_first=first == 0)
            return
        nothing, own = [0] * ranks.size, self._own.size
        sent = nothing if gradient is None else self._sizes
        buffer = self.total if gradient is None else gradient
        expected = [own * (rank < count) for rank in range(ranks.size)]
        places = [own * rank for rank in range(ranks.size)]
        wait(
            ranks.communicator.Ialltoallv(
                [buffer, (sent, self._places)], [self._received, (expected, places)]
            )
        )
        for rank in range(count):
            self._add(self._own, self._received[rank], is_first=first == rank == 0)

    def finish(self) -> None:
        """Let every rank have the sum in `total`, and begin again."""
        self._added = 0
        if self.ranks.size > 1:
            everything = [self.total, (self._sizes, self._places)]
            wait(self.ranks.communicator.Iallgatherv(self._own, everything))

    def _add(self, total: Floats, more: Floats, is_first: bool) -> None:
        def add(start: int, stop: int) -> None:
            if is_first:
                total[start:stop] = more[start:stop]
            else:
                total[start:stop] += more[start:stop]

        self.workers.run(add, ranges(total.size, self.workers.threads, LANES))


def _are_same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """True if both are the same memory."""
    return a.__array_interface__ == b.__array_interface__
