"""Where this machine keeps what can be made again: compiled kernels, and arrays that took long to
make from a text.

An array's file holds its bytes as they are in memory, then JSON about it, then a trailer. It is
mapped, not read. The name of each begins with what it was made from, and the state that this was
in: source-state-more. All of them together have a limit.
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_dir

MOST_KEPT = 8_000_000_000
"""Bytes that all arrays may have together; those that were not used for the longest time make room.
"""

_TRAILER = struct.Struct("<8sQ32s")  # _MAGIC, size of the JSON, its SHA-256
_MAGIC = b"charrnn\0"
_ROW = 4096  # numbers of 8 bytes in a sum of the check
# seconds without a change after which an unfinished file is one of a process that was killed
_ABANDONED = 3600.0


def cache_root() -> Path:
    """The folder CHARRNN_CACHE_DIR, or else the user's own cache folder for charrnn; it may not
    exist yet.
    """
    return Path(os.environ.get("CHARRNN_CACHE_DIR") or user_cache_dir("charrnn", appauthor=False))


def texts_folder() -> Path:
    """Where arrays are kept; it may not exist yet."""
    return cache_root() / "texts"


def mapped(path: Path) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """The JSON about a file's data, and the data, (n,) read-only; `OSError` or `ValueError` if
    it is not there, or damaged.

    All of it is checked: that takes a seventh of a second for a gigabyte.
    """
    with path.open("rb") as file:
        end = file.seek(-_TRAILER.size, os.SEEK_END)
        magic, size, digest = _TRAILER.unpack(file.read(_TRAILER.size))
        file.seek(end - size)
        text = file.read(size)
        if magic != _MAGIC or hashlib.sha256(text).digest() != digest:
            raise ValueError("damaged")
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)[
            : end - size
        ]
    about: dict[str, Any] = json.loads(text)
    if _check(data) != about["check"]:
        raise ValueError("damaged")
    return about, data


def _check(data: npt.NDArray[np.uint8]) -> str:
    """A digest of the sums of each 32 KB: nothing but adding keeps up with the memory."""
    rows = data.size // (8 * _ROW)
    sums = data[: rows * 8 * _ROW].view(np.uint64).reshape(rows, _ROW).sum(axis=1)
    return hashlib.sha256(sums.tobytes() + data[rows * 8 * _ROW :].tobytes()).hexdigest()


class CacheFile:
    """Writes a file of the cache piece by piece; a context, at whose end the file is there whole,
    or not at all.

    It gives up silently, without room, permission or a path, or if `is_same` says at the end that
    the data is stale: nothing depends on it. Of two processes that write the same file, the last
    one wins. Nothing waits for the disk: what a power cut spoilt is found to be damaged.
    """

    def __init__(self, path: Path | None, is_same: Callable[[], bool] = lambda: True) -> None:
        self.path, self._is_same = path, is_same
        self._file: BinaryIO | None = None

    def start(self, size: int) -> None:
        """There will be `size` bytes; if that is too much, or nothing was to be kept, the other
        calls do nothing.
        """
        if self.path is not None and size <= MOST_KEPT:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _make_room(self.path, size)
                if (
                    shutil.disk_usage(self.path.parent).free > 2 * size
                ):  # leave something for others
                    self._open(self.path.parent)

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

    def write(self, piece: npt.NDArray[Any]) -> None:
        """The next part of the array."""
        self._write(piece.view(np.uint8).data)

    def _write(self, data: memoryview) -> None:
        try:
            while self._file is not None and data:
                data = data[self._file.write(data) :]
        except OSError:
            self.__exit__()

    def finish(self, data: npt.NDArray[Any], about: dict[str, Any]) -> bool:
        """All data is written, and this is about it; whether it is kept now."""
        if self._file is None or self.path is None or not self._is_same():
            return False
        text = json.dumps({**about, "check": _check(data.view(np.uint8))}).encode()
        self._write(
            memoryview(text + _TRAILER.pack(_MAGIC, len(text), hashlib.sha256(text).digest()))
        )
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()  # for systems that do not rename open files
                self._part.replace(self.path)
                return True
        return False


def _make_room(path: Path, size: int) -> None:
    """Remove what was made from another state of the same source, what killed processes left, and
    what was not used for long.
    """
    source, state = path.name.split("-")[:2]
    others = []
    for other in _files():
        stale = other.name.startswith(source) and other.name.split("-")[1] != state
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
    return [
        path
        for path in texts_folder().glob("*")
        if path.suffix in (".ids", ".starts", ".part") and path.is_file()
    ]


def forget_texts() -> tuple[int, int]:
    """Remove all arrays: how many files, and bytes. `OSError` if one cannot be removed."""
    sizes = []
    for path in _files():
        with contextlib.suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            sizes.append(size)
    return len(sizes), sum(sizes)
