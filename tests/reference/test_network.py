"""The reference against what needs no code to believe: finite differences, numbers worked by hand,
and symmetries.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, tanh

import numpy as np
import pytest

from tests.reference import network as reference

V, H, T, N = 7, 5, 4, 2  # all different, so that no transposed or mistaken axis passes


@dataclass(frozen=True)
class Case:
    parameters: reference.Parameters
    x: reference.Ids
    y: reference.Ids
    states: reference.States
    masks: list[reference.Array]


def make_case(E: int, L: int, T: int = T, seed: int = 1) -> Case:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(V, size=(2, T, N))
    states = [(rng.uniform(-1, 1, (N, H)), rng.normal(size=(N, H))) for _ in range(L)]
    masks = [(rng.random((T, N, H)) < 0.6) / 0.6 for _ in range(L)]
    return Case(reference.random_parameters(rng, V, E, H, L), x, y, states, masks)


def sigmoid(z: float) -> float:
    return 1 / (1 + exp(-z))


# Gradients
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize("E", [0, 3])
def test_gradients_are_those_of_finite_differences(E: int, L: int, masked: bool) -> None:
    case = make_case(E, L)
    masks = case.masks if masked else None
    _, gradients, _ = reference.gradients(case.parameters, case.x, case.y, case.states, masks)
    assert list(gradients) == list(case.parameters)
    for name, parameter in case.parameters.items():
        # At most 35 elements of each: all of the decoder and the biases, and enough of a matrix to
        # meet every gate.
        places = np.random.default_rng(2).permutation(parameter.size)[:35]
        numeric = []
        for place in places:
            nudge = np.zeros(parameter.size)
            nudge[place] = 1e-5
            up = case.parameters | {name: parameter + nudge.reshape(parameter.shape)}
            down = case.parameters | {name: parameter - nudge.reshape(parameter.shape)}
            above = reference.loss(up, case.x, case.y, case.states, masks)
            below = reference.loss(down, case.x, case.y, case.states, masks)
            numeric.append((above - below) / 2e-5)
        assert np.abs(numeric).max() > 1e-4, f"{name} has no influence: nothing was tested"
        np.testing.assert_allclose(
            gradients[name].flat[places], numeric, rtol=1e-6, atol=1e-9, err_msg=name
        )


def test_a_symbol_that_was_not_read_gets_no_gradient() -> None:
    case = make_case(E=3, L=2)
    x = np.where(case.x == 4, 5, case.x)
    _, gradients, _ = reference.gradients(case.parameters, x, case.y, case.states)
    rows_that_move = np.flatnonzero(np.abs(gradients["embedding.weight"]).sum(axis=1))
    assert rows_that_move.tolist() == sorted(set(x.flat))


def test_one_call_gives_the_loss_and_states_of_the_separate_ones() -> None:
    case = make_case(E=3, L=2)
    value, _, states = reference.gradients(case.parameters, case.x, case.y, case.states, case.masks)
    assert value == reference.loss(case.parameters, case.x, case.y, case.states, case.masks)
    trace = reference.forward(case.parameters, case.x, case.states, case.masks)
    np.testing.assert_array_equal(states, trace.states)


# Sequences, states, masks
# -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("E", [0, 3])
def test_one_sequence_equals_the_same_in_three_chunks(E: int, masked: bool) -> None:
    case = make_case(E, L=3, T=9)
    masks = case.masks if masked else [np.ones((9, N, H))] * 3
    whole, _, whole_states = reference.gradients(
        case.parameters, case.x, case.y, case.states, masks
    )
    total, states = 0.0, case.states
    for chunk in (slice(0, 2), slice(2, 3), slice(3, 9)):
        x, y, chunk_masks = case.x[chunk], case.y[chunk], [mask[chunk] for mask in masks]
        mean, _, states = reference.gradients(case.parameters, x, y, states, chunk_masks)
        total += mean * x.size
    assert total == pytest.approx(whole * case.x.size, rel=1e-13)
    np.testing.assert_allclose(states, whole_states, rtol=1e-12)


def test_gradients_stop_at_the_initial_state() -> None:
    """Truncated: the second chunk's gradient does not know how its state came about, only what it
    is.
    """
    case = make_case(E=0, L=2, T=6)
    _, whole, _ = reference.gradients(case.parameters, case.x, case.y, case.states)
    _, first, states = reference.gradients(case.parameters, case.x[:3], case.y[:3], case.states)
    _, second, _ = reference.gradients(case.parameters, case.x[3:], case.y[3:], states)
    truncated = {name: (first[name] + second[name]) / 2 for name in whole}
    np.testing.assert_allclose(truncated["decoder.weight"], whole["decoder.weight"], rtol=1e-12)
    assert np.abs(truncated["rnn.weight_hh_l0"] - whole["rnn.weight_hh_l0"]).max() > 1e-4


def test_streams_do_not_see_each_other() -> None:
    case = make_case(E=3, L=2)
    logits = reference.forward(case.parameters, case.x, case.states).logits
    alone = reference.forward(
        case.parameters, case.x[:, 1:], [(h[1:], c[1:]) for h, c in case.states]
    ).logits
    np.testing.assert_allclose(alone, logits[:, 1:], rtol=1e-12)


def test_masks_of_ones_change_nothing() -> None:
    case = make_case(E=3, L=2)
    plain = reference.forward(case.parameters, case.x, case.states)
    masked = reference.forward(case.parameters, case.x, case.states, [np.ones((T, N, H))] * 2)
    np.testing.assert_array_equal(masked.logits, plain.logits)


def test_a_mask_cuts_the_way_up_but_not_the_way_on() -> None:
    case = make_case(E=3, L=2)
    plain = reference.forward(case.parameters, case.x, case.states)
    ones, zeros = np.ones((T, N, H)), np.zeros((T, N, H))

    top_dropped = reference.forward(case.parameters, case.x, case.states, [ones, zeros])
    np.testing.assert_array_equal(
        top_dropped.logits, np.broadcast_to(case.parameters["decoder.bias"], (T, N, V))
    )
    np.testing.assert_array_equal(top_dropped.states, plain.states)

    bottom_dropped = reference.forward(case.parameters, case.x, case.states, [zeros, ones])
    np.testing.assert_array_equal(bottom_dropped.states[0], plain.states[0])
    other_text = reference.forward(case.parameters, (case.x + 1) % V, case.states, [zeros, ones])
    np.testing.assert_array_equal(bottom_dropped.logits, other_text.logits)


def test_one_hot_is_an_embedding_by_the_unit_matrix() -> None:
    case = make_case(E=0, L=2)
    embedded = {"embedding.weight": np.eye(V)} | case.parameters
    value, gradients, _ = reference.gradients(case.parameters, case.x, case.y, case.states)
    value_embedded, gradients_embedded, _ = reference.gradients(
        embedded, case.x, case.y, case.states
    )
    assert value_embedded == value
    for name in gradients:
        np.testing.assert_array_equal(gradients_embedded[name], gradients[name])


def test_narrow_types_are_computed_in_float64_and_left_alone() -> None:
    case = make_case(E=3, L=2)
    narrow = {name: p.astype(np.float32) for name, p in case.parameters.items()}
    wide = {name: p.astype(np.float64) for name, p in narrow.items()}
    before = {name: p.copy() for name, p in narrow.items()}
    x, y = case.x.astype(np.uint8), case.y.astype(np.uint16)
    value, gradients, _ = reference.gradients(narrow, x, y, case.states)
    assert value == reference.loss(wide, case.x, case.y, case.states)
    assert {g.dtype for g in gradients.values()} == {np.dtype(np.float64)}
    for name in narrow:
        np.testing.assert_array_equal(narrow[name], before[name])


# By hand
# --------------------------------------------------------------------------------------------------


def test_one_lstm_step_by_hand() -> None:
    """sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4, tanh(ln 3 / 2) = 1/2, sigmoid(-ln 3) = 1/4, and the
    cell holds 2.
    """
    step = reference.lstm_step(np.array([[0.0, log(3), log(3) / 2, -log(3)]]), np.array([[2.0]]))
    assert step.c.item() == pytest.approx(0.75 * 2 + 0.5 * 0.5, rel=1e-14)  # 1.75
    assert step.h.item() == pytest.approx(0.25 * 0.94137554, rel=1e-8)  # tanh(1.75) = 0.94137554

    dz, dc_before = reference.lstm_step_back(step, dh=np.array([[1.0]]), dc=np.array([[3.0]]))
    dc = 3 + 0.25 * (1 - tanh(1.75) ** 2)
    by_hand = [
        dc * 0.5 * 0.5 * 0.5,
        dc * 2 * 0.75 * 0.25,
        dc * 0.5 * (1 - 0.25),
        tanh(1.75) * 0.25 * 0.75,
    ]
    assert dz[0].tolist() == pytest.approx(by_hand, rel=1e-14)
    assert dc_before.item() == pytest.approx(dc * 0.75, rel=1e-14)


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
    value, _, final = reference.gradients(parameters, np.array([[1]]), np.array([[0]]), states)
    assert final[0][0].tolist() == [pytest.approx([h_0, h_1], rel=1e-13)]
    assert final[0][1].tolist() == [pytest.approx([c_0, c_1], rel=1e-13)]
    assert value == pytest.approx(nats, rel=1e-13)


def test_a_decoder_of_zeros_costs_the_logarithm_of_the_symbols() -> None:
    case = make_case(E=3, L=1)
    blind = case.parameters | {"decoder.weight": np.zeros((V, H)), "decoder.bias": np.zeros(V)}
    assert reference.loss(blind, case.x, case.y, reference.zero_states(N, H, L=1)) == pytest.approx(
        log(V), rel=1e-14
    )


def test_nothing_overflows() -> None:
    """Gates and logits in the thousands; a warning would fail the test."""
    logits = np.array([[[3000.0, 0.0, -3000.0]]])
    assert reference.cross_entropy(logits, np.array([[0]])) == 0
    assert reference.cross_entropy(logits, np.array([[2]])) == 6000
    assert reference.cross_entropy_back(logits, np.array([[2]])).tolist() == [[[1, 0, -1]]]
    assert reference.sigmoid(np.array([-3000.0, 0.0, 3000.0])).tolist() == [0, 0.5, 1]


def test_adam_two_steps_by_hand() -> None:
    """Gradients 2 then -5 with beta1 = 1/2, beta2 = 3/4; an epsilon of 1/2 shows where it stands.

    Step 1: m = 1, v = 1; corrected by 1/2 and 1/4: 2 and 4; p = 1 - 0.1 * 2 / (2 + 1/2). Step 2: m
    = 1/2 - 5/2 = -2, v = 3/4 + 25/4 = 7; corrected by 3/4 and 7/16: -8/3 and 16; p += 0.1 * 8/3 /
    (4 + 1/2).
    """
    settings = {"learning_rate": 0.1, "beta1": 0.5, "beta2": 0.75, "epsilon": 0.5}
    start = {"p": np.array([1.0])}
    first, slots = reference.adam(start, {"p": np.array([2.0])}, {}, step=1, **settings)
    assert first["p"].item() == pytest.approx(0.92, rel=1e-14)
    assert [slot.item() for slot in slots["p"]] == [1, 1]
    second, slots = reference.adam(first, {"p": np.array([-5.0])}, slots, step=2, **settings)
    assert second["p"].item() == pytest.approx(0.92 + 0.8 / 13.5, rel=1e-14)
    assert [slot.item() for slot in slots["p"]] == [-2, 7]
    assert start["p"].item() == 1


def test_adam_defaults_are_the_papers() -> None:
    """With them the first step is the learning rate against the sign, whatever the size."""
    stepped, slots = reference.adam(
        {"p": np.zeros(2)}, {"p": np.array([1e-3, -50.0])}, {}, 1, learning_rate=0.01
    )
    assert stepped["p"].tolist() == pytest.approx(
        [-0.01 / (1 + 1e-5), 0.01 / (1 + 2e-10)], rel=1e-13
    )
    assert slots["p"][0].tolist() == pytest.approx([1e-4, -5], rel=1e-13)
    assert slots["p"][1].tolist() == pytest.approx([1e-9, 2.5], rel=1e-12)


@pytest.mark.parametrize(
    ("clip_norm", "clip_value", "a", "b"),
    [
        (0, 0, [3.0, -4.0], [[12.0]]),  # neither
        (0, 3.5, [3.0, -3.5], [[3.5]]),  # by value alone
        (6.5, 0, [1.5, -2.0], [[6.0]]),  # the norm is 13: halved
        (13, 0, [3.0, -4.0], [[12.0]]),  # just within
        (100, 0, [3.0, -4.0], [[12.0]]),  # never scaled up
        (3, 1, [1.0, -1.0], [[1.0]]),  # value first: the norm left is sqrt(3)
        (3**0.5 / 2, 1, [0.5, -0.5], [[0.5]]),  # then half of that
    ],
)
def test_clipping_by_hand(
    clip_norm: float, clip_value: float, a: list[float], b: list[list[float]]
) -> None:
    gradients = {"a": np.array([3.0, -4.0]), "b": np.array([[12.0]])}
    assert reference.global_norm(gradients) == 13
    clipped = reference.clip(gradients, clip_norm, clip_value)
    np.testing.assert_allclose(clipped["a"], a, rtol=1e-14)
    np.testing.assert_allclose(clipped["b"], b, rtol=1e-14)
    assert gradients["b"].item() == 12


def test_a_gradient_of_zero_can_be_clipped() -> None:
    assert reference.clip({"a": np.zeros(3)}, clip_norm=1.0, clip_value=1.0)["a"].tolist() == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(("E", "D"), [(0, V), (3, 3)])
def test_parameters_have_pytorchs_names_and_shapes(E: int, D: int) -> None:
    parameters = reference.random_parameters(np.random.default_rng(0), V, E, H, L=2)
    shapes = {name: parameter.shape for name, parameter in parameters.items()}
    embedding = {"embedding.weight": (V, E)} if E else {}
    assert shapes == embedding | {
        "rnn.weight_ih_l0": (4 * H, D),
        "rnn.weight_hh_l0": (4 * H, H),
        "rnn.bias_ih_l0": (4 * H,),
        "rnn.weight_ih_l1": (4 * H, H),
        "rnn.weight_hh_l1": (4 * H, H),
        "rnn.bias_ih_l1": (4 * H,),
        "decoder.weight": (V, H),
        "decoder.bias": (V,),
    }
