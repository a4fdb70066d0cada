"""Characters to ids and back.

A `Vocab` is a list of symbols: the index of a symbol is its id. A symbol is one character, or, with
the unit "byte", one byte value written as the character of that code point. An additional symbol,
"<unk>", may stand for all characters that were too rare; it can be read but is never written.
"""

from __future__ import annotations

import codecs
import itertools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from charrnn.errors import VocabError

Unit = Literal["char", "byte"]
Unknown = Literal["error", "skip", "nearest", "fold"]
UNKNOWN_POLICIES = get_args(Unknown)
TextIds = npt.NDArray[Any]
"""A text in the ids of a vocabulary, 1-D, uint8 or uint16."""

UNKNOWN = "<unk>"
NOUNS: dict[Unit, str] = {"char": "character", "byte": "byte"}
MAX_SYMBOLS = 65536
NAMED = 5  # number of unknown characters that a message names
SHOWN = 20  # number of symbols in a vocabulary's repr
_PIECE = 1 << 16  # characters encoded at a time: their code points and ids stay in the cache
_REPLACEMENT = (
    0xFFFD  # as a byte it is 0xFD, which never occurs in UTF-8, so it decodes to U+FFFD again
)

# Characters that readers see as similar, besides those that differ only in case or accent.
_ALIKE = ("'’‘‚‛′`´", '"“”„‟″«»', "'\"’‘“”„`´«»", "-‐‑‒–—―−_", "([{", ")]}", ",;:", ".!?…", " \n\t")


