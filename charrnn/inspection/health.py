"""Whether the gates and units of a network still do something: a quick look at each layer, for
advice while it trains.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.evaluation.walk import walk
from charrnn.inspection.saturation import CLOSED, OPEN, SIGMOIDS
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.documents import Positions

STREAMS, STEPS, WARM_UP = 16, 48, 16
"""Places of the text that are read, characters at each of them, and how many of those are read only
to have a state.
"""


@dataclass(frozen=True)
class LayerHealth:
    """What one layer did.

    saturated: the share of time that its gates were below 0.1 or above 0.9, over all of them; for a
        cell without gates, that its units' absolute values were above 0.9.
    spread: the standard deviation of each unit's h, float32 (H,), or of its output y if that varies
        more; 0 if it never changes.
    """

    saturated: float
    spread: NDArray[np.float32]


def layer_health(
    model: Model, ids: NDArray[np.unsignedinteger], starts: Positions | None = None
) -> list[LayerHealth]:
    """What each layer does while it reads 16 passages from all over a text, the lowest layer first.

    ids (K,) of at least two characters; the state is set to zero before the characters at `starts`.
    It takes about as long as a quarter of a training step.
    """
    steps = min(STEPS, len(ids) - 1)
    firsts = np.linspace(0, len(ids) - 1 - steps, STREAMS).astype(np.int64)
    (block,) = walk(ids, starts, firsts, steps, steps)
    network = Network(model, steps, STREAMS, Workers(1), keeps=True)
    network.evaluate(block.x, block.y, State(model, STREAMS), block.starts)
    first, H, width = min(WARM_UP, steps // 2), model.config.hidden, model.width
    found = []
    for layer in network.layers:
        z = layer.z[first:steps]
        blocks = {
            name: z[..., k * width : k * width + H] for k, name in enumerate(model.cell.gates)
        }
        gates = [block for name, block in blocks.items() if name in SIGMOIDS]
        shares = [((gate < CLOSED) | (gate > OPEN)).mean() for gate in gates]
        h, y = (rows[first:steps, :, :H].reshape(-1, H) for rows in (layer.h[1:], layer.y))
        spread = np.maximum(h.std(axis=0), y.std(axis=0))
        found.append(LayerHealth(float(np.mean(shares or (np.abs(h) > OPEN).mean())), spread))
    return found
