"""Settings: a configuration that exists is valid."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any, get_type_hints

import pytest

from charrnn.config.fields import Settings
from charrnn.config.settings import (
    LEARNING_RATES,
    SCHEDULE_NAMES,
    CorpusConfig,
    ModelConfig,
    TrainConfig,
)
from charrnn.errors import ConfigError
from charrnn.network.cells import cell_named
from charrnn.optim.optimizers import OPTIMIZERS
from charrnn.optim.schedules import SCHEDULES

ALL: list[type[Any]] = [CorpusConfig, ModelConfig, TrainConfig]
EVERY = [(kind, f) for kind in ALL for f in fields(kind)]
NAMES = [f.name for _, f in EVERY]


@pytest.mark.parametrize("kind", ALL)
def test_defaults_and_back(kind: type[Settings]) -> None:
    default: Any = kind()
    assert kind.from_mapping(asdict(default)) == default == kind.from_mapping({})
    with pytest.raises(FrozenInstanceError):
        setattr(default, fields(default)[0].name, 1)


def test_names_are_used_once() -> None:
    """They are flags of one command."""
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize(("kind", "f"), EVERY, ids=NAMES)
def test_every_setting_knows_its_help_and_its_range(kind: type[Any], f: Any) -> None:
    about, flag = f.metadata, "--" + f.name.replace("_", "-")
    assert about["help"].endswith(".") and about["group"]
    hint = str(get_type_hints(kind)[f.name])
    bad: list[Any] = [[], {}, object(), b"x"]
    if "str" in hint:
        bad += [1, 2.5, True]
    elif "bool" in hint:
        bad += [0, 1, 2.5, "true", "x"]
        assert kind(**{f.name: not f.default}) is not None
    else:
        bad += [True, "3", "x", 10**400, -(10**400), float("nan"), float("inf"), float("-inf")]
        low, high = about["minimum"], about["maximum"]
        assert kind(**{f.name: low}) is not None
        bad.append(low - 1)
        if high is not None:
            bad.append(high * 2)
        elif f.name == "min_count":
            bad.remove(10**400)
    if about["choices"]:
        bad.append("none of them")
        assert {getattr(kind(**{f.name: choice}), f.name) for choice in about["choices"]} == set(
            about["choices"]
        )
    for value in bad:
        with pytest.raises(ConfigError, match=f"^{flag} must be") as caught:
            kind(**{f.name: value})
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    if f.default is not None:
        with pytest.raises(ConfigError, match=f"^{flag} must be"):
            kind(**{f.name: None})


def test_whole_numbers_do_for_others_but_not_the_reverse() -> None:
    config = TrainConfig(learning_rate=1, epochs=3)
    assert type(config.learning_rate) is float and type(config.epochs) is float
    with pytest.raises(ConfigError, match="whole number"):
        TrainConfig(steps=3.0)  # type: ignore[arg-type]


def test_unknown_settings_are_named() -> None:
    with pytest.raises(
        ConfigError, match=r"^run\.toml: there is no setting 'hiden'; known are: activation, cell, "
    ):
        ModelConfig.from_mapping({"hiden": 3}, "run.toml")


def test_the_choices_are_the_registries() -> None:
    choices = {f.name: f.metadata["choices"] for _, f in EVERY}
    assert all(cell_named(name).gates for name in choices["cell"])
    assert set(choices["optimizer"]) == set(OPTIMIZERS)
    assert set(choices["optimizer"]) == set(LEARNING_RATES)
    assert set(choices["schedule"]) == set(SCHEDULES) == set(SCHEDULE_NAMES)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("20m", 1200), ("1.5h", 5400), (" 2d ", 172_800)]
)
def test_times(text: str, seconds: float) -> None:
    assert TrainConfig(max_time=text).max_seconds == seconds


def test_what_is_no_time() -> None:
    assert TrainConfig().max_seconds is None
    for text in ("", "0", "0s", "-3m", "3 m", "1e3", "soon", "m", "1m30s", "1" * 400):
        with pytest.raises(
            ConfigError, match=r"^--max-time must be a time such as 90s, 20m or 1\.5h"
        ) as caught:
            TrainConfig(max_time=text)
        assert len(str(caught.value)) < 200


def test_fractions_leave_something_to_train_on() -> None:
    CorpusConfig(val_fraction=0.5, test_fraction=0.4)
    with pytest.raises(ConfigError, match="leave less than a tenth"):
        CorpusConfig(val_fraction=0.5, test_fraction=0.45)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({}, 3000),
        ({"steps": 7}, 7),
        ({"epochs": 2.0}, 200),
        ({"epochs": 2.0, "steps": 150}, 150),
        ({"epochs": 1.0, "steps": 150}, 100),
        ({"epochs": 0.001}, 1),
        ({"epochs": 0.015}, 2),
        ({"epochs": 0.07}, 7),
        ({"steps": 5000}, 5000),
    ],
)
def test_total_steps(settings: dict[str, Any], steps: int) -> None:
    assert TrainConfig(**settings).total_steps(100) == steps


@pytest.mark.parametrize(
    ("steps_per_epoch", "interval"),
    [(1, 200), (3, 201), (100, 200), (103, 206), (199, 398), (200, 200), (456, 456), (9999, 1000)],
)
def test_eval_interval(steps_per_epoch: int, interval: int) -> None:
    assert TrainConfig().eval_interval(steps_per_epoch) == interval
    assert TrainConfig(eval_every=7).eval_interval(steps_per_epoch) == 7
