"""The result of a tuning: its best trial beside the recipe, on text that tuning did not see."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from charrnn.checkpoint.trained import load
from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import Value
from charrnn.config.files import values_of
from charrnn.config.settings import CorpusConfig
from charrnn.config.training import LENGTH
from charrnn.evaluation.evaluate import evaluate
from charrnn.runtime.files import parse_json, read_regular, write_atomically
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.documents import follows_separator
from charrnn.training.run_folder import RunFolder, note_test_look
from charrnn.tuning.candidates import MOST_READ
from charrnn.tuning.trials import Trial

UNSEEN = "unseen.json"
CONFIG = "config.toml"
BLOCK = 500
"""Characters whose losses are averaged before their spread is measured: neighbours are alike."""
NOT_LEARNED = (*LENGTH, "seed", "eval_every", "sample_every", "val_fraction", "test_fraction")
"""Settings that are not written to config.toml: they say how a trial went."""


@dataclass(frozen=True)
class Unseen:
    """The losses of the best trial's settings and of the recipe, in nats per character, on
    `characters` that no trial has learned from or was chosen by.

    repeats: from how many other seeds each was trained again for that, of which these are the
        means; 0 if these are the losses of the trials themselves.
    error: the standard error of their difference: by the choice of the text and, with two seeds or
        more, of the seeds.
    """

    characters: int
    best: float
    recipe: float
    error: float
    repeats: int = 0

    @property
    def gain(self) -> float:
        """How much lower the best trial's loss is than the recipe's."""
        return self.recipe - self.best


@dataclass(frozen=True)
class Tuned:
    """The result of a tuning. `trials` are ranked, the best first; `importance` is the share of
    each setting, None if there were too few trials; `unseen` is None without a test part, or if
    the recipe's trial has no network.

    settings: those of the best trial for `config.toml`: what was asked for and what was tuned.
    """

    folder: Path
    trials: tuple[Trial, ...]
    best: Trial | None
    settings: dict[str, Value]
    importance: dict[str, float] | None
    unseen: Unseen | None

    def as_json(self) -> dict[str, Any]:
        """The result as a JSON-compatible dictionary."""
        unseen = self.unseen and {**asdict(self.unseen), "gain": self.unseen.gain}
        return {
            "folder": str(self.folder),
            "best": self.best and self.best.number,
            "settings": self.settings,
            "config": str(self.folder / CONFIG),
            "importance": self.importance,
            "unseen": unseen,
            "trials": [trial.as_json() for trial in self.trials],
        }


def settings_to_write(
    corpus: CorpusConfig, model: ModelConfig, training: TrainConfig
) -> dict[str, Value]:
    """The settings that differ from the defaults, for `config.toml`."""
    usual = values_of(CorpusConfig(), ModelConfig(), TrainConfig())
    return {
        name: value
        for name, value in values_of(corpus, model, training).items()
        if value is not None and value != usual[name] and name not in NOT_LEARNED
    }


def write_config(folder: Path, settings: Mapping[str, Value], comment: str) -> None:
    """Write `config.toml`, with a comment in its first line."""
    write_atomically(folder / CONFIG, f"# {comment}\n{tomli_w.dumps(dict(settings))}".encode())


def measure_unseen(
    corpus: Corpus,
    best: Sequence[Path],
    recipe: Sequence[Path],
    folder: Path,
    threads: int | None,
    repeats: int = 0,
) -> Unseen | None:
    """Evaluate checkpoints, one of each for each seed, on the test part, once: a result that is in
    the folder already is read from there. None without a test part of two characters or if there is
    no checkpoint (a run that diverged at once has none). repeats: 0 if these are the trials' own.
    """
    pairs = [pair for pair in zip(best, recipe, strict=True) if all(path.exists() for path in pair)]
    if len(corpus.test) < 2 or not pairs:
        return None
    names = [[path.parent.name for path in pair] for pair in pairs]
    about = {"networks": names, "sha256": corpus.sha256}
    stored = _stored(folder / UNSEEN, about)
    if stored is not None:
        return stored
    losses = {path: _losses(path, corpus, threads) for path in dict.fromkeys(chain(*pairs))}
    for path, each in losses.items():
        note_test_look(path, float(each.mean(dtype=np.float64)))
    ours, usual = (np.array([losses[pair[k]] for pair in pairs]) for k in (0, 1))
    means = [each.mean(1, dtype=np.float64) for each in (ours, usual)]
    of_text = standard_error((usual - ours).mean(0))
    of_seeds = 0.0
    if len(pairs) > 1:
        of_seeds = math.sqrt(sum(each.var(ddof=1) for each in means) / len(pairs))
    unseen = Unseen(
        characters=ours.shape[1],
        best=float(means[0].mean()),
        recipe=float(means[1].mean()),
        error=math.hypot(of_text, of_seeds),
        repeats=repeats and len(pairs),
    )
    described = {**about, "unseen": asdict(unseen)}
    write_atomically(folder / UNSEEN, json.dumps(described).encode())
    return unseen


def standard_error(differences: NDArray[np.floating[Any]]) -> float:
    """Of the mean of these numbers (K,), of which neighbours depend on each other; 0 for so few
    that nothing can be said.
    """
    count = len(differences) // BLOCK
    if count < 2:
        return 0.0
    means = differences[: count * BLOCK].reshape(count, BLOCK).mean(1, dtype=np.float64)
    return float(means.std(ddof=1) / math.sqrt(count))


def _losses(path: Path, corpus: Corpus, threads: int | None) -> NDArray[np.float32]:
    trained, starts = load(path), corpus.test_starts
    openings = [trained.opening] if follows_separator(starts) else []
    with closing(Workers(threads)) as workers:
        return evaluate(
            trained.model, corpus.test, starts=starts, openings=openings, workers=workers
        ).losses


def _stored(path: Path, about: dict[str, Any]) -> Unseen | None:
    try:
        stored = parse_json(read_regular(path, MOST_READ))
        if {name: stored[name] for name in about} == about:
            unseen = Unseen(**stored["unseen"])
            math.fsum(asdict(unseen).values())  # raises unless these are numbers
            return unseen
    except (OSError, ValueError, TypeError, LookupError):
        pass
    return None


def checkpoint_of(folder: Path, number: int, offset: int = 0) -> Path:
    """The best network of a trial, or of its run from another seed."""
    return RunFolder(folder / trial_name(number, offset)).best


def trial_name(number: int, offset: int = 0) -> str:
    """The name of a trial's folder; offset: of the run from the seed that is so far above."""
    return f"trial-{number:03d}" + (f"-again-{offset}" if offset else "")
