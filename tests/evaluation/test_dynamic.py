"""Dynamic evaluation, against a float64 reference; and what it must never do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config.settings import CorpusConfig, DynamicConfig
from charrnn.errors import ConfigError, CorpusError, DivergenceError, VocabError
from charrnn.evaluation import dynamic, learning, predictors
from charrnn.evaluation.counts import Counts
from charrnn.evaluation.dynamic import adapt, evaluate_dynamic, with_precision
from charrnn.evaluation.evaluate import evaluate
from charrnn.evaluation.learning import LEAST_PART, relative
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.network.parameters import Parameters
from charrnn.runtime.threads import Workers
from charrnn.text.vocab import Vocab
from tests.reference import cells as reference
from tests.reference.optimizers import global_norm
from tests.reference.small import plain_model, small_corpus, small_run, trained
from tests.reference.trust import by_trust

V, H, L = 7, 6, 2
IDS = np.random.default_rng(3).integers(V, size=83).astype(np.uint8)


@cache
def made() -> tuple[Model, reference.Parameters, reference.Parameters]:
    """A model, its parameters, and squares of gradients to go by."""
    rng = np.random.default_rng(1)
    model = Model(plain_model(vocab_size=V, hidden=H, layers=L, dropout=0.5, recurrent_dropout=0.2))
    parameters = reference.random_parameters(rng, model.config)
    model.parameters.from_disk(parameters)
    squares = {
        name: rng.uniform(0.1, 4, array.shape).astype(np.float32)
        for name, array in parameters.items()
    }
    return model, parameters, squares


@pytest.fixture
def one_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One copy learns, at the rate that is given."""
    for module in (dynamic, predictors):
        monkeypatch.setattr(module, "SPEEDS", (1.0,))


def exact(
    rate: float, decay: float, segment: int, squares: reference.Parameters | None
) -> np.ndarray:
    """The losses as Krause et al. describe them, one segment after another, in float64."""
    model, trained_, _ = made()
    names = list(trained_)
    rms = {
        name: np.sqrt(squares[name]) if squares else np.ones(trained_[name].shape) for name in names
    }
    mean = np.concatenate([rms[name].ravel() for name in names]).mean()
    rms = {name: rms[name] / mean for name in names}
    now = {name: trained_[name].astype(np.float64) for name in names}
    states, losses, norms = reference.zero_states(model.config, 1), [], []
    whole = global_norm(rms)
    for a in range(0, len(IDS) - 1, segment):
        x, y = IDS[a:-1][:segment, None].astype(int), IDS[a + 1 :][:segment, None].astype(int)
        trace = reference.forward(model.config, now, x, y, states)
        trace.mean.backward()
        gradient, states = {name: p.grad for name, p in trace.parameters.items()}, trace.states
        losses.append(trace.losses[:, 0])
        norms.append(global_norm(gradient))
        size = np.sqrt(np.mean(np.square(norms))) / whole
        shorter = min(1, 2 * size * whole / norms[-1])
        for name in names:
            g, pull = gradient[name] * shorter / size, np.minimum(decay * rms[name], 1)
            now[name] = now[name] - rate * g / (rms[name] + 1) + pull * (trained_[name] - now[name])
    return np.concatenate(losses)


@pytest.mark.usefixtures("one_speed")
@pytest.mark.parametrize("knows_squares", [False, True])
@pytest.mark.parametrize(
    ("rate", "decay", "segment"), [(0.01, 0.01, 5), (0.03, 0.9, 8), (0.02, 0.0, 100)]
)
def test_it_is_what_the_paper_says(
    rate: float, decay: float, segment: int, knows_squares: bool
) -> None:
    model, _, squares = made()
    slot = model.parameters.like()
    slot.from_disk(squares)
    config = DynamicConfig(rate, decay, segment)
    given = [slot] if knows_squares else ()
    found = evaluate_dynamic(model, IDS, config, counting=False, squares=given).losses
    np.testing.assert_allclose(
        found, exact(rate, decay, segment, squares if knows_squares else None), atol=2e-4
    )
    if segment < 100:
        assert np.abs(found - evaluate(model, IDS).losses).max() > 0.01, (
            "nothing was learned: nothing was tested"
        )


