"""Write files atomically, read those that others may have put there, and find the files bundled
with the package.
"""

import errno
import json
import math
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from charrnn.errors import CheckpointError, DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = ".tmp"
"""The suffix of a file that is being written; one left by a killed process can be deleted."""
ABANDONED = 60.0
"""Seconds after which nobody is writing such a file any more."""
CANNOT_SYNC = errno.EACCES, errno.EPERM, errno.EINVAL, errno.EBADF, errno.ENOTSUP
"""Errors of a folder that cannot be synced; the file in it is whole all the same."""


def shipped(name: str) -> Path:
    """The path of a bundled file, such as data/plays.txt: inside the package in a wheel, beside it
    in a clone. `DataError` if the installation lacks it.
    """
    package = Path(__file__).resolve().parents[1]
    places = package / name, package.parent / name
    for place in places:
        if place.is_file():
            return place
    raise DataError(f"{places[0]} is missing; reinstall charrnn, or give your own file")


def check_regular(path: str | os.PathLike[str]) -> None:
    """`OSError` if there is nothing here, or no regular file: reading a pipe or a device may never
    end, and replacing one breaks the system.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file, but a device, pipe or socket", path)


def read_regular(path: Path, most: int) -> bytes:
    """The bytes of a regular file, at most this many; `OSError` if it cannot be read."""
    check_regular(path)
    with path.open("rb") as file:
        return file.read(most)


def parse_json(text: str | bytes) -> Any:
    """The value of JSON that may come from anywhere; `ValueError` unless it is JSON of a sensible
    depth, all of its numbers finite.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    """The number; 1e999 is valid JSON but would be infinite here."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits:.20} is too large")
    return number


def write_atomically(path: Path, data: bytes) -> None:
    """`replace_file` for a file of the program's own; `CheckpointError` if that fails."""
    with written_atomically(path) as file:
        file.write(data)


@contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """As `write_atomically`, for a file that is written in the block."""
    try:
        with _replaced(path) as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> CheckpointError:
    """The error for a file of the program's own that cannot be written."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space" if is_full else "check the path and its permissions,"
    return CheckpointError(
        f"{path}: cannot write the file: {error.strerror or error}; {remedy} or write elsewhere"
    )


def replace_file(path: Path, data: bytes, mode: int | None = None) -> None:
    """Replace a regular file, or none, with these bytes: write a temporary file beside it, flush,
    sync and rename it, then sync the folder if that is possible. `OSError` if that fails.

    mode: the new file's permissions; by default those that this process gives new files.
    """
    with _replaced(path, mode) as file:
        file.write(data)


@contextmanager
def _replaced(path: Path, mode: int | None = None) -> Iterator[IO[bytes]]:
    """As `replace_file`, with the temporary file to write in the block."""
    temporary = None
    try:
        with suppress(FileNotFoundError):
            check_regular(path)
        if path.is_symlink() and os.readlink(path).startswith("/proc/"):  # noqa: PTH115
            raise OSError(errno.EINVAL, "a link to an open file; name a file", str(path))
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY, delete=False
        ) as file:
            temporary = file.name
            yield file
            file.flush()
            sync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask() if mode is None else mode)  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
        temporary = None
        if os.name == "posix":
            _sync_folder(path.parent)
    finally:
        if temporary is not None:
            with suppress(OSError):  # the error that led here says more
                Path(temporary).unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    """Sync a folder, unless it may not be read or its file system, such as some CIFS and FUSE,
    cannot sync folders.
    """
    try:
        folder = os.open(path, os.O_RDONLY)
        try:
            sync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise


def remove_abandoned(path: Path) -> None:
    """Delete the temporary files that killed processes left beside a file that they were replacing:
    regular files of exactly the names that `replace_file` makes for it, older than a minute.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(TEMPORARY)}")
    with suppress(OSError):
        for entry in path.parent.iterdir():
            if name.fullmatch(entry.name):
                with suppress(OSError):  # it is gone, or belongs to somebody else
                    status = entry.lstat()
                    age = time.time() - status.st_mtime
                    if stat.S_ISREG(status.st_mode) and age > ABANDONED:
                        entry.unlink()


def is_locked(path: Path) -> bool:
    """True if a process holds the lock that this file is (`filelock.FileLock`). Asking takes it for
    an instant; False if the file is missing or may not be read.
    """
    try:
        check_regular(path)
        if fcntl is None:
            return _is_locked_on_windows(path)
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    return False


def _is_locked_on_windows(path: Path) -> bool:
    from filelock import FileLock, Timeout

    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True


def sync(descriptor: int) -> None:
    """Return when a file or folder is on the drive's medium. On macOS, `os.fsync` only hands it to
    the drive, which may keep it in memory; not every file system there can do more.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with suppress(OSError):
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is a folder; False, like the next one, where it cannot be known."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is a file."""
    return os.path.isfile(path)  # noqa: PTH113


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is anything; `CheckpointError` where nobody may look."""
    try:
        os.stat(path)  # noqa: PTH116
    except PermissionError as error:
        raise CheckpointError(f"{path}: {error.strerror}; check the folder's permissions") from None
    except (OSError, ValueError):
        return False
    return True
