"""Documents: where in a text they begin; a network's state is zero there.

A document begins at the character that follows a match of a pattern, unless the match is empty;
matches are those of `re.finditer` over the whole text. The state is zero when that character is
read; its prediction still came from the previous document. The text is decoded from the ids: the
unknown symbol is U+FFFD, and a byte is the character with its value.

The pattern comes from the user or from a checkpoint, which is not trusted. It cannot run code, and
`CorpusConfig` limits its length, but Python's regular expressions backtrack: nothing prevents a
pattern such as (a+)+b from running forever.
"""

import copy
import re
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from charrnn.text.vocab import TextIds, Vocab

WINDOW = 1 << 20
"""Characters searched at a time."""
LONGEST = 1 << 16
"""Maximum length of a separator, including its lookahead."""
CONTEXT = 256
"""Characters before the start of a search, for the pattern's lookbehind."""
TAIL = 1024
"""Maximum length of a separator while a text is generated."""

Positions = npt.NDArray[np.int64]


def document_starts(ids: TextIds, vocab: Vocab, pattern: str) -> Positions:
    """The positions in ids (n,) where a document begins, int64, sorted, without 0.

    The text is decoded in windows of a million characters. A separator longer than 65,536
    characters may be missed.
    """
    return np.fromiter(_ends(ids, vocab, re.compile(pattern)), np.int64)


def _ends(ids: TextIds, vocab: Vocab, pattern: re.Pattern[str]) -> Iterator[int]:
    codes, n = vocab.codes, len(ids)
    place = 0
    while place < n:
        first, end = max(0, place - CONTEXT), min(place + WINDOW + LONGEST, n)
        text = codes[ids[first:end]].tobytes().decode("utf-32-le")
        # A match that begins after the border may continue past the window: leave it to the next
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
    """bool (T, N), C-contiguous: True where a document begins at position firsts[n] + t; starts is
    sorted, firsts (N,), T = steps.
    """
    found = np.zeros((steps, len(firsts)), np.bool_)
    low, high = np.searchsorted(starts, firsts), np.searchsorted(starts, firsts + steps)
    for n in np.flatnonzero(low < high):
        found[starts[low[n] : high[n]] - firsts[n], n] = True
    return found


class DocumentTracker:
    """Follows a growing text and reports which of its characters begin a document.

    It decides before the next character is known. The result equals that of `document_starts` on
    the whole text for all patterns that need at most one character of lookahead to know where they
    end, such as "\\n\\n+", and for separators of up to 1,024 characters. Only a few thousand
    characters are kept.
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
            if match.end() > place:  # the match may continue
                break
            if match.end() > match.start():
                self._from, begins = match.end(), match.end() == place
        if len(self._text) > 2 * (CONTEXT + TAIL):
            cut = len(self._text) - CONTEXT - TAIL
            self._text, self._from = self._text[cut:], max(self._from - cut, CONTEXT)
        return begins


class DocumentTrackers:
    """A tracker for each of N streams of ids that begin with the same text and then differ."""

    def __init__(self, vocab: Vocab, pattern: str, streams: int) -> None:
        self._characters = [chr(code) for code in vocab.codes]
        self._trackers = [DocumentTracker(pattern)] * streams

    def read(self, ids: TextIds) -> list[int]:
        """Where a document begins in ids (K,), which all streams read first."""
        tracker = self._trackers[0]
        begins = [n for n, c in enumerate(self._of(ids)) if tracker.begins_document(c)]
        self._trackers = [copy.copy(tracker) for _ in self._trackers]
        return begins

    def follow(self, ids: TextIds) -> list[int]:
        """The streams in which a document begins with the next ids (N,), one per stream."""
        begins = map(DocumentTracker.begins_document, self._trackers, self._of(ids))
        return [n for n, begun in enumerate(begins) if begun]

    def keep(self, streams: Sequence[int]) -> None:
        """Follow these streams only, in this order."""
        self._trackers = [self._trackers[stream] for stream in streams]

    def _of(self, ids: TextIds) -> Iterator[str]:
        return (self._characters[i] for i in ids.tolist())
