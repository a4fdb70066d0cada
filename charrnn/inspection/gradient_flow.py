"""How far back a loss is felt: the derivative of the loss at one character by the state many
characters before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError, CorpusError
from charrnn.evaluation.evaluate import WARM_UP
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers

Progress = Callable[[int, int], None]


def gradient_norms(
    model: Model,
    ids: NDArray[Any],
    lags: int = 100,
    *,
    places: int = 32,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """The norm of the derivative of the loss at character t by the state k characters before,
    float64 (lags + 1,), over k.

    The state is all of h and c of all layers after k more characters had to be read: k = 0 is the
    state before the character whose prediction is judged. Norms are Euclidean, in nats per unit of
    state, and averaged over `places` places t spread evenly over the text; each place's state has
    been warmed up on up to 512 characters. In a plain recurrent net the norm shrinks or grows like
    a power of k (Hochreiter 1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013).

    ids (K,), any integer type; `CorpusError` for a text too short, `ConfigError` for fewer than one
    lag or place.
    """
    if lags < 1 or places < 1:
        raise ConfigError(f"lags and places must be at least 1, not {lags} and {places}")
    warm_up = min(WARM_UP, len(ids) - lags - 2)
    if warm_up < 0:
        raise CorpusError(
            f"{lags} lags need a text of at least {lags + 2} characters; this one has {len(ids)}"
        )
    first, last = warm_up + lags, len(ids) - 2
    at = np.unique(np.linspace(first, last, places).astype(np.int64))
    workers = Workers(1)
    network = Network(model, max(lags + 1, 1), len(at), workers, training=True)
    norms = np.empty(lags + 1)
    warm = _states(network, ids, at, warm_up, lags)
    for k in range(lags + 1):
        x, y = _window(ids, at - k, k + 1)
        found = network.state_gradients(x, y, warm[k])
        squares = (found.h.astype(np.float64) ** 2).sum(axis=(0, 2)) + (
            found.c.astype(np.float64) ** 2
        ).sum(axis=(0, 2))
        norms[k] = np.sqrt(squares).mean()
        if progress is not None:
            progress(k + 1, lags + 1)
    return norms


def _window(
    ids: NDArray[Any], starts: NDArray[np.int64], steps: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """x and y (steps, N) from these places on."""
    block = np.ascontiguousarray(ids[starts[None, :] + np.arange(steps + 1)[:, None]], np.int32)
    return block[:-1], block[1:]


def _states(
    network: Network, ids: NDArray[Any], at: NDArray[np.int64], warm_up: int, lags: int
) -> list[State]:
    """The state before the character at - k is read, for k = 0, ..., lags."""
    state, before = State(network.model, len(at)), []
    for j in range(warm_up + lags + 1):
        k = warm_up + lags - j
        if k <= lags:
            kept = State(network.model, len(at))
            kept.copy_from(state)
            before.append(kept)
        network.evaluate(*_window(ids, at - k, 1), state)
    return before[::-1]
