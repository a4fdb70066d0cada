"""A large text, read twice by compiled code: its characters are counted, then encoded.

All processors count in the first pass. The ids are the only large array in memory, allocated at
their final size.
"""

from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from charrnn.config import CorpusConfig
from charrnn.errors import CorpusError
from charrnn.runtime.threads import map_in_order
from charrnn.text.reading import PAD, Reading
from charrnn.text.stored import Stored
from charrnn.text.vocab import TextIds, Vocab

BLOCK = 1 << 12  # bytes that a kernel processes at a time: 20 KB of scratch, in the nearest cache


class Counted:
    """A text in files that are read `raw`. `Stored` reports what is wrong with it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        idle = deque(_Kernels(reading.config) for _ in range(reading.threads))

        def count(numbered: tuple[int, Any]) -> tuple[int, int]:
            n, piece = numbered
            kernels = idle.pop()
            characters = kernels.count(piece)
            idle.append(kernels)
            return n, characters

        for n, characters in map_in_order(count, reading.pieces(), reading.threads):
            if characters < 0:
                Stored(reading.as_tidy())  # raises the error
                raise self._changed(n)
            reading.sizes[n] += characters
        self._kernels = idle[0]
        self._counts = np.sum([kernels.counts for kernels in idle], axis=0)
        self.length = int(self._counts.sum())

    def counts(self) -> dict[str, int]:
        """See `Characters`."""
        return {chr(code): int(self._counts[code]) for code in np.flatnonzero(self._counts)}

    def first_positions(self, characters: Collection[str]) -> dict[str, int]:
        """See `Characters`."""
        return Stored(self._reading.as_tidy()).first_positions(characters)

    def encode(self, vocab: Vocab) -> Iterator[TextIds]:
        """See `Characters`."""
        table = np.full(self._counts.size, vocab.unknown or 0, vocab.dtype)
        for ch, i in vocab.index.items():
            table[ord(ch)] = i
        self._ids, end = np.empty(self.length, vocab.dtype), 0
        before = self._reading.sizes
        for n, piece in self._reading.pieces():
            written = self._kernels.encode(piece, table, self._ids[end:])
            sizes = self._reading.sizes
            sizes[n] += written
            if written < 0 or sizes[n] > before.get(n, 0):
                raise self._changed(n)
            yield self._ids[end : end + written]
            end += written
        for n, size in before.items():
            if self._reading.sizes.get(n) != size:
                raise self._changed(n)

    def ids(self) -> TextIds:
        """See `Characters`."""
        return self._ids

    def _changed(self, n: int) -> CorpusError:
        return CorpusError(
            f"{self._reading.files[n].path}: the file changed while it was read; wait until it is "
            "written, or copy it, and try again"
        )


class _Kernels:
    """The kernels with their scratch memory, and the counts so far."""

    def __init__(self, config: CorpusConfig) -> None:
        # They take time to load, and only large texts need them.
        from charrnn.kernels import utf8

        self._kernels = utf8
        lines = utf8.WITH_LF if config.newlines == "lf" else utf8.AS_THEY_ARE
        self._mode = utf8.AS_BYTES if config.unit == "byte" else lines
        self._scratch = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint8)
        self.counts = np.zeros(utf8.CODES, np.int64)

    def count(self, piece: TextIds) -> int:
        """Count the characters of a piece and return their number; -1 if it is not UTF-8 or
        contains a NUL.
        """
        n = self._call(self._kernels.count, piece, self.counts)
        return -1 if self._mode != self._kernels.AS_BYTES and self.counts[0] else n

    def encode(self, piece: TextIds, table: TextIds, out: TextIds) -> int:
        """Write the ids of a piece to out and return their number; -1 if there are too many or the
        piece is not UTF-8.
        """
        small = table.itemsize == 1
        kernel = self._kernels.encode_small if small else self._kernels.encode_wide
        return self._call(kernel, piece, table, out)

    def _call(self, kernel: Any, piece: TextIds, *arrays: Any) -> int:
        return int(kernel(piece, PAD, piece.size - PAD, self._mode, *arrays, *self._scratch))
