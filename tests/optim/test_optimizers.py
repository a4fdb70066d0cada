"""Optimizers by hand, against float64 and on hills of known shape; penalties; clipping."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from charrnn.compiler.compiling import OPTIMIZER_MODULES, kernel_modules, kernels_in
from charrnn.config.training import TrainConfig
from charrnn.network.parameters import Parameters, tensors_of
from charrnn.optim.optimizers import (
    OPTIMIZERS,
    Clipper,
    coefficients_of,
    penalties_of,
    update_parameters,
)
from charrnn.runtime.threads import Workers
from tests.reference import optimizers as reference
from tests.reference.small import adam, plain_model

ONE = Workers(1)
PLAIN = [name for name, optimizer in OPTIMIZERS.items() if not optimizer.rotates]
"""The others: `test_rotation`."""
Gradient = Callable[[np.ndarray], np.ndarray]


def layout(hidden: int = 3) -> Parameters:
    return Parameters(tensors_of(plain_model(vocab_size=5, hidden=hidden, layers=1)))


def step(
    w: Parameters,
    g: Parameters,
    slots: dict[str, Parameters],
    config: TrainConfig,
    t: int,
    workers: Workers = ONE,
    anchor: Parameters | None = None,
) -> None:
    optimizer, rate = OPTIMIZERS[config.optimizer], coefficients_of(config).learning_rate
    clipper = Clipper(w, workers, config.clip_value, config.clip_norm)
    _, scale = clipper.measure(g.flat)
    rule, penalties = optimizer.rule(config, rate, t), penalties_of(config, rate)
    clip = clipper.limit, scale
    update_parameters(optimizer, w, g, slots, rule, clip, workers, penalties, anchor)


def slots_of(w: Parameters, name: str) -> dict[str, Parameters]:
    return {slot: w.like() for slot in OPTIMIZERS[name].slots}


# Hills
# --------------------------------------------------------------------------------------------------


def descend(
    name: str, gradient: Gradient, start: list[float], settings: dict[str, float], steps: int
) -> np.ndarray:
    """Where the optimizer comes to, in the first elements of a vector, the rest of which must stay
    where it is.
    """
    config = TrainConfig(optimizer=name, weight_decay=0, **settings)
    optimizer, rate = OPTIMIZERS[name], coefficients_of(config).learning_rate
    w = layout()
    g, slots = w.like(), slots_of(w, name)
    w.flat[: len(start)] = start
    unclipped = np.float32(np.inf), np.float32(1)
    for t in range(1, steps + 1):
        g.flat[: len(start)] = gradient(w.flat[: len(start)].astype(np.float64))
        update_parameters(optimizer, w, g, slots, optimizer.rule(config, rate, t), unclipped, ONE)
    assert not w.flat[len(start) :].any()
    return w.flat[: len(start)]


def parabola(w: np.ndarray) -> np.ndarray:
    return np.array([1.0, 30.0, 0.1]) * (w - [3, -1, 0.5])


def rosenbrock(w: np.ndarray) -> np.ndarray:
    x, y = w
    return np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])


PARABOLA = {
    "sgd": ({"learning_rate": 0.06}, 1000),
    "momentum": ({"learning_rate": 0.02}, 600),
    "nesterov": ({"learning_rate": 0.02}, 600),
    "adagrad": ({"learning_rate": 1.0}, 500),
    "adadelta": ({"learning_rate": 1.0}, 2000),
    "rmsprop": ({"learning_rate": 0.002}, 2500),
    "adam": ({"learning_rate": 0.05}, 1500),
    "adamw": ({"learning_rate": 0.05}, 1500),
}
ROSENBROCK = {
    "sgd": ({"learning_rate": 0.0015}, 20000),
    "momentum": ({"learning_rate": 0.0005}, 8000),
    "nesterov": ({"learning_rate": 0.0005}, 8000),
    "adagrad": ({"learning_rate": 0.5}, 10000),
    "adadelta": ({"learning_rate": 0.3, "rho": 0.9, "epsilon": 1e-8}, 10000),
    "rmsprop": ({"learning_rate": 0.001}, 10000),
    "adam": ({"learning_rate": 0.02}, 8000),
    "adamw": ({"learning_rate": 0.02}, 8000),
}


@pytest.mark.parametrize("name", PLAIN)
def test_parabola(name: str) -> None:
    np.testing.assert_allclose(
        descend(name, parabola, [0, 0, 0], *PARABOLA[name]), [3, -1, 0.5], atol=2e-3
    )


@pytest.mark.parametrize("name", PLAIN)
def test_rosenbrock(name: str) -> None:
    np.testing.assert_allclose(
        descend(name, rosenbrock, [-1.2, 1.0], *ROSENBROCK[name]), [1, 1], atol=0.02
    )


# By hand
# --------------------------------------------------------------------------------------------------

BY_HAND: list[tuple[str, dict[str, Any], list[float], list[float], dict[str, float]]] = [
    # w is 1 at first; (optimizer, settings, three gradients, w after each, slots at the end), all
    # computed on paper
    ("sgd", {"learning_rate": 0.1}, [2, -1, 2], [0.8, 0.9, 0.7], {}),
    # v = 2, 0, 2
    ("momentum", {"learning_rate": 0.1, "momentum": 0.5}, [2, -1, 2], [0.8, 0.8, 0.6], {"v": 2}),
    # v = 2, 0, 2; steps of 2 + 1, -1 + 0, 2 + 1
    ("nesterov", {"learning_rate": 0.1, "momentum": 0.5}, [2, -1, 2], [0.7, 0.8, 0.5], {"v": 2}),
    # s = 9, 25, 169; steps of 3/3, 4/5, 12/13
    ("adagrad", {"learning_rate": 0.13}, [3, 4, 12], [0.87, 0.766, 0.646], {"s": 169}),
    # s = 4, 4, 4; steps of 4/(2 + 1), 2/3, -2/3
    (
        "rmsprop",
        {"learning_rate": 0.3, "rho": 0.75, "epsilon": 1.0},
        [4, 2, -2],
        [0.6, 0.4, 0.6],
        {"s": 4},
    ),
    # s = 8, 6, 11; d = 4/3, -2 sqrt(17/63), 4 sqrt(125/756); u = 8/9, 62/63, then 31/63 + 500/378
    (
        "adadelta",
        {"learning_rate": 0.3, "rho": 0.5, "epsilon": 1.0},
        [4, -2, 4],
        [0.6, 0.911678, 0.423727],
        {"s": 11, "u": 1.814815},
    ),
    # m = 2, 0, 1 over 1/2, 3/4, 7/8; v = 4, 4, 4 over 1/4, 7/16, 37/64
    (
        "adam",
        {"learning_rate": 0.1, "beta1": 0.5, "beta2": 0.75},
        [4, -2, 2],
        [0.9, 0.9, 0.8565517],
        {"m": 1, "v": 4},
    ),
    # the same steps from 0.95, 0.95 * 0.85, 0.95 * 0.8075
    (
        "adamw",
        {"learning_rate": 0.1, "beta1": 0.5, "beta2": 0.75, "weight_decay": 0.5},
        [4, -2, 2],
        [0.85, 0.8075, 0.7236767],
        {"m": 1, "v": 4},
    ),
]


@pytest.mark.parametrize(
    ("name", "settings", "gradients", "places", "slots_after"), BY_HAND, ids=lambda v: str(v)[:9]
)
def test_three_steps_by_hand(
    name: str,
    settings: dict[str, Any],
    gradients: list[float],
    places: list[float],
    slots_after: dict[str, float],
) -> None:
    config = TrainConfig(optimizer=name, clip_norm=0, **settings)
    w = layout()
    g, slots = w.like(), slots_of(w, name)
    w.flat[:2] = 1, -1
    for t, (gradient, place) in enumerate(zip(gradients, places, strict=True), 1):
        g.flat[:2] = gradient, -gradient
        step(w, g, slots, config, t)
        np.testing.assert_allclose(w.flat[:3], [place, -place, 0], rtol=2e-6)
    found = {slot: values.flat[0] for slot, values in slots.items()}
    assert found == pytest.approx(slots_after, rel=1e-6)


def test_every_optimizer_is_in_the_tables() -> None:
    for table in (
        PARABOLA,
        ROSENBROCK,
        reference.RULES,
        {name for name, *_ in BY_HAND},
    ):
        assert set(table) == set(PLAIN)
    assert set(OPTIMIZER_MODULES) == set(OPTIMIZERS)


def test_what_is_left_open_is_filled_in() -> None:
    names = ("learning_rate", "rho", "epsilon", "weight_decay")
    found = {
        name: tuple(getattr(coefficients_of(TrainConfig(optimizer=name)), field) for field in names)
        for name in OPTIMIZERS
    }
    assert found == {
        "sgd": (1.0, 0, 0, 0),
        "momentum": (0.1, 0, 0, 0),
        "nesterov": (0.1, 0, 0, 0),
        "adagrad": (0.01, 0, 1e-10, 0),
        "adadelta": (1.0, 0.95, 1e-6, 0),
        "rmsprop": (0.002, 0.9, 1e-8, 0),
        "adam": (0.003, 0, 1e-8, 0),
        "adamw": (0.003, 0, 1e-8, 0.01),
        "soap": (0.003, 0, 1e-8, 0.01),
    }
    given = coefficients_of(
        TrainConfig(optimizer="rmsprop", learning_rate=0.5, rho=0.0, epsilon=0.1, weight_decay=0.2)
    )
    assert [getattr(given, field) for field in names] == [0.5, 0, 0.1, 0.2]
    assert coefficients_of(TrainConfig(optimizer="adamw", weight_decay=0.0)).weight_decay == 0


# Against float64
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "penalties", [{}, {"l1": 0.01, "l2": 0.02, "weight_decay": 0.03}], ids=["plain", "penalties"]
)
@pytest.mark.parametrize("name", PLAIN)
def test_fifty_steps_are_the_references(name: str, penalties: dict[str, float]) -> None:
    """Random gradients that depend on the weights, clipped both ways; padding stays zero; threads
    do not matter.
    """
    settings = {"clip_value": 1.5, "clip_norm": 12.0, **penalties}
    config = TrainConfig(
        optimizer=name, learning_rate=1.0 if name == "adadelta" else 0.005, **settings
    )
    rate, two = coefficients_of(config).learning_rate, Workers(2, processors=2)
    rng = np.random.default_rng(0)
    w, other = layout(hidden=21), layout(hidden=21)
    # far enough from zero that no sign changes, which would multiply a rounding error
    start = {
        t.name: (rng.choice([-1, 1], t.disk_shape) * rng.uniform(0.6, 2, t.disk_shape))
        for t in w.tensors
    }
    start = {tensor: array.astype(np.float32) for tensor, array in start.items()}
    noise = [
        {t.name: 0.3 * rng.normal(size=t.disk_shape).astype(np.float32) for t in w.tensors}
        for _ in range(50)
    ]
    w.from_disk(start)
    other.from_disk(start)
    slots, other_slots = slots_of(w, name), slots_of(w, name)
    exact = {tensor: array.astype(np.float64) for tensor, array in start.items()}
    exact_slots: dict[str, dict[str, np.ndarray]] = {tensor: {} for tensor in start}
    for t, random in enumerate(noise, 1):
        for weights, kept, workers in ((w, slots, ONE), (other, other_slots, two)):
            g = w.like()
            g.from_disk(
                {
                    tensor: array + np.sin(weights_of(weights, tensor))
                    for tensor, array in random.items()
                }
            )
            step(weights, g, kept, config, t, workers)
        gradient = {tensor: array + np.sin(exact[tensor]) for tensor, array in random.items()}
        clipped = reference.clip(gradient, 12.0, 1.5)
        for tensor, value in exact.items():
            decays, places = (
                float("bias" not in tensor),
                (value, clipped[tensor], exact_slots[tensor]),
            )
            exact[tensor] = reference.step(name, *places, t, rate, decays, **penalties)
    two.close()
    for tensor, array in w.to_disk():
        np.testing.assert_allclose(array, exact[tensor], atol=1e-5, err_msg=tensor)
        for slot, values in slots.items():
            found = dict(values.to_disk())[tensor]
            np.testing.assert_allclose(
                found, exact_slots[tensor][slot], rtol=2e-3, atol=1e-4, err_msg=f"{slot} {tensor}"
            )
    np.testing.assert_array_equal(w.flat, other.flat)
    again = w.like()
    again.from_disk(dict(w.to_disk()))
    np.testing.assert_array_equal(
        w.flat, again.flat
    )  # what is on disk is all there is: padding is zero


def weights_of(w: Parameters, name: str) -> np.ndarray:
    return dict(w.to_disk())[name]


# Penalties
# --------------------------------------------------------------------------------------------------


def test_penalties_by_hand() -> None:
    """g = 1 + 0.5 w + 0.25 sign(w); w is first made less by 0.1 * 0.2 of itself. A bias sees the
    gradient only.
    """
    config = TrainConfig(
        optimizer="sgd", learning_rate=0.1, l1=0.25, l2=0.5, weight_decay=0.2, clip_norm=0
    )
    w = layout()
    g = w.like()
    w["rnn.weight_hh_l0"][0, :3] = 2, -2, 0
    w["rnn.bias_ih_l0"][:3] = 2, -2, 0
    for name in ("rnn.weight_hh_l0", "rnn.bias_ih_l0"):
        g[name].flat[:2] = 1, 1
    step(w, g, {}, config, 1)
    np.testing.assert_allclose(w["rnn.weight_hh_l0"][0, :4], [1.735, -1.935, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(w["rnn.bias_ih_l0"][:4], [1.9, -2.1, -0.0, 0], rtol=1e-6)


def test_decay_towards_an_anchor_by_hand() -> None:
    """w += 0.1 * 0.2 (w0 - w) and then w -= 0.1 (1 + 0.5 w): l2 still pulls towards zero."""
    config = TrainConfig(optimizer="sgd", learning_rate=0.1, l2=0.5, weight_decay=0.2, clip_norm=0)
    w = layout()
    g, anchor = w.like(), w.like()
    for name in ("rnn.weight_hh_l0", "rnn.bias_ih_l0"):
        w[name].flat[:3], anchor[name].flat[:3], g[name].flat[:2] = (2, -2, 0), (1, 1, 1), (1, 1)
    step(w, g, {}, config, 1, anchor=anchor)
    np.testing.assert_allclose(w["rnn.weight_hh_l0"][0, :4], [1.78, -1.94, 0.02, 0], rtol=1e-6)
    np.testing.assert_allclose(w["rnn.bias_ih_l0"][:4], [1.9, -2.1, 0, 0], rtol=1e-6)


def test_an_anchor_holds_what_has_no_gradient() -> None:
    """Decay leaves weights that are at their anchor as they are, to the bit; zero is an anchor like
    any other.
    """
    config = TrainConfig(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    w, slots = layout(hidden=16), {slot: layout(hidden=16) for slot in ("m", "v")}
    w.flat[:] = np.random.default_rng(2).standard_normal(w.flat.size, np.float32)
    before = w.copy()
    step(w, w.like(), slots, config, 1, anchor=before)
    np.testing.assert_array_equal(w.flat, before.flat)
    step(w, w.like(), slots, config, 2, anchor=w.like())
    towards_zero = before.copy()
    step(towards_zero, w.like(), slots, config, 2)
    np.testing.assert_allclose(w.flat, towards_zero.flat, rtol=1e-6)


def test_clipping_comes_before_the_penalties() -> None:
    config = TrainConfig(optimizer="sgd", learning_rate=1.0, l2=0.5, clip_norm=1.0, clip_value=3.0)
    w = layout()
    g = w.like()
    w["decoder.weight"][0, 0] = 8
    g["decoder.weight"][0, 0] = 100
    step(w, g, {}, config, 1)
    assert w["decoder.weight"][0, 0] == 8 - 1 - 4


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("penalty", ["l1", "l2", "weight_decay"])
def test_only_weights_decay(name: str, penalty: str) -> None:
    """Without a gradient every weight moves towards zero, and no bias moves."""
    config = TrainConfig(
        optimizer=name, **{"learning_rate": 0.01, "weight_decay": 0.0, penalty: 0.1}
    )
    w = layout(hidden=16)
    rng = np.random.default_rng(2)
    w.from_disk(
        {t.name: rng.choice([-1.0, 1.0], t.disk_shape).astype(np.float32) for t in w.tensors}
    )
    before = dict(w.to_disk())
    slots = slots_of(w, name)
    for t in (1, 2):
        step(w, w.like(), slots, config, t)
    for tensor, array in w.to_disk():
        if "bias" in tensor:
            np.testing.assert_array_equal(array, before[tensor])
        else:
            assert (np.sign(array) == before[tensor]).all() and (np.abs(array) < 1).all(), tensor


def test_regions_cover_the_vector() -> None:
    config = plain_model(vocab_size=5, hidden=7, layers=3, embedding=4)
    w = Parameters(tensors_of(config))
    starts, stops, decays = zip(*w.regions, strict=True)
    assert starts == (0, *stops[:-1]) and stops[-1] == w.flat.size
    assert all(one != following for one, following in pairwise(decays))
    marks = w.like()
    for start, stop, does in w.regions:
        marks.flat[start:stop] = does
    assert {name: set(view.ravel()) for name, view in marks.views.items()} == {
        t.name: {float("bias" not in t.name)} for t in w.tensors
    }


# Loading
# --------------------------------------------------------------------------------------------------

LOADED = """
import sys
from charrnn.compiler import compiling
names = []
compiling.listeners.append(lambda name, cached: names.append(name))
import charrnn.training.loop
def count(*names):
    return sum(map(len, map(compiling.kernels_in, compiling.kernel_modules(*names))))
