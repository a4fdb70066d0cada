"""What a tuning is asked: which settings, on which text, how long each trial is. A file in its
folder records that.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from charrnn.checkpoint.paths import holds_run
from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import seconds_of
from charrnn.config.files import values_of
from charrnn.config.training import LENGTH
from charrnn.errors import ConfigError, RunError
from charrnn.runtime.files import parse_json, read_regular
from charrnn.text.corpus import Corpus
from charrnn.training.recipe import resolve
from charrnn.tuning.candidates import MOST_READ, check_one_network
from charrnn.tuning.planning import LEAST_SECONDS, plan
from charrnn.tuning.space import SEARCHED, Base, Varied

PLAN = "tune.json"
"""The file in the folder of a tuning that records what is tuned."""
VALIDATIONS = 8
"""Of a trial whose length is a number of steps, unless `eval_every` is set."""


@dataclass(frozen=True)
class Question:
    """What is to be tuned, on which text, and how long each trial is."""

    corpus: Corpus
    model: ModelConfig
    training: TrainConfig
    each: float | None
    vary: Varied
    search: Collection[str]

    @classmethod
    def checked(
        cls,
        corpus: Corpus,
        model: ModelConfig | None,
        training: TrainConfig | None,
        each: str | float | None,
        vary: Varied,
        search: Collection[str],
    ) -> Self:
        """The question, with defaults for what is None; errors as for `tune`."""
        training = (training or TrainConfig()).filled(sample_every=0)  # samples take time
        if len(corpus.validation) < 2:
            raise ConfigError(
                "trials are compared by their loss on the validation text, but there is none: use "
                "a larger `val_fraction` or a longer text"
            )
        check_one_network(training)
        seconds = None if each is None else checked_seconds("each", each)
        lengths = [name for name in LENGTH if getattr(training, name) is not None]
        if seconds is not None and lengths:
            raise ConfigError(
                f"`each` and `{lengths[0]}` both say how long a trial is; give one of them"
            )
        if seconds is None and not lengths:
            raise ConfigError("how long a trial is is missing: set `each`, `steps` or `epochs`")
        model = replace(model or ModelConfig(), vocab_size=len(corpus.vocab))
        return cls(corpus, model, training, seconds, vary, search)

    def base(self, threads: int | None) -> Base:
        """What the recipe makes of it; with a time, this machine is measured."""
        if self.each is not None:
            training = self.training.filled(networks=1)
            chosen = plan(self.corpus, self.each, self.model, training, threads=threads)
            model, training = chosen.model, chosen.training
        else:
            model, training = resolve(self.corpus, self.model, self.training)
        characters = training.batch_size * training.seq_length
        per_pass = max(1, round(len(self.corpus.train) / characters))
        steps = training.planned_steps(per_pass)
        return self.with_base(model.hidden, model.dropout, steps)

    def with_base(self, hidden: int, dropout: float, steps: int) -> Base:
        """The same, from what the recipe has decided before."""
        training = self.training
        if self.each is None and training.eval_every is None:
            training = replace(training, eval_every=max(1, -(-steps // VALIDATIONS)))
        return Base(self.model, training, hidden, dropout, steps)

    @property
    def described(self) -> dict[str, Any]:
        """Everything that the trials depend on except the clock, for JSON."""
        vary = {
            name: str(values) if not isinstance(values, list | tuple) else list(values)
            for name, values in self.vary.items()
        }
        settings = values_of(self.corpus.config, self.model, self.training)
        return {
            "sha256": self.corpus.sha256,
            "each": self.each,
            "settings": settings,
            "vary": vary,
            "search": [name for name in SEARCHED if name in self.search],
        }


def checked_seconds(name: str, time: str | float) -> float:
    """A parameter that is a time, in seconds; `ConfigError` below 5 seconds."""
    seconds = time if isinstance(time, int | float) else seconds_of(name, time)
    if not LEAST_SECONDS <= seconds < float("inf"):
        raise ConfigError(f"`{name}` must be at least {LEAST_SECONDS:g} seconds, not {seconds:g}")
    return float(seconds)


def each_in(folder: Path) -> float | None:
    """The time of a trial in this folder's plan, in seconds; None without one."""
    try:
        return float(parse_json(read_regular(folder / PLAN, MOST_READ))["each"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return None


def check_plan(folder: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The plan in the folder, None if there is none; `RunError` if it is another one's, or if the
    folder is a run's.
    """
    path = folder / PLAN
    try:
        stored: dict[str, Any] = parse_json(read_regular(path, MOST_READ))
        base = stored["base"]
        is_base = {type(base[name]) for name in ("hidden", "steps")} == {int}
        is_base = is_base and isinstance(base["dropout"], float) and len(base) == 3
    except FileNotFoundError:
        if holds_run(folder):
            raise RunError(f"{folder} contains a run; choose another `folder`") from None
        return None
    except OSError as error:
        reason = error.strerror or error
        raise RunError(
            f"{path}: cannot read the plan ({reason}); choose another `folder`"
        ) from None
    except (ValueError, LookupError, TypeError):
        raise RunError(f"{path}: cannot read the plan; choose another `folder`") from None
    difference = _difference(stored, json.loads(json.dumps(wanted)))
    if difference is not None or not is_base:
        raise RunError(
            f"{folder} contains another tuning{difference or '':.300}; choose another `folder`"
        )
    return stored


def _difference(stored: Any, wanted: Any) -> str | None:
    """The first difference between two plans, for a message; None if there is none."""
    for name, value in wanted.items():
        before = stored.get(name)
        if name == "settings" and isinstance(before, dict):
            found = _difference(before, value)
            if found is not None:
                return found
        elif before != value:
            if name == "sha256":
                return " (of another text)"
            old, new = ("unset" if x in (None, {}) else f"{x}" for x in (before, value))
            return f" ({name} {old:.100}, not {new:.100})"
    return None
