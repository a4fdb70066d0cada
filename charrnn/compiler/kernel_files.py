"""The files of compiled kernels: they can make a start faster, never stop it.

Each kernel is one file: _MAGIC, a BLAKE2b digest, and what Numba stores. The digest covers the name
and the hash of everything that the kernel depends on, so a file that is damaged or in the wrong
place is not used; it is compiled anew and replaced. A file appears complete or not at all. Since
Numba stores a pickle and machine code, only folders and files are read that belong to this user,
root, or the owner of this package, and that nobody else can write.

Kernels are read from the user's cache (CHARRNN_CACHE_DIR) and from the folder `compiled` in the
package, which all users of an installation share. They are written to the first only.
"""

import hashlib
import os
import stat
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import llvmlite
import numba
from numba.core import config

from charrnn.runtime.cache import ABANDONED, PART, cache_root

PACKAGE = Path(__file__).resolve().parent.parent
SHARED = PACKAGE / "compiled"
"""The cache of all users of this installation; `charrnn compile --shared` fills it."""
SOURCES = ("compiler", "kernels", "network/cells")
NO_HOME = "there is no home folder for the cache"

_MAGIC = b"charrnn kernel\0\0"
_SUFFIX = ".kernel"
_DIGEST = 32  # bytes
_LARGEST = 64_000_000  # bytes; the largest kernel takes less than a hundredth of it
_OPTIONS = (
    "OPT",
    "ENABLE_AVX",
    "USING_SVML",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
)  # Numba's, by which the same source becomes other code


def code_hash(*machine: str) -> str:
    """Sixteen hexadecimal digits that change with the kernels, the cells, Numba and its options,
    LLVM, Python, the system, and what `machine` says.
    """
    versions = f"{numba.__version__} {llvmlite.__version__} {sys.version_info[:2]} {sys.platform}"
    options = [str(getattr(config, name, None)) for name in _OPTIONS]
    about = " ".join([_sources(), versions, *options, *machine])
    return hashlib.sha256(about.encode()).hexdigest()[:16]


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((PACKAGE / folder).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class KernelFiles:
    """The cached kernels of one `code_hash`.

    `trouble` says why a kernel could not be stored, and names the folder; None if all is well.
    `damaged` holds the names of those whose files were not usable.
    """

    def __init__(self, code: str) -> None:
        root = cache_root()
        name = f"kernels-{code}"
        self.folder = root and root / name
        self._folders = [self.folder] if self.folder else []
        if root != SHARED:
            self._folders.append(SHARED / name)
        self.trouble = None if root else NO_HOME
        self.damaged: set[str] = set()
        self._read: dict[str, bytes] = {}  # verified, and not loaded yet

    def exist(self) -> bool:
        """True if there are any kernels that may be read."""
        return bool(self.paths())

    def holds(self, name: str) -> bool:
        """True if the kernel of this name is cached, and undamaged."""
        if name not in self._read:
            payload = self._find(name)
            if payload is None:
                return False
            self._read[name] = payload
        return True

    def paths(self) -> dict[str, Path]:
        """The files that may be read, by the names of their kernels."""
        trusted = [folder for folder in self._folders if _distrust(folder) is None]
        paths = [path for folder in reversed(trusted) for path in folder.glob(f"*{_SUFFIX}")]
        return {path.name.removesuffix(_SUFFIX): path for path in paths}

    def take(self, name: str) -> bytes | None:
        """What was stored under this name; None if it is not cached."""
        return self._read.pop(name) if self.holds(name) else None

    def _find(self, name: str) -> bytes | None:
        for folder in self._folders:
            if _distrust(folder) is not None:
                continue
            try:
                payload = _verified(folder / _file_name(name), _context(folder, name))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, MemoryError):
                self.damaged.add(name)
                continue
            self.damaged.discard(name)
            return payload
        return None

    def prepare(self) -> bool:
        """Create the folder if needed; False if nothing can be stored in it."""
        if self.folder is None or self.trouble is not None:
            return False
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                self.folder.mkdir(mode=0o755)  # others never write, whatever the umask
            self.trouble = _distrust(self.folder)
            if self.trouble is None:
                _remove_abandoned(self.folder)
                with tempfile.TemporaryFile(dir=self.folder):
                    pass
        except OSError as error:
            self._note(error)
        return self.trouble is None

    def store(self, name: str, payload: bytes) -> None:
        """Write the kernel's file; if that fails, `trouble` says why."""
        if not self.prepare() or self.folder is None:
            return
        part = None
        try:
            handle, part = tempfile.mkstemp(suffix=PART, dir=self.folder)
            with open(handle, "wb") as file:  # noqa: PTH123
                digest = _digest(_context(self.folder, name), payload)
                file.write(_MAGIC + digest + payload)
            os.chmod(part, 0o644)  # noqa: PTH101
            os.replace(part, self.folder / _file_name(name))  # noqa: PTH105
        except OSError as error:
            self._note(error)
            if part is not None:
                with suppress(OSError):
                    os.unlink(part)  # noqa: PTH108

    def _note(self, error: OSError) -> None:
        self.trouble = f"cannot write to {self.folder}: {error.strerror or error}"


def _file_name(name: str) -> str:
    return f"{name}{_SUFFIX}"


def _context(folder: Path, name: str) -> bytes:
    return f"{folder.name}/{name}\n".encode()


def _digest(context: bytes, payload: bytes) -> bytes:
    digest = hashlib.blake2b(context, digest_size=_DIGEST)
    digest.update(payload)
    return digest.digest()


def _verified(path: Path, context: bytes) -> bytes:
    """The payload of a kernel's file; `OSError` or `ValueError` if it is missing, or not as it was
    written, or another user can have written it.
    """
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST or _stranger(state):
        raise ValueError("not a file of the cache")
    data = path.read_bytes()
    digest, payload = data[len(_MAGIC) :][:_DIGEST], data[len(_MAGIC) + _DIGEST :]
    if not data.startswith(_MAGIC) or digest != _digest(context, payload):
        raise ValueError("damaged")
    return payload


def _distrust(folder: Path) -> str | None:
    """Why kernels cannot be read from a folder; None if they can."""
    try:
        state = folder.lstat()
    except OSError as error:
        return f"cannot read {folder}: {error.strerror or error}"
    if not stat.S_ISDIR(state.st_mode):
        return f"{folder} is not a folder"
    stranger = _stranger(state)
    return stranger and f"{folder} {stranger}"


def _stranger(state: os.stat_result) -> str | None:
    """Who but this user, root and the owner of this program can have written a file or folder; None
    if nobody can.
    """
    if os.name != "posix":
        return None  # folders of users are closed to others there, and the mode says nothing
    if state.st_uid not in (os.geteuid(), 0, PACKAGE.stat().st_uid):
        return f"belongs to another user ({state.st_uid})"
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written by others"
    return None


def _remove_abandoned(folder: Path) -> None:
    """Delete what killed processes left."""
    for path in folder.glob(f"*{PART}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()
