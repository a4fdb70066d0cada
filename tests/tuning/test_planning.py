"""Plans: what is chosen for a time, that it is used up, and that a run which was planned is a run
like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from charrnn.config.settings import ModelConfig, TrainConfig
from charrnn.errors import ConfigError
from charrnn.text.corpus import Corpus
from charrnn.training.run import Run
from charrnn.training.run_file import load_run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning import planning
from charrnn.tuning.planning import (
    dropout_for,
    input_dropout_for,
    learning_rate_for,
    plan,
    weight_decay_for,
)
from tests.reference.small import TEXT, small_corpus, trained


class Machine:
    """A clock, and a network's speed by its parameters; replaces what would be measured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, multiplications: float) -> None:
        self.now, self.speed = 0.0, multiplications
        monkeypatch.setattr(planning._Planner, "_step_seconds", lambda *given: self.step(*given))
        monkeypatch.setattr(planning._Planner, "_validation_seconds", lambda *given: 0.2)

    def step(
        self, planner: Any, model: ModelConfig, training: TrainConfig, seconds: float
    ) -> float:
        self.now += max(0.1, seconds)
        shape = Run.new(planner.corpus, model, training).config
        return (
            shape.batch_size
            * shape.seq_length
            * planning._count(model)
            * (1 + 56 / model.hidden)
            / self.speed
        )

    def plan(self, corpus: Corpus, duration: str | float, **options: Any) -> planning.Plan:
        return plan(corpus, duration, elapsed=lambda: self.now, **options)


@pytest.fixture(params=[2e9, 2e10])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield Machine(monkeypatch, request.param)


@pytest.fixture(scope="module")
def novel() -> Corpus:
    return small_corpus(TEXT * 200)


@pytest.mark.parametrize("minutes", [0.5, 2, 7, 30])
def test_the_time_is_used_and_not_exceeded(machine: Machine, novel: Corpus, minutes: float) -> None:
    found = machine.plan(novel, 60 * minutes)
    step = machine.step(type("P", (), {"corpus": novel}), found.model, found.training, 0)
    assert found.training.steps is not None and found.training.eval_every is not None
    looks = -(-found.training.steps // found.training.eval_every)
    used = machine.now + found.training.steps * step + 0.2 * looks
    epochs = found.training.steps / Run.new(novel, found.model, found.training).steps_per_epoch
    assert used < 60 * minutes
    most = planning.most_epochs_for(planning._count(found.model))
    assert used > 0.9 * 60 * minutes or epochs == pytest.approx(most, rel=0.01)
    assert found.training.schedule == "cosine" and looks <= planning.MOST_VALIDATIONS + 1
    assert found.chars_per_second == pytest.approx(32 * 64 / step, rel=0.01)


def test_more_time_or_a_faster_machine_means_a_larger_network(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = {
        (speed, seconds): Machine(monkeypatch, speed).plan(novel, seconds).model.hidden
        for speed in (2e9, 2e10)
        for seconds in (10, 100, 1000)
    }
    for speed in (2e9, 2e10):
        found = [widths[speed, seconds] for seconds in (10, 100, 1000)]
        assert found == sorted(found) and found[0] < found[-1]
    assert widths[2e10, 100] > widths[2e9, 100]


def test_a_short_text_gets_a_small_network_few_streams_and_ends_early(machine: Machine) -> None:
    corpus = small_corpus(TEXT * 4)
    found = machine.plan(corpus, 3600)
    assert planning._count(found.model) <= planning.PARAMETERS_PER_CHARACTER * len(corpus.train)
    assert found.training.batch_size < 32
    assert any("less time" in reason for reason in found.reasons) and found.seconds < 3600


def test_what_is_fixed_stays(machine: Machine, novel: Corpus) -> None:
    fixed = {"hidden": 70, "cell": "lstm", "dropout": 0.15}
    training = {
        "learning_rate": 0.001,
        "batch_size": 7,
        "eval_every": 11,
        "warmup": 3,
        "schedule": "one-cycle",
    }
    found = machine.plan(novel, 60, model=fixed, training=training)
    assert (
        fixed.items() <= vars(found.model).items()
        and training.items() <= vars(found.training).items()
    )
    rate = machine.plan(novel, 60, training={"optimizer": "sgd"}).training.learning_rate
    assert rate is None  # that of the optimiser


@pytest.mark.parametrize("name", ["steps", "epochs", "pace", "max_time"])
def test_only_one_says_how_long(novel: Corpus, name: str) -> None:
    with pytest.raises(ConfigError, match=f"`duration` and `{name}` both"):
        plan(novel, "20m", training={name: {"max_time": "1m", "pace": "3:5"}.get(name, 3)})


@pytest.mark.parametrize(
    "duration", ["", "soon", "4s", 1.0, float("nan"), float("inf"), "-20m", "20 minutes"]
)
def test_a_time_must_be_one(novel: Corpus, duration: str | float) -> None:
    with pytest.raises(ConfigError, match="`duration` must be at least 5 seconds"):
        plan(novel, duration)


def test_too_little_time_for_one_step(novel: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="makes no step; give more time or a smaller `hidden`"):
        Machine(monkeypatch, 1e6).plan(novel, 6.0)


def test_rules_have_no_jumps() -> None:
    epochs = [n / 4 for n in range(4, 200)]
    for found in (
        [dropout_for(e, 2_000_000, 500_000) for e in epochs],
        [input_dropout_for(e) for e in epochs],
        [weight_decay_for(e, 0.01, 500) for e in epochs],
    ):
        assert found == sorted(found) and found[0] < found[-1] <= 0.5
        assert max(b - a for a, b in pairwise(found)) < 0.11
    assert dropout_for(20, 200_000, 1_000_000) < dropout_for(20, 4_000_000, 1_000_000)
    most = [
        planning.most_epochs_for(parameters) for parameters in range(10_000, 10_000_000, 50_000)
    ]
    assert most == sorted(most, reverse=True) and most[0] == planning.MOST_EPOCHS and most[-1] > 10
    rates = [learning_rate_for(width) for width in planning.WIDTHS]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("epochs", [1, 4, 9])
def test_weights_forget_within_so_many_passes(epochs: float) -> None:
    decay = weight_decay_for(epochs, 0.01, 400)
    assert (1 - 0.01 * decay) ** (400 * 12 / epochs) == pytest.approx(math.exp(-1), rel=0.02)


def test_measured_for_real_a_plan_makes_a_run_that_can_be_interrupted(tmp_path: Path) -> None:
    """Once it is made the clock has no part in it: the same bits, however often it stops."""
    corpus = small_corpus(TEXT * 2)
    found = plan(corpus, 6.0, model={"hidden": 16}, threads=1)
    assert found.training.steps is not None and found.training.steps > 20
    config = found.training
    shorter = TrainConfig(**{**vars(config), "steps": 60, "eval_every": 20})
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    for folder in (whole, parts):
        folder.path.mkdir()
        folder.create({})
    trained(Run.new(corpus, found.model, shorter), corpus, whole)
    trained(Run.new(corpus, found.model, shorter), corpus, parts, steps=17)
    trained(parts.resume(), corpus, parts, threads=2)
    assert whole.last.read_bytes() == parts.last.read_bytes()
    assert load_run(whole.last).config.steps == 60
