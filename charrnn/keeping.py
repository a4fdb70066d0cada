"""The ids of large texts, kept in the cache folder, so that the next start need not read the text again.

A file holds the ids as they are in memory, then JSON with vocabulary and sources, then a trailer. It is mapped, not read, and
checked whole: that takes a seventh of a second for a gigabyte. Its name tells the paths, the files' sizes and times, the settings
that matter for the ids, and the vocabulary asked for. Whatever is wrong with a file or the folder, the text is read as ever.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
import mmap
import os
import shutil
import struct
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from charrnn.cache import cache_root
from charrnn.config import CorpusConfig
from charrnn.errors import CharrnnError
from charrnn.gathering import Ids
from charrnn.sources import Found
from charrnn.vocab import Vocab

KEPT_FROM = 16_000_000
"""Bytes of ids from which on they are kept; smaller texts are read in a moment."""
MOST_KEPT = 8_000_000_000
"""Bytes that all files may have together; those that were not used for the longest time make room."""

_VERSION = 1  # to be raised when a text is read otherwise than before
_SOUGHT_FROM = 1_000_000  # bytes of files; compressed, they may hold many times that
_TRAILER = struct.Struct("<8sQ32s")  # _MAGIC, size of the JSON, its SHA-256
_MAGIC = b"charrnn\0"
_ROW = 4096  # numbers of 8 bytes in a sum of the check
_ABANDONED = 3600.0  # seconds without a change after which an unfinished file is one of a process that was killed


@dataclass(frozen=True)
class Encoded:
    """A text in ids, and where it came from: `Corpus` says what the fields are. From the cache, ids are read-only."""

    ids: Ids
    vocab: Vocab
    sources: list[tuple[str, int]]
    skipped: list[str]
    sha256: str


@dataclass(frozen=True)
class Key:
    """What the ids of a text depend on, as hexadecimal digits, but for the vocabulary."""

    paths: str
    state: str  # of the files, and the settings

    def path(self, wanted: Vocab | None) -> Path:
        """The file for these ids, in this vocabulary or one that begins with it; None for the text's own."""
        name = "own" if wanted is None else _digest([wanted.to_list(), wanted.unit, wanted.unknown])
        return kept_folder() / f"{self.paths}-{self.state}-{name}.ids"


def kept_folder() -> Path:
    """Where ids are kept; it may not exist yet."""
    return cache_root() / "texts"


