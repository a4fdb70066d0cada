"""The Mogrifier's rounds before the lowest layer's step, against the float64 reference; and what
must never change a result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.names import file_name, torch_module
from charrnn.config.settings import CELL_NAMES, ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError
from charrnn.network.arithmetic import rounded_precision
from charrnn.network.model import Model
from charrnn.network.network import Network
from charrnn.network.parameters import parameter_count, round_names
from charrnn.runtime.threads import Workers
from charrnn.training import recipe
from tests.network.test_network import Case, assert_padding_is_zero, close
from tests.reference import cells as reference
from tests.reference.small import plain_model

TWO = Workers(2, processors=2)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"layers": 1},
    {"layer_norm": True, "layers": 3},
    {"residual": True, "skip": True},
    {"zoneout_h": 0.2, "zoneout_c": 0.3},
    {"activation": "softsign", "embedding": 200},
]


def made(rounds: int, T: int = 9, N: int = 5, seed: int = 1, **settings: Any) -> Case:
    """A case with the reference's random weights."""
    shape = {"vocab_size": 13, "embedding": 6, "hidden": 19, "layers": 2}
    rng = np.random.default_rng(seed)
    model = Model(plain_model(**(shape | settings | {"mogrifier": rounds})))
    parameters = reference.random_parameters(rng, model.config)
    model.parameters.from_disk(parameters)
    x, y = rng.integers(shape["vocab_size"], size=(2, T, N)).astype(np.int32)
    return Case(model, parameters, x, y, reference.random_states(rng, model.config, N))


def starts_of(case: Case) -> np.ndarray:
    starts = np.random.default_rng(7).random(case.x.shape) < 0.2
    starts[3] = True
    return starts


