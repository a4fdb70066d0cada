"""Characters to provisional ids as they are read, and those to a vocabulary's once all of the text
is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from charrnn.config.settings import CorpusConfig
from charrnn.errors import CorpusError, VocabError
from charrnn.text.vocab import MAX_SYMBOLS, UNKNOWN, Unit, Vocab, name_of

Ids = npt.NDArray[Any]  # uint8 or uint16, 1-D
NewPiece = Callable[[Ids], None]

_SLICE = 1 << 16  # ids handled at a time in passes over the whole text: they stay in the cache


class Characters(Protocol):
    """A text that was read, but is no ids yet, since its vocabulary is still to be made."""

    @property
    def unit(self) -> Unit:
        """What is counted."""

    @property
    def length(self) -> int:
        """How many there are."""

    def counts(self) -> dict[str, int]:
        """How often each character occurs."""

    def check(self, vocab: Vocab, where: str) -> None:
        """Raise `VocabError` for other units, or a character that the vocabulary lacks without an
        unknown symbol.
        """

    def ids(self, vocab: Vocab, new_piece: NewPiece) -> Ids:
        """The text in the ids of a vocabulary (n,), once. `new_piece` is called with its parts, in
        order, as they are there.
        """


class Gathered:
    """Ids by order of appearance, in one array that grows.

    The first 128 ids (with bytes, 256) are the code points themselves, so that ASCII text is copied
    as it is.
    """

    def __init__(self, unit: str, capacity: int) -> None:
        self.unit: Unit = "byte" if unit == "byte" else "char"
        self.length = 0
        base = 256 if unit == "byte" else 128
        self._codes: list[int] = list(range(base))  # id -> code point
        self._table = np.full(0x110000, -1, np.int32)  # code point -> id
        self._table[:base] = np.arange(base)
        # Memory that is never touched costs nothing, so the size in bytes is a good first guess.
        self._ids: Ids = np.empty(max(capacity, 1 << 16), np.uint8)

    def extend(
        self, pieces: Iterable[str] | Iterable[bytes], joint: bool = False, where: str = ""
    ) -> int:
        """Append a file; with `joint`, a newline first unless there is one. Returns where the file
        begins.
        """
        start = self.length
        for piece in pieces:
            if (
                joint
                and piece
                and self.length
                and chr(self._codes[self._ids[self.length - 1]]) not in "\r\n"
            ):
                self._append(np.full(1, ord("\n"), np.uint8))
                start = self.length
            joint = joint and not piece
            if isinstance(piece, bytes) or piece.isascii():
                raw = piece if isinstance(piece, bytes) else piece.encode()
                self._append(np.frombuffer(raw, np.uint8))
            else:
                self._append(self._numbered(_code_points(piece, self.length, where)))
        return start

    def _numbered(self, codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        ids = self._table.take(codes, mode="clip")  # clip only because it is twice as fast
        if ids.min(initial=0) < 0:
            new = np.unique(codes[ids < 0])
            self._table[new] = np.arange(len(self._codes), len(self._codes) + new.size)
            self._codes += new.tolist()
            ids = self._table.take(codes, mode="clip")
        return ids

    def _append(self, ids: Ids) -> None:
        end = self.length + ids.size
        dtype = np.min_scalar_type(len(self._codes) - 1)
        if dtype.itemsize > self._ids.itemsize:
            wider = np.empty(self._ids.size, dtype)
            wider[: self.length] = self._ids[: self.length]
            self._ids = wider
        if end > self._ids.size:
            # Grows by remapping pages where the system can, and by little, since the new part is
            # zeroed.
            self._ids.resize(max(end, self._ids.size + self._ids.size // 4), refcheck=False)
        self._ids[self.length : end] = ids
        self.length = end

    def slices(self) -> Iterator[tuple[int, Ids]]:
        """The text in order: position, ids."""
        for a in range(0, self.length, _SLICE):
            yield a, self._ids[a : min(a + _SLICE, self.length)]

    def counts(self) -> dict[str, int]:
        """As of `Characters`."""
        counts = np.zeros(len(self._codes), np.int64)
        for _, ids in self.slices():
            counts += np.bincount(ids, minlength=len(self._codes))
        return {chr(code): int(n) for code, n in zip(self._codes, counts, strict=True) if n}

    def check(self, vocab: Vocab, where: str) -> None:
        """As of `Characters`."""
        check_unit(vocab, self.unit, where)
        if vocab.unknown is not None:
            return
        is_absent = np.array([chr(code) not in vocab.index for code in self._codes], np.uint8)
        positions: dict[str, int] = {}
        for a, ids in self.slices():
            hits = np.flatnonzero(_looked_up(is_absent, ids))
            for i, at in zip(*np.unique(ids[hits], return_index=True), strict=True):
                positions.setdefault(chr(self._codes[i]), a + int(hits[at]))
        if positions:
            raise lacking(vocab, positions, where)

    def ids(self, vocab: Vocab, new_piece: NewPiece) -> Ids:
        """As of `Characters`, in the memory of the provisional ids, which end with this."""
        # 0: for ASCII characters that neither the text nor the vocabulary holds.
        absent = 0 if vocab.unknown is None else vocab.unknown
        table = np.array([vocab.index.get(chr(code), absent) for code in self._codes], vocab.dtype)
        self._ids.resize(self.length, refcheck=False)
        out = self._ids
        if vocab.dtype.itemsize > out.itemsize:
            out = np.empty(self.length, vocab.dtype)
        elif vocab.dtype.itemsize < out.itemsize:
            out = self._ids.view(vocab.dtype)  # over those that were read already
        for a, ids in self.slices():
            out[a : a + ids.size] = _looked_up(table, ids)
        if out.size > self.length:
            del out
            self._ids.resize(-(-self.length // 2), refcheck=False)
            out = self._ids.view(vocab.dtype)[: self.length]
        self._ids = out
        for _, ids in self.slices():
            new_piece(ids)
        return out


def check_unit(vocab: Vocab, unit: Unit, where: str) -> None:
    """`VocabError` unless a text was read in the units of the vocabulary."""
    if vocab.unit != unit:
        raise VocabError(
            f"{where}: read as {unit}s, but the vocabulary is of {vocab.unit}s; set --unit "
            f"{vocab.unit}"
        )


def lacking(vocab: Vocab, positions: dict[str, int], where: str) -> VocabError:
    """The error for characters of a text that the vocabulary lacks, with the first position of
    each.
    """
    return vocab.complaint(
        positions, "take it out of the text, or train with --min-count 2", f"{where}: "
    )


def _looked_up(table: Ids, ids: Ids) -> Ids:
    if ids.itemsize == table.itemsize == 1:  # twice as fast as take
        return np.frombuffer(ids.tobytes().translate(np.resize(table, 256).tobytes()), np.uint8)
    return table.take(ids)


def _code_points(text: str, before: int, where: str) -> npt.NDArray[np.uint32]:
    try:
        return np.frombuffer(text.encode("utf-32-le"), "<u4")
    except UnicodeEncodeError as e:
        raise _half(e, before, where) from None


def utf8(text: str, where: str) -> bytes:
    """The text as UTF-8; `CorpusError` for half a character."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise _half(e, 0, where) from None


