"""Large texts in plain files, UTF-8 or bytes: read twice, by compiled code.

The first reading, on all processors, counts the characters, and so gives the vocabulary; the second
writes the ids. They are the only large thing in memory, and never have another size than in the
end.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charrnn.config.settings import CorpusConfig
from charrnn.errors import CorpusError
from charrnn.runtime.threads import available_threads
from charrnn.text.gathered import Ids, NewPiece, check_unit, lacking
from charrnn.text.segments import Segment
from charrnn.text.sources import (
    HEAD,
    SNIFFED,
    Found,
    decode,
    decoder_for,
    packing,
    read_bytes,
    unreadable,
)
from charrnn.text.vocab import Unit, Vocab

LARGE = 1 << 26
"""From so many bytes on, reading twice is faster than what `Gathered` does, also with some tenths
of a second to load kernels.
"""
MOST_THREADS = 8

Tick = Callable[[int], None]


def is_large(found: list[Found]) -> bool:
    """Whether files are worth kernels of their own."""
    return sum(file.size or 0 for file in found) >= LARGE


def can_scan(found: list[Found], config: CorpusConfig) -> bool:
    """Whether all is large enough, in plain files and either bytes or UTF-8, so that `Scanned`
    reads it.

    `ConfigError` for an encoding that does not exist, `CorpusError` for a file that cannot be read.
    """
    if not is_large(found) or any(file.size is None for file in found):
        return False
    if config.unit == "char":
        decoder_for(config.encoding)
        if (
            codecs.lookup(config.encoding).name not in ("utf-8", "utf-8-sig")
            or config.normalize != "none"
        ):
            return False
    return not any(_is_packed(file.path) for file in found)


def _is_packed(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return packing(path, file.read(HEAD)) is not None
    except (OSError, ValueError) as e:
        raise unreadable(path, e) from None


@dataclass
class _Read:
    """A file after the first reading. `joint`: a newline is put before it. size in bytes;
    `characters` without that newline.
    """

    path: str
    joint: bool = False
    size: int = 0
    characters: int = 0


class Scanned:
    """Files, read once; as `Gathered`, but their ids are not known before the vocabulary is, and
    then read from them.

    `tick(n)` is called for parts of the bytes, in all as many as there are. `CorpusError` for what
    is not UTF-8, holds a NUL, or cannot be read.
    """

    def __init__(self, found: list[Found], config: CorpusConfig, tick: Tick) -> None:
        from charrnn.kernels import utf8

        self.unit: Unit = "byte" if config.unit == "byte" else "char"
        self._config, self._tick = config, tick
        lines = utf8.WITH_LF if config.newlines == "lf" else utf8.AS_THEY_ARE
        self._mode = utf8.AS_BYTES if self.unit == "byte" else lines
        self._files: list[_Read] = []
        self.skipped: list[str] = []
        threads = min(available_threads(), MOST_THREADS)
        self._segments = [Segment() for _ in range(threads + 1)]
        self._segment = self._segments[0]  # of the second reading
        with ThreadPoolExecutor(threads) as pool:
            ends_in_newline = True
            for file in found:
                if self._is_binary(file):
                    self.skipped.append(file.path)
                    continue
                read, last = self._count(file, pool)
                if read.characters:
                    read.joint, ends_in_newline = not ends_in_newline, last in b"\r\n"
                self._files.append(read)
        self._counts = self._segment.counts
        for segment in self._segments[1:]:
            self._counts += segment.counts
        self._counts[ord("\n")] += sum(file.joint for file in self._files)
        del self._segments
        self.length = int(self._counts.sum())

    @property
    def sources(self) -> list[tuple[str, int]]:
        """The files that were read, and how many characters came of each; a newline between two
        counts to the first.
        """
        joints = [file.joint for file in (*self._files[1:], _Read(""))]
        return [
            (file.path, file.characters + joint)
            for file, joint in zip(self._files, joints, strict=False)
        ]

    def _is_binary(self, file: Found) -> bool:
        if not file.swept or self.unit == "byte":
            return False
        try:
            with Path(file.path).open("rb") as stream:
                return b"\0" in stream.read(SNIFFED)
        except OSError as e:
            raise unreadable(file.path, e) from None

    def _count(self, file: Found, pool: ThreadPoolExecutor) -> tuple[_Read, bytes]:
        """The first reading of a file, and its last byte."""
        read, last = _Read(file.path), b"\n"
        pending: deque[tuple[Segment, Future[int]]] = deque()
        free = list(self._segments)

        def settle(left: int) -> None:
            while len(pending) > left:
                segment, future = pending.popleft()
                characters = future.result()
                if characters < 0:
                    raise self._unfit(file.path)
                read.characters += characters
                free.append(segment)

        for segment, n in self._filled(file.path, free.pop, None):
            self._tick(n // 4)  # this is about a fourth of the work
            read.size += n
            if segment.stop > segment.start:
                last = segment.data[segment.stop - 1 : segment.stop].tobytes()
            pending.append((segment, pool.submit(segment.count, self._mode)))
            settle(len(self._segments) - 1)
        settle(0)
        return read, last

    def _filled(
        self, path: str, free: Callable[[], Segment], size: int | None
    ) -> Iterator[tuple[Segment, int]]:
        """The file, or its first bytes, in segments that `free` gives, and how many bytes were read
        for each.
        """
        try:
            with Path(path).open("rb", buffering=0) as stream:
                held, first, n = b"", True, -1
                while n:
                    segment = free()
                    n, held = segment.fill(stream, held, size, self._mode)
                    if first and self._mode != segment.kernels.AS_BYTES:
                        segment.skip_mark()
                    size = None if size is None else size - n
                    first = first and segment.stop == segment.start
                    yield segment, n
        except (OSError, ValueError) as e:
            raise unreadable(path, e) from None

    def _unfit(self, path: str) -> CorpusError:
        """Why a file cannot be used, found again by reading it character by character."""
        for _ in decode(
            read_bytes(Found(path, None), None, lambda n: None), self._config.encoding, path
        ):
            pass
        return _changed(path)

    def counts(self) -> dict[str, int]:
        """How often each character occurs."""
        return {chr(code): int(self._counts[code]) for code in np.flatnonzero(self._counts)}

    def check(self, vocab: Vocab, where: str) -> None:
        """As `Gathered.check`."""
        check_unit(vocab, self.unit, where)
        absent = [
            chr(code) for code in np.flatnonzero(self._counts) if chr(code) not in vocab.index
        ]
        if vocab.unknown is None and absent:
            table = np.zeros(len(self._counts), np.uint16)
            for number, ch in enumerate(absent[:65535], 1):
                table[ord(ch)] = number
            positions: dict[str, int] = {}
            for a, numbers in self._encoded(table, None):
                hits = np.flatnonzero(numbers)
                for number, at in zip(*np.unique(numbers[hits], return_index=True), strict=True):
                    positions.setdefault(absent[number - 1], a + int(hits[at]))
            raise lacking(vocab, positions, where)

    def ids(self, vocab: Vocab, new_piece: NewPiece) -> Ids:
        """The text in the ids of a vocabulary (n,), read again. `new_piece` is called with each
        part of it, in order.
        """
        table = np.zeros(len(self._counts), vocab.dtype)
        if vocab.unknown is not None:
            table[:] = vocab.unknown
        for ch, i in vocab.index.items():
            table[ord(ch)] = i
        out = np.empty(self.length, vocab.dtype)
        for _, piece in self._encoded(table, out):
            new_piece(piece)
        return out

    def _encoded(self, table: Ids, out: Ids | None) -> Iterator[tuple[int, Ids]]:
        """The text through a table of code points, in parts: position, and values, which are a part
        of out, if it is given.
        """
        at = 0
        for file in self._files:
            if file.joint:
                piece = np.empty(1, table.dtype) if out is None else out[at : at + 1]
                piece[:] = table[ord("\n")]
                yield at, piece
                at += 1
            end = at + file.characters
            for segment, n in self._filled(file.path, lambda: self._segment, file.size):
                most = min(end - at, segment.stop - segment.start)
                piece = np.empty(most, table.dtype) if out is None else out[at : at + most]
                written = segment.encode(self._mode, table, piece)
                if written < 0:
                    raise _changed(file.path)
                yield at, piece[:written]
                at += written
                self._tick(n - n // 4)
            if at < end:
                raise _changed(file.path)


def _changed(path: str) -> CorpusError:
    return CorpusError(
        f"{path}: it changed while it was read; wait until it is written, or copy it, and start "
        "again"
    )
