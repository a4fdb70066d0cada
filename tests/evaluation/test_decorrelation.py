"""Gradients of dynamic evaluation after the layers' outputs have been made independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charrnn.config.settings import DynamicConfig
from charrnn.evaluation import decorrelation
from charrnn.evaluation.decorrelation import DAMPING, Decorrelation
from charrnn.evaluation.dynamic import evaluate_dynamic
from charrnn.kernels.adapting import invert
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.network.parameters import Floats
from charrnn.runtime.threads import Workers
from tests.reference.small import plain_model

V, H, T, N = 7, 20, 12, 3
rng = np.random.default_rng(5)
X, Y = (rng.integers(V, size=(T, N)).astype(np.int32) for _ in range(2))


def made(**settings: Any) -> Model:
    return Model.initialized(plain_model(vocab_size=V, hidden=H, layers=2, **settings), 3)


def independent(gradient: Floats, inputs: Floats) -> np.ndarray:
    """(C / c + 0.3 I)^-1 times the gradient, in float64; the padding has no mean."""
    x = inputs.reshape(-1, inputs.shape[-1]).astype(np.float64)
    C = x.T @ x
    c = np.diagonal(C)[np.diagonal(C) > 0].mean()
    return np.asarray(np.linalg.solve(C / c + DAMPING * np.eye(len(C)), gradient))


@pytest.mark.parametrize(
    "settings",
    [
        {"layer_norm": False},
        {"layer_norm": True, "attention": 16},
        {"layer_norm": True, "residual": True, "skip": True},
        {"cell": "gru-after"},
        {"cell": "depth-gated", "layer_norm": True},
        {"embedding": 6, "mogrifier": 5, "layer_norm": True},
        {"embedding": 6, "mogrifier": 2},
    ],
)
@pytest.mark.parametrize("has_starts", [False, True])
def test_gradients_by_what_the_weights_read(
    settings: dict[str, Any], has_starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decorrelation, "FIRST", T * N)
    model = made(**settings)
    network, starts = Network(model, T, N, Workers(2), training=True), None
    if has_starts:
        starts = np.zeros((T, N), np.bool_)
        starts[5, 1] = starts[0, 2] = True
    decorrelate = Decorrelation(network)

    def gradients(**how: Any) -> dict[str, Floats]:
        _, gradient = network.gradients(X, Y, State(model, N), None, starts, **how)
        return {name: view.copy() for name, view in gradient.views.items()}

    plain = gradients()
    h = [layer.h[:T].copy() for layer in network.layers]
    scaled = network.layers[0].mogrifier.last_h.copy()
    out = [layer.out[:T].copy() for layer in network.layers]
    by_states = not model.config.layer_norm  # what a layer hands on is its state, or a copy
    first = gradients(decorrelate=decorrelate)
    for name, gradient in plain.items():  # nothing is known yet
        np.testing.assert_array_equal(first[name], gradient)
    found, changed = gradients(decorrelate=decorrelate), set()
    for layer in range(2):
        read = {f"rnn.weight_hh_l{layer}": h[layer]}
        above = h[layer] if by_states else out[layer]
        if layer == 0:
            read |= {"rnn.weight_ih_l1": above, "rnn.weight_m1_l0": h[0]}
            if model.config.mogrifier:  # the last of five rounds reads what W_h reads
                read |= {"rnn.weight_hh_l0": scaled, "rnn.weight_m5_l0": scaled}
        if layer == 1:
            read |= {"decoder.weight": above, "attention.weight": above}
        elif settings.get("skip"):
            read["decoder.weight_l0"] = above
        for name, inputs in read.items():
            if name in plain:
                expected = independent(plain[name], inputs)
                scale = np.abs(expected).max()
                np.testing.assert_allclose(found[name], expected, atol=1e-4 * scale)
                assert np.abs(found[name] - plain[name]).max() > 0.01 * scale
                changed.add(name)
    for name in plain.keys() - changed:
        np.testing.assert_array_equal(found[name], plain[name])


def test_the_inverse_is_one() -> None:
    a = rng.normal(size=(40, 37))
    matrix = a.T @ a + 0.1 * np.eye(37)
    found = matrix.copy()
    invert(found)
    np.testing.assert_allclose(found @ matrix, np.eye(37), atol=1e-9)


def test_outputs_that_are_zero_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decorrelation, "FIRST", 1)
    model = Model(plain_model(vocab_size=V, hidden=H, layers=2, layer_norm=False))
    losses = evaluate_dynamic(model, X[:, 0], DynamicConfig(0.01, 0.0, 4)).losses
    assert np.isfinite(losses).all()


def test_the_same_on_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(attention=16)
    ids = np.random.default_rng(1).integers(V, size=200).astype(np.uint8)
    config, found = DynamicConfig(0.02, 0.001, 8), []
    plain = evaluate_dynamic(model, ids, config).losses
    monkeypatch.setattr(decorrelation, "FIRST", 16)
    for threads in (1, 2, 3):
        workers = Workers(threads)
        found.append(evaluate_dynamic(model, ids, config, workers=workers).losses)
        workers.close()
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[0][:24], plain[:24])
    assert (found[0][24:] != plain[24:]).any()
    changed = ids.copy()
    changed[150:] = 0
    np.testing.assert_array_equal(
        evaluate_dynamic(model, changed, config).losses[:149], found[0][:149]
    )
