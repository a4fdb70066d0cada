"""The space that tuning searches: which settings, and which values of each.

The learning rate and the weight decay are searched as multiples of what the recipe gives the same
network, since larger networks want smaller steps, and a decay acts through its product with the
rate. All other settings are searched as they are.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import SETTINGS, check_names, values_of
from charrnn.config.settings import CorpusConfig
from charrnn.config.training import LENGTH
from charrnn.errors import ConfigError
from charrnn.optim.optimizers import coefficients_of
from charrnn.text.corpus import Corpus
from charrnn.training.recipe import WIDTHS, resolve

SEARCHED = ("learning_rate", "hidden", "layers", "dropout", "weight_decay", "cell")
"""What is searched unless it is fixed."""
CELLS = ("lstm", "gru", "coupled")
"""The cells that are worth the time (docs/networks.md)."""
AROUND = 2
"""Widths of the recipe below and above its own that are tried."""
DECADE = 10.0
"""A range whose ends differ by this factor or more is searched on a logarithmic scale."""
FIXED = (*LENGTH, "seed", "eval_every", "sample_every", "save_every", "patience", "average")


@dataclass(frozen=True)
class Choices:
    """Some values of a setting; numbers are in ascending order, and near ones are alike."""

    values: tuple[Value, ...]

    @property
    def is_ordered(self) -> bool:
        """True for numbers."""
        return all(isinstance(x, int | float) and not isinstance(x, bool) for x in self.values)

    def nearest(self, value: Value) -> Value:
        """The value itself or, of numbers, the one next to it; otherwise the first."""
        if value in self.values or not self.is_ordered or not isinstance(value, int | float):
            return value if value in self.values else self.values[0]
        return min(self.values, key=lambda each: abs(each - value))  # type: ignore[operator]

    def __str__(self) -> str:
        return ", ".join("none" if x is None else f"{x}" for x in self.values)


@dataclass(frozen=True)
class Range:
    """All values of a setting from `low` to `high`; of_recipe: they multiply the recipe's value."""

    low: float
    high: float
    of_recipe: bool = False

    @property
    def is_log(self) -> bool:
        """True if factors count, not differences."""
        return self.low > 0 and self.high >= DECADE * self.low

    def nearest(self, value: Value) -> Value:
        """The value, or the end of the range next to it."""
        number = value if isinstance(value, int | float) else self.low
        number = 1.0 if self.of_recipe else number
        return min(max(number, self.low), self.high)

    def __str__(self) -> str:
        times = " times the recipe's" if self.of_recipe else ""
        return f"{self.low:g} to {self.high:g}{times}"


Dimension = Choices | Range
Space = dict[str, Dimension]
Varied = Mapping[str, Range | Sequence[Value]]
"""What a caller wants to be searched, by the name of the setting."""


@dataclass(frozen=True)
class Base:
    """What the recipe makes of the settings that are asked for, in the time or steps of a trial;
    None in `model` and `training` is left to it.

    hidden, dropout, steps: what it decides for them.
    """

    model: ModelConfig
    training: TrainConfig
    hidden: int
    dropout: float
    steps: int

    def resolved(
        self, corpus: Corpus, model: ModelConfig, training: TrainConfig
    ) -> tuple[ModelConfig, TrainConfig]:
        """The recipe's settings for a trial of this many steps."""
        length = replace(training.reopened(*LENGTH), steps=self.steps)
        return resolve(corpus, model.filled(hidden=self.hidden), length)


OF_RECIPE = "learning_rate", "weight_decay"
"""Settings that may be searched in multiples of the recipe's."""


def checked_range(name: str, low: Any, high: Any) -> Range:
    """The range of a setting; `ConfigError` unless both ends are values of it, in order."""
    setting = SETTINGS[name]
    if setting.kind not in (int, float):
        raise ConfigError(f"`{name}` has no range; list its values")
    low, high = setting.checked(low), setting.checked(high)
    if low is None or high is None or not low < high:
        raise ConfigError(f"the range of `{name}` must go from a lower to a higher value")
    return Range(low, high)


def space_of(
    corpus: Corpus, base: Base, varied: Varied, searched: Collection[str] = SEARCHED
) -> Space:
    """What is searched: `varied`, and `searched` in ranges around the recipe's value where that is
    left to it (cell and layers always). `ConfigError` if that is nothing, or cannot be tuned.
    """
    check_names(dict.fromkeys((*varied, *searched)))
    space: Space = {}
    for name, values in varied.items():
        if name == "networks":
            raise ConfigError("`networks`: trials are of one network each; leave it out")
        if name in FIXED or name in values_of(CorpusConfig()):
            raise ConfigError(f"`{name}` cannot be tuned; charrnn compare may vary it")
        if isinstance(values, Range):
            checked = checked_range(name, values.low, values.high)
            if values.of_recipe and name not in OF_RECIPE:
                raise ConfigError(f"`{name}` is not searched in multiples; give its own values")
            checked = replace(checked, of_recipe=values.of_recipe)
            space[name] = _reaches(checked) if name == "attention" else checked
        else:
            space[name] = _choices(name, values)
    asked = values_of(base.model, base.training)
    for name in searched:
        if name not in SEARCHED and name not in space:
            raise ConfigError(f"`{name}` has no range of its own; name its values")
        if name == "cell" and _rounds(space, base):
            continue
        if name not in space and (asked[name] is None or name in ("cell", "layers")):
            dimension = _around_recipe(corpus, base, name)
            if dimension is not None:
                space[name] = dimension
    _check_parts(space, base)
    _check_rounds(space, base)
    if not space:
        raise ConfigError("nothing is left to tune: every setting is fixed")
    return space


