"""Learning rates: each schedule at points where its value is known, and what is true of all of
them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.config.training import TrainConfig
from charrnn.optim.schedules import SCHEDULES, Moment, rate_factor

PER_EPOCH = 10


def factor(step: int, total: int = 1001, falls: int = 0, **settings: Any) -> float:
    config = TrainConfig(**{"warmup": 0, "decay_after": 0.0} | settings)
    return rate_factor(Moment(step, PER_EPOCH, total, falls), config)


def test_constant_and_inverse_sqrt() -> None:
    assert [factor(step, schedule="constant") for step in (0, 10**6)] == [1, 1]
    found = [factor(step, schedule="inverse-sqrt") for step in (0, 3000, 99_000)]
    assert found == pytest.approx([1, 0.5, 0.1])


def test_step_falls_as_in_char_rnn() -> None:
    """There, at the end of each epoch whose number, from 1, is at least 10: at the end of the 10th
    for the first time.
    """
    rate, expected, found = 1.0, [], []
    for step in range(20 * PER_EPOCH):  # their loop, with a rate of 1
        expected.append(rate)
        finished = step + 1
        if finished % PER_EPOCH == 0 and finished / PER_EPOCH >= 10:
            rate *= 0.97
    for step in range(20 * PER_EPOCH):
        found.append(factor(step, schedule="step", decay_rate=0.97, decay_after=10))
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[10 * PER_EPOCH - 1] == 1 and found[10 * PER_EPOCH] == 0.97


@pytest.mark.parametrize(
    ("settings", "falls_after"),
    [
        ({"decay_every": 5}, [5, 10, 15, 20]),
        ({"decay_every": 5, "decay_after": 4}, [4, 9, 14, 19]),
        ({"decay_every": 5, "decay_after": 5}, [5, 10, 15, 20]),
        ({"decay_every": 7.5, "decay_after": 2.5}, [2.5, 10, 17.5]),
        ({"decay_every": 0.1, "decay_after": 20.3}, [20.3, 20.4]),
    ],
)
def test_step_falls_after_these_epochs(settings: dict[str, Any], falls_after: list[float]) -> None:
    found = [factor(step, schedule="step", **settings) for step in range(round(20.5 * PER_EPOCH))]
    fell = [step for step, (one, following) in enumerate(pairwise(found), 1) if following != one]
    assert fell == [round(epoch * PER_EPOCH) for epoch in falls_after]
    assert found[-1] == 0.5 ** len(falls_after)


def test_exponential_is_step_without_its_steps() -> None:
    settings = {"decay_rate": 0.25, "decay_every": 2.0}
    found = [factor(step, schedule="exponential", **settings) for step in (0, 10, 20, 40)]
    assert found == pytest.approx([1, 0.5, 0.25, 1 / 16])
    assert [factor(step, schedule="step", **settings) for step in (0, 20, 40)] == pytest.approx(
        [1, 0.25, 1 / 16]
    )
    late = [
        factor(step, schedule="exponential", decay_after=3.0, **settings)
        for step in (0, 30, 40, 50)
    ]
    assert late == pytest.approx([1, 1, 0.5, 0.25])


def test_cosine() -> None:
    found = [factor(step, schedule="cosine") for step in (0, 250, 500, 750, 1000)]
    assert found == pytest.approx([1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125), 0])
    assert [
        factor(step, schedule="cosine", final_rate=0.2) for step in (0, 500, 1000)
    ] == pytest.approx([1, 0.6, 0.2])


def test_one_cycle() -> None:
    found = [
        factor(step, schedule="one-cycle", final_rate=0.1) for step in (0, 150, 300, 650, 1000)
    ]
    assert found == pytest.approx([0.04, 0.52, 1, 0.55, 0.1])


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_schedules_of_the_whole_run_end_with_it(schedule: str) -> None:
    assert factor(99, total=100, schedule=schedule) == 0
    assert (
        factor(99, total=200, schedule=schedule) > 0.4
    )  # given more epochs, it is in the middle again
    assert 0 < factor(0, total=1, schedule=schedule) <= 1
    assert factor(9, total=5, schedule=schedule) == 0  # beyond the end it stays there


def test_plateau() -> None:
    assert [factor(5, falls=falls, schedule="plateau", decay_rate=0.1) for falls in range(3)] == [
        1,
        0.1,
        0.1**2,
    ]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_goes_with_any(schedule: str) -> None:
    """It multiplies by 1/4, 2/4, 3/4 and then no more."""
    for step in range(1000):
        cold, warm = (factor(step, falls=2, schedule=schedule, warmup=warmup) for warmup in (0, 4))
        assert warm == pytest.approx(cold * min(1, (step + 1) / 4), rel=1e-15)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_factor_is_between_zero_and_one(schedule: str) -> None:
    extremes: list[dict[str, Any]] = [
        {},
        {"decay_rate": 0.0},
        {"decay_rate": 1.0},
        {"decay_every": 1e-9},
        {"decay_every": 1e9},
        {"decay_after": 1e9},
        {"final_rate": 1.0},
        {"warmup": 10**12},
    ]
    for settings in extremes:
        for step, total in ((0, 1), (0, 2), (1, 2), (10**12 - 1, 10**12)):
            assert 0 <= factor(step, total, 10**6, schedule=schedule, **settings) <= 1


Changes = tuple[tuple[int, int, bool], ...]


@st.composite
def records(draw: st.DrawFn) -> tuple[int, Changes]:
    """A planned number of steps, and changes of it."""
    planned = total = draw(st.integers(1, 10**6))
    step, changes = 0, []
    for _ in range(draw(st.integers(0, 20))):
        if step + 1 >= total:
            break
        step = draw(st.integers(step + 1, total - 1))
        total = draw(st.integers(step + 1, 10**6 + step))
        changes.append((step, total, False))
    return planned, tuple(changes)


def positions(planned: int, changes: Changes, steps: list[int]) -> list[float]:
    return [Moment(step, PER_EPOCH, planned, 0, changes).position for step in steps]


@given(records(), st.data())
def test_what_is_left_is_spread_over_the_steps_that_are_left(
    record: tuple[int, Changes], data: st.DataObject
) -> None:
    planned, changes = record
    total = changes[-1][1] if changes else planned
    near = {step + by for step, *_ in changes for by in (-1, 0, 1)} | {0, total - 1}
    steps = sorted(near | data.draw(st.sets(st.integers(0, total - 1), max_size=20)))
    steps = [step for step in steps if step < total]
    found = positions(planned, changes, steps)
    assert all(one <= following + 1e-6 for one, following in pairwise(found))
    assert found[-1] == planned - 1  # at the last step exactly
    for n, (step, new, _) in enumerate(changes):  # as far as before, then even steps to the end
        before, at, end = positions(planned, changes[: n + 1], [step - 1, step, new - 1])
        (known,) = positions(planned, changes[:n], [step - 1])
        assert before == pytest.approx(known, rel=1e-9, abs=1e-6) and end == planned - 1
        even = (planned - 1 - known) / (new - step)
        assert at - before == pytest.approx(even, rel=1e-6, abs=1e-6)


@given(st.integers(1, 10**12), st.data())
def test_without_changes_it_is_the_step(planned: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, planned - 1))
    assert positions(planned, (), [step]) == [step]


@given(records(), st.data())
def test_later_changes_do_not_matter(record: tuple[int, Changes], data: st.DataObject) -> None:
    """So a run that is given the whole record at its start has the same rates."""
    planned, changes = record
    count = data.draw(st.integers(0, len(changes)))
    until = changes[count][0] if count < len(changes) else 10**6
    step = data.draw(st.integers(0, until - 1))
    assert positions(planned, changes[:count], [step]) == positions(planned, changes, [step])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_only_schedules_that_end_with_the_run_follow_the_pace(schedule: str) -> None:
    config = TrainConfig(schedule=schedule, warmup=5, decay_every=3.0, decay_after=0.0)
    at = Moment(300, PER_EPOCH, 1001, 2, ((100, 400, False),))
    ends = schedule in ("cosine", "one-cycle")
    same = replace(at, step=round(at.position), changes=())
    assert at.position == pytest.approx(1000 - 99 * 901 / 300)
    assert rate_factor(at, config) == pytest.approx(
        rate_factor(same if ends else replace(at, changes=()), config), rel=0.01
    )
    warming = Moment(1, PER_EPOCH, 1001, 0, ((1, 2, False),))
    assert rate_factor(warming, config) == pytest.approx(
        0 if ends else 2 / 5 * SCHEDULES[schedule](warming, config), abs=1e-12
    )


def rates(planned: int, changes: Changes, **settings: Any) -> list[float]:
    """The factors of all steps of a run."""
    config = TrainConfig(**{"warmup": 0, "decay_after": 0.0} | settings)
    total = changes[-1][1] if changes else planned
    return [
        rate_factor(Moment(step, PER_EPOCH, planned, 0, changes), config) for step in range(total)
    ]


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_a_run_that_is_given_more_rises_once_more_and_ends_at_its_final_rate(schedule: str) -> None:
    """After its end, and again after that; in between it is paced."""
    changes = ((100, 300, True), (200, 260, False), (260, 700, True))
    found = rates(100, changes, schedule=schedule, warmup=8, final_rate=0.01)
    assert found[:100] == rates(100, (), schedule=schedule, warmup=8, final_rate=0.01)
    assert found[200:] != rates(100, changes[:1], schedule=schedule, warmup=8)[200:]
    for begin, end in ((100, 260), (260, 700)):
        peak = max(range(begin, end), key=found.__getitem__)
        assert peak == begin + 7 and found[peak] == pytest.approx(0.5, rel=0.02)
        assert found[begin] == pytest.approx(0.01 + 0.49 / 8, rel=0.02)
        assert found[peak:end] == sorted(found[peak:end], reverse=True)
        assert found[end - 1] == pytest.approx(0.01)


def test_a_run_that_is_given_more_before_its_end_goes_on_from_where_it_is() -> None:
    """Without a jump, and from less than half the peak with a rise."""
    early, late = (rates(100, ((step, 400, True),), warmup=20) for step in (20, 80))
    assert early[20:] == sorted(early[20:], reverse=True)
    assert early[20] == pytest.approx(early[19], rel=0.001) and early[-1] == late[-1] == 0
    assert late[79] < 0.12 and max(late[80:]) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("schedule", sorted({*SCHEDULES} - {"cosine", "one-cycle"}))
def test_more_of_a_schedule_without_an_end_is_more_of_it(schedule: str) -> None:
    settings = {"schedule": schedule, "warmup": 5, "decay_every": 3.0}
    assert rates(50, ((50, 90, True),), **settings) == rates(90, (), **settings)
