"""Which symbols words are made of."""

import unicodedata

from charrnn.text.vocab import Vocab


def word_symbols(vocab: Vocab) -> list[int]:
    """The ids of letters, marks and digits, of any script (Unicode's categories L, M and N).

    Of bytes, those from 128 on count as well: most of them are parts of letters.
    """
    return [
        i
        for symbol, i in vocab.index.items()
        if unicodedata.category(symbol)[0] in "LMN" or (vocab.unit == "byte" and symbol > "\x7f")
    ]
