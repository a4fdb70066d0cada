"""Where a text ends, and the characters that its symbols make."""

import codecs
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import numpy as np

from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.automaton import Automaton
from charrnn.generation.writer import Ids
from charrnn.text.corpus import Corpus
from charrnn.text.documents import TAIL
from charrnn.text.endings import Finder, Limit, Unit, anywhere, document_end, ends, finder
from charrnn.text.patterns import Pattern
from charrnn.text.vocab import Vocab, characters_of

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
        self._held, self._passed, self.reached = "", 0, False

    def feed(
        self, symbols: str, last: bool = False, may_end: Callable[[int], bool] = anywhere
    ) -> str:
        """The symbols that are certain to belong to the text; with `last`, all that do.

        may_end: whether a text with this number of symbols may end.
        """
        if not self._strings:
            return symbols
        symbols = self._held + symbols
        ends = [
            (end, stop)
            for string in self._strings
            for end, stop in self._ends(symbols, string)
            if may_end(self._passed + stop)
        ]
        if ends:
            self.reached, self._held = True, ""
            return symbols[: min(ends)[1]]
        held = 0 if last else max(_begun(symbols, string) for string in self._strings)
        self._held = symbols[len(symbols) - held :]
        self._passed += len(symbols) - held
        return symbols[: len(symbols) - held]

    def _ends(self, symbols: str, string: str) -> Iterator[tuple[int, int]]:
        """Where a stop string ends in symbols, and where the text ends then."""
        start = symbols.find(string)
        while start >= 0:
            yield start + len(string), start + len(string) * self._keep
            start = symbols.find(string, start + 1)


def _begun(symbols: str, string: str) -> int:
    """How many of the last symbols are the beginning of a string."""
    sizes = range(min(len(string) - 1, len(symbols)), 0, -1)
    return next((size for size in sizes if symbols.endswith(string[:size])), 0)


class Endings:
    """How texts end: at a stop string, at a unit (`until`, `lines`), or at `length`; shared by all
    texts of a network.

    A document's separator ends every smaller unit as well, except for `lines`. `VocabError` for an
    end that the network cannot write, `ConfigError` for documents if it was trained without.

    config: resolved. separator: that of the network's documents, a regular expression. automaton:
        if any, texts end only where it accepts them. is_short: a document may be empty, and texts
        are used without the separator (`bare`).
    """

    def __init__(
        self,
        vocab: Vocab,
        config: SamplingConfig,
        separator: str | None,
        automaton: Automaton | None = None,
        is_short: bool = False,
    ) -> None:
        self.is_short = is_short
        self.vocab, self.config, self.automaton = vocab, config, automaton
        self._pattern = None if separator is None else Pattern(separator)
        self.stops = stop_symbols(vocab, config.stop)
        self.unit: Unit | None = "line" if config.lines is not None else config.until
        if self.unit == "document" and separator is None:
            raise ConfigError(
                "`until` document: this network's text had no documents; train with "
                "`document_separator`, or use another `until`"
            )
        if self.unit in ("line", "paragraph") and (separator is None or config.lines is not None):
            name = f"`until` {self.unit}" if config.lines is None else "`lines`"
            stop_symbols(vocab, ["\n"], name)
        self.document: Finder | None = None
        if separator is not None and self.unit is not None and config.lines is None:
            self.document = document_end(separator, is_short)
        self.find = None if self.unit in (None, "document") else finder(self.unit)

    @property
    def needs_resets(self) -> bool:
        """False if what is used of a text ends before its first separator, so that no state need be
        set to zero while it is written. With an automaton it may go on there.
        """
        is_first = self.is_short and self.document is not None and self.automaton is None
        return not is_first or self.config.after > 0

    def text(self, before: str = "") -> "Text":
        """A text that follows these symbols."""
        return Text(self, before[-CONTEXT:])

    def begun(self, before: str) -> str:
        """The characters of the last unit in these symbols, which the text goes on with."""
        before = _unfinished(before, self.document)
        return _unfinished(self._characters(before), self.find)

    def bare(self, text: str, tail: int) -> str:
        """A text without the separator that ended it (`Text.tail`), and the space around it."""
        symbols = self.vocab.in_symbols(text)
        return self._characters(symbols[: len(symbols) - tail]).strip()

    def units(self, text: Corpus | str) -> Iterator[str]:
        """The sentences, lines, paragraphs or documents of a text, as `bare` leaves them."""
        if isinstance(text, str):
            whole = text
        else:  # bytes that are no UTF-8 stay what they are
            whole = symbols_of(text.vocab, text.ids[:, None])[0]
            whole = whole if text.vocab.unit == "char" else characters_of(whole)
        for document in self._documents(whole):
            begin = 0
            for end in ends(document, self.unit or "line"):  # of documents, there is none
                yield document[begin:end].strip()
                begin = end
            yield document[begin:].strip()

    def _documents(self, text: str) -> Iterator[str]:
        """A text's documents, or all of it if separators end nothing."""
        if self.document is None or self._pattern is None:
            yield text
            return
        symbols, begin = self.vocab.in_symbols(text), 0
        for match in self._pattern.finditer(symbols):
            yield self._characters(symbols[begin : match.start()])
            begin = match.end()
        yield self._characters(symbols[begin:])

    def _characters(self, symbols: str) -> str:
        return symbols if self.vocab.unit == "char" else characters_of(symbols)


