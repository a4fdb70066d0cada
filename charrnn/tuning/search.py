"""The search by Optuna (Akiba et al. 2019), the only module that imports it: ask for a point, tell
what came of it. Its journal is a file, from which a search that was killed goes on.

The sampler of each trial has a seed of its own, so what it draws depends on the trials that have
ended and not on interruptions.
"""

import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.config.fields import Value
from charrnn.config.files import SETTINGS
from charrnn.errors import ConfigError, RunError
from charrnn.tuning.space import Choices, Dimension, Space

JOURNAL = "journal.jsonl"
"""The file in the folder of a tuning to which Optuna writes."""
RANDOM = 8
"""Trials that are drawn at random before the sampler learns from them."""
LEAST_TRIALS = 10
"""Ended trials that say something about the importance of a setting."""
TOP = 0.25
"""Settings are important if they bring a trial into this best fraction."""
RECORD = "charrnn"
"""The attribute of a trial that holds what came of it."""


@dataclass(frozen=True)
class Asked:
    """A trial to run: its number, from 1, and its point in the space."""

    number: int
    point: dict[str, Value]


class Search:
    """A search in a space, in a folder that this process has locked."""

    def __init__(self, folder: Path, space: Space, first: dict[str, Value], seed: int) -> None:
        optuna = _optuna()
        self._optuna, self._space, self._first, self._seed = optuna, space, first, seed
        self._distributions = {
            name: _distribution(optuna.distributions, name, dimension)
            for name, dimension in space.items()
        }
        path = folder / JOURNAL
        try:
            _drop_torn_line(path)
            backend = optuna.storages.journal.JournalFileBackend(str(path), _NoLock())
            self._study = optuna.create_study(
                study_name="charrnn",
                storage=optuna.storages.journal.JournalStorage(backend),
                load_if_exists=True,
            )
            self._drop_half_asked()
        except OSError as error:
            raise RunError(f"{path}: cannot be used: {error.strerror or error}") from None
        except (ValueError, LookupError, TypeError, AssertionError):
            raise RunError(f"{path} is damaged; choose another `folder`") from None

    def ask(self) -> Asked:
        """The next trial; the first one is at the point that was given."""
        number = len(self._trials) + 1
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM)
        if number == 1:
            self._study.enqueue_trial(self._internal(self._first))
        trial = self._study.ask(self._distributions)
        return Asked(number, self._point(trial.params))

    def unfinished(self) -> list[Asked]:
        """Trials that were asked for and have not ended: those of a killed process, at first."""
        return [
            Asked(number, self._point(trial.params))
            for number, trial in enumerate(self._trials, 1)
            if not trial.state.is_finished()
        ]

    def point(self, number: int) -> dict[str, Value]:
        """The point of a trial."""
        return self._point(self._trials[number - 1].params)

    @property
    def asked(self) -> int:
        """Number of trials so far."""
        return len(self._trials)

    def tell(
        self, number: int, loss: float | None, on_the_way: dict[int, float], record: dict[str, Any]
    ) -> None:
        """A trial has ended with this loss; None if it has not come to its end. `on_the_way` are
        its losses by percent of its time; `record` is what `records` returns.
        """
        frozen = self._trials[number - 1]
        trial = self._optuna.trial.Trial(self._study, frozen._trial_id)
        for percent, early in on_the_way.items():
            if percent not in frozen.intermediate_values:  # it was told, and the process killed
                trial.report(early, percent)
        trial.set_user_attr(RECORD, record)
        if loss is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
        else:
            self._study.tell(trial, loss)

    def records(self) -> list[dict[str, Any]]:
        """What was told of the trials that have ended, by number."""
        return [t.user_attrs[RECORD] for t in self._trials if t.state.is_finished()]

    def on_the_way(self) -> list[dict[int, float]]:
        """The losses by percent of its time of each trial that has come to its end."""
        state = self._optuna.trial.TrialState.COMPLETE
        return [dict(t.intermediate_values) for t in self._trials if t.state == state]

    def importance(self) -> dict[str, float] | None:
        """How much each setting matters for a trial to be among the best quarter, 1 in all, by
        PED-ANOVA (Watanabe et al. 2023); None for fewer than ten ended trials. One that was stopped
        early is among the worst.
        """
        ended = [trial for trial in self._trials if trial.state.is_finished()]
        if len(ended) < LEAST_TRIALS:
            return None
        optuna, worst = self._optuna, 1e6
        study = optuna.create_study()
        for trial in ended:
            value = worst if trial.value is None else trial.value
            study.add_trial(
                optuna.trial.create_trial(
                    params=trial.params, distributions=trial.distributions, value=value
                )
            )
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=TOP)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}

    @property
    def _trials(self) -> list[Any]:
        """Optuna's trials in order, except those that were never asked for as a whole."""
        failed = self._optuna.trial.TrialState.FAIL
        return [t for t in self._study.get_trials(deepcopy=False) if t.state != failed]

    def _drop_half_asked(self) -> None:
        """A process that was killed while it asked leaves a trial without all of its settings."""
        for trial in self._trials:
            is_whole = trial.params.keys() == self._distributions.keys()
            if not trial.state.is_finished() and not is_whole:
                state = self._optuna.trial.TrialState
                if trial.state == state.WAITING:
                    self._study.ask()
                self._study.tell(trial.number, state=state.FAIL)

    def _internal(self, point: dict[str, Value]) -> dict[str, Any]:
        """A point as Optuna has it: ordered choices by their place."""
        return {
            name: dimension.values.index(point[name])
            if isinstance(dimension, Choices) and dimension.is_ordered
            else point[name]
            for name, dimension in self._space.items()
        }

    def _point(self, params: dict[str, Any]) -> dict[str, Value]:
        return {
            name: dimension.values[params[name]]
            if isinstance(dimension, Choices) and dimension.is_ordered
            else params[name]
            for name, dimension in self._space.items()
        }


class _NoLock:
    """The folder is locked already; a lock of Optuna's would survive a killed process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def check_installed() -> None:
    """`ConfigError` if Optuna is not installed, or is too old."""
    try:
        installed = version("optuna")
    except PackageNotFoundError:
        installed = ""
    if installed.partition(".")[0] in ("", "2", "3", "4"):
        here = f", and {installed} is installed" if installed else ""
        raise ConfigError(
            f"tuning needs the package Optuna, version 5 or newer{here}: "
            'pip install "charrnn-numba[tune]"'
        )


def _optuna() -> Any:
    check_installed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna
        import optuna.storages.journal
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _distribution(kinds: Any, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        if dimension.is_ordered:
            return kinds.IntDistribution(0, len(dimension.values) - 1)
        return kinds.CategoricalDistribution(dimension.values)
    kind = kinds.IntDistribution if SETTINGS[name].kind is int else kinds.FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.is_log)


def _drop_torn_line(path: Path) -> None:
    """A full disk may have cut off the last line, to which Optuna would append."""
    if path.exists():
        text = path.read_bytes()
        if not text.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(text.rfind(b"\n") + 1)
