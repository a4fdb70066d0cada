"""The surprise, rank and entropy of every character, on networks with known distributions."""

from __future__ import annotations

import numpy as np
import pytest

import charrnn
from charrnn import CorpusConfig, Trained, Vocab, Workers
from charrnn.checkpoint.mixture import Mixture
from charrnn.errors import ConfigError, CorpusError, VocabError
from charrnn.evaluation.evaluate import evaluate
from charrnn.evaluation.passages import surprising_passages
from charrnn.evaluation.score import levels, score
from charrnn.network.model import Model
from tests.reference import cells as reference
from tests.reference.small import plain_model

SYMBOLS = tuple("abc d\n")


def unconditional(p: list[float], symbols: tuple[str, ...] = SYMBOLS) -> Trained:
    """A network that always predicts the same distribution."""
    model = Model(plain_model(vocab_size=len(symbols), hidden=5, layers=1))
    model.parameters["decoder.weight"][:] = 0
    model.parameters["decoder.bias"][: len(p)] = np.log(p)
    return Trained(model, Vocab(symbols), CorpusConfig())


def random_network(seed: int, **settings: object) -> tuple[Trained, reference.Parameters]:
    model = Model(plain_model(vocab_size=len(SYMBOLS), hidden=7, layers=1))
    parameters = reference.random_parameters(np.random.default_rng(seed), model.config)
    model.parameters.from_disk(parameters)
    return Trained(model, Vocab(SYMBOLS), CorpusConfig(**settings)), parameters


def test_a_known_distribution() -> None:
    p = [0.5, 0.2, 0.15, 0.1, 0.04, 0.01]
    result = charrnn.score(unconditional(p), "abba\nd", top=3)
    ids = [0, 1, 1, 0, 5, 4]
    np.testing.assert_allclose(result.nats, -np.log(np.take(p, ids)), rtol=1e-5)
    assert result.rank.tolist() == [1, 2, 2, 1, 6, 5]
    np.testing.assert_allclose(result.entropy, -np.dot(p, np.log(p)), rtol=1e-5)
    assert result.top.tolist() == [[0, 1, 2]] * 6 and result.top.dtype == np.uint8
    np.testing.assert_allclose(result.probabilities, [p[:3]] * 6, rtol=1e-5)
    assert len(result) == 6 and "6 symbols" in repr(result)


def test_equal_probabilities_share_a_rank() -> None:
    result = score(unconditional([0.3, 0.3, 0.1, 0.1, 0.1, 0.1]), "abcd \n")
    assert result.rank.tolist() == [1, 1, 3, 3, 3, 3]
    assert score(unconditional([1 / 6] * 6), "abcd \n").rank.tolist() == [1] * 6


@pytest.mark.parametrize("length", [1, 70, 2100])
def test_every_position_has_its_own_distribution(length: int) -> None:
    """As the reference computes them, in one stream, also where the text is read in parts."""
    network, parameters = random_network(3)
    ids = np.random.default_rng(0).integers(6, size=length).astype(np.uint8)
    result = score(network, ids, top=2)
    config = network.model.config
    before = np.append(network.opening.ids[:1], ids)[:, None].astype(np.int32)
    states, rows = reference.zero_states(config, 1), []
    for a in range(0, length, 500):
        x = before[a : min(a + 500, length)]
        trace = reference.forward(config, parameters, x, before[a + 1 :][: len(x)], states)
        states = trace.states
        rows.append(trace.logits[:, 0])
    logits = np.concatenate(rows)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    own = p[np.arange(length), ids]
    np.testing.assert_allclose(result.nats, -np.log(own), atol=1e-4)
    np.testing.assert_allclose(result.entropy, -(p * np.log(p)).sum(axis=1), atol=1e-4)
    certain = np.diff(np.sort(p, axis=1)).min(axis=1) > 1e-4
    assert certain.mean() > 0.9
    assert (result.rank == 1 + (p > own[:, None]).sum(axis=1))[certain].all()
    assert (result.top == np.argsort(-p, axis=1)[:, :2])[certain].all()
    np.testing.assert_allclose(result.probabilities, -np.sort(-p, axis=1)[:, :2], atol=1e-4)


@pytest.mark.parametrize("separator", [None, "\n"])
def test_the_losses_are_those_of_evaluate(separator: str | None) -> None:
    network, _ = random_network(3, document_separator=separator)
    text = "".join(np.random.default_rng(0).choice(SYMBOLS, size=6000))
    from charrnn.text.documents import resets

    ids = network.vocab.encode(text)
    starts = None if separator is None else resets(ids, network.vocab, separator)
    expected = evaluate(network.model, ids, starts=starts, openings=[network.opening])
    one, many = Workers(1), Workers(3, processors=3)
    for workers in (one, many):
        result = score(network, text, workers=workers)
        np.testing.assert_array_equal(result.nats, expected.losses)
    again = score(network, text, workers=one)
    many.close()
    for name in ("nats", "rank", "entropy", "top", "probabilities"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))


