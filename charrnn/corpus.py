"""A text as numbers: `Corpus` reads, encodes and splits it.

A text of n characters takes n bytes (2n with more than 256 symbols), at no time several times that: characters get
provisional ids as they are read, and those are replaced in place once the whole vocabulary is known.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import BinaryIO, Self

import numpy as np

from charrnn.config import CorpusConfig
from charrnn.documents import Starts, document_starts
from charrnn.errors import CorpusError
from charrnn.gathering import Gathered, Ids, counted, utf8, vocabulary_of
from charrnn.sources import CHUNK, SNIFFED, Found, Sources, decode, decoder_for, find, is_wide, read_bytes, tidy
from charrnn.vocab import Vocab

Progress = Callable[[int, int | None], None]

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
        gathered = Gathered(config.unit, capacity=sum(1 + (file.size or 0) for file in found))
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
        data = utf8(text, where) if isinstance(text, str) else text
        chunks = (data[a : a + CHUNK] for a in range(0, len(data), CHUNK))
        gathered = Gathered(config.unit, capacity=len(data))
        gathered.extend(_pieces(Found(where, len(data)), chunks, replace(config, encoding=encoding)) or (), where=where)
        return cls._made(gathered, config, [Source(where, gathered.length)], name, (), vocab, extend)

    @classmethod
    def _made(
        cls,
        gathered: Gathered,
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
            vocab = vocabulary_of(gathered, config, extend, where)
        else:
            gathered.check(vocab, where)
        ids = gathered.ids(vocab)
        made = cls(ids, vocab, config, tuple(sources), _sha256(ids, vocab), _folder_name(name), skipped)
        if len(made.train) < 2:
            raise CorpusError(
                f"{where}: the text has {counted(ids.size, 'character')}, of which {len(made.train)} to train on; at "
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

    @cached_property
    def document_starts(self) -> Starts | None:
        """Where documents begin in all of the text, but at 0, int64, sorted; None without a document separator."""
        pattern = self.config.document_separator
        return None if pattern is None else document_starts(self.ids, self.vocab, pattern)

    @property
    def train_starts(self) -> Starts | None:
        """Where documents begin in `train`; None without a document separator."""
        return self._starts_in(0, self._borders[0])

    @property
    def validation_starts(self) -> Starts | None:
        """The same of `validation`, as positions in it."""
        return self._starts_in(*self._borders)

    @property
    def test_starts(self) -> Starts | None:
        """The same of `test`, as positions in it."""
        return self._starts_in(self._borders[1], len(self))

    def _starts_in(self, a: int, b: int) -> Starts | None:
        starts = self.document_starts
        return None if starts is None else starts[slice(*np.searchsorted(starts, (a, b)))] - a

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


def _sha256(ids: Ids, vocab: Vocab) -> str:
    digest = hashlib.sha256(ids.astype(ids.dtype.newbyteorder("<"), copy=False).data)
    digest.update(json.dumps(vocab.to_list()).encode())
    return digest.hexdigest()


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:60] or "text"
