"""Several networks together: what they predict, and what they write."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CorpusConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import evaluate, evaluate_windows, mixed
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.generate import generate, generate_many
from charrnn.generation.outlook import Outlook, mean_of
from charrnn.generation.writer import Writer
from charrnn.kernels.sampling import Memory, draw
from charrnn.network.model import Model, State
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab
from tests.reference.small import plain_model

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
        Model.initialized(plain_model(vocab_size=V, **settings), 1) for settings in SETTINGS
    )
    for model in made:
        model.parameters.flat *= 3
    return made


def trained(*models: Model) -> list[Trained]:
    return [Trained(model=model, vocab=VOCAB, corpus_config=CorpusConfig()) for model in models]


def ensemble(
    models: tuple[Model, ...], streams: int = 1, separator: str | None = None, **options: Any
) -> Ensemble:
    """One whose writers differ in their models only; temperature 1 unless another is given."""
    return Ensemble([writer(model, streams, separator, **options) for model in models])


def writer(
    model: Model,
    streams: int = 1,
    separator: str | None = None,
    banned: tuple[int, ...] = (),
    **settings: Any,
) -> Writer:
    documents = DocumentTrackers(VOCAB, separator, streams) if separator else None
    config = SamplingConfig(**{"temperature": 1.0, **settings})
    return Writer(model, config, streams=streams, banned=banned, documents=documents)


def test_probabilities_are_averaged() -> None:
    single = [evaluate(model, IDS).losses.astype(np.float64) for model in models()]
    found = evaluate(models(), IDS).losses
    np.testing.assert_allclose(np.exp(-found), np.mean(np.exp(np.negative(single)), 0), rtol=1e-5)
    assert evaluate(models(), IDS).nats_per_char == pytest.approx(
        found.mean(dtype=np.float64), abs=1e-7
    )
    cold = [evaluate(model, IDS[:65]).losses for model in models()]
    whole = evaluate_windows(models(), IDS[:65], 64).nats_per_char
    assert whole == pytest.approx(mixed(cold).nats_per_char, abs=1e-5)


def test_an_ensemble_is_no_worse_than_the_mean_of_its_members() -> None:
    """By Jensen's inequality, character by character."""
    single = [evaluate(model, IDS).losses for model in models()]
    assert (evaluate(models(), IDS).losses <= np.mean(single, 0) + 1e-6).all()


def test_one_model_is_itself_to_the_bit() -> None:
    (one, _) = models()
    np.testing.assert_array_equal(evaluate([one], IDS).losses, evaluate(one, IDS).losses)
    assert evaluate([one], IDS) == evaluate(one, IDS) and evaluate_windows(
        [one], IDS, 50
    ) == evaluate_windows(one, IDS, 50)
    (alone,), config = trained(one), SamplingConfig(length=60, seed=4)
    assert list(generate([alone], "abc", config)) == list(generate(alone, "abc", config))
    assert generate_many([alone], 3, "abc", config) == generate_many(alone, 3, "abc", config)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
def test_the_same_model_twice_writes_what_it_writes_alone(temperature: float) -> None:
    """Its distribution is the same, but for rounding, and so are the random numbers."""
    (_, one) = models()
    config = SamplingConfig(length=80, seed=4, temperature=temperature, top_k=5)
    alone = "".join(generate(trained(one), "abc", config))
    assert "".join(generate(trained(one, one), "abc", config)) == alone


def test_what_is_written_has_the_mean_probability() -> None:
    """A likely character after a prime, drawn by 2,000 streams, against the mean that evaluation
    finds; 5 sigma.
    """
    prime, streams = IDS[:30], 2000
    several = ensemble(models(), streams, seed=1)
    several.read(prime)
    counts = np.bincount(several.write(1)[0], minlength=V)
    p = np.exp([-float(evaluate(models(), np.append(prime, v)).losses[-1]) for v in range(V)])
    assert p.sum() == pytest.approx(1, abs=1e-4)
    each = [
        np.exp([-float(evaluate(model, np.append(prime, v)).losses[-1]) for v in range(V)])
        for model in models()
    ]
    assert np.abs(each[0] - each[1]).max() > 0.2, "the members agree: nothing was tested"
    assert (np.abs(counts - streams * p) < 5 * np.sqrt(streams * p * (1 - p)) + 1).all()


def test_streams_and_threads_change_nothing() -> None:
    two, config, both = (
        Workers(2, processors=2),
        SamplingConfig(length=50, seed=4),
        trained(*models()),
    )
    many = generate_many(both, 3, "abc", config)
    assert many == generate_many(both, 3, "abc", config, workers=two)
    assert "".join(generate(both, "abc", config, workers=two)) == many[0]
    two.close()


