"""Keeping to a planned time: the steps are settled once more, and what is found is the run's plan
from then on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from charrnn.config.settings import ModelConfig, TrainConfig
from charrnn.training.loop import Report, train
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning.pacing import held_steps, on_time
from charrnn.tuning.planning import MARGIN, Plan
from tests.reference.small import TEXT, small_corpus, trained

CORPUS = small_corpus(TEXT)
MODEL = ModelConfig(layers=1, hidden=8, dropout=0.1)
STEPS, HELD, LOOK = 60, 6, 2.0


def config(**settings: object) -> TrainConfig:
    """60 steps, of which 6 are made at the peak of the rate."""
    shape = {"batch_size": 4, "seq_length": 8, "sample_every": 0, "eval_every": 20}
    per_epoch = Run.new(CORPUS, MODEL, TrainConfig(**shape)).steps_per_epoch  # type: ignore[arg-type]
    held = {"schedule": "cosine", "decay_after": HELD / per_epoch, "steps": STEPS}
    return TrainConfig(**{**shape, **held, **settings})  # type: ignore[arg-type]


class Clock:
    """A time that goes on when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def ticking(
        self, reports: Generator[Report, None, None], step: float, look: float
    ) -> Generator[Report, None, None]:
        """Steps and validations take so long."""
        with closing(reports):
            for report in reports:
                self.now += step if report.train_loss is None else step + look
                yield report


GIVEN = (STEPS + 4 * LOOK) / (1 - MARGIN)


def plan_of(run: Run, seconds: float = GIVEN, most: int = 10**6) -> Plan:
    """A second a step and three validations, the last twice as long, to be done after so many
    seconds by `Clock`.
    """
    return Plan(
        run.model.config,
        run.config,
        STEPS + 3 * LOOK,
        0.0,
        (),
        1.0,
        LOOK,
        Clock.now + seconds,
        most,
    )


def followed(
    run: Run,
    plan: Plan,
    step: float,
    folder: RunFolder | None = None,
    threads: int = 1,
    until: int = 10**6,
) -> float:
    """Train so, and return when the run ended; what the program does beside steps takes no time."""
    clock = Clock()
    reports = clock.ticking(train(run, CORPUS, folder=folder, threads=threads), step, LOOK * step)
    with closing(on_time(reports, run, plan, folder, clock)) as reports:
        for report in reports:
            if report.step >= until:
                break
    return clock.now - Clock.now


@pytest.mark.parametrize("pace", [0.5, 0.8, 1.25, 2.0])
def test_the_time_is_kept_at_another_pace(pace: float) -> None:
    run = Run.new(CORPUS, MODEL, config())
    used = followed(run, plan_of(run), pace)
    assert run.step == run.total_steps != STEPS and (run.step < STEPS) == (pace > 1)
    if pace > 0.5:
        assert GIVEN - 3 * LOOK * pace < used <= GIVEN
    else:
        assert run.step == 1.5 * STEPS  # for more it would want another plan


def test_at_the_pace_that_was_measured_nothing_changes() -> None:
    run = Run.new(CORPUS, MODEL, config())
    followed(run, plan_of(run), 1.01)
    assert run.step == run.total_steps == STEPS


def test_no_more_than_the_text_is_worth() -> None:
    run = Run.new(CORPUS, MODEL, config())
    followed(run, plan_of(run, 10 * GIVEN, most=66), 1.0)
    assert run.step == 66


def test_there_is_always_a_step_left() -> None:
    run = Run.new(CORPUS, MODEL, config())
    followed(run, plan_of(run, 5.0), 1.0)
    assert run.step == HELD + 1


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_with_that_number_from_the_start_and_when_interrupted(
    tmp_path: Path, threads: int
) -> None:
    """As config.toml says it afterwards, and as the checkpoint does that was written when the
    number was settled.
    """
    fitted, again, parts = (RunFolder(tmp_path / name) for name in ("fitted", "again", "parts"))
    for folder in (fitted, again, parts):
        folder.path.mkdir()
        folder.create(asdict(config()))
    run = Run.new(CORPUS, MODEL, config())
    followed(run, plan_of(run), 1.3, fitted)
    settings = tomllib.loads(fitted.config.read_text())
    assert settings["steps"] == run.step < STEPS
    trained(Run.new(CORPUS, MODEL, TrainConfig(**settings)), CORPUS, again, threads=threads)
    part = Run.new(CORPUS, MODEL, config())
    followed(part, plan_of(part), 1.3, parts, until=HELD + 3)
    trained(parts.resume(), CORPUS, parts, threads=threads)
    assert fitted.last.read_bytes() == again.last.read_bytes() == parts.last.read_bytes()


def test_killed_right_after_it_was_settled(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.create({})
    run = Run.new(CORPUS, MODEL, config())
    reports = on_time(
        Clock().ticking(train(run, CORPUS, folder=folder, threads=1), 1.3, 1.0),
        run,
        plan_of(run),
        folder,
    )
    for report in reports:
        if report.step == HELD:
            break
    kept = folder.resume()  # while the other is still there: nothing more was written
    assert kept.step == HELD and kept.total_steps == run.total_steps != STEPS
    reports.close()


@pytest.mark.parametrize(
    ("schedule", "held"),
    [("cosine", HELD), ("one-cycle", 0), ("constant", HELD), ("inverse-sqrt", HELD)],
)
def test_how_long_the_length_of_the_run_does_not_matter(schedule: str, held: int) -> None:
    run = Run.new(CORPUS, MODEL, config(schedule=schedule))
    assert held_steps(run) == held
    run.change(decay_after=0.0)
    assert held_steps(run) == (0 if schedule == "cosine" else held)


def test_until_then_the_rate_is_the_peak() -> None:
    run = Run.new(CORPUS, MODEL, config(learning_rate=0.01))
    rates = [report.learning_rate for report in train(run, CORPUS, threads=1)]
    assert rates[: HELD + 1] == [0.01] * (HELD + 1)
    assert rates[HELD:] == sorted(rates[HELD:], reverse=True) and rates[-1] == pytest.approx(
        0, abs=1e-9
    )
    longer = Run.new(CORPUS, MODEL, replace(run.config, steps=100))
    more = [report.learning_rate for report in train(longer, CORPUS, threads=1)]
    assert more[: HELD + 1] == rates[: HELD + 1] and more[HELD + 2] > rates[HELD + 2]
