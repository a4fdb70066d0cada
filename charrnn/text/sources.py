"""From the sources that a user names (files, globs, folders, standard input) to pieces of text:
decompressed, decoded, tidied.

Everything is an iterator over pieces of a few kilobytes, so that a text is never in memory as a
whole.
"""

import codecs
import glob
import gzip
import io
import lzma
import os
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal

from charrnn.errors import ConfigError, CorpusError, one_line

STDIN = "-"
# bytes read at a time; with a megabyte, reading is a third slower: every pass misses the cache
CHUNK = 1 << 16
SNIFFED = 8192  # bytes of a file in a folder that decide whether it is text
_HEAD = 6  # bytes of a file that identify its compression
# compressed bytes at a time; a zstd block of 4 bytes can unpack to 128 KB: this bounds the memory
_ZST_PIECE = 4096
_MAGIC = {"gz": b"\x1f\x8b", "xz": b"\xfd7zXZ\x00", "zst": b"\x28\xb5\x2f\xfd"}

Sources = str | Path | Sequence[str | Path]
Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


@dataclass(frozen=True)
class InputFile:
    """A file to read, or standard input ("-"). `size` is in bytes on disk, None for a stream;
    `in_folder`: found in a folder rather than named directly; `part` as in `Source`.
    """

    path: str
    size: int | None
    in_folder: bool = False
    part: str = ""


@dataclass(frozen=True)
class Source:
    """A file that was read: its absolute path ("-" for standard input), its number of characters,
    and "validation" or "test" if it was given as that part of the text.
    """

    path: str
    characters: int
    part: str = ""

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return Path(self.path).name


def size_of(files: list[InputFile]) -> int | None:
    """The total size of all files in bytes; None if one of them is a stream."""
    sizes = [file.size for file in files if file.size is not None]
    return sum(sizes) if len(sizes) == len(files) else None


def find(
    sources: Sources, validation: Sources = (), test: Sources = ()
) -> tuple[list[InputFile], str]:
    """The files that the sources name, in order, then those of the other parts, and a name for the
    text (the stem of the first source, or of its folder).

    A glob means its matches, sorted; a folder means all files in it that are not hidden, at any
    depth, sorted. `CorpusError` if a source does not exist or contains no file.
    """
    groups = {"": sources, "validation": validation, "test": test}
    listed = [
        (str(source), part)
        for part, group in groups.items()
        for source in ([group] if isinstance(group, str | Path) else group)
    ]
    if not listed or listed[0][1]:
        raise CorpusError("no text to read: name a file, a folder, a glob, or - for standard input")
    if sum(source == STDIN for source, _ in listed) > 1:
        raise CorpusError("standard input (-) is named twice, but can be read only once")
    found = [(*_find(source), part) for source, part in listed]
    return [replace(file, part=part) for files, _, part in found for file in files], found[0][1]


def _find(source: str) -> tuple[list[InputFile], str]:
    if source == STDIN:
        return [InputFile(STDIN, None)], "stdin"
    path = Path(source)
    try:
        if source and path.is_dir():  # Path("") is the current folder
            return _files_in(path), path.resolve().name
        if source and path.exists():
            return [_found(path)], _stem(path)
        if glob.has_magic(source):
            files: list[InputFile] = []
            for match in map(Path, sorted(glob.glob(source, recursive=True))):  # noqa: PTH207
                files += _files_in(match, may_be_empty=True) if match.is_dir() else [_found(match)]
            if not files:
                raise CorpusError(
                    f"{source}: no file matches; relative paths start at {Path.cwd()}"
                )
            first = Path(files[0].path)
            return files, _stem(first) if len(files) == 1 else first.parent.name
    except (OSError, ValueError) as e:  # ValueError: a NUL in the path
        raise _unreadable(source, e) from None
    raise CorpusError(
        f"{source or repr(source)}: no such file or folder; relative paths start at {Path.cwd()}"
    )


def _found(path: Path, in_folder: bool = False) -> InputFile:
    size = path.stat().st_size if path.is_file() else None
    return InputFile(str(path.absolute()), size, in_folder)


