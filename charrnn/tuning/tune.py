"""Tune: search the settings with which a text is learned best in a given time or number of steps.

The first trial is the recipe itself. Each trial is a run in a folder of its own, like any other.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError, RunError
from charrnn.runtime.files import write_atomically
from charrnn.text.corpus import Corpus
from charrnn.training.report import Report
from charrnn.training.run_folder import RunFolder
from charrnn.tuning.candidates import Candidate
from charrnn.tuning.compared_run import ComparedRun
from charrnn.tuning.dealing import deal, rounds
from charrnn.tuning.planning import LEAST_SECONDS
from charrnn.tuning.question import PLAN, Question, check_plan, checked_seconds
from charrnn.tuning.search import JOURNAL, Asked, Search, check_installed
from charrnn.tuning.space import (
    SEARCHED,
    Base,
    Space,
    Varied,
    configs_at,
    recipe_point,
    space_of,
)
from charrnn.tuning.spent import Spent
from charrnn.tuning.trials import Early, Trial, TrialEnd, TrialRun, limits, ranked
from charrnn.tuning.tuned import (
    Tuned,
    checkpoint_of,
    measure_unseen,
    settings_to_write,
    trial_name,
    write_config,
)

LEAST_SHARE = 0.9
"""Of a trial's time, that must be left for another one."""
REPEATING = 0.25
"""Of the whole time, that training the best and the recipe again may take at most."""
LEAST_REPEAT = 0.5
"""Of a trial's time, that must be left to train one of them again."""


@dataclass(frozen=True)
class TuneEvent:
    """An event: a step of a trial (`report`), its end (`trial`), or that of the tuning (`tuned`).
    `share` is the fraction of all work that is done; `number` is the trial's. At the end, the best
    one and the recipe are trained again: `seed` is then the seed.

    settings: what the search suggested; a learning rate or weight decay that is searched in
        multiples (`Range.of_recipe`) is one. `trial.settings` has what the run had.
    """

    number: int
    settings: Mapping[str, Any]
    share: float
    report: Report | None = None
    trial: Trial | None = None
    tuned: Tuned | None = None
    seed: int | None = None

    def __repr__(self) -> str:
        return f"TuneEvent(trial {self.number}, {self.share:.1%} done)"


def tune(
    corpus: Corpus,
    model: ModelConfig | None = None,
    training: TrainConfig | None = None,
    *,
    folder: str | Path,
    duration: str | float | None = None,
    each: str | float | None = None,
    trials: int | None = None,
    vary: Varied | None = None,
    search: Collection[str] = SEARCHED,
    repeats: int = 2,
    threads: int | None = None,
) -> Iterator[TuneEvent]:
    """Train one trial after the other, each with settings that what came before suggests, and end
    with the best. Yields an event for each step, for the end of each trial, and at the end.

    duration, each: the time of all trials and of one, such as "2h" and "5m", or seconds. Without
        `each`, a trial is as long as `training` says (`steps` or `epochs`), and then the same
        seed gives the same trials on any machine.
    trials: how many there are to be, instead of or beside `duration`.
    vary: what is to be searched: a `Range` or values, by the name of the setting.
    search: what is searched around the recipe's values, if `model` and `training` leave it open.
    repeats: the best trial and the recipe are trained again from this many other seeds, as far as
        that takes at most a quarter of `duration` and there is time left; only with a test part.
    folder: where the runs go. If the iteration is closed or the process dies, another call with
        the same arguments goes on; `duration` and `trials` may then be larger.

    A trial is stopped early if after a quarter, half or three quarters of its time its validation
    loss is above the median of those that came to their end. The last event has the result. If the
    corpus has a test part, neither trials nor their choice see it, and the best trial and the
    recipe, trained again, are measured there at the end. `ConfigError` without Optuna, for
    settings that contradict each other, and without a validation part; `RunError` if the folder
    contains another tuning or is in use.
    """
    check_installed()
    question = Question.checked(corpus, model, training, each, vary or {}, search)
    total = None if duration is None else checked_seconds("duration", duration)
    if total is None and trials is None:
        raise ConfigError("how long to tune is missing: set `duration` or `trials`")
    if trials is not None and trials < 1:
        raise ConfigError(f"`trials` must be at least 1, not {trials}")
    if total is not None and question.each is not None and total < question.each:
        raise ConfigError(
            f"`duration` must be at least as long as `each`, {question.each:g} seconds"
        )
    if not 0 <= repeats <= 100:
        raise ConfigError(f"`repeats` must be 0 to 100, not {repeats}")
    if len(corpus.test) < 2:
        repeats = 0
    return _Tuning(question, RunFolder(folder), total, trials, repeats, threads).events()


