"""Several networks together: what they predict, and what they write."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from charrnn.config.settings import ModelConfig
from charrnn.errors import ConfigError, VocabError
from charrnn.evaluation.evaluate import evaluate, evaluate_windows, mixed, per_character
from charrnn.generation.ensemble import Ensemble, check_alike, log_of_mean
from charrnn.generation.generate import generate, generate_many
from charrnn.generation.writer import Writer
from charrnn.network.model import Model
from charrnn.runtime.threads import Workers
from charrnn.text.vocab import Vocab

V = 9
VOCAB = Vocab(tuple("\n abcdefg"))
IDS = np.random.default_rng(3).integers(V, size=3000).astype(np.uint8)
SETTINGS = (
    {"cell": "gru", "hidden": 17, "layers": 1},
    {"cell": "lstm", "hidden": 24, "layers": 2, "embedding": 5},
)


@cache
def models() -> tuple[Model, ...]:
    """Two networks of different cells and sizes, with opinions."""
    made = tuple(
        Model.initialised(ModelConfig(vocab_size=V, **settings), 1) for settings in SETTINGS
    )
    for model in made:
        model.parameters.flat *= 3
    return made


def test_probabilities_are_averaged() -> None:
    single = [per_character(model, IDS).astype(np.float64) for model in models()]
    found = per_character(models(), IDS)
    np.testing.assert_allclose(np.exp(-found), np.mean(np.exp(np.negative(single)), 0), rtol=1e-5)
    assert evaluate(models(), IDS).nats_per_char == pytest.approx(
        found.mean(dtype=np.float64), abs=1e-7
    )
    cold = [per_character(model, IDS[:65]) for model in models()]
    whole = evaluate_windows(models(), IDS[:65], 64).nats_per_char
    assert whole == pytest.approx(mixed(cold).mean(), abs=1e-5)


def test_an_ensemble_is_no_worse_than_the_mean_of_its_members() -> None:
    """By Jensen's inequality, character by character."""
    single = [per_character(model, IDS) for model in models()]
    assert (per_character(models(), IDS) <= np.mean(single, 0) + 1e-6).all()


def test_one_model_is_itself_to_the_bit() -> None:
    (one, _) = models()
    np.testing.assert_array_equal(per_character([one], IDS), per_character(one, IDS))
    assert evaluate([one], IDS) == evaluate(one, IDS) and evaluate_windows(
        [one], IDS, 50
    ) == evaluate_windows(one, IDS, 50)
    assert list(generate([one], VOCAB, "abc", 60, seed=4)) == list(
        generate(one, VOCAB, "abc", 60, seed=4)
    )
    assert generate_many([one], VOCAB, 3, "abc", 60, seed=4) == generate_many(
        one, VOCAB, 3, "abc", 60, seed=4
    )


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
def test_the_same_model_twice_writes_what_it_writes_alone(temperature: float) -> None:
    """Its distribution is the same, but for rounding, and so are the coins."""
    (_, one) = models()
    alone = "".join(generate(one, VOCAB, "abc", 80, seed=4, temperature=temperature, top_k=5))
    assert (
        "".join(generate([one, one], VOCAB, "abc", 80, seed=4, temperature=temperature, top_k=5))
        == alone
    )


def test_what_is_written_has_the_mean_probability() -> None:
    """A likely character after a prime, drawn by 2,000 streams, against the mean that evaluation
    finds; 5 sigma.
    """
    prime, streams = IDS[:30], 2000
    writer = Ensemble(models(), streams, seed=1)
    writer.read(prime)
    counts = np.bincount(writer.write(1)[0], minlength=V)
    p = np.exp([-float(per_character(models(), np.append(prime, v))[-1]) for v in range(V)])
    assert p.sum() == pytest.approx(1, abs=1e-4)
    each = [
        np.exp([-float(per_character(model, np.append(prime, v))[-1]) for v in range(V)])
        for model in models()
    ]
    assert np.abs(each[0] - each[1]).max() > 0.2, "the members agree: nothing was tested"
    assert (np.abs(counts - streams * p) < 5 * np.sqrt(streams * p * (1 - p)) + 1).all()


def test_streams_and_threads_change_nothing() -> None:
    two = Workers(2)
    many = generate_many(models(), VOCAB, 3, "abc", 50, seed=4)
    assert many == generate_many(models(), VOCAB, 3, "abc", 50, seed=4, workers=two)
    assert "".join(generate(models(), VOCAB, "abc", 50, seed=4, workers=two)) == many[0]
    two.close()


def test_pieces_are_one_text() -> None:
    whole, parts = Ensemble(models(), 2, seed=3), Ensemble(models(), 2, seed=3)
    for writer in (whole, parts):
        writer.read(IDS[:5])
    np.testing.assert_array_equal(
        whole.write(30), np.concatenate([parts.write(n) for n in (1, 12, 17)])
    )


def test_documents_begin_from_zero() -> None:
    """What follows a separator does not know what stood before it; without one it does."""
    options = {"vocab": VOCAB, "seed": 2, "temperature": 0.5}
    for separator, alike in (("\n", True), (None, False)):
        rest = []
        for first in ("aaaa\n", "gfgfgf\n"):
            writer = Ensemble(models(), document_separator=separator, **options)
            writer.read(
                VOCAB.encode(first + "b")
            )  # a document's own first character is still predicted by what stood before it
            rest.append(writer.write(40)[:, 0].tolist())
        assert (rest[0] == rest[1]) == alike
    alone = Writer(models()[0], document_separator="[ab]", **options)
    same = Ensemble([models()[0]] * 2, document_separator="[ab]", **options)
    for writer in (alone, same):
        writer.read(VOCAB.encode("abc"))
    np.testing.assert_array_equal(alone.write(60), same.write(60))


def test_banned_symbols_are_never_written() -> None:
    writer = Ensemble(models(), 50, banned=(0, 1, 2, 3), seed=1)
    writer.read(IDS[:1])
    assert writer.write(40).min() >= 4


def test_the_mean_of_extreme_distributions() -> None:
    logits = [
        np.array([0.0, -2000.0, -2000.0], np.float32),
        np.array([90.0, 91.0, -2000.0], np.float32),
    ]
    found = log_of_mean(logits)
    e = 1 / (1 + np.e)
    np.testing.assert_allclose(found[:2], np.log([(1 + e) / 2, (1 - e) / 2]), rtol=1e-6)
    assert found[2] == -np.inf


def test_what_is_no_ensemble() -> None:
    other = Model.initialised(ModelConfig(vocab_size=V + 1, hidden=8, layers=1), 1)
    with pytest.raises(ConfigError, match="one vocabulary, not some of 9 and of 10"):
        Ensemble([models()[0], other])
    with pytest.raises(ConfigError, match="at least one"):
        evaluate([], IDS)
    with pytest.raises(ConfigError, match="at least one"):
        list(generate([], VOCAB))


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (Vocab(tuple("\n abcdef")), "lacks 'g'"),
        (Vocab(tuple("\n abcdefgh")), "has also 'h'"),
        (Vocab(tuple("\n abcdegf")), "in another order"),
        (Vocab(tuple("\n abcdefg"), "byte"), "bytes"),
    ],
)
def test_vocabularies_must_be_the_same(other: Vocab, found: str) -> None:
    check_alike(VOCAB, Vocab(tuple("\n abcdefg")), "b.safetensors")
    with pytest.raises(VocabError, match=found) as caught:
        check_alike(VOCAB, other, "b.safetensors")
    assert str(caught.value).startswith("b.safetensors: ") and "\n" not in str(caught.value)
