"""What a text has in common with a corpus, on top of `kernels/overlap.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError
from charrnn.kernels import overlap as kernels
from charrnn.kernels import suffixes
from charrnn.runtime.progress import Progress
from charrnn.runtime.threads import Workers, ranges
from charrnn.text.corpus import Corpus
from charrnn.text.folding import Symbols, exact, folded
from charrnn.text.vocab import TextIds

AT_LEAST = 28
"""Shares of held-out Shakespeare with the rest of it, in characters: 8 (median), 17 (99 %) and 27
(longest). So a passage of 28 is longer than any that an author repeats.
"""

_PIECE = 1 << 25  # characters of the corpus between two reports of progress
_BITS = 16  # of the filter, for each passage of the text; up to twice as many


@dataclass(frozen=True)
class SharedPassage:
    """A passage of a text that stands in a corpus.

    start, end: its place in the text, in characters from 0; line, column: the same, from 1.
    length: its characters; folded, those that were compared.
    path, corpus_start, corpus_end, corpus_line: the first place in the corpus where it stands: the
        file, offsets in it, and the line, from 1.
    """

    start: int
    end: int
    line: int
    column: int
    length: int
    path: str
    corpus_start: int
    corpus_end: int
    corpus_line: int


def overlap(
    text: str | bytes,
    corpus: Corpus,
    at_least: int = AT_LEAST,
    *,
    fold: bool = False,
    most: int | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> list[SharedPassage]:
    """Every passage of `text` that also stands in a file of `corpus`, longest first.

    A passage has at least `at_least` characters, and no longer passage around it stands in the
    corpus; two of them may share characters. With `fold`, case, punctuation and the kind and number
    of spaces do not count (`folding.fold`). The result does not depend on the number of threads.
    A text of n characters takes about 200 n bytes, and time proportional to text and corpus.

    most: only the longest ones. progress: `progress(done, total)` counts characters of the corpus.
    `ConfigError` unless at_least >= 1; `VocabError` if text and corpus differ in their unit.
    """
    if at_least < 1:
        raise ConfigError(f"`at_least` must be at least 1, not {at_least}")
    whole = corpus.vocab.in_symbols(text)
    ids, characters = _joint_ids(whole, corpus)
    alike = folded(characters, corpus.vocab.unit) if fold else exact(len(characters))
    symbols, places = alike.of(ids)
    if len(symbols) < at_least:
        return []
    with_table = alike._replace(table=alike.table[: len(corpus.vocab)].copy())
    lengths, ends = _matches(symbols, corpus, with_table, at_least, workers or Workers(), progress)
    is_whole = np.append(lengths[1:] <= lengths[:-1], True) & (lengths > 0)
    last = np.flatnonzero(is_whole)
    order = np.lexsort((last - lengths[last], -lengths[last]))[:most]
    last = last[order]
    sizes, corpus_ends = lengths[last].astype(np.int64), ends[last]
    corpus_starts = np.empty_like(corpus_ends)
    begins = kernels.begins_small if corpus.ids.itemsize == 1 else kernels.begins_wide
    begins(corpus.ids, with_table.table, alike.space, corpus_ends, sizes, corpus_starts)
    starts, stops = places[last - sizes + 1], places[last] + 1
    text_lines = _newlines(ids, characters)
    return list(_passages(corpus, text_lines, starts, stops, sizes, corpus_starts, corpus_ends))


def copied(passages: list[SharedPassage]) -> list[tuple[int, int]]:
    """The parts (start, end) of a text that passages cover, in order."""
    parts: list[tuple[int, int]] = []
    for start, end in sorted((each.start, each.end) for each in passages):
        if parts and start <= parts[-1][1]:
            parts[-1] = parts[-1][0], max(parts[-1][1], end)
        else:
            parts.append((start, end))
    return parts


def _joint_ids(text: str, corpus: Corpus) -> tuple[NDArray[np.int32], list[str]]:
    """The ids of a text in the vocabulary of a corpus, continued for characters that it lacks; and
    the character of each id ("<unk>" for the unknown symbol).
    """
    characters = list(corpus.vocab.symbols)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    own, where = np.unique(codes, return_inverse=True)
    ids = np.empty(len(own), np.int32)
    for i, ch in enumerate(map(chr, own.tolist())):
        known = corpus.vocab.index.get(ch)
        ids[i] = len(characters) if known is None else known
        characters += [ch] if known is None else []
    return ids[where], characters


def _matches(
    symbols: NDArray[np.int32],
    corpus: Corpus,
    alike: Symbols,
    at_least: int,
    workers: Workers,
    progress: Progress | None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """For each symbol of a text (n,): the length of the longest match that ends there, 0 for one
    that is too short, int32; and where the first such match ends in the corpus, int64.
    """
    n, count = len(symbols), alike.size + 1  # one for all that the corpus lacks
    symbols = np.minimum(symbols, np.int32(alike.size))
    states, edges = 2 * n + 1, 7 * n // 2 + 8
    own = suffixes.Suffixes(
        *(np.zeros(states, np.int32), np.zeros(states, np.int32), np.full(states, -1, np.int32)),
        *(np.full(edges, -1, np.int64), np.empty(edges, np.int32), np.empty(edges, np.int32)),
    )
    state_of = np.empty(n, np.int32)
    suffixes.build(symbols, count, own, state_of)
    slots = 2 << n.bit_length()
    grams = kernels.Grams(
        bits=np.zeros(slots // 2 * _BITS // 8, np.uint8),
        hashes=np.empty(slots, np.uint64),
        places=np.full(slots, -1, np.int32),
        states=np.empty(slots, np.int32),
    )
    kernels.index(symbols, count, at_least, own, grams)
    visits = [
        kernels.Visits(
            np.zeros(states, np.int32), np.zeros(states, np.int64), np.full(states, -1, np.int64)
        )
        for _ in range(workers.threads)
    ]
    stream = kernels.stream_small if corpus.ids.itemsize == 1 else kernels.stream_wide
    for begin in range(0, len(corpus), _PIECE):
        end = min(begin + _PIECE, len(corpus))
        parts = [
            _parts(corpus, begin + a, begin + b) for a, b in ranges(end - begin, workers.threads)
        ]
        jobs = [
            (corpus.ids, part, alike.table, alike.space, symbols, count, own, grams, visit,
             np.empty(at_least, np.int32))
            for part, visit in zip(parts, visits, strict=False)
        ]  # fmt: skip
        workers.run(stream, jobs)
        if progress is not None:
            progress(end, len(corpus))
    seen = _joined(visits)
    order = np.argsort(own.length, kind="stable").astype(np.int32)
    kernels.settle(order, at_least, own, seen)
    return seen.best[state_of], seen.at[state_of]


def _parts(corpus: Corpus, begin: int, end: int) -> NDArray[np.int64]:
    """The parts of files between two places, as `kernels.stream_small` takes them."""
    borders = _borders(corpus)
    first, last = np.searchsorted(borders, [begin, end], side="right")
    last += end > borders[last - 1]
    starts, stops = borders[first - 1 : last - 1], borders[first:last]
    own = np.maximum(starts, begin), np.minimum(stops, end)
    return np.stack([*own, stops, starts], 1)


def _borders(corpus: Corpus) -> NDArray[np.int64]:
    """Where files begin in a corpus, and where it ends."""
    return np.cumsum([0, *(source.characters for source in corpus.sources)])


def _joined(visits: list[kernels.Visits]) -> kernels.Visits:
    """The visits of all threads in the first one's arrays."""
    into, *others = visits
    for other in others:
        is_better = other.best > into.best
        is_better |= (other.best == into.best) & (other.at < into.at)
        into.at[is_better] = other.at[is_better]
        np.maximum(into.best, other.best, out=into.best)
        is_first = (other.first >= 0) & ((into.first < 0) | (other.first < into.first))
        into.first[is_first] = other.first[is_first]
    return into


