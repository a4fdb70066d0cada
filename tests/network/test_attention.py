"""Attention: against its equations in float64, and what must never change a result."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from charrnn.config import ModelConfig
from charrnn.errors import ConfigError
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.network.parameters import buckets_of
from charrnn.runtime.threads import Workers
from tests.reference.small import plain_model

V, REACH, STREAMS, STEPS = 11, 32, 3, 20
TWO = Workers(2, processors=2)
RNG = np.random.default_rng(5)
IDS = RNG.integers(V, size=(3 * STEPS + 1, STREAMS)).astype(np.int32)
IDS[STEPS:] = IDS[: 2 * STEPS + 1]  # every stream repeats itself
STARTS = np.zeros((3 * STEPS, STREAMS), np.bool_)
STARTS[STEPS + 7, 2] = True


def made(**settings: object) -> Model:
    """A network whose positions count: it would take them to be rare at first."""
    config = plain_model(vocab_size=V, embedding=6, hidden=20, layers=2, attention=REACH)
    config = ModelConfig(**{**vars(config), **settings})
    model = Model.initialized(config, 1)
    model.parameters["attention.bias"][:] = RNG.normal(-0.2, 0.05, 16)
    return model


def block(first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is read, what follows, and where the state is set to zero."""
    x, y, starts = IDS[first:last], IDS[first + 1 : last + 1], STARTS[first:last]
    return x, y, np.ascontiguousarray(starts)


def losses_of(model: Model, cuts: list[int], precision: str = "float32") -> np.ndarray:
    """The losses of the text, read in these blocks."""
    steps = max(np.diff(cuts))
    network = Network(model, int(steps), STREAMS, Workers(1), precision=precision)
    state, losses = State(model, STREAMS), []
    for first, last in pairwise(cuts):
        x, y, starts = block(first, last)
        losses.append(network.evaluate(x, y, state, starts).copy())
    return np.concatenate(losses)


def reference(model: Model) -> np.ndarray:
    """The losses by the equations of `kernels.attention`, in float64, from the same outputs."""
    network, state, p = Network(model, 3 * STEPS, STREAMS, Workers(1)), State(model, STREAMS), {}
    network.evaluate(*block(0, 3 * STEPS)[:2], state, block(0, 3 * STEPS)[2])
    for name, view in model.parameters.views.items():
        p[name] = view.astype(np.float64)
    h = network.layers[-1].out.astype(np.float64)
    z = (h @ p["decoder.weight"] + p["decoder.bias"])[..., :V]
    queries, keys = np.split(h @ p["attention.weight"], 2, axis=-1)
    losses = np.zeros((3 * STEPS, STREAMS))
    for n in range(STREAMS):
        start = 0
        for t in range(3 * STEPS):
            start = t if STARTS[t, n] else start
            total = np.exp(z[t, n])
            for i in range(max(start, t - REACH), t):
                bias = 10 * p["attention.bias"][int(np.log2(t - i))]
                a = queries[t, n] @ keys[i, n] / (2 * model.config.hidden) + bias
                total[IDS[i + 1, n]] += np.exp(a)
            losses[t, n] = np.log(total.sum() / total[IDS[t + 1, n]])
    return losses


@pytest.mark.parametrize("cell", ["lstm", "gru", "grid"])
def test_losses_are_those_of_the_equations(cell: str) -> None:
    model = made(cell=cell)
    wanted = reference(model)
    np.testing.assert_allclose(losses_of(model, [0, 20, 40, 60]), wanted, atol=2e-5)
    without = Model(ModelConfig(**{**vars(model.config), "attention": 0}))
    for name, view in without.parameters.views.items():
        view[:] = model.parameters[name]
    assert abs(losses_of(without, [0, 60]) - wanted).max() > 0.1


@pytest.mark.parametrize("cuts", [[0, 60], [0, 1, 2, 3, 50, 60], [0, 33, 60]])
def test_it_looks_back_as_far_in_blocks_of_any_length(cuts: list[int]) -> None:
    model = made()
    np.testing.assert_allclose(losses_of(model, cuts), losses_of(model, [0, 20, 40, 60]), atol=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"cell": "gru"}, {"residual": True, "skip": True}, {"layer_norm": True}]
)
def test_gradients_are_those_of_the_loss(settings: dict[str, object]) -> None:
    """Along a random direction of each tensor, by differences."""
    model = made(**settings)
    network = Network(model, STEPS, STREAMS, TWO, training=True)
    before = State(model, STREAMS)
    network.evaluate(*block(0, STEPS)[:2], before)
    x, y, starts = block(STEPS, 2 * STEPS)
    _, gradient = network.gradients(x, y, before.copy(), None, starts)
    gradient = gradient.copy()

    def loss() -> float:
        network.refresh()
        return float(network.evaluate(x, y, before.copy(), starts).mean(dtype=np.float64))

    for name, view in model.parameters.views.items():
        kept = view.copy()
        direction = RNG.normal(size=view.shape) * (gradient[name] != 0)
        step = 0.02 / np.sqrt((direction**2).sum())
        moved = []
        for sign in (1, -1):
            view[:] = kept + sign * step * direction
            moved.append(loss())
        view[:] = kept
        slope = (moved[0] - moved[1]) / (2 * step)
        size = np.sqrt((gradient[name].astype(np.float64) ** 2).sum())
        told = (gradient[name] * direction).sum()
        assert abs(slope - told) < 0.02 * size * np.sqrt((direction**2).sum() / direction.size) + (
            1e-3 * abs(told)
        ), name


