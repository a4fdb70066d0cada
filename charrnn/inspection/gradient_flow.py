"""How far back gradients reach: the derivative of the loss at one character with respect to the
state many characters earlier.
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
from charrnn.text.vocab import checked_ids


def gradient_norms(
    model: Model,
    ids: NDArray[Any],
    lags: int = 100,
    *,
    places: int = 32,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """The norm of the derivative of the loss at character t with respect to the state k characters
    earlier.

    Returns float64 (lags + 1,), indexed by k. The state consists of h and c of all layers; k = 0 is
    the state before the character whose prediction is scored, and each further k is one character
    earlier. Norms are Euclidean, in nats per unit of state, and averaged over `places` positions t
    spread evenly over the text; the state at each position is warmed up on up to 512 characters. In
    a plain recurrent network the norm shrinks or grows exponentially in k (Hochreiter 1991; Bengio,
    Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013).

    ids (K,) may have any integer type; `CorpusError` if the text is too short, `VocabError` for ids
    out of range, `ConfigError` for fewer than one lag or place.
    """
    if lags < 1 or places < 1:
        raise ConfigError(f"`lags` and `places` must be at least 1, not {lags} and {places}")
    ids = checked_ids(ids, model.config.vocab_size)
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
            gradients = network.state_gradients(window.x, window.y, before)
            squares = sum(
                (part.astype(np.float64) ** 2).sum(axis=(0, 2))
                for part in (gradients.h, gradients.c)
            )
            norms[k] = np.sqrt(squares).mean()
            if progress is not None:
                progress(lags + 1 - k, lags + 1)
        network.evaluate(step.x, step.y, state)
    return norms
