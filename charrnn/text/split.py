"""Which part of a text is for training, which for validation and which for testing.

A text of documents is split by documents, drawn by a hash of what they contain, so that a list from
A to Z is not validated on its last letters. The same text is split in the same way on every machine
and with every seed, and equal documents are on one side.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charrnn.text.documents import Positions
from charrnn.text.vocab import TextIds

WINDOW = 1 << 16
"""Characters that are hashed or moved at a time."""
LEAST_FILLED = 0.5
"""Whole documents must fill this fraction of a part; otherwise the text is cut as one without
documents is.
"""
_FACTOR, _BITS = 0x9E3779B97F4A7C15, 2**64
_INVERSE = pow(_FACTOR, -1, _BITS)
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Split:
    """A text laid out as [train | validation | test].

    ids: (n,) uint8 or uint16. starts: where documents begin in it, except at 0, int64, sorted; None
    without documents. borders: where validation and test begin.
    """

    ids: TextIds
    starts: Positions | None
    borders: tuple[int, int]


def split_by_documents(
    ids: TextIds, starts: Positions, codes: npt.NDArray[np.uint32], sizes: tuple[int, int]
) -> Split | None:
    """Documents drawn for validation and test parts of at most these `sizes`, in characters; None
    if whole documents cannot fill half of each.

    ids (n,) and codes (V,), the symbols' code points, are read; the result's ids are a copy.
    Documents for training stay in the order of the text, the others are shuffled: validation in
    training reads only the beginning of a long part.
    """
    edges = np.concatenate([[0], starts, [len(ids)]])
    lengths = np.diff(edges)
    group = np.unique(_hashes(ids, edges, codes), return_inverse=True)[1]
    totals = np.bincount(group, lengths)  # a group is documents that are equal
    totals[group[-1]] = np.inf  # the last one may lack its separator, so nothing may follow it
    part = np.zeros(len(totals), np.int8)
    for number, size in enumerate(sizes, 1):
        taken = _first_fit(np.where(part == 0, totals, np.inf), size)
        if totals[taken].sum() < LEAST_FILLED * size:
            return None
        part[taken] = number
    part = part[group]
    train, *others = (np.flatnonzero(part == number) for number in range(3))
    order = np.concatenate([train, *(drawn[np.argsort(group[drawn])] for drawn in others)])
    borders = np.cumsum(np.bincount(part, lengths, minlength=3))
    places = np.concatenate([[0], np.cumsum(lengths[order])])
    laid_out = _moved(ids, edges[order], places)
    return Split(laid_out, places[1:-1], (int(borders[0]), int(borders[1])))


def _first_fit(sizes: npt.NDArray[np.float64], room: float) -> npt.NDArray[np.int64]:
    """The indices of those that go into the room: in order, each that still fits."""
    taken, first = [np.empty(0, np.int64)], 0
    while (fitting := first + np.flatnonzero(sizes[first:] <= room)).size:
        count = np.searchsorted(np.cumsum(sizes[fitting]), room, "right")
        taken.append(fitting[:count])
        room -= sizes[taken[-1]].sum()
        first = taken[-1][-1] + 1
    return np.concatenate(taken)


def _hashes(ids: TextIds, edges: Positions, codes: npt.NDArray[np.uint32]) -> Hashes:
    """A hash of each document, from edges[k] to edges[k + 1]: the sum of h(character) f^place
    modulo 2^64, mixed. It is a hash of characters, since their ids depend on the vocabulary.
    """
    symbols, powers = _mixed(codes.astype(np.uint64)), _powers(_FACTOR, WINDOW)
    sums = np.zeros(len(edges), np.uint64)  # of the whole text up to each edge
    total = 0
    for a in range(0, len(ids), WINDOW):
        window = symbols[ids[a : a + WINDOW]]
        window *= powers[: len(window)]
        np.cumsum(window, out=window)
        window *= np.uint64(pow(_FACTOR, a, _BITS))
        window += np.uint64(total)
        total = int(window[-1])
        low, high = np.searchsorted(edges, (a, a + len(window)), "right")
        sums[low:high] = window[edges[low:high] - a - 1]
    hashes = np.diff(sums)
    high, low = np.divmod(edges[:-1], WINDOW)  # f^-place is a product of two from tables
    hashes *= _powers(_INVERSE, WINDOW)[low]
    hashes *= _powers(pow(_INVERSE, WINDOW, _BITS), len(ids) // WINDOW + 1)[high]
    return _mixed(hashes)


def _powers(base: int, count: int) -> Hashes:
    """base^0, base^1, ... modulo 2^64."""
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.cumprod(powers)


def _mixed(numbers: Hashes) -> Hashes:
    """SplitMix64 (Steele, Lea & Flood 2014): every bit of the result depends on every bit."""
    z = numbers + np.uint64(_FACTOR)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _moved(ids: TextIds, sources: Positions, places: Positions) -> TextIds:
    """A copy of the text in which the characters from sources[k] on are at places[k] to
    places[k + 1].
    """
    moved = np.empty_like(ids)
    for a in range(0, len(ids), WINDOW):
        b = min(a + WINDOW, len(ids))
        low, high = np.searchsorted(places, a, "right") - 1, np.searchsorted(places, b)
        edges = np.clip(places[low : high + 1], a, b)
        inside = edges[1:] - edges[:-1]
        moved[a:b] = ids[np.repeat(sources[low:high] - places[low:high], inside) + np.arange(a, b)]
    return moved