@dataclass(frozen=True)
class Vocab:
    """Symbols by id; `unknown` is the id of the symbol "<unk>", or None if there is none.

    Checked on creation, since the list may come from an untrusted file: `VocabError` for a list
    that is empty or longer than 65536, for a symbol that is not one character, occurs twice or is a
    surrogate, and for an `unknown` that is not the index of "<unk>".
    """

    symbols: tuple[str, ...]
    unit: Unit = "char"
    unknown: int | None = None

    def __post_init__(self) -> None:
        if self.unit not in ("char", "byte"):
            raise VocabError(
                f"the vocabulary's unit must be 'char' or 'byte', not {self.unit!r:.40}"
            )
        if not 1 <= len(self.symbols) <= MAX_SYMBOLS:
            raise VocabError(
                f"a vocabulary has 1 to {MAX_SYMBOLS} symbols, not {len(self.symbols)}"
            )
        unknown, last = self.unknown, len(self.symbols) - 1
        if unknown is not None:
            if type(unknown) is not int or not 0 <= unknown <= last:
                raise VocabError(
                    f"the id of the unknown symbol must be 0 to {last}, not {unknown!r:.40}"
                )
            if self.symbols[unknown] != UNKNOWN:
                raise VocabError(
                    f"symbol {unknown} should be {UNKNOWN!r}, but is {self.symbols[unknown]!r:.40}"
                )
        for i, symbol in enumerate(self.symbols):
            if i != unknown:
                self._check(i, symbol)
        if len(set(self.symbols)) < len(self.symbols):
            twice = next(s for i, s in enumerate(self.symbols) if s in self.symbols[:i])
            raise VocabError(f"the vocabulary contains the symbol {twice!r} twice")

    def _check(self, i: int, symbol: object) -> None:
        where = f"symbol {i} of the vocabulary"
        if not isinstance(symbol, str) or len(symbol) != 1:
            raise VocabError(f"{where} must be one character, not {symbol!r:.40}")
        code = ord(symbol)
        if self.unit == "byte" and code > 255:
            raise VocabError(f"{where} of bytes must be U+0000 to U+00FF, not U+{code:04X}")
        if 0xD800 <= code <= 0xDFFF:
            raise VocabError(f"{where} is half a character: the surrogate U+{code:04X}")

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> Self:
        """The vocabulary in metadata written by `as_json`; `VocabError` for anything else."""
        symbols = about.get("vocab")
        if not isinstance(symbols, list):
            raise VocabError(
                f"the vocabulary must be a list of symbols, not {type(symbols).__name__}"
            )
        return cls(tuple(symbols), about.get("unit"), about.get("unknown"))  # type: ignore[arg-type]

    def as_json(self) -> dict[str, Any]:
        """The metadata of the vocabulary: `vocab`, `unit` and `unknown`."""
        return {"vocab": list(self.symbols), "unit": self.unit, "unknown": self.unknown}

    def __len__(self) -> int:
        return len(self.symbols)

    def __repr__(self) -> str:
        symbols = "".join(self.index)
        first = f"{symbols[:SHOWN]!r}{'...' if len(symbols) > SHOWN else ''}"
        unknown = "" if self.unknown is None else f" and {UNKNOWN}"
        return f"Vocab({counted(len(symbols), NOUNS[self.unit])}{unknown}: {first})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of encoded text: uint8, or uint16 for more than 256 symbols."""
        return np.dtype(np.uint8 if len(self) <= 256 else np.uint16)

    @cached_property
    def index(self) -> dict[str, int]:
        """Maps characters to ids; the unknown symbol is not included."""
        return {s: i for i, s in enumerate(self.symbols) if i != self.unknown}

    @cached_property
    def codes(self) -> npt.NDArray[np.uint32]:
        """The code point of each id (V,), little-endian; U+FFFD for the unknown symbol."""
        return np.array(
            [_REPLACEMENT if i == self.unknown else ord(s) for i, s in enumerate(self.symbols)],
            "<u4",
        )

    @cached_property
    def _ids(self) -> npt.NDArray[np.int32]:
        """The id of each code point, -1 if it has none; the last entry, -1, stands for all higher
        code points.
        """
        table = np.full(max(map(ord, self.index), default=0) + 2, -1, np.int32)
        for symbol, i in self.index.items():
            table[ord(symbol)] = i
        return table

    def encode(
        self, text: str | bytes, unknown: Unknown = "error"
    ) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """The ids of a text, 1-D, uint8 (uint16 for more than 256 symbols).

        For characters that the vocabulary lacks, "error" raises a `VocabError` that names them,
        "skip" leaves them out, "nearest" replaces each with the most similar symbol or leaves it
        out if there is none, and "fold" replaces them with the unknown symbol (`VocabError` if
        there is none). With the unit "byte", a str is encoded as UTF-8 first; with "char", bytes
        are decoded as UTF-8.
        """
        text = self.in_symbols(text)
        if unknown not in UNKNOWN_POLICIES:
            raise VocabError(
                f"`unknown` must be {', '.join(UNKNOWN_POLICIES)}, not {unknown!r:.40}"
            )
        if unknown == "fold" and self.unknown is None:
            raise VocabError("the vocabulary has no unknown symbol; use `unknown` skip or nearest")
        pieces = [
            self._encode(text, text[a : a + _PIECE], unknown) for a in range(0, len(text), _PIECE)
        ]
        return np.concatenate(pieces) if pieces else np.empty(0, self.dtype)

    def _encode(self, text: str, piece: str, unknown: Unknown) -> npt.NDArray[Any]:
        codes = np.frombuffer(piece.encode("utf-32-le", "surrogatepass"), "<u4")
        ids = self._ids.take(codes, mode="clip")
        lacking = ids < 0
        if lacking.any():
            if unknown == "error":
                positions = {ch: text.index(ch) for ch in set(text) - self.index.keys()}
                raise self.complaint(positions, "use `unknown` skip or nearest")
            if unknown == "fold" and self.unknown is not None:
                ids[lacking] = self.unknown
            elif unknown == "nearest":
                for code in np.unique(codes[lacking]):
                    ids[codes == code] = self.index.get(self.nearest(chr(code)) or "", -1)
            ids = ids[ids >= 0]
        return ids.astype(self.dtype)

    def in_symbols(self, text: str | bytes) -> str:
        """The text with one character per symbol, known or not; a byte becomes the character of
        that value.
        """
        try:
            if self.unit == "char":
                return text if isinstance(text, str) else text.decode("utf-8")
            # surrogateescape: command line bytes that are not UTF-8 arrive as surrogates and become
            # bytes again here.
            return (
                text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
            ).decode("latin-1")
        except UnicodeDecodeError as e:
            raise VocabError(
                f"the text is not UTF-8: byte 0x{e.object[e.start]:02x} at position {e.start}"
            ) from None
        except UnicodeEncodeError as e:
            raise VocabError(
                f"{name_of(e.object[e.start])} at character {e.start} is half a character"
            ) from None

    def complaint(self, positions: Mapping[str, int], advice: str, where: str = "") -> VocabError:
        """The error that names the characters that the vocabulary lacks (character -> first
        position), earliest first.
        """
        noun = "byte" if self.unit == "byte" else "character"
        named = []
        for ch, at in sorted(positions.items(), key=lambda item: item[1])[:NAMED]:
            alike = ", ".join(repr(c) for c in itertools.islice(self._alike(ch), 3))
            named.append(
                f"{name_of(ch, self.unit)} at {noun} {at}"
                + (f" (nearest: {alike})" if alike else "")
            )
        others = f" and {len(positions) - NAMED} more" if len(positions) > NAMED else ""
        return VocabError(f"{where}not in the vocabulary: {', '.join(named)}{others}; {advice}")

    def nearest(self, ch: str) -> str | None:
        """The known character most like `ch` (other case, no accent, similar punctuation, another
        digit), or None.
        """
        return next(self._alike(ch), None)

    def _alike(self, ch: str) -> Iterator[str]:
        """Known characters similar to `ch`, most similar first; bytes beyond ASCII have none."""
        if self.unit == "byte" and not ch.isascii():
            return
        seen = {ch}
        for other in _resembling(ch):
            if other in self.index and other not in seen:
                seen.add(other)
                yield other

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """The text of ids (K,), any integer type. The unknown symbol, and bytes that are not UTF-8,
        become U+FFFD. `VocabError` for ids that the vocabulary does not have.
        """
        decoder = Decoder(self)
        return decoder.feed(ids) + decoder.end()

    def extended(self, other: Vocab) -> Vocab:
        """This vocabulary with its ids unchanged, followed by the symbols that only `other` has, in
        code point order.

        The unknown symbol is this vocabulary's; if only `other` has one, it is added last.
        `VocabError` if the units differ.
        """
        if self.unit != other.unit:
            raise VocabError(
                f"cannot add {other.unit}s to a vocabulary of {self.unit}s; set `unit` {self.unit}"
            )
        symbols = self.symbols + tuple(sorted(other.index.keys() - self.index.keys()))
        if self.unknown is not None or other.unknown is None:
            return Vocab(symbols, self.unit, self.unknown)
        return Vocab((*symbols, UNKNOWN), self.unit, len(symbols))


