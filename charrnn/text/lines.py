"""The lines of a text that may be larger than memory, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from charrnn.config import CorpusConfig
from charrnn.text.contents import read_bytes
from charrnn.text.decoding import Errors
from charrnn.text.reading import Reading, check_read
from charrnn.text.sources import Sources, find


def lines_of(
    sources: Sources,
    config: CorpusConfig,
    stdin: BinaryIO | None = None,
    *,
    errors: Errors | None = None,
) -> Iterator[str | bytes]:
    """The lines of files, globs, folders and standard input ("-"), without the newlines that end
    them: strings, or bytes with the unit "byte". A file begins a line. Errors as in `Corpus.read`.

    errors: as in `decoding.decode`, instead of the configuration's.
    """
    listing = find(sources)
    reading = Reading(
        listing.files, config, lambda f, tick: read_bytes(f, stdin, tick), errors=errors
    )
    newline: Any = b"\n" if config.unit == "byte" else "\n"
    parts = [newline[:0]]
    for _, piece in reading.pieces():
        # between two files stands a newline as bytes
        first, *others = (newline if piece == b"\n" else piece).split(newline)
        parts.append(first)
        for line in others:
            yield newline[:0].join(parts)
            parts = [line]
    source = sources if isinstance(sources, str | Path) else sources[0]
    check_read(source, listing, reading)
    if any(parts):
        yield newline[:0].join(parts)
