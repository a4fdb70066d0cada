"""How far back a loss is felt: the derivative of the loss at one character by the state many
characters before.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError, CorpusError
from charrnn.evaluation.evaluate import WARM_UP, Progress
from charrnn.evaluation.walk import walk
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers


def gradient_norms(
    model: Model,
    ids: NDArray[Any],
    lags: int = 100,
    *,
    places: int = 32,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """The norm of the derivative of the loss at character t by the state k characters before.

    Returns float64 (lags + 1,), over k. The state is all of h and c of all layers after k more
    characters had to be read: k = 0 is the state before the character whose prediction is scored.
    Norms are Euclidean, in nats per unit of state, and averaged over `places` places t spread
    evenly over the text; each place's state has been warmed up on up to 512 characters. In a plain
    recurrent net the norm shrinks or grows like a power of k (Hochreiter 1991; Bengio, Simard &
    Frasconi 1994; Pascanu, Mikolov & Bengio 2013).

    ids (K,), any integer type; `CorpusError` for a text too short, `ConfigError` for fewer than one
    lag or place.
    """
    if lags < 1 or places < 1:
        raise ConfigError(f"`lags` and `places` must be at least 1, not {lags} and {places}")
    warm_up = min(WARM_UP, len(ids) - lags - 2)
    if warm_up < 0:
        raise CorpusError(
            f"{lags} lags need a text of at least {lags + 2} characters; this one has {len(ids)}"
        )
    at = np.unique(np.linspace(warm_up + lags, len(ids) - 2, places).astype(np.int64))
    network = Network(model, lags + 1, len(at), Workers(1), training=True)
    state, before = State(model, len(at)), State(model, len(at))
    norms = np.empty(lags + 1)
    for step in walk(ids, None, at - lags - warm_up, warm_up + lags + 1, 1):
        k = warm_up + lags + 1 - step.read
        if k <= lags:
            before.copy_from(state)
            window = next(walk(ids, None, at - k, k + 1, k + 1))
            found = network.state_gradients(window.x, window.y, before)
            squares = sum(
                (part.astype(np.float64) ** 2).sum(axis=(0, 2)) for part in (found.h, found.c)
            )
            norms[k] = np.sqrt(squares).mean()
            if progress is not None:
                progress(lags + 1 - k, lags + 1)
        network.evaluate(step.x, step.y, state)
    return norms
