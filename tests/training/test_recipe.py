"""The recipe: what it decides, that what is given wins, and that classic presets stay."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

import charrnn
from charrnn.config.fields import settings_of
from charrnn.config.settings import ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError
from charrnn.network.model import Model
from charrnn.text.corpus import Corpus
from charrnn.text.streams import Streams
from charrnn.training import recipe
from charrnn.training.recipe import (
    departures,
    dropout_for,
    input_dropout_for,
    learning_rate_for,
    most_passes_for,
    resolve,
    weight_decay_for,
)
from charrnn.training.run import Run
from tests.reference.small import TEXT, small_corpus

CLASSIC: dict[str, dict[str, Any]] = {
    "char-rnn": {
        "encoding": "utf-8",
        "newlines": "lf",
        "normalize": "none",
        "unit": "char",
        "min_count": 1,
        "val_fraction": 0.05,
        "test_fraction": 0.0,
        "document_separator": None,
        "cell": "lstm",
        "layers": 2,
        "hidden": 128,
        "embedding": 0,
        "skip": False,
        "residual": False,
        "layer_norm": False,
        "attention": 0,
        "mogrifier": 0,
        "activation": "tanh",
        "clockwork_groups": 8,
        "init": "uniform",
        "init_scale": 0.08,
        "input_scale": 1.0,
        "recurrent_init": "same",
        "forget_bias": 1.0,
        "dropout": 0.0,
        "input_dropout": 0.0,
        "recurrent_dropout": 0.0,
        "locked_dropout": False,
        "zoneout_c": 0.0,
        "zoneout_h": 0.0,
        "batch_size": 50,
        "seq_length": 50,
        "reset_every": 0,
        "optimizer": "rmsprop",
        "learning_rate": 0.002,
        "momentum": 0.9,
        "rho": 0.95,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-08,
        "schedule": "step",
        "warmup": 0,
        "decay_rate": 0.97,
        "decay_every": 1.0,
        "decay_after": 10.0,
        "final_rate": 0.0,
        "plateau_patience": 3,
        "l1": 0.0,
        "l2": 0.0,
        "weight_decay": None,
        "reduction": "sum-over-time",
        "label_smoothing": 0.0,
        "clip_norm": 0.0,
        "clip_value": 5.0,
        "average": 0.0,
        "precision": "float32",
        "epochs": 50.0,
        "steps": None,
        "max_time": None,
        "patience": None,
        "seed": 0,
        "eval_every": 1000,
        "sample_every": None,
        "save_every": None,
    },
    "torch-rnn": {
        "encoding": "utf-8",
        "newlines": "lf",
        "normalize": "none",
        "unit": "char",
        "min_count": 1,
        "val_fraction": 0.1,
        "test_fraction": 0.1,
        "document_separator": None,
        "cell": "lstm",
        "layers": 2,
        "hidden": 128,
        "embedding": 64,
        "skip": False,
        "residual": False,
        "layer_norm": False,
        "attention": 0,
        "mogrifier": 0,
        "activation": "tanh",
        "clockwork_groups": 8,
        "init": "uniform",
        "init_scale": 0.11,
        "input_scale": 1.0,
        "recurrent_init": "same",
        "forget_bias": 1.0,
        "dropout": 0.0,
        "input_dropout": 0.0,
        "recurrent_dropout": 0.0,
        "locked_dropout": False,
        "zoneout_c": 0.0,
        "zoneout_h": 0.0,
        "batch_size": 50,
        "seq_length": 50,
        "reset_every": 0,
        "optimizer": "adam",
        "learning_rate": 0.002,
        "momentum": 0.9,
        "rho": None,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-08,
        "schedule": "step",
        "warmup": 0,
        "decay_rate": 0.5,
        "decay_every": 5.0,
        "decay_after": 4.0,
        "final_rate": 0.0,
        "plateau_patience": 3,
        "l1": 0.0,
        "l2": 0.0,
        "weight_decay": None,
        "reduction": "mean",
        "label_smoothing": 0.0,
        "clip_norm": 0.0,
        "clip_value": 5.0,
        "average": 0.0,
        "precision": "float32",
        "epochs": 50.0,
        "steps": None,
        "max_time": None,
        "patience": None,
        "seed": 0,
        "eval_every": 1000,
        "sample_every": None,
        "save_every": None,
    },
    "dl4j": {
        "encoding": "utf-8",
        "newlines": "lf",
        "normalize": "none",
        "unit": "char",
        "min_count": 1,
        "val_fraction": 0.05,
        "test_fraction": 0.0,
        "document_separator": None,
        "cell": "peephole",
        "layers": 2,
        "hidden": 200,
        "embedding": 0,
        "skip": False,
        "residual": False,
        "layer_norm": False,
        "attention": 0,
        "mogrifier": 0,
        "activation": "tanh",
        "clockwork_groups": 8,
        "init": "xavier-normal",
        "init_scale": 0.08,
        "input_scale": 0.07,
        "recurrent_init": "same",
        "forget_bias": 1.0,
        "dropout": 0.0,
        "input_dropout": 0.0,
        "recurrent_dropout": 0.0,
        "locked_dropout": False,
        "zoneout_c": 0.0,
        "zoneout_h": 0.0,
        "batch_size": 32,
        "seq_length": 50,
        "reset_every": 1000,
        "optimizer": "rmsprop",
        "learning_rate": 0.003125,
        "momentum": 0.9,
        "rho": 0.95,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-08,
        "schedule": "constant",
        "warmup": 0,
        "decay_rate": 0.5,
        "decay_every": 1.0,
        "decay_after": 0.0,
        "final_rate": 0.0,
        "plateau_patience": 3,
        "l1": 0.0,
        "l2": 0.0,
        "weight_decay": 0.01,
        "reduction": "mean",
        "label_smoothing": 0.0,
        "clip_norm": 0.0,
        "clip_value": 0.0,
        "average": 0.0,
        "precision": "float32",
        "epochs": 1.0,
        "steps": None,
        "max_time": None,
        "patience": None,
        "seed": 0,
        "eval_every": None,
        "sample_every": None,
        "save_every": None,
    },
}
"""All settings of these presets, as they were before there was a recipe."""


@pytest.fixture(scope="module")
def novel() -> Corpus:
    return small_corpus(TEXT * 200)


@pytest.mark.parametrize("name", CLASSIC)
def test_the_recipe_leaves_the_classic_presets_alone(novel: Corpus, name: str) -> None:
    corpus, model, training = charrnn.configs_of(charrnn.preset(name))
    run = Run.new(novel, model, training)
    found = {**vars(corpus), **vars(run.model.config), **vars(run.config)}
    assert {key: found[key] for key in CLASSIC[name]} == CLASSIC[name]


def test_nothing_that_a_network_or_its_training_needs_is_left_open(novel: Corpus) -> None:
    model, training = resolve(novel)
    assert None not in vars(model).values()
    for name, setting in settings_of(TrainConfig).items():
        if setting.default is None and getattr(training, name) is None:
            assert "None" in str(TrainConfig.__annotations__[name]), name
    assert training.precision == "float32" and training.steps is not None


@pytest.mark.parametrize("copies", [1, 4, 40, 200])
@pytest.mark.parametrize("training", [TrainConfig(), TrainConfig(epochs=3), TrainConfig(steps=50)])
def test_the_size_follows_from_the_text_and_the_passes(copies: int, training: TrainConfig) -> None:
    corpus = small_corpus(TEXT * copies)
    run = Run.new(corpus, None, training)
    count, characters = run.model.count(), len(corpus.train)
    passes = run.total_steps / run.steps_per_epoch
    if run.model.config.hidden > recipe.WIDTHS[0]:
        assert count <= 3 * characters and 5 * count <= passes * characters * 1.001


@pytest.mark.parametrize(("copies", "passes"), [(1, None), (200, 10)])
def test_without_a_length_it_is_ten_passes_and_a_thousand_steps_at_least(
    copies: int, passes: int | None
) -> None:
    run = Run.new(small_corpus(TEXT * copies), ModelConfig(hidden=4))
    assert run.total_steps == run.config.steps
    assert run.total_steps == (1000 if passes is None else passes * run.steps_per_epoch)
    assert (10 * run.steps_per_epoch < 1000) == (passes is None)


def test_longer_runs_and_longer_texts_get_larger_networks(novel: Corpus) -> None:
    by_length = [Run.new(novel, None, TrainConfig(epochs=e)).model.count() for e in (1, 8, 64)]
    assert by_length == sorted(by_length) and by_length[0] < by_length[-1]
    short = small_corpus(TEXT * 20)
    assert Run.new(short, None, TrainConfig(epochs=8)).model.count() < by_length[1]


def test_what_is_given_stays(novel: Corpus) -> None:
    model = {"hidden": 70, "dropout": 0.25, "input_dropout": 0.0, "layer_norm": False}
    training = {
        "batch_size": 7,
        "learning_rate": 0.5,
        "warmup": 0,
        "weight_decay": 0.0,
        "epochs": 2.0,
    }
    run = Run.new(novel, ModelConfig(**model), TrainConfig(**training))
    assert model.items() <= vars(run.model.config).items()
    assert training.items() <= vars(run.config).items()


def test_resolving_again_changes_nothing(novel: Corpus) -> None:
    found = resolve(novel)
    assert resolve(novel, *found) == found


@pytest.mark.parametrize(("cell", "normalized"), [("lstm", True), ("gru", False), ("rnn", False)])
def test_cells_with_a_memory_are_normalized(cell: Any, normalized: bool, novel: Corpus) -> None:
    assert resolve(novel, ModelConfig(cell=cell))[0].layer_norm == normalized
    assert Model(ModelConfig(cell=cell, hidden=4)).config.layer_norm == normalized


def test_attention_reaches_no_further_than_a_network_reads_in_a_row(novel: Corpus) -> None:
    def reach(corpus: Corpus, training: TrainConfig | None = None, **model: Any) -> int:
        return resolve(corpus, ModelConfig(**{"hidden": 64, **model}), training)[0].attention

    assert reach(novel) == 1024 and len(novel.train) > 32 * 1024
    assert reach(novel, hidden=63) == 0
    assert reach(novel, hidden=319) == 1024 and reach(novel, hidden=320) == 2048
    assert reach(novel, TrainConfig(batch_size=512)) == 512
    assert reach(novel, TrainConfig(batch_size=4096, seq_length=8)) == 0
    assert reach(novel, TrainConfig(reset_every=300)) == 256
    lines = small_corpus(TEXT * 200, document_separator="\n")
    assert reach(lines) == 0
    lists = small_corpus((TEXT + "\n") * 200, document_separator="\n\n")
    assert reach(lists) == 1024 and len(TEXT) < 4096
    assert reach(novel, attention=0) == 0 and reach(lines, attention=16) == 16


@pytest.mark.parametrize("chosen", [{}, {"mogrifier": 0}, {"embedding": 0}, {"embedding": 512}])
def test_what_follows_from_a_setting_departs_from_nothing(chosen: dict[str, int]) -> None:
    corpus = small_corpus((TEXT * 200)[:400_000])
    asked = ModelConfig(hidden=256, **chosen), TrainConfig(epochs=40.0)
    model, training = resolve(corpus, *asked)
    per_pass = Streams(corpus.train, *recipe.batch_shape(len(corpus.train), training)).steps
    found = departures(model, training, len(corpus.train), per_pass)
    assert model.dropout > 0 and found == chosen


@pytest.mark.parametrize(("steps", "reach"), [(100, 0), (128, 128), (700, 512), (1024, 1024)])
def test_attention_reaches_no_further_than_a_run_has_steps(
    steps: int, reach: int, novel: Corpus
) -> None:
    model, training = ModelConfig(hidden=128), TrainConfig(steps=steps)
    assert resolve(novel, model, training)[0].attention == reach
    assert resolve(novel, replace(model, attention=2048), training)[0].attention == 2048


def test_a_model_without_a_text_needs_its_size() -> None:
    with pytest.raises(ConfigError, match="`hidden` is missing"):
        Model(ModelConfig())
    assert Model(ModelConfig(hidden=5)).config.dropout == 0


def test_other_optimizers_keep_their_own_rate(novel: Corpus) -> None:
    training = resolve(novel, None, TrainConfig(optimizer="sgd"))[1]
    assert training.learning_rate is None and training.weight_decay is None


def test_a_trained_network_learns_on_with_small_steps() -> None:
    corpus = small_corpus(TEXT * 20)
    old = Run.new(corpus, ModelConfig(hidden=12), TrainConfig(steps=3)).trained
    run = Run.from_weights(corpus, old)
    streams, per_pass = run.config.batch_size, run.steps_per_epoch
    assert run.total_steps == math.ceil(8 * per_pass)
    rate, decay = run.config.learning_rate, run.config.weight_decay
    assert rate == pytest.approx(learning_rate_for(12) * 0.1 * math.sqrt(streams), rel=1e-3)
    assert rate is not None and decay == pytest.approx(0.2 / (rate * per_pass), rel=1e-3)
    assert (run.model.config.dropout, run.model.config.input_dropout) == (0.1, 0.05)
    assert run.model.config.hidden == 12 and run.anchor is not None
    asked = TrainConfig(learning_rate=0.5, weight_decay=0.0, epochs=2)
    given = Run.from_weights(corpus, old, asked, dropout=0.3)
    assert (given.config.learning_rate, given.config.weight_decay) == (0.5, 0.0)
    assert given.model.config.dropout == 0.3 and given.total_steps == 2 * per_pass


def test_rules_have_no_jumps() -> None:
    passes = [n / 4 for n in range(4, 200)]
    for found in (
        [dropout_for(e, 2_000_000, 500_000) for e in passes],
        [input_dropout_for(e) for e in passes],
        [weight_decay_for(e, 0.01, 500) for e in passes],
    ):
        assert found == sorted(found) and found[0] < found[-1] <= 0.5
        assert max(b - a for a, b in pairwise(found)) < 0.11
    assert dropout_for(20, 200_000, 1_000_000) < dropout_for(20, 4_000_000, 1_000_000)
    most = [most_passes_for(parameters) for parameters in range(10_000, 10_000_000, 50_000)]
    assert most == sorted(most, reverse=True) and most[0] == recipe.MOST_PASSES and most[-1] > 10
    rates = [learning_rate_for(width) for width in recipe.WIDTHS]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("passes", [1, 4, 9])
def test_weights_forget_within_so_many_passes(passes: float) -> None:
    decay = weight_decay_for(passes, 0.01, 400)
    assert (1 - 0.01 * decay) ** (400 * 12 / passes) == pytest.approx(math.exp(-1), rel=0.02)


@pytest.mark.parametrize("steps_a_pass", [1, 44, 100, 224])
def test_weights_do_not_forget_within_fewer_steps_than_they_learn_from(steps_a_pass: int) -> None:
    decay = weight_decay_for(40.0, 0.017, steps_a_pass)
    assert (1 - 0.017 * decay) ** 300 == pytest.approx(math.exp(-1), rel=0.02)
    assert weight_decay_for(40.0, 0.017, 500) < decay


@pytest.mark.parametrize(
    ("alone", "networks"),
    [(0.2, 1), (0.39, 1), (0.41, 2), (1.34, 2), (1.36, 3), (3.3, 3), (3.5, 4), (50.0, 8)],
)
def test_as_many_networks_as_can_each_read_enough(alone: float, networks: int) -> None:
    """`alone`: the share of its passes that one network has time for."""
    assert recipe.networks_for(lambda count: alone / count) == networks


def test_a_length_that_nobody_reaches_has_a_schedule() -> None:
    training = resolve(small_corpus(), ModelConfig(hidden=4), TrainConfig(steps=10**12))[1]
    assert training.decay_after == 1e9
