"""The loss of a text, against the float64 reference that reads it in one stream."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.start_states import StartStates
from charrnn.config.settings import DynamicConfig, ModelConfig
from charrnn.errors import ConfigError, CorpusError
from charrnn.evaluation import evaluate as evaluation
from charrnn.evaluation.dynamic import evaluate_dynamic
from charrnn.evaluation.evaluate import evaluate, evaluate_windows
from charrnn.evaluation.texts import evaluate_texts
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from tests.reference import cells as reference
from tests.reference.small import plain_model

V, H, L = 7, 6, 2
LONG = 1024 * 5 + 77


@cache
def made() -> tuple[Model, reference.Parameters, np.ndarray, np.ndarray]:
    """A model with a memory, ids, and the reference's loss of each character after the first."""
    rng = np.random.default_rng(1)
    model = Model(plain_model(vocab_size=V, hidden=H, layers=L))
    parameters = reference.random_parameters(rng, model.config)
    model.parameters.from_disk(parameters)
    ids = rng.integers(V, size=LONG).astype(np.uint8)
    return model, parameters, ids, exact(model.config, parameters, ids)


def exact(config: ModelConfig, parameters: reference.Parameters, ids: np.ndarray) -> np.ndarray:
    """The reference's losses, its state carried from the first character to the last."""
    states, losses = reference.zero_states(config, 1), []
    for a in range(0, len(ids) - 1, 500):  # a trace keeps all of its steps
        x, y = ids[a:-1][:500, None], ids[a + 1 :][:500, None]
        trace = reference.forward(config, parameters, x, y, states)
        states = trace.states
        losses.append(trace.losses[:, 0])
    return np.concatenate(losses)


def test_every_character_is_observed_once() -> None:
    model, _, ids, _ = made()
    for length in (2, 2049, 2060, 3100, LONG):
        seen = np.zeros(length - 1, np.int64)

        def count(_: Any, blocks: Any, scored: Any, seen: np.ndarray = seen) -> None:
            np.add.at(seen, blocks[0].places[scored], 1)

        evaluate(model, ids[:length], observe=count)
        assert (seen == 1).all()


@pytest.mark.parametrize(
    "length", [2, 3, 64, 65, 66, 1000, 2047, 2048, 2049, 2050, 2060, 3072, 3073, 3074, 4096, LONG]
)
def test_carried_state_is_one_long_stream(length: int) -> None:
    """Also around the lengths at which a text is read in one, two and three streams."""
    model, _, ids, losses = made()
    found = evaluate(model, ids[:length]).losses
    assert found.shape == (length - 1,) and found.dtype == np.float32
    np.testing.assert_allclose(found, losses[: length - 1], atol=1e-4)
    result = evaluate(model, ids[:length])
    assert result.characters == length - 1
    assert result.nats_per_char == pytest.approx(losses[: length - 1].mean(), abs=1e-5)
    assert result.bits_per_char == pytest.approx(
        losses[: length - 1].mean() / math.log(2), abs=2e-5
    )


