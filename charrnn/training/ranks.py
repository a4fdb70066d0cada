"""The processes (ranks) that train one network together: rank 0 leads, the others compute.

The P parts of a batch are dealt to R ranks in rounds: part p goes to rank p mod R.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from charrnn.runtime.mpi import wait
from charrnn.runtime.threads import Workers

if TYPE_CHECKING:
    from charrnn.runtime.mpi import Communicator

PIECE = 1 << 30
"""Bytes of a text that are sent at once: a message has less than 2^31 elements."""


class Ranks:
    """This process among those of a communicator; alone without one.

    session: rank 0's object whose data the others hold, or None
    is_busy: True while the others wait for this rank in the middle of a step
    machine: how many ranks this one's machine has, and how many processors they have together
    """

    def __init__(self, communicator: Communicator | None = None) -> None:
        self._communicator = communicator
        self.rank = 0 if communicator is None else communicator.rank
        self.size = 1 if communicator is None else communicator.size
        self.session: object = None
        self.is_busy = False
        self.machine = 1, 0
        self._text: NDArray[Any] | None = None

    def __repr__(self) -> str:
        return f"Ranks(rank {self.rank} of {self.size})"

    @property
    def communicator(self) -> Communicator:
        """What connects the ranks; there must be several."""
        assert self._communicator is not None
        return self._communicator

    def idle_workers(self, threads: int | None) -> Workers:
        """On rank 0: threads for what it does while the others wait, on their processors, too.
        `threads` are those asked for on each rank.
        """
        count, processors = self.machine
        return Workers(threads and threads * count, processors=processors or None)

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

    def gathered(self, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """Every rank's numbers (K,), on all ranks: (R, K)."""
        every = np.empty((self.size, *own.shape))
        wait(self.communicator.Iallgather(own, every))
        return every


def _are_same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """True if both are the same memory."""
    return a.__array_interface__ == b.__array_interface__
