"""Whether what is written stands in a training text already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError
from charrnn.kernels import copies as kernels
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.folding import Symbols, exact, folded
from charrnn.text.vocab import Vocab

GENEROUS, LEAST = 8, 3
"""Bytes of memory for each character of the training text, twice, up to and beyond 128 MB."""


class Copies:
    """All passages of `size` characters of training texts, to be recognized in a text of symbols of
    `vocab`: exactly, and folded (`folding.fold`).

    Makes two Bloom filters: each copy is recognized, and of other passages one in a million is
    taken for a copy, or in training texts of over 40 million characters one in ten thousand.
    `ConfigError` unless size >= 1, and for texts of another unit.
    """

    def __init__(
        self, texts: Sequence[Corpus], vocab: Vocab, size: int, workers: Workers | None = None
    ) -> None:
        if size < 1:
            raise ConfigError(f"`size` must be at least 1, not {size}")
        if any(text.vocab.unit != vocab.unit for text in texts):
            raise ConfigError(f"the training text is not read in {vocab.unit}s, as `vocab` is")
        self.size = size
        joint = dict.fromkeys(
            s for each in (vocab, *(t.vocab for t in texts)) for s in each.symbols
        )
        characters = list(joint)
        number = {symbol: i for i, symbol in enumerate(characters)}
        memory = self._memory(sum(len(text) for text in texts))
        self._filters: list[tuple[NDArray[np.int32], int, NDArray[np.uint64]]] = []
        jobs = []
        for alike in (exact(len(characters)), folded(characters, vocab.unit)):
            filter = np.zeros((memory, kernels.LINE), np.uint64)
            jobs.append((texts, number, alike, filter))
            self._filters.append((alike.table[: len(vocab)].copy(), alike.space, filter))
        (workers or Workers(2)).run(self._add, jobs)

    def __repr__(self) -> str:
        return f"Copies({self.size} characters)"

    @staticmethod
    def _memory(characters: int) -> int:
        """Lines of a filter."""
        most = max(1 << 27, LEAST * characters)
        return max(1, min(GENEROUS * characters, most) // (8 * kernels.LINE))

    def _add(
        self,
        texts: Sequence[Corpus],
        number: dict[str, int],
        alike: Symbols,
        filter: NDArray[np.uint64],
    ) -> None:
        for text in texts:
            table = alike.table[[number[symbol] for symbol in text.vocab.symbols]]
            add = kernels.add_small if text.ids.itemsize == 1 else kernels.add_wide
            add(text.ids, table, alike.space, filter, np.empty(self.size, np.int32))

    def first(self, ids: NDArray[np.int32], begin: int, stop: int) -> int:
        """The first place from `begin` to `stop` - 1 in a text of ids (n,) where a copy ends; -1 if
        there is none.
        """
        found, recent = -1, np.empty(self.size, np.int32)
        for table, space, filter in self._filters:
            place = int(kernels.first(ids, begin, stop, table, space, filter, recent))
            if place >= 0:
                found = stop = place
        return found
