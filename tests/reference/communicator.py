"""A communicator whose ranks are threads of this process, for tests without MPI."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class Request:
    """A message that has arrived."""

    def Test(self) -> bool:
        return True


class ThreadCommunicator:
    """One rank of `size` threads. Every call is a meeting of all; `aborted` holds exit statuses."""

    def __init__(self, rank: int, size: int, shared: Any) -> None:
        self.rank, self.size = rank, size
        self._barrier, self._places, self.aborted = shared

    def _meet(self, brought: Any) -> list[Any]:
        self._places[self.rank] = brought
        self._barrier.wait(60)
        everything = list(self._places)
        self._barrier.wait(60)
        return everything

    def Dup(self) -> ThreadCommunicator:
        shared = threading.Barrier(self.size), [None] * self.size, self.aborted
        return ThreadCommunicator(self.rank, self.size, self._meet(shared)[0])

    def bcast(self, obj: Any, root: int = 0) -> Any:
        return copy.deepcopy(self._meet(obj)[root])

    def allgather(self, sendobj: Any) -> list[Any]:
        return self._meet(sendobj)

    def Bcast(self, buf: Any, root: int = 0) -> None:
        buf[...] = self._meet(buf.copy())[root]

    def Ibcast(self, buf: Any, root: int = 0) -> Request:
        self.Bcast(buf, root)
        return Request()

    def Iallgather(self, sendbuf: Any, recvbuf: Any) -> Request:
        recvbuf[...] = self._meet(sendbuf.copy())
        return Request()

    def Iallgatherv(self, sendbuf: Any, recvbuf: Any) -> Request:
        array, (sizes, places) = recvbuf
        assert sendbuf is None  # in place
        start, size = places[self.rank], sizes[self.rank]
        own = array.reshape(-1)[start : start + size].copy()
        for piece, size, place in zip(self._meet(own), sizes, places, strict=True):
            assert piece.size == size
            array.reshape(-1)[place : place + size] = piece
        return Request()

    def Ialltoallv(self, sendbuf: Any, recvbuf: Any) -> Request:
        array, (sizes, places) = sendbuf
        pieces = [
            array.reshape(-1)[place : place + size].copy()
            for size, place in zip(sizes, places, strict=True)
        ]
        array, (sizes, places) = recvbuf
        for theirs, size, place in zip(self._meet(pieces), sizes, places, strict=True):
            assert theirs[self.rank].size == size
            array.reshape(-1)[place : place + size] = theirs[self.rank]
        return Request()

    def Abort(self, errorcode: int = 0) -> None:
        self.aborted.append(errorcode)
        self._barrier.abort()


def communicators(size: int) -> list[ThreadCommunicator]:
    """All ranks of a world."""
    shared = threading.Barrier(size), [None] * size, []
    return [ThreadCommunicator(rank, size, shared) for rank in range(size)]


def in_threads(function: Callable[[ThreadCommunicator], Any], size: int) -> list[Any]:
    """What the function returns or raises on each rank."""

    def called(communicator: ThreadCommunicator) -> Any:
        try:
            return function(communicator)
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(called, communicators(size)))


def random_gradients(parts: int, count: int) -> list[Any]:
    """Float32 vectors whose sum depends on the order."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=count).astype(np.float32) for _ in range(parts)]