def _newlines(ids: TextIds, characters: Sequence[str]) -> NDArray[np.int64]:
    """Where newlines stand in ids of any integer type, given the character of each id."""
    newline = characters.index("\n") if "\n" in characters else -1
    pieces = [
        np.flatnonzero(ids[a : a + _PIECE] == newline) + a for a in range(0, len(ids), _PIECE)
    ]
    return np.concatenate([np.empty(0, np.int64), *pieces])


def _passages(
    corpus: Corpus,
    text_lines: NDArray[np.int64],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    sizes: NDArray[np.int64],
    corpus_starts: NDArray[np.int64],
    corpus_ends: NDArray[np.int64],
) -> Iterator[SharedPassage]:
    lines, borders = _newlines(corpus.ids, corpus.vocab.symbols), _borders(corpus)
    rows = np.searchsorted(text_lines, starts)
    columns = starts - np.concatenate([[-1], text_lines])[rows]
    files = np.searchsorted(borders, corpus_ends, side="left") - 1
    offsets = borders[files]
    corpus_starts = np.maximum(corpus_starts, offsets)
    corpus_rows = np.searchsorted(lines, corpus_starts) - np.searchsorted(lines, offsets)
    columns_of = (starts, stops, rows + 1, columns, sizes, files, corpus_starts - offsets,
                  corpus_ends - offsets, corpus_rows + 1)  # fmt: skip
    for start, end, line, column, length, file, *place in np.stack(columns_of, 1).tolist():
        path = corpus.sources[file].path
        yield SharedPassage(start, end, line, column, length, path, *place)
