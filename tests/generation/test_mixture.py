"""Networks with weights, and with vocabularies of their own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CorpusConfig
from charrnn.errors import ConfigError, VocabError
from charrnn.evaluation.evaluate import evaluate, evaluate_windows
from charrnn.evaluation.texts import evaluate_texts
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.generate import generate, generate_many, generate_texts
from charrnn.generation.outlook import Outlook, mean_of
from charrnn.generation.readers import writer_of
from charrnn.inspection.likelihood import with_logprobs
from charrnn.network.model import Model
from charrnn.text.vocab import UNKNOWN, Vocab
from tests.reference.small import plain_model, small_corpus, small_run


def network(symbols: str, seed: int = 1, unknown: bool = False, unit: Any = "char") -> Trained:
    """One with opinions, of these symbols and perhaps an unknown one."""
    names = (*symbols, UNKNOWN) if unknown else tuple(symbols)
    vocab = Vocab(names, unit, len(symbols) if unknown else None)
    settings = {"cell": "gru", "hidden": 12, "layers": 1}
    model = Model.initialized(plain_model(vocab_size=len(vocab), **settings), seed)
    model.parameters.flat *= 3
    return Trained(model=model, vocab=vocab, corpus_config=CorpusConfig())


def known(symbols: str, p: list[float], unknown: bool = False) -> Trained:
    """One that always gives these probabilities."""
    made = network(symbols, unknown=unknown)
    made.model.parameters.flat[:] = 0
    made.model.parameters["decoder.bias"][: len(p)] = np.log(p)
    return made


A, B = known("\nab", [0.1, 0.6, 0.3]), known("b c\n", [0.2, 0.2, 0.5, 0.1])
UNION = {"\n": 0.1, "a": 0.42, "b": 0.27, " ": 0.06, "c": 0.15}
"""The mean of both by the weights 0.7 and 0.3."""


def test_what_is_written_has_the_known_frequencies() -> None:
    mixture = Mixture([A, B], [0.7, 0.3])
    config = SamplingConfig(length=50, temperature=1.0, seed=1)
    text = "".join(generate_many(mixture, 200, "", config))
    for symbol, p in UNION.items():
        spread = math.sqrt(p * (1 - p) * len(text))
        assert abs(text.count(symbol) - p * len(text)) < 5 * spread, symbol
    config = SamplingConfig(length=3000, temperature=1.0, seed=1, top_k=2, inner_temperature=0.5)
    text = "".join(generate(mixture, "", config))
    inner = 0.42**2 / (0.42**2 + 0.27**2)  # a letter precedes each
    assert abs(text.count("a") - inner * len(text)) < 5 * math.sqrt(len(text)) / 2


def test_what_is_evaluated_has_the_known_probabilities() -> None:
    mixture = Mixture([A, B], [0.7, 0.3])
    ids = mixture.vocab.encode("a cb\nc")
    expected = [-math.log(UNION[symbol]) for symbol in "a cb\nc"]
    openings = [each.opening for each in mixture]
    found = evaluate(mixture, ids, openings=openings).losses
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(evaluate_windows(mixture, ids, 2).losses, expected[1:], rtol=1e-5)
    for text, each in zip(
        (ids, ids[:2]), evaluate_texts(mixture, [ids, ids[:2]], openings), strict=True
    ):
        np.testing.assert_allclose(each.losses, expected[: len(text)], rtol=1e-5)
    score = charrnn.score(mixture, "a cb\nc", top=5)
    np.testing.assert_allclose(score.nats, expected, rtol=1e-5)
    assert [mixture.vocab.symbols[i] for i in score.top[0]] == ["a", "b", "c", "\n", " "]
    assert score.rank.tolist() == [1, 5, 3, 2, 4, 3]


def test_a_network_reads_the_nearest_of_what_it_lacks() -> None:
    """Or its unknown symbol, or a newline."""
    mixture = Mixture([network("\nabé“"), network('\nABE"', 2), network("\nab", 3, unknown=True)])
    ids = mixture.vocab.encode("abé“A\n")
    for n, expected in enumerate(("abé“a\n", 'ABE"A\n')):
        own = mixture[n].vocab
        assert own.decode(mixture.read_by(n, ids)) == expected
    assert mixture.read_by(2, ids).tolist() == [1, 2, 3, 3, 3, 0]
    other = Mixture([network("\nab"), network("\nx", 2)])
    assert other.read_by(1, other.vocab.encode("axb")).tolist() == [0, 1, 0]


def test_it_is_what_its_networks_say() -> None:
    """Of a text that all of them can read."""
    networks, weights = [network("\nabc"), network("cb\nax", 2)], [0.2, 0.8]
    mixture, text = Mixture(networks, weights), "abccab\nab"
    own = [
        evaluate(each.model, each.vocab.encode(text), openings=[each.opening]).losses
        for each in networks
    ]
    found = evaluate(
        mixture, mixture.vocab.encode(text), openings=[each.opening for each in networks]
    )
    expected = np.average(np.exp(-np.array(own, np.float64)), axis=0, weights=weights)
    np.testing.assert_allclose(np.exp(-found.losses), expected, rtol=1e-5)


def test_equal_vocabularies_and_weights_are_as_without() -> None:
    both = [network("\nabc"), network("\nabc", 2)]
    config = SamplingConfig(length=60, seed=4, dry_multiplier=1.0, dry_allowed_length=1)
    whole = "".join(generate(both, "ab", config))
    assert "".join(generate(Mixture(both, [0.5, 0.5]), "ab", config)) == whole
    assert "".join(generate(Mixture(both, [0.9, 0.1]), "ab", config)) != whole
    assert generate_many(Mixture(both), 3, "ab", config)[0] == whole


def test_a_network_with_one_more_symbol_writes_the_same() -> None:
    """If it never expects that symbol: prime, streams and controls are those of the union."""
    one = network("\nabc")
    more = network("\nabcx")
    for tensor in one.model.parameters.tensors:
        source, target = one.model.parameters[tensor.name], more.model.parameters[tensor.name]
        target[tuple(map(slice, source.shape))] = source
    more.model.parameters["decoder.bias"][4] = -60
    for settings in (
        {},
        {"dry_multiplier": 9.0, "dry_allowed_length": 1},
        {"inner_temperature": 0.1},
    ):
        config = SamplingConfig(length=60, seed=2, **settings)
        alone = generate_many(one, 3, "acb", config)
        assert generate_many(Mixture([one, more], [0.4, 0.6]), 3, "acb", config) == alone
        assert generate_many(Mixture([more, one], [0.4, 0.6]), 3, "acb", config) == alone
        assert "".join(generate([one, more], "acb", config)) == alone[0]


def test_a_prime_and_an_end_in_the_union() -> None:
    mixture = Mixture([network("\nab"), network("bcd\n", 2)], [0.4, 0.6])
    ends = SamplingConfig(length=400, seed=2, stop=("c",))
    assert all("c" not in text for text in generate_many(mixture, 4, "adcb", ends))
    with pytest.raises(VocabError):
        list(generate(mixture, "x", ends))


def test_the_unknown_symbol_is_never_written() -> None:
    mixture = Mixture([network("\nab"), known("\nab", [0.05, 0.05, 0.05, 0.85], unknown=True)])
    config = SamplingConfig(length=300, temperature=1.0)
    assert set("".join(generate(mixture, "", config))) == set("\nab")


def test_weights() -> None:
    two = [A, B]
    assert Mixture(two).weights == (0.5, 0.5) and Mixture(two, [None, 0.7]).weights[1] == 0.7
    assert Mixture(two, [None, 0.7]).weights[0] == pytest.approx(0.3)
    assert Mixture([*two, A], [0.5, None, None]).weights == (0.5, 0.25, 0.25)
    for wrong in ([0.0, 1.0], [1.0, None], [0.5, 0.4], [0.7, 0.7], [-0.1, None], [0.5]):
        with pytest.raises(ConfigError, match="`weights`"):
            Mixture(two, wrong)
    with pytest.raises(VocabError, match="network 2 was trained on bytes"):
        Mixture([A, network("\nab", unit="byte")])
    with pytest.raises(ConfigError, match="network 2: its `document_separator` differs"):
        Mixture([A, replace(A, corpus_config=CorpusConfig(document_separator="b"))])
    with pytest.raises(ConfigError, match="at least one"):
        Mixture([])
    assert repr(Mixture(two)) == "Mixture(2 networks, 5 symbols)"


def test_the_log_of_a_mean_has_a_floor() -> None:
    logits = [np.zeros(3, np.float32), np.zeros(4, np.float32)]
    outlooks = [Outlook(each, None) for each in logits]
    found = mean_of(outlooks, Mixture([A, B], [0.5, 0.5])).own
    np.testing.assert_allclose(np.exp(found[1]), 1 / 6, rtol=1e-5)
    assert np.isfinite(found).all()


def test_a_network_with_more_than_256_symbols_beside_one_with_fewer() -> None:
    """The ids of the text may be narrower than those that the larger network reads."""
    few, many = "\nab“", "\nab" + "".join(map(chr, range(0x400, 0x600))) + "“"
    first, second = network(few), network(many, 2)
    assert second.vocab.index["“"] > 255 and first.vocab.dtype != second.vocab.dtype
    for mixture in (Mixture([first, second]), Mixture([second, first])):
        ids = mixture.vocab.encode("ab“ba“\n")
        n = mixture.networks.index(second)
        openings = [replace(each.opening, ids=each.opening.ids * 0) for each in mixture]
        openings[n] = replace(openings[n], ids=openings[n].ids + second.vocab.index["“"])
        narrow = ids.astype(np.uint8) if ids.max() < 256 else ids
        assert second.vocab.decode(mixture.read_by(n, narrow)) == "ab“ba“\n"
        expected, found = (
            evaluate(mixture, each, openings=openings).losses for each in (ids, narrow)
        )
        np.testing.assert_array_equal(found, expected)


def test_what_stands_for_a_lacking_character_is_no_separator() -> None:
    """Each network reads a newline for those of the other; documents end with the text's own."""
    documents = CorpusConfig(document_separator="\n")
    networks = [
        replace(network(symbols, n), corpus_config=documents)
        for n, symbols in enumerate(("\nab", "\nxy"), 1)
    ]
    writer, ids = writer_of(Mixture(networks), 1, "abab", SamplingConfig(), None)
    assert isinstance(writer, Ensemble)
    writer.read(ids)
    assert all(own.state.h.any() for own in writer._writers)
    writer, ids = writer_of(Mixture(networks), 1, "abab\n", SamplingConfig(), None)
    assert isinstance(writer, Ensemble)
    writer.read(ids)
    assert not any(own.state.h.any() for own in writer._writers)


@pytest.mark.parametrize("separator", ["\n", "a\n"])
def test_a_mixture_writes_by_the_probabilities_that_it_states(separator: str) -> None:
    documents = CorpusConfig(document_separator=separator)
    mixture = Mixture(
        [
            replace(network(symbols, n), corpus_config=documents)
            for n, symbols in enumerate(("\nab", "\nxya"), 1)
        ]
    )
    config = SamplingConfig(length=60, temperature=0.0)
    (text,) = generate_texts(mixture, 1, "xay", config)
    (stated,) = with_logprobs(mixture, [text], "xay", config)
    assert stated.logprobs is not None
    score = charrnn.score(mixture, "xay" + text.text)
    np.testing.assert_allclose(stated.logprobs, -score.nats[3:], atol=1e-4)
    assert (score.rank[3:] == 1).all()  # the likeliest was written


def test_what_is_no_network() -> None:
    run = small_run(small_corpus())
    wrong: list[Any] = [[run], [run.model], ["a.safetensors"], A, iter([A])]
    for each in wrong:
        with pytest.raises(ConfigError, match=r"must be (a|several) Trained"):
            Mixture(each)
