"""Which symbols words are made of."""

import unicodedata

from charrnn.text.vocab import Vocab

FORMAT = "\u00ad\u200c\u200d"
"""Format characters inside words: soft hyphen, zero width non-joiner and joiner."""


def is_inner(character: str) -> bool:
    """True for letters, marks and digits, of any script (Unicode's categories L, M and N)."""
    return unicodedata.category(character)[0] in "LMN" or character in FORMAT


def word_symbols(vocab: Vocab) -> list[int]:
    """The ids of the characters that words are made of. Of bytes, those from 128 on count as well:
    most of them are parts of letters.
    """
    return [
        i
        for symbol, i in vocab.index.items()
        if is_inner(symbol) or (vocab.unit == "byte" and symbol > "\x7f")
    ]
