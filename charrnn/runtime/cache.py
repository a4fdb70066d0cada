"""The cache on this machine: compiled kernels, and arrays that were expensive to compute from a
text.

An array's file contains its bytes as in memory, then JSON about it, then a trailer. It is
memory-mapped, not read. Its name begins with the source and the source's state: source-state-more.
The total size of all files is limited.
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
"""Maximum total size of all arrays in bytes; the least recently used are deleted first."""

_TRAILER = struct.Struct("<8sQ32s")  # _MAGIC, size of the JSON, its SHA-256
_MAGIC = b"charrnn\0"
_ROW = 4096  # numbers of 8 bytes in a sum of the check
PART = ".part"
"""The suffix of an unfinished file."""
ABANDONED = 3600.0
"""An unfinished file unchanged for this many seconds belongs to a killed process."""


def cache_root() -> Path | None:
    """The folder CHARRNN_CACHE_DIR, or else charrnn's folder in the user's cache; it may not exist
    yet. None if this user has no home.
    """
    if folder := os.environ.get("CHARRNN_CACHE_DIR"):
        return Path(folder)
    try:
        root = Path(user_cache_dir("charrnn", appauthor=False))
    except RuntimeError:
        return None
    return root if root.is_absolute() else None  # some versions answer "~/.cache/charrnn"


def texts_folder() -> Path | None:
    """The folder of the cached arrays; it may not exist yet. None as for `cache_root`."""
    root = cache_root()
    return root and root / "texts"


def mapped(path: Path) -> tuple[dict[str, Any], npt.NDArray[np.uint8]]:
    """The JSON about a file's data, and the data, (n,) read-only; `OSError` or `ValueError` if the
    file is missing or damaged.

    All data is checked, which takes a seventh of a second per gigabyte.
    """
    if not path.is_file():  # a pipe would never end
        raise FileNotFoundError(path)
    with path.open("rb") as file:
        end = file.seek(-_TRAILER.size, os.SEEK_END)
        magic, size, digest = _TRAILER.unpack(file.read(_TRAILER.size))
        if magic != _MAGIC or size > end:
            raise ValueError("damaged")
        file.seek(end - size)
        text = file.read(size)
        if hashlib.sha256(text).digest() != digest:
            raise ValueError("damaged")
        data = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)[
            : end - size
        ]
    about: dict[str, Any] = json.loads(text)
    if _check(data) != about["check"]:
        raise ValueError("damaged")
    return about, data


def _check(data: npt.NDArray[np.uint8]) -> str:
    """A digest of the sums of every 32 KB: only adding is as fast as the memory."""
    rows = data.size // (8 * _ROW)
    sums = data[: rows * 8 * _ROW].view(np.uint64).reshape(rows, _ROW).sum(axis=1)
    return hashlib.sha256(sums.tobytes() + data[rows * 8 * _ROW :].tobytes()).hexdigest()


class CacheFile:
    """Writes a cache file piece by piece; at the end of the context, the file exists completely or
    not at all.

    It gives up silently if space, permission or a path is missing, or if `is_same` reports at the
    end that the data is stale, since nothing depends on the cache. If two processes write the same
    file, the last one wins. Nothing waits for the disk: damage from a power cut is detected on
    reading.
    """

    def __init__(self, path: Path | None, is_same: Callable[[], bool] = lambda: True) -> None:
        self.path, self._is_same = path, is_same
        self._file: BinaryIO | None = None

    def start(self, size: int) -> None:
        """Announce `size` bytes; if that is too much, or nothing should be cached, the other calls
        do nothing.
        """
        if self.path is not None and size <= MOST_KEPT:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _make_room(self.path, size)
                if shutil.disk_usage(self.path.parent).free > 2 * size:  # leave space for others
                    self._open(self.path.parent)

    def _open(self, folder: Path) -> None:
        handle, name = tempfile.mkstemp(suffix=PART, dir=folder)  # for this user only
        self._file = open(handle, "wb", buffering=0)  # noqa: PTH123, SIM115
        self._part = Path(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                file.close()  # a network drive may say only here that it is full
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)

    def write(self, piece: npt.NDArray[Any]) -> None:
        """Write the next part of the array."""
        self._write(piece.view(np.uint8).data)

    def _write(self, data: memoryview) -> None:
        try:
            while self._file is not None and data:
                data = data[self._file.write(data) :]
        except OSError:
            self.__exit__()

    def finish(self, data: npt.NDArray[Any], about: dict[str, Any]) -> bool:
        """Finish the file with this JSON about the data; True if it is now cached."""
        if self._file is None or self.path is None or not self._is_same():
            return False
        text = json.dumps({**about, "check": _check(data.view(np.uint8))}).encode()
        self._write(
            memoryview(text + _TRAILER.pack(_MAGIC, len(text), hashlib.sha256(text).digest()))
        )
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()  # some systems do not rename open files
                self._part.replace(self.path)
                return True
        return False


def _make_room(path: Path, size: int) -> None:
    """Remove files of another state of the same source, leftovers of killed processes, and the
    least recently used files.
    """
    source, state = path.name.split("-")[:2]
    now = f"{source}-{state}-"
    others = []
    for other in _files():
        stale = other.name.startswith(f"{source}-") and not other.name.startswith(now)
        abandoned = other.suffix == PART and time.time() - other.stat().st_mtime > ABANDONED
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
    folder = texts_folder()
    return [
        path
        for path in (folder.glob("*") if folder else ())
        if path.suffix in (".ids", ".starts", PART) and path.is_file()
    ]


def forget_texts() -> tuple[int, int]:
    """Remove all arrays; returns the number of files and bytes. `OSError` if that fails."""
    sizes = []
    for path in _files():
        with contextlib.suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            sizes.append(size)
    return len(sizes), sum(sizes)