assert len(names) == count(), names
assert not {f"charrnn.kernels.{m}" for m in compiling.OPTIMIZER_MODULES.values()} & set(sys.modules)
from charrnn.cli.kernel_loading import load_kernels
from charrnn.optim.optimizers import OPTIMIZERS
OPTIMIZERS["rmsprop"].kernel
assert len(names) == count("rmsprop"), names
load_kernels("rmsprop", "gru-after", quiet=True)
both, alone = (count("rmsprop", *cell) for cell in (["gru-after"], []))
assert len(names) == both == alone + 2, names
cells = {n[22:] for n in sys.modules if n.startswith("charrnn.network.cells.")}
assert cells - {"cell", "forms"} == {"gru_after"}
assert "adam.adam" not in names and "descent.sgd" not in names and "adaptive.rmsprop" in names
"""


def test_only_the_kernels_of_one_optimizer_and_cell_are_loaded() -> None:
    subprocess.run([sys.executable, "-c", LOADED], check=True)
    counts = [
        sum(map(len, map(kernels_in, kernel_modules(*names))))
        for names in ([], ["adam"], ["adamw"], ["adagrad"])
    ]
    assert counts[0] < counts[1] == counts[2] < counts[3]


# Clipping
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip_value", "clip_norm"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.7), (0.5, 1.5), (9.0, 1e6)]
)
def test_adam_and_clipping_are_the_references(clip_value: float, clip_norm: float) -> None:
    config = adam(learning_rate=0.01, clip_value=clip_value, clip_norm=clip_norm)
    rng = np.random.default_rng(0)
    for workers in (ONE, Workers(2, processors=2)):
        w = layout(hidden=40)
        g, slots = w.like(), slots_of(w, "adam")
        start = {t.name: rng.normal(scale=0.5, size=t.disk_shape) for t in w.tensors}
        w.from_disk({name: array.astype(np.float32) for name, array in start.items()})
        exact = dict(w.to_disk())
        exact_slots: dict[str, dict[str, np.ndarray]] = {name: {} for name in exact}
        for t in range(1, 6):
            gradient = {
                name: rng.normal(size=array.shape).astype(np.float32)
                for name, array in exact.items()
            }
            g.from_disk(gradient)
            step(w, g, slots, config, t, workers)
            clipped = reference.clip(gradient, clip_norm, clip_value)
            for name, value in exact.items():
                places = value, clipped[name], exact_slots[name]
                exact[name] = reference.step("adam", *places, t, 0.01, 1.0)
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
    two = Workers(2, processors=2)
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
    config = adam(epsilon=1e-15, clip_norm=1)
    w = layout()
    w.flat[:] = 1
    slots = slots_of(w, "adam")
    for t in range(1, 4):
        step(w, w.like(), slots, config, t)
    assert (w.flat == 1).all()
