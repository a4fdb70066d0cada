"""The networks of a run: their settings, their files, and the mixture of them."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

import charrnn
from charrnn.checkpoint.mixture import load_mixture
from charrnn.checkpoint.paths import find_checkpoints, newest_folder
from charrnn.config import TrainConfig
from charrnn.config.files import values_of
from charrnn.errors import CheckpointError, ConfigError
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from tests.reference.small import adam, plain_model, small_corpus, small_run, trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two networks, made as a program would."""
    corpus, out = small_corpus(), RunFolder(tmp_path_factory.mktemp("runs") / "run")
    first = small_run(corpus, networks=2)
    for number in (1, 2):
        run, own = first if number == 1 else first.another(corpus, 2), out.network(number)
        with own.locked():
            own.create(values_of(run.config))
            trained(run, corpus, own)
        if number == 2:
            out.add_network(number)
    return out


def test_each_network_has_a_seed_of_its_own_and_its_part_of_the_pace() -> None:
    config = TrainConfig(steps=9, seed=7, networks=3, pace="3:8 5:7 | | 4:6")
    assert config.of_network(1) is config
    second, third = config.of_network(2), config.of_network(3)
    assert len({config.seed, second.seed, third.seed}) == 3
    assert second == config.of_network(2), "the same every time"
    assert second.seed != replace(config, seed=8).of_network(2).seed
    assert second == replace(config, seed=second.seed, networks=1, pace=None)
    assert (config.pace_of(1), config.pace_of(2), config.pace_of(3)) == ("3:8 5:7", None, "4:6")
    assert config.pace_of(4) is None and third.pace == "4:6"
    assert config.changes == ((3, 8, False), (5, 7, False))
    assert (config.total_steps(1), second.total_steps(1), third.total_steps(1)) == (7, 9, 6)


def test_a_part_of_the_pace_can_be_replaced() -> None:
    config = TrainConfig(steps=9, pace="3:8")
    assert config.with_pace("2:5") == "2:5"
    assert config.with_pace(None) is None
    assert config.with_pace("2:5", 3) == "3:8 |  | 2:5"
    both = replace(config, pace=config.with_pace("2:5", 3))
    assert [both.pace_of(number) for number in (1, 2, 3)] == ["3:8", None, "2:5"]
    assert both.with_pace(None, 3) == "3:8"
    assert both.with_pace("1:4 2:3") == "1:4 2:3 |  | 2:5"
    for wrong in ("|", "3:8 | x", "3:8 | 5:6 4:7"):
        with pytest.raises(ConfigError, match="`pace` must be"):
            TrainConfig(steps=9, pace=wrong)


def test_another_network_learns_the_same_from_other_random_numbers() -> None:
    corpus = small_corpus()
    first = small_run(corpus, networks=2)
    second = first.another(corpus, 2)
    assert second.model.config == first.model.config and second.vocab == first.vocab
    assert second.config == first.config.of_network(2) and second.step == 0
    weights = [run.model.parameters["decoder.weight"] for run in (first, second)]
    assert (weights[0] != weights[1]).any()
    model, config = plain_model(layers=2, hidden=9, dropout=0.2), second.config
    same = Run.new(corpus, model, adam(**values_of(config)))
    for run in (second, same):
        trained(run, corpus)
    np.testing.assert_array_equal(
        second.model.parameters["decoder.weight"], same.model.parameters["decoder.weight"]
    )


def test_another_network_begins_with_the_weights_that_the_first_one_began_with() -> None:
    corpus = small_corpus()
    before = small_run(corpus).trained
    first = Run.from_weights(corpus, before, adam(steps=4, batch_size=3, seq_length=8, networks=2))
    trained(first, corpus)
    second = first.another(corpus, 2)
    name = "decoder.weight"
    np.testing.assert_array_equal(second.model.parameters[name], before.model.parameters[name])
    assert (first.model.parameters[name] != before.model.parameters[name]).any()
    assert second.anchor is not None and second.anchor is not first.anchor


def test_the_checkpoints_of_a_run_are_loaded_as_one(folder: RunFolder) -> None:
    files = [folder.path / name for name in ("best.safetensors", "best-2.safetensors")]
    assert find_checkpoints(folder.path) == files
    assert find_checkpoints(None, folder.path.parent) == files
    assert find_checkpoints(files[1]) == [files[1]]
    assert find_checkpoints(folder.path / "2") == [folder.path / "2/best.safetensors"]
    assert folder.has_network(2) and not folder.has_network(3)
    both = load_mixture(folder.path)
    assert len(both) == 2 and both.weights == (0.5, 0.5)
    assert both.summary.startswith("2 networks, each ")
    assert len(load_mixture(files[1])) == 1 and len(charrnn.load_mixture(str(folder.path))) == 2
    text = small_corpus().validation
    loss = charrnn.evaluate(both, text).nats_per_char
    assert loss < max(charrnn.evaluate(network.model, text).nats_per_char for network in both)
    with pytest.raises(CheckpointError):
        load_mixture(folder.path / "3.safetensors")


def test_a_network_below_a_run_is_no_newest_run(folder: RunFolder) -> None:
    root = folder.path.parent
    other = RunFolder(root / "other")
    other.path.mkdir()
    other.last.write_bytes(folder.last.read_bytes())
    try:
        for path, when in ((folder.last, 1e9), (other.last, 1.1e9), (folder.network(2).last, 1e9)):
            os.utime(path, (when, when))
        assert newest_folder(root) == other.path
        os.utime(folder.network(2).last, (1.2e9, 1.2e9))
        assert newest_folder(root) == folder.path
    finally:
        other.last.unlink()