def test_the_copy_that_predicted_better_has_more_to_say() -> None:
    """A slow and a fast copy, weighted by their past losses."""
    model, _, _ = made()
    slow, fast = exact(0.02, 0.005, 8, None), exact(0.08, 0.02, 8, None)
    found = evaluate_dynamic(model, IDS, DynamicConfig(0.04, 0.01, 8), counting=False).losses
    np.testing.assert_allclose(found, by_trust(np.stack([slow, fast]), IDS[:-1]), atol=3e-4)
    assert np.abs(slow - fast).max() > 0.05, "or it would not matter who has more to say"


def test_counts_have_their_shares() -> None:
    """Ten predictors by the equation, of networks that do not learn and of counts."""
    model, _, _ = made()
    other, before = Model.initialized(model.config, 5), np.tile(IDS[:30], 3)
    still, ids = DynamicConfig(dynamic_rate=0.0, dynamic_segment=100), IDS.astype(np.int32)[:, None]
    x, y = np.ascontiguousarray(ids[:-1]), np.ascontiguousarray(ids[1:])
    logs = []
    for each in (model, other):
        network = Network(each, len(x), 1, Workers(1))
        network.evaluate(x, y, State(each, 1))
        logs.append(np.log(network.probabilities(y, 0, len(x), 0, 1)[:, 0].astype(np.float64)))
    counts = Counts(V)
    counts.learn(before)
    counted = np.log(counts.foresee(x, y, None)[:, 0].astype(np.float64))
    losses, shares = [], [0.0, 0.1, 0.2, 0.3, 0.5]
    for share in shares:
        z = (1 - share) * np.mean(logs, axis=0) + share * counted
        losses.append(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), y[:, 0]])
    expected = by_trust(np.stack(losses * 2), x[:, 0], 10 * np.array(shares * 2))
    found = evaluate_dynamic([model, other], IDS, still, before=(before, None)).losses
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(losses[0] - losses[-1]).max() > 0.5, "the counts say something else"


@pytest.mark.parametrize("streams", [1, 2])
def test_probabilities_are_one_in_all(streams: int) -> None:
    """Those of every symbol that may come last; also of networks that lack some of them."""
    kept = LEAST_PART * streams if streams > 1 else 400
    text = "".join(np.random.default_rng(2).choice([*"abcde"], kept))
    networks = [
        Trained(
            Model.initialized(plain_model(vocab_size=len(symbols), hidden=8), seed),
            Vocab(tuple(symbols)),
            CorpusConfig(),
        )
        for seed, symbols in enumerate(("abcde", "edcba", "abcdf"))
    ]
    mixture = Mixture(networks, [0.5, 0.3, 0.2])
    assert mixture.vocab.symbols == tuple("abcdef")
    config = DynamicConfig(0.01, 0.001, 16, streams)
    ids = mixture.vocab.encode(text)
    total = 0.0
    for last in range(6):
        ids[-1] = last
        total += np.exp(-evaluate_dynamic(mixture, ids, config, before=(ids[:50], None)).losses[-1])
    assert total == pytest.approx(1, abs=1e-5)


def test_the_model_stays_as_it_is_and_nothing_is_dropped() -> None:
    model, _, _ = made()
    before = model.parameters.flat.copy()
    still = DynamicConfig(dynamic_rate=0.0)
    found = evaluate_dynamic(model, IDS, still, counting=False).losses
    np.testing.assert_allclose(found, evaluate(model, IDS).losses, atol=1e-5)
    evaluate_dynamic(model, IDS, DynamicConfig(dynamic_rate=0.1))
    np.testing.assert_array_equal(model.parameters.flat, before)


@pytest.mark.parametrize("counting", [False, True])
@pytest.mark.parametrize("streams", [1, 3])
def test_what_comes_later_changes_nothing(streams: int, counting: bool) -> None:
    """Each character is scored before anything is learned from it, or from what stands behind it in
    its part or another. Counts read the parts' segments one after another.
    """
    model, _, _ = made()
    part, config = LEAST_PART + 5, DynamicConfig(0.01, 0.001, 16, streams)
    ids = np.random.default_rng(5).integers(V, size=part * streams + 3).astype(np.uint8)
    before = evaluate_dynamic(model, ids, config, counting=counting).losses
    assert np.abs(before[: part - 1] - evaluate(model, ids).losses[: part - 1]).max() > 0.01
    place = part // 2
    for n in range(streams):
        other = ids.copy()
        other[n * part + place + 1] = (other[n * part + place + 1] + 1) % V
        after = evaluate_dynamic(model, other, config, counting=counting).losses
        changed = n * part + place
        assert after[changed] != before[changed]
        seen = place // 16 * 16
        for m in range(
            streams
        ):  # every part up to the segment in which the change is, and the changed part up to it
            end = place if m == n else seen + 16 * (m < n or not counting)
            np.testing.assert_array_equal(
                after[m * part : m * part + end], before[m * part : m * part + end]
            )


