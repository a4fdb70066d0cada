"""Plans: what is chosen for a time, that it is used up, and that a run which was planned is a run
like any other.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn.config.settings import ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError
from charrnn.network.parameters import parameter_count
from charrnn.optim.rotation import EARLY, TURNED
from charrnn.text.corpus import Corpus
from charrnn.training import recipe
from charrnn.training.loop import train
from charrnn.training.run import Run
from charrnn.training.run_file import load_run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning import planning
from charrnn.tuning.planning import plan
from tests.reference.small import TEXT, small_corpus, trained


class Machine:
    """A clock, and a network's speed by its parameters; replaces what would be measured."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        multiplications: float,
        bf16: float = 1.0,
        attending: float = 100.0,
        soap: float = 1.0,
    ) -> None:
        self.now, self.speed, self.bf16, self.soap = 0.0, multiplications, bf16, soap
        self.attending = attending  # for each character that is looked back at
        monkeypatch.setattr(planning.Planner, "_step_seconds", lambda *given: self.step(*given))
        monkeypatch.setattr(planning.Planner, "validation_seconds", lambda *given: 0.2)

    def step(
        self,
        planner: Any,
        model: ModelConfig,
        training: TrainConfig,
        seconds: float,
        slow: float = math.inf,
    ) -> float:
        self.now += max(0.1, seconds)
        shape = recipe.batch_shape(len(planner.corpus.train), training)
        share = self.bf16 if training.precision == "bf16" else 1.0
        share *= self.soap if training.optimizer == "soap" else 1.0
        work = parameter_count(model) * (1 + 56 / model.hidden) * share
        return math.prod(shape) * (work + self.attending * model.attention) / self.speed

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
    networks = found.training.networks or 1
    used = machine.now + networks * (found.training.steps * step + 0.2 * looks)
    epochs = found.training.steps / Run.new(novel, found.model, found.training).steps_per_epoch
    assert used < 60 * minutes
    most = recipe.most_passes_for(parameter_count(found.model))
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


