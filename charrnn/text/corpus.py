"""A text as numbers: `Corpus` reads, encodes and splits it.

A text of n characters takes n bytes (2n with more than 256 symbols), and never several times that.
The ids of large texts are kept in the user's cache folder and memory-mapped from there when the
text is read again.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import numpy as np

from charrnn.config import CorpusConfig
from charrnn.errors import CorpusError
from charrnn.runtime.cache import CacheFile
from charrnn.runtime.progress import Progress
from charrnn.runtime.threads import BackgroundCalls
from charrnn.text.cached_ids import KEPT_FROM, Encoded, find_kept, keep, kept_starts, key_of
from charrnn.text.characters import Characters, check, vocabulary_of
from charrnn.text.contents import CHUNK, read_bytes
from charrnn.text.counted import Counted
from charrnn.text.decoding import codec_name
from charrnn.text.documents import Positions, document_starts, resets, start_ids
from charrnn.text.reading import ByteCounter, Reading, uses_kernels
from charrnn.text.sources import InputFile, Skipped, Source, Sources, find, summary
from charrnn.text.split import Split, split_by_documents
from charrnn.text.stored import Stored, half_character
from charrnn.text.vocab import NOUNS, TextIds, Vocab, counted

PARTS = "validation", "test"
"""The parts that can be given as separate files, in addition to the text."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids, with its vocabulary and sources.

    ids: (n,) uint8, or uint16 for more than 256 symbols; the whole text, in order. sha256: hash of
        the ids as little-endian bytes, then the symbols as JSON; it does not depend on where the
        files are. name: usable as a folder name. skipped: what was left out of the folders, and
        why. kept_in: the cache file with the ids, if there is one.

    The text is split into train, validation and test by the fractions in `config` or, if files were
    given for these parts, by files. Without such files, a validation or test part of fewer than 2
    characters is left empty, and its text belongs to the previous part. The parts follow each other
    and are views of `ids`; of a text with documents, whole documents are drawn for validation and
    test, if they fill at least half of each (`text.split`), and the parts are views of one copy.
    """

    ids: TextIds = field(repr=False)
    vocab: Vocab = field(repr=False)
    config: CorpusConfig
    sources: tuple[Source, ...]
    sha256: str
    name: str
    skipped: tuple[Skipped, ...] = ()
    kept_in: Path | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """`CorpusError` unless the ids have the vocabulary's type, which training relies on."""
        if self.ids.ndim != 1 or self.ids.dtype != self.vocab.dtype:
            raise CorpusError(
                f"`ids` must be {self.vocab.dtype} (n,), as Vocab.encode returns them, not "
                f"{self.ids.dtype} {self.ids.shape}"
            )

    def __repr__(self) -> str:
        size = counted(len(self), NOUNS[self.vocab.unit])
        return f"Corpus({self.name!r}, {size}, {self.vocab!r})"

    @classmethod
    def read(
        cls,
        sources: Sources,
        config: CorpusConfig | None = None,
        *,
        validation: Sources = (),
        test: Sources = (),
        vocab: Vocab | None = None,
        extend: Vocab | None = None,
        progress: Progress | None = None,
        stdin: BinaryIO | None = None,
        keep: bool = True,
        lengths: Sequence[int] | None = None,
    ) -> Self:
        """Read files, globs, folders and standard input ("-"), in this order, with a newline
        between two files.

        `validation` and `test` are separate files for these parts. The fractions in `config` are
        then ignored and set to 0 (with `test` alone, `val_fraction` still applies). The vocabulary
        covers all parts.

        `vocab` fixes the vocabulary (other characters become its unknown symbol; `VocabError` if it
        has none); `extend` keeps the ids of that vocabulary and adds new symbols.
        `progress(bytes_read, total_bytes_or_None)` is called at intervals. Of folders, what people
        do not write is left out (`find`), and files that are no plain text (not with the unit
        "byte"). `lengths` are the characters that the files should have, in order: none is read
        much further. With `keep`, the ids of a large text are cached in the user's cache folder and
        read from there, read-only, next time, unless a file has changed. `CorpusError` if the text
        is missing, unreadable, not in its encoding, or cannot be trained on.
        """
        config = config or CorpusConfig()
        if config.unit == "char":
            codec_name(config.encoding)  # report a wrong pattern before anything is read
        files, name, skipped = find(sources, validation, test)
        if lengths is not None:
            if len(lengths) != len(files):
                raise CorpusError(
                    f"{name}: {counted(len(files), 'file')}, but there should be {len(lengths)}"
                )
            files = [replace(file, most=n) for file, n in zip(files, lengths, strict=True)]
        key = key_of(files, config) if keep else None
        encoded = find_kept(key, vocab, extend) if key else None
        counter = ByteCounter(files, progress)
        if encoded is None:
            reading = Reading(
                files,
                config,
                lambda file, tick: read_bytes(file, stdin, tick),
                counter.add,
                raw=uses_kernels(files, config),
            )
            path = key.path(vocab, extend) if key else None
            with CacheFile(path, lambda: key_of(files, config) == key) as file:
                encoded = _encoded(reading, vocab, extend, file)
        counter.end()
        encoded = replace(encoded, skipped=(*skipped, *encoded.skipped))
        return cls._made(encoded, config, vocab, name, least=1 if vocab or extend else 2)

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
        """As `read`, for a text in memory; bytes are decoded like a file's."""
        config = config or CorpusConfig()
        where = f"<{name}>"
        read_as = config
        if isinstance(text, str):
            try:
                text, read_as = text.encode(), replace(config, encoding="utf-8")
            except UnicodeEncodeError as e:
                raise half_character(e, 0, where) from None
        chunks = (text[a : a + CHUNK] for a in range(0, len(text), CHUNK))
        reading = Reading([InputFile(where, None)], read_as, lambda *_: chunks)
        encoded = _encoded(reading, vocab, extend, CacheFile(None))
        return cls._made(encoded, config, vocab, name, least=1 if vocab or extend else 2)

    @classmethod
    def _made(
        cls, encoded: Encoded, config: CorpusConfig, vocab: Vocab | None, name: str, least: int
    ) -> Self:
        sizes = part_sizes(encoded.sources)
        for part in PARTS:
            if sizes.get(part, 2) < 2:
                size = counted(sizes[part], "character")
                raise CorpusError(f"the text for `{part}` has {size}; it needs at least 2")
        if "validation" in sizes:
            config = replace(config, val_fraction=0.0, test_fraction=0.0)
        elif "test" in sizes:
            config = replace(config, test_fraction=0.0)
        text = vars(encoded) | {"vocab": vocab or encoded.vocab}
        made = cls(config=config, name=_folder_name(name), **text)
        left = made._sizes[0]  # drawing documents does not leave less
        if left < least:  # one character can be evaluated
            raise CorpusError(
                f"{_where(encoded.sources)}: the text has {counted(len(made), 'character')}, with "
                f"{left} to train on; at least 2 are needed: use a longer text, or "
                "smaller `val_fraction` and `test_fraction`"
            )
        return made

    def __len__(self) -> int:
        return len(self.ids)

    def sha256_of_first(self, characters: int) -> str:
        """What `sha256` would be if the text, apart from files given for parts, had only its first
        characters, this many.
        """
        text = len(self) - sum(part_sizes(self.sources).values())
        digest = hashlib.sha256()
        for part in (self.ids[:characters], self.ids[text:]):
            digest.update(_little_endian(part).data)
        digest.update(json.dumps(self.vocab.symbols).encode())
        return digest.hexdigest()

    @property
    def train(self) -> TextIds:
        """The text to train on; a view."""
        return self._split.ids[: self._split.borders[0]]

    @property
    def validation(self) -> TextIds:
        """The text to measure progress on; a view, possibly empty."""
        return self._split.ids[slice(*self._split.borders)]

    @property
    def test(self) -> TextIds:
        """The text for the final evaluation; a view, possibly empty."""
        return self._split.ids[self._split.borders[1] :]

    @property
    def nbytes(self) -> int:
        """Bytes of the ids, and of their copy if documents were drawn."""
        return self.ids.nbytes * (1 if self._split.ids is self.ids else 2)

    @cached_property
    def document_starts(self) -> Positions | None:
        """Where documents begin in the whole text, except at 0, int64, sorted; None without a
        document separator.
        """
        pattern = self.config.document_separator
        if pattern is None:
            return None

        def find_starts() -> Positions:
            sizes = part_sizes(self.sources)
            ends = np.cumsum([len(self) - sum(sizes.values()), *sizes.values()]).tolist()
            starts: list[Positions] = []
            for a, b in pairwise([0, *ends]):
                starts += [np.array([a] if a else [], np.int64)]
                starts += [a + document_starts(self.ids[a:b], self.vocab, pattern)]
            return np.concatenate(starts)

        return kept_starts(self.kept_in, pattern, find_starts) if self.kept_in else find_starts()

    @cached_property
    def train_starts(self) -> Positions | None:
        """Where the state is set to zero in `train` (`documents.resets`); None without a document
        separator.
        """
        return self._resets("train", 0)

    @cached_property
    def validation_starts(self) -> Positions | None:
        """As `train_starts`, in `validation`."""
        return self._resets("validation", self._split.borders[0])

    @cached_property
    def test_starts(self) -> Positions | None:
        """As `train_starts`, in `test`."""
        return self._resets("test", self._split.borders[1])

    @cached_property
    def separator_end(self) -> int:
        """The id that precedes a document: the last of a separator, the most frequent one; without
        any separator in the text, as in `documents.start_ids`.
        """
        starts = self.document_starts
        if starts is None or not len(starts):
            return int(start_ids(self.vocab)[0])
        return int(np.bincount(self.ids[starts - 1]).argmax())

    def _resets(self, part: str, begin: int) -> Positions | None:
        """The resets in the part that begins at this position."""
        ids, pattern = getattr(self, part), self.config.document_separator
        starts = self._split.starts
        if pattern is None or starts is None:
            return None

        def find_resets() -> Positions:
            return resets(ids, self.vocab, pattern)

        fractions = self.config.val_fraction, self.config.test_fraction
        what = ["resets", part, *fractions, pattern]
        places = kept_starts(self.kept_in, what, find_resets) if self.kept_in else find_resets()
        is_whole = begin == 0 or begin in starts  # else its first document began before it
        return places if is_whole else places[1:]

    @cached_property
    def _split(self) -> Split:
        """The text in parts; documents are drawn from the text itself, not from files given as
        parts.
        """
        train, validation, test = self._sizes
        n, starts = train + validation + test, self.document_starts
        if starts is not None and validation + test:
            border = np.searchsorted(starts, n)
            codes = self.vocab.codes
            drawn = split_by_documents(self.ids[:n], starts[:border], codes, (validation, test))
            if drawn is not None:
                ids = np.concatenate([drawn.ids, self.ids[n:]]) if n < len(self) else drawn.ids
                assert drawn.starts is not None
                return Split(ids, np.concatenate([drawn.starts, starts[border:]]), drawn.borders)
        separate = part_sizes(self.sources).get("validation", 0)
        return Split(self.ids, starts, (train, train + validation + separate))

    @property
    def _sizes(self) -> tuple[int, int, int]:
        """The sizes of train, validation and test by the fractions, of the text that is not in
        files for a part.
        """
        n = len(self.ids) - sum(part_sizes(self.sources).values())
        tiny = 1e-6  # 10 * (1 - 0.9) is less than 1 in floating point
        second = int(n * (1 - self.config.test_fraction) + tiny)
        second = second if n - second >= 2 else n
        first = int(n * (1 - self.config.test_fraction - self.config.val_fraction) + tiny)
        first = first if second - first >= 2 and self.config.val_fraction else second
        return first, second - first, n - second


