"""How well n-grams predict a text: what a network should beat."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import CorpusError

ORDER = 4
"""Symbols of the longest context."""
MOST_READ, MOST_HELD_OUT = 1_000_000, 20_000
"""Symbols that are counted, and those that are predicted: a tenth of a second."""


def ngram_nats(
    ids: NDArray[Any], held_out: NDArray[Any], symbols: int, order: int = ORDER
) -> float:
    """The mean of -ln p of held-out symbols, in nats, where p comes from counts in `ids`.

        p_k(x | c) = (n(c x) + t(c) p_{k-1}(x | c')) / (n(c) + t(c))

    for the context c of the last k symbols, up to `order`, where c' lacks the first of them, n
    counts occurrences, and t different symbols after c (Witten & Bell 1991); p_{-1} is 1 / symbols.
    A context that does not occur is passed over. Of a large vocabulary, contexts are shorter.

    ids (K,), held_out (M,): of any integer type, below `symbols`; `CorpusError` unless both are
    longer than `order`. The first million and the first 20,000 are read.
    """
    order = min(order, int(63 / math.log2(max(2, symbols))) - 1)
    if min(len(ids), len(held_out)) <= order:
        raise CorpusError(f"n-grams need texts of more than {order} symbols")
    ids = ids[:MOST_READ].astype(np.int64)
    held_out = held_out[:MOST_HELD_OUT].astype(np.int64)
    p = np.full(len(held_out) - order, 1 / symbols)
    for k in range(order + 1):
        grams, counts = np.unique(_numbers(ids, k, order, symbols), return_counts=True)
        contexts, first = np.unique(grams // symbols, return_index=True)
        totals, kinds = np.add.reduceat(counts, first), np.diff(first, append=len(grams))
        wanted = _numbers(held_out, k, order, symbols)
        at, is_known = _find(contexts, wanted // symbols)
        place, occurs = _find(grams, wanted)
        mixed = (counts[place] * occurs + kinds[at] * p) / (totals[at] + kinds[at])
        p = np.where(is_known, mixed, p)
    return float(-np.log(p).mean())


def _numbers(ids: NDArray[np.int64], k: int, order: int, symbols: int) -> NDArray[np.int64]:
    """Each symbol from `order` on with the k before it, as one number."""
    numbers = np.zeros(len(ids) - order, np.int64)
    for back in range(k, -1, -1):
        numbers = numbers * symbols + ids[order - back : len(ids) - back]
    return numbers


def _find(
    known: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where numbers stand in a sorted array, and whether they do."""
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return at, known[at] == wanted
