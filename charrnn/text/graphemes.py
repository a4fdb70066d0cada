"""Symbols as people see them: bytes become characters, and characters that belong together, such as
a letter and its accent, are one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import regex

from charrnn.text.vocab import Unit, characters_of

_JOINS = regex.compile(
    "|".join(
        rf"\p{{GCB={kind}}}"
        for kind in ["Extend", "ZWJ", "SpacingMark", "Prepend", "L", "V", "T", "RI", "CR"]
    )
)
"""Characters beside which there may be no border; between any two others there is one."""
_CLUSTER = regex.compile(r"\X")
"""A user-perceived character (Unicode Standard Annex 29)."""
MOST = 16
"""Characters of one; more are another, so that none is endless."""


@dataclass(frozen=True, eq=False)
class Graphemes:
    """G user-perceived characters of a text.

    text: of bytes, as `characters_of` reads them.
    places: where each one begins in the text, and the text's length, int64 (G + 1,).
    firsts: the first symbol of each, int64 (G,).
    """

    text: str
    places: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.firsts)

    def __getitem__(self, index: int) -> str:
        return self.text[self.places[index] : self.places[index + 1]]

    @property
    def bases(self) -> str:
        """The first character of each, but a newline of CRLF: a string of length G."""
        if len(self) == len(self.text):
            return self.text
        text = self.text.replace("\r\n", "\n\n")
        return "".join(text[place] for place in self.places[:-1].tolist())

    def symbol_at(self, place: int) -> int:
        """The first symbol of what stands at a place of the text."""
        return int(self.firsts[np.searchsorted(self.places, place, side="right") - 1])

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The sum of the values (K,), one per symbol, over the symbols of each; NaN if one is."""
        if len(self) == len(values):
            return values
        sums: npt.NDArray[Any] = np.add.reduceat(values, self.firsts, dtype=np.float64)
        return sums


def graphemes(symbols: str, unit: Unit = "char") -> Graphemes:
    """The user-perceived characters of a text in symbols: one character per symbol, which with the
    unit "byte" is a byte's value.
    """
    text, firsts = symbols, None
    if unit == "byte":
        text = characters_of(symbols)
        sizes = sizes_in_bytes(text)
        firsts = np.cumsum(sizes) - sizes
    places = _places(text)
    return Graphemes(text, places, places[:-1] if firsts is None else firsts[places[:-1]])


def sizes_in_bytes(text: str) -> npt.NDArray[np.int64]:
    """How many bytes each character has in UTF-8, int64 (len(text),); a surrogate is a byte."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    sizes = 1 + (codes >= 0x80) + (codes >= 0x800).astype(np.int64) + (codes >= 0x10000)
    sizes[(codes >= 0xDC80) & (codes <= 0xDCFF)] = 1
    return sizes


def _places(text: str) -> npt.NDArray[np.int64]:
    """Where each one begins, and the text's length."""
    if text.isascii() and "\r\n" not in text:
        return np.arange(len(text) + 1, dtype=np.int64)
    begins = np.ones(len(text) + 1, np.bool_)
    joining = [ord(symbol) for symbol in set(text) if _JOINS.match(symbol)]
    if joining:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        joins = np.isin(codes, joining)
        near = joins.copy()
        near[1:] |= joins[:-1]
        near[:-1] |= joins[1:]
        changes = np.flatnonzero(np.diff(near, prepend=False, append=False))
        for first, last in changes.reshape(-1, 2).tolist():
            begins[first:last] = False
            for cluster in _CLUSTER.finditer(text, first, last):
                begins[cluster.start() : cluster.end() : MOST] = True
    return np.flatnonzero(begins)


def place_in(symbols: str, index: int, unit: Unit = "char") -> tuple[int, int]:
    """Line and column, from 1, of a symbol of a text; columns are characters."""
    begin = symbols.rfind("\n", 0, index) + 1
    before = symbols[begin:index]
    if unit == "byte":
        before = characters_of(before)
    return symbols.count("\n", 0, index) + 1, len(before) + 1