class _Sized(Protocol):
    @property
    def characters(self) -> int: ...
    @property
    def part(self) -> str: ...


def part_sizes(files: Iterable[_Sized]) -> dict[str, int]:
    """The number of characters of each part given as files, in the order of `PARTS`."""
    sizes: dict[str, int] = {}
    for file in files:
        if file.part:
            sizes[file.part] = sizes.get(file.part, 0) + file.characters
    return sizes


def _little_endian(ids: TextIds) -> TextIds:
    return ids.astype(ids.dtype.newbyteorder("<"), copy=False)


def _where(sources: tuple[Source, ...]) -> str:
    return sources[0].path + (f" and {len(sources) - 1} more" if len(sources) > 1 else "")


def _encoded(
    reading: Reading, vocab: Vocab | None, extend: Vocab | None, file: CacheFile
) -> Encoded:
    """The text encoded in the given vocabulary, in its own, or in one that extends another. The ids
    are hashed (`Corpus.sha256`) and written to the file as they are produced.
    """
    text: Characters = Counted(reading) if reading.raw else Stored(reading)
    sources = tuple(
        Source(reading.files[n].path, size, reading.files[n].part)
        for n, size in reading.sizes.items()
    )
    for empty in {file.part for file in reading.files} - {source.part for source in sources}:
        paths = [file.path for file in reading.files if file.part == empty]
        left_out = summary(one for one in reading.skipped if one.path in paths)
        raise CorpusError(
            f"{Path(paths[0]).parent}: no text to read here; left out: {left_out}; name the files "
            "to read, or use `unit` byte to train on bytes"
        )
    where = _where(sources)
    if not text.length:
        raise CorpusError(f"{where}: the text is empty; give a text with at least 2 characters")
    if vocab is None:
        vocab = vocabulary_of(text.counts(), reading.config, extend, where)
    else:
        check(text, reading.config.unit, vocab, where)
    size = text.length * vocab.dtype.itemsize
    if size >= KEPT_FROM:
        file.start(size)
    digest = hashlib.sha256()

    def add(part: TextIds) -> None:
        digest.update(_little_endian(part).data)

    with BackgroundCalls(add) as hashing, BackgroundCalls(file.write) as writing:
        for part in text.encode(vocab):
            hashing.add(part)
            writing.add(part)
    digest.update(json.dumps(vocab.symbols).encode())
    encoded = Encoded(text.ids(), vocab, sources, tuple(reading.skipped), digest.hexdigest())
    return keep(file, encoded)


def _folder_name(name: str) -> str:
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:60] or "text"
