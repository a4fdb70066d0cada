"""A manuscript's file, and beside it another one that says who wrote what.

The text's file is plain UTF-8; its byte order mark, its CRLF and its permissions stay. NAME beside
NAME.charrnn.json: an object with `texts`, `seed`, `run` and `settings`. Each of `texts` has a
`sha256` (of the text's file), `characters`, and `network`, the spans (start, stop) that the network
wrote. There are two: the newest, and the one that was saved before, which is still in the text's
file if the process is killed between the two writes, or if the second of them fails.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charrnn.errors import ConfigError, CorpusError
from charrnn.generation.manuscript import Manuscript, Spans, authors_of, spans_of
from charrnn.runtime.files import (
    check_regular,
    parse_json,
    read_regular,
    remove_abandoned,
    replace_file,
)

SUFFIX = ".charrnn.json"
MOST = 1 << 22
"""Maximum size of a text in bytes: all of it is in memory, and saved anew after each pause."""


@dataclass
class ManuscriptFile:
    """Where a manuscript is stored; made by `opened`.

    note: what somebody should know about the last `opened` or `save`, or nothing. about: what else
    the file of spans holds: `seed`, `run` and `settings`.
    """

    path: Path
    about: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    _mark: str = ""
    _newline: str = "\n"
    _state: tuple[int, ...] = ()
    _digest: str = ""
    _attempted: str = ""
    _texts: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def opened(cls, path: str | os.PathLike[str]) -> tuple[ManuscriptFile, Manuscript]:
        """Read a text and its spans; a text that does not exist is empty.

        `CorpusError` if it is no regular file, too long, not UTF-8, or if it could not be saved.
        Spans that do not fit the text, because another program changed it, are set aside, with a
        note. What a killed process left of a save is deleted.
        """
        file = cls(Path(path).resolve())
        text, data = "", b""
        try:
            if file.path.exists():
                data = read_regular(file.path, MOST + 1)
                text = file._decoded(data)
            file._check_writable()
        except OSError as error:
            raise CorpusError(f"{path}: {error.strerror or error}; choose another file") from None
        for stored in (file.path, file.beside):
            remove_abandoned(stored)
        file._state, file._digest = file._now(), hashlib.sha256(data).hexdigest()
        return file, Manuscript(text, file._spans(len(text)))

    @property
    def beside(self) -> Path:
        """The file of spans."""
        return self.path.with_name(self.path.name + SUFFIX)

    def save(self, text: str, authors: str, about: Mapping[str, Any]) -> None:
        """Store a text and its authors (`Manuscript.authors`), atomically; `OSError` if that fails.

        If another program has changed the file meanwhile, nothing of it is lost: this text goes to
        another file from now on, and `note` says so.
        """
        if self._has_changed():
            before, self.path = self.path, _free(self.path)
            self._state, self._digest = (), ""
            self.note = f"{before.name} was changed by another program; saving to {self.path.name}"
        if self._newline == "\r\n" and "\r\n" in text:  # the network wrote some, too
            kept = [n for n in range(len(text)) if not text.startswith("\r\n", n)]
            text, authors = ("".join(each[n] for n in kept) for each in (text, authors))
        data = self._encoded(text)
        digest = hashlib.sha256(data).hexdigest()
        this = {
            "sha256": digest,
            "characters": len(text),
            "network": spans_of(authors),
        }
        stored = [t for t in self._texts if t["sha256"] == self._digest != digest]
        self._texts, self._attempted = [this, *stored], digest
        spans = json.dumps({"charrnn": 1, **about, "texts": self._texts}).encode()
        mode = self.path.stat().st_mode & 0o7777 if self.path.exists() else None
        try:
            replace_file(self.beside, spans, mode)
        except OSError as error:  # which must not keep the text from being saved
            self.note = f"{self.beside.name} cannot be written: {error.strerror or error}"
        replace_file(self.path, data, mode)
        self._state, self._digest = self._now(), digest

    def elsewhere(self, folder: Path) -> ManuscriptFile:
        """A file of the same name and form in an empty folder."""
        path = folder / self.path.name
        return ManuscriptFile(path, _mark=self._mark, _newline=self._newline)

    def _has_changed(self) -> bool:
        """True if another program has changed the file since it was read or saved."""
        state = self._now()
        if state == self._state:
            return False
        data = read_regular(self.path, MOST + 1) if self.path.exists() else b""
        digest = hashlib.sha256(data).hexdigest()
        if digest not in (self._digest, self._attempted):
            return True
        self._state, self._digest = state, digest  # an attempt may have failed in its last step
        return False

    def _decoded(self, data: bytes) -> str:
        if len(data) > MOST:
            raise CorpusError(
                f"{self.path}: longer than {MOST >> 20} MB; split it, and write in one part"
            )
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{self.path}: not UTF-8 (byte 0x{data[error.start]:02x} at position "
                f"{error.start}); convert it, e.g. with iconv"
            ) from None
        if text.startswith("\ufeff"):
            self._mark, text = "\ufeff", text[1:]
        if "\r\n" in text and text.count("\n") == text.count("\r\n") == text.count("\r"):
            self._newline, text = "\r\n", text.replace("\r\n", "\n")
        return text

    def _encoded(self, text: str) -> bytes:
        # half a character, which only a strange terminal sends, cannot be stored
        return (self._mark + text.replace("\n", self._newline)).encode("utf-8", "replace")

    def _check_writable(self) -> None:
        """`OSError` unless the file can be replaced."""
        if self.path.exists():
            check_regular(self.path)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(0, "it cannot be written")
        if not self.path.parent.is_dir():
            raise FileNotFoundError(0, f"there is no folder {self.path.parent}")
        if not os.access(self.path.parent, os.W_OK):
            raise PermissionError(0, f"the folder {self.path.parent} cannot be written")

    def _now(self) -> tuple[int, ...]:
        """What tells whether the file has changed; empty if there is none."""
        with suppress(OSError):
            status = self.path.stat()
            return status.st_mtime_ns, status.st_size, status.st_ino
        return ()

    def _spans(self, characters: int) -> Spans:
        """The spans of this text; if there are only those of another, they are set aside."""
        if not self.beside.exists():
            return []
        with suppress(OSError, ValueError, ConfigError, AttributeError, TypeError, KeyError):
            about = parse_json(read_regular(self.beside, 4 * MOST))
            for one in about["texts"]:
                if one["sha256"] == self._digest:
                    spans = [(int(start), int(stop)) for start, stop in one["network"]]
                    authors_of(characters, spans)
                    self.about, self._texts = about, [one]
                    return spans
        aside = self.beside.with_name(self.beside.name + ".old")
        with suppress(OSError):
            self.beside.replace(aside)
        self.note = f"{self.beside.name} does not fit the text; it is {aside.name} now"
        return []


def _free(path: Path) -> Path:
    """The first of NAME-2, NAME-3, ... that does not exist."""
    names = (path.with_stem(f"{path.stem}-{n}") for n in itertools.count(2))
    return next(name for name in names if not name.exists())
