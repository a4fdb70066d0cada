"""States after the prompts that were read last, so that a prompt that grew is not read again."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from charrnn.network.model import State

MOST_BYTES, MOST = 1 << 26, 512
"""Limits of what is stored; the states not used for the longest time go first."""
Symbols = NDArray[np.int32]
Starts = tuple[int, ...]
Own = tuple[State, ...]
"""For each network the state of one text."""


class States:
    """The states of networks that began in some of their start states and have read some symbols,
    by the numbers of these starts and the symbols.
    """

    def __init__(self) -> None:
        self._stored: OrderedDict[tuple[Starts, bytes], Own] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._stored)

    def store(self, starts: Starts, symbols: Symbols, states: Own) -> None:
        """Store the states after these symbols, a copy of them."""
        key = starts, _bytes_of(symbols)
        if key in self._stored:
            self._stored.move_to_end(key)
            return
        self._stored[key] = tuple(state.copy() for state in states)
        self._bytes += len(key[1]) + _size_of(states)
        while self._bytes > MOST_BYTES or len(self._stored) > MOST:
            (_, oldest), states = self._stored.popitem(last=False)
            self._bytes -= len(oldest) + _size_of(states)

    def longest(self, starts: Starts, symbols: Symbols) -> tuple[int, Own] | None:
        """The states after most of the first of these symbols, and after how many; None if there
        are none.
        """
        wanted = _bytes_of(symbols)
        known = [key for key in self._stored if key[0] == starts and wanted.startswith(key[1])]
        if not known:
            return None
        key = max(known, key=lambda key: len(key[1]))
        self._stored.move_to_end(key)
        return len(key[1]) // 2, self._stored[key]


def _size_of(states: Own) -> int:
    return sum(state.nbytes for state in states)


def _bytes_of(symbols: Symbols) -> bytes:
    return symbols.astype("<u2").tobytes()  # a vocabulary has at most 65,536
