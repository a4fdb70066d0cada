"""The reference against what needs no code to believe: central differences, numbers worked by hand,
and identities.

An identity is a setting of the weights with which one cell computes what another does.
"""

from __future__ import annotations

from math import exp, log, tanh
from typing import Any

import numpy as np
import pytest

from charrnn.config.settings import ACTIVATIONS, CELL_NAMES, ModelConfig
from tests.reference import cells, tape
from tests.reference.small import plain_model

T, N, V, H = 5, 3, 6, 4  # all different, so that no transposed or mistaken axis passes


def config_of(cell: str, **settings: Any) -> ModelConfig:
    return plain_model(
        **({"vocab_size": V, "hidden": H, "layers": 2, "dropout": 0.0, "cell": cell} | settings)
    )


def drawn(config: ModelConfig, seed: int = 1) -> tuple[dict[str, Any], Any, Any, cells.States]:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(V, size=(2, T, N))
    return cells.random_parameters(rng, config), x, y, cells.random_states(rng, config, N)


def random_masks(config: ModelConfig, rng: np.random.Generator) -> cells.Masks:
    """Every option of the mask at once; the recurrent weights' of any shape."""
    L, rows = config.layers, cells.GATES_H.get(config.cell, 4) * config.hidden

    def keep(*shape: int) -> list[Any]:
        return [(rng.random(shape) < 0.6).astype(float) for _ in range(L)]

    scaled = [mask / 0.6 for mask in keep(T, N, H)], [mask / 0.6 for mask in keep(rows, H)]
    return cells.Masks(scaled[0], keep(T, N, H), keep(1, N, H), scaled[1], keep(T, N)[0] / 0.6)


# Gradients
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(
    ("activation", "settings", "is_masked"),
    [
        ("tanh", {"embedding": 2}, False),
        ("softsign", {"residual": True, "zoneout_h": 0.3, "zoneout_c": 0.2, "layers": 3}, True),
        ("relu", {"zoneout_h": 0.3, "zoneout_c": 0.2, "clockwork_groups": 2}, False),
        ("tanh", {"skip": True, "embedding": H}, True),
    ],
)
def test_gradients_are_those_of_central_differences(
    cell: str, activation: str, settings: dict[str, Any], is_masked: bool
) -> None:
    config = config_of(cell, activation=activation, **settings)
    parameters, x, y, states = drawn(config)
    rng = np.random.default_rng(3)
    masks, starts = random_masks(config, rng) if is_masked else None, rng.random((T, N)) < 0.2
    _, gradients, _ = cells.gradients(config, parameters, x, y, states, starts, masks)
    for name, parameter in parameters.items():
        directions = rng.normal(size=(2, *parameter.shape))  # each sees every element

        def loss_along(
            steps: Any, name: str = name, parameter: Any = parameter, directions: Any = directions
        ) -> float:
            moved = parameter + np.tensordot(steps, directions, axes=1)
            return cells.loss(config, parameters | {name: moved}, x, y, states, starts, masks)

        numeric = tape.numerical_gradient(loss_along, np.zeros(2))
        along = np.tensordot(directions, gradients[name], axes=parameter.ndim)
        np.testing.assert_allclose(along, numeric, rtol=1e-6, atol=5e-9, err_msg=name)
        assert np.abs(gradients[name]).max() > 1e-5, f"{name} has no influence: nothing was tested"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation: str) -> None:
    wanted = {"tanh": [-0.9640276, 0.4621172], "softsign": [-2 / 3, 1 / 3], "relu": [0, 0.5]}[
        activation
    ]
    np.testing.assert_allclose(cells.PHI[activation](tape.Value([-2, 0.5])).data, wanted, rtol=1e-6)


# One cell as another
# ------------------------------------------------------------------------------------------------


def rows(array: Any, count: int, chosen: list[int]) -> Any:
    blocks = np.split(array, count)
    return np.concatenate([blocks[k] for k in chosen])


def assert_same(first: cells.Trace, second: cells.Trace, with_c: bool = True) -> None:
    np.testing.assert_allclose(first.losses, second.losses, rtol=1e-12)
    for (h, c), (other_h, other_c) in zip(first.states, second.states, strict=True):
        np.testing.assert_allclose(h, other_h, rtol=1e-12, atol=1e-15)
        if with_c:
            np.testing.assert_allclose(c, other_c, rtol=1e-12, atol=1e-15)


