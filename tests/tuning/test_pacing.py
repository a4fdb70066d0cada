"""Ending on time: the number of steps follows the pace, and the run can be repeated from what was
recorded.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from charrnn.config.settings import ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.network.network import Network
from charrnn.optim.schedules import rate_factor
from charrnn.text.corpus import Corpus
from charrnn.text.datasets import bundled_corpus
from charrnn.training.loop import train
from charrnn.training.report import Report
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning import pacing, replanning
from charrnn.tuning.pacing import on_time
from charrnn.tuning.planning import Plan
from charrnn.tuning.replanning import plan_more
from tests.reference.small import TEXT, small_corpus, trained

CORPUS = small_corpus(TEXT)
MODEL = ModelConfig(layers=1, hidden=8, dropout=0.1)
SHAPE = {"batch_size": 4, "seq_length": 8, "sample_every": 0}
PER_EPOCH = Run.new(CORPUS, MODEL, TrainConfig(**SHAPE)).steps_per_epoch  # type: ignore[arg-type]
Pace = Callable[[float], float]
"""How many times as long as planned a step takes when this share of the time is over."""


def config(steps: int = 60, **settings: object) -> TrainConfig:
    """The rate is at its peak for a tenth of the steps, and then a cosine."""
    held = {"warmup": 0, "decay_after": 0.1 * steps / PER_EPOCH, "steps": steps}
    every = {"eval_every": -(-steps // 4)}
    return TrainConfig(**{**SHAPE, **held, **every, **settings})  # type: ignore[arg-type]


def plan_of(run: Run, seconds: float, share: float = 0.08, most: int = 10**6) -> Plan:
    """Four validations take a share of the seconds, steps the rest."""
    steps = run.config.planned_steps(PER_EPOCH)
    step, look = (1 - share) * seconds / steps, share * seconds / 4
    return Plan(run.model.config, run.config, seconds, 0.0, 1.0, step, look, seconds, most, seconds)


def paced(
    reports: Generator[Report, None, None], run: Run, plan: Plan, pace: Pace, say: object = None
) -> Generator[tuple[Report, float], None, None]:
    """The reports, and what time each came, with steps and validations that take so long; single
    steps a little more or less.
    """
    now, noise = 0.0, random.Random(1)

    def ticking() -> Generator[Report, None, None]:
        nonlocal now
        with closing(reports):
            for report in reports:
                factor = pace(now / plan.deadline)
                now += plan.step_seconds * factor * noise.uniform(0.8, 1.2)
                if report.train_loss is not None:
                    now += plan.validation_seconds * factor
                if report.ended is not None:
                    now += 0.2
                yield report

    with closing(on_time(ticking(), run, plan, say, lambda: now)) as timed:  # type: ignore[arg-type]
        for report in timed:
            yield report, now


def pretended(run: Run) -> Generator[Report, None, None]:
    """The reports of a run that trains nothing."""
    ended = None
    while ended is None:
        rate = rate_factor(run.moment, run.config)
        run.progress = replace(run.progress, step=run.step + 1)
        ended = run.ended_by()
        validated = 2.0 if ended or run.step % (run.config.eval_every or 1) == 0 else None
        place = run.step, run.total_steps, run.epoch
        yield Report(*place, 32, 0.1, 2.0, 2.0, 1.0, rate, train_loss=validated, ended=ended)


TIMES = [(20.0, 250), (20.0, 900), (60.0, 1500), (420.0, 6000)]
"""Seconds given, and steps planned."""
PACES: dict[str, Pace] = {
    "as planned": lambda share: 1.0,
    "slower": lambda share: 1.8,
    "faster": lambda share: 0.5,
    **{
        f"halves at {at}": lambda share, at=at: 2.0 if share > at else 1.0
        for at in (0.3, 0.6, 0.85)
    },
    **{
        f"doubles at {at}": lambda share, at=at: 0.5 if share > at else 1.0
        for at in (0.3, 0.6, 0.85)
    },
    **{
        f"changes every {part}": lambda share, part=part: 1.0 + (share // part % 2)
        for part in (0.03, 0.07, 0.15)
    },
}


@pytest.mark.parametrize(("seconds", "steps"), TIMES)
@pytest.mark.parametrize("pace", PACES)
def test_a_run_ends_on_time_at_its_final_rate(seconds: float, steps: int, pace: str) -> None:
    run = Run.new(CORPUS, MODEL, config(steps))
    plan = plan_of(run, seconds)
    seen = list(paced(pretended(run), run, plan, PACES[pace]))
    rates = [report.learning_rate for report, _ in seen]
    assert 0.95 * seconds <= seen[-1][1] <= 1.03 * seconds
    assert rates[0] == 1 and rates == sorted(rates, reverse=True) and rates[-1] == 0
    late = [report.total_steps for report, now in seen if now > 0.9 * seconds]
    assert late == sorted(late, reverse=True)
    assert len(run.config.changes) <= 50


@pytest.mark.parametrize("pace", [1.0, 2.0])
def test_in_the_last_tenth_it_only_cuts_and_says_so(pace: float) -> None:
    """Twice as fast, or as slow, from there on."""
    run, said = Run.new(CORPUS, MODEL, config(1500)), []
    factor = {1.0: lambda x: 0.5 if x > 0.92 else 1.0, 2.0: lambda x: 2.0 if x > 0.92 else 1.0}
    seen = list(paced(pretended(run), run, plan_of(run, 60.0), factor[pace], said.append))
    before = next(report.total_steps for report, now in seen if now > 0.9 * 60)
    if pace == 2.0:
        assert run.step < before and seen[-1][1] < 1.03 * 60
        assert said[-1].startswith("running slower") and f" {run.step:,} steps" in said[-1]
    else:
        assert run.step == before and seen[-1][1] > 0.95 * 60 and not said


def test_no_more_than_the_text_is_worth() -> None:
    run, said = Run.new(CORPUS, MODEL, config(1500)), []
    plan = plan_of(run, 60.0, most=1600)
    seen = list(paced(pretended(run), run, plan, lambda share: 0.5, said.append))
    assert run.step == 1600 and seen[-1][1] < 40 and seen[-1][0].learning_rate == 0
    assert said == [
        "running faster than planned: 1,600 steps instead of 1,500; more steps would only "
        "repeat the text, so this ends early"
    ]


def test_only_large_changes_are_said() -> None:
    run, said = Run.new(CORPUS, MODEL, config(1500)), []
    for _ in paced(pretended(run), run, plan_of(run, 60.0), lambda share: 1.06, said.append):
        pass
    assert run.config.changes and not said
    run = Run.new(CORPUS, MODEL, config(1500))
    pace = PACES["halves at 0.3"]
    for _ in paced(pretended(run), run, plan_of(run, 60.0), pace, said.append):
        pass
    assert 1 <= len(said) < len(run.config.changes)
    assert said[0].startswith("running slower than planned: ")
    assert said[0].endswith(" steps instead of 1,500, to end on time")


def test_when_the_time_is_over_the_run_ends_at_once() -> None:
    run = Run.new(CORPUS, MODEL, config(1500))
    plan = plan_of(run, 60.0)
    seen = list(paced(pretended(run), run, replace(plan, deadline=1e-9), lambda share: 1.0))
    assert run.step == 3 and seen[-1][0].learning_rate == 0


def test_a_bad_start_does_not_end_the_run() -> None:
    """The plan's validation was measured while another program ran, and so are the first steps."""
    run = Run.new(CORPUS, MODEL, config(500))
    plan = plan_of(run, 20.0)
    wrong = replace(plan, validation_seconds=10 * plan.validation_seconds)

    def pace(share: float) -> float:
        return 6.0 if share < 0.15 else 1.0

    now, seen = 0.0, []

    def ticking() -> Generator[Report, None, None]:
        nonlocal now
        for report in pretended(run):
            now += plan.step_seconds * pace(now / 20)
            now += plan.validation_seconds if report.train_loss is not None else 0.0
            yield report

    seen = list(on_time(ticking(), run, wrong, clock=lambda: now))
    assert 0.95 * 20 < now < 1.03 * 20 and seen[-1].learning_rate == 0


