"""Learning rates: each schedule at points where its value is known, and what is true of all of
them.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from charrnn.config.settings import TrainConfig
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
