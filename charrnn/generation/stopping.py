"""Where a text ends, and the characters that its symbols make."""

import codecs
from collections.abc import Sequence

import numpy as np

from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.writer import Ids
from charrnn.text.endings import Finder, Limit, Unit, finder
from charrnn.text.vocab import Vocab

CONTEXT = 1024
"""Symbols before a text in which its first sentence, line, paragraph or document may begin."""


def symbols_of(vocab: Vocab, ids: Ids) -> list[str]:
    """The symbols of every stream of ids (K, streams), one character each."""
    K, streams = ids.shape
    whole = vocab.codes[np.ascontiguousarray(ids.T)].tobytes().decode("utf-32-le")
    return [whole[n * K : (n + 1) * K] for n in range(streams)]


def stop_symbols(vocab: Vocab, strings: Sequence[str], name: str = "") -> list[str]:
    """Stop strings in the symbols of a vocabulary; `VocabError` for one that it cannot write: a
    text would never end there.
    """
    found = []
    for string in strings:
        symbols = vocab.in_symbols(string)
        lacking = {ch: symbols.index(ch) for ch in symbols if ch not in vocab.index}
        if lacking:
            raise vocab.complaint(
                lacking, "no text would end there", f"{name or f'`stop` {string!r}'}: "
            )
        found.append(symbols)
    return found


class Ending:
    """Passes symbols through up to the first stop string to be completed, the longest of them; what
    may begin one is held back. With `keep`, the text includes the string.

    strings, in symbols: none is empty.
    """

    def __init__(self, strings: Sequence[str] = (), keep: bool = False) -> None:
        self._strings, self._keep = strings, keep
        self._held, self.reached = "", False

    def feed(self, symbols: str, last: bool = False) -> str:
        """The symbols that are certain to belong to the text; with `last`, all that do."""
        if not self._strings:
            return symbols
        symbols = self._held + symbols
        found = [(symbols.find(string), len(string)) for string in self._strings]
        places = [(place + size, place) for place, size in found if place >= 0]
        if places:
            end, start = min(places)
            self.reached, self._held = True, ""
            return symbols[: end if self._keep else start]
        held = 0 if last else max(_begun(symbols, string) for string in self._strings)
        self._held = symbols[len(symbols) - held :]
        return symbols[: len(symbols) - held]


def _begun(symbols: str, string: str) -> int:
    """How many of the last symbols are the beginning of a string."""
    sizes = range(min(len(string) - 1, len(symbols)), 0, -1)
    return next((size for size in sizes if symbols.endswith(string[:size])), 0)


class Endings:
    """How texts end: at a stop string, at a unit (`until`, `lines`), or at `length`; shared by all
    texts of a network.

    A document's separator ends every smaller unit as well. `VocabError` for an end that the network
    cannot write, `ConfigError` for documents if it was trained without.

    config: resolved. separator: that of the network's documents, a regular expression.
    """

    def __init__(self, vocab: Vocab, config: SamplingConfig, separator: str | None) -> None:
        self.vocab, self.config = vocab, config
        self.stops = stop_symbols(vocab, config.stop)
        self.unit: Unit | None = "line" if config.lines is not None else config.until
        if self.unit == "document" and separator is None:
            raise ConfigError(
                "`until` document: this network's text had no documents; train with "
                "`document_separator`, or use another `until`"
            )
        if self.unit in ("line", "paragraph") and separator is None:
            stop_symbols(vocab, ["\n"], f"`until` {self.unit}")
        self.document = (
            None if separator is None or self.unit is None else finder("document", separator)
        )
        self.find = None if self.unit in (None, "document") else finder(self.unit)

    @property
    def at_separator(self) -> bool:
        """True if every text ends at its first separator, so that no document follows another."""
        return (
            self.document is not None and not self.config.after and self.config.lines in (None, 1)
        )

    def text(self, before: str = "") -> "Text":
        """A text that follows these symbols."""
        return Text(self, before[-CONTEXT:])

    def begun(self, before: str) -> str:
        """The characters of the last unit in these symbols, which the text goes on with."""
        before = _unfinished(before[-CONTEXT:], self.document)
        characters = before if self.vocab.unit == "char" else _decoded(before)
        return _unfinished(characters, self.find)

    def bare(self, text: str, ended: str) -> str:
        """A text without the separator or newline that ended it, and the space around it."""
        if ended == "document" and self.document is not None:
            symbols = self.vocab.in_symbols(text)
            end = self.document(symbols, 0, 0, True)
            while end is not None and end.at < len(symbols):
                end = self.document(symbols, 0, end.at, True)
            if end is not None:
                symbols = symbols[: end.search]
            text = symbols if self.vocab.unit == "char" else _decoded(symbols)
        return text.strip()


class Text:
    """One text, as a stream writes it: characters from symbols, up to where it ends.

    Bytes are read as UTF-8, and a character of several bytes is held back until it is complete.
    A byte that belongs to none becomes a surrogate, as in `os.fsdecode`, so that
    text.encode("utf-8", "surrogateescape") is what the network wrote.
    """

    def __init__(self, endings: Endings, before: str = "") -> None:
        config, self._utf8 = endings.config, None
        self._stop = Ending(endings.stops, config.keep_stop)
        if endings.vocab.unit == "byte":
            self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        count = config.lines or 1
        self._document = self._unit = None
        if endings.document is not None:
            self._document = Limit(endings.document, before, config.after)
        if endings.find is not None:
            characters = before if self._utf8 is None else _decoded(before)
            self._unit = Limit(endings.find, characters, config.after, count)
        self._name, self.ended = endings.unit, ""

    def read(self, symbols: str, end: int, last: bool = False) -> str:
        """As `feed`, for symbols of which those from `end` on were not drawn, if it is not
        negative, since an automaton had left none (`Writer.ended`).
        """
        if end < 0:
            return self.feed(symbols, last)
        text = self.feed(symbols[:end], last=True)
        self.ended = self.ended or "match"
        return text

    def feed(self, symbols: str, last: bool = False) -> str:
        """The characters that these symbols complete; with `last`, all that are left.

        `ended` then says what has ended the text: "stop", "document", "sentence", "line" or
        "paragraph"; empty if nothing has.
        """
        text = self._stop.feed(symbols, last)
        last = last or self._stop.reached
        is_document = False
        if self._document is not None:
            text = self._document.feed(text, last)
            is_document = self._document.reached
        last = last or is_document
        if self._utf8 is not None:
            text = self._utf8.decode(text.encode("latin-1"), last)
        if self._unit is not None:
            text = self._unit.feed(text, last)
            if self._unit.reached:
                self.ended = self._name or ""
                return text
        self.ended = "document" if is_document else "stop" if self._stop.reached else ""
        return text


def _unfinished(text: str, find: Finder | None) -> str:
    """What follows the last end in a text."""
    begin = start = 0
    while find is not None and (end := find(text, begin, start, True)) is not None:
        begin, start = end.at, max(end.at, end.search)
    return text[begin:]


def _decoded(symbols: str) -> str:
    return symbols.encode("latin-1").decode("utf-8", "surrogateescape")