def _files_in(folder: Path, may_be_empty: bool = False) -> list[InputFile]:
    def fail(error: OSError) -> None:
        raise error

    files: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    files = sorted(filter(Path.is_file, files), key=Path.as_posix)
    if not files and not may_be_empty:
        raise CorpusError(
            f"{folder}: the folder contains no files (hidden ones are not read); choose another"
        )
    return [_found(path, in_folder=True) for path in files]


def _stem(path: Path) -> str:
    return Path(path.stem).stem if _ending(path) else path.stem


@contextmanager
def opened(path: str, stdin: BinaryIO | None = None) -> Iterator[Any]:
    """The bytes of a file or of standard input; `CorpusError` if they cannot be read."""
    try:
        if path != STDIN:
            with Path(path).open("rb", buffering=0) as stream:
                yield stream
        elif stdin is None and sys.stdin is None:
            raise OSError("standard input is closed")
        else:
            yield stdin or sys.stdin.buffer
    except (OSError, ValueError) as e:
        raise _unreadable(path, e) from None


def read_bytes(
    file: InputFile, stdin: BinaryIO | None, tick: Callable[[int], None]
) -> Iterator[bytes]:
    """The contents of a file, decompressed, in pieces. `tick(n)` is called for every n bytes
    read.

    Compressed files (gz, xz, zst) are recognized by their first bytes or by the suffix of their
    name. `CorpusError` if the file cannot be read or is damaged.
    """
    with opened(file.path, stdin) as stream:
        try:
            counted: Any = _Counted(stream, tick)
            kind = packing(file.path, counted.head)
            if kind == "zst":
                yield from _zst(counted)
                return
            if kind == "gz":
                counted = gzip.GzipFile(fileobj=counted, mode="rb")
            elif kind == "xz":
                counted = lzma.LZMAFile(counted)  # noqa: SIM115
            while piece := counted.read(CHUNK):
                yield piece
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as e:
            raise CorpusError(
                f"{file.path}: damaged or truncated compressed file ({one_line(e)}); download or "
                "compress it again"
            ) from None


def head(path: str) -> bytes:
    """The first bytes of a file."""
    with opened(path) as stream:
        data: bytes = stream.read(SNIFFED)
        return data


def packing(path: str, head: bytes) -> str | None:
    """The compression of a file with these first bytes: "gz", "xz", "zst" or none."""
    for kind, magic in _MAGIC.items():
        if head.startswith(magic):
            return kind
    return _ending(Path(path)) if head else None


def _ending(path: Path) -> str | None:
    """The suffix of a compressed file's name; empty for other files."""
    ending = path.suffix.lower().removeprefix(".")
    return ending if ending in _MAGIC else None


def _unreadable(path: str, error: OSError | ValueError) -> CorpusError:
    reason = getattr(error, "strerror", None) or one_line(error)
    return CorpusError(
        f"{path}: cannot read the file ({reason}); check the path and its permissions"
    )


