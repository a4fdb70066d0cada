"""How `charrnn write` saves a text: soon after each change, in another thread, and at the end."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from charrnn.generation.manuscript import Manuscript
from charrnn.generation.manuscript_file import ManuscriptFile

SAVE_AFTER = 0.5
"""Seconds from a change until it is written to the disk, or until another attempt."""


class Saver:
    """Saves a manuscript to its file.

    file: where the text is; another one, if it had to be saved elsewhere.
    about: what else is stored with it (`ManuscriptFile.about`).
    done: called after each attempt, in the other thread, with whether it succeeded.
    """

    def __init__(
        self, file: ManuscriptFile, manuscript: Manuscript, about: Callable[[], dict[str, Any]]
    ) -> None:
        self.file, self._manuscript, self._about = file, manuscript, about
        self._disk = ThreadPoolExecutor(1)
        self._is_timed = self.is_dirty = False
        self.done: Callable[[bool], None] = lambda is_saved: None

    def later(self) -> None:
        """Save half a second after the first change since the last time."""
        self.is_dirty = True
        if not self._is_timed:
            self._is_timed = True
            asyncio.get_running_loop().call_later(SAVE_AFTER, self.soon)

    def soon(self) -> None:
        """Save in the other thread."""
        self._is_timed = self.is_dirty = False
        with suppress(RuntimeError):  # it is ending, and saves in the end
            self._disk.submit(self._save, *self._snapshot())

    def last(self) -> bool:
        """Save at the end; where that fails, to a file in the folder for temporary files. False if
        that was necessary.
        """
        self._disk.shutdown()
        if not self.is_dirty:
            return True
        self.is_dirty = False
        self._save(*self._snapshot())
        if not self.is_dirty:
            return True
        reason = self.file.note
        self.file = self.file.elsewhere(Path(tempfile.mkdtemp(prefix="charrnn-")))
        self.file.save(*self._snapshot())
        self.file.note = f"{reason}; the text is in {self.file.path} instead"
        return False

    def _snapshot(self) -> tuple[str, str, dict[str, Any]]:
        return self._manuscript.text, self._manuscript.authors, self._about()

    def _save(self, text: str, authors: str, about: dict[str, Any]) -> None:
        self.file.note, is_saved = "", True
        try:
            self.file.save(text, authors, about)
        except OSError as error:
            self.file.note = f"NOT SAVED: {error.strerror or error}"
            self.is_dirty, is_saved = True, False
        self.done(is_saved)
