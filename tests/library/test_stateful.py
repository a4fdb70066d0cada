"""A run in the hands of someone impatient: trained, killed, resumed, copied, changed, sampled, in
any order. After n steps its numbers depend on n and on the changes of its settings, and on nothing
else.
"""

from __future__ import annotations

import copy
import pickle
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import charrnn
from charrnn import Run, RunError, RunFolder, SamplingConfig, train
from tests.reference.small import digest, small_corpus, small_run

CORPUS = small_corpus()
EVERY, STEPS = 5, 30
"""Steps between validations, each of which saves; and steps of a run to begin with."""
Change = tuple[int, str, Any]
"""The step before which a setting was changed, its name, and its new value."""
Changes = tuple[Change, ...]
CHANGES = st.one_of(
    *(
        st.tuples(st.just(name), st.sampled_from(values))
        for name, values in {
            "learning_rate": [0.003, 0.01, 0.02],
            "clip_norm": [0.5, 5.0],
            "label_smoothing": [0.0, 0.1],
            "average": [0.0, 0.9],
            "l2": [0.0, 0.01],
        }.items()
    )
)
COPIES: list[Callable[[Run], Run]] = [copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))]
_DIGESTS: dict[tuple[Changes, int], str] = {}


def new_run() -> Run:
    return small_run(
        CORPUS, hidden=4, batch_size=2, steps=STEPS, eval_every=EVERY, sample_every=0, dropout=0.1
    )


def expected(changes: Changes, step: int) -> str:
    """The digest of a run that was never interrupted, after this many steps."""
    while (changes, step) not in _DIGESTS:
        run, now = new_run(), 0
        run.change(steps=10**6)
        for at, name, value in (*changes, (step, "", None)):
            if at > now:
                with closing(train(run, CORPUS, threads=1)) as reports:
                    for report in reports:
                        known = tuple(change for change in changes if change[0] < report.step)
                        _DIGESTS[known, report.step] = digest(run)
                        if report.step == at:
                            break
                now = at
            if name:
                run.change(**{name: value})
                _DIGESTS[tuple(c for c in changes if c[0] <= at), at] = digest(run)
        _DIGESTS[changes, step] = digest(run)
    return _DIGESTS[changes, step]


class Impatience(RuleBasedStateMachine):
    """`run` is trained in `folder`; `changes` are those that it has seen. `saved` is the step and
    the changes of the run as it is on disk.
    """

    @initialize()
    def begin(self) -> None:
        self.place, self.count = Path(tempfile.mkdtemp()), 0
        self.folder, self.run = RunFolder(self.place / "0"), new_run()
        self.folder.path.mkdir()
        self.folder.create({})
        self.changes: Changes = ()
        self.saved: tuple[int, Changes] | None = None

    def teardown(self) -> None:
        if hasattr(self, "place"):
            shutil.rmtree(self.place)

    def trained(self, steps: int, threads: int) -> Any:
        """The reports after this many steps, or fewer at the end; the iteration is still open."""
        reports = train(self.run, CORPUS, folder=self.folder, threads=threads)
        self.saved = self.saved or (0, self.changes)
        for report in reports:
            if report.step % EVERY == 0 or report.ended:
                self.saved = report.step, self.changes
            steps -= 1
            if not steps:
                break
        return reports

    @precondition(lambda self: not self.run.is_finished)
    @rule(steps=st.integers(1, 8), threads=st.integers(1, 2))
    def train_and_stop(self, steps: int, threads: int) -> None:
        self.trained(steps, threads).close()
        self.saved = self.run.step, self.changes

    @precondition(lambda self: not self.run.is_finished)
    @rule(steps=st.integers(1, 8), threads=st.integers(1, 2))
    def train_and_be_killed(self, steps: int, threads: int) -> None:
        """What a killed process leaves: the folder as it is between two steps."""
        reports = self.trained(steps, threads)
        left = self.copied_folder()
        reports.close()
        self.folder = left
        self.resume()

    def copied_folder(self) -> RunFolder:
        self.count += 1
        return RunFolder(shutil.copytree(self.folder.path, self.place / str(self.count)))

    @precondition(lambda self: self.saved is not None)
    @rule()
    def resume(self) -> None:
        self.folder = RunFolder(self.folder.path)
        self.run = self.folder.resume()
        assert self.saved is not None
        step, self.changes = self.saved
        assert self.run.step == step

    @precondition(lambda self: self.saved is not None)
    @rule()
    def move_to_a_copy_of_the_folder(self) -> None:
        self.folder = self.copied_folder()

    @rule(copied=st.sampled_from(COPIES))
    def go_on_with_a_copy(self, copied: Callable[[Run], Run]) -> None:
        self.run = copied(self.run)

    @rule(copied=st.sampled_from(COPIES), steps=st.integers(1, 3))
    def try_something_with_a_copy(self, copied: Callable[[Run], Run], steps: int) -> None:
        other = copied(self.run)
        other.change(steps=other.step + steps)
        list(train(other, CORPUS, threads=1))
        assert other.step == self.run.step + steps

    @rule(change=CHANGES)
    def change_a_setting(self, change: tuple[str, Any]) -> None:
        name, value = change
        self.run.change(**{name: value})
        self.changes = (*self.changes, (self.run.step, name, value))

    @precondition(lambda self: self.run.is_finished)
    @rule(more=st.integers(1, 9))
    def ask_for_more(self, more: int) -> None:
        with pytest.raises(RunError, match="finished"):
            train(self.run, CORPUS, folder=self.folder)
        self.run.change(steps=self.run.step + more)

    @rule(seed=st.integers(0, 3), workers=st.integers(1, 2))
    def sample(self, seed: int, workers: int) -> None:
        config = SamplingConfig(length=20, seed=seed)
        network = self.run.trained
        with closing(charrnn.Workers(workers)) as threads:
            text = "".join(charrnn.generate(network, "1", config, workers=threads))
        assert text == charrnn.generate_many(copy.deepcopy(network), 2, "1", config)[0]

    @rule()
    def evaluate(self) -> None:
        losses = charrnn.evaluate(self.run.result, CORPUS.validation).losses
        again = pickle.loads(pickle.dumps(self.run.trained))
        assert charrnn.evaluate(again.model, CORPUS.validation).losses.tobytes() == losses.tobytes()

    @precondition(lambda self: self.folder.best.exists())
    @rule()
    def look_at_the_best(self) -> None:
        best = charrnn.load(self.folder.path).origin
        entries = {entry["step"]: entry["validation_loss"] for entry in self.run.history}
        if best.step in entries:  # else it is of a change that was lost
            assert best.loss == entries[best.step]

    @invariant()
    def its_numbers_depend_on_its_steps_and_settings_alone(self) -> None:
        if hasattr(self, "run"):
            assert digest(self.run) == expected(self.changes, self.run.step)


TestImpatience = Impatience.TestCase
TestImpatience.settings = settings(max_examples=40, stateful_step_count=25)
