"""A text that a person and a network write together: who wrote each character, and undo."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from charrnn.errors import ConfigError

Author = Literal["you", "network"]
MARKS: dict[Author, str] = {"you": "y", "network": "n"}
"""The mark of each character in `Manuscript.authors`."""
Spans = list[tuple[int, int]]


@dataclass(frozen=True)
class Edit:
    """Text at a place replaced by other text, each with its authors."""

    place: int
    removed: tuple[str, str]
    inserted: tuple[str, str]

    @property
    def end(self) -> int:
        """Where the inserted text ends."""
        return self.place + len(self.inserted[0])


class Manuscript:
    """A text, and who wrote each of its characters.

    text: the characters. authors: as many marks, "y" for you and "n" for the network.
    """

    def __init__(self, text: str = "", network: Spans | None = None) -> None:
        self.text, self.authors = text, authors_of(len(text), network or [])
        self._done: list[Edit] = []
        self._undone: list[Edit] = []

    def __repr__(self) -> str:
        return f"Manuscript({len(self.text):,} characters, {self.share:.0%} by the network)"

    @property
    def share(self) -> float:
        """The part of the text that the network wrote, from 0 to 1."""
        return self.authors.count(MARKS["network"]) / max(1, len(self.text))

    @property
    def network(self) -> Spans:
        """The spans (start, stop) that the network wrote, in order."""
        return spans_of(self.authors)

    @property
    def last_edit(self) -> Edit | None:
        """What `undo` would take back."""
        return self._done[-1] if self._done else None

    def replace(self, start: int, stop: int, text: str, author: Author = "you") -> None:
        """Put a text in the place of text[start:stop]. What is typed or deleted character by
        character, up to the end of a word, is one step for `undo`.
        """
        if not 0 <= start <= stop <= len(self.text):
            raise ConfigError(
                f"`start` and `stop` must be 0 to {len(self.text)}, in order, not {start}, {stop}"
            )
        if start == stop and not text:
            return
        edit = Edit(
            start,
            (self.text[start:stop], self.authors[start:stop]),
            (text, MARKS[author] * len(text)),
        )
        self._apply(edit)
        joined = _joined(self._done[-1], edit) if self._done and not self._undone else None
        if joined is not None:
            self._done[-1] = joined
        else:
            self._done.append(edit)
        self._undone.clear()

    def change_to(self, text: str, cursor: int) -> None:
        """You changed the text to this one, and the cursor stands after the change."""
        kept = _shared(self.text[::-1], text[cursor:][::-1])
        stop, end = len(self.text) - kept, len(text) - kept
        start = _shared(self.text[:stop], text[:end])
        self.replace(start, stop, text[start:end])

    def undo(self) -> int | None:
        """Take the last step back; returns where the cursor belongs, or None if there is none."""
        if not self._done:
            return None
        edit = self._done.pop()
        self._undone.append(edit)
        self._apply(Edit(edit.place, edit.inserted, edit.removed))
        return edit.place + len(edit.removed[0])

    def redo(self) -> int | None:
        """Take the last `undo` back; returns as it does."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        self._done.append(edit)
        self._apply(edit)
        return edit.end

    def _apply(self, edit: Edit) -> None:
        stop = edit.place + len(edit.removed[0])
        self.text, self.authors = (
            old[: edit.place] + new + old[stop:]
            for old, new in zip((self.text, self.authors), edit.inserted, strict=True)
        )


def _joined(last: Edit, edit: Edit) -> Edit | None:
    """Two edits as one, if the second continues the first within a word."""
    typed, marks = edit.inserted
    if typed and not edit.removed[0]:
        before = last.inserted[0]
        continues = edit.place == last.end and bool(before) and len(typed) == 1
        new_word = before[-1:].isspace() and not typed.isspace()
        if continues and not new_word and set(marks + last.inserted[1]) == {MARKS["you"]}:
            return Edit(last.place, last.removed, (before + typed, last.inserted[1] + marks))
    elif len(edit.removed[0]) == 1 and not typed and not last.inserted[0]:
        pair = zip(edit.removed, last.removed, strict=True)
        if edit.place + 1 == last.place:  # backspace
            text, marks = (new + old for new, old in pair)
            return Edit(edit.place, (text, marks), ("", ""))
        if edit.place == last.place:  # delete
            text, marks = (old + new for new, old in pair)
            return Edit(edit.place, (text, marks), ("", ""))
    return None


def _shared(a: str, b: str) -> int:
    """How many characters two texts share at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle - 1)
    return low


def authors_of(size: int, network: Spans) -> str:
    """The authors' marks of a text of this size; `ConfigError` unless the spans are in order and
    within it.
    """
    marks, place = "", 0
    for start, stop in network:
        if not place <= start <= stop <= size:
            raise ConfigError(f"`network` has a span {start}, {stop} that is not in the text")
        marks += MARKS["you"] * (start - place) + MARKS["network"] * (stop - start)
        place = stop
    return marks + MARKS["you"] * (size - place)


def spans_of(authors: str) -> Spans:
    """The spans that the network wrote, in order."""
    spans, place = [], 0
    for mark, run in groupby(authors):
        stop = place + sum(1 for _ in run)
        if mark == MARKS["network"]:
            spans.append((place, stop))
        place = stop
    return spans
