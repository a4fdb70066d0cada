"""A text as numbers: `Corpus` reads, encodes and splits it; `Streams` cuts it into batches.

A text of n characters takes n bytes (2n with more than 256 symbols), at no time several times that: characters get
provisional ids as they are read, and those are replaced in place once the whole vocabulary is known.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from charrnn.config import CorpusConfig
from charrnn.errors import CorpusError, VocabError
from charrnn.sources import CHUNK, SNIFFED, Found, Sources, decode, decoder_for, find, is_wide, read_bytes, tidy
from charrnn.vocab import MAX_SYMBOLS, UNKNOWN, Unit, Vocab, name_of

Ids = npt.NDArray[Any]  # uint8 or uint16, 1-D
Progress = Callable[[int, int | None], None]

_SLICE = 1 << 16  # ids handled at a time in passes over the whole text: they stay in the cache
_TELL = 1 << 20  # bytes between two reports of progress


@dataclass(frozen=True)
class Source:
    """A file that was read: its absolute path ("-" for standard input), and how many characters came of it."""

    path: str
    characters: int


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids, with its vocabulary and where it came from.

    ids: (n,) uint8, or uint16 for more than 256 symbols; all the text.
    sha256: of the ids as little-endian bytes, then the symbols as JSON: the text as read, wherever its files lie.
    name: fit for a folder's name. skipped: paths of files in folders that were passed over because they are binary.

    The text is split into [train | validation | test], views of `ids`. A validation or test part of fewer than 2
    characters is empty instead, and its text belongs to the part before it.
    """

    ids: Ids = field(repr=False)
    vocab: Vocab = field(repr=False)
    config: CorpusConfig
    sources: tuple[Source, ...]
    sha256: str
    name: str
    skipped: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        sources: Sources,
        config: CorpusConfig | None = None,
        *,
        vocab: Vocab | None = None,
        extend: Vocab | None = None,
        progress: Progress | None = None,
        stdin: BinaryIO | None = None,
    ) -> Self:
        """The text of files, globs, folders and standard input ("-"), in this order, with a newline between two files.

        `vocab` fixes the vocabulary (what it lacks becomes its unknown symbol; without one, `VocabError`); `extend`
        keeps the ids of that vocabulary and adds what is new. `progress(bytes_read, bytes_in_all_or_None)` is called
        now and then. Files in folders that hold NUL bytes at their beginning are skipped (not with the unit "byte").
        Raises `CorpusError` for a text that is missing, unreadable, not in its encoding, or unfit to train on.
        """
        config = config or CorpusConfig()
        if config.unit == "char":
            decoder_for(config.encoding)  # a wrong name is told before anything is read
        found, name = find(sources)
        told = _Told(found, progress)
        gathered = _Gathered(config.unit, capacity=sum(1 + (file.size or 0) for file in found))
        paths: list[str] = []
        starts: list[int] = []
        skipped: list[str] = []
        for file in found:
            pieces = _pieces(file, read_bytes(file, stdin, told.tick), config)
            if pieces is None:
                skipped.append(file.path)
            else:
                starts.append(gathered.extend(pieces, joint=bool(starts), where=file.path))
                paths.append(file.path)
        told.end()
        if not paths:
            raise CorpusError(f"{found[0].path}: binary, like all files found; use --unit byte to train on bytes")
        ends = [*starts[1:], gathered.length]
        read = [Source(path, end - start) for path, start, end in zip(paths, starts, ends, strict=True)]
        return cls._made(gathered, config, read, name, tuple(skipped), vocab, extend)

    @classmethod
    def from_text(
        cls,
        text: str | bytes,
        config: CorpusConfig | None = None,
        *,
        vocab: Vocab | None = None,
        extend: Vocab | None = None,
        name: str = "text",
    ) -> Self:
        """As `read`, of a text in memory; bytes are decoded like a file's."""
        config = config or CorpusConfig()
        where = f"<{name}>"
        encoding = "utf-8" if isinstance(text, str) else config.encoding
        data = _utf8(text, where) if isinstance(text, str) else text
        chunks = (data[a : a + CHUNK] for a in range(0, len(data), CHUNK))
        gathered = _Gathered(config.unit, capacity=len(data))
        gathered.extend(_pieces(Found(where, len(data)), chunks, replace(config, encoding=encoding)) or (), where=where)
        return cls._made(gathered, config, [Source(where, gathered.length)], name, (), vocab, extend)

    @classmethod
    def _made(
        cls,
        gathered: _Gathered,
        config: CorpusConfig,
        sources: list[Source],
        name: str,
        skipped: tuple[str, ...],
        vocab: Vocab | None,
        extend: Vocab | None,
    ) -> Self:
        where = sources[0].path + (f" and {len(sources) - 1} more" if len(sources) > 1 else "")
        if not gathered.length:
            raise CorpusError(f"{where}: the text is empty; there is nothing to train on")
        if vocab is None:
            vocab = _vocabulary(gathered, config, extend, where)
        else:
            gathered.check(vocab, where)
        ids = gathered.ids(vocab)
        made = cls(ids, vocab, config, tuple(sources), _sha256(ids, vocab), _folder_name(name), skipped)
        if len(made.train) < 2:
            raise CorpusError(
                f"{where}: the text has {_count(ids.size, 'character')}, of which {len(made.train)} to train on; at "
                "least 2 are needed: use a longer text, or smaller --val-fraction and --test-fraction"
            )
        return made

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def train(self) -> Ids:
        """The text to train on; a view."""
        return self.ids[: self._borders[0]]

    @property
    def validation(self) -> Ids:
        """The text to measure progress on; a view, maybe empty."""
        return self.ids[slice(*self._borders)]

    @property
    def test(self) -> Ids:
        """The text to keep for the end; a view, maybe empty."""
        return self.ids[self._borders[1] :]

    @property
    def _borders(self) -> tuple[int, int]:
        """Where validation and test begin."""
        n, tiny = len(self.ids), 1e-6  # tiny: 10 * (1 - 0.9) is less than 1 in floating point
        second = int(n * (1 - self.config.test_fraction) + tiny)
        second = second if n - second >= 2 else n
        first = int(n * (1 - self.config.test_fraction - self.config.val_fraction) + tiny)
        return (first if second - first >= 2 and self.config.val_fraction else second), second


