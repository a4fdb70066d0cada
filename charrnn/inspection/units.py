"""Units that mean something: which of a network's units tell that a character stands inside quotes,
late in its line, and so on (Karpathy, Johnson & Fei-Fei 2015 did it by eye).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.trained import Trained
from charrnn.errors import ConfigError, CorpusError
from charrnn.inspection.detection import Progress, areas_under, detection
from charrnn.inspection.features import Feature, text_features
from charrnn.network.model import Model
from charrnn.text.vocab import counted

if TYPE_CHECKING:
    from charrnn.inspection.trace import Trace

SIGNIFICANT, STRONG = 0.05, 0.9
"""A unit detects a feature if p is at most the first and its AUC at least the second. In a long
text nearly every unit has some tie to what was read, and so a small p, without meaning much.
"""
BETTER = 0.5
"""1 - AUC of a unit that detects a feature is at most this share of that of the best unit before
training: even random weights tell some features that hang on the last characters alone. Probes of
networks are compared with such controls for the same reason (Zhang & Bowman 2018).
"""
SHORTEST = 500
"""Characters of a text that units can be found in."""
PLACES = 20
"""Times that a feature has to begin in the text: with fewer, chance has too few of them to vary."""


@dataclass(frozen=True)
class Detector:
    """How well a unit detects a feature.

    kind: "c" or "h", the number of the unit that is looked at.
    auc: the share of pairs, one character with the feature and one without, that the unit tells
        apart rightly; 0.5 is chance.
    is_on: the unit's number is higher where the feature is true, not lower.
    p: corrected for the number of units and features (`detection`).
    is_strong: the unit detects the feature: p, AUC and the comparison with an untrained network, if
        there was one, are good enough to say that it means something.
    """

    feature: str
    kind: str
    layer: int
    unit: int
    auc: float
    is_on: bool
    p: float
    is_strong: bool

    @property
    def name(self) -> str:
        """As people count, from 1: "2.36" is unit 36 of layer 2."""
        return f"{self.layer + 1}.{self.unit + 1}"


@dataclass(frozen=True, eq=False)
class UnitSearch:
    """The score of every unit for every feature of a text.

    features: those that were tested, F; untested: the names of those that begin too rarely.
    kinds: "c" and "h", or "h" alone, K.
    auc: float64 (F, K, L, H); below 0.5 if the unit's number is lower where the feature is true.
    p: of the same shape, corrected for their number (`detection`).
    untrained: the greatest AUC of an untrained network's units for each feature, float64 (F,), or
        None.
    """

    features: tuple[Feature, ...]
    untested: tuple[str, ...]
    kinds: tuple[str, ...]
    auc: NDArray[np.float64]
    p: NDArray[np.float64]
    untrained: NDArray[np.float64] | None = None

    def __repr__(self) -> str:
        return f"UnitSearch({self.summary})"

    def best(self, feature: str, count: int = 1) -> list[Detector]:
        """The units that detect a feature best, each with the one of its numbers that does: those
        that mean something, the best first, and then the others.
        """
        names = [each.name for each in self.features]
        if feature not in names:
            raise ConfigError(f"`feature` must be one of {', '.join(names)}, not {feature!r:.80}")
        index = names.index(feature)
        auc, (_layers, units) = self.auc[index], self.auc.shape[2:]
        strong = self._strong[index]
        strength = (strong + np.abs(auc - 0.5)).reshape(len(self.kinds), -1)
        kinds = strength.argmax(axis=0)
        order = np.argsort(-strength.max(axis=0), kind="stable")[:count]
        places = [(int(kinds[n]), *divmod(int(n), units)) for n in order]
        return [
            Detector(
                feature,
                self.kinds[kind],
                layer,
                unit,
                float(max(auc[kind, layer, unit], 1 - auc[kind, layer, unit])),
                bool(auc[kind, layer, unit] >= 0.5),
                float(self.p[index, kind, layer, unit]),
                bool(strong[kind, layer, unit]),
            )
            for kind, layer, unit in places
        ]

    @property
    def is_strong(self) -> NDArray[np.bool_]:
        """Which units detect which feature, bool (F, L, H)."""
        detects: NDArray[np.bool_] = np.any(self._strong, axis=1)
        return detects

    @property
    def _strong(self) -> NDArray[np.bool_]:
        """Which of their numbers do, bool (F, K, L, H)."""
        least = np.full(len(self.auc), STRONG)
        if self.untrained is not None:
            least = np.maximum(least, 1 - BETTER * (1 - self.untrained))
        strength = 0.5 + np.abs(self.auc - 0.5)
        strong: NDArray[np.bool_] = (strength >= least[:, None, None, None]) & (
            self.p <= SIGNIFICANT
        )
        return strong

    @property
    def detectors(self) -> list[Detector]:
        """The units that mean something, feature by feature, the best first."""
        counts = self.is_strong.sum(axis=(1, 2)).tolist()
        ranked = (
            self.best(feature.name, count)
            for feature, count in zip(self.features, counts, strict=True)
        )
        return [each for best in ranked for each in best]

    @property
    def summary(self) -> str:
        """How many of the units mean something, and how many do not, in plain words."""
        strong = int(self.is_strong.any(axis=0).sum())
        weak = int((self.p <= SIGNIFICANT).any(axis=(0, 1)).sum()) - strong
        units = int(np.prod(self.auc.shape[2:]))
        detect = "detects" if 1 in (strong, units) else "detect"
        one = "one of " if len(self.features) > 1 else ""
        tested = counted(len(self.features), "feature")
        none = units - strong - weak
        return (
            f"{strong:,} of {counted(units, 'unit')} {detect} {one}{tested}; of the others, "
            f"{weak:,} {_have(weak)} a weaker tie to one and {none:,} {_have(none)} none beyond "
            "chance"
        )


def find_units(
    trace: Trace,
    *,
    features: Sequence[Feature] | None = None,
    pattern: str | None = None,
    baseline: Trace | None = None,
    progress: Progress | None = None,
) -> UnitSearch:
    """Score every unit of a trace as a detector of features of its text, which should be text that
    the network was not trained on.

    Looked at are c, if the cell has one, and h. `CorpusError` for a text that is too short or in
    which nothing happens often enough to be tested, `ConfigError` for a bad pattern.

    features: bool (T,) each; those of `text_features` by default.
    pattern: as in `text_features`.
    baseline: the trace of the same text by the same network before training (`untrained`): what its
        best unit reaches has nothing to do with learning. Without it, a unit that tells the last
        character apart may pass for a discovery.
    """
    count = len(trace.ids)
    if count < SHORTEST:
        raise CorpusError(
            f"finding units needs a text of at least {SHORTEST} characters, not {count:,}"
        )
    if features is None:
        vocab = trace.trained.vocab
        symbols = vocab.codes[trace.ids].tobytes().decode("utf-32-le")
        features = text_features(symbols, vocab.unit, pattern=pattern)
    tested = tuple(each for each in features if _is_testable(each))
    untested = tuple(each.name for each in features if not _is_testable(each))
    if not tested:
        raise CorpusError(
            f"nothing that units could detect begins {PLACES} times in this text of {count:,} "
            "characters; use a longer one"
        )
    flags = np.array([each.values for each in tested])
    numbers = _numbers(trace)
    shape = (len(tested), len(numbers), *trace.h.shape[1:])
    auc, p = detection(_rows(numbers), flags, progress)
    best = None
    if baseline is not None:
        areas = areas_under(_rows(_numbers(baseline)), flags)
        best = 0.5 + np.abs(areas - 0.5).max(axis=1)
    return UnitSearch(tested, untested, tuple(numbers), auc.reshape(shape), p.reshape(shape), best)


def untrained(trained: Trained, seed: int = 0) -> Trained:
    """The network with new weights, drawn with a seed as before training; it starts texts from a
    zero state.
    """
    model = Model.initialized(trained.model.config, seed)
    return replace(trained, model=model, squares=None, starts=None)


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _is_testable(feature: Feature) -> bool:
    ends = replace(feature, values=~feature.values)
    return min(feature.places, ends.places) >= PLACES


def _numbers(trace: Trace) -> dict[str, NDArray[Any]]:
    """The numbers of units to look at, (T, L, H) each."""
    return ({} if trace.c is None else {"c": trace.c}) | {"h": trace.h}


def _rows(numbers: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """All numbers as rows (K L H, T), views of columns if there is one array."""
    return np.concatenate([each.reshape(len(each), -1) for each in numbers.values()], axis=1).T
