"""A batch in parts: the gradient is the sum of the parts', whatever else takes part in a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError, CorpusError
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.streams import fit_batch_shape
from charrnn.training.recipe import batch_shape
from charrnn.training.run_folder import RunFolder
from charrnn.training.update import Update
from tests.reference.small import plain_model, small_corpus, small_run, trained

EVERYTHING: dict[str, Any] = {
    "batch_size": 4,
    "label_smoothing": 0.1,
    "average": 0.9,
    "weight_decay": 0.01,
    "eval_every": 5,
}


def last_of(path: Path, threads: int = 1, stop: int | None = None, **settings: Any) -> bytes:
    """The last checkpoint of a small run, interrupted after `stop` steps if that is given."""
    corpus, folder = small_corpus(document_separator="fall\\n"), RunFolder(path)
    path.mkdir()
    folder.create({})
    trained(small_run(corpus, **settings), corpus, folder, steps=stop, threads=threads)
    if stop is not None:
        again = RunFolder(path)
        trained(again.resume(), corpus, again, threads=threads)
    return folder.last.read_bytes()


def test_the_same_bits_on_any_threads_and_after_an_interruption(tmp_path: Path) -> None:
    settings = {**EVERYTHING, "parts": 2}
    whole = last_of(tmp_path / "whole", **settings)
    assert last_of(tmp_path / "threads", threads=2, **settings) == whole
    assert last_of(tmp_path / "stopped", stop=4, **settings) == whole


@pytest.mark.parametrize("reduction", ["mean", "sum-over-time"])
def test_parts_change_only_the_order_of_sums_without_dropout(reduction: str) -> None:
    corpus = small_corpus(document_separator="fall\\n")
    settings = {**EVERYTHING, "dropout": 0.0, "steps": 3, "reduction": reduction}
    runs = {parts: small_run(corpus, parts=parts, **settings) for parts in (1, 2, 4)}
    reports = {parts: trained(run, corpus) for parts, run in runs.items()}
    for parts in (2, 4):
        for ours, whole in zip(reports[parts], reports[1], strict=True):
            assert ours.loss == pytest.approx(whole.loss, rel=1e-5)
            assert ours.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-3)
        np.testing.assert_allclose(runs[parts].state.h, runs[1].state.h, atol=1e-3)


def test_each_part_has_dropout_masks_of_its_own() -> None:
    """Two streams, a part each, that read the same text."""
    corpus = small_corpus("abcdefgh" * 400 + "a", val_fraction=0.0)
    for dropout in (0.0, 0.5):
        run = small_run(corpus, batch_size=2, parts=2, steps=1, dropout=dropout)
        trained(run, corpus)
        assert (run.state.h[1, 0] == run.state.h[1, 1]).all() == (dropout == 0)


def test_the_gradient_of_a_part_is_its_share_of_the_whole() -> None:
    model = Model.initialized(plain_model(vocab_size=7, hidden=6), seed=1)
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 7, (5, 4)).astype(np.int32) for _ in range(2))
    whole = Network(model, 5, 4, Workers(1), training=True)
    loss, gradient = whole.gradients(x, y, State(model, 4), None)
    network, total, losses = Network(model, 5, 2, Workers(1), training=True), 0.0, []
    for a in (0, 2):
        part = [np.ascontiguousarray(ids[:, a : a + 2]) for ids in (x, y)]
        part_loss, g = network.gradients(*part, State(model, 2), None, parts=2)
        losses.append(part_loss)
        total = total + g.flat.astype(np.float64)
    assert sum(losses) / 2 == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(total, gradient.flat, atol=1e-7)


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": 1},
        {"layers": 3, "skip": True, "embedding": 5, "recurrent_dropout": 0.3},
        {"layers": 2, "cell": "clockwork", "clockwork_groups": 2, "hidden": 6},
        {"layers": 2, "cell": "grid", "embedding": 3},
    ],
)
def test_a_piece_is_complete_when_it_is_said_to_be(settings: dict[str, Any]) -> None:
    """And the gradient is what it is without pieces."""
    model = Model.initialized(plain_model(**{"vocab_size": 7, "hidden": 6, **settings}), seed=1)
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 7, (5, 4)).astype(np.int32) for _ in range(2))
    network = Network(model, 5, 4, Workers(2), training=True)
    _, gradient = network.gradients(x, y, State(model, 4), 3)
    whole, seen = gradient.flat.copy(), []
    gradient.flat[:] = np.nan

    def ready() -> None:
        start, stop = network.pieces[len(seen)]
        seen.append(gradient.flat[start:stop].copy())

    network.gradients(x, y, State(model, 4), 3, ready=ready)
    assert len(seen) == len(network.pieces) == model.config.layers + 1
    np.testing.assert_array_equal(np.concatenate(seen), whole)


def test_a_loss_that_jumps_is_looked_into_part_by_part() -> None:
    corpus = small_corpus()
    run, whole = (small_run(corpus, batch_size=4, parts=parts) for parts in (2, 1))
    losses = [
        Update(each, each.streams(corpus), Workers(1)).loss_of(range(3)) for each in (run, whole)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_the_batch_is_a_multiple_of_the_parts() -> None:
    assert fit_batch_shape(1000, 32, 64, 4) == (12, 64)
    assert batch_shape(10**6, TrainConfig(parts=3)) == (30, 64)
    assert batch_shape(10**6, TrainConfig(parts=64)) == (64, 64)
    with pytest.raises(ConfigError, match="`batch_size` of 32 cannot be divided into 5 `parts`"):
        TrainConfig(batch_size=32, parts=5)
    assert fit_batch_shape(1000, 32, 64, 16) == (16, 62)
    with pytest.raises(CorpusError, match="9 characters, which cannot be divided into 16 `parts`"):
        fit_batch_shape(9, 32, 64, 16)
