"""What ends a run: steps, epochs, patience, time, whichever comes first; and the falls of the rate
on a plateau.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn.errors import RunError
from charrnn.training import validation
from charrnn.training.loop import train
from charrnn.training.report import Report
from charrnn.training.run import Progress
from charrnn.training.run_file import load_run
from charrnn.training.run_folder import RunFolder
from tests.reference.small import small_corpus, small_run, trained


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the coming validations will find, in order; the last one again and again."""
    coming = [2.0]

    def evaluate(*_: Any, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(nats_per_char=coming.pop(0) if len(coming) > 1 else coming[0])

    monkeypatch.setattr(validation, "evaluate", evaluate)
    return coming


def clock(seconds_a_look: float) -> Any:
    """A clock that goes on by so much whenever it is looked at, from an arbitrary start."""
    times: Iterator[float] = iter(1e6 + seconds_a_look * n for n in range(10**6))
    return lambda: next(times)


def created(path: Path) -> RunFolder:
    folder = RunFolder(path)
    path.mkdir()
    folder.create({})
    return folder


def validated(reports: list[Report]) -> list[int]:
    return [report.step for report in reports if report.validation_loss is not None]


def ends(reports: list[Report]) -> tuple[int, str | None]:
    """The last report's step and what it says of the end; none before it says anything."""
    assert not any(report.ended for report in reports[:-1])
    return reports[-1].step, reports[-1].ended


# Steps and epochs
# --------------------------------------------------------------------------------------------------


def test_steps_and_epochs() -> None:
    corpus = small_corpus()
    per_epoch = small_run(corpus).steps_per_epoch
    assert ends(trained(small_run(corpus, steps=7), corpus)) == (7, "steps")
    both = {"steps": per_epoch, "epochs": 5 / per_epoch}
    assert ends(trained(small_run(corpus, **both), corpus)) == (5, "epochs")
    assert ends(trained(small_run(corpus, **{**both, "steps": 4}), corpus)) == (4, "steps")
    assert ends(trained(small_run(corpus, steps=9), corpus, steps=3)) == (3, None)


# Patience
# --------------------------------------------------------------------------------------------------


def test_patience(losses: list[float]) -> None:
    """The loss of the best is not beaten by an equal one; a new best starts the count anew."""
    corpus = small_corpus()
    run = small_run(corpus, steps=100, eval_every=2, patience=3)
    losses[:] = [3.0, 2.0, 2.5, 2.0, 1.5, 1.6, 1.5, 1.7, 9.0]
    reports = trained(run, corpus)
    assert ends(reports) == (16, "patience") and validated(reports) == list(range(2, 17, 2))
    assert (run.progress.best_step, run.progress.best_loss, run.validations_since_best) == (
        10,
        1.5,
        3,
    )
    assert run.is_finished and run.ended_by() == "patience"
    with pytest.raises(RunError, match="its `patience` ended it at step 16"):
        train(run, corpus)
    run.change(patience=4)
    losses[:] = [8.0]
    assert ends(trained(run, corpus)) == (18, "patience")


def test_the_last_step_is_told_before_patience(losses: list[float]) -> None:
    corpus = small_corpus()
    assert ends(trained(small_run(corpus, steps=6, eval_every=2, patience=2), corpus)) == (
        6,
        "steps",
    )


def test_patience_counts_on_after_an_interruption(tmp_path: Path, losses: list[float]) -> None:
    corpus, settings = small_corpus(), {"steps": 100, "eval_every": 2, "patience": 3}
    found = [3.0, 2.0, 2.1, 2.2, 2.3]
    losses[:] = found
    whole = created(tmp_path / "whole")
    assert ends(trained(small_run(corpus, **settings), corpus, whole)) == (10, "patience")
    losses[:] = found
    folder = created(tmp_path / "parts")
    trained(small_run(corpus, **settings), corpus, folder, steps=7)
    assert ends(trained(folder.resume(), corpus, folder)) == (10, "patience")
    assert folder.last.read_bytes() == whole.last.read_bytes()


# Time
# --------------------------------------------------------------------------------------------------


def test_time(tmp_path: Path) -> None:
    """The run ends after the step in which the time is over, as at its normal end: validated, and
    saved.
    """
    corpus, folder = small_corpus(), created(tmp_path / "a")
    run = small_run(corpus, steps=100, eval_every=5, max_time="70s")
    reports = list(train(run, corpus, folder=folder, threads=1, clock=clock(10.0)))
    last, why = ends(reports)
    assert why == "time" and validated(reports) == [5, last] and 5 < last < 8
    assert (
        load_run(folder.last).step == last and not run.is_finished and run.ended_by(70.0) == "time"
    )


def test_no_second_validation_at_the_same_step() -> None:
    corpus = small_corpus()
    run = small_run(corpus, steps=100, eval_every=1, max_time="30s")
    reports = list(train(run, corpus, threads=1, clock=clock(10.0)))
    assert ends(reports)[1] == "time" and [entry["step"] for entry in run.history] == validated(
        reports
    )
    assert len(set(validated(reports))) == len(reports) < 5


def test_time_is_counted_over_all_sessions(tmp_path: Path) -> None:
    corpus, folder = small_corpus(), created(tmp_path / "a")
    run = small_run(corpus, steps=100, eval_every=2, max_time="100s")
    trained(run, corpus, folder, steps=4)
    lines = [json.loads(line) for line in folder.history.read_text().splitlines()]
    folder.history.write_text(
        "".join(json.dumps({**line, "seconds": 20.0 * line["step"]}) + "\n" for line in lines)
    )
    assert folder.seconds_before == 80
    reports = list(train(folder.resume(), corpus, folder=folder, threads=1, clock=clock(9.0)))
    assert ends(reports)[1] == "time" and len(reports) < 3
    folder.history.write_text(
        folder.history.read_text().replace('"seconds": 80.0', '"seconds": 100.0')
    )
    again = folder.resume()
    with pytest.raises(RunError, match="its `max_time` ended it"):
        train(again, corpus, folder=folder, threads=1, clock=clock(0.0))
    again.change(max_time="2h")
    assert next(train(again, corpus, folder=folder, threads=1, clock=clock(0.0))).ended is None


def test_a_limit_of_time_changes_no_bit(tmp_path: Path) -> None:
    corpus = small_corpus()
    limited, free = small_run(corpus, max_time="40s"), small_run(corpus)
    reports = list(train(limited, corpus, threads=1, clock=clock(10.0)))
    trained(free, corpus, steps=len(reports))
    assert 0 < len(reports) < 12
    np.testing.assert_array_equal(limited.model.parameters.flat, free.model.parameters.flat)


# Plateau
# --------------------------------------------------------------------------------------------------


def test_plateau_falls(tmp_path: Path, losses: list[float]) -> None:
    """After two validations without a new best, and after two more; what was counted is in the
    checkpoint.
    """
    corpus, folder = small_corpus(), created(tmp_path / "a")
    settings = {
        "steps": 20,
        "eval_every": 2,
        "learning_rate": 0.08,
        "decay_rate": 0.25,
        "plateau_patience": 2,
    }
    run = small_run(corpus, schedule="plateau", **settings)
    losses[:] = [3.0, 2.0, 2.5, 2.6, 1.9, 2.0, 2.0, 2.0, 2.0, 2.0]
    reports = trained(run, corpus, folder, steps=9)
    run = folder.resume()
    assert run.progress.falls == 1
    reports += trained(run, corpus, folder)
    rates = [report.learning_rate for report in reports]
    assert rates == pytest.approx([0.08] * 8 + [0.02] * 6 + [0.005] * 4 + [0.00125] * 2)
    assert run.progress.falls == load_run(folder.last).progress.falls == 3


def test_only_the_plateau_schedule_counts_falls(losses: list[float]) -> None:
    corpus = small_corpus()
    run = small_run(corpus, eval_every=1, plateau_patience=1)
    trained(run, corpus)
    assert run.validations_since_best == 11 and run.progress == Progress(
        **{**vars(run.progress), "falls": 0, "best_step": 1}
    )
