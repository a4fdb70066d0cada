"""Passages of a text in a corpus, which streams through the text's suffix automaton once.

Nearly all of a corpus has nothing in common with the text. So the last N symbols have a rolling
hash (Karp & Rabin 1987), and a bit for each hash says whether such a passage may stand in the text:
3 ns a symbol. Where one does, the automaton takes over, until less than half of N matches.

Ids of the corpus become symbols by a table: -1 is left out, and of a run of `space` only the first
counts. For an exact comparison no symbol is `space`.
"""

from typing import NamedTuple

import numpy as np
from numba import int64, types, uint8, uint64, void
from numpy.typing import NDArray

from charrnn.compiler.compiling import inline, kernel
from charrnn.kernels.rolling import BASE, IGNORED, INTS, SMALL, SPREAD, U64, WIDE, power_of
from charrnn.kernels.suffixes import LONGS, NONE, SUFFIXES, slot_of

ONE, THREE, SEVEN = U64(1), U64(3), U64(7)


class Grams(NamedTuple):
    """The distinct passages of N symbols in a text (n,), by hash.

    bits: (2^b / 8,), a bit for each value of a hash's first b bits. hashes, places, states: an open
    hash table of 2^k slots: where a passage ends in the text (-1: an empty slot), and its state.
    """

    bits: NDArray[np.uint8]
    hashes: NDArray[np.uint64]
    places: NDArray[np.int32]
    states: NDArray[np.int32]


class Visits(NamedTuple):
    """What the corpus visited of the automaton's states (S,).

    best: the longest match; at: where the first such match ends in the corpus; first: where the
    first match of any length ends, or -1.
    """

    best: NDArray[np.int32]
    at: NDArray[np.int64]
    first: NDArray[np.int64]


GRAMS = types.NamedTuple((uint8[::1], uint64[::1], INTS, INTS), Grams)
VISITS = types.NamedTuple((INTS, LONGS, LONGS), Visits)


@inline
def _shift(size):
    """64 - log2 of a power of two."""
    shift = U64(64)
    while size > 1:
        size >>= 1
        shift -= ONE
    return shift


@kernel(void(INTS, int64, int64, SUFFIXES, GRAMS))
def index(text, symbols, N, own, grams):
    """Enter every passage of N symbols of a text (n,); grams.bits hold 0, grams.places -1."""
    state, size, value, power = int64(0), 0, U64(0), power_of(N)
    to_bit, to_slot = _shift(grams.bits.size * 8), _shift(grams.places.size)
    for i in range(text.size):
        value = value * BASE + U64(text[i] + 1)
        if i >= N:
            value -= U64(text[i - N] + 1) * power
        state = int64(own.targets[slot_of(own.keys, state * symbols + text[i])])
        size = min(size + 1, N)
        while own.length[own.link[state]] >= size:
            state = int64(own.link[state])
        if size < N:
            continue
        mixed = value * SPREAD
        bit, at = mixed >> to_bit, int64(mixed >> to_slot)
        while grams.places[at] != NONE and grams.states[at] != state:
            at = (at + 1) & (grams.places.size - 1)
        if grams.places[at] == NONE:
            grams.bits[bit >> THREE] |= np.uint8(ONE << (bit & SEVEN))
            grams.hashes[at], grams.places[at], grams.states[at] = value, i, state


@inline
def _look_up(value, mixed, to_slot, recent, begin, text, grams):
    """The state of the last N symbols, or -1; they are in the ring `recent`, from `begin` on."""
    N, at = recent.size, int64(mixed >> to_slot)
    while grams.places[at] != NONE:
        if grams.hashes[at] == value:
            equal, place, k = 0, grams.places[at] - N + 1, begin
            while equal < N and text[place + equal] == recent[k]:
                equal += 1
                k = k + 1 if k + 1 < N else 0
            if equal == N:
                return int64(grams.states[at])
        at = (at + 1) & (grams.places.size - 1)
    return int64(NONE)


