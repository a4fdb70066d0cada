"""Settings: a configuration that exists is valid."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, dataclass, fields
from typing import Any, Literal, Optional

import pytest

from charrnn.config.fields import Setting, Settings, setting, settings_of
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import (
    ACTIVATIONS,
    CELL_NAMES,
    CorpusConfig,
    DynamicConfig,
    ModelConfig,
)
from charrnn.config.training import OPTIMIZER_NAMES, TrainConfig
from charrnn.errors import ConfigError
from charrnn.network.cells import cell_named
from charrnn.optim.optimizers import OPTIMIZERS
from charrnn.optim.schedules import SCHEDULES

ALL: list[type[Settings]] = [CorpusConfig, ModelConfig, TrainConfig, DynamicConfig]
EVERY = [(kind, known) for kind in [*ALL, SamplingConfig] for known in settings_of(kind).values()]
NAMES = [known.name for _, known in EVERY]


@pytest.mark.parametrize("kind", ALL)
def test_defaults_and_back(kind: type[Settings]) -> None:
    default: Any = kind()
    assert kind.from_mapping(asdict(default)) == default == kind.from_mapping({})
    with pytest.raises(FrozenInstanceError):
        setattr(default, fields(default)[0].name, 1)


def test_names_are_used_once() -> None:
    """They are flags of one command."""
    names = [name for kind in ALL for name in settings_of(kind)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("kind", "known"), EVERY, ids=NAMES)
def test_every_setting_knows_its_help_and_its_range(kind: type[Any], known: Setting) -> None:
    name = known.name
    assert known.help.endswith(".") and known.group
    assert known.default == getattr(kind(), name)
    bad: list[Any] = [[], {}, object(), b"x"]
    if known.kind is str:
        bad += [1, 2.5, True]
    elif known.kind is tuple:
        bad = [{}, object(), b"x", 1, True, None, "", ["x", ""], ("x", 1), [["x"]]]
        assert [getattr(kind(**{name: value}), name) for value in ("ab", ["ab", "\n"])] == [
            ("ab",),
            ("ab", "\n"),
        ]
    elif known.kind is bool:
        bad += [0, 1, 2.5, "true", "x"]
        assert kind(**{name: not known.default}) is not None
    else:
        bad += [True, "3", "x", 10**400, -(10**400), float("nan"), float("inf"), float("-inf")]
        assert known.minimum is not None and kind(**{name: known.minimum}) is not None
        bad.append(known.minimum - 1)
        if known.maximum is not None:
            bad.append(known.maximum * 2)
        else:
            assert known.kind is int
            bad.remove(10**400)
    if known.choices:
        bad.append("none of them")
        assert {getattr(kind(**{name: choice}), name) for choice in known.choices} == set(
            known.choices
        )
    for value in bad:
        with pytest.raises(ConfigError, match=f"^`{name}` must be") as caught:
            kind(**{name: value})
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    if known.default is not None:
        with pytest.raises(ConfigError, match=f"^`{name}` must be"):
            kind(**{name: None})


Blueprint = str  # holds "int", "None" and "bool" below: names must not be taken for types


@dataclass(frozen=True)
class Made(Settings):
    blueprint: Blueprint = setting("x", "A text.", group="G")  # noqa: RUF009
    floating: Literal["int", "bool", "None"] = setting("int", "One of three.", group="G")
    stringent: Literal["float"] | None = setting(None, "One, or none.", group="G")
    none_of_it: bool = setting(False, "A switch.", group="G")
    share: float | None = setting(0.5, "A share.", 0.0, 1.0, group="G")
    count: int = setting(3, "A number.", 1, group="G")
    strict: Optional[int] = setting(None, "A number, or none.", group="G", maximum=9)  # noqa: UP045


def test_types_are_read_not_guessed() -> None:
    found = {
        name: (known.kind, known.optional, known.choices)
        for name, known in settings_of(Made).items()
    }
    assert found == {
        "blueprint": (str, False, ()),
        "floating": (str, False, ("int", "bool", "None")),
        "stringent": (str, True, ("float",)),
        "none_of_it": (bool, False, ()),
        "share": (float, True, ()),
        "count": (int, False, ()),
        "strict": (int, True, ()),
    }
    made = Made(share=1, stringent="float", strict=9)
    assert type(made.share) is float and made.strict == 9
    assert Made(share=None).share is None
    assert Made.of({"count": 4, "other": 5}) == Made(count=4)
    assert Made.named_in({"count": 4, "other": 5}) == {"count": 4}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("blueprint", 3, "`blueprint` must be a string, not 3"),
        ("blueprint", None, "`blueprint` must be a string, not None"),
        ("floating", 1, "`floating` must be a string, not 1"),
        ("floating", None, "`floating` must be a string, not None"),
        ("floating", "str", "`floating` must be one of int, bool, None, not 'str'"),
        ("stringent", "int", "`stringent` must be one of float, not 'int'"),
        ("none_of_it", None, "`none_of_it` must be true or false, not None"),
        ("none_of_it", 1, "`none_of_it` must be true or false, not 1"),
        ("share", True, "`share` must be a number, not True"),
        ("share", float("nan"), "`share` must be a number, not nan"),
        ("share", 1.5, "`share` must be at most 1, not 1.5"),
        ("count", 1.0, "`count` must be a whole number, not 1.0"),
        ("count", 0, "`count` must be at least 1, not 0"),
        ("strict", 10, "`strict` must be at most 9, not 10"),
        ("strict", "9", "`strict` must be a whole number, not '9'"),
    ],
)
def test_what_does_not_fit_is_named(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Made(**{name: value})
    assert str(caught.value) == message


def test_a_limit_is_shown_with_all_its_digits() -> None:
    with pytest.raises(ConfigError, match=r"at most 0\.9999999, not 1"):
        TrainConfig(beta2=1.0)


def test_whole_numbers_do_for_others_but_not_the_reverse() -> None:
    config = TrainConfig(learning_rate=1, epochs=3)
    assert type(config.learning_rate) is float and type(config.epochs) is float
    with pytest.raises(ConfigError, match="whole number"):
        TrainConfig(steps=3.0)  # type: ignore[arg-type]


def test_unknown_settings_are_named() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^run\.toml: there is no setting 'hiden'; did you mean hidden\?$",
    ):
        ModelConfig.from_mapping({"hiden": 3}, "run.toml")


def test_the_choices_are_the_registries() -> None:
    choices = {name: known.choices for kind in ALL for name, known in settings_of(kind).items()}
    assert all(cell_named(name).gates for name in choices["cell"])
    assert choices["cell"] == CELL_NAMES and choices["activation"] == ACTIVATIONS
    assert set(choices["optimizer"]) == set(OPTIMIZERS) == set(OPTIMIZER_NAMES)
    assert set(choices["schedule"]) == set(SCHEDULES)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90s", 90), ("20m", 1200), ("1.5h", 5400), (" 2d ", 172_800), ("20min", 1200)),
        *(("2h30m", 9000), ("1h 30m", 5400), ("3 m", 180), ("1m30s", 90), ("2 Hours", 7200)),
        *(("1 day 2 hrs 3 minutes 4 secs", 93784), ("0h0.5m", 30)),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert TrainConfig(max_time=text).max_seconds == seconds


def test_what_is_no_time() -> None:
    assert TrainConfig().max_seconds is None
    texts = ("", "0s", "-3m", "1e3", "soon", "m", "1" * 400, "30m 2h", "5m5m", "2x", "1,5h", "٣m")
    for text in texts:
        with pytest.raises(
            ConfigError, match=r"^`max_time` must be a time such as 90s, 20m or 2h30m"
        ) as caught:
            TrainConfig(max_time=text)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "advice"),
    [("20", "20s, 20m or 20h"), ("1.5", "1.5s, 1.5m or 1.5h"), ("1:30", "1h30m or 1m30s")],
)
def test_a_time_without_a_unit_is_asked_for_it(text: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=f"^`max_time` {text} has no unit: write {advice}$"):
        TrainConfig(max_time=text)


def test_a_pace_is_a_record_of_changes() -> None:
    assert TrainConfig().changes == ()
    config = TrainConfig(pace=" 360:1500  720:1410 1410+2000")
    assert config.changes == ((360, 1500, False), (720, 1410, False), (1410, 2000, True))
    assert TrainConfig(pace="7+9 8:11 9+12").total_steps(1) == 12
    bad = ["", " ", "3", "3:", ":3", "0:5", "5:5", "3:5,4:6", "3:9 3:8", "4:9 3:8", "3:9 9:12"]
    bad += ["0+5", "5+5", "3+9 3+10", "3:9 10+12", "3++5", "3:+5", "3+9 9:12"]
    for text in (*bad, "-1:5", "1.5:5", "3:9 x", "1:" + "9" * 13):
        with pytest.raises(ConfigError, match=r"^`pace` must be pairs .* as 360:1500 720:1410"):
            TrainConfig(pace=text)


def test_what_the_recipe_decides_is_none_until_then() -> None:
    assert ModelConfig().undecided() == [
        "hidden",
        "embedding",
        "mogrifier",
        "layer_norm",
        "attention",
        "dropout",
        "input_dropout",
    ]
    assert TrainConfig().undecided() == [
        "batch_size",
        "optimizer",
        "warmup",
        "decay_after",
        "precision",
    ]
    assert ModelConfig(hidden=3).resolved().undecided() == [] == CorpusConfig().undecided()


def test_fractions_leave_something_to_train_on() -> None:
    CorpusConfig(val_fraction=0.5, test_fraction=0.4)
    with pytest.raises(ConfigError, match="leave less than a tenth"):
        CorpusConfig(val_fraction=0.5, test_fraction=0.45)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"steps": 7}, 7),
        ({"epochs": 2.0}, 200),
        ({"epochs": 2.0, "steps": 150}, 150),
        ({"epochs": 1.0, "steps": 150}, 100),
        ({"epochs": 0.001}, 1),
        ({"epochs": 0.015}, 2),
        ({"epochs": 0.07}, 7),
        ({"steps": 5000}, 5000),
        ({"steps": 5000, "pace": "10:60"}, 60),
        ({"epochs": 1.0, "pace": "10:150 60:140 139:5000"}, 5000),
    ],
)
def test_total_steps(settings: dict[str, Any], steps: int) -> None:
    assert TrainConfig(**settings).total_steps(100) == steps


def test_a_length_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"^`steps` or `epochs` is missing"):
        TrainConfig(max_time="1h").total_steps(100)


@pytest.mark.parametrize(
    ("steps_per_epoch", "interval"),
    [(1, 200), (3, 201), (100, 200), (103, 206), (199, 398), (200, 200), (456, 456), (9999, 1000)],
)
def test_eval_interval(steps_per_epoch: int, interval: int) -> None:
    assert TrainConfig().eval_interval(steps_per_epoch) == interval
    assert TrainConfig(eval_every=7).eval_interval(steps_per_epoch) == 7
