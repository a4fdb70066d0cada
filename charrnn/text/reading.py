"""Files to characters, each kind in its way: large plain ones are scanned twice, all others
gathered piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from charrnn.config.settings import CorpusConfig
from charrnn.text.gathered import Characters, Gathered
from charrnn.text.scanned import Scanned, can_scan
from charrnn.text.sources import SNIFFED, Found, decode, is_wide, read_bytes, tidy

Progress = Callable[[int, int | None], None]

_TELL = 1 << 20  # bytes between two reports of progress


def read_files(
    found: list[Found], config: CorpusConfig, tick: Callable[[int], None], stdin: BinaryIO | None
) -> tuple[Characters, list[tuple[str, int]], list[str]]:
    """The text of files, those that were read with how many characters came of each, and those in
    folders that are binary.

    `tick(n)` is called for n bytes read. A large text may still be read when its ids are asked for.
    Raises as `Corpus.read`.
    """
    if can_scan(found, config):
        scanned = Scanned(found, config, tick)
        return scanned, scanned.sources, scanned.skipped
    gathered = Gathered(config.unit, capacity=sum(1 + (file.size or 0) for file in found))
    paths: list[str] = []
    starts: list[int] = []
    skipped: list[str] = []
    for file in found:
        pieces = pieces_of(file, read_bytes(file, stdin, tick), config)
        if pieces is None:
            skipped.append(file.path)
        else:
            starts.append(gathered.extend(pieces, joint=bool(starts), where=file.path))
            paths.append(file.path)
    ends = [*starts[1:], gathered.length]
    return (
        gathered,
        [(path, b - a) for path, a, b in zip(paths, starts, ends, strict=False)],
        skipped,
    )


def pieces_of(
    file: Found, chunks: Iterator[bytes], config: CorpusConfig
) -> Iterator[str] | Iterator[bytes] | None:
    """The tidy characters of a file, or its bytes as they are; None if it is a binary file in a
    folder.
    """
    if config.unit == "byte":
        return chunks
    first = next(chunks, b"")
    if file.swept and not is_wide(config.encoding) and b"\0" in first[:SNIFFED]:
        return None
    return tidy(
        decode(_chain(first, chunks), config.encoding, file.path), config.newlines, config.normalize
    )


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


class Told:
    """Counts bytes read, and tells the caller."""

    def __init__(self, found: list[Found], progress: Progress | None) -> None:
        sizes = [file.size for file in found if file.size is not None]
        self._total = sum(sizes) if len(sizes) == len(found) else None
        self._done = self._said = 0
        self._progress = progress

    def tick(self, n: int) -> None:
        """n more bytes were read."""
        self._done += n
        if self._progress and self._done - self._said >= _TELL:
            self._progress(self._done, self._total)
            self._said = self._done

    def end(self) -> None:
        """All is read."""
        if self._progress:  # skipped files were not read to their end
            self._progress(self._total or self._done, self._total)