def test_peephole_without_peepholes_is_lstm() -> None:
    config = config_of("peephole")
    parameters, x, y, states = drawn(config)
    for layer in range(2):
        parameters[f"rnn.peephole_l{layer}"][:] = 0
    first = cells.forward(config, parameters, x, y, states)
    plain = {name: array for name, array in parameters.items() if "peephole" not in name}
    assert_same(first, cells.forward(config_of("lstm"), plain, x, y, states))


def test_lstm_whose_input_gate_mirrors_the_forget_gate_is_coupled() -> None:
    """1 - sigmoid(z) = sigmoid(-z)."""
    config = config_of("coupled")
    parameters, x, y, states = drawn(config)
    mirrored = dict(parameters)
    for name in parameters:
        if name.startswith("rnn."):
            mirrored[name] = np.concatenate([-np.split(parameters[name], 3)[0], parameters[name]])
    assert_same(
        cells.forward(config, parameters, x, y, states),
        cells.forward(config_of("lstm"), mirrored, x, y, states),
    )


def test_both_grus_agree_where_r_is_one_and_the_second_bias_is_zero() -> None:
    config = config_of("gru")
    parameters, x, y, states = drawn(config)
    after = dict(parameters)
    for layer in range(2):
        parameters[f"rnn.bias_ih_l{layer}"][:H] = 60
        after[f"rnn.bias_hh_l{layer}"] = np.zeros(3 * H, np.float32)
    first = cells.forward(config, parameters, x, y, states)
    assert_same(first, cells.forward(config_of("gru-after"), after, x, y, states))
    for layer in range(2):  # and the gate decides where the past is shut out
        parameters[f"rnn.bias_ih_l{layer}"][:H] = -60
    parameters |= {
        f"rnn.weight_hh_l{layer}": rows(parameters[f"rnn.weight_hh_l{layer}"], 3, [0, 1, 0])
        for layer in (0, 1)
    }
    shut = cells.forward(config, parameters, x, y, states)
    after = {name: parameters.get(name, array) for name, array in after.items()}
    assert_same(shut, cells.forward(config_of("gru-after"), after, x, y, states))


def test_gru_with_z_one_keeps_its_state() -> None:
    for cell in ("gru", "gru-after"):
        config = config_of(cell)
        parameters, x, y, states = drawn(config)
        for layer in range(2):
            parameters[f"rnn.bias_ih_l{layer}"][H : 2 * H] = 60
        trace = cells.forward(config, parameters, x, y, states)
        np.testing.assert_allclose([h for h, _ in trace.states], [h for h, _ in states], rtol=1e-12)


def test_clockwork_of_one_group_is_rnn() -> None:
    config = config_of("clockwork", clockwork_groups=1)
    parameters, x, y, states = drawn(config)
    first = cells.forward(config, parameters, x, y, states)
    assert_same(first, cells.forward(config_of("rnn"), parameters, x, y, states))


def test_clockwork_updates_at_multiples_of_its_periods() -> None:
    """Groups of periods 1, 2, 4; a unit's h changes exactly at the multiples, counted from the zero
    state.
    """
    config = config_of("clockwork", clockwork_groups=3, hidden=6, layers=1)
    assert cells.clockwork_groups(config).tolist() == [0, 0, 1, 1, 2, 2]
    assert cells.clockwork_reads(config)[2].tolist() == [0, 0, 1, 1, 1, 1]
    rng = np.random.default_rng(0)
    parameters, states = (
        cells.random_parameters(rng, config),
        [(np.zeros((1, 6)), np.zeros((1, 6)))],
    )
    before = states[0][0]
    for t in range(9):
        ids = rng.integers(V, size=(1, 1))
        states = cells.forward(config, parameters, ids, ids, states).states
        changed = (states[0][0] != before)[0].tolist()
        assert changed == [t % period == 0 for period in (1, 1, 2, 2, 4, 4)], t
        before = states[0][0]