@pytest.mark.parametrize("has_starts", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_loss_state_and_gradients(rounds: int, options: dict[str, Any], has_starts: bool) -> None:
    case = made(rounds, **{name: x for name, x in options.items() if "zoneout" not in name})
    starts, H = starts_of(case) if has_starts else None, 19
    network, state = Network(case.model, *case.x.shape, TWO, training=True), case.state()
    loss, gradient = network.gradients(case.x, case.y, state, None, starts)
    config = case.model.config
    wanted_loss, gradients, states = reference.gradients(
        config, case.parameters, case.x, case.y, case.states, starts
    )
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    found = dict(gradient.to_disk())
    assert list(found) == list(gradients)
    for name, wanted in gradients.items():
        close(found[name], wanted, name, 2e-5)
    for layer, (h, c) in enumerate(states):
        close(state.h[layer, :, :H], h, f"h of layer {layer}", 3e-6)
        close(state.c[layer, :, :H], c, f"c of layer {layer}", 3e-6)
    assert_padding_is_zero(case.model.parameters, gradient.flat)


def test_zoneout_keeps_the_state_that_was_not_scaled() -> None:
    case = made(5, zoneout_h=0.2, zoneout_c=0.3)
    state = case.state()
    losses = Network(case.model, *case.x.shape, TWO).evaluate(case.x, case.y, state)
    trace = reference.forward(case.model.config, case.parameters, case.x, case.y, case.states)
    np.testing.assert_allclose(losses, trace.losses, rtol=1e-5, atol=1e-6)


def test_without_weights_it_is_the_plain_network() -> None:
    """2 sigmoid(0) = 1."""
    case = made(5)
    for name in round_names(case.model.config):
        case.model.parameters[name][:] = 0
    plain = Model(replace(case.model.config, mogrifier=0))
    plain.parameters.from_disk(dict(case.model.parameters.to_disk()))
    losses = Network(case.model, *case.x.shape, TWO).evaluate(case.x, case.y, case.state())
    wanted = Network(plain, *case.x.shape, TWO).evaluate(case.x, case.y, case.state())
    np.testing.assert_allclose(losses, wanted, rtol=2e-6)


@pytest.mark.parametrize("rounds", [2, 5])
def test_any_number_of_threads_gives_the_same_bits(rounds: int) -> None:
    case = made(rounds, N=7, hidden=40, layer_norm=True)
    alone = case.gradients(Workers(1))
    for threads in (2, 3):
        workers = Workers(threads, processors=threads)
        loss, gradient, state, _ = case.gradients(workers)
        workers.close()
        assert loss == alone[0] and np.array_equal(gradient, alone[1])
        assert np.array_equal(state.h, alone[2].h) and np.array_equal(state.c, alone[2].c)


def test_one_sequence_equals_chunks_with_carried_state() -> None:
    case = made(5, T=13)
    state, carried = case.state(), case.state()
    whole = Network(case.model, 13, 5, TWO).evaluate(case.x, case.y, state).copy()
    network = Network(case.model, 6, 5, TWO)
    chunks = [
        network.evaluate(case.x[a:b], case.y[a:b], carried).copy()
        for a, b in ((0, 6), (6, 8), (8, 13))
    ]
    assert np.array_equal(np.concatenate(chunks), whole)
    assert np.array_equal(carried.h, state.h)


def test_derivatives_by_the_state_and_the_input() -> None:
    """Against differences of the reference's last loss."""
    case, step = made(5, T=4, N=2), 1e-5
    config, H, E = case.model.config, 19, 6

    def last(parameters: Any = case.parameters, states: Any = case.states) -> np.ndarray:
        losses: np.ndarray = reference.forward(config, parameters, case.x, case.y, states).losses
        return losses[-1]

    network = Network(case.model, 4, 2, TWO, training=True)
    found = network.state_gradients(case.x, case.y, case.state())
    for layer in range(2):
        for which, array in enumerate((found.h, found.c)):
            moved = [list(pair) for pair in case.states]
            moved[layer][which] = moved[layer][which] + step * np.eye(H)[3]
            wanted = (last(states=moved) - last()) / step
            np.testing.assert_allclose(array[layer, :, 3], wanted, rtol=2e-3, atol=1e-6)
    by_input = network.input_gradients(case.x, case.y, case.state())[..., :E]
    embedding, ids = np.array(case.parameters["embedding.weight"], np.float64), case.x[:, 0]
    moved_embedding = embedding.copy()
    moved_embedding[ids[0], 2] += step
    wanted = (last({**case.parameters, "embedding.weight": moved_embedding}) - last()) / step
    total = by_input[:, 0, 2][ids == ids[0]].sum()
    np.testing.assert_allclose(total, wanted[0], rtol=2e-3, atol=1e-6)


@pytest.mark.skipif(rounded_precision() is None, reason="needs bfloat16 or AMX")
def test_rounded_factors_come_near() -> None:
    case = made(5, hidden=40, embedding=32)
    exact = case.gradients(TWO)
    network = Network(
        case.model, *case.x.shape, TWO, training=True, precision=rounded_precision() or ""
    )
    loss, gradient = network.gradients(case.x, case.y, case.state(), 3)
    assert loss == pytest.approx(exact[0], rel=5e-3)
    difference = np.linalg.norm(gradient.flat - exact[1]) / np.linalg.norm(exact[1])
    assert 0 < difference < 0.03


def test_names_and_sizes() -> None:
    config = ModelConfig(vocab_size=13, hidden=20, embedding=6, mogrifier=2, layer_norm=False)
    assert round_names(config) == ["rnn.weight_m1_l0", "rnn.weight_m2_l0"]
    assert torch_module(config) is None and torch_module(replace(config, mogrifier=0)) == "LSTM"
    assert file_name("rnn.weight_m1_l0", config) == "layers.0.weight_m1"
    more = parameter_count(config.resolved()) - parameter_count(
        replace(config, mogrifier=0).resolved()
    )
    assert more == 2 * 20 * 6
    shapes = {name: array.shape for name, array in Model(config).parameters.to_disk()}
    assert shapes["rnn.weight_m1_l0"] == (6, 20) and shapes["rnn.weight_m2_l0"] == (20, 6)
    assert {
        name: tuple(shape) for name, shape in reference.shapes(config.resolved()).items()
    } == shapes


@pytest.mark.parametrize("settings", [{"cell": "gru"}, {"embedding": 0}])
def test_where_there_are_no_rounds(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="mogrifier"):
        ModelConfig(mogrifier=2, **settings)
    assert recipe.with_rounds(ModelConfig(**settings)).mogrifier == 0


def test_the_recipe_has_rounds() -> None:
    assert recipe.with_rounds(ModelConfig()).mogrifier == recipe.ROUNDS == 5
    assert recipe.with_rounds(ModelConfig(mogrifier=0)).mogrifier == 0
    assert all(
        recipe.with_rounds(ModelConfig(cell=cell)).mogrifier is not None for cell in CELL_NAMES
    )
    assert ModelConfig(hidden=8).resolved().mogrifier == 0 and TrainConfig().steps is None


@pytest.mark.parametrize(("hidden", "size"), [(8, 64), (191, 64), (192, 128), (1024, 128)])
def test_the_size_of_an_embedding(hidden: int, size: int) -> None:
    assert ModelConfig(hidden=hidden).resolved().embedding == size
    assert ModelConfig(hidden=hidden, embedding=7).resolved().embedding == 7
    assert ModelConfig(hidden=hidden, embedding=0).resolved().embedding == 0
    config = ModelConfig(vocab_size=11, hidden=hidden, cell="gru")
    assert parameter_count(config) == parameter_count(config.resolved())
