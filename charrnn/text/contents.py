"""The bytes of a file or of standard input, decompressed.

Everything is an iterator over pieces of a few kilobytes, so that a file is never in memory as a
whole.
"""

import lzma
import os
import stat
import sys
import threading
import zlib
from bz2 import BZ2Decompressor
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from charrnn.errors import CorpusError, one_line
from charrnn.text.kinds import PACKED_HEAD, SNIFFED, packing
from charrnn.text.sources import STDIN, InputFile, unreadable

# bytes read at a time; with a megabyte, reading is a third slower: every pass misses the cache
CHUNK = 1 << 16
WRITER_WAIT = 10.0
"""Seconds to wait for a program to open a named pipe for writing."""

# compressed bytes at a time; a zstd block of 4 bytes can unpack to 128 KB: this bounds the memory
_PACKED_PIECE = 4096


@contextmanager
def opened(path: str, stdin: BinaryIO | None = None) -> Iterator[Any]:
    """The bytes of a file or of standard input; `CorpusError` if they cannot be read."""
    try:
        if path == STDIN:
            if stdin is None and sys.stdin is None:
                raise OSError("standard input is closed")
            yield stdin or sys.stdin.buffer
        elif stat.S_ISFIFO(os.stat(path).st_mode):  # noqa: PTH116
            with os.fdopen(_pipe(path), "rb", buffering=0) as stream:
                yield stream
        else:
            with Path(path).open("rb", buffering=0) as stream:
                yield stream
    except (OSError, ValueError) as e:
        raise unreadable(path, e) from None


def _pipe(path: str) -> int:
    """Open a pipe for reading. The system waits until a program opens it for writing; we wait for
    ten seconds (`CorpusError`).
    """
    descriptors: list[int] = []

    def wait() -> None:
        with suppress(OSError):
            descriptors.append(os.open(path, os.O_RDONLY))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        thread.join(WRITER_WAIT)
    finally:
        if thread.is_alive():  # end its wait by opening the pipe ourselves
            with suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            thread.join(1.0)
            for descriptor in descriptors:
                os.close(descriptor)
            descriptors.clear()
    if not descriptors:
        raise CorpusError(
            f"{path}: a pipe that no program opened to write to in {WRITER_WAIT:g} s; start that "
            "program first"
        )
    return descriptors[0]


def read_bytes(
    file: InputFile, stdin: BinaryIO | None, tick: Callable[[int], None]
) -> Iterator[bytes]:
    """The contents of a file, decompressed, in pieces. `tick(n)` is called for every n bytes
    read.

    Compressed files (gz, bz2, xz, zst) are recognized by their first bytes or by the suffix of
    their name. `CorpusError` if the file cannot be read or is damaged.
    """
    with opened(file.path, stdin) as stream:
        counted = _Counted(stream, tick)
        kind = packing(file.path, counted.head)
        if kind is not None:
            yield from _unpacked(counted, kind, file.path)
            return
        while piece := counted.read(CHUNK):
            yield piece


def head(path: str) -> bytes:
    """The first bytes of a file."""
    with opened(path) as stream:
        data: bytes = stream.read(SNIFFED)
        return data


class _Counted:
    """A binary stream whose first bytes can be inspected and that counts the bytes read. A pipe may
    deliver one byte at a time.
    """

    def __init__(self, stream: BinaryIO, tick: Callable[[int], None]) -> None:
        self._stream, self._tick = stream, tick
        self.head = b""
        while len(self.head) < PACKED_HEAD and (more := stream.read(PACKED_HEAD - len(self.head))):
            self.head += more
        self._rest = self.head

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; none only at the end."""
        data, self._rest = self._rest[:size], self._rest[size:]
        if len(data) < size:
            data += self._stream.read(size - len(data)) or b""
        self._tick(len(data))
        return data


def _unpacked(stream: _Counted, kind: str, path: str) -> Iterator[bytes]:
    """The contents of compressed streams one after another, as `cat a.gz b.gz` makes them; zeros
    may stand between them. Python's file objects end silently where the second one is damaged, and
    zstandard's where a stream is cut off.
    """
    decompressor, pieces, size = None, [], 0
    while packed := stream.read(_PACKED_PIECE):
        while packed := packed if decompressor else packed.lstrip(b"\0"):
            decompressor = decompressor or _decompressor(kind)
            try:
                pieces.append(decompressor.decompress(packed))
            except _damage() as error:
                raise _damaged(path, one_line(error)) from None
            size += len(pieces[-1])
            packed = decompressor.unused_data if decompressor.eof else b""
            decompressor = None if decompressor.eof else decompressor
        if size >= CHUNK:
            yield b"".join(pieces)
            pieces, size = [], 0
    if decompressor is not None:
        raise _damaged(path, "it ends too early")
    if size:
        yield b"".join(pieces)


def _decompressor(kind: str) -> Any:
    if kind == "gz":
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    if kind == "bz2":
        return BZ2Decompressor()
    if kind == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ)
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


def _damage() -> tuple[type[Exception], ...]:
    """The exceptions of decompressors, of which one is imported only when needed."""
    zstandard = sys.modules.get("zstandard")
    others = (zstandard.ZstdError,) if zstandard else ()
    return (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, *others)


def _damaged(path: str, reason: str) -> CorpusError:
    return CorpusError(
        f"{path}: damaged or truncated compressed file ({reason}); download or compress it again"
    )
