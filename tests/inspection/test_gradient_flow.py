"""The derivative by a state that lies back, against differences of losses."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.config.settings import CELL_NAMES
from charrnn.errors import ConfigError, CorpusError
from charrnn.inspection.gradient_flow import gradient_norms
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from tests.reference import cells as reference
from tests.reference.small import plain_model

V, T, N = 7, 5, 3


def model_of(cell: str, **settings: object) -> Model:
    config = plain_model(
        vocab_size=V, **{"cell": cell, "layers": 2, "hidden": 6, "dropout": 0.3, **settings}
    )  # type: ignore[arg-type]
    return Model.initialized(config, seed=1)


@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_derivatives_by_the_first_state(cell: str, adds: bool) -> None:
    """Central differences of the float64 reference's last loss, by every number of h and, where it
    is a memory, of c.
    """
    model = model_of(cell, residual=adds, skip=adds, layer_norm=adds)
    rng = np.random.default_rng(3)
    x, y = rng.integers(V, size=(2, T, N)).astype(np.int32)
    has_clock = cell == "clockwork"
    states = [
        (rng.normal(size=(N, 6)) * 0.5, np.zeros((N, 6)) if has_clock else rng.normal(size=(N, 6)))
        for _ in range(2)
    ]
    state = State(model, N)
    for layer, (h, c) in enumerate(states):
        state.h[layer, :, :6], state.c[layer, :, :6] = h, c
    found = Network(model, T, N, Workers(1), training=True).state_gradients(x, y, state)
    parameters = dict(model.parameters.to_disk())
    names = ("h", "c") if model.cell.has_memory else ("h",)
    for layer in range(2):
        for part, name in enumerate(names):
            wanted = np.empty((N, 6))
            for place in np.ndindex(N, 6):
                losses = []
                for step in (1e-5, -1e-5):
                    moved = [[part.copy() for part in pair] for pair in states]
                    moved[layer][part][place] += step
                    losses.append(
                        reference.forward(model.config, parameters, x, y, moved).losses[
                            -1, place[0]
                        ]
                    )
                wanted[place] = (losses[0] - losses[1]) / 2e-5
            values = getattr(found, name)[layer]
            np.testing.assert_allclose(
                values[:, :6], wanted, atol=2e-5 * np.abs(wanted).max(), err_msg=f"{name}{layer}"
            )
            assert not values[:, 6:].any()


def test_the_norm_of_a_linear_chain_is_a_power() -> None:
    """relu, W_h = 0.9 I, all units active and the losses' derivative by the last state nearly the
    same: 0.9^k.
    """
    model = model_of("rnn", layers=1, activation="relu", recurrent_init="identity")
    p = model.parameters
    p["rnn.weight_hh_l0"][:] *= 0.9
    p["rnn.weight_ih_l0"][:] = 0
    p.bias(0)[:6] = 1.0
    norms = gradient_norms(model, np.tile(np.arange(V), 30), lags=40, places=4)
    np.testing.assert_allclose(norms[1:] / norms[:-1], 0.9, rtol=1e-4)


def test_documented_errors_and_shape() -> None:
    model = model_of("lstm")
    norms = gradient_norms(model, np.arange(60) % V, lags=10, places=3)
    assert norms.shape == (11,) and (norms > 0).all()
    with pytest.raises(CorpusError, match="12 characters"):
        gradient_norms(model, np.zeros(11, np.uint8), lags=10)
    with pytest.raises(ConfigError, match="at least 1"):
        gradient_norms(model, np.zeros(99, np.uint8), lags=0)