def test_depth_gated_with_closed_gates_is_peephole() -> None:
    config = config_of("depth-gated")
    parameters, x, y, states = drawn(config)
    plain = {name: array for name, array in parameters.items() if name != "rnn.memory.weight"}
    for layer in range(2):
        W_x, b, p = (f"rnn.{name}_l{layer}" for name in ("weight_ih", "bias_ih", "peephole"))
        parameters[b][:H] = -800
        plain |= {W_x: parameters[W_x][H:], b: parameters[b][H:], p: parameters[p][:3]}
    first = cells.forward(config, parameters, x, y, states)
    assert_same(first, cells.forward(config_of("peephole"), plain, x, y, states))


def test_depth_gated_with_open_gates_adds_the_memory_below() -> None:
    """Nothing but d open: c is the character's memory in both layers, h = sigmoid(0) tanh(c)."""
    config = config_of("depth-gated")
    parameters, x, y, states = drawn(config)
    memory = parameters["rnn.memory.weight"]
    for layer in range(2):
        for name in (
            f"rnn.weight_ih_l{layer}",
            f"rnn.weight_hh_l{layer}",
            f"rnn.peephole_l{layer}",
        ):
            parameters[name][:] = 0
        parameters[f"rnn.bias_ih_l{layer}"][:] = np.repeat([800, -800, -800, 0, 0], H)
    trace = cells.forward(config, parameters, x, y, states)
    for h, c in trace.states:
        np.testing.assert_allclose(c, memory[x[-1]], rtol=1e-12)
        np.testing.assert_allclose(h, 0.5 * np.tanh(memory[x[-1]]), rtol=1e-6)


def test_grid_is_an_lstm_along_time_and_one_along_depth() -> None:
    """With relu, phi(o * c) = o * phi(c), so that the two cells' places of the output gate are the
    same.
    """
    config = config_of("grid", layers=1, activation="relu")
    parameters, x, y, states = drawn(config)
    time, depth = dict(parameters), dict(parameters)
    for name in ("rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0"):
        time[name], depth[name] = np.split(parameters[name], 2)
    lstm, trace = (
        config_of("lstm", layers=1, activation="relu"),
        cells.forward(config, parameters, x, y, states),
    )
    np.testing.assert_allclose(
        trace.states, cells.forward(lstm, time, x, y, states).states, rtol=1e-12
    )
    for t in range(
        T
    ):  # along depth: one step, from the h of the step before and the character's memory
        h = cells.forward(lstm, time, x[:t], y[:t], states).states[0][0] if t else states[0][0]
        memory = parameters["rnn.memory.weight"][x[t]]
        one = cells.forward(lstm, depth, x[t : t + 1], y[t : t + 1], [(h, memory)])
        np.testing.assert_allclose(trace.losses[t], one.losses[0], rtol=1e-12)


# Options
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_start_forgets_what_was_before(cell: str) -> None:
    """Losses, states and gradients are those of texts read apart; the prediction made before a
    start is untouched.
    """
    config = config_of(cell, zoneout_h=0.2)
    parameters, x, y, states = drawn(config)
    starts = np.zeros((T, N), np.bool_)
    starts[3] = True
    whole = cells.gradients(config, parameters, x, y, states, starts)
    first = cells.gradients(config, parameters, x[:3], y[:3], states)
    zero = [(np.zeros_like(h), np.zeros_like(c)) for h, c in states]
    second = cells.gradients(config, parameters, x[3:], y[3:], zero)
    assert whole[0] * 5 == pytest.approx(first[0] * 3 + second[0] * 2, rel=1e-12)
    np.testing.assert_allclose(whole[2], second[2], rtol=1e-12)
    for name in parameters:
        np.testing.assert_allclose(
            5 * whole[1][name], 3 * first[1][name] + 2 * second[1][name], rtol=1e-9, atol=1e-12
        )


def test_zoneout_that_keeps_everything_stands_still() -> None:
    """And what goes up is the state that was kept."""
    config = config_of("lstm", zoneout_h=0.3, zoneout_c=0.3, layers=1)
    parameters, x, y, states = drawn(config)
    keep = [np.ones((1, N, H))]
    trace = cells.forward(
        config, parameters, x, y, states, masks=cells.Masks(keep_h=keep, keep_c=keep)
    )
    np.testing.assert_allclose(trace.states, states, rtol=1e-12)
    logits = states[0][0] @ parameters["decoder.weight"].T + parameters["decoder.bias"]
    np.testing.assert_allclose(trace.logits, np.stack([logits] * T), rtol=1e-6)