def key_of(found: list[Found], config: CorpusConfig) -> Key | None:
    """The key of files as they are now; None for streams, and for texts too small to keep."""
    if any(file.size is None for file in found) or sum(file.size or 0 for file in found) < _SOUGHT_FROM:
        return None
    try:
        files = [os.stat(file.path) for file in found]  # noqa: PTH116
    except OSError:
        return None  # reading them will tell
    stamps = [(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in files]
    used = {"newlines": config.newlines, "normalize": config.normalize, "encoding": codecs.lookup(config.encoding).name}
    settings = {"unit": config.unit, "min_count": config.min_count, **(used if config.unit == "char" else {})}
    version = [_VERSION, sys.byteorder, unicodedata.unidata_version]
    paths = [(file.path, file.swept) for file in found]
    return Key(_digest(paths), _digest([stamps, settings, version]))


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def find_kept(key: Key, vocab: Vocab | None, extend: Vocab | None) -> Encoded | None:
    """The text from the cache, if it is there and sound, in this vocabulary, or one that extends another (`Corpus.read`)."""
    paths = [key.path(vocab or extend)]
    if vocab is not None:  # a run that goes on asks for the vocabulary that was the text's own when it began
        with contextlib.suppress(OSError):
            paths += sorted(set(kept_folder().glob(f"{key.paths}-{key.state}-*.ids")) - {*paths})
    for path in paths:
        try:
            kept = _load(path, vocab)
        except (OSError, ValueError, KeyError, TypeError, struct.error, CharrnnError):
            continue  # not there, not for this vocabulary, or damaged: then it is made anew
        with contextlib.suppress(OSError):
            os.utime(path)
        return kept
    return None


def _load(path: Path, vocab: Vocab | None) -> Encoded:
    with path.open("rb") as file:
        end = file.seek(-_TRAILER.size, os.SEEK_END)
        magic, size, digest = _TRAILER.unpack(file.read(_TRAILER.size))
        file.seek(end - size)
        text = file.read(size)
        if magic != _MAGIC or hashlib.sha256(text).digest() != digest:
            raise ValueError("damaged")
        about = json.loads(text)
        own = Vocab.from_list(about["symbols"], about["unit"], about["unknown"])
        if vocab is not None and vocab != own:
            raise ValueError("another vocabulary")
        if about["characters"] * own.dtype.itemsize != end - size:
            raise ValueError("damaged")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    ids = np.frombuffer(mapped, own.dtype, about["characters"])
    if _check(ids) != about["check"]:
        raise ValueError("damaged")
    return Encoded(ids, own, [(p, n) for p, n in about["sources"]], about["skipped"], about["sha256"])


def _check(ids: Ids) -> str:
    """A digest of the ids: of the sums of each 32 KB, since nothing but adding keeps up with the memory."""
    rows = ids.nbytes // (8 * _ROW)
    data = ids.view(np.uint8)
    sums = data[: rows * 8 * _ROW].view(np.uint64).reshape(rows, _ROW).sum(axis=1)
    return hashlib.sha256(sums.tobytes() + data[rows * 8 * _ROW :].tobytes()).hexdigest()


class Keeper:
    """Writes ids to a file of the cache as they become known; a context, at whose end the file is there whole, or not at all.

    It gives up silently, without room, permission, or a file to write (None), or if the text is not the same any more: nothing
    depends on it.
    """

    def __init__(self, path: Path | None, is_same: Callable[[], bool] = lambda: True) -> None:
        self._path, self._is_same = path, is_same
        self._file: BinaryIO | None = None

    def start(self, size: int) -> None:
        """The ids take so many bytes. Fewer than KEPT_FROM, or more than MOST_KEPT, are not kept."""
        if self._path is not None and KEPT_FROM <= size <= MOST_KEPT:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                _make_room(self._path, size)
                if shutil.disk_usage(self._path.parent).free > 2 * size:  # leave something for others
                    self._open(self._path.parent)

    def _open(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(suffix=".part", dir=folder)  # for this user only
        self._file = open(handle, "wb", buffering=0)  # noqa: PTH123, SIM115
        self._part = Path(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)
            self._file = None

    def write(self, piece: Ids) -> None:
        """The next ids."""
        self._write(piece.data.cast("B"))

    def _write(self, data: memoryview) -> None:
        try:
            while self._file is not None and data:
                data = data[self._file.write(data) :]
        except OSError:
            self.__exit__()

    def finish(self, text: Encoded) -> None:
        """All ids are written; with this, they can be found."""
        if self._file is None or self._path is None or not self._is_same():
            return
        about = {
            "symbols": text.vocab.to_list(),
            "unit": text.vocab.unit,
            "unknown": text.vocab.unknown,
            "characters": len(text.ids),
            "sources": text.sources,
            "skipped": text.skipped,
            "sha256": text.sha256,
            "check": _check(text.ids),
        }
        end = json.dumps(about).encode()
        self._write(memoryview(end + _TRAILER.pack(_MAGIC, len(end), hashlib.sha256(end).digest())))
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()  # for systems that do not rename open files
                self._part.replace(self._path)


def _make_room(path: Path, size: int) -> None:
    """Remove the ids of the same files as they were before, what killed processes left, and what was not used for long."""
    same_files, state = path.name.split("-")[:2]
    others = []
    for other in _files():
        stale = other.name.startswith(same_files) and other.name.split("-")[1] != state
        abandoned = other.suffix == ".part" and time.time() - other.stat().st_mtime > _ABANDONED
        if stale or abandoned:
            other.unlink(missing_ok=True)
        elif other != path:
            others.append((other.stat().st_mtime, other.stat().st_size, other))
    total = size + sum(size for _, size, _ in others)
    for _, freed, other in sorted(others):
        if total > MOST_KEPT:
            other.unlink(missing_ok=True)
            total -= freed


def _files() -> list[Path]:
    return [path for path in kept_folder().glob("*") if path.suffix in (".ids", ".part") and path.is_file()]


def forget() -> tuple[int, int]:
    """Remove all kept ids: how many files, and bytes. `OSError` if one cannot be removed."""
    sizes = []
    for path in _files():
        with contextlib.suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            sizes.append(size)
    return len(sizes), sum(sizes)
