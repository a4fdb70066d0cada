"""Documents: where in a text they begin, and where a network's state is set to zero for them.

A document begins at the character that follows a match of a pattern, the separator, unless the
match is empty; matches are those of `re.finditer` over the whole text. The text is decoded from the
ids: the unknown symbol is U+FFFD, and a byte is the character with its value.

The state is zero when the separator's last character is read, so every document's first character
is predicted from a zero state and that character alone: in training, in evaluation, and while a
text is generated. The first document is read as if a separator stood before it.

Nothing may depend on characters that have not been read yet. A separator that may continue, such as
a third newline for "\\n\\n+", resets the state at each character that could be its last: from
there, the network predicts a document's first character or the separator's next one. A pattern that
looks ahead, such as "\\n(?=[A-Z])" or "(?m)^--$", can only be judged when the next character is
known. With such a pattern the state is zero when a document's first character is read, and that
character is predicted from the previous document.

The pattern comes from the user or from a checkpoint, which is not trusted. It cannot run code,
`CorpusConfig` limits its length, and `patterns` the time that it takes.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from charrnn.errors import ConfigError
from charrnn.text.patterns import Pattern
from charrnn.text.vocab import TextIds, Vocab

WINDOW = 1 << 20
"""Characters searched at a time."""
LONGEST = 1 << 16
"""Maximum length of a separator, including its lookahead."""
CONTEXT = 256
"""Characters before the start of a search, for the pattern's lookbehind."""
TAIL = 1024
"""Maximum length of a separator while a text is generated."""
LITERAL = r"\\[^bBZz]|\[\^?\]?(?:\\.|[^\]\\])*\]"
"""Parts of a pattern in which nothing looks ahead: escaped characters and sets of characters."""
AHEAD = r"\(\?[=!]|\$|\\[bBZz]"
"""What looks ahead: assertions, ends, and borders of words."""

Positions = npt.NDArray[np.int64]


def document_starts(ids: TextIds, vocab: Vocab, pattern: str) -> Positions:
    """The positions in ids (n,) where a document begins, int64, sorted, without 0.

    The text is decoded in windows of a million characters. A separator longer than 65,536
    characters may be missed.
    """
    ends = (end for _, end in _separators(ids, vocab, Pattern(pattern)) if end < len(ids))
    return np.fromiter(ends, np.int64)


def resets(ids: TextIds, vocab: Vocab, pattern: str) -> Positions:
    """The positions in ids (n,) before whose characters the state is set to zero, int64, sorted,
    for a text that begins a document.

    The first is -1: the last character of a separator that is imagined before the text. With a
    pattern that looks ahead, it is 0. Limits as in `document_starts`.
    """
    if looks_ahead(pattern):
        return np.append(np.int64(0), document_starts(ids, vocab, pattern))
    places = (
        end - size for sizes, end in _separators(ids, vocab, Pattern(pattern)) for size in sizes
    )
    return np.append(np.int64(-1), np.fromiter(places, np.int64))


def checked_starts(starts: Positions, characters: int) -> Positions:
    """Positions for a text of this length, as int64; `ConfigError` unless they are whole numbers
    from -1 to characters, in order.
    """
    places = np.asarray(starts)
    places = places if places.size else places.astype(np.int64)
    if places.ndim != 1 or places.dtype.kind not in "iu":
        raise ConfigError("`starts` must be whole numbers, as documents.resets returns them")
    if places.size and not (places.min() >= -1 and places.max() <= characters):
        raise ConfigError(f"`starts` must be -1 to {characters}, the length of the text")
    places = places.astype(np.int64)
    if (np.diff(places) < 0).any():
        raise ConfigError("`starts` must be in order")
    return places


def follows_separator(starts: Positions | None) -> bool:
    """True if a text with these resets is read as if a separator stood before it."""
    return starts is not None and starts[:1].tolist() == [-1]


def start_ids(vocab: Vocab) -> TextIds:
    """The id that precedes a text if nothing better is known: a newline, else a space, else the
    first symbol.
    """
    first = next(
        (c for c in "\n " if c in vocab.index), vocab.symbols[0 if vocab.unknown != 0 else 1]
    )
    return vocab.encode(first if vocab.unit == "char" else first.encode("latin-1"))


def looks_ahead(pattern: str) -> bool:
    """True if whether the pattern matches may depend on the character after the match.

    It may also be true for a pattern that only looks as if it did, such as one with a $ in a
    comment.
    """
    return re.search(AHEAD, re.sub(LITERAL, "", pattern)) is not None