def test_a_decoder_that_skips_adds_what_it_reads_of_each_layer() -> None:
    """Of a second layer that it reads by zeros there is nothing in the logits, and of the first
    what it alone would give.
    """
    config = config_of("lstm", skip=True)
    parameters, x, y, states = drawn(config)
    parameters["decoder.weight"][:] = 0
    alone = {name: array for name, array in parameters.items() if not name.endswith("_l1")}
    alone["decoder.weight"] = alone.pop("decoder.weight_l0")
    two = cells.forward(config, parameters, x, y, states)
    one = cells.forward(config_of("lstm", layers=1), alone, x, y, states[:1])
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-12)


def test_residual_layers_add_what_came_into_them() -> None:
    """A second layer that is silent hands up what it got."""
    config = config_of("rnn", residual=True)
    parameters, x, y, states = drawn(config)
    for name in ("weight_ih", "weight_hh", "bias_ih"):
        parameters[f"rnn.{name}_l1"][:] = 0
    alone = {name: array for name, array in parameters.items() if not name.endswith("_l1")}
    two = cells.forward(config, parameters, x, y, states)
    one = cells.forward(config_of("rnn", layers=1), alone, x, y, states[:1])
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-12)


# Sequences, streams, masks
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("is_masked", [False, True])
def test_one_sequence_equals_the_same_in_three_chunks(cell: str, is_masked: bool) -> None:
    config = config_of(cell, embedding=3)
    parameters, x, y, states = drawn(config)
    output = [(np.random.default_rng(layer).random((T, N, H)) < 0.6) / 0.6 for layer in range(2)]
    masks = cells.Masks(output if is_masked else ())
    whole = cells.forward(config, parameters, x, y, states, masks=masks)
    losses = []
    for chunk in (slice(0, 2), slice(2, 3), slice(3, T)):
        part = cells.Masks([mask[chunk] for mask in masks.output])
        trace = cells.forward(config, parameters, x[chunk], y[chunk], states, masks=part)
        states = trace.states
        losses.append(trace.losses)
    np.testing.assert_allclose(np.concatenate(losses), whole.losses, rtol=1e-13)
    np.testing.assert_allclose(states, whole.states, rtol=1e-12)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_stop_at_the_initial_state(cell: str) -> None:
    """Truncated: the second chunk's gradient knows the state that it begins with, not how that came
    about.
    """
    config = config_of(cell)
    parameters, x, y, states = drawn(config)
    x, y = x[:4], y[:4]
    _, whole, _ = cells.gradients(config, parameters, x, y, states)
    _, first, states = cells.gradients(config, parameters, x[:2], y[:2], states)
    _, second, _ = cells.gradients(config, parameters, x[2:], y[2:], states)
    truncated = {name: (first[name] + second[name]) / 2 for name in whole}
    np.testing.assert_allclose(truncated["decoder.weight"], whole["decoder.weight"], rtol=1e-12)
    assert np.abs(truncated["rnn.weight_hh_l0"] - whole["rnn.weight_hh_l0"]).max() > 1e-4


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_streams_do_not_see_each_other(cell: str) -> None:
    config = config_of(cell, embedding=3)
    parameters, x, y, states = drawn(config)
    losses = cells.forward(config, parameters, x, y, states).losses
    rest = [(h[1:], c[1:]) for h, c in states]
    alone = cells.forward(config, parameters, x[:, 1:], y[:, 1:], rest).losses
    np.testing.assert_allclose(alone, losses[:, 1:], rtol=1e-12)


def test_masks_of_ones_change_nothing() -> None:
    config = config_of("lstm", embedding=3)
    parameters, x, y, states = drawn(config)
    plain = cells.forward(config, parameters, x, y, states)
    masks = cells.Masks([np.ones((T, N, H))] * 2)
    masked = cells.forward(config, parameters, x, y, states, masks=masks)
    np.testing.assert_array_equal(masked.logits, plain.logits)


