"""The most surprising passages of a text."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

MARGIN = 1.0
"""Nats above the text's mean that a character must have to add to a passage. With less, passages
grow until they hold half the text; with more, an odd word falls apart.
"""
WORD = 24
"""A passage is extended to whole words, by at most this many characters at each end."""
_LETTERS = r"[^\s\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]*"
"""Part of a word, in scripts that put spaces between words."""
_BEFORE, _AFTER = regex.compile(_LETTERS + r"\Z"), regex.compile(_LETTERS)


@dataclass(frozen=True)
class SurprisingPassage:
    """Characters `start` to `end` (not included) of a text, their loss in nats altogether, and how
    far they are above what would have been ordinary.
    """

    start: int
    end: int
    nats: float
    excess: float


def surprising_passages(text: str, nats: NDArray[Any], count: int = 10) -> list[SurprisingPassage]:
    """The passages of a text with the greatest excess, at most `count`, those with most nats first.
    They do not overlap.

    The excess of a passage is the sum of nats - (mean + 1) over its characters, and no other
    passage around it has a greater one (the maximal scoring subsequences of Ruzzo & Tompa 1999). So
    a long passage in another language is one, and so is a single misprint. Passages are then
    extended to whole words.

    nats: the loss of each character, (len(text),); NaN for those that were not scored.
    """
    known = np.isfinite(nats)
    if not known.any():
        return []
    ordinary = float(nats.mean(where=known, dtype=np.float64)) + MARGIN
    gains = np.where(known, nats - ordinary, 0.0)
    passages: list[SurprisingPassage] = []
    for start, end, excess in islice(_maximal(gains), 2 * count):
        start, end = _whole_words(text, start, end)
        if all(end <= other.start or start >= other.end for other in passages):
            passages.append(
                SurprisingPassage(start, end, float(np.nansum(nats[start:end])), excess)
            )
    return sorted(passages[:count], key=lambda passage: -passage.nats)


def _maximal(gains: NDArray[Any]) -> Iterator[tuple[int, int, float]]:
    """Yields start, end and sum of the maximal scoring segments, the greatest first."""
    queue = [_best(gains, 0, len(gains))]
    while queue:
        negative, start, end, first, last = heapq.heappop(queue)
        if negative >= 0:
            return
        yield start, end, -negative
        for a, b in ((first, start), (end, last)):
            if a < b:
                heapq.heappush(queue, _best(gains, a, b))


def _best(gains: NDArray[Any], first: int, last: int) -> tuple[float, int, int, int, int]:
    """The segment of gains[first:last] with the greatest sum: minus that sum, where it begins and
    ends, and the borders.
    """
    sums = np.append(0.0, np.cumsum(gains[first:last], dtype=np.float64))
    lowest = np.minimum.accumulate(sums)
    end = int(np.argmax(np.subtract(sums, lowest, out=lowest)))
    start = int(np.argmin(sums[: end + 1]))
    return float(sums[start] - sums[end]), first + start, first + end, first, last


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """The borders, moved outwards to the ends of words unless those are far away."""
    before = _BEFORE.search(text, max(0, start - WORD), start)
    after = _AFTER.match(text, end, end + WORD)
    if before and not text[start].isspace() and start - before.start() < WORD:
        start = before.start()
    if after and not text[end - 1].isspace() and after.end() - end < WORD:
        end = after.end()
    return start, end
