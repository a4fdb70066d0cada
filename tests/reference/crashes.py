"""Every state that a crash may leave in a folder, from a log of what was done to its files.

After ALICE (Pillai et al., OSDI 2014) and SQLite's test6.c: what POSIX promises, and no more. A
file's bytes are safe once it is synced, its name once its folder is. Until then, after a crash,
each change of a name may have happened or not, whatever came after it, and a file may hold what it
held before, or any part of what was written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path

Files = dict[str, bytes]
"""The content of a folder's files by their names; those in folders below it as a/b."""


@dataclass(frozen=True)
class Operation:
    """One of: create, write, sync, rename (to `other`), remove a file; sync-folder."""

    kind: str
    name: str
    other: str = ""
    data: bytes = b""


@dataclass
class Recorder:
    """The log of a folder: what changed is looked up at each system call that is recorded."""

    folder: Path
    log: list[Operation] = field(default_factory=list)
    known: Files = field(default_factory=dict)
    is_busy: bool = False

    def look(self) -> None:
        """Record files that were created or written since the last call."""
        for path in sorted(self.folder.rglob("*")):
            name, before = self._name(path), self.known.get(self._name(path))
            if not path.is_file() or path.name == ".lock":
                continue
            data = path.read_bytes()
            if before is None:
                self.log.append(Operation("create", name))
            if data != (before or b""):
                self.log.append(Operation("write", name, data=data))
            self.known[name] = data

    def _name(self, path: str | Path) -> str:
        return Path(path).relative_to(self.folder).as_posix()

    def _is_inside(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(self.folder)

    def heard(self, event: str, arguments: tuple[object, ...]) -> None:
        """An event of `sys.addaudithook`, before it happens."""
        if self.is_busy or event not in ("os.rename", "os.remove", "os.link", "os.truncate"):
            return
        self.is_busy = True
        try:
            if any(self._is_inside(path) for path in arguments[:2]):
                assert event in ("os.rename", "os.remove"), f"{event} is not part of the model"
                self.look()
                name, other = self._name(str(arguments[0])), ""
                if event == "os.rename":
                    other = self._name(str(arguments[1]))
                    self.known[other] = self.known[name]
                if self.known.pop(name, None) is not None:
                    self.log.append(Operation(event[3:], name, other))
        finally:
            self.is_busy = False

    def synced(self, descriptor: int) -> None:
        """`os.fsync` was called."""
        at = os.fstat(descriptor)
        for path in [self.folder, *self.folder.rglob("*")]:
            if os.path.samestat(path.stat(), at):
                self.look()
                kind = "sync-folder" if path.is_dir() else "sync"
                name = "" if path == self.folder else self._name(path)
                self.log.append(Operation(kind, name))


_active: list[Recorder] = []
_is_installed: list[bool] = []


@contextmanager
def recorded(folder: Path) -> Iterator[list[Operation]]:
    """Yields the log of what happens to the files in a folder that is there, until the end of the
    block.
    """
    if not _is_installed:  # a hook cannot be removed
        _is_installed.append(True)
        sys.addaudithook(lambda event, args: _active[-1].heard(event, args) if _active else None)
    recorder, sync = Recorder(folder), os.fsync

    def synced(descriptor: int) -> None:
        recorder.synced(descriptor)
        sync(descriptor)

    _active.append(recorder)
    os.fsync = synced
    try:
        yield recorder.log
        recorder.look()
    finally:
        os.fsync = sync
        _active.pop()


@dataclass
class _Disk:
    """What is safe, and what may have happened besides. A file is a number, whatever its name."""

    safe: dict[str, int] = field(default_factory=dict)
    pending: list[Operation] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    contents: list[list[bytes]] = field(default_factory=list)
    allowed: dict[str, set[bytes | None]] = field(default_factory=dict)
    made: dict[int, int] = field(default_factory=dict)

    def do(self, operation: Operation) -> None:
        name, kind = operation.name, operation.kind
        if kind == "create":
            self.names[name] = len(self.contents)
            self.made[id(operation)] = len(self.contents)
            self.contents.append([b""])
        elif kind == "write":
            contents = self.contents[self.names[name]]
            new = torn(operation.data, contents[-1])
            contents[:] = [*(each for each in contents if each not in new), *new]
        elif kind == "sync":
            contents = self.contents[self.names[name]]
            del contents[:-1]  # the whole is the last
        elif kind == "sync-folder":
            rest = [each for each in self.pending if _folder(each.name) != name]
            self.safe = {n: f for n, f in self.safe.items() if _folder(n) != name} | {
                n: f for n, f in self.names.items() if _folder(n) == name
            }
            for each in self.allowed:
                if _folder(each) == name:
                    file = self.safe.get(each)
                    self.allowed[each] = {None if file is None else self.contents[file][-1]}
            self.pending = rest
        elif kind == "rename":
            self.made[id(operation)] = self.names[operation.other] = self.names.pop(name)
            whole = self.contents[self.names[operation.other]][-1]
            self.allowed.setdefault(operation.other, {None}).add(whole)
        else:
            assert kind == "remove"
            del self.names[name]
            self.allowed.setdefault(name, {None}).add(None)
        if kind in ("create", "rename", "remove"):
            self.pending.append(operation)

    def states(self) -> Iterator[Files]:
        """What a crash now may leave."""
        for size in range(len(self.pending) + 1):
            for happened in combinations(self.pending, size):
                names = dict(self.safe)
                for each in happened:
                    if each.kind != "create":
                        names.pop(each.name, None)
                    if each.kind != "remove":
                        names[each.other or each.name] = self.made[id(each)]
                files = sorted(set(names.values()))
                for choice in product(*(self.contents[file] for file in files)):
                    content = dict(zip(files, choice, strict=True))
                    yield {name: content[file] for name, file in names.items()}


def torn(data: bytes, before: bytes = b"") -> list[bytes]:
    """What a file that held `before` and is being written with this may hold; the last is all of
    it. Where it is only cut or appended to, what stays is untouched.
    """
    if before.startswith(data):
        return [data]
    old = before if data.startswith(before) else b""
    new = data[len(old) :]
    half = len(new) // 2
    zeros = bytes(len(new) - half)
    parts = [new[:half], new[:half] + zeros, zeros + new[len(zeros) :], bytes(len(new)), new]
    return [old + part for part in parts]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def crash_states(log: Sequence[Operation]) -> Iterator[tuple[Files, Callable[[str], bool]]]:
    """Every state that a crash during these operations may leave, and a function that says if a
    file in it (or its absence) is one whole version: the last that was safe, or a later one.
    """
    disk = _Disk()
    for operation in (None, *log):
        if operation is not None:
            disk.do(operation)
        allowed = {name: set(versions) for name, versions in disk.allowed.items()}
        for files in disk.states():
            yield files, _judge(files, allowed)


def _judge(files: Files, allowed: dict[str, set[bytes | None]]) -> Callable[[str], bool]:
    return lambda name: files.get(name) in allowed.get(name, {None})


def is_temporary(name: str) -> bool:
    """True for a file that is being written, which nothing reads."""
    return name.endswith(".tmp")


def write_files(folder: Path, files: Files) -> None:
    """Make a folder with these files."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