def of(folder: RunFolder) -> Run:
    folder.path.mkdir()
    folder.create(asdict(config()))
    return Run.new(CORPUS, MODEL, config())


def on_the_clock(run: Run, folder: RunFolder, threads: int, until: int = 10**6) -> None:
    """Train for a minute while the pace comes and goes; or until a step, and then stop."""
    reports = train(run, CORPUS, folder=folder, threads=threads)
    with closing(
        paced(reports, run, plan_of(run, 60.0), lambda share: 1.3 + share // 0.15 % 2)
    ) as timed:
        for report, _ in timed:
            if report.step == until:
                break


def assert_same(one: RunFolder, *others: RunFolder) -> None:
    for other in others:
        assert one.last.read_bytes() == other.last.read_bytes()
        assert one.best.read_bytes() == other.best.read_bytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_from_the_record(tmp_path: Path, threads: int) -> None:
    first, again = RunFolder(tmp_path / "first"), RunFolder(tmp_path / "again")
    run = of(first)
    on_the_clock(run, first, threads)
    settings = tomllib.loads(first.config.read_text())
    assert settings["pace"] == run.config.pace and settings["steps"] == 60 > run.step
    assert len(run.config.changes) > 2
    of(again)
    repeated = Run.new(CORPUS, MODEL, TrainConfig(**settings))
    trained(repeated, CORPUS, again, threads=threads)
    assert_same(first, again)


@pytest.mark.parametrize("until", [7, 15, 22, 30])
def test_interrupted_it_goes_on_without_a_clock(tmp_path: Path, until: int) -> None:
    """After a validation too, when `last` was written before the change."""
    parts, again = RunFolder(tmp_path / "parts"), RunFolder(tmp_path / "again")
    part = of(parts)
    on_the_clock(part, parts, 1, until)
    run = parts.resume()
    assert run.step == until and run.config == part.config
    trained(run, CORPUS, parts)
    settings = tomllib.loads(parts.config.read_text())
    assert settings.get("pace") == part.config.pace
    of(again)
    trained(Run.new(CORPUS, MODEL, TrainConfig(**settings)), CORPUS, again)
    assert_same(parts, again)


@pytest.mark.parametrize(("until", "saved_at"), [(23, 15), (14, 0)])
@pytest.mark.parametrize("ahead", [False, True])
def test_killed_it_goes_on_from_what_was_saved(
    tmp_path: Path, ahead: bool, until: int, saved_at: int
) -> None:
    """Also right between writing config.toml and `last`."""
    parts, again, saved = (RunFolder(tmp_path / name) for name in ("parts", "again", "saved"))
    reports = paced(
        train(part := of(parts), CORPUS, folder=parts, threads=1),
        part,
        plan_of(part, 60.0),
        lambda share: 1.3 + share // 0.15 % 2,
    )
    for report, _ in reports:
        if report.step == until:
            break
    saved.path.mkdir()
    for path in parts.path.glob("[a-z]*"):
        (saved.path / path.name).write_bytes(path.read_bytes())
    reports.close()  # the copy is the folder as it was before
    if ahead:
        saved.config.write_bytes(parts.config.read_bytes())
    run = saved.resume()
    assert run.step == saved_at and len(run.config.changes) < len(part.config.changes)
    trained(run, CORPUS, saved)
    settings = tomllib.loads(saved.config.read_text())
    assert settings.get("pace") == run.config.pace
    of(again)
    trained(Run.new(CORPUS, MODEL, TrainConfig(**settings)), CORPUS, again)
    assert_same(saved, again)


def test_a_run_that_fell_back_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes the same steps again as before, although its number of steps was changed between."""
    real, failures = Network.gradients, [38]

    def failing(self, x, y, state, key, *more):  # type: ignore[no-untyped-def]
        loss, gradient = real(self, x, y, state, key, *more)
        if failures and running.step == failures[0]:
            failures.pop()
            return float("nan"), gradient
        return loss, gradient

    monkeypatch.setattr(Network, "gradients", failing)
    first, again = RunFolder(tmp_path / "first"), RunFolder(tmp_path / "again")
    running = run = of(first)
    reports = train(run, CORPUS, folder=first, threads=1)
    seen = list(paced(reports, run, plan_of(run, 60.0), lambda share: 1.0 + share // 0.15 % 2))
    fall = next(report.fell_back for report, _ in seen if report.fell_back is not None)
    assert fall.from_step == 39 and fall.to_step == 30
    steps, pace = [step for step, *_ in run.config.changes], run.config.pace
    assert any(fall.to_step < step < fall.from_step for step in steps)
    assert any(step >= fall.from_step for step in steps)
    run.config = replace(run.config, pace=None)
    resumed = pacing._Pacer(run, plan_of(run, 60.0), 0.0, None)
    assert resumed.free_from == fall.from_step  # also in another session
    run.config = replace(run.config, pace=pace)
    failures.append(38)
    of(again)
    running = Run.new(CORPUS, MODEL, TrainConfig(**tomllib.loads(first.config.read_text())))
    trained(running, CORPUS, again)
    assert_same(first, again)
    assert np.array_equal(running.state.h, run.state.h)


def given_more(run: Run, seconds: float, steps: int) -> Plan:
    """The plan for more seconds, at a speed at which so many steps fit; the run takes it over."""
    more = plan_more(CORPUS, run, seconds)
    pace = re.sub(r"\d+$", str(run.step + steps), more.training.pace or "")
    step = 0.92 * seconds / steps
    run.change(**asdict(replace(more.training, pace=pace)))
    return replace(more, step_seconds=step, validation_seconds=step, deadline=seconds)


@pytest.mark.parametrize("pace", ["as planned", "slower", "faster", "halves at 0.3"])
def test_more_time_is_kept_too(pace: str) -> None:
    """A run that has ended, at whatever step, and is given another minute."""
    run = Run.new(CORPUS, MODEL, config(400))
    list(paced(pretended(run), run, plan_of(run, 20.0), PACES["slower"]))
    begun, plan = run.step, given_more(run, 60.0, 1500)
    assert run.config.changes[-1] == (begun, begun + 1500, True)
    seen = list(paced(pretended(run), run, plan, PACES[pace]))
    rates = [report.learning_rate for report, _ in seen]
    assert 0.95 * 60 <= seen[-1][1] <= 1.03 * 60
    assert rates[0] == 0.5 and rates == sorted(rates, reverse=True) and rates[-1] == 0


def test_a_cycle_that_still_rises_is_spread() -> None:
    """Its rate is low because it has just begun, not because it has fallen."""
    run = Run.new(CORPUS, MODEL, config(1000, schedule="one-cycle"))
    reports = pretended(run)
    for _ in range(100):
        next(reports)
    given_more(run, 60.0, 3000)
    assert run.config.pace == "100:3100"
    assert max(report.learning_rate for report in reports) == pytest.approx(1, abs=0.01)
    given_more(run, 60.0, 1000)
    assert run.config.pace == "100:3100 3100+4100"


@pytest.mark.parametrize("until", [0, 5, 18])
def test_given_more_and_interrupted_it_is_repeated(tmp_path: Path, until: int) -> None:
    """From the record alone, in one piece, although it had ended in between."""
    parts, again = RunFolder(tmp_path / "parts"), RunFolder(tmp_path / "again")
    on_the_clock(of(parts), parts, 1)
    for _ in range(2):
        run = parts.resume()
        begun, plan = run.step, given_more(run, 30.0, 41)
        parts.save_last(run)
        with closing(
            paced(train(run, CORPUS, folder=parts, threads=2), run, plan, PACES["slower"])
        ) as timed:
            for _ in range(until):
                next(timed)
        run = parts.resume()
        assert run.total_steps > run.step >= begun
        trained(run, CORPUS, parts)
    settings = tomllib.loads(parts.config.read_text())
    assert settings["pace"].count("+") == 2
    of(again)
    trained(Run.new(CORPUS, MODEL, TrainConfig(**settings)), CORPUS, again)
    assert_same(parts, again)


def test_what_is_given_replaces_what_was_given_at_the_same_step() -> None:
    run = Run.new(CORPUS, MODEL, config(100))
    more = plan_more(CORPUS, run, 5.0).training  # before the first step
    assert more.pace is None and more.steps != 100
    run.change(steps=70)
    reports = pretended(run)
    for _ in range(20):
        next(reports)
    for steps in (70, 50):
        given_more(run, 10.0, steps)
        assert run.config.pace == f"20:{20 + steps}"
    for _ in reports:
        pass
    assert run.step == 70
    for steps in (70, 50):
        given_more(run, 10.0, steps)
        assert run.config.pace == f"20:70 70+{70 + steps}" and run.former_ends == {70}
    run.change(max_time="1s")
    given_more(run, 10.0, 50)
    assert run.config.max_time is None


def test_a_run_without_a_step_gets_all_of_its_curve() -> None:
    corpus = small_corpus("ab cd. " * 3000)
    run = Run.new(corpus, ModelConfig(hidden=8, layers=1), TrainConfig(steps=1000))
    assert run.config.schedule == "cosine" and run.config.decay_after
    run.change(**asdict(replanning._longer(run, 50)))
    assert run.total_steps == 50
    assert rate_factor(replace(run.moment, step=49), run.config) < 0.01


def test_more_time_does_not_make_a_network_worse() -> None:
    """Although the rate rises again."""
    corpus = Corpus.read(bundled_corpus())
    training = TrainConfig(steps=300, eval_every=300, sample_every=0)
    run = Run.new(corpus, ModelConfig(layers=2, hidden=64), training)
    trained(run, corpus, threads=2)
    run.change(pace="300+400")
    trained(run, corpus, threads=2)
    run.change(pace="300+400 400+700")
    trained(run, corpus, threads=2)
    losses = [entry["validation_loss"] for entry in run.validations if entry["step"] != 600]
    assert len(losses) == 3 and losses[1] < losses[0] and losses[2] < losses[1] - 0.05


def test_another_number_of_steps_clears_the_record() -> None:
    run = Run.new(CORPUS, MODEL, config(pace="10:50 20:55"))
    assert run.total_steps == 55 and run.ended_by() is None
    run.change(learning_rate=0.01)
    assert run.total_steps == 55
    run.change(steps=60, pace="10:50")
    assert run.total_steps == 50
    run.change(steps=70)
    assert run.total_steps == 70 and run.config.pace is None
    run.change(epochs=1.0, pace="10:50")
    run.change(epochs=1.0)
    assert run.total_steps == PER_EPOCH
