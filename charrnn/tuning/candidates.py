"""The candidates of a comparison: combinations of settings, of equal size if requested."""

import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from charrnn.checkpoint.paths import holds_run
from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import configs_of, values_of
from charrnn.errors import ConfigError, RunError
from charrnn.network.parameters import parameter_count
from charrnn.runtime.files import parse_json, read_regular
from charrnn.text.corpus import Corpus
from charrnn.training.recipe import resolve, with_rounds

MOST_HIDDEN = 16384
PLAN = "compare.json"
MOST_READ = 10**7
"""Bytes of a plan that are read."""
"""The file in a comparison's folder that records what is compared."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One configuration of a comparison: its name, its corpus, its network and its training; the
    recipe sets every setting that is None.
    """

    name: str
    corpus: Corpus
    model: ModelConfig
    training: TrainConfig

    def __post_init__(self) -> None:
        """Set the size of the vocabulary from the text."""
        object.__setattr__(self, "model", replace(self.model, vocab_size=len(self.corpus.vocab)))

    def __repr__(self) -> str:
        return f"Candidate({self.name!r:.60}, {self.corpus!r})"

    @cached_property
    def resolved(self) -> tuple[ModelConfig, TrainConfig]:
        """Its network and training after the recipe has filled in missing settings."""
        return resolve(self.corpus, self.model, self.training)

    @property
    def hidden(self) -> int:
        """Units per layer."""
        return self.resolved[0].hidden

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return parameter_count(self.resolved[0])

    @property
    def settings(self) -> dict[str, Value]:
        """All settings except the seed, by name; those that the recipe decides are None."""
        values = values_of(self.corpus.config, self.model, self.training)
        del values["seed"]
        return values


def combinations(
    settings: Mapping[str, Value], varied: Mapping[str, Sequence[Value]]
) -> list[tuple[str, dict[str, Value]]]:
    """The settings with every combination of the varied values, each named after its values; the
    last one varies fastest.

    {"cell": ["lstm", "gru"], "dropout": [0.0, 0.3]} gives "lstm dropout=0", "lstm dropout=0.3",
    "gru dropout=0", ... `ConfigError` for an unknown name, an invalid value, or a value given
    twice.
    """
    by_name: dict[str, dict[str, Value]] = {}
    for values in product(*varied.values()):
        chosen = dict(zip(varied, values, strict=True))
        merged = {**settings, **chosen}
        _, model, _ = configs_of(merged)
        name = (
            " ".join(_value_text(setting, value) for setting, value in chosen.items()) or model.cell
        )
        if name in by_name:
            raise ConfigError(f"{name} would be compared with itself; give each value only once")
        by_name[name] = merged
    return list(by_name.items())


def _value_text(setting: str, value: Value) -> str:
    if setting == "cell":
        return str(value)
    text = f"{value:g}" if isinstance(value, float) else str(value)
    text = text.lower() if value is None or isinstance(value, bool) else text
    return f"{setting.replace('_', '-')}={text}"


def of_equal_size(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates, each with the number of hidden units that brings its parameter count closest
    to the first one's, and with its attention unless another is asked for.
    """
    if not candidates:
        return []
    target, reach = candidates[0].parameters, candidates[0].resolved[0].attention
    models = [with_rounds(candidate.model.filled(attention=reach)) for candidate in candidates]
    return [
        replace(candidate, model=replace(model, hidden=_hidden_for(model, target)))
        for candidate, model in zip(candidates, models, strict=True)
    ]


def _hidden_for(model: ModelConfig, target: int) -> int:
    """The number of units whose network comes closest to `target` parameters; the smaller one in a
    tie.
    """

    def count(hidden: int) -> int:
        return parameter_count(replace(model, hidden=hidden))

    # the smallest number that reaches the target; the count grows with it
    least = bisect_left(range(MOST_HIDDEN), target, lo=1, key=count)
    return min((max(1, least - 1), least), key=lambda hidden: abs(count(hidden) - target))


def folder_names(candidates: Sequence[Candidate]) -> list[str]:
    """A folder name for each candidate, all different even if case is ignored."""
    names: list[str] = []
    for candidate in candidates:
        plain = re.sub(r"[^\w.=+-]+", "-", candidate.name).strip("-.")[:60] or "candidate"
        name, number = plain, 2
        while name.lower() in (used.lower() for used in names):
            name, number = f"{plain}-{number}", number + 1
        names.append(name)
    return names


def plan_text(candidates: Sequence[Candidate], seeds: Sequence[int]) -> str:
    """Everything that the runs depend on except the clock, as JSON."""
    described = {
        candidate.name: {"sha256": candidate.corpus.sha256, **candidate.settings}
        for candidate in candidates
    }
    return json.dumps({"seeds": list(seeds), "candidates": described}, indent=1)


def size_in(folder: Path, name: str) -> tuple[int, int | None] | None:
    """The candidate's hidden units and attention in this folder's plan; None without a readable
    plan.
    """
    try:
        settings = parse_json(read_regular(folder / PLAN, MOST_READ))["candidates"][name]
        reach = settings["attention"]
        return int(settings["hidden"]), None if reach is None else int(reach)
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return None


def check_one_network(training: TrainConfig) -> None:
    """`ConfigError` if a run would train several networks."""
    if (training.networks or 1) > 1:
        raise ConfigError(
            f"`networks` {training.networks}: configurations are compared by one network each; "
            "leave it out"
        )


def check_plan(folder: Path, candidates: Sequence[Candidate], seeds: Sequence[int]) -> None:
    """`RunError` if the folder contains the plan of another comparison; the message says how it
    differs. The same if it is a run's.
    """
    path = folder / PLAN
    try:
        stored = parse_json(read_regular(path, MOST_READ))
    except FileNotFoundError:
        if holds_run(folder):
            raise RunError(f"{folder} contains a run; choose another `folder`") from None
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error  # of an OSError without its path
        raise RunError(
            f"{path}: cannot read the plan ({reason}); choose another `folder`"
        ) from None
    wanted = json.loads(plan_text(candidates, seeds))
    # folders are named in the order of the candidates
    if stored != wanted or [*stored["candidates"]] != [*wanted["candidates"]]:
        try:
            difference = _difference(stored, wanted)
        except (AttributeError, KeyError, TypeError):  # the file may contain anything
            difference = ""
        raise RunError(
            f"{folder} contains another comparison{difference:.300}; choose another `folder`"
        )


def _difference(stored: Any, wanted: Any) -> str:
    """The first difference between two plans, for a message."""
    seeds, candidates = stored["seeds"], stored["candidates"]
    if seeds != wanted["seeds"]:
        return f" (seeds {', '.join(map(str, seeds))})"
    if list(candidates) != list(wanted["candidates"]):
        return f" ({', '.join(candidates)})"
    for name, settings in wanted["candidates"].items():
        for setting, value in settings.items():
            before = candidates[name].get(setting)
            if before != value:
                old, new = ("unset" if x is None else f"{x!r:.40}" for x in (before, value))
                return f" ({name}: {setting} {old}, not {new})"
    return ""