def _check_parts(space: Space, base: Base) -> None:
    """`ConfigError` if a batch may come up that cannot be divided into its parts."""
    values = {name: [getattr(base.training, name)] for name in ("parts", "batch_size")}
    for name in values.keys() & space.keys():
        dimension = space[name]
        if isinstance(dimension, Range):
            values[name] = [*range(int(dimension.low), int(dimension.high) + 1)]
        else:
            values[name] = [*dimension.values]
    for parts, size in product(values["parts"], values["batch_size"]):
        if size is not None and size % parts:
            replace(base.training, parts=parts, batch_size=size)  # raises


def _rounds(space: Space, base: Base) -> list[Value]:
    """The rounds of the Mogrifier that are asked for and that other cells do not have."""
    return [rounds for rounds in _values_of(space, base, "mogrifier") if rounds]


def _check_rounds(space: Space, base: Base) -> None:
    """`ConfigError` if a network may come up that cannot have its rounds of the Mogrifier."""
    names = "cell", "embedding", "mogrifier"
    for chosen in product(*(_values_of(space, base, name) for name in names)):
        ModelConfig.of(dict(zip(names, chosen, strict=True)))  # raises


def _values_of(space: Space, base: Base, name: str) -> list[Value]:
    """The values of a setting that may come up; of a range its ends."""
    dimension = space.get(name)
    if dimension is None:
        return [getattr(base.model, name)]
    if isinstance(dimension, Range):
        return [int(dimension.low), int(dimension.high)]
    return [*dimension.values]


def _choices(name: str, values: Sequence[Value]) -> Choices:
    checked = [SETTINGS[name].checked(value) for value in values]
    for value in checked if name == "attention" else ():
        ModelConfig.of({"attention": value})  # raises
    if len(set(checked)) < max(2, len(checked)):
        raise ConfigError(f"`{name}` needs at least two values, all different")
    choices = Choices(tuple(checked))
    return Choices(tuple(sorted(checked))) if choices.is_ordered else choices  # type: ignore[type-var]


def _reaches(dimension: Range) -> Choices:
    """The values that attention may have in a range."""
    low, high = (int(end) for end in (dimension.low, dimension.high))
    return _choices("attention", range(-(-low // 16) * 16, high + 1, 16))


def _around_recipe(corpus: Corpus, base: Base, name: str) -> Dimension | None:
    """Where to search a setting by default; None where there is nothing to search."""
    if name == "cell":
        return Choices(tuple(dict.fromkeys((base.model.cell, *CELLS))))
    if name == "layers":
        return Choices(tuple(sorted({1, 2, 3, base.model.layers})))
    if name == "hidden":
        at = min(range(len(WIDTHS)), key=lambda k: abs(WIDTHS[k] - base.hidden))
        near = WIDTHS[max(0, at - AROUND) : at + AROUND + 1]
        return Choices(tuple(sorted({*near, base.hidden})))
    if name == "dropout":
        return Range(0.0, max(0.3, min(0.6, 2 * base.dropout)))
    if name == "weight_decay":
        usual = base.resolved(corpus, base.model, base.training)[1].weight_decay
        return Range(0.2, 5.0, of_recipe=True) if usual else None
    return Range(0.3, 3.0, of_recipe=True)


def recipe_point(corpus: Corpus, space: Space, base: Base) -> dict[str, Value]:
    """The point of the space at which the recipe is, or next to it."""
    asked = values_of(base.model, base.training)
    model, training = base.resolved(corpus, base.model, base.training)
    usual = {
        **values_of(model, training),
        "hidden": base.hidden,
        "dropout": base.dropout,
        "learning_rate": coefficients_of(training).learning_rate,
    }
    point: dict[str, Value] = {}
    for name, dimension in space.items():
        is_left = isinstance(dimension, Choices) and asked[name] in dimension.values
        point[name] = dimension.nearest(asked[name] if is_left else usual[name])
    return point


def configs_at(
    corpus: Corpus, base: Base, space: Space, point: Mapping[str, Value], varied: Collection[str]
) -> tuple[ModelConfig, TrainConfig]:
    """Network and training at a point of the space. At the recipe's own point only what a caller
    varies is set, and the rest stays with the recipe.
    """
    is_recipe = dict(point) == recipe_point(corpus, space, base)
    names = [name for name in point if name in varied or not is_recipe]
    chosen = {name: _short(point[name]) for name in names if not _is_relative(space, name)}
    values = values_of(base.model, base.training) | {"hidden": base.hidden} | chosen
    model, training = ModelConfig.of(values), TrainConfig.of(values)
    if "learning_rate" in names and _is_relative(space, "learning_rate"):
        usual = base.resolved(corpus, model, training)[1]
        rate = coefficients_of(usual).learning_rate * _number(point["learning_rate"])
        training = replace(training, learning_rate=_rounded(rate))
    if "weight_decay" in names and _is_relative(space, "weight_decay"):
        decay = base.resolved(corpus, model, training)[1].weight_decay or 0.0
        training = replace(training, weight_decay=_rounded(decay * _number(point["weight_decay"])))
    return model, training


def _is_relative(space: Space, name: str) -> bool:
    dimension = space[name]
    return isinstance(dimension, Range) and dimension.of_recipe


def _number(value: Value) -> float:
    assert isinstance(value, int | float) and math.isfinite(value)
    return float(value)


def _short(value: Value) -> Value:
    return _rounded(value) if isinstance(value, float) else value


def _rounded(number: float) -> float:
    """To four digits, which is more than matters."""
    return float(f"{number:.4g}")
