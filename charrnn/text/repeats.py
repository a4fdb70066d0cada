"""How much of a text stands in it more than once: passages, and whole lines.

Two passages are the same if the same 64 characters begin at both places. In a long text only some
places are looked at: those whose first characters have a certain hash, so that all copies of a
passage are looked at or none (Manber 1994).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charrnn.text.documents import Positions
from charrnn.text.vocab import TextIds

PASSAGE = 64
"""Characters that must be equal. Two parts of Shakespeare share no more than 27 by themselves."""
PLACES = 1_000_000
"""Places that are looked at, about; in a shorter text all are."""
SHOWN = 3
"""Passages that are reported, the longest ones."""
LEAST_LINE, LONGEST_LINE = 16, 1024
"""Characters of a line that counts as one: shorter ones, such as names of speakers, recur."""
_BLOCK = 1 << 20
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class RepeatedPassage:
    """Characters first ... first + length - 1 of a text, which stand again at `again`."""

    first: int
    again: int
    length: int


@dataclass(frozen=True)
class Repeats:
    """What is repeated in a text.

    share: fraction of the text that stands in it before, in passages of 64 characters or more.
    leaked: fraction of the part after the border that stands before the border. passages: the
    longest ones, the longest first.
    """

    share: float
    leaked: float
    passages: tuple[RepeatedPassage, ...]


@dataclass(frozen=True)
class RepeatedLines:
    """Lines of 16 to 1,024 characters: how many there are, how many of them have stood before, and
    of the most frequent one where it begins first and how often it occurs.
    """

    lines: int
    repeated: int
    most_frequent: int
    times: int


def find_repeats(
    ids: TextIds, border: int, progress: Callable[[int, int], None] | None = None
) -> Repeats:
    """What is repeated in ids (n,), uint8 or uint16, and after the border of what is before it."""
    places, hashes = _looked_at(ids, progress)
    if not len(places):
        return Repeats(0.0, 0.0, ())
    firsts = places[_first_equal(hashes)]
    is_again, is_after = firsts < places, places >= border
    leaked = float((firsts[is_after] < border).mean()) if is_after.any() else 0.0
    passages = _longest(ids, firsts[is_again], places[is_again])
    return Repeats(float(is_again.mean()), leaked, tuple(passages))


def repeated_lines(ids: TextIds, ends: Positions) -> RepeatedLines:
    """How many lines of ids (n,) are repeated; `ends` are the positions of all newlines, sorted."""
    begins, stops = np.append(0, ends + 1), np.append(ends, len(ids))
    chosen = (stops - begins >= LEAST_LINE) & (stops - begins <= LONGEST_LINE)
    begins, stops = begins[chosen], stops[chosen]
    if not len(begins):
        return RepeatedLines(0, 0, 0, 0)
    words, size = _words_of(ids)
    # the last word may overlap the one before it
    hashes = _mixed(words[stops - size] ^ (stops - begins).astype(np.uint64))
    left = np.arange(len(begins))
    for k in range(0, LONGEST_LINE, size):
        left = left[stops[left] - begins[left] > k + size]
        if not len(left):
            break
        hashes[left] = _mixed(hashes[left] ^ words[begins[left] + k])
    _, index, counts = np.unique(hashes, return_index=True, return_counts=True)
    most = int(counts.argmax())
    return RepeatedLines(
        len(begins), len(begins) - len(counts), int(begins[index[most]]), int(counts[most])
    )


def _looked_at(
    ids: TextIds, progress: Callable[[int, int], None] | None
) -> tuple[Positions, Words]:
    """The places that are looked at, sorted, and a hash of the passage that begins at each."""
    count = len(ids) - PASSAGE + 1
    if count < 1:
        return np.empty(0, np.int64), np.empty(0, np.uint64)
    words, size = _words_of(ids)
    limit = np.uint64(min(2**64 - 1, PLACES * 2**64 // count))
    found, hashes = [], []
    for a in range(0, count, _BLOCK):
        chosen = _mixed(words[a : min(a + _BLOCK, count)]) <= limit
        places = a + np.flatnonzero(chosen)
        first, is_uniform = words[places], np.ones(len(places), np.bool_)
        total = _mixed(first)
        for k in range(size, PASSAGE, size):
            word = words[places + k]
            is_uniform &= word == first  # a ruled line or spaces: no passage
            total = _mixed(total ^ word)
        found.append(places[~is_uniform])
        hashes.append(total[~is_uniform])
        if progress is not None:
            progress(min(a + _BLOCK, count), count)
    return np.concatenate(found), np.concatenate(hashes)


def _words_of(ids: TextIds) -> tuple[Words, int]:
    """The 8 bytes that begin at each character, except for the last few, and how many
    characters they hold; a view.
    """
    size = 8 // ids.itemsize
    return np.ndarray((len(ids) - size + 1,), np.uint64, ids.data, strides=ids.strides), size


def _mixed(words: Words) -> Words:
    """A hash of each word; every bit depends on all bits of it."""
    mixed: Words = words * _FACTOR
    mixed ^= mixed >> np.uint64(32)
    mixed *= _FACTOR
    return mixed


def _first_equal(hashes: Words) -> npt.NDArray[np.int64]:
    """For each of hashes (k,) the index of the first one that equals it."""
    _, index, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    first: npt.NDArray[np.int64] = index[inverse]
    return first


def _longest(ids: TextIds, firsts: Positions, places: Positions) -> list[RepeatedPassage]:
    """The longest passages, of places that repeat the text at `firsts`."""
    if not len(places):
        return []
    # neighbors that are as far from their first occurrences belong to one passage
    begins = np.flatnonzero(np.diff(places - firsts, prepend=-1))
    ends = np.append(begins[1:], len(places)) - 1
    passages: list[RepeatedPassage] = []
    for run in np.argsort(places[begins] - places[ends], kind="stable").tolist():
        if len(passages) == SHOWN:
            break
        passage = _grown(ids, int(firsts[begins[run]]), int(places[begins[run]]))
        if all(passage.again != other.again for other in passages):
            passages.append(passage)
    return sorted(passages, key=lambda passage: -passage.length)


def _grown(ids: TextIds, first: int, again: int) -> RepeatedPassage:
    """The passage that stands at both places, as long as it is in both directions. The second copy
    does not overlap the first.
    """
    back = _equal(ids[:first][::-1], ids[:again][::-1])
    first, again = first - back, again - back
    return RepeatedPassage(first, again, min(_equal(ids[first:], ids[again:]), again - first))


def _equal(one: TextIds, other: TextIds) -> int:
    """With how many equal characters two texts begin."""
    done, step, n = 0, PASSAGE, min(len(one), len(other))
    while done < n:
        stop = min(done + step, n)
        differ = np.flatnonzero(one[done:stop] != other[done:stop])
        if len(differ):
            return done + int(differ[0])
        done, step = stop, 2 * step
    return n
