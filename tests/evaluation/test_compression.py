"""PPMd, the baseline that has read the training text too. (xz: training/test_known_entropy.py.)"""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from charrnn import Corpus, CorpusConfig, PeerError, VocabError
from charrnn.evaluation import compression
from charrnn.evaluation.compression import evaluate_ppmd, evaluate_xz, has_ppmd

needs_ppmd = pytest.mark.skipif(not has_ppmd(), reason="pyppmd is not installed")


def source(size: int, seed: int) -> np.ndarray:
    """Characters of a Markov chain: each is followed by one of two with probability 0.9."""
    rng, ids = np.random.default_rng(seed), [0]
    for jump in rng.random(size - 1):
        ids.append((ids[-1] * 2 + 1 + 3 * (jump < 0.1)) % 7)
    return np.array(ids, np.uint8)


def corpus(ids: np.ndarray, **settings: str) -> Corpus:
    return Corpus.from_text("".join("abcdefg"[i] for i in ids), CorpusConfig(**settings))


@needs_ppmd
@pytest.mark.parametrize("unit", ["char", "byte"])
def test_ppmd_comes_near_the_entropy_of_a_source_that_it_knows(unit: str) -> None:
    known, text = corpus(source(60_000, 1), unit=unit), corpus(source(20_000, 2), unit=unit)
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    found = evaluate_ppmd(text.ids, known.vocab, known.ids)
    assert found.characters == 20_000
    assert entropy * 0.97 < found.nats_per_char < entropy * 1.12
    alone = evaluate_ppmd(text.ids, known.vocab, known.ids[:0])
    assert (
        found.nats_per_char < alone.nats_per_char < evaluate_xz(text.ids, text.vocab).nats_per_char
    )


@needs_ppmd
def test_ppmd_reads_the_end_of_a_long_text(monkeypatch: pytest.MonkeyPatch) -> None:
    words = corpus(np.random.default_rng(0).integers(7, size=9000))
    before, text = words.ids, words.ids[6000:]
    told: list[tuple[int, int]] = []
    whole = evaluate_ppmd(text, words.vocab, before, progress=lambda *pair: told.append(pair))
    assert whole.nats_per_char < 0.1 and told == [(9000, 12_000)]
    monkeypatch.setattr(compression, "MOST_READ", 3000)
    assert evaluate_ppmd(text, words.vocab, before).nats_per_char < 0.1
    assert evaluate_ppmd(words.ids[:3000], words.vocab, before).nats_per_char > 1.5


@needs_ppmd
def test_ppmd_refuses_what_it_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    words = corpus(source(100, 1))
    with pytest.raises(VocabError):
        evaluate_ppmd(np.array([9]), words.vocab, words.ids)
    monkeypatch.setitem(sys.modules, "pyppmd", None)
    with pytest.raises(PeerError, match=r"pip install .*\[ppmd\]"):
        evaluate_ppmd(words.ids, words.vocab, words.ids)
