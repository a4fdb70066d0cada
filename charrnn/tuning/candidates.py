"""What is compared: configurations side by side, as combinations of settings, of equal size if that
is asked for.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import configs_of, values_of
from charrnn.errors import ConfigError, RunError
from charrnn.network.parameters import parameter_count
from charrnn.text.corpus import Corpus
from charrnn.training.recipe import resolve

MOST_HIDDEN = 16384
PLAN = "compare.json"
"""The file, in the folder of a comparison, that says what is compared."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One configuration of a comparison: its name, the text as it reads it, its network and its
    training; what is None in these is decided by the recipe.
    """

    name: str
    corpus: Corpus
    model: ModelConfig
    training: TrainConfig

    def __post_init__(self) -> None:
        """The size of the vocabulary follows from the text."""
        object.__setattr__(self, "model", replace(self.model, vocab_size=len(self.corpus.vocab)))

    @cached_property
    def resolved(self) -> tuple[ModelConfig, TrainConfig]:
        """Its network and training as the recipe completes them."""
        return resolve(self.corpus, self.model, self.training)

    @property
    def hidden(self) -> int:
        """Units of each layer."""
        return self.resolved[0].hidden

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return parameter_count(self.resolved[0])

    @property
    def settings(self) -> dict[str, Value]:
        """All settings but the seed, by name; those that the recipe decides are None."""
        found = values_of(self.corpus.config, self.model, self.training)
        del found["seed"]
        return found


def combinations(
    settings: Mapping[str, Value], varied: Mapping[str, Sequence[Value]]
) -> list[tuple[str, dict[str, Value]]]:
    """The settings with every combination of the varied ones' values, each under a name made of
    those; the last vary fastest.

    {"cell": ["lstm", "gru"], "dropout": [0.0, 0.3]} gives "lstm dropout=0", "lstm dropout=0.3",
    "gru dropout=0", ... Values and names are checked; `ConfigError` also for a value that is there
    twice.
    """
    found: dict[str, dict[str, Value]] = {}
    for values in product(*varied.values()):
        chosen = dict(zip(varied, values, strict=True))
        merged = {**settings, **chosen}
        _, model, _ = configs_of(merged)
        name = " ".join(_shown(setting, value) for setting, value in chosen.items()) or model.cell
        if name in found:
            raise ConfigError(f"{name} is to be compared with itself; name every value once")
        found[name] = merged
    return list(found.items())


def _shown(setting: str, value: Value) -> str:
    if setting == "cell":
        return str(value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = text.lower() if value is None or isinstance(value, bool) else text
    return f"{setting.replace('_', '-')}={text}"


def of_equal_size(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, each with as many hidden units as bring its number of parameters nearest to
    that of the first.
    """
    target = candidates[0].parameters
    return [
        replace(one, model=replace(one.model, hidden=_hidden_for(one.model, target)))
        for one in candidates
    ]


def _hidden_for(model: ModelConfig, target: int) -> int:
    """The number of units with which a network comes nearest to `target` parameters; the smaller
    of two that do.
    """

    def count(hidden: int) -> int:
        return parameter_count(replace(model, hidden=hidden))

    # the least number that reaches the target; the count grows with it
    least = bisect_left(range(MOST_HIDDEN), target, lo=1, key=count)
    return min((max(1, least - 1), least), key=lambda hidden: abs(count(hidden) - target))


def folder_names(candidates: Sequence[Candidate]) -> list[str]:
    """A name for each candidate that can be a folder's, no two alike even where case does not
    count.
    """
    taken: list[str] = []
    for candidate in candidates:
        plain = re.sub(r"[^\w.=+-]+", "-", candidate.name).strip("-.")[:60] or "candidate"
        name, number = plain, 2
        while name.lower() in (other.lower() for other in taken):
            name, number = f"{plain}-{number}", number + 1
        taken.append(name)
    return taken


def plan_text(candidates: Sequence[Candidate], seeds: Sequence[int]) -> str:
    """All that the runs depend on but the clock, as JSON."""
    described = {one.name: {"sha256": one.corpus.sha256, **one.settings} for one in candidates}
    return json.dumps({"seeds": list(seeds), "candidates": described}, indent=1)


def hidden_in(folder: Path, name: str) -> int | None:
    """The units that the plan in this folder gives a candidate; None without a readable plan."""
    try:
        found = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        return int(found["candidates"][name]["hidden"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def check_plan(folder: Path, candidates: Sequence[Candidate], seeds: Sequence[int]) -> None:
    """`RunError` if the folder holds the plan of another comparison; says in what it differs."""
    path = folder / PLAN
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}); choose another `folder`") from None
    asked = json.loads(plan_text(candidates, seeds))
    if found != asked:
        try:
            difference = _difference(found, asked)
        except (AttributeError, KeyError, TypeError):  # the file may hold anything
            difference = ""
        raise RunError(f"{folder} holds another comparison{difference}; choose another `folder`")


def _difference(found: Any, asked: Any) -> str:
    """What is not the same in two plans, for a message."""
    seeds, candidates = found["seeds"], found["candidates"]
    if seeds != asked["seeds"]:
        return f" (seeds {', '.join(map(str, seeds))})"
    if list(candidates) != list(asked["candidates"]):
        return f" ({', '.join(candidates)})"
    for name, settings in asked["candidates"].items():
        for setting, value in settings.items():
            there = candidates[name].get(setting)
            if there != value:
                old, new = ("unset" if x is None else f"{x!r:.40}" for x in (there, value))
                return f" ({name}: {setting} {old}, not {new})"
    return ""
