"""Whose text it is, by networks with known distributions."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn import CorpusConfig, Origin, Text, Trained, Vocab
from charrnn.errors import ConfigError, CorpusError
from charrnn.evaluation.authorship import authorship
from charrnn.network.model import Model
from tests.reference.small import plain_model


def unconditional(
    p: dict[str, float], read: int = 1000, unit: str = "char", unknown: int | None = None
) -> Trained:
    """A network that always predicts the same distribution and has read so many characters."""
    model = Model(plain_model(vocab_size=len(p), hidden=5, layers=1))
    model.parameters["decoder.weight"][:] = 0
    model.parameters["decoder.bias"][: len(p)] = np.log(list(p.values()))
    vocab = Vocab(tuple(p), unit, unknown)  # type: ignore[arg-type]
    return Trained(model, vocab, CorpusConfig(), Origin((Text("t", read),)))


A = unconditional({"a": 0.6, "b": 0.2, " ": 0.1, ".": 0.1})
B = unconditional({"a": 0.2, "b": 0.6, " ": 0.1, ".": 0.1})


def test_the_text_is_most_probable_to_its_author() -> None:
    result = authorship([A, B], "aaab.")
    logs = np.log([[0.6] * 3 + [0.2, 0.1], [0.2] * 3 + [0.6, 0.1]])
    np.testing.assert_allclose(result.nats, -logs, rtol=1e-5)
    np.testing.assert_allclose(result.totals, -logs.sum(axis=1), rtol=1e-5)
    # 0.6^3 0.2 : 0.2^3 0.6 = 9 : 1
    np.testing.assert_allclose(result.posterior, [0.9, 0.1], rtol=1e-4)
    assert result.best == 0 and not result.unknown.any()
    ahead, error = result.margin(1)
    assert ahead == pytest.approx(np.log(9), rel=1e-4) and np.isnan(error)


def test_sentences_are_pieces_of_evidence() -> None:
    text = "aa a.\n\nbb b b.\n\naa a.\n\n"
    networks = [
        unconditional({"a": p, "b": q, " ": 0.1, ".": 0.1, "\n": 0.1})
        for p, q in ((0.5, 0.2), (0.2, 0.5))
    ]
    result = authorship(networks, text)
    assert [text[:end].split()[-1] for end in result.sentences] == ["a.", "b.", "a."]
    assert result.sentences[-1] == len(text)
    margins = np.log(2.5) * np.array([3, -4, 3])
    found = result.by_sentence[1] - result.by_sentence[0]
    np.testing.assert_allclose(found, margins, rtol=1e-4)
    ahead, error = result.margin(1)
    assert ahead == pytest.approx(margins.sum(), rel=1e-4)
    assert error == pytest.approx(np.sqrt(3) * margins.std(ddof=1), rel=1e-4)
    np.testing.assert_allclose(result.by_sentence.sum(axis=1), result.totals)


def test_vocabularies_are_made_one() -> None:
    """C lacks "b" and "x", which nobody has: over the union, each network's probabilities add up
    to 1.
    """
    c = unconditional({"a": 0.8, " ": 0.1, ".": 0.1}, read=98)
    union = "ab .x"
    p = [
        np.exp(-authorship([A, c], union).nats[row, union.index(symbol)])
        for row in (0, 1)
        for symbol in union
    ]
    np.testing.assert_allclose(p[5:], [0.8 * 0.98, 0.01, 0.098, 0.098, 0.01], rtol=1e-5)
    assert sum(p[:5]) == pytest.approx(1) and sum(p[5:]) == pytest.approx(1)
    assert authorship([A, c], "abxxb").unknown.tolist() == [2, 4]
    nothing = authorship([A, c], "xyz")
    np.testing.assert_allclose(nothing.nats[1], np.log(98 + 4), rtol=1e-6)


def test_an_unknown_symbol_is_shared_by_what_it_stands_for() -> None:
    u = unconditional({"a": 0.8, "<unk>": 0.2}, unknown=1)
    result = authorship([A, u], "ab. x")
    np.testing.assert_allclose(np.exp(-result.nats[1]), [0.8, *[0.05] * 4], rtol=1e-5)
    assert result.unknown.tolist() == [1, 4]


def test_bytes_are_summed_to_characters() -> None:
    raw = unconditional({"a": 0.5, "\xc3": 0.25, "\xa9": 0.25}, read=747, unit="byte")
    text = "a\u00e9\u2603\udcffa"
    result = authorship([A, raw], text)
    known, lost = 0.747, 0.001  # 253 bytes are lacking
    expected = [0.5 * known, (0.25 * known) ** 2, lost**3, lost, 0.5 * known]
    np.testing.assert_allclose(np.exp(-result.nats[1]), expected, rtol=1e-5)
    assert result.nats.shape == (2, 5) and result.unknown.tolist() == [3, 2]


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ConfigError, match="two networks"):
        authorship([A], "ab")
    with pytest.raises(CorpusError, match="empty"):
        authorship([A, B], "")
