"""What may be true of a character of a text, for every character: inside quotes, upper case, and
so on. Units are scored by how well they tell (`units`).

A feature holds from when it could be known: a character has the value that is true once it has
been read. So an opening quote is inside quotes, and the one that closes them is not.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from charrnn.config.fields import check_pattern
from charrnn.text.graphemes import sizes_in_bytes
from charrnn.text.patterns import Pattern
from charrnn.text.vocab import Unit, characters_of

Flags = NDArray[np.bool_]
Span = tuple[int, int]

CLOSING = {'"': '"', "“": "”", "„": "“”", "«": "»", "‘": "’"}
"""The quotation marks that open, and those that close what they open; ' is an apostrophe."""
VOWELS = frozenset("aeiouæøœаеёиоуыэюяіїєαεηιουω")
GLIDES = frozenset("йў")
"""Consonants that are written as a vowel with a mark."""
_QUOTE = regex.compile(r"\r?\n[ \t]*\r?\n|[\"“”„«»‘’]")
_BRACKET = regex.compile(r"\r?\n[ \t]*\r?\n|[()\[\]]")
_BRACE = regex.compile(r"[{}]")
# "NAME:" on a line of its own, or a name in capitals with a colon or a full stop before the words
_SPEAKER = regex.compile(
    r"(?m)^(\p{Lu}[^\n:]{0,39}):[ \t]*\r?\n[^\r\n]*"
    r"|^(\p{Lu}[\p{Lu} '’-]{1,39})[:.](?=\s)[^\r\n]*"
)
_INDENTATION = regex.compile(r"(?m)^([ \t]+)\S[^\r\n]*")


@dataclass(frozen=True, eq=False)
class Feature:
    """Something that is true of some characters: bool (T,)."""

    name: str
    values: Flags

    def __repr__(self) -> str:
        return f"Feature({self.name!r}, {self.values.mean():.1%} of {len(self.values):,})"

    @property
    def places(self) -> int:
        """How many times it begins to be true."""
        return int(np.count_nonzero(self.values[1:] & ~self.values[:-1]) + self.values[:1].sum())


def text_features(
    symbols: str, unit: Unit = "char", *, pattern: str | None = None
) -> tuple[Feature, ...]:
    """The features of a text of T symbols, as in `Vocab.in_symbols`: a byte's features are those of
    its character.

    inside quotes: straight, typographic and French ones; to the end of the paragraph at most.
    inside brackets: round and square ones, to the end of the paragraph at most.
    inside braces: any number of paragraphs.
    late in the line: more characters after the newline than half of all characters are.
    in a speaker's name: "NAME" of a line "NAME:", or of "NAME. Words" in capitals.
    after a speaker's name: to the end of the first line that is spoken.
    upper case, vowel (Latin, Cyrillic, Greek), between words (no letter, digit or apostrophe).
    in the indentation: in the spaces and tabs before a line's first word.
    deeply indented: more of these before it in its line than half of all characters have.
    pattern: a regular expression, whose matches are another feature; `ConfigError` if it is none or
        takes too long.
    """
    text, sizes = symbols, None
    if unit == "byte":
        text = characters_of(symbols)
        sizes = sizes_in_bytes(text)
    inside = {
        "inside quotes": _marked(text, _quoted(text)),
        "inside brackets": _marked(text, _enclosed(text, _BRACKET, {"(": ")", "[": "]"})),
        "inside braces": _marked(text, _enclosed(text, _BRACE, {"{": "}"})),
        "late in the line": _is_above_median(_columns(text)),
        "in a speaker's name": _marked(text, (_name_of(m) for m in _SPEAKER.finditer(text))),
        "after a speaker's name": _marked(
            text, ((_name_of(m)[1], m.end()) for m in _SPEAKER.finditer(text))
        ),
        "upper case": _where(text, str.isupper),
        "vowel": _where(text, is_vowel),
        "between words": _where(text, lambda ch: not (ch.isalnum() or ch in "'’")),
        "in the indentation": _marked(text, (m.span(1) for m in _INDENTATION.finditer(text))),
        "deeply indented": _is_above_median(_depths(text)),
    }
    if pattern is not None:
        check_pattern("pattern", pattern)
        matches = Pattern(pattern, "pattern").finditer(text)
        inside[f"match of {pattern}"] = _marked(text, (m.span() for m in matches))
    if sizes is not None:
        inside = {name: np.repeat(values, sizes) for name, values in inside.items()}
    return tuple(Feature(name, values) for name, values in inside.items())


def _marked(text: str, spans: Iterable[Span]) -> Flags:
    values = np.zeros(len(text), np.bool_)
    for first, last in spans:
        values[first:last] = True
    return values


def _where(text: str, is_so: Callable[[str], bool]) -> Flags:
    """Where a character is so, asked once for each kind of character."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    kinds, each = np.unique(codes, return_inverse=True)
    flags = np.array([is_so(chr(code)) for code in kinds.tolist()], np.bool_)
    return flags[each] if len(text) else np.zeros(0, np.bool_)


def is_vowel(ch: str) -> bool:
    """Whether a Latin, Cyrillic or Greek letter is a vowel, whatever its case and marks."""
    low = ch.lower()
    return low not in GLIDES and bool({low, unicodedata.normalize("NFD", low)[0]} & VOWELS)


def _columns(text: str) -> NDArray[np.int64]:
    """How many characters after the last newline each one is; a newline is 0."""
    places = np.arange(len(text), dtype=np.int64)
    newlines = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4") == 10
    return places - np.maximum.accumulate(np.where(newlines, places, -1))


def _depths(text: str) -> NDArray[np.int64]:
    """How many spaces and tabs stand before each character at the beginning of its line."""
    depths = np.zeros(len(text), np.int64)
    for match in _INDENTATION.finditer(text):
        first, last = match.span(1)
        depths[first : match.end()] = last - first
        depths[first:last] = np.arange(1, last - first + 1)
    return depths


def _is_above_median(values: NDArray[np.int64]) -> Flags:
    return values > (np.median(values) if len(values) else 0)


def _quoted(text: str) -> Iterator[Span]:
    """From each quotation mark that opens to the one that closes, or to an empty line."""
    opened, first = "", 0
    for match in _QUOTE.finditer(text):
        mark, place = match[0], match.start()
        if not opened:
            opened, first = (mark, place) if mark in CLOSING else ("", 0)
        elif mark[-1] == "\n" or (mark in CLOSING[opened] and not _is_apostrophe(text, place)):
            yield first, place
            opened = ""
    if opened:
        yield first, len(text)


def _is_apostrophe(text: str, place: int) -> bool:
    return text[place] == "’" and text[place + 1 : place + 2].isalnum()


def _enclosed(text: str, marks: regex.Pattern[str], pairs: dict[str, str]) -> Iterator[Span]:
    """From each outermost bracket that opens to its partner; an empty line closes all."""
    awaited: list[str] = []
    first = 0
    for match in marks.finditer(text):
        mark = match[0]
        if mark in pairs:
            first = first if awaited else match.start()
            awaited.append(pairs[mark])
        elif awaited and (mark[-1] == "\n" or mark in awaited):
            keep = 0 if mark[-1] == "\n" else len(awaited) - 1 - awaited[::-1].index(mark)
            awaited = awaited[:keep]
            if not awaited:
                yield first, match.start()
    if awaited:
        yield first, len(text)


def _name_of(match: regex.Match[str]) -> Span:
    first, last = match.span(1) if match[1] is not None else match.span(2)
    return first, last
