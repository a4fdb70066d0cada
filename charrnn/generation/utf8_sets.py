"""Sets of characters as graphs of UTF-8 bytes, for networks of bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from charrnn.generation.automaton import Ints, Mask
from charrnn.text.vocab import Vocab

Node = tuple[tuple[frozenset[int], int | None], ...]
"""The edges of a node: the symbols that an edge reads, and the node after it, None at the end."""


@lru_cache(maxsize=1)
def writable(vocab: Vocab) -> str:
    """All characters that a vocabulary can write: of bytes, those of which it has every byte."""
    if vocab.unit == "char":
        return "".join(vocab.index)
    is_known = np.zeros(256, np.bool_)
    is_known[[ord(symbol) for symbol in vocab.index]] = True
    parts = [codes[is_known[rows].all(axis=1)] for codes, rows in encoded(_all_codes(is_known))]
    return np.concatenate(parts).tobytes().decode("utf-32-le") if parts else ""


def _all_codes(is_known: Mask) -> Ints:
    """The code points of ASCII, and all others unless the vocabulary has ASCII only."""
    last = 0x110000 if is_known[0x80:].any() else 0x80
    codes = np.arange(last, dtype="<u4")
    return codes[(codes < 0xD800) | (codes >= 0xE000)]


def graph_of(characters: str, vocab: Vocab) -> tuple[list[Node], int]:
    """The nodes of the smallest graph that spells these characters in ids, and its root."""
    index, nodes = vocab.index, dict[Node, int]()
    if vocab.unit == "char":
        return [((frozenset(index[c] for c in characters), None),)], 0

    def register(after: dict[int | None, set[int]]) -> int:
        node = tuple((frozenset(index[chr(v)] for v in values), n) for n, values in after.items())
        return nodes.setdefault(node, len(nodes))

    def branches(rows: Ints) -> dict[int | None, set[int]]:
        """The edges with which strings of L bytes, (K, L), sorted, begin."""
        if rows.shape[1] == 1:
            return {None: set(rows[:, 0].tolist())}
        after = defaultdict[int | None, set[int]](set)
        values, starts = np.unique(rows[:, 0], return_index=True)
        for value, part in zip(values.tolist(), np.split(rows[:, 1:], starts[1:]), strict=True):
            after[register(branches(part))].add(value)
        return after

    root = dict[int | None, set[int]]()
    for _, rows in encoded(np.sort(np.frombuffer(characters.encode("utf-32-le"), "<u4"))):
        for node, values in branches(rows).items():
            root.setdefault(node, set()).update(values)
    place = register(root)
    return list(nodes), place


def encoded(codes: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Ascending code points by the length L of their UTF-8, and their bytes (K, L)."""
    borders = np.searchsorted(codes, [0, 0x80, 0x800, 0x10000, 0x110000])
    for size in range(1, 5):
        part = codes[borders[size - 1] : borders[size]].astype("<u4")
        data = part.tobytes().decode("utf-32-le").encode()
        if len(part):
            yield part, np.frombuffer(data, np.uint8).reshape(-1, size)


def in_ids(edges: Ints, states: int, vocab: Vocab) -> tuple[Ints, Ints, Ints, int]:
    """Edges (E, 3) that read code points, as edges that read ids: their sources, ids and targets,
    and the number of states. Further states are added inside characters of several bytes.
    """
    if vocab.unit == "char":
        index = np.zeros(0x110000, np.int64)
        index[vocab.codes] = np.arange(len(vocab))
        return edges[:, 0], index[edges[:, 1]], edges[:, 2], states
    index = np.zeros(256, np.int64)
    for symbol, i in vocab.index.items():
        index[ord(symbol)] = i
    edges, place, parts = edges[np.argsort(edges[:, 1])], 0, list[tuple[Ints, Ints, Ints]]()
    for codes, rows in encoded(edges[:, 1]):
        now, place = edges[place : place + len(codes), 0], place + len(codes)
        for column in rows.T[:-1]:
            steps, inverse = np.unique(now * 256 + column, return_inverse=True)
            parts.append((steps // 256, index[steps % 256], states + np.arange(len(steps))))
            now, states = states + inverse, states + len(steps)
        parts.append((now, index[rows[:, -1]], edges[place - len(codes) : place, 2]))
    sources, symbols, targets = (np.concatenate(each) for each in zip(*parts, strict=True))
    return sources, symbols, targets, states