def test_the_start_of_the_text_matters_for_the_network_of_these_tests() -> None:
    """Otherwise the tests above would not see a state that is lost between two parts."""
    model, parameters, ids, losses = made()
    assert (
        np.abs(exact(model.config, parameters, ids[4000:4010])[:3] - losses[4000:4003]).max() > 0.01
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_any_integers(dtype: type) -> None:
    model, _, ids, losses = made()
    np.testing.assert_allclose(
        evaluate(model, ids[:50].astype(dtype)).losses, losses[:49], atol=1e-5
    )


def test_threads_change_nothing() -> None:
    model, _, ids, _ = made()
    one, two = Workers(1), Workers(2, processors=2)
    np.testing.assert_array_equal(
        evaluate(model, ids, workers=one).losses, evaluate(model, ids, workers=two).losses
    )
    assert evaluate_windows(model, ids, 100, workers=one) == evaluate_windows(
        model, ids, 100, workers=two
    )
    two.close()


@pytest.mark.parametrize(
    ("length", "window"),
    [(2, 256), (3, 1), (257, 256), (258, 256), (256, 256), (1000, 7), (5000, 130), (700, 10**6)],
)
def test_windows_begin_cold(length: int, window: int) -> None:
    model, parameters, ids, _ = made()
    losses = [
        exact(model.config, parameters, ids[a : min(a + window + 1, length)])
        for a in range(0, length - 1, window)
    ]
    wanted = np.concatenate(losses)
    assert len(wanted) == length - 1
    result = evaluate_windows(model, ids[:length], window)
    assert result.characters == length - 1
    assert result.nats_per_char == pytest.approx(wanted.mean(), abs=1e-5)


def test_the_first_character_after_a_start_state() -> None:
    """The losses are those behind the text that led to the start, and one more; so are those of an
    ensemble and of dynamic evaluation that does not learn.
    """
    model, _, ids, losses = made()
    for length in (1, 50, 5000):
        network, state = Network(model, 100, 1, Workers(1)), State(model, 1)
        before = np.ascontiguousarray(ids[:99, None], np.int32)
        network.evaluate(before, before, state)
        opening, text = StartStates(state, ids[99:100].astype(np.int32)), ids[100 : 100 + length]
        found = evaluate(model, text, openings=[opening])
        assert found.characters == length
        np.testing.assert_allclose(found.losses, losses[99 : 99 + length], atol=1e-4)
        both = evaluate([model, model], text, openings=[opening, opening])
        np.testing.assert_allclose(both.losses, found.losses, atol=1e-5)
        still = DynamicConfig(dynamic_rate=0.0, dynamic_decay=0.0)
        dynamic = evaluate_dynamic(model, text, still, counting=False, openings=[opening])
        np.testing.assert_allclose(dynamic.losses, found.losses, atol=1e-4)
    with pytest.raises(CorpusError, match="at least 1 character in"):
        evaluate(model, ids[:0], openings=[opening])


def test_what_cannot_be_evaluated() -> None:
    model, _, ids, _ = made()
    for length in (0, 1):
        for function in (evaluate, evaluate_windows):
            with pytest.raises(CorpusError, match=f"this one has {length}"):
                function(model, ids[:length])
    for window in (0, -1):
        with pytest.raises(ConfigError, match="`window`"):
            evaluate_windows(model, ids, window)


WRONG_STARTS = [
    ([5, 3], "in order"),
    ([-2], "-1 to 60"),
    ([61], "-1 to 60"),
    (np.array([2**63], np.uint64), "-1 to 60"),
    ([1.0], "whole numbers"),
    ([True], "whole numbers"),
    ([[1, 2]], "whole numbers"),
    (["a"], "whole numbers"),
]


@pytest.mark.parametrize(("starts", "said"), WRONG_STARTS)
def test_resets_are_checked(starts: Any, said: str) -> None:
    model, _, ids, _ = made()
    first = StartStates(State(model, 1), np.array([0], np.int32))
    for function in (evaluate, evaluate_windows, evaluate_dynamic):
        with pytest.raises(ConfigError, match=f"`starts` must be .*{said}"):
            function(model, ids[:60], starts=starts)
    with pytest.raises(ConfigError, match=f"`starts` must be .*{said}"):
        evaluate_texts(model, [ids[:60]], [first], starts=[starts])


def test_resets_of_any_kind() -> None:
    model, _, ids, _ = made()
    expected = evaluate(model, ids[:60], starts=np.array([3, 3, 59]))
    for starts in ([3, 59], np.array([3, 59, 60], np.uint8), (3, 59)):
        assert evaluate(model, ids[:60], starts=starts) == expected  # type: ignore[arg-type]
    assert evaluate(model, ids[:60], starts=np.empty(0)) == evaluate(model, ids[:60])


@pytest.mark.parametrize("length", [50, LONG])
def test_progress_ends_at_the_whole(length: int) -> None:
    model, _, ids, _ = made()
    told: list[tuple[int, int]] = []
    functions = (
        lambda tell: evaluation.evaluate(model, ids[:length], progress=tell),
        lambda tell: evaluate_windows(model, ids[:length], 100, progress=tell),
    )
    for function in functions:
        told.clear()
        function(lambda done, whole: told.append((done, whole)))
        assert told and told == sorted(told) and told[-1][0] == told[-1][1]