@pytest.mark.usefixtures("one_speed")
def test_a_segment_is_scored_before_it_is_learned() -> None:
    """The first segment's losses are those of the trained weights, each later one's those of the
    weights that have read all segments before it, and it alone decides nothing. Updating first
    would halve the loss of a text that cannot be predicted.
    """
    model, _, _ = made()
    trained = Trained(model, Vocab(tuple("abcdefg")), CorpusConfig())
    config = DynamicConfig(0.3, 0.0, 10)
    text, first = trained.vocab.decode(IDS), trained.opening
    found = evaluate_dynamic(model, IDS, config, counting=False, openings=[first]).losses
    network, state = Network(model, 10, 1, Workers(1)), State(model, 1)
    first.put(state, np.ones(1, np.bool_))
    ids = np.append(first.ids[:1], IDS).astype(np.int32)[:, None]
    peeking = []
    for a in range(0, 80, 10):
        x, y = np.ascontiguousarray(ids[a : a + 10]), np.ascontiguousarray(ids[a + 1 : a + 11])
        before = adapt(trained, text[:a], config) if a else trained
        after = adapt(trained, text[: a + 10], config)
        carried = state.h.copy(), state.c.copy()
        for each in (after, before):
            state.h[:], state.c[:] = carried
            network = Network(each.model, 10, 1, Workers(1))
            losses = network.evaluate(x, y, state)[:, 0].copy()
            peeking += [losses.mean()] if each is after else []
        np.testing.assert_allclose(found[a : a + 10], losses, atol=1e-5)
    assert np.mean(peeking) < 0.7 * found[:80].mean(), "so it would have been noticed"


def test_the_rest_of_a_division_is_read_too() -> None:
    model, _, _ = made()
    ids = np.random.default_rng(5).integers(V, size=2 * LEAST_PART + 2).astype(np.uint8)
    still = DynamicConfig(dynamic_rate=0.0, dynamic_streams=2)
    found = evaluate_dynamic(model, ids, still, counting=False).losses
    exact = evaluate(model, ids).losses
    assert found.shape == exact.shape == (2 * LEAST_PART + 1,)
    np.testing.assert_allclose(found[:LEAST_PART], exact[:LEAST_PART], atol=1e-4)
    np.testing.assert_allclose(found[LEAST_PART + 500 :], exact[LEAST_PART + 500 :], atol=1e-4)


def test_short_texts_are_one_part() -> None:
    model, _, _ = made()
    one, many = (
        evaluate_dynamic(model, IDS, DynamicConfig(dynamic_streams=n)).losses for n in (1, 64)
    )
    np.testing.assert_array_equal(one, many)


def test_threads_change_nothing() -> None:
    model, _, _ = made()
    one, two = Workers(1), Workers(2, processors=2)
    found = [
        evaluate_dynamic(model, IDS, DynamicConfig(dynamic_rate=0.02), workers=workers).losses
        for workers in (one, two)
    ]
    np.testing.assert_array_equal(*found)
    two.close()


def test_long_texts_are_read_in_the_fastest_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for fastest in ("bf16", None):
        monkeypatch.setattr(dynamic, "rounded_precision", lambda fastest=fastest: fastest)
        chosen = [with_precision(DynamicConfig(), n).dynamic_precision for n in (20_000, 20_001)]
        assert chosen == ["float32", fastest or "float32"]
    asked = DynamicConfig(dynamic_precision="amx")
    monkeypatch.setattr("charrnn.compiler.amx.is_there", lambda: True)
    assert with_precision(asked, 10) == asked
    model, _, _ = made()
    monkeypatch.setattr("charrnn.compiler.amx.is_there", lambda: False)
    with pytest.raises(ConfigError, match="`dynamic_precision` amx needs a processor with"):
        evaluate_dynamic(model, IDS, asked)