def test_a_mask_cuts_the_way_up_but_not_the_way_on() -> None:
    config = config_of("lstm", embedding=3)
    parameters, x, y, states = drawn(config)
    plain = cells.forward(config, parameters, x, y, states)
    ones, zeros = np.ones((T, N, H)), np.zeros((T, N, H))

    masks = cells.Masks([ones, zeros])
    top_dropped = cells.forward(config, parameters, x, y, states, masks=masks)
    blind = np.broadcast_to(parameters["decoder.bias"], (T, N, V))
    np.testing.assert_array_equal(top_dropped.logits, blind)
    np.testing.assert_array_equal(top_dropped.states, plain.states)

    masks = cells.Masks([zeros, ones])
    bottom_dropped = cells.forward(config, parameters, x, y, states, masks=masks)
    np.testing.assert_array_equal(bottom_dropped.states[0], plain.states[0])
    other_text = cells.forward(config, parameters, (x + 1) % V, y, states, masks=masks)
    np.testing.assert_array_equal(bottom_dropped.logits, other_text.logits)


# Characters and parameters
# ------------------------------------------------------------------------------------------------


def test_a_symbol_that_was_not_read_gets_no_gradient() -> None:
    config = config_of("lstm", embedding=3)
    parameters, x, y, states = drawn(config)
    x = np.where(x == 4, 5, x)
    _, gradients, _ = cells.gradients(config, parameters, x, y, states)
    rows_that_move = np.flatnonzero(np.abs(gradients["embedding.weight"]).sum(axis=1))
    assert rows_that_move.tolist() == sorted(set(x.flat))


def test_one_hot_is_an_embedding_by_the_unit_matrix() -> None:
    config = config_of("lstm")
    parameters, x, y, states = drawn(config)
    embedded = {"embedding.weight": np.eye(V)} | parameters
    loss, gradients, _ = cells.gradients(config, parameters, x, y, states)
    other, others, _ = cells.gradients(config_of("lstm", embedding=V), embedded, x, y, states)
    assert other == loss
    for name in gradients:
        np.testing.assert_array_equal(others[name], gradients[name])


def test_narrow_types_are_computed_in_float64_and_left_alone() -> None:
    config = config_of("lstm", embedding=3)
    narrow, x, y, states = drawn(config)
    wide = {name: p.astype(np.float64) for name, p in narrow.items()}
    before = {name: p.copy() for name, p in narrow.items()}
    ids = x.astype(np.uint8), y.astype(np.uint16)
    loss, gradients, _ = cells.gradients(config, narrow, *ids, states)
    assert loss == cells.loss(config, wide, x, y, states)
    assert {g.dtype for g in gradients.values()} == {np.dtype(np.float64)}
    for name in narrow:
        np.testing.assert_array_equal(narrow[name], before[name])


@pytest.mark.parametrize(("E", "D"), [(0, V), (3, 3)])
def test_parameters_have_pytorchs_names_and_shapes(E: int, D: int) -> None:
    embedding = {"embedding.weight": (V, E)} if E else {}
    assert cells.shapes(config_of("lstm", embedding=E)) == embedding | {
        "rnn.weight_ih_l0": (4 * H, D),
        "rnn.weight_hh_l0": (4 * H, H),
        "rnn.bias_ih_l0": (4 * H,),
        "rnn.weight_ih_l1": (4 * H, H),
        "rnn.weight_hh_l1": (4 * H, H),
        "rnn.bias_ih_l1": (4 * H,),
        "decoder.weight": (V, H),
        "decoder.bias": (V,),
    }


# By hand
# ------------------------------------------------------------------------------------------------


