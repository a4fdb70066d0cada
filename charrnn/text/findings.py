"""What is found out about a text before a network is trained on it: records, in plain words.

`character_findings.py` looks at the characters, `content_findings.py` at what the text consists of,
and `training.check` collects everything.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from charrnn.config.fields import Value
from charrnn.text.corpus import Corpus
from charrnn.text.documents import Positions
from charrnn.text.occurrences import count_symbols, places_of

Level = Literal["ok", "note", "fix"]
MENDED = "mended.txt"
"""The file that the commands write which mend a text."""
UNPACKERS = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}
"""The program for each kind of compressed file."""


@dataclass(frozen=True)
class Finding:
    """One thing about a text.

    kind: what it is about. level: "ok", "note" for what should be known, or "fix" for what makes a
    worse network. text: the finding in a sentence or two, with parameters in backticks. settings:
    those that help, by name. lines: where to look, from 1, in the file that the text names or else
    in the only one. command: what to type to mend the text.
    """

    kind: str
    level: Level
    text: str
    settings: Mapping[str, Value] = field(default_factory=dict)
    lines: tuple[int, ...] = ()
    command: str = ""


def free_name(corpus: Corpus, name: str) -> str:
    """The name, or another one if a file of the text has it, on some systems in other letters: a
    shell empties what it writes to before a program reads it.
    """
    paths = [path for each in corpus.sources for path in (each.path, os.path.realpath(each.path))]
    taken = {Path(path).name.casefold() for path in paths}
    while name in taken:
        name = f"again-{name}"
    return name


@dataclass(frozen=True)
class Examined:
    """A text and what several findings need to know of it.

    path: for a command to type. packing: how its file is compressed (`kinds.packing`), if it is.
    """

    corpus: Corpus
    path: str = "FILE"
    packing: str | None = None

    def through(self, program: str, into: str = MENDED) -> str:
        """What to type to send the text's file through a program that reads UTF-8."""
        into = free_name(self.corpus, into)
        if self.packing is None:
            return f"{program} {self.path} > {into}"
        return f"{UNPACKERS[self.packing]} -dc < {self.path} | {program} > {into}"

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each symbol occurs, the unknown one aside."""
        vocab = self.corpus.vocab
        counts = count_symbols(self.corpus.ids, len(vocab)).tolist()
        return {symbol: counts[i] for symbol, i in vocab.index.items() if counts[i]}

    @cached_property
    def line_ends(self) -> Positions:
        """Where lines end."""
        return self.where("\n")

    def where(self, symbols: Collection[str]) -> Positions:
        """Where one of these symbols stands."""
        vocab = self.corpus.vocab
        is_sought = np.zeros(len(vocab), np.bool_)
        is_sought[[vocab.index[symbol] for symbol in symbols if symbol in vocab.index]] = True
        return places_of(self.corpus.ids, is_sought)

    def line(self, place: int) -> tuple[int, str]:
        """The line of a place in its file, and how to call it: "line 3", with several files "line 3
        of b.txt".
        """
        sources, begin = self.corpus.sources, 0
        for source in sources:
            if place < begin + source.characters or source is sources[-1]:
                break
            begin += source.characters
        before, at = np.searchsorted(self.line_ends, (begin, place))
        number = int(at - before) + 1
        of = f" of {Path(source.path).name}" if len(sources) > 1 else ""
        return number, f"line {number:,}{of}"