def test_rounded_products_change_little_and_threads_nothing() -> None:
    model, _, _ = made()
    config, two = DynamicConfig(0.02, dynamic_precision="bf16"), Workers(2, processors=2)
    rounded = evaluate_dynamic(model, IDS, config).losses
    exact = evaluate_dynamic(model, IDS, replace(config, dynamic_precision="float32")).losses
    assert 0 < np.abs(rounded - exact).max() < 0.1 and abs((rounded - exact).mean()) < 0.01
    np.testing.assert_array_equal(evaluate_dynamic(model, IDS, config, workers=two).losses, rounded)
    two.close()


@pytest.mark.usefixtures("one_speed")
def test_each_network_of_an_ensemble_learns_by_itself() -> None:
    model, _, squares = made()
    slot, config = model.parameters.like(), DynamicConfig(0.02)
    slot.from_disk(squares)
    told: list[tuple[int, int]] = []

    def losses(*each: Parameters | None) -> np.ndarray:
        models = [model] * len(each)
        return evaluate_dynamic(
            models,
            IDS,
            config,
            counting=False,
            squares=each,
            progress=lambda *at: told.append(at),
        ).losses

    one, other, both = losses(slot), losses(None), losses(slot, None)
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_array_equal(losses(slot, slot), one)
    # by the inequality of the means: a product of probabilities is at most 1 in all
    assert (both <= (one + other) / 2 + 1e-6).all() and (both < (one + other) / 2 - 1e-5).any()
    assert told[:2] == [(0, 82), (82, 82)] and told[-1] == (82, 82)
    with pytest.raises(ConfigError, match="`squares` must be one per model, 2, not 1"):
        evaluate_dynamic([model, model], IDS, config, squares=[slot])


def test_documents_begin_from_zero() -> None:
    model, _, _ = made()
    starts = np.array([17, 50], np.int64)
    still = DynamicConfig(dynamic_rate=0.0, dynamic_segment=7)
    found = evaluate_dynamic(model, IDS, still, counting=False, starts=starts).losses
    np.testing.assert_allclose(found, evaluate(model, IDS, starts=starts).losses, atol=1e-5)
    moving = DynamicConfig(0.02, 0.0, 7)
    learned = evaluate_dynamic(model, IDS, moving, counting=False, starts=starts).losses
    assert np.isfinite(learned).all() and np.abs(learned - found).max() > 0.01


@pytest.mark.parametrize("cell", ["gru", "clockwork", "depth-gated", "grid"])
def test_a_text_that_repeats_itself_is_learned(cell: str) -> None:
    model = Model.initialized(
        plain_model(cell=cell, vocab_size=V, hidden=16, layers=2, zoneout_h=0.1), 0
    )
    ids = np.tile(IDS[:20], 40)
    config = DynamicConfig(dynamic_rate=0.02, dynamic_segment=20)
    found = evaluate_dynamic(model, ids, config, counting=False)
    assert found.characters == 799
    assert found.nats_per_char < 0.85 * evaluate(model, ids).nats_per_char


def test_zoneout_goes_back_as_it_went_forward() -> None:
    """The gradient without a key is that of the expectation, by central differences along the
    gradient itself.
    """
    model = Model.initialized(
        plain_model(vocab_size=V, hidden=16, layers=2, zoneout_h=0.3, zoneout_c=0.2), 0
    )
    network = Network(model, 20, 1, Workers(1), training=True)
    x, y = (np.ascontiguousarray(IDS[a : a + 20, None], np.int32) for a in (0, 1))
    _, gradient = network.gradients(x, y, State(model, 1), None)
    direction = gradient.flat / np.linalg.norm(gradient.flat)
    slope, start, sides = float(gradient.flat @ direction), model.parameters.flat.copy(), []
    for step in (0.02, -0.02):
        model.parameters.flat[:] = start + np.float32(step) * direction
        network.refresh()
        sides.append(network.evaluate(x, y, State(model, 1)).mean(dtype=np.float64))
    assert (sides[0] - sides[1]) / 0.04 == pytest.approx(slope, rel=0.01)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "adagrad", "adadelta"])
