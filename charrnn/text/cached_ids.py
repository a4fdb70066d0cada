"""A cache of the ids of large texts and of where documents begin in them, so that the next start
does not need to read the text.

The name of a cache file encodes the text's paths, the files' sizes and times, the settings that
affect the ids, and the requested vocabulary. If anything is wrong with a cache file, the text is
read as usual.
"""

import contextlib
import hashlib
import json
import os
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.config import CorpusConfig
from charrnn.errors import CharrnnError
from charrnn.runtime.cache import CacheFile, mapped, texts_folder
from charrnn.text.decoding import codec_name
from charrnn.text.documents import Positions
from charrnn.text.sources import InputFile, Skipped, Source, size_of
from charrnn.text.vocab import TextIds, Vocab

KEPT_FROM = 16_000_000
"""Minimum size of ids in bytes to be cached; smaller texts are read quickly."""

_VERSION = 3  # increase this when texts are read differently
_SOUGHT_FROM = 1_000_000  # bytes of files; compressed files may contain many times that
_USELESS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    CharrnnError,
)  # what reading an untrusted file may raise


@dataclass(frozen=True)
class Encoded:
    """A text as ids, and its sources, as in `Corpus`."""

    ids: TextIds
    vocab: Vocab
    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]
    sha256: str
    kept_in: Path | None = None


@dataclass(frozen=True)
class Key:
    """Everything that the ids of a text depend on except the vocabulary, as hexadecimal digits, and
    the folder of the cache.
    """

    folder: Path
    paths: str
    state: str  # of the files
    settings: str

    @property
    def begin(self) -> str:
        """The beginning of the names of all cache files of this text."""
        return f"{self.paths}-{self.state}-{self.settings}-"

    def path(self, vocab: Vocab | None, extend: Vocab | None) -> Path:
        """The file of the ids in this vocabulary, in one that extends another, or in the text's own
        (`Corpus.read`).
        """
        base = vocab or extend
        name = _digest([*base.as_json().values(), vocab is None]) if base else "own"
        return self.folder / f"{self.begin}{name}.ids"


def key_of(files: list[InputFile], config: CorpusConfig) -> Key | None:
    """The key of files as they are now; None for streams and texts too small to cache, and if there
    is no place for a cache.
    """
    folder = texts_folder()
    if folder is None or (size_of(files) or 0) < _SOUGHT_FROM:
        return None
    try:
        states = [os.stat(file.path) for file in files]  # noqa: PTH116
    except OSError:
        return None  # reading them will report the error
    state = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in states]
    settings: list[Any] = [config.unit, config.min_count]
    if config.unit == "char":
        settings += [config.newlines, config.normalize]
        settings += [codec_name(config.encoding), config.encoding_errors]
    version = [_VERSION, sys.byteorder, unicodedata.unidata_version]
    paths = [(file.path, file.in_folder, file.part) for file in files]
    return Key(folder, _digest(paths), _digest(state), _digest([settings, version]))


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def find_kept(key: Key, vocab: Vocab | None, extend: Vocab | None) -> Encoded | None:
    """The text from the cache, if it is there and intact, in this vocabulary or one that extends
    another (`Corpus.read`).
    """
    paths = [key.path(vocab, extend)]
    if vocab:  # a resumed run asks for the vocabulary that was the text's own when it started
        with contextlib.suppress(OSError):
            paths += sorted(set(key.folder.glob(f"{key.begin}*.ids")) - {*paths})
    for path in paths:
        try:
            ids = _load(path, vocab)
        except _USELESS:
            continue  # missing, for another vocabulary, or damaged: it will be written again
        with contextlib.suppress(OSError):
            os.utime(path)
        return ids
    return None


def _load(path: Path, vocab: Vocab | None) -> Encoded:
    about, data = mapped(path)
    own = Vocab.from_json(about)
    if vocab is not None and vocab != own:
        raise ValueError("another vocabulary")
    sources = tuple(Source(*source) for source in about["sources"])
    skipped = tuple(Skipped(*one) for one in about["skipped"])
    return Encoded(data.view(own.dtype), own, sources, skipped, about["sha256"], path)


def keep(file: CacheFile, text: Encoded) -> Encoded:
    """Publish the file once all ids are written. Returns the text with its cache file, if there is
    one.
    """
    about = {
        **text.vocab.as_json(),
        "sources": [astuple(source) for source in text.sources],
        "skipped": [astuple(one) for one in text.skipped],
        "sha256": text.sha256,
    }
    return replace(text, kept_in=file.path) if file.finish(text.ids, about) else text


def kept_starts(ids: Path, what: Any, find_starts: Callable[[], Positions]) -> Positions:
    """Where documents begin in a text whose ids are cached in this file: from the cache, or
    searched now and cached too.

    `what`, ready for JSON, says what is searched for and in which part of the text.
    """
    path = ids.with_name(f"{ids.stem}-{_digest(what)}.starts")
    with contextlib.suppress(*_USELESS):
        return mapped(path)[1].view(np.int64)
    starts = find_starts()
    with CacheFile(path) as file:
        file.start(starts.nbytes)
        file.write(starts)
        file.finish(starts, {})
    return starts
