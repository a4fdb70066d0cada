"""Files are replaced whole or not at all, reach the drive, and replace nothing but files."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import charrnn
from charrnn.checkpoint.format import opened
from charrnn.checkpoint.trained import load
from charrnn.errors import CheckpointError
from charrnn.runtime import files
from charrnn.runtime.files import parse_json, read_regular, write_atomically

posix = pytest.mark.skipif(os.name != "posix", reason="special files of POSIX")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no permission to make a device")


SPECIAL: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo if hasattr(os, "mkfifo") else lambda path: None,
    "socket": make_socket,
    "device": make_device,
    "link to a device": lambda path: path.symlink_to("/dev/null"),
    "link to zeros": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
}


@posix
@pytest.mark.parametrize("kind", SPECIAL)
def test_only_files_are_replaced_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    path = Path("place")
    SPECIAL[kind](path)
    before = path.lstat()
    with pytest.raises(CheckpointError, match="place") as caught:
        charrnn.save(path, charrnn.load(charrnn.bundled_network()))
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"not a regular file|this is a folder"), opened(path):
        pass
    with pytest.raises(OSError, match=r"regular|directory"):
        read_regular(path, 10)
    after = path.lstat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert list(Path().iterdir()) == [path]


def test_a_file_and_a_link_to_one_are_replaced(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"1")
    write_atomically(tmp_path / "a", b"2")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    write_atomically(tmp_path / "link", b"3")
    write_atomically(tmp_path / "nowhere", b"4")
    texts = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert texts == {"a": b"2", "link": b"3", "nowhere": b"4"}
    assert read_regular(tmp_path / "a", 10) == b"2" and read_regular(tmp_path / "a", 0) == b""


@pytest.mark.parametrize("refused", [False, True])
def test_on_macos_the_drive_is_told_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    """`os.fsync` leaves data in the drive's memory there; where the file system lacks the call, it
    is what there is.
    """
    calls: list[str] = []

    def control(descriptor: int, command: int) -> int:
        calls.append("full" if command == 51 else "?")
        if refused:
            raise OSError(errno.ENOTSUP, "not supported")
        return 0

    monkeypatch.setattr(files, "fcntl", SimpleNamespace(F_FULLFSYNC=51, fcntl=control))
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    write_atomically(tmp_path / "a", b"1")
    folder = os.name == "posix"
    assert calls == (["full", "fsync"] if refused else ["full"]) * (1 + folder)


@posix
@pytest.mark.parametrize("call", ["open", "fsync"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL, errno.EBADF, errno.EIO])
def test_a_folder_that_cannot_be_synced_is_no_error_unless_the_drive_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    real = getattr(os, call)

    def refuse(place: Path | int, *arguments: int) -> int | None:
        if Path(place).is_dir() if call == "open" else stat.S_ISDIR(os.fstat(int(place)).st_mode):
            raise OSError(number, os.strerror(number))
        return real(place, *arguments)

    monkeypatch.setattr(os, call, refuse)
    if number == errno.EIO:
        with pytest.raises(CheckpointError, match=os.strerror(number)):
            write_atomically(tmp_path / "a", b"1")
    else:
        write_atomically(tmp_path / "a", b"1")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1"}


@posix
@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP])
def test_the_reason_why_a_checkpoint_cannot_be_opened(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"x" * 100)
    if number == errno.ELOOP:
        path.unlink()
        path.symlink_to(path)
        where: list[str] = []
    else:  # for every user, even root, who may open everything
        where = [f"sys.addaudithook(lambda e, a: e == 'open' and refuse(a[0], {number}))"]
    program = "\n".join(
        [
            "import os, sys, charrnn",
            "from charrnn.checkpoint.trained import load",
            "def refuse(path, number):",
            "    if str(path).endswith('a.safetensors'):",
            "        raise OSError(number, os.strerror(number), path)",
            *where,
            "try: load(sys.argv[1])",
            "except charrnn.CheckpointError as error: print(error)",
        ]
    )
    paths = {**os.environ, "PYTHONPATH": str(Path(charrnn.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)], env=paths, capture_output=True, text=True
    )
    assert result.stdout == f"{path}: cannot read the file: {os.strerror(number)}\n", result.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_checkpoint_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"x" * 100)
    path.chmod(0)
    with pytest.raises(CheckpointError, match="Permission denied"):
        load(path)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "NaN", "[Infinity]", "1e999", "7" * 5000, "", "{", b"\xff\xfe\x00", "'"]
)
def test_json_from_anywhere(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="without /proc")
def test_a_link_to_an_open_file_is_not_replaced(tmp_path: Path) -> None:
    """As /dev/stdout is: root could replace it."""
    with (tmp_path / "page").open("w") as file:
        link = tmp_path / "stdout"
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")
        with pytest.raises(CheckpointError, match="a link to an open file"):
            write_atomically(link, b"<p>")
    assert link.is_symlink()