def _separators(ids: TextIds, vocab: Vocab, pattern: Pattern) -> Iterator[tuple[list[int], int]]:
    """The matches that are not empty: how far before its end each possible last character stands,
    in order, and where the match ends.
    """
    codes, n = vocab.codes, len(ids)
    place = 0
    while place < n:
        first, end = max(0, place - CONTEXT), min(place + WINDOW + LONGEST, n)
        text = codes[ids[first:end]].tobytes().decode("utf-32-le")
        # A match that begins after the border may continue past the window: leave it to the next
        # one.
        border = n if end == n else end - LONGEST
        for match in pattern.finditer(text, place - first):
            start, stop = match.span()
            if first + start >= border:
                break
            if stop > start:
                place = first + stop
                yield [*_shorter(pattern, text, start, stop), 1], place
        place = max(place, border)


def _shorter(pattern: Pattern, text: str, start: int, stop: int) -> Iterator[int]:
    """How far before the end of a match stand the earlier characters with which it could have
    ended.
    """
    for end in range(start + 1, min(stop, start + TAIL)):
        match = pattern.match(text, start, end)
        if match is not None and match.end() == end:
            yield stop - end + 1


def starts_in_batch(
    starts: Positions, firsts: npt.NDArray[np.int64], steps: int
) -> npt.NDArray[np.bool_]:
    """bool (T, N), C-contiguous: True where `starts` contains the position firsts[n] + t; starts is
    sorted, firsts (N,), T = steps.
    """
    is_start = np.zeros((steps, len(firsts)), np.bool_)
    low, high = np.searchsorted(starts, firsts), np.searchsorted(starts, firsts + steps)
    for n in np.flatnonzero(low < high):
        is_start[starts[low[n] : high[n]] - firsts[n], n] = True
    return is_start


class DocumentTracker:
    """Follows a growing text and reports before which of its characters the state is zero.

    It decides before the next character is known. The result equals that of `resets` on the whole
    text for patterns that need no more than the next character to know where they end, and for
    separators of up to 1,024 characters. Only a few thousand characters are kept.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern, self._looks_ahead = Pattern(pattern), looks_ahead(pattern)
        self._text, self._from = "", 0

    def resets_before(self, character: str) -> bool:
        """Read the next character; True if the state is set to zero before the network reads it."""
        place = len(self._text)
        self._text += character
        # a separator, with or, if the pattern looks ahead, before the character; one is imagined
        # before the text
        ends = self._looks_ahead and not place
        for match in self._pattern.finditer(self._text, self._from):
            if match.end() > place:  # the match may continue
                ends = ends or (not self._looks_ahead and match.end() > match.start())
                break
            if match.end() > match.start():
                self._from = match.end()
                ends = self._looks_ahead and match.end() == place
        if len(self._text) > 2 * (CONTEXT + TAIL):
            cut = len(self._text) - CONTEXT - TAIL
            self._text, self._from = self._text[cut:], max(self._from - cut, CONTEXT)
        return ends


class DocumentTrackers:
    """A tracker for each of N streams of ids that begin with the same text and then differ."""

    def __init__(self, vocab: Vocab, pattern: str, streams: int) -> None:
        self._characters = [chr(code) for code in vocab.codes]
        self._trackers = [DocumentTracker(pattern) for _ in range(streams)]

    def read(self, ids: TextIds) -> list[int]:
        """Before which of ids (K,), which all streams read first, the state is zero."""
        tracker = self._trackers[0]
        places = [n for n, c in enumerate(self._of(ids)) if tracker.resets_before(c)]
        self._trackers = [copy.copy(tracker) for _ in self._trackers]
        return places

    def follow(self, ids: TextIds) -> list[int]:
        """The streams whose state is zero before they read the next ids (N,), one per stream."""
        resets = map(DocumentTracker.resets_before, self._trackers, self._of(ids))
        return [n for n, is_reset in enumerate(resets) if is_reset]

    def chosen(self, streams: Sequence[int]) -> Self:
        """Trackers that follow these streams, in this order, from here; one may be followed in
        several ways.
        """
        other = copy.copy(self)
        other._trackers = [copy.copy(self._trackers[stream]) for stream in streams]
        return other

    def put(self, stream: int, other: Self, its: int) -> None:
        """Follow a stream from where other trackers follow theirs."""
        self._trackers[stream] = copy.copy(other._trackers[its])

    def _of(self, ids: TextIds) -> Iterator[str]:
        return (self._characters[i] for i in ids.tolist())
