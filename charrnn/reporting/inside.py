"""What a report shows of a network's units and gates while it reads held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.trained import Trained
from charrnn.errors import CorpusError
from charrnn.evaluation.evaluate import Progress
from charrnn.inspection.activity import activity, levels, positions
from charrnn.inspection.features import Feature
from charrnn.inspection.saturation import Saturation, saturation
from charrnn.inspection.trace import Trace, trace
from charrnn.inspection.units import Detector, UnitSearch, find_units, untrained
from charrnn.text.graphemes import Graphemes, graphemes
from charrnn.text.vocab import TextIds

CHARACTERS, NUMBERS = 10_000, 5_000_000
"""Characters that are traced, at most, and characters times units."""
PIECES, PIECE = 4, 320
"""Units whose activity is shown over a piece of text, and the characters of a piece."""


@dataclass(frozen=True, eq=False)
class UnitPiece:
    """What a unit does over a piece of text: each character and its level, -3 to 3."""

    detector: Detector
    characters: Sequence[str]
    levels: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Inside:
    """Units and gates, over `characters` of held-out text.

    units: None if the text has nothing that units could detect.
    pieces: of the units that detect a feature best, if they mean something.
    gates: by name; those that are sigmoids.
    """

    characters: int
    units: UnitSearch | None = None
    pieces: tuple[UnitPiece, ...] = ()
    gates: Mapping[str, Saturation] = field(default_factory=dict)


def inside(trained: Trained, ids: TextIds, progress: Progress | None = None) -> Inside:
    """What the network's units and gates do while it reads the beginning of a text."""
    config = trained.model.config
    count = max(500, min(CHARACTERS, NUMBERS // (config.layers * config.hidden)))
    seen = trace(trained, ids[:count])
    gates = saturation(seen)
    try:
        before = trace(untrained(trained), ids[:count])
        found = find_units(seen, baseline=before, progress=progress)
    except CorpusError:
        return Inside(len(seen), gates=gates)
    features = {feature.name: feature for feature in found.features}
    best: dict[str, Detector] = {}
    for one in sorted(found.detectors, key=lambda one: -one.auc):
        best.setdefault(one.feature, one)
    shown = graphemes(seen.text, trained.vocab.unit)
    pieces = tuple(
        _piece(seen, shown, one, features[one.feature]) for one in [*best.values()][:PIECES]
    )
    return Inside(len(seen), found, pieces, gates)


def _piece(seen: Trace, shown: Graphemes, one: Detector, feature: Feature) -> UnitPiece:
    """The unit over the piece of text in which the feature begins most often."""
    lasts = np.append(shown.firsts[1:], len(seen)) - 1
    values = feature.values[lasts]
    begins = np.append(0, np.cumsum(values[1:] & ~values[:-1]))
    size = min(PIECE, len(values))
    start = int((begins[size - 1 :] - begins[: len(begins) - size + 1]).argmax())
    newline = shown.bases.rfind("\n", max(0, start - 100), start)
    start = newline + 1 if newline >= 0 else start
    end = min(len(values), start + size)
    places = positions(activity(seen, one.kind)[:, one.layer, one.unit])
    return UnitPiece(one, [shown[n] for n in range(start, end)], levels(places[lasts[start:end]]))