def test_optimisers_know_the_squares(optimizer: str) -> None:
    corpus = small_corpus()
    run = small_run(corpus, optimizer=optimizer)
    slot = run.trained.squares
    assert slot is not None
    nothing_yet = relative(slot, run.model.parameters)
    assert set(np.unique(nothing_yet)) == {0, 1} and nothing_yet.sum() == sum(
        t.count for t in run.model.parameters.tensors
    )
    trained(run, corpus)
    rms = relative(slot, run.model.parameters)
    assert (
        (slot.flat >= 0).all()
        and rms[rms > 0].mean() == pytest.approx(1, abs=1e-3)
        and rms.std() > 0.1
    )
    assert np.isfinite(evaluate_dynamic(run.model, corpus.validation, squares=[slot]).losses).all()


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov"])
def test_other_optimisers_do_not(optimizer: str) -> None:
    assert small_run(small_corpus(), optimizer=optimizer).trained.squares is None


def test_progress_ends_at_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "TOGETHER", 20)
    model, _, _ = made()
    told: list[tuple[int, int]] = []
    config = DynamicConfig(dynamic_segment=20)
    evaluate_dynamic(model, IDS, config, progress=lambda done, whole: told.append((done, whole)))
    assert told == sorted(told) and told[-1] == (82, 82) and len(told) > 3


def test_what_cannot_be_evaluated() -> None:
    model, _, _ = made()
    with pytest.raises(CorpusError, match="at least 2"):
        evaluate_dynamic(model, IDS[:1])
    with pytest.raises(VocabError, match="7"):
        evaluate_dynamic(model, IDS, before=(np.array([1, 7]), None))
    with pytest.raises(ConfigError, match="starts"):
        evaluate_dynamic(model, IDS, before=(IDS, np.array([0.5])))
    with pytest.raises(ConfigError, match=r"dynamic.segment"):
        DynamicConfig(dynamic_segment=0)
    wild = Model(model.config)
    wild.parameters.flat[:] = model.parameters.flat
    wild.parameters["decoder.bias"][0] = np.inf
    with pytest.raises(DivergenceError, match="NaN or infinite"), np.errstate(all="ignore"):
        evaluate_dynamic(wild, IDS)


@pytest.mark.usefixtures("one_speed")
def test_a_network_adapts_to_a_text_and_stays_as_it_was() -> None:
    """The copy knows the text; a second reading of it goes on from there."""
    corpus = small_corpus()
    run = small_run(corpus)
    trained(run, corpus)
    network, config = run.trained, DynamicConfig(dynamic_rate=0.02)
    before, text = network.model.parameters.flat.tobytes(), "7 red apples in a blue bowl\n" * 20
    learned = adapt(network, text, config, unknown="nearest")
    assert network.model.parameters.flat.tobytes() == before
    ids = network.vocab.encode(text, "nearest")
    plain, after = (evaluate(each.model, ids).nats_per_char for each in (network, learned))
    about = {"squares": [network.squares], "openings": [network.opening]}
    moving = evaluate_dynamic(network.model, ids, config, counting=False, **about).nats_per_char
    assert after < moving < plain
    two = Workers(2, processors=2)
    again = adapt(network, text, config, unknown="nearest", workers=two)
    two.close()
    flat = learned.model.parameters.flat.tobytes()
    assert again.model.parameters.flat.tobytes() == flat != before
    mixture = adapt(Mixture([network, network], [0.9, 0.1]), text, config, unknown="nearest")
    assert mixture[1].model.parameters.flat.tobytes() == flat and mixture.weights == (0.9, 0.1)
    assert len(adapt([network, network], text, config, unknown="nearest")) == 2
    with pytest.raises(VocabError):
        adapt(network, "é", config)
    with pytest.raises(CorpusError):
        adapt(network, "", config)


def test_documents_of_a_text_that_is_learned_begin_from_zero() -> None:
    corpus = small_corpus(document_separator="\n")
    run = small_run(corpus)
    trained(run, corpus)
    config = DynamicConfig(dynamic_segment=1000)
    whole = replace(run.trained, corpus_config=replace(corpus.config, document_separator=None))
    assert (
        adapt(whole, "12 green\n7 bottles\n", config).model.parameters.flat.tobytes()
        != adapt(run.trained, "12 green\n7 bottles\n", config).model.parameters.flat.tobytes()
    )