def test_an_ensemble_has_the_mean_of_the_distributions() -> None:
    p, q = [0.5, 0.2, 0.1, 0.1, 0.05, 0.05], [0.1, 0.6, 0.1, 0.1, 0.05, 0.05]
    result = score([unconditional(p), unconditional(q)], "ab", top=2)
    np.testing.assert_allclose(result.nats, -np.log([0.3, 0.4]), rtol=1e-5)
    assert result.rank.tolist() == [2, 1] and result.top.tolist() == [[1, 0]] * 2
    np.testing.assert_allclose(result.probabilities, [[0.4, 0.3]] * 2, rtol=1e-5)


@pytest.mark.parametrize("separator", [None, "\n"])
def test_ids_are_checked(separator: str | None) -> None:
    network, _ = random_network(3, document_separator=separator)
    for wrong in (np.array([99]), np.array([-1]), np.array([1.0])):
        with pytest.raises(VocabError, match="ids must be"):
            score(network, wrong)


def test_what_cannot_be_scored() -> None:
    network = unconditional([1 / 6] * 6)
    with pytest.raises(VocabError, match="'x'"):
        score(network, "abx")
    assert len(score(network, "abx", unknown="skip")) == 2
    with pytest.raises(CorpusError, match="at least 1 character"):
        score(network, "")
    for top in (-1, 7):
        with pytest.raises(ConfigError, match="`top`"):
            score(network, "ab", top=top)
    with pytest.raises(ConfigError, match="at least one"):
        score([], "ab")


def test_levels() -> None:
    nats = -np.log([1.0, 0.51, 0.49, 0.11, 0.09, 0.011, 0.009, 0.0011, 0.0009, 1e-9])
    assert levels(nats).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert levels(np.array([np.nan, 0.0])).tolist() == [-1, 0]


# Passages


def brute_force(gains: list[float]) -> tuple[int, int]:
    """The segment with the greatest sum."""
    pairs = [(a, b) for a in range(len(gains)) for b in range(a + 1, len(gains) + 1)]
    return max(pairs, key=lambda pair: sum(gains[pair[0] : pair[1]]))


def test_the_first_passage_is_the_segment_with_the_greatest_excess() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        nats = rng.exponential(size=30)
        found = max(surprising_passages(" " * 30, nats), key=lambda passage: passage.excess)
        assert (found.start, found.end) == brute_force((nats - nats.mean() - 1).tolist())
        assert found.nats == pytest.approx(nats[found.start : found.end].sum())


def test_passages_are_words_and_do_not_overlap() -> None:
    text = "plain words and zyx, then more plain words, and a whole foreign passage, the end"
    nats = np.full(len(text), 0.2)
    nats[text.index("zyx") + 1] = 9
    first, last = text.index("whole"), text.index(", the end")
    nats[first + 2 : last] = 4
    long, short = surprising_passages(text, nats)
    assert text[long.start : long.end] == "whole foreign passage,"
    assert text[short.start : short.end] == "zyx,"
    assert long.nats > short.nats > 9
    assert surprising_passages(text, nats, 1) == [long]
    nats[first + 4] = np.nan
    assert text[(found := surprising_passages(text, nats)[0]).start : found.end].startswith("whole")
    assert surprising_passages(text, np.full(len(text), np.nan)) == []
    assert surprising_passages("", np.empty(0)) == []


def test_a_passage_in_a_script_without_spaces_is_not_extended() -> None:
    text = "\u6625\u7720\u4e0d\u89ba\u66c9\u8655\u8655\u805e\u557c\u9ce5"
    nats = np.full(len(text), 0.2)
    nats[4] = 9
    (passage,) = surprising_passages(text, nats)
    assert text[passage.start : passage.end] == text[4]


def test_a_mixture_over_the_union_of_vocabularies() -> None:
    one = unconditional([0.5, 0.3, 0.2], ("a", "b", "c"))
    other = unconditional([0.1, 0.6, 0.3], ("d", "c", "a"))
    mixture = Mixture([one, other], [0.25, 0.75])
    result = score(mixture, "abcd", top=4)
    p = {"a": 0.35, "b": 0.075, "c": 0.5, "d": 0.075}
    np.testing.assert_allclose(result.nats, -np.log([*p.values()]), rtol=1e-5)
    assert result.rank.tolist() == [2, 3, 1, 3]
    np.testing.assert_allclose(result.probabilities, [[0.5, 0.35, 0.075, 0.075]] * 4, rtol=1e-5)
    assert result.top[:, :2].tolist() == [[2, 0]] * 4
    values = np.array([*p.values()])
    np.testing.assert_allclose(result.entropy, -np.dot(values, np.log(values)), rtol=1e-5)
