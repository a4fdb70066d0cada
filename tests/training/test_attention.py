"""Training with attention: it learns to copy, resumes to the same bits, and is kept in files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from charrnn.checkpoint.trained import load
from charrnn.config import DynamicConfig, ModelConfig, SamplingConfig
from charrnn.errors import CheckpointError, DivergenceError
from charrnn.evaluation.dynamic import evaluate_dynamic
from charrnn.evaluation.evaluate import evaluate
from charrnn.generation.generate import generate_many
from charrnn.text.corpus import Corpus
from charrnn.training.run import Run
from charrnn.training.run_file import load_run, save_run
from charrnn.training.run_folder import RunFolder
from tests.reference.small import adam, digest, plain_model, small_corpus, trained

NAMES = 12


def said_twice() -> str:
    """Lines of words that nobody can guess, each of them followed by the same ones."""
    rng, lines = np.random.default_rng(1), []
    for _ in range(700):
        words = ["".join(rng.choice(list("abcdefgh"), 4)) for _ in range(2)]
        lines.append(f"{words[0]} {words[1]}: {words[0]} {words[1]}\n")
    return "".join(lines)


def run_of(corpus: Corpus, attention: int, **training: object) -> Run:
    network = plain_model(hidden=32, layers=1, embedding=8, attention=attention, layer_norm=True)
    given = {"steps": 400, "batch_size": 8, "seq_length": 24, "eval_every": 200, "sample_every": 0}
    return Run.new(corpus, network, adam(**(given | {"learning_rate": 0.01} | training)))


def test_it_learns_to_copy_what_a_small_network_cannot_keep() -> None:
    corpus, losses = small_corpus(said_twice()), {}
    for reach in (0, 32):
        run = run_of(corpus, reach)
        trained(run, corpus)
        losses[reach] = evaluate(run.result, corpus.validation).nats_per_char
    assert losses[32] < losses[0] - 0.3


@pytest.mark.parametrize(
    "settings", [{}, {"parts": 2}, {"reset_every": 5, "average": 0.9}, {"optimizer": "soap"}]
)
def test_a_resumed_run_has_the_same_bits(tmp_path: Path, settings: dict[str, object]) -> None:
    corpus = small_corpus(said_twice()[:4000])
    whole = run_of(corpus, 32, steps=40, eval_every=15, **settings)
    trained(whole, corpus, threads=2)
    folder = RunFolder(tmp_path)
    with folder.locked():
        trained(run_of(corpus, 32, steps=40, eval_every=15, **settings), corpus, folder, 17)
        parts = folder.resume()
        assert (parts.state.ids >= 0).any() and parts.state.keys.any()
        trained(parts, corpus, folder)
    assert digest(parts) == digest(whole)
    for ours, theirs in zip(parts.state.arrays, whole.state.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    save_run(tmp_path / "a", whole)
    save_run(tmp_path / "b", load_run(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("name", "value"), [("ids", 40.0), ("ids", 1.5), ("ids", -2.0), ("places", 32.0)]
)
def test_a_damaged_ring_is_named(tmp_path: Path, name: str, value: float) -> None:
    corpus = small_corpus(said_twice()[:4000])
    run = run_of(corpus, 32, steps=5)
    trained(run, corpus)
    save_run(tmp_path / "a", run)
    tensors = load_file(tmp_path / "a")
    with safe_open(tmp_path / "a", "np") as file:
        metadata = file.metadata()
    tensors[f"state.{name}"].flat[3] = value
    save_file(tensors, tmp_path / "b", metadata)
    with pytest.raises(CheckpointError, match=f"state.{name}"):
        load_run(tmp_path / "b")


def test_a_text_is_the_same_on_any_number_of_threads_and_beside_any_other(tmp_path: Path) -> None:
    corpus = small_corpus(said_twice()[:8000], document_separator=r"\n")
    run = run_of(corpus, 32, steps=60)
    trained(run, corpus)
    save_run(tmp_path / "a", run)
    network = load(tmp_path / "a")
    config = SamplingConfig(length=150, seed=3)
    texts = generate_many(run.trained, 4, "abcd ", config)
    assert len(set(texts)) == 4
    assert generate_many(network, 4, "abcd ", config) == texts
    assert generate_many(network, 1, "abcd ", config) == texts[:1]


@pytest.mark.parametrize("streams", [1, 3])
def test_keys_too_large_for_any_text_are_said_to_be(streams: int) -> None:
    corpus = small_corpus(said_twice()[:4000])
    run = run_of(corpus, 32, steps=1)
    run.model.parameters["attention.weight"][:] = 1e25
    with pytest.raises(DivergenceError):
        generate_many(replace(run.trained, model=run.model), streams, "abcd", SamplingConfig())


def test_it_keeps_learning_while_it_is_scored() -> None:
    corpus = small_corpus(said_twice()[:6000])
    run = run_of(corpus, 32, steps=100)
    trained(run, corpus)
    plain = evaluate(run.result, corpus.validation).nats_per_char
    config = DynamicConfig(dynamic_rate=0.003, dynamic_precision="float32")
    learning = evaluate_dynamic(run.result, corpus.validation, config).nats_per_char
    assert np.isfinite(learning) and learning != plain


def test_the_setting_is_kept(tmp_path: Path) -> None:
    corpus = small_corpus(said_twice()[:4000])
    run = run_of(corpus, 48, steps=1)
    save_run(tmp_path / "a", run)
    assert load_run(tmp_path / "a").model.config.attention == 48
    assert ModelConfig(hidden=4).resolved().attention == 0
