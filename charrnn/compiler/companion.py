"""A second process that helps compile on an empty cache: it goes from the last kernel to the first,
while the first process goes from the first to the last.

Both share a folder, in which a process creates a file when it starts a kernel and another when the
kernel is in the cache; so each kernel is compiled once. If the companion fails, this process
compiles the rest. The companion ends when it is done or when this process ends for any reason.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from charrnn.compiler import compiling
from charrnn.runtime.threads import available_threads

WORTH_IT = 6
"""With at least this many missing kernels, compiling takes longer than starting another process."""
LONGEST_WAIT = 60.0
"""After this many seconds, a kernel taken by the companion is compiled here anyway."""
POLL = 0.005

_BEGIN = (
    "import sys; sys.path[:] = sys.argv[3:]; from charrnn.compiler import companion; "
    "companion.main(*sys.argv[1:3])"
)


class Claims:
    """Which process compiles which kernel, and which are done, as empty files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, name: str) -> bool:
        """True for the first process that asks for this kernel; it must then compile it."""
        try:
            (self._folder / f"{name}.begun").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def finish(self, name: str) -> None:
        """Record that the cache contains this kernel."""
        (self._folder / f"{name}.done").touch()

    def is_done(self, name: str) -> bool:
        """True if one of the processes has finished this kernel."""
        return (self._folder / f"{name}.done").exists()

    def done(self) -> set[str]:
        """The names of all kernels that are finished."""
        return {path.stem for path in self._folder.glob("*.done")}


class Companion:
    """The second process, as the first one sees it; a `compiling.Helper`."""

    def __init__(self, claims: Claims, process: subprocess.Popen[bytes]) -> None:
        self._claims, self._process = claims, process
        self._reached: set[str] = set()

    def take(self, name: str) -> bool:
        """True if this process should compile a kernel; if the companion is compiling it, wait
        until it is in the cache.
        """
        self._reached.add(name)
        try:
            if self._claims.take(name):
                return True
        except OSError:
            return True  # compiled twice, perhaps: no harm
        until = time.monotonic() + LONGEST_WAIT
        while not self._claims.is_done(name):
            if self._process.poll() is not None or time.monotonic() > until:
                return not self._claims.is_done(name)
            time.sleep(POLL)
        return False

    def finish(self, name: str) -> None:
        """Tell the companion that this process has compiled a kernel, if that is possible."""
        with suppress(OSError):
            self._claims.finish(name)

    def ahead(self) -> int:
        """Kernels that the companion has compiled and this process has not reached yet."""
        return len(self._claims.done() - self._reached)


@contextmanager
def beside(modules: Sequence[str], missing: int) -> Iterator[Companion | None]:
    """A companion for the block that imports these modules, if enough kernels are missing to be
    worth it, else None.

    The modules must not compute with kernels on import, since those may not be compiled yet. There
    is no companion if nothing can be cached, on one processor, or if no process can be started.
    """
    process = folder = None
    if (
        missing >= WORTH_IT
        and available_threads() > 1
        and compiling.helper is None
        and compiling.FILES.prepare()
    ):
        with suppress(OSError):  # there is no folder for temporary files
            folder = tempfile.mkdtemp(prefix="charrnn-")
            process = _started(folder, modules)
    companion = None
    try:
        if process is not None:
            compiling.helper = companion = Companion(Claims(Path(folder)), process)
        yield companion
    finally:
        if process is not None:
            compiling.helper = None
            # nothing is left to do, or an interrupt came; cache files are written atomically
            process.kill()
            process.communicate()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _started(folder: str, modules: Sequence[str]) -> subprocess.Popen[bytes] | None:
    if not sys.executable or getattr(
        sys, "frozen", False
    ):  # a program that embeds Python has no Python to start
        return None
    command = [sys.executable, "-c", _BEGIN, folder, ",".join(modules), *sys.path]
    try:
        # its standard input tells it that this process is alive
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nowhere, stderr=nowhere)
    except (OSError, ValueError):
        return None


def main(folder: str, modules: str) -> None:
    """The companion's program: import the modules without compiling, then compile from the last
    kernel to the first.
    """
    threading.Thread(target=_end_with_the_first, args=[folder], daemon=True).start()
    compiling.deferred = {}
    for module in modules.split(","):
        import_module(module)
    work = _Work(Claims(Path(folder)), compiling.deferred)
    for name in reversed(compiling.deferred):
        if work.takes(name):
            work.compile(name, own=True)
    os._exit(0)  # skips freeing everything, which takes a second


def _end_with_the_first(folder: str) -> None:
    with suppress(OSError, ValueError):
        sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


class _Work:
    """The companion's kernels: a kernel's callees are compiled or loaded before it."""

    def __init__(self, claims: Claims, kernels: dict[str, tuple[Any, Any]]) -> None:
        self.claims, self.kernels = claims, kernels
        self.names = {id(dispatcher): name for name, (dispatcher, _) in kernels.items()}

    def takes(self, name: str) -> bool:
        """True if a kernel should be compiled here."""
        return not compiling.is_cached(name) and self.claims.take(name)

    def compile(self, name: str, own: bool) -> None:
        """Compile a kernel taken by this process, or else load it once it is in the cache; this is
        soon, since the first process is past everything defined before it.
        """
        dispatcher, signature = self.kernels[name]
        for other in self._called_by(dispatcher):
            if not self.kernels[other][0].signatures:
                self.compile(other, self.takes(other))
        while not (own or compiling.is_cached(name) or self.claims.is_done(name)):
            time.sleep(POLL)
        compiling.compile_now(dispatcher, signature)
        if compiling.FILES.trouble is not None:
            os._exit(1)  # what cannot be stored is of no use to the first process
        if own:
            self.claims.finish(name)

    def _called_by(self, dispatcher: Any) -> Iterator[str]:
        """The kernels that a function calls, directly or indirectly; one may occur twice."""
        for word in dispatcher.py_func.__code__.co_names:
            other = dispatcher.py_func.__globals__.get(word)
            if id(other) in self.names:
                yield self.names[id(other)]
            elif hasattr(other, "py_func"):
                yield from self._called_by(other)