class _Counted:
    """A binary stream whose first bytes can be inspected and that counts the bytes read. A pipe may
    deliver one byte at a time.
    """

    def __init__(self, stream: BinaryIO, tick: Callable[[int], None]) -> None:
        self._stream, self._tick = stream, tick
        self.head = b""
        while len(self.head) < _HEAD and (more := stream.read(_HEAD - len(self.head))):
            self.head += more
        self._rest = self.head

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes; none only at the end."""
        data, self._rest = self._rest[:size], self._rest[size:]
        if len(data) < size:
            data += self._stream.read(size - len(data)) or b""
        self._tick(len(data))
        return data


def _zst(stream: _Counted) -> Iterator[bytes]:
    # Not zstandard's stream_reader: it ends silently if a file is truncated.
    import zstandard

    frame, pieces, size = None, [], 0
    try:
        while data := stream.read(_ZST_PIECE):
            while data:
                frame = frame or zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
                pieces.append(frame.decompress(data))
                size += len(pieces[-1])
                data = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
            if size >= CHUNK:
                yield b"".join(pieces)
                pieces, size = [], 0
    except zstandard.ZstdError as e:
        raise EOFError(str(e)) from None
    if frame is not None:
        raise EOFError("it ends inside a frame")
    if size:
        yield b"".join(pieces)


def codec_name(encoding: str) -> str:
    """Python's name of a text encoding ("utf-8" also for utf-8-sig); `ConfigError` if there is no
    such encoding.
    """
    try:
        info = codecs.lookup(encoding)
        if not getattr(info, "_is_text_encoding", True) or info.incrementaldecoder is None:
            raise LookupError
    except (LookupError, ValueError):
        raise ConfigError(
            f"`encoding` {encoding!r}: no such text encoding; common ones are utf-8, utf-16, "
            "latin-1, cp1252"
        ) from None
    # A mark is removed anyway, and error positions of that decoder do not count it.
    return "utf-8" if info.name == "utf-8-sig" else info.name


def decode(chunks: Iterator[bytes], encoding: str, where: str) -> Iterator[str]:
    """The characters of encoded bytes, without a byte order mark.

    `CorpusError` with the position of a byte that cannot be decoded, or of a NUL, which marks a
    binary file.
    """
    decoder = codecs.getincrementaldecoder(codec_name(encoding))()
    offset = characters = 0
    started = False
    for chunk in chain(filter(None, chunks), [b""]):  # an empty one: nothing follows
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeError as e:
            raise _undecodable(e, chunk, offset, encoding, where) from None
        if text and not started:
            started = True
            text = text.removeprefix("\ufeff")
        if "\0" in text:
            at = characters + text.index("\0")
            raise CorpusError(
                f"{where}: binary, not text: NUL at character {at}; use `unit` byte to train on "
                "bytes"
            )
        offset += len(chunk)
        characters += len(text)
        yield text


def _undecodable(
    error: UnicodeError, chunk: bytes, offset: int, encoding: str, where: str
) -> CorpusError:
    if not isinstance(error, UnicodeDecodeError):
        return CorpusError(
            f"{where}: cannot be decoded as {encoding} ({error}); name its real `encoding`"
        )
    # The decoder may have put held-back bytes before the chunk.
    at = offset + len(chunk) - len(error.object) + error.start
    if error.object.startswith((b"\xff\xfe", b"\xfe\xff")) and at == 0:
        advice = "it looks like UTF-16: try `encoding` utf-16"
    elif b"\0" in error.object:
        advice = "it looks binary: use `unit` byte to train on bytes"
    else:
        advice = "name its real encoding (`encoding` latin-1, cp1252, ...) or use `unit` byte"
    return CorpusError(
        f"{where}: not {encoding}: byte 0x{error.object[error.start]:02x} at byte {at} "
        f"({error.reason}); {advice}"
    )


def tidy(pieces: Iterator[str], newlines: str, normalize: Literal["none"] | Form) -> Iterator[str]:
    """The pieces with CRLF and CR converted to LF (unless newlines="keep"), in a Unicode
    normalization form (unless "none").
    """
    if newlines == "lf":
        pieces = _with_lf(pieces)
    return pieces if normalize == "none" else _normalized(pieces, normalize)


def _with_lf(pieces: Iterator[str]) -> Iterator[str]:
    # Holds back a CR at the end of a piece: an LF may follow.
    translator = io.IncrementalNewlineDecoder(None, translate=True)
    for piece in pieces:
        yield translator.decode(piece)
    yield translator.decode("", final=True)


def _normalized(pieces: Iterator[str], form: Form) -> Iterator[str]:
    # Cut before an ASCII character: no form changes it or combines it with the preceding text. A
    # piece without one is held back as a whole.
    held: list[str] = []
    for piece in pieces:
        cut = next((i for i in range(len(piece) - 1, -1, -1) if piece[i].isascii()), None)
        if cut is None:
            held.append(piece)
        else:
            yield unicodedata.normalize(form, "".join(held) + piece[:cut])
            held = [piece[cut:]]
    yield unicodedata.normalize(form, "".join(held))
