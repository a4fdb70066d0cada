"""Documents: where in a text they begin, and with them a network's state from zero.

A document begins at the character that follows a match of a pattern, unless the match is empty;
matches are those of `re.finditer` over the whole text. The state is zero when that character is
read: it was still predicted from the document before. The text is that of the ids: the unknown
symbol is U+FFFD, and a byte is the character of its value.

The pattern is the user's own, or comes with a checkpoint, which is not trusted. It cannot run
anything, and `CorpusConfig` limits its length, but Python's regular expressions backtrack: nothing
keeps a pattern such as (a+)+b from taking forever.
"""

import copy
import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from charrnn.text.vocab import TextIds, Vocab

WINDOW = 1 << 20
"""Characters searched at a time."""
LONGEST = 1 << 16
"""A separator may be so long, with what it looks ahead at."""
CONTEXT = 256
"""Characters before the place where a search begins, for the pattern to look back at."""
TAIL = 1024
"""While a text is written, a separator may be so long."""

Positions = npt.NDArray[np.int64]


def document_starts(ids: TextIds, vocab: Vocab, pattern: str) -> Positions:
    """The positions of the characters of ids (n,) with which a document begins, int64, sorted; 0 is
    not among them.

    The text is decoded a window of a million characters at a time. A separator that is longer than
    65,536 characters may be missed.
    """
    return np.fromiter(_ends(ids, vocab, re.compile(pattern)), np.int64)


def _ends(ids: TextIds, vocab: Vocab, pattern: re.Pattern[str]) -> Iterator[int]:
    codes, n = vocab.codes, len(ids)
    place = 0
    while place < n:
        first, end = max(0, place - CONTEXT), min(place + WINDOW + LONGEST, n)
        text = codes[ids[first:end]].tobytes().decode("utf-32-le")
        # A match that begins behind the border may go on behind the window: it is left to the next
        # one.
        border = n if end == n else end - LONGEST
        for match in pattern.finditer(text, place - first):
            if first + match.start() >= border:
                break
            if match.end() > match.start():
                place = first + match.end()
                if place < n:
                    yield place
        place = max(place, border)


def starts_in_batch(
    starts: Positions, firsts: npt.NDArray[np.int64], steps: int
) -> npt.NDArray[np.bool_]:
    """(T, N), C-contiguous: True where a document begins at position firsts[n] + t; starts sorted,
    firsts (N,), T = steps.
    """
    found = np.zeros((steps, len(firsts)), np.bool_)
    low, high = np.searchsorted(starts, firsts), np.searchsorted(starts, firsts + steps)
    for n in np.flatnonzero(low < high):
        found[starts[low[n] : high[n]] - firsts[n], n] = True
    return found


class DocumentTracker:
    """Follows a text that is still growing, and says which of its characters begin a document.

    That is judged when a character is known and the next one is not. It is what `document_starts`
    finds in the whole text for all patterns that need to look no further ahead than one character
    to know where they end, such as "\\n\\n+", and for separators of up to 1,024 characters. Only
    some thousand characters are kept.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self._text, self._from = "", 0

    def begins_document(self, character: str) -> bool:
        """Read the next character; True if a document begins with it."""
        place = len(self._text)
        self._text += character
        begins = False
        for match in self._pattern.finditer(self._text, self._from):
            if match.end() > place:  # it may go on
                break
            if match.end() > match.start():
                self._from, begins = match.end(), match.end() == place
        if len(self._text) > 2 * (CONTEXT + TAIL):
            cut = len(self._text) - CONTEXT - TAIL
            self._text, self._from = self._text[cut:], max(self._from - cut, CONTEXT)
        return begins


class DocumentTrackers:
    """A tracker for each of N streams of ids, which begin with the same text and then differ."""

    def __init__(self, vocab: Vocab, pattern: str, streams: int) -> None:
        self._characters = [chr(code) for code in vocab.codes]
        self._trackers = [DocumentTracker(pattern)] * streams

    def read(self, ids: TextIds) -> list[int]:
        """Where in ids (K,), which all streams read at their beginning, a document begins."""
        tracker = self._trackers[0]
        begins = [n for n, c in enumerate(self._of(ids)) if tracker.begins_document(c)]
        self._trackers = [copy.copy(tracker) for _ in self._trackers]
        return begins

    def follow(self, ids: TextIds) -> list[int]:
        """The streams in which a document begins with the next ids (N,), one a stream."""
        begins = map(DocumentTracker.begins_document, self._trackers, self._of(ids))
        return [n for n, begun in enumerate(begins) if begun]

    def _of(self, ids: TextIds) -> Iterator[str]:
        return (self._characters[i] for i in ids.tolist())
