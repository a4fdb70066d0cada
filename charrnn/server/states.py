"""States after the prompts that were read last, so that a prompt that grew is not read again."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from charrnn.network.parameters import Floats

MOST_BYTES, MOST = 1 << 26, 512
"""Limits of what is stored; the states not used for the longest time go first."""
Symbols = NDArray[np.int32]


class States:
    """The states h and c (L, 1, H) of a network that began in one of its start states and has read
    some symbols, by the number of that start and the symbols.
    """

    def __init__(self) -> None:
        self._stored: OrderedDict[tuple[int, bytes], tuple[Floats, Floats]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._stored)

    def store(self, start: int, symbols: Symbols, h: Floats, c: Floats) -> None:
        """Store the state after these symbols, a copy of it."""
        key = start, _bytes_of(symbols)
        if key in self._stored:
            self._stored.move_to_end(key)
            return
        self._stored[key] = h.copy(), c.copy()
        self._bytes += len(key[1]) + h.nbytes + c.nbytes
        while self._bytes > MOST_BYTES or len(self._stored) > MOST:
            (_, oldest), (h, c) = self._stored.popitem(last=False)
            self._bytes -= len(oldest) + h.nbytes + c.nbytes

    def longest(self, start: int, symbols: Symbols) -> tuple[int, Floats, Floats] | None:
        """The state after most of the first of these symbols, and after how many; None if there is
        none.
        """
        wanted = _bytes_of(symbols)
        known = [key for key in self._stored if key[0] == start and wanted.startswith(key[1])]
        if not known:
            return None
        key = max(known, key=lambda key: len(key[1]))
        self._stored.move_to_end(key)
        return len(key[1]) // 2, *self._stored[key]


def _bytes_of(symbols: Symbols) -> bytes:
    return symbols.astype("<u2").tobytes()  # a vocabulary has at most 65,536
