"""Advice: the right one for runs that were planted to go wrong, none for healthy ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn import Advice, ModelConfig, TrainConfig, advice, bundled_corpus
from charrnn.inspection.health import layer_health
from charrnn.reporting.report_page import report_page
from charrnn.training.recipe import learning_rate_for
from charrnn.training.run import Run
from tests.reference.small import digest, small_corpus, small_run, trained

LONG = small_corpus(bundled_corpus().read_text(encoding="utf-8")[:120_000])
"""More than 100,000 characters to learn from, of which the runs here read a part."""
SHAPE: dict[str, Any] = {"batch_size": 8, "seq_length": 16, "eval_every": 100}


def run_of(model: dict[str, Any], **training: Any) -> Run:
    """A tiny run by the recipe, but for these settings, trained to its end."""
    settings = {"steps": 200, "learning_rate": None, **SHAPE, **training}
    run = Run.new(LONG, ModelConfig(**{"hidden": 24, **model}), TrainConfig(**settings))
    trained(run, LONG)
    return run


def kinds(found: list[Advice]) -> list[str]:
    return [each.kind for each in found]


# The learning rate
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [{"cell": "lstm"}, {"cell": "gru", "layers": 1}, {"cell": "rnn", "hidden": 32}],
    ids=lambda model: model["cell"],
)
def test_the_right_advice_about_the_rate_and_none_for_the_recipes(model: dict[str, Any]) -> None:
    usual = learning_rate_for(model.get("hidden", 24))
    assert advice(run_of(model), LONG) == []
    (high,) = advice(run_of(model, learning_rate=10 * usual), LONG)
    assert high.kind == "learning rate too high" and dict(high.settings) == {"learning_rate": usual}
    (low,) = advice(run_of(model, learning_rate=0.05 * usual), LONG)
    assert low.kind == "learning rate too low" and low.settings == high.settings
    for each in (high, low):
        assert str(each).startswith(f"{each.kind}: each step moves the weights of ")
        assert f"`learning_rate` {usual:g}" in each.text and "\n" not in each.text


def test_other_optimizers_are_judged_by_their_updates() -> None:
    """Those of plain gradient descent are as large as the gradient; the advised rate makes them
    usual.
    """
    model = {"layers": 1}
    assert advice(run_of(model, optimizer="rmsprop", schedule="constant"), LONG) == []
    assert advice(run_of(model, optimizer="rmsprop", learning_rate=0.01), LONG) == []
    (high,) = advice(run_of(model, optimizer="rmsprop", learning_rate=0.2), LONG)
    assert high.kind == "learning rate too high" and "3 to 12 % is healthy" in high.text
    (low,) = advice(run_of(model, optimizer="sgd", learning_rate=1e-3), LONG)
    assert low.kind == "learning rate too low" and 0.01 < low.settings["learning_rate"] < 100  # type: ignore[operator]


def test_a_run_that_went_back_twice() -> None:
    run = small_run(LONG)
    fall = {"step": 0, "fell_back_from": 3, "lost": 3, "rate_factor": 0.5, "reason": "loss nan"}
    run.history = [fall]
    run.progress = replace(run.progress, fall_backs=1)
    assert kinds(advice(run)) == []
    run.history.append({**fall, "lost": 6})
    run.progress = replace(run.progress, fall_backs=2)
    (high,) = advice(run)
    assert high.kind == "learning rate too high" and "exploded 2 times" in high.text
    assert high.settings == {"learning_rate": 0.003}, "half of half, rounded up"
    run.change(learning_rate=0.001)
    assert advice(run) == [], "what was lowered is not advised again"


def test_a_lowered_rate_is_judged_anew() -> None:
    run = run_of({"layers": 1}, learning_rate=0.17)
    assert kinds(advice(run)) == ["learning rate too high"]
    run.change(learning_rate=0.017)
    assert advice(run) == []


def test_a_run_from_trained_weights_may_have_a_low_rate() -> None:
    run = run_of({"layers": 1}, learning_rate=0.0005)
    assert kinds(advice(run)) == ["learning rate too low"]
    run.anchor = run.model.parameters.copy()
    assert advice(run) == []


def test_nothing_learned() -> None:
    run = small_run(LONG)
    run.progress = replace(run.progress, step=400)
    entries = [
        {"step": step, "train_loss": 3.4, "validation_loss": 3.4, "learning_rate": 0.01}
        for step in (200, 400)
    ]
    run.history = entries
    (found,) = advice(run, LONG)
    assert found.kind == "nothing learned" and "3.40 nats, and a guess by frequency" in found.text
    run.history = [*entries, {**entries[1], "step": 600, "train_loss": 2.0}]
    assert advice(run, LONG) == []


# Gates, units, overfitting, text
# --------------------------------------------------------------------------------------------------


def test_saturated_gates_and_what_to_do_about_them() -> None:
    run = small_run(LONG, hidden=20)
    trained(run, LONG, steps=6)
    assert advice(run, LONG) == []
    bias = run.result.parameters.bias(1)
    bias[:] = np.where(np.arange(bias.size) % 2, 9, -9)
    (found,) = advice(run, LONG)
    assert found.kind == "saturated gates" and "in layer 2" in found.text
    assert found.settings == {"learning_rate": 0.003}


@pytest.mark.parametrize(
    ("settings", "advised"),
    [
        ({"init": "uniform", "init_scale": 10.0}, "init_scale"),
        ({"input_scale": 10.0}, "input_scale"),
    ],
)
def test_gates_that_begin_saturated(settings: dict[str, Any], advised: str) -> None:
    model = ModelConfig(hidden=32, embedding=0, **settings)
    run = Run.new(LONG, model, TrainConfig(steps=12, **SHAPE))
    trained(run, LONG, steps=3)
    (found,) = advice(run, LONG)
    assert found.kind == "saturated gates" and list(found.settings) == [advised]


def test_a_plain_network_has_units_that_saturate() -> None:
    model = ModelConfig(cell="rnn", hidden=16, layers=1)
    run = Run.new(LONG, model, TrainConfig(steps=12, **SHAPE))
    trained(run, LONG, steps=3)
    assert advice(run, LONG) == []
    run.result.parameters["rnn.weight_ih_l0"][:] *= 50
    assert kinds(advice(run, LONG)) == ["saturated units"]


def test_dead_units() -> None:
    run = small_run(LONG, hidden=20)
    trained(run, LONG, steps=6)
    trained_weights = run.result.parameters
    for count, expected in ((1, []), (2, ["dead units"])):
        for name in ("rnn.weight_ih_l0", "rnn.weight_hh_l0"):
            gates = trained_weights[name].reshape(-1, 4, run.model.width)
            gates[:, 2, :count] = 0
        trained_weights.bias(0).reshape(4, -1)[2, :count] = 0
        assert kinds(advice(run, LONG)) == expected
    (found,) = advice(run, LONG)
    assert found.text.startswith("2 of the 20 units of layer 1 never change")
    spread = layer_health(run.result, LONG.validation)[0].spread
    assert (spread[:2] == 0).all() and (spread[2:] > 0.001).all()


def test_overfitting() -> None:
    run = small_run(LONG, hidden=40)
    run.progress = replace(run.progress, best_step=1234)
    run.history = [{"step": 2000, "overfitting": True}]
    (found,) = advice(run)
    assert found.kind == "overfitting" and "(step 1,234) is kept" in found.text
    assert found.settings == {"dropout": 0.4, "hidden": 32} and "`patience` 5" in found.text


def test_a_short_text_and_a_list() -> None:
    text = small_corpus()
    (found,) = advice(small_run(text), text)
    assert found.kind == "short text" and "100,000" in found.text and "`init_from`" in found.text
    short = small_corpus(b"abc" * 99, unit="byte")
    (found,) = advice(small_run(short), short)
    assert found.text.startswith("267 bytes to learn from")
    run = small_run(text)
    run.anchor = run.model.parameters.copy()
    assert advice(run, text) == []
    for count, expected in ((900, []), (90, ["short text"])):
        names = small_corpus(
            "".join(f"name{n * 37 % 1000:03}\n" for n in range(count)), document_separator="\n"
        )
        assert kinds(advice(small_run(names), names)) == expected


# What it leaves alone
# --------------------------------------------------------------------------------------------------


def test_the_run_does_not_change_and_threads_do_not_matter() -> None:
    runs = [small_run(LONG, steps=20) for _ in range(2)]
    for threads, run in enumerate(runs, 1):
        trained(run, LONG, threads=threads)
    before = digest(runs[0])
    assert advice(runs[0], LONG) == advice(runs[1], LONG)
    assert digest(runs[0]) == before == digest(runs[1])
    assert set(runs[0].history[0]["updates"]) == {"characters", "layer 1", "layer 2", "decoder"}


@pytest.mark.parametrize("damaged", [None, 3, "many", [], {"layer 1": "large"}, {"decoder": None}])
def test_a_damaged_history_has_no_advice(damaged: Any) -> None:
    run = small_run(LONG)
    run.history = [{"step": 5, "learning_rate": 0.01, "updates": damaged, "overfitting": damaged}]
    assert charrnn.advice(run, LONG) == []


def test_a_text_without_a_validation_part() -> None:
    corpus = small_corpus("abc" * 40_000, val_fraction=0.0)
    run = small_run(corpus)
    trained(run, corpus)
    assert advice(run, corpus) == []


def test_the_report_tells_it() -> None:
    run = small_run(LONG)
    trained(run, LONG)
    assert "Overfitting" not in report_page(charrnn.report(run))
    run.history[-1]["overfitting"] = True
    page = report_page(charrnn.report(run))
    assert "<b>Overfitting:</b> the validation loss rises" in page
    assert (
        "<code>--dropout</code> 0.4" in page and "`" not in page.partition("Overfitting")[2][:300]
    )
