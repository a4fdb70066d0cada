"""A text kept in memory as provisional ids while it is read; they are then replaced in place.

This works for any text that can be read once, and reports what is wrong with it.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CorpusError
from charrnn.runtime.memory import memory_size
from charrnn.text.reading import Reading
from charrnn.text.vocab import TextIds, Vocab, name_of

_CODES = 0x110000
_SHARE = 0.8  # of the memory that the ids of a text may take
_ENDLESS = 1 << 36  # bytes that no stream has, if we cannot tell how much memory there is
_SLICE = (
    1 << 16
)  # ids processed at a time in passes over the whole text, so that they stay in the cache


class Stored:
    """A text in provisional ids: code points below 128, then in order of appearance. A byte is its
    own id, so that bytes and ASCII are copied unchanged.
    """

    def __init__(self, reading: Reading) -> None:
        self.length = 0
        base = 256 if reading.config.unit == "byte" else 128
        self._symbols = [chr(code) for code in range(base)]  # by id
        self._table = np.full(_CODES, -1, np.int32)  # code point -> id
        self._table[:base] = np.arange(base)
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)
        # Untouched memory costs nothing, so the size in bytes is a good first guess.
        size = sum(1 + (file.size or 0) for file in reading.files)
        self._most = int(_SHARE * (memory_size() or size + _ENDLESS))
        self._memory = np.empty(_rounded(max(min(size, self._most // 2), 1 << 16)), np.uint8)
        for n, piece in reading.pieces():
            try:
                ids = self._ids_of(piece)
            except UnicodeEncodeError as error:
                raise half_character(error, self.length, reading.files[n].path) from None
            end = self.length + ids.size
            try:
                self._widen(np.min_scalar_type(len(self._symbols) - 1))
                self._reserve(end)
            except MemoryError:
                raise CorpusError(
                    f"{reading.files[n].path}: more than fits into this machine's memory, after "
                    f"{self.length:,} characters; use a part of it"
                ) from None
            self._as(self._dtype)[self.length : end] = ids
            self.length = end
            reading.sizes[n] += ids.size

    def _ids_of(self, piece: str | bytes) -> npt.NDArray[Any]:
        if isinstance(piece, bytes) or piece.isascii():
            return np.frombuffer(piece if isinstance(piece, bytes) else piece.encode(), np.uint8)
        codes = np.frombuffer(piece.encode("utf-32-le"), "<u4")
        ids = self._table.take(codes, mode="clip")  # mode="clip" only because it is twice as fast
        if ids.min(initial=0) < 0:
            new = np.unique(codes[ids < 0])
            self._table[new] = np.arange(len(self._symbols), len(self._symbols) + new.size)
            self._symbols += map(chr, new.tolist())
            ids = self._table.take(codes, mode="clip")
        return ids

    def _reserve(self, length: int) -> None:
        """Make room for this many ids; `MemoryError` if there is not so much memory."""
        size = length * self._dtype.itemsize
        if size > self._most:
            raise MemoryError
        if size > self._memory.size:
            # Grows by remapping pages if the system can, and in small steps, since new memory is
            # zeroed.
            size = max(size, self._memory.size + self._memory.size // 8)
            self._memory.resize(_rounded(size), refcheck=False)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        """Widen the ids to this type, unless they are already wider."""
        if dtype.itemsize > self._dtype.itemsize:
            before, self._dtype = self._dtype, dtype
            self._reserve(self.length)
            narrow, wide = self._as(before), self._as(dtype)
            for part in reversed(self._slices()):
                wide[part] = narrow[part].copy()  # they overlap

    def _as(self, dtype: np.dtype[Any]) -> TextIds:
        return self._memory.view(dtype)

    def _slices(self) -> list[slice]:
        return [slice(a, min(a + _SLICE, self.length)) for a in range(0, self.length, _SLICE)]

    def counts(self) -> dict[str, int]:
        """As of `Characters`."""
        counts = np.zeros(len(self._symbols), np.int64)
        for part in self._slices():
            counts += np.bincount(self._as(self._dtype)[part], minlength=counts.size)
        pairs = sorted(zip(self._symbols, counts.tolist(), strict=True))
        return {ch: n for ch, n in pairs if n}

    def first_positions(self, characters: Collection[str]) -> dict[str, int]:
        """As of `Characters`."""
        is_sought = np.array([ch in characters for ch in self._symbols], np.uint8)
        positions: dict[str, int] = {}
        for part in self._slices():
            ids = self._as(self._dtype)[part]
            hits = np.flatnonzero(_looked_up(is_sought, ids))
            for i, at in zip(*np.unique(ids[hits], return_index=True), strict=True):
                positions.setdefault(self._symbols[i], part.start + int(hits[at]))
        return positions

    def encode(self, vocab: Vocab) -> Iterator[TextIds]:
        """As of `Characters`."""
        self._widen(vocab.dtype)
        # 0: for ASCII characters that are in neither the text nor the vocabulary.
        absent = vocab.unknown or 0
        table = np.array([vocab.index.get(ch, absent) for ch in self._symbols], vocab.dtype)
        ids, out = self._as(self._dtype), self._as(vocab.dtype)
        for part in self._slices():
            out[part] = _looked_up(table, ids[part])  # overwrites ids that were already read
            yield out[part]
        self._dtype = vocab.dtype

    def ids(self) -> TextIds:
        """As of `Characters`."""
        self._memory.resize(self.length * self._dtype.itemsize, refcheck=False)
        return self._as(self._dtype)


def _rounded(size: int) -> int:
    """The size rounded up to a multiple of four bytes."""
    return -(-size // 4) * 4


def _looked_up(table: TextIds, ids: TextIds) -> TextIds:
    if ids.itemsize == table.itemsize == 1:  # twice as fast as take
        return np.frombuffer(ids.tobytes().translate(np.resize(table, 256).tobytes()), np.uint8)
    return table.take(ids)


def half_character(error: UnicodeEncodeError, before: int, where: str) -> CorpusError:
    """The error for a surrogate in a piece of text that follows `before` characters."""
    half = name_of(error.object[error.start])
    return CorpusError(
        f"{where}: {half} at character {before + error.start} is half a character; take it out"
    )
