"""Texts that were decoded wrongly once: UTF-8 that was read as another encoding and saved again.

Then é is Ã© (UTF-8 read as cp1252 or latin-1), √© (as mac_roman) or Г© (as cp1251): each byte of a
character became a character of its own, and the first of such a group says how many there are. In a
text that is right, such groups are rare: É before », for example.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charrnn.text.occurrences import places_of
from charrnn.text.vocab import TextIds, Vocab

ENCODINGS = "cp1252", "mac_roman", "cp1251", "cp437"
"""As what UTF-8 is read wrongly. For cp1252, a byte that it lacks is the control character of that
value, as in latin-1.
"""
LEAST, MOST = 3, 0.8
"""A text was decoded wrongly if it has this many groups that begin like Ã©, Â£ or â€™, or if groups
of any kind make up this fraction of what is not ASCII.
"""
CERTAIN = 0xC2, 0xC3, 0xE2
"""First bytes that in cp1252 are Â, Ã and â, which do not stand before such signs by themselves."""
_TRIED = 100  # groups that must be UTF-8, nearly all
_ODD = "Cc", "Cn", "Co", "Cs"


@dataclass(frozen=True)
class Misread:
    """A text that was decoded wrongly.

    encoding: what UTF-8 was taken for. groups: how many characters became groups. first: where the
    first group stands. shown, meant: that group, and the character that it was. is_whole: True if
    encoding the whole text again gives back the UTF-8 that it was.
    """

    encoding: str
    groups: int
    first: int
    shown: str
    meant: str
    is_whole: bool


def find_misread(ids: TextIds, vocab: Vocab, counts: npt.NDArray[np.int64]) -> Misread | None:
    """How the text ids (n,) was decoded wrongly; None if it was not. counts (V,) are those of its
    symbols.
    """
    strange = vocab.codes >= 0x80
    if vocab.unit == "byte" or not counts[strange].any():
        return None
    found = (_read_as(encoding, ids, vocab, counts * strange) for encoding in ENCODINGS)
    return next((misread for misread in found if misread), None)


def _read_as(
    encoding: str, ids: TextIds, vocab: Vocab, strange: npt.NDArray[np.int64]
) -> Misread | None:
    """As `find_misread`, for one encoding; strange (V,) counts the symbols that are not ASCII."""
    values = _bytes_of(vocab, encoding)
    begins = places_of(ids, (values >= 0xC2) & (values <= 0xF4))
    lead = values[ids[begins]]
    sizes = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    is_group = begins + sizes <= len(ids)
    for k in (1, 2, 3):
        next_byte = values[ids[np.minimum(begins + k, len(ids) - 1)]]
        is_group &= (sizes <= k) | ((next_byte >= 0x80) & (next_byte < 0xC0))
    if sizes[is_group].sum() < MOST * strange.sum():
        is_group &= np.isin(lead, CERTAIN) if encoding == "cp1252" else False
    begins, sizes = begins[is_group], sizes[is_group]
    if len(begins) < LEAST:
        return None
    pairs = zip(begins[:_TRIED].tolist(), sizes[:_TRIED].tolist(), strict=True)
    meant = [_decoded(values[ids[a : a + size]]) for a, size in pairs]
    if sum(map(bool, meant)) < MOST * len(meant):
        return None
    n = next(n for n, character in enumerate(meant) if character)
    first, size = int(begins[n]), int(sizes[n])
    used = strange > 0
    if encoding == "cp1252" and vocab.codes[used].max() < 0x100:
        encoding = "latin-1"
    is_known = [_is_in(symbol, encoding) for symbol in np.array(vocab.symbols)[used]]
    return Misread(
        encoding,
        len(begins),
        first,
        vocab.decode(ids[first : first + size]),
        meant[n],
        all(is_known) and int(sizes.sum()) == int(strange.sum()),
    )


def _bytes_of(vocab: Vocab, encoding: str) -> npt.NDArray[np.int64]:
    """The byte of each symbol in an encoding, int64 (V,); -1 if it has none."""
    values = np.full(len(vocab), -1)
    for symbol, i in vocab.index.items():
        if _is_in(symbol, encoding):
            values[i] = symbol.encode(encoding)[0]
        elif encoding == "cp1252" and "\x80" <= symbol <= "\x9f":
            values[i] = ord(symbol)
    return values


def _is_in(symbol: str, encoding: str) -> bool:
    try:
        symbol.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _decoded(group: npt.NDArray[np.int64]) -> str:
    """The character of these bytes; empty if there is none that people write."""
    character = bytes(group.tolist()).decode("utf-8", "ignore")
    if not character or unicodedata.category(character) in _ODD:
        return ""
    return character