class _Tuning:
    """One session of a tuning."""

    def __init__(
        self,
        question: Question,
        place: RunFolder,
        duration: float | None,
        most: int | None,
        repeats: int,
        threads: int | None,
    ) -> None:
        self.question, self.place, self.threads = question, place, threads
        self.duration, self.most, self._most_repeats = duration, most, repeats
        self.path, self.corpus = place.path, question.corpus
        self.spent = Spent(self.path)
        self.search: Search
        self.base: Base
        self.space: Space

    def events(self) -> Iterator[TuneEvent]:
        check_plan(self.path, self.question.described)
        with self.place.locked():
            stored = check_plan(self.path, self.question.described)
            self.base = self._base(stored)
            question = self.question
            self.space = space_of(self.corpus, self.base, question.vary, question.search)
            if stored is None:  # what cannot be searched leaves no plan
                self._write_plan()
            first = recipe_point(self.corpus, self.space, self.base)
            self.search = Search(self.path, self.space, first, question.training.seed)
            self.spent.read()
            try:
                yield from self._trials()
                yield from self._repeated()
            finally:
                self.spent.write()
            yield TuneEvent(0, {}, 1.0, tuned=self._tuned())

    def _base(self, stored: dict[str, Any] | None) -> Base:
        if stored is not None:
            return self.question.with_base(**stored["base"])
        return self.question.base(self.threads)

    def _write_plan(self) -> None:
        base = self.base
        decided = {"hidden": base.hidden, "dropout": base.dropout, "steps": base.steps}
        text = json.dumps({**self.question.described, "base": decided}, indent=1)
        write_atomically(self.path / PLAN, text.encode())

    def _jobs(self) -> Iterator[TrialRun]:
        """The trials to run: those that were interrupted, then new ones."""
        for asked in self.search.unfinished():
            yield self._job(asked)
        while self._has_room():
            yield self._job(self.search.ask())

    def _has_room(self) -> bool:
        if self.most is not None and self.search.asked >= self.most:
            return False
        if self.duration is None or self.search.asked == 0:
            return True
        each = self._each
        return self.spent.seconds + (LEAST_SHARE + rounds(2 * self.repeats)) * each < self.duration

    @property
    def repeats(self) -> int:
        """How many repeats there is time for, as far as is known."""
        count = self._most_repeats
        if count and self.duration is not None:
            each = self._each
            while count and rounds(2 * count) * each > REPEATING * self.duration:
                count -= 1
        return count

    @property
    def _each(self) -> float:
        """The seconds of a trial: those asked for, or those of the recipe's once it has ended."""
        if self.question.each is not None:
            return self.question.each
        return next((trial.seconds for trial in self._ended() if trial.number == 1), 0.0)

    def _job(self, asked: Asked) -> TrialRun:
        most = {} if asked.number == 1 else limits(self.search.on_the_way())
        left = math.inf
        if self.duration is not None:
            left = self.duration - self.spent.seconds
            left -= rounds(2 * self.repeats) * self._each
        return self._run(asked, trial_name(asked.number), 0, most, left)

    def _run(self, asked: Asked, name: str, offset: int, most: Early, left: float) -> TrialRun:
        """A trial from the seed that is `offset` above the tuning's own, in a folder of this name;
        there are `left` seconds for it.
        """
        base, vary = self.base, self.question.vary
        model, training = configs_at(self.corpus, base, self.space, asked.point, vary)
        run = ComparedRun(
            Candidate(name, self.corpus, model, training),
            training.seed + offset,
            RunFolder(self.path / name),
            self.threads,
        )
        if self.question.each is not None:
            run.share = max(LEAST_SECONDS, min(self.question.each, left))
        return TrialRun(asked.number, asked.point, run, most)

    def _repeated(self) -> Iterator[TuneEvent]:
        """The events of the best trial's and the recipe's runs from other seeds."""
        best = self._best()
        if best is None or best.number == 1:
            return
        done: dict[int, float] = {}
        with closing(deal(self._repeats(best.number))) as events:  # type: ignore[type-var]
            for job, share, report, end in events:
                done[id(job)] = share
                event = TuneEvent(job.number, job.settings, self._share({}, sum(done.values())))
                trial = None if end is None else end.trial
                yield replace(event, report=report, trial=trial, seed=job.run.seed)

    def _repeats(self, best: int) -> Iterator[TrialRun]:
        runs = [(offset, number) for offset in self._offsets for number in (1, best)]
        for k, (offset, number) in enumerate(runs):
            left = math.inf
            if self.duration is not None:
                left = (self.duration - self.spent.seconds) / rounds(len(runs) - k)
            asked = Asked(number, self.search.point(number))
            job = self._run(asked, trial_name(number, offset), offset, {}, left)
            if left < LEAST_REPEAT * self._each and not job.run.is_begun:
                return
            yield job

    @property
    def _offsets(self) -> range:
        return range(1, self.repeats + 1)

    def _repeated_from(self, best: int) -> list[int]:
        """The offsets from which both the best trial and the recipe were trained again."""
        return [
            offset
            for offset in self._offsets
            if all(checkpoint_of(self.path, number, offset).exists() for number in (1, best))
        ]

    def _best(self) -> Trial | None:
        trials = ranked(self._ended())
        return trials[0] if trials and trials[0].is_complete else None

    def _trials(self) -> Iterator[TuneEvent]:
        for ended in self._ended():
            point = self.search.point(ended.number)
            yield TuneEvent(ended.number, point, self._share({}), trial=ended)
        running: dict[int, float] = {}
        with closing(deal(self._jobs())) as events:  # type: ignore[type-var]
            for job, done, report, end in events:
                running[job.number] = done
                trial: Trial | None = None
                if end is not None:
                    trial = self._told(end)
                    del running[job.number]
                if end is not None or (report is not None and report.train_loss is not None):
                    self.spent.write()
                share = self._share(running)
                yield TuneEvent(job.number, job.settings, share, report, trial)

    def _ended(self) -> list[Trial]:
        try:
            return [Trial(**record) for record in self.search.records()]
        except (LookupError, TypeError):
            raise RunError(f"{self.path / JOURNAL} is damaged; choose another `folder`") from None

    def _told(self, end: TrialEnd) -> Trial:
        trial = end.trial
        loss = trial.validation_loss if trial.is_complete else None
        self.search.tell(trial.number, loss, end.early, trial.as_json())
        return trial

    def _share(self, running: Mapping[int, float], repeated: float = 0.0) -> float:
        """The fraction of all work that is done."""
        shares = []
        if self.duration is not None:
            shares.append(self.spent.seconds / self.duration)
        if self.most is not None:
            ended = len(self.search.records())
            done = ended + sum(running.values()) + repeated
            shares.append(done / (self.most + 2 * self.repeats))
        return min(1.0, max(shares))

    def _tuned(self) -> Tuned:
        trials = tuple(ranked(self._ended()))
        best, unseen = self._best(), None
        settings: dict[str, Any] = {}
        if best is not None:
            asked = self.question
            varied = best.settings if best.number > 1 else asked.vary  # the recipe decides the rest
            settings = settings_to_write(self.corpus.config, asked.model, asked.training)
            settings |= {n: v for n, v in best.settings.items() if n in varied and v is not None}
            length = f"{asked.each:g} s" if asked.each else f"{self.base.steps} steps"
            comment = f"trial {best.number}, the best of {len(trials)}, each of {length}"
            write_config(self.path, settings, comment)
            offsets = [] if best.number == 1 else self._repeated_from(best.number)
            own, recipe = (
                [checkpoint_of(self.path, number, offset) for offset in offsets or [0]]
                for number in (best.number, 1)
            )
            unseen = measure_unseen(self.corpus, own, recipe, self.path, self.threads, len(offsets))
        return Tuned(self.path, trials, best, settings, self.search.importance(), unseen)
