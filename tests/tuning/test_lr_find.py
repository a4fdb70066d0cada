"""The range test of learning rates: its bits, its suggestion, and what it says when there is
none.
"""

from __future__ import annotations

import tracemalloc
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest

import charrnn
from charrnn import (
    CorpusError,
    ModelConfig,
    RateTest,
    Run,
    TrainConfig,
    bundled_corpus,
    lr_find,
    train,
)
from charrnn.errors import ConfigError, DivergenceError
from charrnn.text.corpus import Corpus
from charrnn.tuning.rate_test import WIDTH
from tests.reference.small import small_corpus

MODEL = ModelConfig(hidden=24, layers=1, embedding=16)


@cache
def plays() -> Corpus:
    return small_corpus(bundled_corpus().read_text(encoding="utf-8")[:40_000])


def training(**settings: object) -> TrainConfig:
    return TrainConfig(**{"batch_size": 16, "seq_length": 16, **settings})  # type: ignore[arg-type]


@cache
def found(optimizer: str, threads: int = 1) -> RateTest:
    return lr_find(plays(), MODEL, training(optimizer=optimizer), threads=threads)


def end_of(optimizer: str, rate: float) -> float:
    """The validation loss at the end of a pass with this peak rate."""
    config = training(optimizer=optimizer, epochs=1.0, learning_rate=rate, sample_every=0)
    *_, last = train(Run.new(plays(), MODEL, config), plays(), threads=1)
    assert last.validation_loss is not None
    return last.validation_loss


def test_the_bits_do_not_depend_on_threads() -> None:
    one, two = found("adamw"), found("adamw", 2)
    assert one.losses.tobytes() == two.losses.tobytes()
    assert one.suggestion == two.suggestion and one.rates.shape == one.smoothed.shape
    assert one.planned == one.training.learning_rate and one.model.hidden == 24
    other = lr_find(plays(), MODEL, training(seed=1), threads=1)
    assert other.losses[0] != one.losses[0]


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop", "sgd"])
def test_a_run_at_the_suggestion_ends_well_and_at_ten_times_as_much_worse(optimizer: str) -> None:
    test = found(optimizer)
    assert test.outcome == "diverged" and test.suggestion is not None
    suggested = end_of(optimizer, test.suggestion)
    assert suggested < end_of(optimizer, test.planned) + 0.02
    assert end_of(optimizer, 10 * test.suggestion) > suggested


def test_the_first_loss_is_that_of_the_first_weights() -> None:
    test, run = found("adamw"), Run.new(plays(), MODEL, training())
    assert next(iter(train(run, plays(), threads=1))).loss == test.losses[0]
    assert np.allclose(np.diff(np.log(test.rates)), np.log(1e5) / 399)


def test_without_a_rise_or_a_fall_there_is_no_suggestion() -> None:
    flat = lr_find(plays(), MODEL, training(), lowest=1e-9, highest=1e-7, range_steps=20)
    fell = lr_find(plays(), MODEL, training(), lowest=1e-3, highest=0.02, range_steps=100)
    assert (flat.outcome, flat.suggestion, flat.agrees) == ("flat", None, False)
    assert (fell.outcome, fell.suggestion, len(fell.losses)) == ("fell", None, 100)
    assert "flat, no suggestion" in repr(flat)


def test_progress_counts_steps_and_the_test_ends_when_the_loss_diverges() -> None:
    told: list[tuple[int, int | None]] = []
    test = lr_find(
        *(plays(), MODEL, training()),
        threads=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[0] == (1, 400) and len(told) <= len(test.losses) < 400


def test_what_makes_no_test() -> None:
    with pytest.raises(
        CorpusError, match=r"too short for a test of learning rates: .* `batch_size`"
    ):
        lr_find(small_corpus("to be or not to be " * 3), MODEL)
    for settings in ({"lowest": 1.0, "highest": 0.1}, {"lowest": 0.0}, {"range_steps": 3}):
        with pytest.raises(ConfigError, match=f"`{next(iter(settings))}`"):
            lr_find(plays(), MODEL, **settings)  # type: ignore[arg-type]


def test_the_suggestion_follows_from_the_rates_of_the_lowest_losses() -> None:
    rates = np.geomspace(1e-5, 1.0, 200)
    losses = np.maximum(2.0, 2 + np.abs(np.log10(rates) + 1.5) - 0.25)
    middle = 10**-1.5
    for optimizer, rate in (("adamw", middle / 2), ("rmsprop", middle), ("sgd", 2 * middle)):
        test = RateTest(MODEL, training(optimizer=optimizer), rates, losses, 0.5)
        assert test.suggestion == pytest.approx(rate, rel=0.1)
        assert test.outcome == "diverged" and not test.agrees
    low, high = test.bottom
    assert low == pytest.approx(10**-1.8, rel=0.1) and high == pytest.approx(10**-1.2, rel=0.1)
    level = RateTest(MODEL, training(), rates, np.full(200, 2.5), 0.5)
    assert np.allclose(level.smoothed, 2.5) and level.outcome == "flat"


def test_its_picture_is_a_file_of_its_own() -> None:
    test = found("adamw")
    picture = ElementTree.fromstring(test.svg())
    words = " ".join(picture.itertext())
    assert f"suggestion {test.suggestion:g}" in words and f"planned {test.planned:g}" in words
    assert "learning rate" in words and test.svg() in test._repr_html_()
    assert len(picture.findall(".//{*}circle[@class]")) == 4  # two of them in the legend


def test_it_is_public() -> None:
    assert {"lr_find", "RateTest", "planned_size"} <= set(charrnn.__all__)


def test_a_loss_that_is_not_finite_from_the_start() -> None:
    model = ModelConfig(
        cell="rnn",
        activation="relu",
        init="uniform",
        init_scale=10.0,
        hidden=24,
        layers=1,
        embedding=16,
    )
    training = TrainConfig(batch_size=16, seq_length=64, optimizer="adamw")
    with pytest.raises(DivergenceError, match="use a smaller `init_scale`"):
        lr_find(plays(), model, training)


def test_a_long_test_does_not_fill_the_memory() -> None:
    rates = np.geomspace(1e-5, 1.0, 6000)
    losses = np.linspace(4.0, 2.0, 6000)
    test = RateTest(MODEL, training(optimizer="adamw"), rates, losses, 0.01)
    tracemalloc.start()
    try:
        smoothed = test.smoothed
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e8
    middle = 3000
    weights = np.exp(-0.5 * ((np.log10(rates[middle]) - np.log10(rates)) / WIDTH) ** 2)
    assert smoothed[middle] == pytest.approx(float((weights * losses).sum() / weights.sum()))
