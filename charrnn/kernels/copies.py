"""The passages of N symbols of a training text as a Bloom filter (1970), and whether a text that
grows has one of them at its end.

The filter has a line of the cache for each passage (Putze, Sanders & Singler 2007), in which seven
bits are set: one access to memory for each symbol. It never misses a passage. It takes others for
one, at 8 bytes for each passage one in a million, at 3 bytes one in ten thousand.

Ids become symbols by a table, as in `kernels/overlap.py`.
"""

from numba import int64, uint64, void

from charrnn.compiler.compiling import inline, kernel
from charrnn.kernels.rolling import BASE, IGNORED, INTS, SMALL, SPREAD, U64, WIDE, power_of

FILTER = uint64[:, ::1]
LINE, PROBES = 8, 7
"""Words of 64 bits in a line, and bits set for a passage."""
OTHER = U64(0xD6E8FEB86659FD93)
ONE, SIX, NINE, HALF = U64(1), U64(6), U64(9), U64(32)
IN_WORD, IN_LINE = U64(63), U64(511)


@inline
def _line(filter, value):
    return int64((((value * SPREAD) >> HALF) * U64(filter.shape[0])) >> HALF)


@inline
def _add(filter, value):
    at, bits = _line(filter, value), (value ^ (value >> HALF)) * OTHER
    for _ in range(PROBES):
        bit = bits & IN_LINE
        filter[at, bit >> SIX] |= ONE << (bit & IN_WORD)
        bits >>= NINE


@inline
def _holds(filter, value):
    at, bits = _line(filter, value), (value ^ (value >> HALF)) * OTHER
    for _ in range(PROBES):
        bit = bits & IN_LINE
        if filter[at, bit >> SIX] & (ONE << (bit & IN_WORD)) == U64(0):
            return False
        bits >>= NINE
    return True


@inline
def _scan(ids, start, stop, begin, table, space, filter, recent, adds):
    """Add the passages that end from `begin` on in ids[start:stop], or find the first of them in
    the filter: where it ends, or -1.
    """
    N, value, count, place, previous = recent.size, U64(0), 0, 0, int64(IGNORED)
    power = power_of(N)
    for j in range(start, stop):
        symbol = int64(table[ids[j]])
        if symbol == IGNORED or (symbol == space and previous == space):
            continue
        previous = symbol
        value = value * BASE + U64(symbol + 1)
        if count >= N:
            value -= U64(recent[place] + 1) * power
        recent[place] = symbol
        place = place + 1 if place + 1 < N else 0
        count += 1
        if count >= N and j >= begin:
            if adds:
                _add(filter, value)
            elif _holds(filter, value):
                return int64(j)
    return int64(-1)


@kernel(void(SMALL, INTS, int64, FILTER, INTS))
def add_small(ids, table, space, filter, recent):
    """Add every passage of N symbols of a text (n,) to a filter (lines, 8); recent (N,) is
    scratch.
    """
    _scan(ids, 0, ids.size, 0, table, space, filter, recent, True)


@kernel(void(WIDE, INTS, int64, FILTER, INTS))
def add_wide(ids, table, space, filter, recent):
    """As `add_small`, for ids of two bytes."""
    _scan(ids, 0, ids.size, 0, table, space, filter, recent, True)


@kernel(int64(INTS, int64, int64, INTS, int64, FILTER, INTS))
def first(ids, begin, stop, table, space, filter, recent):
    """The first place from `begin` to stop - 1 in a text where a passage of N symbols ends that is
    in the filter, or -1. ids: (n,); recent: (N,), scratch.
    """
    start, left, after = begin, recent.size + 1, int64(IGNORED)
    while start > 0 and left > 0:
        start -= 1
        symbol = int64(table[ids[start]])
        if symbol != IGNORED and not (symbol == space and after == space):
            left, after = left - 1, symbol
    return _scan(ids, start, stop, begin, table, space, filter, recent, False)