class Decoder:
    """Decodes ids as they arrive, for streaming: a character of several bytes is held back until it
    is complete.
    """

    def __init__(self, vocab: Vocab) -> None:
        self._vocab = vocab
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """The text completed by these ids; `VocabError` for an id that the vocabulary does not
        have.
        """
        codes: npt.NDArray[np.uint32] = self._vocab.codes[checked_ids(ids, len(self._vocab))]
        if self._vocab.unit == "byte":
            return self._utf8.decode(codes.astype(np.uint8).tobytes())
        return codes.tobytes().decode("utf-32-le")

    def end(self) -> str:
        """The text held back: U+FFFD if the ids ended inside a character, otherwise nothing."""
        return self._utf8.decode(b"", final=True)


def checked_ids(ids: Sequence[int] | npt.NDArray[Any], symbols: int) -> npt.NDArray[Any]:
    """The ids as an array (K,) in the integer type that they came in; `VocabError` unless they are
    whole numbers from 0 to symbols - 1.

    They are checked before any conversion, in which 2**32 could become 0.
    """
    try:
        array = np.asarray(ids if len(ids) else np.empty(0, np.int32))
    except (TypeError, ValueError):
        raise VocabError(
            f"ids must be a list or an array of whole numbers, not {ids!r:.40}"
        ) from None
    if array.ndim != 1:
        raise VocabError(f"ids must have one dimension, not the shape {array.shape}")
    if array.dtype.kind not in "iu":
        what = "too large" if array.dtype.kind == "O" else f"not {array.dtype}"
        raise VocabError(f"ids must be whole numbers from 0 to {symbols - 1}, {what}")
    if array.size and not (array.min() >= 0 and array.max() < symbols):
        raise VocabError(f"ids must be 0 to {symbols - 1}, not {array.min()} to {array.max()}")
    return array


def characters_of(symbols: str) -> str:
    """The text of bytes, each of which is the character of its value. A byte that is not UTF-8, and
    the unknown symbol, is a surrogate in it, as in `os.fsdecode`.
    """
    known = symbols.replace(chr(_REPLACEMENT), chr(_REPLACEMENT & 0xFF))
    return known.encode("latin-1").decode("utf-8", "surrogateescape")


def name_of(ch: str, unit: Unit = "char") -> str:
    """A character for a message: escaped, with code point and Unicode name; a byte in
    hexadecimal.
    """
    if unit == "byte":
        return f"byte 0x{ord(ch):02x}" + (f" ({ch!r})" if ch.isascii() else "")
    name = unicodedata.name(ch, "")
    return f"{ch!r} (U+{ord(ch):04X}{' ' if name else ''}{name})"


def counted(n: int, noun: str) -> str:
    """A number with its noun, in the plural unless the number is one."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _resembling(ch: str) -> Iterator[str]:
    """Characters similar to `ch`, most similar first, whether known or not."""
    base = _base(ch)
    yield from (ch.swapcase(), base, base.swapcase())
    yield from itertools.chain.from_iterable(
        group for group in _ALIKE if ch in group or base in group
    )
    if ch.isspace():
        yield from " \n"
    if base.isdecimal():
        value = int(base)
        yield from sorted("0123456789", key=lambda digit: abs(int(digit) - value))


def _base(ch: str) -> str:
    """The base letter without accents and compatibility forms: 'é' -> 'e', 'ø' -> 'o', '٣' -> '3',
    'ﬁ' -> 'f'.
    """
    letters = unicodedata.normalize("NFKD", ch)
    plain = next((c for c in letters if not unicodedata.combining(c)), ch)
    if plain.isdecimal():
        return str(unicodedata.decimal(plain))
    name, with_, _ = unicodedata.name(plain, "").partition(" WITH ")
    if with_:
        try:
            return unicodedata.lookup(name)
        except KeyError:
            pass
    return plain
