"""Characters made alike for a comparison in which case, spaces and punctuation do not count."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charrnn.text.vocab import TextIds, Unit

IGNORED = -1  # as in `kernels/overlap.py`
NO_SPACE = -2


class Symbols(NamedTuple):
    """How ids are compared: table (V,) int32, from ids to symbols, IGNORED for none; of a run of
    `space` only the first counts (NO_SPACE: nothing is a space); symbols are 0 to size - 1.
    """

    table: NDArray[np.int32]
    space: int
    size: int

    def of(self, ids: TextIds) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The symbols of ids (n,), and the position of each. Spaces at the beginning do not
        count.
        """
        symbols = self.table[ids]
        places = np.flatnonzero(symbols != IGNORED)
        symbols = symbols[places]
        is_space = symbols == self.space
        is_first = ~is_space
        is_first[1:] |= ~is_space[:-1]
        return symbols[is_first], places[is_first]


def exact(size: int) -> Symbols:
    """Every id is a symbol of its own."""
    return Symbols(np.arange(size, dtype=np.int32), NO_SPACE, size)


def folded(characters: Sequence[str], unit: Unit) -> Symbols:
    """The symbols by `fold`, for the character of each id; bytes beyond ASCII are letters."""
    number: dict[str, int] = {" ": 0}
    table = np.full(len(characters), IGNORED, np.int32)
    for i, ch in enumerate(characters):
        symbol = ch if unit == "byte" and not ch.isascii() else fold(ch)
        if symbol:
            table[i] = number.setdefault(symbol, len(number))
    return Symbols(table, 0, len(number))


def fold(ch: str) -> str:
    """A character without its case; white space and dashes are a space, and other punctuation,
    marks of formatting and control characters are nothing.
    """
    category = unicodedata.category(ch) if len(ch) == 1 else ""
    if ch.isspace() or category == "Pd":
        return " "
    if category[:1] == "P" or category in ("Sk", "Cf", "Cc"):
        return ""
    return ch.casefold()
