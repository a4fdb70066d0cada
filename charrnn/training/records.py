"""The record of a run: the numbers of every step, and its samples, in files that only grow.

Record i of `steps.bin` holds the numbers of step i + 1; `samples.jsonl` has a line per sample. When
training starts or goes back, both are cut to the step that the run is at; and what was recorded
before a checkpoint is on the disk before the checkpoint is. So a run that was killed and resumed
leaves the bytes of one that was never stopped. `run_record` reads them.
"""

import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from charrnn.runtime.files import (
    cannot_write,
    check_regular,
    parse_json,
    read_regular,
    replace_file,
    sync,
)
from charrnn.training.entries import MOST_READ, has_step, line_of

STEPS, SAMPLES = "steps.bin", "samples.jsonl"
"""The files in a run's folder."""
FIELDS = "loss", "gradient_norm", "learning_rate"
STEP = np.dtype([(name, "<f4") for name in FIELDS])
"""The record of a step: its loss in nats per character, the norm of its gradient before clipping by
norm, and the learning rate of its update. NaN: unknown.
"""
MOST_LOSS = 1e4
"""A loss above this, in nats per character, is none: the bytes are damaged."""
SECONDS = 1.0
"""Between two writes, so that a run can be watched."""

_FLOATS = struct.Struct("<3f")
_LARGEST = float(np.finfo(np.float32).max)
_UNKNOWN = _FLOATS.pack(np.nan, np.nan, np.nan)


class Recorder:
    """Writes the record of a run that is at `step` into its folder.

    `CheckpointError` if a file cannot be written: at the start, in `flush` and in `cut`. What
    cannot be written between them waits.
    """

    def __init__(
        self, folder: Path, step: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps = _GrowingFile(folder / STEPS, _UNKNOWN)
        self._samples = _GrowingFile(folder / SAMPLES, b"\n")
        self._files = self._steps, self._samples
        self._clock, self._written = clock, clock()
        for file, size in zip(self._files, self._sizes(step), strict=True):
            file.start(size)

    def add_step(self, loss: float, gradient_norm: float, learning_rate: float) -> None:
        """Record the next step."""
        self._steps.pending += _FLOATS.pack(loss, min(gradient_norm, _LARGEST), learning_rate)
        now = self._clock()
        if now - self._written >= SECONDS:
            self._written = now
            for file in self._files:
                with suppress(OSError):  # a disk that is full may have space again at a checkpoint
                    file.write()

    def add_sample(self, step: int, epoch: float, text: str) -> None:
        """Record a sample."""
        self._samples.pending += line_of({"step": step, "epoch": epoch, "text": text})

    def flush(self) -> None:
        """Return when all that was recorded is on the disk."""
        for file in self._files:
            file.flush()

    def cut(self, step: int) -> None:
        """Drop what was recorded after this step."""
        for file, size in zip(self._files, self._sizes(step), strict=True):
            file.cut(size)

    def _sizes(self, step: int) -> tuple[int, int]:
        """The sizes of the files of a run that is at this step."""
        return step * STEP.itemsize, _size_of_samples(self._samples.path, step)


class _GrowingFile:
    """The first `size` bytes of a file, and those that are `pending` after them.

    Whatever has happened to the file, the next write makes it end there: bytes after `size` are cut
    off, and missing ones become `filler`, a record that says nothing.
    """

    def __init__(self, path: Path, filler: bytes) -> None:
        self.path, self.filler = path, filler
        self.size, self.pending, self._is_synced = 0, bytearray(), True

    def start(self, size: int) -> None:
        """Replace the file by one that has this size: the old one may be torn, or belong to another
        folder too.
        """
        data = b""
        try:
            with suppress(FileNotFoundError):
                data = read_regular(self.path, min(size, MOST_READ))
            data = data[: len(data) - len(data) % len(self.filler)]
            replace_file(self.path, data + self.filler * ((size - len(data)) // len(self.filler)))
        except OSError as error:
            raise cannot_write(self.path, error) from None
        self.size = size

    def cut(self, size: int) -> None:
        """Shorten the file to this size, with nothing pending."""
        self.size = min(self.size, size)
        self.pending.clear()
        self._is_synced = False
        self.flush()

    def flush(self) -> None:
        """Write what is pending, and wait until the disk has it."""
        if self.pending or not self._is_synced:
            try:
                self.write(is_synced=True)
            except OSError as error:
                raise cannot_write(self.path, error) from None

    def write(self, *, is_synced: bool = False) -> None:
        """Append what is pending; `OSError` if that fails, and then it is still pending."""
        if not self.pending and not is_synced:
            return
        if not self.path.exists():
            replace_file(self.path, b"")
        check_regular(self.path)
        with self.path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            if end > self.size:
                file.truncate(self.size)
            end = min(end - end % len(self.filler), self.size)
            file.seek(end)
            file.write(self.filler * ((self.size - end) // len(self.filler)) + self.pending)
            if is_synced:
                file.flush()
                sync(file.fileno())
        self.size += len(self.pending)
        self.pending.clear()
        self._is_synced = is_synced


def _size_of_samples(path: Path, step: int) -> int:
    """The bytes of a file of samples up to the last that is whole and not of a later step."""
    size = end = 0
    with suppress(OSError):
        for line in read_regular(path, MOST_READ).splitlines(keepends=True):
            end += len(line)
            with suppress(ValueError):
                entry = parse_json(line)
                if has_step(entry) and line.endswith(b"\n"):
                    if entry["step"] > step:
                        break
                    size = end
    return size
