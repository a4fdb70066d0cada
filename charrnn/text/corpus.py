"""A text as numbers: `Corpus` reads, encodes and splits it.

A text of n characters takes n bytes (2n with more than 256 symbols), at no time several times that.
Large texts stay as ids in the user's cache folder, and are mapped from there when they are read
again.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from charrnn.config.settings import CorpusConfig
from charrnn.errors import CorpusError
from charrnn.runtime.cache import CacheFile
from charrnn.runtime.threads import Follower
from charrnn.text.cached_ids import KEPT_FROM, Encoded, find_kept, keep, kept_starts, key_of
from charrnn.text.documents import Starts, document_starts
from charrnn.text.gathered import Characters, Gathered, Ids, counted, utf8, vocabulary_of
from charrnn.text.reading import Progress, Told, pieces_of, read_files
from charrnn.text.sources import CHUNK, Found, Sources, decoder_for, find
from charrnn.text.vocab import Vocab


@dataclass(frozen=True)
class Source:
    """A file that was read: its absolute path ("-" for standard input), and how many characters
    came of it.
    """

    path: str
    characters: int

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return Path(self.path).name


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids, with its vocabulary and where it came from.

    ids: (n,) uint8, or uint16 for more than 256 symbols; all the text. sha256: of the ids as
    little-endian bytes, then the symbols as JSON: the text as read, wherever its files lie. name:
    fit for a folder's name. skipped: paths of files in folders that were passed over because they
    are binary. kept_in: the file of the cache that holds the ids, if there is one.

    The text is split into [train | validation | test], views of `ids`. A validation or test part of
    fewer than 2 characters is empty instead, and its text belongs to the part before it.
    """

    ids: Ids = field(repr=False)
    vocab: Vocab = field(repr=False)
    config: CorpusConfig
    sources: tuple[Source, ...]
    sha256: str
    name: str
    skipped: tuple[str, ...] = ()
    kept_in: Path | None = field(default=None, repr=False)

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
        keep: bool = True,
    ) -> Self:
        """The text of files, globs, folders and standard input ("-"), in this order, with a newline
        between two files.

        `vocab` fixes the vocabulary (what it lacks becomes its unknown symbol; without one,
        `VocabError`); `extend` keeps the ids of that vocabulary and adds what is new.
        `progress(bytes_read, bytes_in_all_or_None)` is called now and then. Files in folders that
        hold NUL bytes at their beginning are skipped (not with the unit "byte"). With `keep`, the
        ids of a large text are kept in the user's cache folder; next time they come from there,
        read-only, unless its files have changed. Raises `CorpusError` for a text that is missing,
        unreadable, not in its encoding, or unfit to train on.
        """
        config = config or CorpusConfig()
        if config.unit == "char":
            decoder_for(config.encoding)  # a wrong name is told before anything is read
        found, name = find(sources)
        key = key_of(found, config) if keep else None
        encoded = find_kept(key, vocab, extend) if key else None
        told = Told(found, progress)
        if encoded is None:
            text, files, skipped = read_files(found, config, told.tick, stdin)
            if not files:
                raise CorpusError(
                    f"{found[0].path}: binary, like all files found; use --unit byte to train on "
                    "bytes"
                )
            chosen = _vocab_for(text, config, vocab, extend, files)
            with CacheFile(
                key.path(vocab, extend) if key else None, lambda: key_of(found, config) == key
            ) as file:
                encoded = _encoded(text, chosen, files, skipped, file)
        told.end()
        return cls._made(encoded, config, vocab, name)

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
        gathered.extend(
            pieces_of(Found(where, len(data)), chunks, replace(config, encoding=encoding)) or (),
            where=where,
        )
        sources = [(where, gathered.length)]
        encoded = _encoded(
            gathered,
            _vocab_for(gathered, config, vocab, extend, sources),
            sources,
            [],
            CacheFile(None),
        )
        return cls._made(encoded, config, vocab, name)

    @classmethod
    def _made(cls, encoded: Encoded, config: CorpusConfig, vocab: Vocab | None, name: str) -> Self:
        sources = tuple(Source(path, characters) for path, characters in encoded.sources)
        made = cls(
            encoded.ids,
            vocab or encoded.vocab,
            config,
            sources,
            encoded.sha256,
            _folder_name(name),
            tuple(encoded.skipped),
            encoded.path,
        )
        if len(made.train) < 2:
            raise CorpusError(
                f"{_where(encoded.sources)}: the text has {counted(len(made), 'character')}, of "
                f"which {len(made.train)} to "
                "train on; at least 2 are needed: use a longer text, or smaller --val-fraction "
                "and --test-fraction"
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
        """Where documents begin in all of the text, but at 0, int64, sorted; None without a
        document separator.
        """
        pattern = self.config.document_separator
        if pattern is None:
            return None

        def find_starts() -> Starts:
            return document_starts(self.ids, self.vocab, pattern)

        return (
            find_starts()
            if self.kept_in is None
            else kept_starts(self.kept_in, pattern, find_starts)
        )

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


def _where(sources: list[tuple[str, int]]) -> str:
    return sources[0][0] + (f" and {len(sources) - 1} more" if len(sources) > 1 else "")


def _vocab_for(
    text: Characters,
    config: CorpusConfig,
    vocab: Vocab | None,
    extend: Vocab | None,
    sources: list[tuple[str, int]],
) -> Vocab:
    """The vocabulary given, if the text can be told in it; or else the text's own, or one that
    extends another.
    """
    where = _where(sources)
    if not text.length:
        raise CorpusError(f"{where}: the text is empty; there is nothing to train on")
    if vocab is None:
        return vocabulary_of(text, config, extend, where)
    text.check(vocab, where)
    return vocab


def _encoded(
    text: Characters,
    vocab: Vocab,
    sources: list[tuple[str, int]],
    skipped: list[str],
    file: CacheFile,
) -> Encoded:
    """The text in ids, which are hashed (`Corpus.sha256`) and written while they are made."""
    size = text.length * vocab.dtype.itemsize
    if size >= KEPT_FROM:
        file.start(size)
    digest = hashlib.sha256()

    def add(piece: Ids) -> None:
        digest.update(piece.astype(piece.dtype.newbyteorder("<"), copy=False).data)

    with Follower(add) as hashing, Follower(file.write) as writing:

        def new_piece(piece: Ids) -> None:
            hashing.add(piece)
            writing.add(piece)

        ids = text.ids(vocab, new_piece)
    digest.update(json.dumps(vocab.to_list()).encode())
    return keep(file, Encoded(ids, vocab, sources, skipped, digest.hexdigest()))


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:60] or "text"
