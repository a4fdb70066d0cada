"""Plain counts, against the equations with dictionaries in float64."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from charrnn.evaluation import counts
from charrnn.evaluation.counts import DISCOUNTS, LENGTH, Counts

V, SIZE = 5, 400
Passage = tuple[int, ...]


class Table:
    """How often each symbol came after each context, by the book."""

    def __init__(self) -> None:
        self.after: dict[Passage, dict[int, float]] = defaultdict(lambda: defaultdict(float))

    def contexts(self, read: list[int]) -> list[Passage]:
        """Those of the last 0, 1, ... symbols of a document."""
        return [tuple(read[len(read) - k :]) for k in range(min(len(read), LENGTH) + 1)]

    def learn(self, read: list[int], symbol: int, weight: float) -> None:
        """Count a symbol after what was read."""
        contexts = self.contexts(read)
        known = [k for k, context in enumerate(contexts) if self.after[context][symbol] > 0]
        for context in contexts[known[-1] if known else 0 :]:
            self.after[context][symbol] += weight

    def probabilities(self, read: list[int]) -> np.ndarray:
        """Of all symbols after what was read."""
        p = np.full(V, 1 / V)
        for k, context in enumerate(self.contexts(read)):
            c = np.array([self.after[context][w] for w in range(V)])
            if c.sum() == 0:
                break
            taken = np.minimum(c, float(DISCOUNTS[k]))
            p = (c - taken + taken.sum() * p) / c.sum()
        return p


def text(seed: int, size: int) -> np.ndarray:
    """A text with many repeats."""
    rng = np.random.default_rng(seed)
    phrases = [rng.integers(V, size=n) for n in (2, 5, 9, 20)]
    return np.concatenate([phrases[i] for i in rng.integers(4, size=size)]).astype(np.uint8)


def columns(ids: np.ndarray, streams: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of as many streams, int32 (T, N)."""
    part = (len(ids) - 1) // streams
    places = np.arange(part)[:, None] + part * np.arange(streams)
    return ids[places].astype(np.int32), ids[places + 1].astype(np.int32)


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("has_documents", [False, True])
def test_they_follow_the_equations(
    streams: int, has_documents: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "TOGETHER", 100)  # so that the tree has to grow
    before, ids = text(0, 60)[:SIZE], text(1, 40)
    starts = np.array([-1, 0, 7, 250, SIZE], np.int64) if has_documents else None
    found, table = Counts(V, streams), Table()
    found.learn(before, starts)
    read: list[int] = []
    for t, symbol in enumerate(before.tolist()):
        table.learn(read, symbol, 1)
        read = [*([] if starts is not None and t in starts else read), symbol]
    x, y = columns(ids, streams)
    begins = np.random.default_rng(2).random(x.shape) < 0.05 if has_documents else None
    p = [
        found.foresee(x[a : a + 16], y[a : a + 16], None if begins is None else begins[a : a + 16])
        for a in range(0, len(x), 16)
    ]
    reads: list[list[int]] = [[] for _ in range(streams)]
    expected = np.empty((*x.shape, V))
    for a in range(0, len(x), 16):  # the streams one after another, segment by segment
        for n in range(streams):
            for t in range(a, min(a + 16, len(x))):
                if begins is not None and begins[t, n]:
                    reads[n] = [int(x[t, n])]
                expected[t, n] = table.probabilities(reads[n])
                table.learn(reads[n], int(y[t, n]), 1.5)
                reads[n].append(int(y[t, n]))
    np.testing.assert_allclose(np.concatenate(p), expected, atol=2e-6)
    assert expected.max() > 0.9 and expected.min() < 0.01, "something was learned"


def test_they_are_distributions_and_know_what_came_twice() -> None:
    ids, found = np.tile(text(3, 30), 2), Counts(V)
    half = len(ids) // 2
    x, y = columns(ids, 1)
    p = found.foresee(x, y, None)
    np.testing.assert_allclose(p.sum(axis=2), 1, atol=1e-5)
    losses = -np.log(np.take_along_axis(p, y[..., None].astype(np.int64), axis=2)[:, 0, 0])
    assert losses[half + LENGTH :].mean() < 0.3 * losses[:half].mean()


def test_streams_before_the_first_are_left_out() -> None:
    x, y = columns(text(4, 30), 2)
    found, other = Counts(V, 2), Counts(V, 2)
    p = found.foresee(x, y, None, 1)
    assert not p[:, 0].any()
    alone = other.foresee(np.roll(x, 1, axis=1), np.roll(y, 1, axis=1), None)
    np.testing.assert_array_equal(p[:, 1], alone[:, 0])


def test_of_a_long_text_the_end_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    before, (x, y) = text(5, 60), columns(text(5, 30), 1)
    starts = np.array([len(before) - 40], np.int64)
    found = Counts(V)
    found.learn(before[-100:], starts - (len(before) - 100))
    monkeypatch.setattr(counts, "MOST", 100)
    other = Counts(V)
    other.learn(before, starts)
    p = found.foresee(x, y, None)
    np.testing.assert_array_equal(p, other.foresee(x, y, None))


def test_a_tree_that_is_too_large_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "LARGEST", 1_000)
    x, y = columns(text(5, 30), 1)
    found, new = Counts(V), Counts(V)
    p = []
    for a in range(0, len(x), 16):
        if int(found._tree.used[0]) + counts.MOST_NODES * len(x[a : a + 16]) > 1_000:
            new = Counts(V)
        block = x[a : a + 16], y[a : a + 16], None
        p.append(found.foresee(*block))
        np.testing.assert_array_equal(p[-1], new.foresee(*block))
    np.testing.assert_allclose(np.concatenate(p).sum(axis=2), 1, atol=1e-5)
    assert int(found._tree.used[0]) < 1_000 < LENGTH * len(x)


def test_many_symbols() -> None:
    """More than a byte holds."""
    ids = np.random.default_rng(6).integers(1_000, size=400).astype(np.uint16)
    x, y = columns(np.tile(ids, 2), 1)
    p = Counts(1_000).foresee(x, y, None)[:, 0]
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    again = p[500:], y[500:, 0]
    assert (again[0].argmax(axis=1) == again[1]).mean() > 0.95
