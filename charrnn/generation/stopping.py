"""Where a text ends, and the characters that its symbols make."""

import codecs
from collections.abc import Sequence

import numpy as np

from charrnn.generation.writer import Ids
from charrnn.text.vocab import Vocab


def symbols_of(vocab: Vocab, ids: Ids) -> list[str]:
    """The symbols of every stream of ids (K, streams), one character each."""
    K, streams = ids.shape
    whole = vocab.codes[np.ascontiguousarray(ids.T)].tobytes().decode("utf-32-le")
    return [whole[n * K : (n + 1) * K] for n in range(streams)]


def stop_symbols(vocab: Vocab, strings: Sequence[str]) -> list[str]:
    """Stop strings in the symbols of a vocabulary; `VocabError` for one that it cannot write: a
    text would never end there.
    """
    found = []
    for string in strings:
        symbols = vocab.in_symbols(string)
        lacking = {ch: symbols.index(ch) for ch in symbols if ch not in vocab.index}
        if lacking:
            raise vocab.complaint(lacking, "no text would end there", f"`stop` {string!r}: ")
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


class Text:
    """One text, as a stream writes it: characters from symbols, up to a stop string.

    Bytes are read as UTF-8, and a character of several bytes is held back until it is complete.
    A byte that belongs to none becomes a surrogate, as in `os.fsdecode`, so that
    text.encode("utf-8", "surrogateescape") is what the network wrote.
    """

    def __init__(self, vocab: Vocab, stops: Sequence[str] = (), keep: bool = False) -> None:
        self._ending, self._utf8 = Ending(stops, keep), None
        if vocab.unit == "byte":
            self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    @property
    def has_ended(self) -> bool:
        """True once a stop string has been reached."""
        return self._ending.reached

    def feed(self, symbols: str, last: bool = False) -> str:
        """The characters that these symbols complete; with `last`, all that are left."""
        symbols = self._ending.feed(symbols, last)
        if self._utf8 is None:
            return symbols
        return self._utf8.decode(symbols.encode("latin-1"), last or self.has_ended)
