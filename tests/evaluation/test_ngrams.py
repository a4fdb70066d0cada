"""How well n-grams predict: the formula, one symbol at a time, and a text of known entropy."""

from __future__ import annotations

import math

import numpy as np
import pytest

import charrnn
from charrnn.errors import CorpusError
from charrnn.evaluation.ngrams import ngram_nats
from charrnn.tuning.planning import expected_loss


def by_hand(ids: list[int], held_out: list[int], symbols: int, order: int) -> float:
    """The formula as it stands, with a search for every count."""
    total = 0.0
    for i in range(order, len(held_out)):
        p = 1 / symbols
        for k in range(order + 1):
            context = held_out[i - k : i]
            after = [ids[j] for j in range(order, len(ids)) if ids[j - k : j] == context]
            if after:
                kinds = len(set(after))
                p = (after.count(held_out[i]) + kinds * p) / (len(after) + kinds)
        total -= math.log(p)
    return total / (len(held_out) - order)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_formula(order: int) -> None:
    random = np.random.default_rng(order)
    ids, held_out = random.integers(0, 3, 60), random.integers(0, 4, 40)
    expected = by_hand(ids.tolist(), held_out.tolist(), 4, order)
    assert ngram_nats(ids, held_out, 4, order) == pytest.approx(expected, abs=1e-12)


def test_a_chain_of_known_entropy() -> None:
    """Each symbol is the one before plus 1 in nine of ten cases, else any of 5 others."""
    random = np.random.default_rng(1)
    jumps = np.where(random.random(60_000) < 0.9, 1, random.integers(2, 7, 60_000))
    ids = np.cumsum(jumps) % 10
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1 / 5)
    assert ngram_nats(ids[:50_000], ids[50_000:], 10, 1) == pytest.approx(entropy, abs=0.03)


def test_large_vocabularies_and_short_texts() -> None:
    ids = np.arange(50_000, dtype=np.uint16)[::-1] % 40_000
    assert math.isfinite(ngram_nats(ids, ids[:100], 40_000))
    with pytest.raises(CorpusError, match="more than 4 symbols"):
        ngram_nats(ids[:4], ids, 100)


def test_the_loss_that_a_plan_expects() -> None:
    """Trained for 40 passes, 2 x 192 units came to 1.32 on the plays."""
    plays = charrnn.Corpus.read(charrnn.bundled_corpus())
    assert expected_loss(plays, 40) == pytest.approx(1.32, abs=0.1)
    assert expected_loss(plays, 2) > expected_loss(plays, 20)