def test_the_time_that_attention_takes_is_known(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(attending: float, **model: Any) -> planning.Plan:
        machine = Machine(monkeypatch, 2e10, attending=attending)
        return machine.plan(novel, 100, model=ModelConfig(**model))

    cheap, dear = planned(10.0), planned(1000.0, attention=1024)
    assert cheap.model.attention == dear.model.attention == 1024
    assert dear.model.hidden < cheap.model.hidden
    for found in (dear, planned(1000.0), planned(1000.0, attention=4096)):
        assert found.passes * len(novel.train) >= 4.5 * parameter_count(found.model)
    assert planned(1000.0, attention=0).model.hidden >= cheap.model.hidden


def test_attention_reaches_no_further_than_there_is_time_for_steps(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(seconds: float, **model: Any) -> planning.Plan:
        machine = Machine(monkeypatch, 1e10, attending=300.0)
        return machine.plan(novel, seconds, model=ModelConfig(hidden=128, **model))

    plans = [planned(seconds) for seconds in (20, 40, 80, 160, 200)]
    reaches = [found.model.attention for found in plans]
    assert reaches == sorted(reaches) and len(set(reaches)) > 2 and reaches[-1] == 1024
    for found in plans:
        assert found.training.steps is not None
        assert found.model.attention <= found.training.steps * 1.2  # less what validations take
        further = planned(found.seconds, attention=2 * found.model.attention).training.steps
        assert found.model.attention == 1024 or further < 2 * found.model.attention
    assert planned(10).model.attention == 0 and planned(10, attention=16).model.attention == 16


def test_several_networks_where_one_cannot_use_the_time(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [
        Machine(monkeypatch, 2e10, attending=0.0).plan(novel, 60.0 * n)
        for n in (0.5, 2, 7, 30, 120)
    ]
    counts = [found.training.networks for found in plans]
    assert counts[0] == 1 and counts[-1] == recipe.MOST_NETWORKS and counts == sorted(counts)
    assert set(counts) & set(recipe.ENOUGH)
    for networks, found in zip(counts, plans, strict=True):
        least = recipe.ENOUGH.get(networks, recipe.ENOUGH_FOR_MORE) if networks > 1 else 0.0
        assert found.passes >= 0.9 * least * recipe.most_passes_for(parameter_count(found.model))
    asked = TrainConfig(networks=3)
    found = Machine(monkeypatch, 2e10).plan(novel, 20.0, training=asked)
    assert found.training.networks == 3 and found.seconds < 20 / 3
    with_weights = Machine(monkeypatch, 2e10).plan(novel, 3600.0, is_fine_tuning=True)
    assert with_weights.training.networks == 1


def test_a_network_that_begins_late_has_its_share_of_what_is_left(novel: Corpus) -> None:
    found = plan(novel, 60.0, ModelConfig(hidden=8), TrainConfig(networks=3), threads=1)
    now = time.monotonic()
    assert found.deadline == pytest.approx(now + 20, abs=2)
    assert found.for_next(2).deadline == pytest.approx(now + (found.end - now) / 2, abs=0.1)
    assert found.for_next(1).deadline == pytest.approx(found.end, abs=0.1)


def test_a_short_text_gets_a_small_network_few_streams_and_ends_early(machine: Machine) -> None:
    corpus = small_corpus(TEXT * 6)
    found = machine.plan(corpus, 3600)
    most = recipe.PARAMETERS_PER_CHARACTER * len(corpus.train)
    assert parameter_count(found.model) <= most
    assert found.training.batch_size < 32
    assert found.training.steps == found.most_steps and found.seconds < 3600


def test_what_is_fixed_stays(machine: Machine, novel: Corpus) -> None:
    fixed = {"hidden": 70, "cell": "gru", "dropout": 0.15}
    training = {
        "learning_rate": 0.001,
        "batch_size": 7,
        "eval_every": 11,
        "warmup": 3,
        "schedule": "one-cycle",
    }
    found = machine.plan(novel, 60, model=ModelConfig(**fixed), training=TrainConfig(**training))
    assert (
        fixed.items() <= vars(found.model).items()
        and training.items() <= vars(found.training).items()
    )
    rate = machine.plan(novel, 60, training=TrainConfig(optimizer="sgd")).training.learning_rate
    assert rate is None  # that of the optimiser


@pytest.mark.parametrize("name", ["steps", "epochs", "pace", "max_time"])
def test_only_one_says_how_long(novel: Corpus, name: str) -> None:
    with pytest.raises(ConfigError, match=f"`duration` and `{name}` both"):
        value = {"max_time": "1m", "pace": "3:5"}.get(name, 3)
        plan(novel, "20m", training=TrainConfig(**{name: value}))


@pytest.mark.parametrize(
    "duration", ["", "soon", "4s", 1.0, float("nan"), float("inf"), "-20m", "20"]
)
def test_a_time_must_be_one(novel: Corpus, duration: str | float) -> None:
    with pytest.raises(ConfigError, match=r"^`duration` (must be |20 has no unit)"):
        plan(novel, duration)


@pytest.mark.parametrize(
    ("characters", "seconds"), [(100_000, 60), (100_000, 90), (100_000, 150), (5000, 600)]
)
def test_attention_reaches_no_further_than_each_network_has_steps(
    characters: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = small_corpus((TEXT * 100)[:characters])
    found = Machine(monkeypatch, 2e10).plan(corpus, seconds, model=ModelConfig(hidden=128))
    assert found.training.steps is not None
    assert 0 < found.model.attention <= found.training.steps < 2 * 1024
    assert (found.training.networks or 1) > 1


def test_measuring_that_takes_all_the_time_ends(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(monkeypatch, 1e9)
    step = machine.step

    def slow(*given: Any) -> float:
        machine.now += 4 * step(*given)
        return step(*given)

    monkeypatch.setattr(planning.Planner, "_step_seconds", lambda *given: slow(*given))
    for seconds in (6.0, 8.0, 11.0, 20.0, 30.0):
        try:
            found = machine.plan(novel, machine.now + seconds, model=ModelConfig(hidden=128))
        except ConfigError as error:
            assert "makes no step" in str(error) and seconds < 30
        else:
            assert found.training.steps is not None and found.training.steps > 0


def test_too_little_time_for_one_step(novel: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="makes no step; give more time or a smaller `hidden`"):
        Machine(monkeypatch, 1e6).plan(novel, 6.0)


def test_measured_for_real_a_plan_makes_a_run_that_can_be_interrupted(tmp_path: Path) -> None:
    """Once it is made the clock has no part in it: the same bits, however often it stops."""
    corpus = small_corpus(TEXT * 2)
    found = plan(corpus, 20.0, ModelConfig(hidden=16), threads=1)
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


@pytest.mark.parametrize(("has", "share"), [(True, 0.5), (True, 1.5), (False, 0.5)])
def test_the_faster_precision_is_taken(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch, has: bool, share: float
) -> None:
    """bfloat16 takes this share of float32's time, on a processor that has it or not."""
    machine = Machine(monkeypatch, 2e9, share)
    monkeypatch.setattr(planning, "rounded_precision", lambda: "bf16" if has else None)
    found = machine.plan(novel, 60)
    expected = "bf16" if has and share < 1 else "float32"
    assert found.training.precision == expected
    asked = machine.plan(novel, 60, training=TrainConfig(precision="float32"))
    assert asked.training.precision == "float32"


def test_attention_has_something_to_look_at_while_it_is_measured(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = list[Run]()

    def noted(run: Run, *given: Any, **options: Any) -> Any:
        runs.append(run)
        return train(run, *given, **options)

    monkeypatch.setattr(planning, "train", noted)
    model = ModelConfig(len(novel.vocab), hidden=8, attention=1024)
    planner = planning.Planner(novel, 60.0, 1, lambda: 0.0, model, TrainConfig(), False)
    planner.fastest(model, 0.01)
    assert runs and all(np.all(run.state.ids >= 0) for run in runs)


def test_a_clearly_slower_precision_is_measured_for_three_steps(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, steps = 0.0, Counter[str]()

    def training_for_ever(run: Run, *_: Any, **__: Any) -> Iterator[None]:
        nonlocal now
        while True:
            now += 0.01 if run.config.precision == "bf16" else 0.02
            steps[run.config.precision] += 1
            yield

    monkeypatch.setattr(planning, "train", training_for_ever)
    monkeypatch.setattr(planning, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(planning, "rounded_precision", lambda: "bf16")
    model = ModelConfig(len(novel.vocab), hidden=8, attention=320)
    asked = TrainConfig(precision="auto")
    planner = planning.Planner(novel, 60.0, 1, lambda: 0.0, model, asked, False)
    step, chosen = planner.fastest(model, 2.0)
    assert step == pytest.approx(0.01) and chosen.precision == "bf16"
    assert steps["bf16"] > 90 and steps["float32"] == 1 + 3  # the first is not counted


def test_a_plan_knows_that_steps_of_soap_take_longer(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes SOAP by what AdamW has time for, and then counts what SOAP has time for."""
    model = ModelConfig(hidden=256)
    one = {"model": model, "training": TrainConfig(networks=1)}
    usual = Machine(monkeypatch, 2e10).plan(novel, 400.0, **one)
    longer = Machine(monkeypatch, 2e10, soap=1.5).plan(novel, 400.0, **one)
    assert usual.training.optimizer == longer.training.optimizer == "soap"
    assert 1.35 < longer.step_seconds / usual.step_seconds < 1.5  # but for attention
    assert usual.passes * 0.6 < longer.passes < usual.passes * 0.75
    assert longer.seconds == pytest.approx(usual.seconds, rel=0.05)
    shorter = [Machine(monkeypatch, 2e10, soap=s).plan(novel, 60.0, **one) for s in (1.0, 1.5)]
    assert shorter[0].step_seconds == shorter[1].step_seconds  # there is no time to measure it
    other = Machine(monkeypatch, 2e10, soap=1.5).plan(novel, 600.0, model=ModelConfig(hidden=32))
    assert other.training.optimizer == "adamw"


def test_of_soap_whole_turns_are_measured_as_they_are_later(
    novel: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, begun, steps = 0.0, list[int](), 0

    def training_for_ever(run: Run, *_: Any, **__: Any) -> Iterator[None]:
        nonlocal now, steps
        begun.append(run.step)
        for step in count(run.step + 1):
            now += 0.03 if step <= EARLY else 0.02 if step % TURNED == 0 else 0.01
            steps += 1
            yield

    monkeypatch.setattr(planning, "train", training_for_ever)
    monkeypatch.setattr(planning, "time", SimpleNamespace(perf_counter=lambda: now))
    model = ModelConfig(len(novel.vocab), hidden=8, attention=320)
    asked = TrainConfig(optimizer="soap", precision="float32")
    planner = planning.Planner(novel, 60.0, 1, lambda: 0.0, model, asked, False)
    for seconds, expected in ((0.04, TURNED), (0.9, 9 * TURNED), (0.001, 3)):
        steps = 0
        step, _ = planner.fastest(model, seconds)
        assert steps == 1 + expected  # the first is not counted; of slow ones there are few
        assert step == pytest.approx(0.011 if expected > 3 else 0.01)
    assert begun == [EARLY] * 3


def test_settings_that_diverge_are_measured() -> None:
    corpus = small_corpus()
    model = recipe.with_rounds(ModelConfig(len(corpus.vocab), layers=1, hidden=9, attention=0))
    wild = TrainConfig(
        batch_size=3, seq_length=8, optimizer="sgd", learning_rate=1e3, l2=1e3, clip_norm=0.0
    )
    wild = wild.filled(networks=1)
    planner = planning.Planner(corpus, 60.0, 1, lambda: 0.0, model, wild, False)
    assert 0 < planner.fastest(model, 0.3)[0] < 1
