"""The suffix automaton of a text (Blumer et al. 1985): every passage of it, as a path from state 0.

A state stands for the passages that end at the same places. `length` is the longest of them, and
`link` leads to the state of the longest passage that ends there and at other places too. A text of
n symbols has at most 2 n states and 3 n edges. Edges lie in one open hash table, so that a state
with thousands of them is as quick as one with two.
"""

from typing import NamedTuple

import numpy as np
from numba import int64, types, void
from numpy.typing import NDArray

from charrnn.compiler.compiling import inline, kernel
from charrnn.kernels.rolling import INTS, SPREAD, U64

LONGS = int64[::1]
NONE = -1


class Suffixes(NamedTuple):
    """A suffix automaton of S states at most, with room for C edges.

    length, link: (S,); link[0] is -1. head: (S,), the slot of a state's last edge, or -1.
    keys: (C,), state * symbols + symbol, -1 in an empty slot; targets: (C,), the state after it;
    others: (C,), the slot of the same state's edge before, or -1.
    """

    length: NDArray[np.int32]
    link: NDArray[np.int32]
    head: NDArray[np.int32]
    keys: NDArray[np.int64]
    targets: NDArray[np.int32]
    others: NDArray[np.int32]


SUFFIXES = types.NamedTuple((INTS, INTS, INTS, LONGS, INTS, INTS), Suffixes)


@inline
def slot_of(keys, key):
    """The slot of an edge, or the empty one where it belongs."""
    size = U64(keys.size)
    at = int64((((U64(key) * SPREAD) >> U64(32)) * size) >> U64(32))
    while keys[at] != key and keys[at] != NONE:
        at = at + 1 if at + 1 < keys.size else 0
    return at


@inline
def _add(own, state, symbols, symbol, target):
    """Add an edge that the state does not have."""
    key = int64(state) * symbols + symbol
    at = slot_of(own.keys, key)
    own.keys[at], own.targets[at] = key, target
    own.others[at], own.head[state] = own.head[state], at


@inline
def _clone(own, state, clone, symbols):
    """Give a new state the edges and the link of another."""
    own.link[clone], at = own.link[state], own.head[state]
    while at != NONE:
        _add(own, clone, symbols, own.keys[at] % symbols, own.targets[at])
        at = own.others[at]


@kernel(void(INTS, int64, SUFFIXES, INTS))
def build(text, symbols, own, ends):
    """Fill an empty automaton: length and link are overwritten, keys and head hold -1.

    text: (n,), read, from 0 to symbols - 1. ends: (n,), written: the state of text[: i + 1].
    """
    size, last = 1, 0
    own.length[0], own.link[0] = 0, NONE
    for i in range(text.size):
        symbol, new, state = text[i], size, last
        size += 1
        own.length[new] = i + 1
        at = int64(0)
        while state != NONE:
            at = slot_of(own.keys, int64(state) * symbols + symbol)
            if own.keys[at] != NONE:
                break
            _add(own, state, symbols, symbol, new)
            state = own.link[state]
        if state == NONE:
            own.link[new] = 0
        else:
            after = own.targets[at]
            if own.length[after] != own.length[state] + 1:
                clone = size
                size += 1
                own.length[clone] = own.length[state] + 1
                _clone(own, after, clone, symbols)
                while state != NONE:
                    at = slot_of(own.keys, int64(state) * symbols + symbol)
                    if own.targets[at] != after:
                        break
                    own.targets[at] = clone
                    state = own.link[state]
                own.link[after] = after = clone
            own.link[new] = after
        ends[i] = last = new
