"""Optimisers by hand and on hills of known shape; clipping; schedules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from charrnn.config import ModelConfig, TrainConfig
from charrnn.optimizers import OPTIMIZERS, Clipper, update_parameters
from charrnn.parameters import Parameters, tensors_of
from charrnn.schedules import SCHEDULES
from charrnn.workers import Workers
from tests import reference

ONE = Workers(1)
Gradient = Callable[[np.ndarray], np.ndarray]


def layout(hidden: int = 3) -> Parameters:
    return Parameters(tensors_of(ModelConfig(vocab_size=5, hidden=hidden, layers=1), 4))


def step(
    w: Parameters, g: Parameters, slots: dict[str, Parameters], config: TrainConfig, t: int, workers: Workers = ONE
) -> None:
    optimizer = OPTIMIZERS[config.optimizer]
    clipper = Clipper(w, workers, config.clip_value, config.clip_norm)
    _, scale = clipper.measure(g.flat)
    rule = optimizer.rule(config, config.learning_rate, t)
    update_parameters(optimizer, w, g, slots, rule, (clipper.limit, scale), workers)


def slots_of(w: Parameters, name: str) -> dict[str, Parameters]:
    return {slot: w.like() for slot in OPTIMIZERS[name].slots}


def descend(name: str, gradient: Gradient, start: list[float], rate: float, steps: int) -> np.ndarray:
    """Where the optimiser comes to, in the first elements of a vector, the rest of which must stay where it is."""
    config = TrainConfig(optimizer=name, learning_rate=rate, clip_norm=0)
    w = layout()
    g, slots = w.like(), slots_of(w, name)
    w.flat[: len(start)] = start
    for t in range(1, steps + 1):
        g.flat[: len(start)] = gradient(w.flat[: len(start)].astype(np.float64))
        step(w, g, slots, config, t)
    assert not w.flat[len(start) :].any()
    return w.flat[: len(start)]


def parabola(w: np.ndarray) -> np.ndarray:
    return np.array([1.0, 30.0, 0.1]) * (w - [3, -1, 0.5])


def rosenbrock(w: np.ndarray) -> np.ndarray:
    x, y = w
    return np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])


@pytest.mark.parametrize(("name", "rate", "steps"), [("adam", 0.05, 1500)])
def test_parabola(name: str, rate: float, steps: int) -> None:
    np.testing.assert_allclose(descend(name, parabola, [0, 0, 0], rate, steps), [3, -1, 0.5], atol=2e-3)


@pytest.mark.parametrize(("name", "rate", "steps"), [("adam", 0.02, 8000)])
def test_rosenbrock(name: str, rate: float, steps: int) -> None:
    np.testing.assert_allclose(descend(name, rosenbrock, [-1.2, 1.0], rate, steps), [1, 1], atol=0.02)


def test_every_optimizer_is_in_the_tables() -> None:
    tables = {mark.args[1][0][0] for test in (test_parabola, test_rosenbrock) for mark in test.pytestmark}
    assert tables == set(OPTIMIZERS)


def test_adams_first_steps_by_hand() -> None:
    """The first step is the learning rate against the gradient's sign; the second was computed on paper."""
    config = TrainConfig(learning_rate=0.1, clip_norm=0, beta1=0.5, beta2=0.75, epsilon=1e-8)
    w = layout()
    g, slots = w.like(), slots_of(w, "adam")
    w.flat[:2] = 1, 1
    g.flat[:2] = 4, -0.25
    step(w, g, slots, config, 1)
    np.testing.assert_allclose(w.flat[:3], [0.9, 1.1, 0], rtol=1e-6)
    np.testing.assert_allclose([slots["m"].flat[0], slots["v"].flat[0]], [2, 4])
    g.flat[:2] = -2, -0.25
    step(w, g, slots, config, 2)
    # m = 0.5 * 2 - 0.5 * 2 = 0;  v = 0.75 * 4 + 0.25 * 4 = 4
    np.testing.assert_allclose([slots["m"].flat[0], slots["v"].flat[0]], [0, 4])
    np.testing.assert_allclose(w.flat[:2], [0.9, 1.2], rtol=1e-6)


@pytest.mark.parametrize(("clip_value", "clip_norm"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.7), (0.5, 1.5), (9.0, 1e6)])
def test_adam_and_clipping_are_the_references(clip_value: float, clip_norm: float) -> None:
    config = TrainConfig(learning_rate=0.01, clip_value=clip_value, clip_norm=clip_norm)
    rng = np.random.default_rng(0)
    for workers in (ONE, Workers(2)):
        w = layout(hidden=40)
        g, slots = w.like(), slots_of(w, "adam")
        exact = reference.random_parameters(rng, 5, 0, 40, 1)
        w.from_disk({name: array.astype(np.float32) for name, array in exact.items()})
        exact, exact_slots = dict(w.to_disk()), {}
        for t in range(1, 6):
            gradient = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in exact.items()}
            g.from_disk(gradient)
            step(w, g, slots, config, t, workers)
            clipped = reference.clip(gradient, clip_norm, clip_value)
            exact, exact_slots = reference.adam(exact, clipped, exact_slots, t, 0.01)
        for name, array in w.to_disk():
            np.testing.assert_allclose(array, exact[name], atol=2e-5, err_msg=name)
        workers.close()


@pytest.mark.parametrize("size", [3, 40])
def test_the_norm(size: int) -> None:
    w = layout(hidden=size)
    g = w.like()
    g.flat[:] = np.random.default_rng(1).normal(size=g.flat.size)
    norm, scale = Clipper(w, ONE, 0, 2.0).measure(g.flat)
    assert norm == pytest.approx(np.linalg.norm(g.flat.astype(float)), rel=1e-12)
    assert norm > 2 and scale == pytest.approx(2 / norm)
    two = Workers(2)
    assert Clipper(w, two, 0, 2.0).measure(g.flat) == (norm, scale)
    two.close()
    assert Clipper(w, ONE, 0, 1e6).measure(g.flat) == (norm, 1)
    assert Clipper(w, ONE, 0, 0).measure(g.flat) == (norm, 1)
    limited = np.clip(g.flat, -0.5, 0.5).astype(float)
    assert Clipper(w, ONE, 0.5, 0).measure(g.flat)[0] == pytest.approx(np.linalg.norm(limited))
    assert Clipper(w, ONE, 0.5, 1).measure(w.like().flat) == (0, 1)
    g.flat[-1] = np.nan
    assert np.isnan(Clipper(w, ONE, 0, 1).measure(g.flat)[0])
    assert np.isnan(Clipper(w, ONE, 0.5, 1).measure(g.flat)[0])


def test_what_has_no_gradient_stays() -> None:
    """Padding, and symbols that do not occur, whatever the smallest epsilon that is allowed."""
    config = TrainConfig(epsilon=1e-15, clip_norm=1)
    w = layout()
    w.flat[:] = 1
    slots = slots_of(w, "adam")
    for t in range(1, 4):
        step(w, w.like(), slots, config, t)
    assert (w.flat == 1).all()


def test_schedules() -> None:
    assert [SCHEDULES["constant"](step) for step in (0, 10**6)] == [1, 1]
    assert [SCHEDULES["inverse-sqrt"](step) for step in (0, 3000, 99_000)] == pytest.approx([1, 0.5, 0.1])
