"""Read files as pieces of text: tidy ones, or raw ones for compiled code."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from itertools import chain, cycle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from charrnn.config import CorpusConfig
from charrnn.errors import CorpusError
from charrnn.runtime.progress import Progress
from charrnn.runtime.threads import AHEAD, available_threads
from charrnn.text.contents import head, opened, read_bytes
from charrnn.text.decoding import Errors, codec_name, decode, is_wide, tidy
from charrnn.text.kinds import SNIFFED, is_written, kind_of, packing, wide_encoding
from charrnn.text.sources import InputFile, Listing, Skipped, find, size_of, summary

LARGE = 1 << 26
"""Minimum size in bytes for which compiled code is faster, although it takes tenths of a second to
load.
"""

PAD = 3  # as in `kernels/utf8.py`, which is loaded only when needed
PIECE = 1 << 21  # bytes of a large text that are read and written at a time
MOST_THREADS = 8

_PADDING = bytes(PAD)
_REPORT = 1 << 20  # bytes between two reports of progress

Tick = Callable[[int], None]


def uses_kernels(files: list[InputFile], config: CorpusConfig) -> bool:
    """True if files are large enough for compiled code and it can read them.

    `ConfigError` for an encoding that does not exist, `CorpusError` for a file that cannot be read.
    """
    if (size_of(files) or 0) < LARGE:
        return False
    if config.unit == "char" and (
        codec_name(config.encoding) != "utf-8"
        or config.encoding_errors != "strict"
        or config.normalize != "none"
    ):
        return False
    return not any(packing(file.path, head(file.path)) for file in files)


class Reading:
    """Files that are read in pieces: tidy characters, or bytes as they are.

    `raw` is for compiled code and plain files, which can be read twice: pieces are untidied bytes
    with PAD zeros on both sides, in an array that is overwritten after `threads` + AHEAD further
    pieces (in the second pass, by the next piece). Otherwise `read(file, tick)` yields the bytes of
    a file and calls `tick(n)` for every n of them. The consumer of the pieces adds their characters
    to `sizes`, indexed like `files`; a newline between two files belongs to the file before the
    second, even to an empty one, and there is none between two parts of the text. `skipped` are the
    files in folders that hold no text. `errors` replaces the configuration's treatment of bytes
    that cannot be decoded.
    """

    def __init__(
        self,
        files: list[InputFile],
        config: CorpusConfig,
        read: Callable[[InputFile, Tick], Iterator[bytes]],
        tick: Tick = lambda n: None,
        raw: bool = False,
        errors: Errors | None = None,
    ) -> None:
        self.files, self.config, self.raw = files, config, raw
        self.sizes: dict[int, int] = {}
        self.skipped: list[Skipped] = []
        self._read, self._tick, self._errors = read, tick, errors or config.encoding_errors
        self.threads = min(available_threads(), MOST_THREADS) if raw else 1

    def pieces(self) -> Iterator[tuple[int, Any]]:
        """Yields each piece (str, bytes or padded array) with the index of its file."""
        again = bool(self.sizes)
        self.sizes, self.skipped = {}, []
        if self.raw:
            # One each for those that `map_in_order` took in advance, the one in use, and the next.
            buffers = 1 if again else AHEAD + self.threads + 2
            self._buffers = cycle([np.empty(PIECE + 3 * PAD, np.uint8) for _ in range(buffers)])
            self._buffer = next(self._buffers)
        newline = np.array([*_PADDING, 10, *_PADDING], np.uint8) if self.raw else b"\n"
        previous, part, last = 0, "", "\n"
        for n, file in enumerate(self.files):
            try:
                pieces = self._raw_pieces(file, again) if self.raw else self._tidy_pieces(file)
            except _NoText as reason:
                self.skipped.append(Skipped(file.path, str(reason)))
                continue
            self.sizes[n], begun = 0, False
            for piece in pieces:
                joins = file.part == part  # an empty file between them may be of either
                if not begun and joins and last not in (10, 13, "\n", "\r"):
                    yield previous, newline
                begun, part, last = True, file.part, piece[-PAD - 1 if self.raw else -1]
                yield n, piece
                if file.most is not None and self.sizes[n] > file.most:
                    raise CorpusError(
                        f"{file.path}: not the run's text, or it has changed: it has more than "
                        f"{file.most:,} characters"
                    )
            previous = n

    def _check(self, file: InputFile, beginning: Callable[[], bytes]) -> None:
        """Check that a file holds text, by its name and its first bytes: `_NoText` for a file in a
        folder, `CorpusError` for one that was named.
        """
        config = self.config
        if config.unit == "byte":
            return
        if file.in_folder and not is_written(file.path):
            raise _NoText("no prose or code")
        head = beginning()[:SNIFFED]
        kind = kind_of(head)
        wide = None if kind or is_wide(config.encoding) else wide_encoding(head)
        if kind and not file.in_folder:
            raise CorpusError(f"{file.path}: {kind.name}, not plain text; {kind.advice}")
        if wide and not file.in_folder:
            raise CorpusError(
                f"{file.path}: not {config.encoding}: it looks like {wide}; use `encoding` {wide}"
            )
        if kind or wide:
            raise _NoText(kind.name if kind else f"in {wide}")
        if file.in_folder and not is_wide(config.encoding) and b"\0" in head:
            raise _NoText("binary")

    def _tidy_pieces(self, file: InputFile) -> Iterator[Any]:
        config, chunks = self.config, self._read(file, self._tick)
        first = b""

        def beginning() -> bytes:
            nonlocal first
            while len(first) < SNIFFED and (chunk := next(chunks, b"")):  # a pipe may give little
                first += chunk
            return first

        self._check(file, beginning)
        chunks = chain([first], chunks)
        if config.unit == "byte":
            return filter(None, chunks)
        text = decode(chunks, config.encoding, file.path, self._errors)
        return filter(None, tidy(text, config.newlines, config.normalize))

    def _raw_pieces(self, file: InputFile, again: bool) -> Iterator[Any]:
        self._check(file, lambda: head(file.path))
        return self._padded(file, again)

    def _padded(self, file: InputFile, again: bool) -> Iterator[npt.NDArray[np.uint8]]:
        """The file without its byte order mark, cut so that no character or CRLF is split."""
        held, left, begun = b"", file.size or 0, self.config.unit == "byte"
        with opened(file.path) as stream:
            while True:
                data = self._buffer
                begin = PAD + len(held)
                data[:begin] = np.frombuffer(_PADDING + held, np.uint8)
                n = stream.readinto(data[begin : begin + min(PIECE, left)].data)
                left -= n  # the file may grow meanwhile
                self._tick(
                    n - n // 4 if again else n // 4
                )  # the first pass is a fourth of the work
                end = stop = begin + n
                if n and self.config.unit == "char":
                    stop -= left_over(data[PAD:end][-PAD:].tobytes())
                held = data[stop:end].tobytes()
                data[stop : stop + PAD] = 0
                piece = data[: stop + PAD]
                if not begun and piece[PAD:-PAD][:PAD].tobytes() == codecs.BOM_UTF8:
                    piece = piece[PAD:]
                    piece[:PAD] = 0
                if stop > PAD:
                    begun = True
                if piece.size > 2 * PAD:
                    self._buffer = next(self._buffers)
                    yield piece
                if not n:
                    return

    def as_tidy(self) -> Reading:
        """The same files, read as tidy text."""
        return Reading(self.files, self.config, self._read)


class _NoText(Exception):
    """A file in a folder holds no text; the message says what it is."""


def left_over(tail: bytes) -> int:
    """How many of the last bytes must wait for the next ones: part of a character, or CR."""
    for back, byte in enumerate(reversed(tail), 1):
        if byte >= 0xC0:
            return back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0
        if byte < 0x80:
            break
    return int(tail.endswith(b"\r"))


def read_whole(
    source: str | Path, config: CorpusConfig, stdin: BinaryIO | None = None
) -> str | bytes:
    """The tidy text of a file, of all in a folder, or of standard input ("-"); bytes with the unit
    "byte".

    `CorpusError` if it cannot be read, is not in its encoding, or is no plain text.
    """
    if config.unit == "char":
        codec_name(config.encoding)
    listing = find(source)
    reading = Reading(listing.files, config, lambda file, tick: read_bytes(file, stdin, tick))
    pieces = [piece for _, piece in reading.pieces()]
    check_read(source, listing, reading)
    if config.unit == "byte":
        return b"".join(pieces)
    return "".join("\n" if piece == b"\n" else piece for piece in pieces)


def check_read(source: str | Path, listing: Listing, reading: Reading) -> None:
    """`CorpusError` if all files of a source were left out."""
    if not reading.sizes:
        left_out = summary([*listing.skipped, *reading.skipped])
        raise CorpusError(
            f"{source}: no text to read here; left out: {left_out}; name the files to read"
        )


class ByteCounter:
    """Counts the bytes read from files and reports them."""

    def __init__(self, files: list[InputFile], progress: Progress | None) -> None:
        self._total = size_of(files)
        self._done = self._reported = 0
        self._progress = progress

    def add(self, n: int) -> None:
        """Count n more bytes."""
        self._done += n
        if self._progress and self._done - self._reported >= _REPORT:
            self._progress(self._done, self._total)
            self._reported = self._done

    def end(self) -> None:
        """Report that everything is read."""
        if self._progress:  # skipped files were not read to the end
            self._progress(self._total or self._done, self._total)