def _pieces(file: Found, chunks: Iterator[bytes], config: CorpusConfig) -> Iterator[str] | Iterator[bytes] | None:
    """The tidy characters of a file, or its bytes as they are; None if it is a binary file in a folder."""
    if config.unit == "byte":
        return chunks
    first = next(chunks, b"")
    if file.swept and not is_wide(config.encoding) and b"\0" in first[:SNIFFED]:
        return None
    return tidy(decode(_chain(first, chunks), config.encoding, file.path), config.newlines, config.normalize)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


class _Told:
    """Counts bytes read, and tells the caller."""

    def __init__(self, found: list[Found], progress: Progress | None) -> None:
        sizes = [file.size for file in found if file.size is not None]
        self._total = sum(sizes) if len(sizes) == len(found) else None
        self._done = self._said = 0
        self._progress = progress

    def tick(self, n: int) -> None:
        self._done += n
        if self._progress and self._done - self._said >= _TELL:
            self._progress(self._done, self._total)
            self._said = self._done

    def end(self) -> None:
        if self._progress:  # skipped files were not read to their end
            self._progress(self._total or self._done, self._total)


class _Gathered:
    """Ids by order of appearance, in one array that grows.

    The first 128 ids (with bytes, 256) are the code points themselves, so that ASCII text is copied as it is.
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

    def extend(self, pieces: Iterable[str] | Iterable[bytes], joint: bool = False, where: str = "") -> int:
        """Append a file; with `joint`, a newline first unless there is one. Returns where the file begins."""
        start = self.length
        for piece in pieces:
            if joint and piece and self.length and chr(self._codes[self._ids[self.length - 1]]) not in "\r\n":
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
            # Grows by remapping pages where the system can, and by little, since the new part is zeroed.
            self._ids.resize(max(end, self._ids.size + self._ids.size // 4), refcheck=False)
        self._ids[self.length : end] = ids
        self.length = end

    def slices(self) -> Iterator[tuple[int, Ids]]:
        """The text in order: position, ids."""
        for a in range(0, self.length, _SLICE):
            yield a, self._ids[a : min(a + _SLICE, self.length)]

    def counts(self) -> dict[str, int]:
        """How often each character occurs."""
        counts = np.zeros(len(self._codes), np.int64)
        for _, ids in self.slices():
            counts += np.bincount(ids, minlength=len(self._codes))
        return {chr(code): int(n) for code, n in zip(self._codes, counts, strict=True) if n}

    def check(self, vocab: Vocab, where: str) -> None:
        """Raise `VocabError` for other units, or a character that the vocabulary lacks without an unknown symbol."""
        if vocab.unit != self.unit:
            raise VocabError(
                f"{where}: read as {self.unit}s, but the vocabulary is of {vocab.unit}s; set --unit {vocab.unit}"
            )
        if vocab.unknown is not None:
            return
        is_absent = np.array([chr(code) not in vocab.index for code in self._codes], np.uint8)
        positions: dict[str, int] = {}
        for a, ids in self.slices():
            hits = np.flatnonzero(_looked_up(is_absent, ids))
            for i, at in zip(*np.unique(ids[hits], return_index=True), strict=True):
                positions.setdefault(chr(self._codes[i]), a + int(hits[at]))
        if positions:
            raise vocab.complaint(positions, "take it out of the text, or train with --min-count 2", f"{where}: ")

    def ids(self, vocab: Vocab) -> Ids:
        """The text in the ids of a vocabulary (n,), in the memory of the provisional ones, which end with this."""
        # 0: for ASCII characters that neither the text nor the vocabulary holds.
        absent = 0 if vocab.unknown is None else vocab.unknown
        table = np.array([vocab.index.get(chr(code), absent) for code in self._codes], vocab.dtype)
        out = self._ids if self._ids.dtype == vocab.dtype else np.empty(self.length, vocab.dtype)
        for a, ids in self.slices():
            out[a : a + ids.size] = _looked_up(table, ids)
        out.resize(self.length, refcheck=False)
        self._ids = out
        return out


def _looked_up(table: Ids, ids: Ids) -> Ids:
    if ids.itemsize == table.itemsize == 1:  # twice as fast as take
        return np.frombuffer(ids.tobytes().translate(np.resize(table, 256).tobytes()), np.uint8)
    return table.take(ids)


def _code_points(text: str, before: int, where: str) -> npt.NDArray[np.uint32]:
    try:
        return np.frombuffer(text.encode("utf-32-le"), "<u4")
    except UnicodeEncodeError as e:
        raise _half(e, before, where) from None


def _utf8(text: str, where: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as e:
        raise _half(e, 0, where) from None


def _half(error: UnicodeEncodeError, before: int, where: str) -> CorpusError:
    half = name_of(error.object[error.start])
    return CorpusError(f"{where}: {half} at character {before + error.start} is half a character; take it out")


def _vocabulary(gathered: _Gathered, config: CorpusConfig, extend: Vocab | None, where: str) -> Vocab:
    """The characters of the text in code point order; those too rare, and unknown to `extend`, as one."""
    counts = gathered.counts()
    known: Iterable[str] = extend.index if extend else ()
    kept = sorted(counts.keys() & known | {ch for ch, n in counts.items() if n >= config.min_count})
    folded = len(kept) < len(counts)
    most = max(counts, key=lambda ch: counts[ch])
    often = f"{name_of(most, gathered.unit)}, {_count(counts[most], 'time')}"
    if len(counts) < 2 and not extend:
        raise CorpusError(f"{where}: the text holds nothing but {often}; at least two different symbols are needed")
    if not kept:
        floor = f"--min-count {config.min_count}"
        raise CorpusError(f"{where}: {floor} leaves no symbol; the most frequent is {often}: make it that or less")
    if len(kept) + folded > MAX_SYMBOLS:
        raise CorpusError(
            f"{where}: {len(kept) + folded} different symbols, more than {MAX_SYMBOLS}; fold the rare ones with "
            "--min-count 2 or more, or use --unit byte"
        )
    found = Vocab((*kept, UNKNOWN) if folded else tuple(kept), gathered.unit, len(kept) if folded else None)
    return extend.extended(found) if extend else found


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _sha256(ids: Ids, vocab: Vocab) -> str:
    digest = hashlib.sha256(ids.astype(ids.dtype.newbyteorder("<"), copy=False).data)
    digest.update(json.dumps(vocab.to_list()).encode())
    return digest.hexdigest()


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:60] or "text"


def fit_batch_shape(characters: int, batch_size: int, seq_length: int) -> tuple[int, int]:
    """The largest (batch_size, seq_length) not above these in which every stream has a full window of targets.

    The batch gets smaller first, then the sequence. `CorpusError` for fewer than 2 characters.
    """
    if characters < 2:
        have = _count(characters, "character")
        raise CorpusError(f"the text to divide has {have}; at least 2 are needed, one to read and one to predict")
    seq_length = min(seq_length, characters - 1)
    return min(batch_size, (characters - 1) // seq_length), seq_length


@dataclass(frozen=True, eq=False)
class Streams:
    """N parallel streams through a text, each the direct continuation of itself from batch to batch.

    Of S = (len(ids) - 1) // N targets a stream, stream n reads ids[n*S : (n+1)*S] and predicts ids[n*S+1 : (n+1)*S+1].
    The S targets are divided over the steps in nearly equal lengths, none above `seq_length`, so that no text but the
    remainder of the division is left out. `CorpusError` if the text is too short for N streams.
    """

    ids: Ids
    batch_size: int
    seq_length: int

    def __post_init__(self) -> None:
        if self.targets < 1:
            raise CorpusError(f"{_count(len(self.ids), 'character')} cannot be divided into {self.batch_size} streams")

    @property
    def targets(self) -> int:
        """Targets a stream, S."""
        return (len(self.ids) - 1) // self.batch_size

    @property
    def steps(self) -> int:
        """Batches in one pass over the text."""
        return -(-self.targets // self.seq_length)

    def batch(self, step: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Inputs and targets of a step, (T, N) int32, C-contiguous, new arrays; y is x one character on."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        n, s = self.batch_size, self.targets
        a, b = s * step // self.steps, s * (step + 1) // self.steps
        x, y = (self.ids[i : i + n * s].reshape(n, s)[:, a:b].T for i in (0, 1))
        return np.ascontiguousarray(x, np.int32), np.ascontiguousarray(y, np.int32)