def test_one_lstm_step_by_hand() -> None:
    """sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4, tanh(ln 3 / 2) = 1/2, sigmoid(-ln 3) = 1/4, and the
    cell holds 2.
    """
    z, c = tape.value([[0.0, log(3), log(3) / 2, -log(3)]]), tape.value([[2.0]])
    zero = tape.value(np.zeros((4, 1)))
    layer = cells.Layer(config_of("lstm"), tape.value(np.eye(4)), zero, tape.value(0.0), None, None)
    step = cells.lstm(layer, z, tape.value([[0.0]]), c, zero)
    assert step.c.data.item() == pytest.approx(0.75 * 2 + 0.5 * 0.5, rel=1e-14)  # 1.75
    assert step.h.data.item() == pytest.approx(0.25 * 0.94137554, rel=1e-8)  # 1/4 tanh(1.75)

    (step.h + 3 * step.c).sum().backward()
    dc = 3 + 0.25 * (1 - tanh(1.75) ** 2)
    by_hand = [
        dc * 0.5 * 0.5 * 0.5,
        dc * 2 * 0.75 * 0.25,
        dc * 0.5 * (1 - 0.25),
        tanh(1.75) * 0.25 * 0.75,
    ]
    assert z.grad[0].tolist() == pytest.approx(by_hand, rel=1e-14)
    assert c.grad.item() == pytest.approx(dc * 0.75, rel=1e-14)


def sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z))


def test_a_network_of_two_units_by_hand() -> None:
    """Two symbols, one-hot, one stream, one step; every number by scalars, rows in the order i i f
    f g g o o.
    """
    W_x = [
        [0.1, 0.2],
        [0.3, 0.4],
        [-0.5, 0.6],
        [0.7, -0.8],
        [0.9, 1.0],
        [1.1, -1.2],
        [1.3, 1.4],
        [-1.5, 1.6],
    ]
    W_h = [
        [0.2, 0.1],
        [0.4, -0.3],
        [0.6, 0.5],
        [-0.8, 0.7],
        [1.0, 0.9],
        [1.2, 1.1],
        [-1.4, 1.3],
        [1.6, 1.5],
    ]
    b = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08]
    parameters = {
        "rnn.weight_ih_l0": np.array(W_x),
        "rnn.weight_hh_l0": np.array(W_h),
        "rnn.bias_ih_l0": np.array(b),
        "decoder.weight": np.array([[1.0, -2.0], [0.5, 3.0]]),
        "decoder.bias": np.array([0.1, -0.2]),
    }
    h, c = (0.3, -0.4), (0.5, -0.6)
    z = [
        W_x[row][1] + W_h[row][0] * h[0] + W_h[row][1] * h[1] + b[row] for row in range(8)
    ]  # the symbol is 1
    c_0 = sigmoid(z[2]) * c[0] + sigmoid(z[0]) * tanh(z[4])
    c_1 = sigmoid(z[3]) * c[1] + sigmoid(z[1]) * tanh(z[5])
    h_0, h_1 = sigmoid(z[6]) * tanh(c_0), sigmoid(z[7]) * tanh(c_1)
    logits = (1.0 * h_0 - 2.0 * h_1 + 0.1, 0.5 * h_0 + 3.0 * h_1 - 0.2)
    nats = log(exp(logits[0]) + exp(logits[1])) - logits[0]  # the target is 0

    states = [(np.array([h]), np.array([c]))]
    config = config_of("lstm", vocab_size=2, hidden=2, layers=1)
    x, y = np.array([[1]]), np.array([[0]])
    value, _, final = cells.gradients(config, parameters, x, y, states)
    assert final[0][0].tolist() == [pytest.approx([h_0, h_1], rel=1e-13)]
    assert final[0][1].tolist() == [pytest.approx([c_0, c_1], rel=1e-13)]
    assert value == pytest.approx(nats, rel=1e-13)


def test_a_decoder_of_zeros_costs_the_logarithm_of_the_symbols() -> None:
    config = config_of("lstm", embedding=3)
    parameters, x, y, states = drawn(config)
    blind = parameters | {"decoder.weight": np.zeros((V, H)), "decoder.bias": np.zeros(V)}
    assert cells.loss(config, blind, x, y, states) == pytest.approx(log(V), rel=1e-14)


def test_nothing_overflows() -> None:
    """Gates and logits in the thousands; a warning would fail the test."""
    logits = tape.value([[3000.0, 0.0, -3000.0]] * 2)
    losses = tape.cross_entropy(logits, np.array([0, 2]))
    assert losses.data.tolist() == [0, 6000]
    losses.sum().backward()
    assert logits.grad.tolist() == [[0, 0, 0], [1, 0, -1]]
    assert tape.sigmoid(tape.value([-3000.0, 0.0, 3000.0])).data.tolist() == [0, 0.5, 1]