def _half(error: UnicodeEncodeError, before: int, where: str) -> CorpusError:
    half = name_of(error.object[error.start])
    return CorpusError(
        f"{where}: {half} at character {before + error.start} is half a character; take it out"
    )


def vocabulary_of(
    gathered: Characters, config: CorpusConfig, extend: Vocab | None, where: str
) -> Vocab:
    """The characters of the text in code point order; those too rare, and unknown to `extend`, as
    one.
    """
    counts = gathered.counts()
    known: Iterable[str] = extend.index if extend else ()
    kept = sorted(counts.keys() & known | {ch for ch, n in counts.items() if n >= config.min_count})
    folded = len(kept) < len(counts)
    most = max(counts, key=lambda ch: counts[ch])
    often = f"{name_of(most, gathered.unit)}, {counted(counts[most], 'time')}"
    if len(counts) < 2 and not extend:
        raise CorpusError(
            f"{where}: the text holds nothing but {often}; at least two different symbols are "
            "needed"
        )
    if not kept:
        floor = f"--min-count {config.min_count}"
        raise CorpusError(
            f"{where}: {floor} leaves no symbol; the most frequent is {often}: make it that or less"
        )
    if len(kept) + folded > MAX_SYMBOLS:
        raise CorpusError(
            f"{where}: {len(kept) + folded} different symbols, more than {MAX_SYMBOLS}; fold the "
            "rare ones with "
            "--min-count 2 or more, or use --unit byte"
        )
    found = Vocab(
        (*kept, UNKNOWN) if folded else tuple(kept), gathered.unit, len(kept) if folded else None
    )
    return extend.extended(found) if extend else found


def counted(n: int, noun: str) -> str:
    """The number with its noun, in the plural unless it is one."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