@inline
def _stream(ids, parts, table, space, text, symbols, own, grams, visits, recent):
    N = recent.size
    low, power = max(N // 2, 1), power_of(N)
    to_bit, to_slot = _shift(grams.bits.size * 8), _shift(grams.places.size)
    for part in range(parts.shape[0]):
        value, count, place, beyond = U64(0), 0, 0, 0
        state, size, previous, stop = int64(0), int64(0), space, parts[part, 1]
        for j in range(parts[part, 0] - 1, parts[part, 3] - 1, -1):
            if table[ids[j]] != IGNORED:
                previous = int64(table[ids[j]])
                break
        for j in range(parts[part, 0], parts[part, 2]):
            if j >= stop and beyond >= max(size, N):
                break
            symbol = table[ids[j]]
            if symbol == IGNORED or (symbol == space and previous == space):
                continue
            previous = int64(symbol)
            beyond += j >= stop
            value = value * BASE + U64(symbol + 1)
            if count >= N:
                value -= U64(recent[place] + 1) * power
            recent[place] = symbol
            place = place + 1 if place + 1 < N else 0
            count += 1
            if size > 0:
                at = slot_of(own.keys, state * symbols + symbol)
                while own.keys[at] == NONE and size >= low:
                    state = int64(own.link[state])
                    size = int64(own.length[state])
                    at = slot_of(own.keys, state * symbols + symbol)
                if size >= low:
                    state, size = int64(own.targets[at]), size + 1
                else:
                    size = 0
            if size == 0 and count >= N:
                mixed = value * SPREAD
                bit = mixed >> to_bit
                if grams.bits[bit >> THREE] & np.uint8(ONE << (bit & SEVEN)):
                    state = _look_up(value, mixed, to_slot, recent, place, text, grams)
                    size = N if state >= 0 else 0
            if size >= N:
                if visits.first[state] < 0:
                    visits.first[state] = j + 1
                if size > visits.best[state]:
                    visits.best[state], visits.at[state] = size, j + 1


PARTS = int64[:, ::1]
REST = (PARTS, INTS, int64, INTS, int64, SUFFIXES, GRAMS, VISITS, INTS)


@kernel(void(SMALL, *REST))
def stream_small(ids, parts, table, space, text, symbols, own, grams, visits, recent):
    """Note every state of the text's automaton that a corpus visits with N symbols or more.

    ids: the corpus. parts: (P, 4) int64: matches begin from parts[p, 0] to parts[p, 1] - 1, and
        parts[p, 3] to parts[p, 2] - 1 is their file. table: (V,), from ids to symbols. text: (n,)
        in symbols. recent: (N,), overwritten.
    """
    _stream(ids, parts, table, space, text, symbols, own, grams, visits, recent)


@kernel(void(WIDE, *REST))
def stream_wide(ids, parts, table, space, text, symbols, own, grams, visits, recent):
    """As `stream_small`, for ids of two bytes."""
    _stream(ids, parts, table, space, text, symbols, own, grams, visits, recent)


@kernel(void(INTS, int64, SUFFIXES, VISITS))
def settle(order, N, own, visits):
    """Pass visits on: a passage stands in the corpus wherever a longer one does that ends with it;
    and of one that does not, the longest end that does is its link's. `order` (S,): the states by
    length.
    """
    for i in range(order.size - 1, 0, -1):
        state = order[i]
        link, first = own.link[state], visits.first[state]
        size = own.length[link]
        if first < 0 or size < N:
            continue
        if visits.best[link] < size or first < visits.at[link]:
            visits.best[link], visits.at[link] = size, first
        if visits.first[link] < 0 or first < visits.first[link]:
            visits.first[link] = first
    for i in range(1, order.size):
        state, link = order[i], own.link[order[i]]
        if visits.best[state] == 0:
            visits.best[state], visits.at[state] = visits.best[link], visits.at[link]


@inline
def _begins(ids, table, space, ends, sizes, begins):
    for i in range(ends.size):
        j, left, begin = ends[i], sizes[i], ends[i]
        while left > 0:
            j -= 1
            symbol = table[ids[j]]
            if symbol == IGNORED:
                continue
            left, begin = left - 1, j
            if symbol == space:
                k = j
                while k >= 0 and (table[ids[k]] == space or table[ids[k]] == IGNORED):
                    j = k if table[ids[k]] == space else j
                    k -= 1
                begin = j
        begins[i] = begin


@kernel(void(SMALL, INTS, int64, LONGS, LONGS, LONGS))
def begins_small(ids, table, space, ends, sizes, begins):
    """Where a passage of sizes[i] symbols begins in a corpus that ends before ends[i]."""
    _begins(ids, table, space, ends, sizes, begins)


@kernel(void(WIDE, INTS, int64, LONGS, LONGS, LONGS))
def begins_wide(ids, table, space, ends, sizes, begins):
    """As `begins_small`, for ids of two bytes."""
    _begins(ids, table, space, ends, sizes, begins)