class Text:
    """One text, as a stream writes it: characters from symbols, up to where it ends.

    Bytes are read as UTF-8, and a character of several bytes is held back until it is complete.
    A byte that belongs to none becomes a surrogate, as in `os.fsdecode`, so that
    text.encode("utf-8", "surrogateescape") is what the network wrote. `tail` is how many symbols of
    a document's separator it ends with.
    """

    def __init__(self, endings: Endings, before: str = "") -> None:
        config, self._utf8 = endings.config, None
        self._index, self._automaton = endings.vocab.index, endings.automaton
        self._state = 0 if self._automaton is None else self._automaton.start
        self._symbols, self._accepted = "", b""  # whether it accepts the first 0, 1, 2, ...
        self._stop = Ending(endings.stops, config.keep_stop)
        if endings.vocab.unit == "byte":
            self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        count = config.lines or 1
        self._document = self._unit = None
        if endings.document is not None:
            self._document = Limit(endings.document, before, config.after, reach=TAIL)
        if endings.find is not None:
            characters = before if self._utf8 is None else characters_of(before)
            self._unit = Limit(endings.find, characters, config.after, count)
        self._name, self.ended, self.tail = endings.unit, "", 0

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
        if self._automaton is not None:
            self._symbols += symbols
        text = self._stop.feed(symbols, last, self._may_end)
        last = last or self._stop.reached
        is_document = False
        if self._document is not None:
            text = self._document.feed(text, last, lambda symbols: self._may_end(len(symbols)))
            is_document = self._document.reached
        last = last or is_document
        if self._utf8 is not None:
            text = self._utf8.decode(text.encode("latin-1"), last)
        if self._unit is not None:
            text = self._unit.feed(text, last, self._may_end)
            if self._unit.reached:
                self.ended = self._name or ""
                return text
        self.ended = "document" if is_document else "stop" if self._stop.reached else ""
        if is_document and self._document is not None:
            self.tail = self._document.tail
        return text

    def copy(self) -> Self:
        """Another text that has read the same, and may go on in another way."""
        other = copy.copy(self)
        other._stop, other._utf8 = copy.copy(self._stop), copy.copy(self._utf8)
        other._document, other._unit = copy.copy(self._document), copy.copy(self._unit)
        return other

    def _may_end(self, text: int | str) -> bool:
        """Whether these first characters, or this number of symbols, may be the whole text."""
        if self._automaton is None:
            return True
        if isinstance(text, str):
            is_byte = self._utf8 is not None
            text = len(text.encode("utf-8", "surrogateescape")) if is_byte else len(text)
        for place in range(len(self._accepted), text + 1):
            if place > 0:
                symbol = self._index[self._symbols[place - 1]]
                self._state = self._automaton.follow(self._state, symbol)
            self._accepted += bytes([self._automaton.is_accepting(self._state)])
        return bool(self._accepted[text])


def _unfinished(text: str, find: Finder | None) -> str:
    """What follows the last end in a text."""
    begin = start = 0
    while find is not None and (end := find(text, begin, start, True)) is not None:
        begin, start = end.at, max(end.at, end.search)
    return text[begin:]
