"""Characters as a map: those that a network treats alike are near one another."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.network.model import Model


@dataclass(frozen=True, eq=False)
class CharacterMap:
    """A place in the plane for each of V symbols.

    places: float64 (V, 2). Near means that the network predicts the two in the same places.
    shares: of the variance of all dimensions, what each axis shows, float64 (2,)
    weights: what each symbol counted, float64 (V,), 1 in all
    """

    places: NDArray[np.float64]
    shares: NDArray[np.float64]
    weights: NDArray[np.float64]

    def __repr__(self) -> str:
        symbols, percent = len(self.places), 100 * self.shares.sum()
        return f"CharacterMap({symbols} symbols, {percent:.0f} % of the variance)"


def character_map(model: Model, weights: NDArray[Any] | None = None) -> CharacterMap:
    """The first two principal components of the decoder's weights, one row (H,) per symbol.

    Symbols with like rows become probable in the same states. The components are those of rows that
    count by `weights`, such as how often each symbol occurs, (V,); by default all count the same.
    The sign of each component is such that its greatest element is positive.
    """
    view = model.parameters["decoder.weight"]
    rows = view[: model.config.hidden, : model.config.vocab_size].T.astype(np.float64)
    counted = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
    counted = counted / counted.sum()
    centered = rows - counted @ rows
    _, sizes, components = np.linalg.svd(centered * np.sqrt(counted)[:, None], full_matrices=False)
    axes, variances = np.zeros((2, rows.shape[1])), np.zeros(max(2, len(sizes)))
    axes[: len(components)], variances[: len(sizes)] = components[:2], sizes**2
    places = centered @ axes.T
    furthest = np.abs(places).argmax(axis=0)
    places *= np.where(places[furthest, [0, 1]] < 0, -1.0, 1.0)
    return CharacterMap(places, variances[:2] / max(variances.sum(), 1e-300), counted)