def test_pieces_are_one_text() -> None:
    whole, parts = ensemble(models(), 2, seed=3), ensemble(models(), 2, seed=3)
    for each in (whole, parts):
        each.read(IDS[:5])
    np.testing.assert_array_equal(
        whole.write(30), np.concatenate([parts.write(n) for n in (1, 12, 17)])
    )


def test_documents_begin_from_zero() -> None:
    """What follows a separator does not know what stood before it; without one it does."""
    options = {"seed": 2, "temperature": 0.5}
    for separator, alike in (("\n", True), (None, False)):
        rest = []
        for first in ("aaaa\n", "gfgfgf\n"):
            several = ensemble(models(), separator=separator, **options)
            several.read(
                VOCAB.encode(first + "b")
            )  # a document's own first character is still predicted by what stood before it
            rest.append(several.write(40)[:, 0].tolist())
        assert (rest[0] == rest[1]) == alike
    alone = writer(models()[0], separator="[ab]", **options)
    same = ensemble((models()[0],) * 2, separator="[ab]", **options)
    for each in (alone, same):
        each.read(VOCAB.encode("abc"))
    np.testing.assert_array_equal(alone.write(60), same.write(60))


def starts_of(model: Model, last: int) -> StartStates:
    state = State(model, 3)
    state.h[..., : model.config.hidden] = np.arange(3)[:, None] / 4
    return StartStates.rounded(state, np.full(3, last, np.int32))


def test_each_network_starts_from_its_own_states() -> None:
    """Also if they read different characters first, and with rounded weights."""
    both = [starts_of(each, n) for n, each in enumerate(models()[:2])]
    for options in ({}, {"precision": "bf16"}):
        writers = [writer(each, 2, seed=5, **options) for each in models()[:2]]
        chosen = both[0].chosen(5, 2)
        for own, starts in zip(writers, both, strict=True):
            own.begin(starts)
            np.testing.assert_array_equal(own.state.h, starts.state.h[:, chosen])
            np.testing.assert_array_equal(own.last, starts.ids[chosen])
        alone = [writer(each, 2, seed=5, **options) for each in models()[:2]]
        logits = []
        for own, starts in zip(alone, both, strict=True):
            own.begin(starts)
            logits.append(own.step(starts.ids[chosen]).copy())
        written = Ensemble(writers).write(1)[0]
        first = Ensemble(writers)._writers[0]
        uniforms = writer(models()[0], 2, seed=5).uniforms(1)[0]
        for n in range(2):
            mean = mean_of([Outlook(each[n], None) for each in logits]).own
            scratch, memory = np.zeros(V, np.float32), Memory.new(2)
            assert written[n] == draw(mean, first.controls, 0, uniforms[n], scratch, memory, n)


def test_a_prime_follows_the_start() -> None:
    (one, *_), ids = models(), VOCAB.encode("abcab")
    started, whole = writer(one), writer(one)
    started.begin(StartStates.zero(one, 3))
    started.read(ids)
    whole.read(np.append(3, ids))
    np.testing.assert_array_equal(started.write(20), whole.write(20))


def test_banned_symbols_are_never_written() -> None:
    several = ensemble(models(), 50, banned=(0, 1, 2, 3), seed=1)
    several.read(IDS[:1])
    assert several.write(40).min() >= 4


def test_the_mean_of_extreme_distributions() -> None:
    logits = [
        np.array([0.0, -2000.0, -2000.0], np.float32),
        np.array([90.0, 91.0, -2000.0], np.float32),
    ]
    found = mean_of([Outlook(each, None) for each in logits]).own
    e = 1 / (1 + np.e)
    np.testing.assert_allclose(found[:2], np.log([(1 + e) / 2, (1 - e) / 2]), rtol=1e-6)
    assert found[2] < -600


def test_what_is_no_ensemble() -> None:
    other = Model.initialized(plain_model(vocab_size=V + 1, hidden=8, layers=1), 1)
    with pytest.raises(ConfigError, match=r"the same vocabulary, not with \[9, 10\] symbols"):
        ensemble((models()[0], other))
    with pytest.raises(ConfigError, match="at least one"):
        Ensemble([])
    with pytest.raises(ConfigError, match="at least one"):
        evaluate([], IDS)
    with pytest.raises(ConfigError, match="at least one"):
        list(generate([]))
