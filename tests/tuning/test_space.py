"""The space that tuning searches, the recipe's point in it, and the settings at others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError
from charrnn.optim.optimizers import coefficients_of
from charrnn.training.recipe import resolve
from charrnn.tuning.space import (
    SEARCHED,
    Base,
    Choices,
    Range,
    Space,
    configs_at,
    recipe_point,
    space_of,
)
from tests.reference.small import small_corpus

CORPUS = small_corpus()


def base(model: dict[str, Any] | None = None, **training: Any) -> Base:
    asked = ModelConfig(**(model or {})), TrainConfig(**training)
    usual, _ = resolve(CORPUS, asked[0], replace(asked[1], steps=400))
    return Base(*asked, usual.hidden, usual.dropout, 400)


def space(asked: Base, varied: Any = None, searched: Any = SEARCHED) -> Space:
    return space_of(CORPUS, asked, varied or {}, searched)


def test_what_the_recipe_would_decide_is_searched_around_it() -> None:
    asked = base()
    found = space(asked)
    assert list(found) == list(SEARCHED)
    assert found["cell"] == Choices(("lstm", "gru", "coupled"))
    assert found["layers"] == Choices((1, 2, 3))
    hidden, rate = found["hidden"], found["learning_rate"]
    assert isinstance(hidden, Choices) and asked.hidden in hidden.values
    assert hidden.values == (32, 48, 64)  # the recipe's smallest and two more
    assert isinstance(rate, Range) and rate.of_recipe and rate.low < 1 < rate.high and rate.is_log


def test_multiples_of_the_recipes_value_may_be_asked_for() -> None:
    times = Range(0.5, 2.0, of_recipe=True)
    found = space(base(), {"learning_rate": times, "weight_decay": times}, ["cell"])
    assert found["learning_rate"] == found["weight_decay"] == times
    for low, high, nearest in ((2.0, 5.0, 2.0), (0.1, 0.5, 0.5), (0.5, 2.0, 1.0)):
        found = space(base(), {"learning_rate": Range(low, high, of_recipe=True)}, ["cell"])
        assert recipe_point(CORPUS, found, base())["learning_rate"] == nearest
    with pytest.raises(ConfigError, match="`dropout` is not searched in multiples"):
        space(base(), {"dropout": Range(0.1, 0.5, of_recipe=True)})


def test_what_is_fixed_is_not_searched() -> None:
    asked = base({"hidden": 40, "dropout": 0.1}, learning_rate=0.01, optimizer="sgd")
    assert list(space(asked)) == ["layers", "cell"]  # sgd decays no weights
    assert list(space(asked, searched=["cell"])) == ["cell"]
    with pytest.raises(ConfigError, match="nothing is left to tune"):
        space(asked, searched=["hidden"])


def test_the_first_trial_is_next_to_what_the_recipe_would_decide() -> None:
    asked = base()
    usual = coefficients_of(asked.resolved(CORPUS, asked.model, asked.training)[1]).learning_rate
    for varied, first in (
        ([usual / 100, usual * 1.5], usual * 1.5),
        (Range(usual / 100, usual * 1.5), usual),
        ([None, usual * 1.5], None),
    ):
        found = space(asked, {"learning_rate": varied}, ["cell"])
        assert recipe_point(CORPUS, found, asked)["learning_rate"] == first


def test_a_batch_that_cannot_be_divided_is_refused_before_any_trial() -> None:
    for asked, varied in (
        (base(batch_size=8), {"parts": [1, 3]}),
        (base(parts=2), {"batch_size": Range(4, 6)}),
        (base(), {"parts": [1, 2], "batch_size": [4, 7]}),
    ):
        with pytest.raises(ConfigError, match="cannot be divided into"):
            space(asked, varied)
    assert "parts" in space(base(batch_size=6), {"parts": [1, 3]})


def test_what_is_varied_is_searched_where_it_is_said() -> None:
    varied = {"hidden": [64, 16], "dropout": Range(0.1, 0.4), "optimizer": ["adam", "adamw"]}
    found = space(base(), varied, ["layers"])
    assert found == {
        "hidden": Choices((16, 64)),
        "dropout": Range(0.1, 0.4),
        "optimizer": Choices(("adam", "adamw")),
        "layers": Choices((1, 2, 3)),
    }
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"hiden": [1, 2]}, "there is no setting 'hiden'; did you mean hidden"),
        ({"hidden": [0, 2]}, "`hidden` must be at least 1"),
        ({"hidden": [2]}, "`hidden` needs at least two values"),
        ({"hidden": [2, 2]}, "`hidden` needs at least two values"),
        ({"hidden": Range(9, 3)}, "from a lower to a higher"),
        ({"cell": Range(0, 1)}, "`cell` has no range"),
        ({"dropout": Range(0, 2)}, "`dropout` must be at most 0.95"),
        ({"steps": [1, 2]}, "`steps` cannot be tuned"),
        ({"unit": ["char", "byte"]}, "`unit` cannot be tuned"),
        ({"networks": [1, 2]}, "`networks`: trials are of one network each"),
    ]
    for varied, message in wrong:
        with pytest.raises(ConfigError, match=message):
            space(base(), varied)


def test_rounds_of_the_mogrifier_are_searched_where_networks_may_have_them() -> None:
    for asked, varied in ((base({"mogrifier": 3}), {}), (base(), {"mogrifier": [0, 3]})):
        found = space(asked, varied)
        assert "cell" not in found and "layers" in found
        point = recipe_point(CORPUS, found, asked)
        assert configs_at(CORPUS, asked, found, point, varied)[0].cell == "lstm"
    assert "cell" in space(base({"mogrifier": 0}))
    wrong: list[dict[str, Any]] = [
        {"mogrifier": [0, 3], "cell": ["lstm", "gru"]},
        {"mogrifier": [0, 3], "embedding": [0, 64]},
        {"mogrifier": Range(0, 5), "embedding": Range(0, 64)},
    ]
    for varied in wrong:
        with pytest.raises(ConfigError, match="needs `cell` lstm and an `embedding`"):
            space(base(), varied)


def test_the_recipe_s_point_leaves_all_to_the_recipe() -> None:
    asked = base()
    found = space(asked)
    point = recipe_point(CORPUS, found, asked)
    assert point["learning_rate"] == point["weight_decay"] == 1.0
    model, training = configs_at(CORPUS, asked, found, point, ())
    assert (model, training) == (replace(asked.model, hidden=asked.hidden), asked.training)


def test_the_recipe_s_point_is_within_what_is_varied() -> None:
    asked = base()
    varied: Any = {"hidden": [8, 16], "dropout": Range(0.35, 0.4), "cell": ["gru", "rnn"]}
    found = space(asked, varied)
    point = recipe_point(CORPUS, found, asked)
    assert (point["hidden"], point["dropout"], point["cell"]) == (16, 0.35, "gru")
    model, training = configs_at(CORPUS, asked, found, point, varied)
    assert (model.hidden, model.dropout, model.cell, model.layers) == (16, 0.35, "gru", 2)
    assert training.learning_rate is None and training.weight_decay is None


def test_rates_and_decays_are_multiples_of_the_recipe_s_for_the_same_network() -> None:
    asked = base()
    found = space(asked)
    for hidden in (32, 512):
        point = {
            **recipe_point(CORPUS, found, asked),
            **{"hidden": hidden, "learning_rate": 2.0, "weight_decay": 3.0, "dropout": 0.12345678},
        }
        model, training = configs_at(CORPUS, asked, found, point, ())
        usual = resolve(CORPUS, ModelConfig(hidden=hidden), TrainConfig(steps=400))[1]
        assert usual.learning_rate is not None and usual.weight_decay is not None
        assert training.learning_rate == pytest.approx(2 * usual.learning_rate, rel=1e-3)
        # the rate is twice as large, so that half the decay is as strong
        assert training.weight_decay == pytest.approx(3 * usual.weight_decay / 2, rel=1e-2)
        assert (model.hidden, model.dropout) == (hidden, 0.1235)


def test_attention_is_searched_where_it_may_be() -> None:
    assert space(base(), {"attention": Range(1, 40)})["attention"] == Choices((16, 32))
    with pytest.raises(ConfigError, match="`attention` must be a multiple of 16, not 100"):
        space(base(), {"attention": [0, 100]})
