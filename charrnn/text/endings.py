"""Where the sentences, lines, paragraphs and documents of a text end.

A sentence ends after its mark, with the quotes and brackets that close there; a line after its
newline; a paragraph after the newline before a blank line; a document after its separator. A unit
is never empty: newlines before the first letter or digit end nothing.

Marks, closing quotes and the rest are the classes of Unicode's sentence boundaries (UAX #29), and
so is the rule that no sentence ends where the next word begins with a small letter. In addition,
no sentence ends at an abbreviation, an initial, a number of up to three digits or the number of a
list's item; a newline is a space, since lines are often wrapped; and a blank line ends a sentence.
Some ends are missed ("at 5 p.m. He left"): a text then ends one sentence later.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import regex

from charrnn.text.patterns import Pattern

Unit = Literal["sentence", "line", "paragraph", "document"]

NEWLINE = ("\n", r"\n")
"""Separators after which every line is a document."""
_SHORT = """
mr mrs ms messrs mme mlle mm dr prof rev hon st ste sr jr capt col gen lt sgt maj cpl gov sen rep
pres supt fr esq vs viz approx dept est cf al eds vol vols chap ch fig figs pp ed bk pt co corp inc
ltd bros ave blvd rd mt ft jan feb apr jun jul aug sep sept oct nov dec
hr hrn frl nr bd bzw vgl evtl ggf sog geb gest abb aufl hrsg jh
sra srta ud uds vd pág núm sig sigg sigra dott mevr dhr drs ул им стр см
"""
ABBREVIATIONS = frozenset(_SHORT.split())
"""Words, in small letters, after which a full stop ends no sentence."""
NUMBERED = frozenset(("no", "nos", "art", "sec", "sect", "par", "str", "abs", "kap", "cap"))
"""Words after which a full stop ends no sentence if a number follows."""
_CANDIDATE = regex.compile(
    r"(?P<mark>[。！？｡．]++)[\p{Pe}\p{Pf}\"']*+|"
    r"(?P<mark>[\p{SB=AT}\p{SB=ST}…]++)[\p{SB=CL}*_]*+(?:[\u00a0\u202f]»)?|"
    r"\n[^\S\n]*+(?:\n|\Z)"
)
_NEXT = regex.compile(r"(?P<space>\s*+)[\p{SB=CL}\p{Pd}*_¿¡]*+\s*+(?P<first>\S?)")
_CONTINUES = regex.compile(r"[\p{Ll}\p{SB=SC}\p{SB=AT}\p{SB=ST}]")
_WORD = regex.compile(r"[^\s\p{SB=CL}\p{Pd}*_]*\Z")
_ITEM = regex.compile(r"\W*+(?:\d+|[IVXLCDM]+|[ivxl]+|\p{L})")
_BLANK_LINE = regex.compile(r"\n[^\S\n]*+(\n|\Z)")
_UNSPACED = frozenset("。！？｡．؟۔।॥།")  # marks after which no space is needed
_CONTENT = regex.compile(r"[\p{L}\p{N}]")


class End(NamedTuple):
    """An end, or what becomes one if the text goes on that way.

    at: the characters up to here belong to the unit. search: where the next search begins.
    """

    at: int
    search: int
    is_certain: bool


Finder = Callable[[str, int, int, bool], End | None]
"""find(text, begin, start, is_whole): the first end in text[start:] of the unit that begins at
`begin`, or what may become one; None if there is neither. `is_whole`: nothing follows the text.
"""


def ends(text: str, unit: Unit, separator: str | None = None) -> Iterator[int]:
    """Where the units of a whole text end, in order; what follows the last one is a part of one.

    separator: the regular expression that separates documents (`CorpusConfig`).
    """
    find, begin, start = finder(unit, separator), 0, 0
    while (end := find(text, begin, start, True)) is not None:
        yield end.at
        begin, start = end.at, max(end.search, end.at)


def finder(unit: Unit, separator: str | None = None) -> Finder:
    """What finds the ends of a unit; `separator` is needed for documents only."""
    if unit == "document":
        return document_end(separator or r"(?!)")
    return {"sentence": sentence_end, "line": line_end, "paragraph": paragraph_end}[unit]


def line_end(text: str, begin: int, start: int, is_whole: bool) -> End | None:
    """A newline after something other than space."""
    while (place := text.find("\n", start)) >= 0:
        if text[begin:place].strip():
            return End(place + 1, place + 1, True)
        start = place + 1
    return None


def paragraph_end(text: str, begin: int, start: int, is_whole: bool) -> End | None:
    """A newline before a blank line, after something other than space."""
    for match in _BLANK_LINE.finditer(text, start):
        if text[begin : match.start()].strip():
            is_certain = bool(match[1])
            if is_certain or not is_whole:
                return End(match.start() + 1, match.start(), is_certain)
    return None


def document_end(separator: str, may_be_empty: bool = False) -> Finder:
    """What finds the ends of documents. An end is certain once the character after the separator is
    known, as long as the pattern looks no further ahead.
    """
    pattern = Pattern(separator)

    def find(text: str, begin: int, start: int, is_whole: bool) -> End | None:
        for match in pattern.finditer(text, start):
            is_empty = not text[begin : match.start()].strip()
            if match.end() > match.start() and (may_be_empty or not is_empty):
                is_certain = is_whole or match.end() < len(text)
                return End(match.end(), match.start(), is_certain)
        return None

    return find


def sentence_end(text: str, begin: int, start: int, is_whole: bool) -> End | None:
    """A mark that ends a sentence, or a blank line."""
    for match in _CANDIDATE.finditer(text, start):
        if not _CONTENT.search(text, begin, match.start()):
            continue
        if match["mark"] is None:
            is_blank = match[0].endswith("\n") and len(match[0]) > 1
            if is_blank or not is_whole:
                return End(match.start(), match.start(), is_blank)
            continue
        after = _NEXT.match(text, match.end())
        is_cut = not after["first"]
        if not after["space"] and match["mark"][-1] not in _UNSPACED:
            if match.end() < len(text):
                continue
        elif after["space"].count("\n") > 1:
            return End(match.end(), after.end("space"), True)
        elif after["first"] and _CONTINUES.match(after["first"]):
            continue
        if match["mark"] == "." and _is_part(text, begin, match.start(), after["first"]):
            continue
        return End(match.end(), match.start(), not is_cut or is_whole)
    return None


def _is_part(text: str, begin: int, stop: int, following: str) -> bool:
    """True if the full stop at `stop` belongs to an abbreviation, an initial or a number.

    following: the first character of the next word, empty if it is not known.
    """
    word = _WORD.search(text, max(begin, stop - 24), stop)[0]
    folded, last = word.lower(), word.rpartition(".")[2]
    if _ITEM.fullmatch(text, begin, stop) or folded in ABBREVIATIONS:
        return True
    if folded in NUMBERED:
        return following.isdigit()
    if len(last) == 1 and last.lower() != last.upper():
        before = text[max(begin, stop - 24) : stop - 1].split()
        return word != "I" or not before or not before[-1][0].islower()
    return word.isdecimal() and len(word) <= 3


def anywhere(text: object) -> bool:
    """True: a text may end after any characters."""
    return True


class Limit:
    """Passes characters through up to the end of a unit.

    What follows a possible end is held back until the end is certain or none.

    before: what precedes the text; the first unit may begin in it.
    after: ends within this many characters do not count. count: the number of ends.
    reach: the characters of an end, at most, which may come in several pieces.

    reached: whether the end has come. tail: how many of the last characters are its separator, if
    the unit is a document.
    """

    def __init__(
        self, find: Finder, before: str = "", after: int = 0, count: int = 1, reach: int = 1
    ) -> None:
        self._find, self._text, self._left, self._reach = find, before, count, reach
        self._start = self._passed = len(before)
        self._least = len(before) + after
        self._begin = self._search = self.tail = 0
        self.reached = False
        while (end := find(before, self._begin, self._search, True)) is not None:
            self._begin = self._search = max(end.at, end.search)

    def feed(
        self, text: str, is_whole: bool = False, may_end: Callable[[str], bool] = anywhere
    ) -> str:
        """The characters that are certain to belong to the text; if it `is_whole`, all that do.

        may_end: whether the text may end after these first characters.
        """
        self._text += text
        stop = len(self._text)
        while (end := self._find(self._text, self._begin, self._search, is_whole)) is not None:
            self._search = end.search
            if not end.is_certain:
                stop = end.at
                break
            self._begin = self._search = max(end.at, end.search)
            if end.at > self._least:
                self._left -= 1
                if self._left <= 0 and may_end(self._text[self._start : end.at]):
                    stop, self.reached, self.tail = end.at, True, end.at - end.search
                    break
        else:
            self._search = max(self._search, len(self._text) - self._reach)
        stop = max(stop, self._passed)
        piece, self._passed = self._text[self._passed : stop], stop
        return piece
