"""A part of a file in a buffer, cut between characters, and the compiled kernels on it."""

from __future__ import annotations

import codecs
from typing import Any

import numpy as np

from charrnn.text.gathered import Ids

# bytes read, and written, at a time; with a megabyte the system takes a third longer to write
SIZE = 1 << 22
BLOCK = 1 << 12  # bytes that a kernel takes at a time: 20 KB of scratch, in the nearest cache


class Segment:
    """A buffer for the kernels, their scratch, and the counts of what was read into it: about 10
    MB, most of it never touched.
    """

    def __init__(self) -> None:
        # they take a moment to load, and only large texts need them
        from charrnn.kernels import utf8

        self.kernels = utf8
        self.data = np.zeros(3 * utf8.PAD + SIZE, np.uint8)
        self.scratch = np.empty(BLOCK, np.uint32), np.empty(BLOCK, np.uint8)
        self.counts = np.zeros(utf8.CODES, np.int64)
        self.start = self.stop = utf8.PAD

    def fill(self, stream: Any, held: bytes, most: int | None, mode: int) -> tuple[int, bytes]:
        """Read bytes, up to `most` if it is given, behind those held back before.

        Returns how many, 0 at the end only, and what is held back now: a character that is not all
        there, or a CR, which LF may follow.
        """
        pad, begin = self.kernels.PAD, self.kernels.PAD + len(held)
        self.data[:begin] = np.frombuffer(bytes(pad) + held, np.uint8)
        n: int = (
            stream.readinto(
                self.data[begin : begin + (SIZE if most is None else min(most, SIZE))].data
            )
            or 0
        )
        end = stop = begin + n
        if n and mode != self.kernels.AS_BYTES:
            stop -= left_over(self.data[pad:end][-pad:].tobytes(), mode == self.kernels.WITH_LF)
        held = self.data[stop:end].tobytes()
        self.data[stop : stop + pad] = 0
        self.start, self.stop = pad, stop
        return n, held

    def skip_mark(self) -> None:
        """Leave out a byte order mark at the beginning."""
        if self.data[self.start : self.stop][:3].tobytes() == codecs.BOM_UTF8:
            self.data[self.start : self.start + 3] = 0
            self.start += 3

    def count(self, mode: int) -> int:
        """The number of characters, which are counted; -1 if they are not UTF-8, or a NUL is among
        them.
        """
        n: int = self.kernels.count(
            self.data, self.start, self.stop, mode, self.counts, *self.scratch
        )
        return -1 if mode != self.kernels.AS_BYTES and self.counts[0] else n

    def encode(self, mode: int, table: Ids, out: Ids) -> int:
        """Writes the characters' ids to out, and returns how many they are; -1 if they are too
        many, or not UTF-8.
        """
        kernel = self.kernels.encode_small if table.itemsize == 1 else self.kernels.encode_wide
        n: int = kernel(self.data, self.start, self.stop, mode, table, out, *self.scratch)
        return n


def left_over(tail: bytes, with_lf: bool) -> int:
    """How many of the last bytes wait for what follows."""
    for back, byte in enumerate(reversed(tail), 1):
        if byte >= 0xC0:
            return back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0
        if byte < 0x80:
            break
    return int(with_lf and tail.endswith(b"\r"))
