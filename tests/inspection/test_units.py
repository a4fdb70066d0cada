"""Units that are known to detect something, and units that are known not to."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn import CorpusConfig, Model, Trained, Vocab
from charrnn.errors import ConfigError, CorpusError
from charrnn.inspection.detection import centered_ranks, detection
from charrnn.inspection.features import Feature
from charrnn.inspection.saturation import saturation
from charrnn.inspection.trace import trace
from charrnn.inspection.units import UnitSearch, find_units, untrained
from tests.reference.small import plain_model


def switching(rng: Any, count: int, stay: float) -> Any:
    """A feature that changes with probability 1 - stay, bool (count,)."""
    return np.logical_xor.accumulate(rng.random(count) > stay)


def drifting(rng: Any, units: int, count: int, memory: float) -> Any:
    """Numbers that each keep this share of the one before, float64 (units, count)."""
    noise = rng.normal(size=(count, units))
    for before, now in pairwise(noise):
        now += memory * before
    return noise.T


def test_the_area_is_that_of_all_pairs_and_ties_count_half() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, size=(5, 60)).astype(np.float32)
    flags = rng.random((2, 60)) < 0.4
    found, _ = detection(values, flags)
    for f, u in np.ndindex(2, 5):
        one, other = values[u][flags[f]][:, None], values[u][~flags[f]]
        assert found[f, u] == ((one > other) + (one == other) / 2).mean()
    np.testing.assert_array_equal(
        centered_ranks(np.array([[3.0, 1, 3, 3]])), [[0.5, -1.5, 0.5, 0.5]]
    )


@pytest.mark.parametrize("count", [700, 2600])
def test_p_is_the_share_of_moves_that_do_as_well(count: int) -> None:
    """One row, one feature: against areas of features that were moved in fact."""
    rng = np.random.default_rng(1)
    flags = switching(rng, count, 0.9)
    values = drifting(rng, 1, count, 0.9) + 0.3 * flags
    stride = -(-count // 1000)
    size = count // stride * stride
    found, p = detection(values, flags[None])
    own, moved = values[:, -size:], flags[-size:]
    ranks = centered_ranks(own)[0]
    scores = [abs(ranks[np.roll(moved, k)].sum()) for k in range(0, size, stride)]
    assert p[0, 0] == np.mean(np.array(scores) >= scores[0] * (1 - 1e-6))
    assert 0 < p[0, 0] < 1 and found[0, 0] != 0.5


def test_chance_is_found_as_often_as_is_promised() -> None:
    """Numbers without a tie to the text, many at once, slow ones and fast ones. Over 40 texts, 2
    are expected to have a discovery; a test that shuffles finds one in nearly all.
    """
    discoveries = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        flags = np.array([switching(rng, 1000, stay) for stay in (0.5, 0.9, 0.97)])
        values = np.concatenate([drifting(rng, 15, 1000, memory) for memory in (0, 0.9, 0.97)])
        _, p = detection(values.astype(np.float32), flags)
        discoveries += bool(p.min() <= 0.05)
    assert discoveries <= 6  # more have a chance of 0.3 %


def made_up(text: str, c: Any, h: Any, gates: Any = None) -> Any:
    """A trace of states (T, L, H)."""
    codes = np.array([ord(ch) for ch in sorted(set(text))], "<u4")
    ids = np.searchsorted(codes, np.array([ord(ch) for ch in text])).astype(np.uint8)
    vocab = SimpleNamespace(codes=codes, unit="char")
    return SimpleNamespace(
        ids=ids, c=c, h=h, gates=gates or {}, trained=SimpleNamespace(vocab=vocab)
    )


def dialogue(sentences: int) -> str:
    """Sentences of which some are in quotes; none has the length of the one before."""
    rng = np.random.default_rng(3)
    words = ["no", "never", "again", "but", "why", "nobody", "knew", "it", "said", "so"]
    said = [" ".join(rng.choice(words, rng.integers(2, 12))) for _ in range(sentences)]
    return "".join(f'"{one}," ' if rng.random() < 0.4 else f"{one}.\n" for one in said)


TEXT = dialogue(100)


@pytest.mark.parametrize("is_on", [True, False])
def test_a_unit_that_tracks_quotes_is_found_first_and_others_are_not_praised(is_on: bool) -> None:
    rng = np.random.default_rng(5)
    count = len(TEXT)
    quotes = np.zeros(count, np.bool_)
    is_inside = False
    for place, ch in enumerate(TEXT):
        is_inside ^= ch == '"'
        quotes[place] = is_inside
    states = drifting(rng, 12, count, 0.9).T.reshape(count, 2, 6).astype(np.float32)
    c, h = states.copy(), rng.permutation(states, axis=2)
    c[:, 1, 4] = (3.0 if is_on else -3.0) * quotes + 0.1 * rng.normal(size=count)
    found = find_units(made_up(TEXT, c, h))
    (first, second) = found.best("inside quotes", 2)
    assert (first.kind, first.layer, first.unit, first.is_on) == ("c", 1, 4, is_on)
    assert first.auc > 0.999 and first.p < 0.01 and first.is_strong
    assert second.auc < 0.7 and second.p > 0.05 and not second.is_strong
    assert found.detectors == [first]
    assert found.summary.startswith("1 of 12 units detects one of ")
    assert found.summary.endswith("0 have a weaker tie to one and 11 have none beyond chance")
    one = replace(found, auc=found.auc[..., :1, :1], p=found.p[..., :1, :1])
    assert one.summary.startswith("0 of 1 unit detects one of ")
    assert " and 1 has none" in one.summary
    assert "inside braces" in found.untested and found.auc.shape[1:] == (2, 2, 6)


def test_only_what_means_something_is_a_detector() -> None:
    """Of unit 1, h tells the feature best, but by chance; of unit 2, c tells it less well."""
    feature = Feature("f", np.zeros(9, np.bool_))
    auc, p = np.array([[[[0.6, 0.95]], [[0.99, 0.97]]]]), np.array([[[[0.5, 0.01]], [[0.2, 0.2]]]])
    found = UnitSearch((feature,), (), ("c", "h"), auc, p)
    (detector,) = found.detectors
    assert (detector.name, detector.kind, detector.is_strong) == ("1.2", "c", True)
    assert [one.name for one in found.best("f", 2)] == ["1.2", "1.1"]


def test_a_network_built_by_hand_tracks_quotes() -> None:
    """An LSTM of one unit that remembers an opening quotation mark until the closing one, among
    random ones; in a real trace.
    """
    text = "".join(
        chr(0x201C + n % 2) if ch == '"' else ch
        for n, ch in zip(np.cumsum([c == '"' for c in TEXT]) - 1, TEXT, strict=True)
    )
    vocab = Vocab(tuple(sorted(set(text))))
    config = plain_model(vocab_size=len(vocab), layers=1, hidden=8)
    model = Model.initialized(config, seed=4)
    weights, width, unit = model.parameters["rnn.weight_ih_l0"], model.width, 5
    model.parameters["rnn.weight_hh_l0"][:, unit::width] = 0
    i, f, g, _ = (weights[:, k * width + unit] for k in range(4))
    opening, closing = vocab.index["\u201c"], vocab.index["\u201d"]
    i[:], f[:] = -9, 9
    i[opening], g[opening], f[closing] = 9, 3, -9
    found = find_units(trace(Trained(model, vocab, CorpusConfig()), text))
    first, second = found.best("inside quotes", 2)
    assert (first.layer, first.unit, first.kind, first.is_on) == (0, unit, "c", True)
    assert first.is_strong and first.auc > 0.99 and second.auc < 0.9
    assert [each for each in found.detectors if each.feature == "inside quotes"] == [first]


def test_an_untrained_network_is_not_praised() -> None:
    """Random weights tell what the last characters are, which is not learned."""
    vocab = Vocab(tuple(sorted(set(TEXT))))
    config = plain_model(vocab_size=len(vocab), layers=1, hidden=40)
    trained = Trained(Model.initialized(config, seed=0), vocab, CorpusConfig())
    traces = [trace(untrained(trained, seed), TEXT) for seed in (1, 2)]
    alone, compared = (
        find_units(traces[0], pattern='"', baseline=other) for other in (None, traces[1])
    )
    assert alone.detectors and not compared.detectors
    assert (alone.p == compared.p).all()


def test_a_cell_without_c_and_an_untrained_network() -> None:
    rng = np.random.default_rng(6)
    h = rng.normal(size=(len(TEXT), 1, 3)).astype(np.float32)
    flags = switching(rng, len(TEXT), 0.9)
    other = h.copy()
    other[:, 0, 1] -= 5 * flags
    found = find_units(
        made_up(TEXT, None, h),
        features=[Feature("any", flags)],
        baseline=made_up(TEXT, None, other),
    )
    assert found.kinds == ("h",) and found.untrained is not None
    assert found.untrained[0] > 0.99 and not found.detectors
    with pytest.raises(ConfigError, match="`feature` must be one of any"):
        found.best("none")


def test_errors() -> None:
    h = np.zeros((600, 1, 2), np.float32)
    with pytest.raises(CorpusError, match="at least 500 characters, not 10"):
        find_units(made_up(TEXT[:10], None, h[:10]))
    with pytest.raises(CorpusError, match="begins 20 times"):
        find_units(made_up("." * 600, None, h))
    dead = find_units(made_up(TEXT[:600], None, h), features=[Feature("x", np.arange(600) % 2 > 0)])
    assert (dead.auc == 0.5).all() and (dead.p == 1).all()


def test_saturation() -> None:
    gates = {"i": np.array([[[0.05, 0.5]], [[0.95, 0.95]]]), "g": np.zeros((2, 1, 2))}
    found = saturation(made_up("ab", None, np.zeros((2, 1, 2)), gates))
    assert found.keys() == {"i"}
    np.testing.assert_array_equal(found["i"].left, [[0.5, 0]])
    np.testing.assert_array_equal(found["i"].right, [[0.5, 0.5]])