@pytest.mark.parametrize("attention", [0, REACH])
def test_training_may_keep_its_distributions(attention: int) -> None:
    """Those of an evaluation, while the gradient stays the same bits."""
    model = made() if attention else Model.initialized(plain_model(vocab_size=V, hidden=20), 1)
    found = []
    for settings in (
        {},
        {"training": True, "with_distributions": True},
        {"training": True},
        {"with_distributions": True},
    ):
        network = Network(model, STEPS, STREAMS, Workers(1), **settings)
        state = State(model, STREAMS)
        for first in (0, STEPS):
            x, y, starts = block(first, first + STEPS)
            if network.panels.layers_back:
                gradient = network.gradients(x, y, state, None, starts)[1].flat
            else:
                network.evaluate(x, y, state, starts)
        p = network.probabilities(y, 2, STEPS, 1, STREAMS)
        found.append((p, gradient.copy() if settings.get("training") else None))
    (p, _), (kept, gradient), (_, other), (evaluated, _) = found
    np.testing.assert_allclose(p.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(kept, p, atol=2e-6)
    np.testing.assert_allclose(evaluated, p, atol=2e-6)
    np.testing.assert_array_equal(gradient, other)


def test_the_same_bits_on_any_number_of_threads() -> None:
    model, found = made(dropout=0.3), []
    x, y, starts = block(0, STEPS)
    for workers in (Workers(1), TWO, Workers(3, processors=3)):
        network, state = Network(model, STEPS, STREAMS, workers, training=True), State(model, 3)
        for key in (1, 2):
            loss, gradient = network.gradients(x, y, state, key, starts)
        found.append((loss, gradient.flat.tobytes(), *(each.tobytes() for each in state.arrays)))
    assert found[0] == found[1] == found[2]


def test_a_state_holds_what_was_read_last() -> None:
    model = made()
    state, network = State(model, STREAMS), Network(model, 60, STREAMS, Workers(1))
    x, y, starts = block(0, 60)
    network.evaluate(x, y, state, starts)
    (ids,), (places,) = state.ids, state.places
    assert (places == 60 % REACH).all()
    for n in range(STREAMS):
        wanted = IDS[60 - REACH : 60, n].copy()
        wanted[: max(0, (STEPS + 7) - (60 - REACH)) * (n == 2)] = -1  # before the start
        np.testing.assert_array_equal(np.roll(ids[n], -places[n]), wanted)
    copy = state.copy()
    state.reset([1])
    assert (state.ids[0, 1] == -1).all() and not state.h[:, 1].any()
    state.put(1, copy, 1)
    assert all((a == b).all() for a, b in zip(state.arrays, copy.arrays, strict=True))


def test_derivatives_by_state_and_input_go_through_it() -> None:
    """Those of the last loss: by differences of h before, in the directions of single units."""
    model = made()
    network = Network(model, STEPS, STREAMS, Workers(1), training=True)
    state = State(model, STREAMS)
    network.evaluate(*block(0, STEPS)[:2], state)
    x, y, _ = block(STEPS, 2 * STEPS)
    gradients = network.state_gradients(x, y, state.copy())
    for unit in (0, 7):
        moved = []
        for sign in (1, -1):
            other = state.copy()
            other.h[1, :, unit] += sign * 0.02
            moved.append(network.evaluate(x, y, other)[-1].astype(np.float64))
        slope = (moved[0] - moved[1]) / 0.04
        np.testing.assert_allclose(gradients.h[1, :, unit], slope, atol=2e-4)


def test_positions_share_biases_by_powers_of_two() -> None:
    assert buckets_of(9).tolist() == [3, 3, 2, 2, 2, 2, 1, 1, 0]


@pytest.mark.parametrize("reach", [8, 17, -16])
def test_the_reach_is_a_multiple_of_16(reach: int) -> None:
    with pytest.raises(ConfigError, match="attention"):
        ModelConfig(attention=reach)


def test_penalties_leave_it_alone() -> None:
    decaying = {tensor.name for tensor in made().parameters.tensors if tensor.decays}
    assert "decoder.weight" in decaying and not any("attention" in name for name in decaying)
