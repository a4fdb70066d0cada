"""Copies, pickles, processes and threads: the same bits in each."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn import ModelConfig, Run, SamplingConfig, TrainConfig, Trained, generate
from charrnn.checkpoint.start_states import StartStates
from charrnn.network.arithmetic import FLOAT32
from charrnn.network.model import Model, Panels, State
from charrnn.network.network import Network
from charrnn.network.parameters import Parameters
from charrnn.runtime.threads import Workers
from tests.reference.small import digest, small_corpus, small_run, trained

CORPUS = small_corpus()
SAMPLING = SamplingConfig(length=60, seed=3, temperature=0.9)
FEATURES: list[dict[str, Any]] = [
    {},
    {"average": 0.9, "embedding": 5},
    {"optimizer": "rmsprop", "layers": 1, "reset_every": 5},
]
COPIES: list[Callable[[Any], Any]] = [
    copy.deepcopy,
    lambda thing: pickle.loads(pickle.dumps(thing)),
    lambda thing: pickle.loads(pickle.dumps(thing, 2)),
    lambda thing: copy.deepcopy(pickle.loads(pickle.dumps(thing))),
]
NAMES = ["deepcopy", "pickle", "old pickle", "both"]


def text_of(network: Trained) -> str:
    return "".join(generate(network, "1", SAMPLING))


@pytest.mark.parametrize("settings", FEATURES)
@pytest.mark.parametrize("copied", COPIES, ids=NAMES)
def test_a_copy_trains_as_the_original_does(
    copied: Callable[[Any], Any], settings: dict[str, Any]
) -> None:
    run = small_run(CORPUS, **settings)
    trained(run, CORPUS, steps=3)
    other, before = copied(run), digest(run)
    assert digest(other) == before
    trained(other, CORPUS)
    assert digest(other) != before and digest(run) == before, "they share nothing"
    trained(run, CORPUS)
    assert digest(other) == digest(run) and text_of(other.trained) == text_of(run.trained)


@pytest.mark.parametrize("copied", [copy.copy, *COPIES], ids=["copy", *NAMES])
def test_views_of_a_copy_are_views_of_its_flat_vector(copied: Callable[[Any], Any]) -> None:
    run = small_run(CORPUS)
    for parameters in (run.model.parameters, *run.slots.values()):
        other: Parameters = copied(parameters)
        assert np.array_equal(other.flat, parameters.flat)
        assert not np.shares_memory(other.flat, parameters.flat)
        assert all(np.shares_memory(view, other.flat) for view in other.views.values())
        assert other.flat.ctypes.data % 64 == 0, "aligned"
    state: State = copied(run.state)
    assert state.h.ctypes.data % 64 == 0 and not np.shares_memory(state.h, run.state.h)


@pytest.mark.parametrize("copied", COPIES, ids=NAMES)
def test_everything_else_can_be_copied(copied: Callable[[Any], Any], tmp_path: Path) -> None:
    run = Run.new(CORPUS, ModelConfig(hidden=8), TrainConfig(steps=3, seq_length=8))
    run.config = run.config  # a setting may be set again
    reports = trained(run, CORPUS)
    evaluation = charrnn.evaluate(run.model, CORPUS.validation)
    for thing in (CORPUS.vocab, CORPUS.config, run.config, run.model.config, reports[0]):
        assert copied(thing) == thing
    assert copied(evaluation).losses.tobytes() == evaluation.losses.tobytes()
    corpus, network = copied(CORPUS), copied(run.trained)
    assert corpus.ids.tobytes() == CORPUS.ids.tobytes() and corpus.sha256 == CORPUS.sha256
    assert text_of(network) == text_of(run.trained)
    paths = tmp_path / "a", tmp_path / "b"
    for path, each in zip(paths, (network, run.trained), strict=True):
        charrnn.save(path, each)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    folder = copied(charrnn.RunFolder(tmp_path))
    assert folder.path == tmp_path


@pytest.mark.parametrize("copied", COPIES, ids=NAMES)
def test_what_holds_threads_or_packed_weights_says_that_it_cannot_be_copied(
    copied: Callable[[Any], Any],
) -> None:
    model = small_run(CORPUS).model
    for thing in (
        Panels(model, backward=False),
        charrnn.Writer(model, SAMPLING),
        charrnn.Workers(2),
    ):
        with pytest.raises(TypeError):
            copied(thing)


def test_a_pool_of_new_processes_samples() -> None:
    run = small_run(CORPUS)
    trained(run, CORPUS)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(text_of, [run.trained] * 3) == [text_of(run.trained)] * 3


def test_threads_of_one_program_write_the_same_texts() -> None:
    run = small_run(CORPUS)
    trained(run, CORPUS)
    configs = [SamplingConfig(length=300, seed=seed) for seed in range(8)]

    def written(config: SamplingConfig, workers: charrnn.Workers | None = None) -> str:
        return "".join(generate(run.trained, "1", config, workers=workers))

    alone = [written(config) for config in configs]
    shared = charrnn.Workers(2)
    for workers in (None, shared):
        with ThreadPoolExecutor(4) as pool:
            texts = list(pool.map(lambda config, w=workers: written(config, w), configs))
        assert texts == alone
    shared.close()


def test_a_model_cannot_become_another_one() -> None:
    run = small_run(CORPUS)
    model, parameters, state = run.model, run.model.parameters, run.state
    for thing, name, value in [
        (model, "config", ModelConfig(hidden=400)),
        (model, "parameters", Model(ModelConfig(hidden=4)).parameters),
        (model, "cell", None),
        (model, "recurrent", None),
        (parameters, "flat", np.zeros(3, np.float32)),
        (parameters, "views", {}),
        (parameters, "tensors", ()),
        (state, "h", np.zeros((1, 1, 1), np.float32)),
        (model.config, "hidden", 400),
        (run.trained, "model", None),
        (CORPUS, "ids", np.zeros(9, np.uint8)),
    ]:
        with pytest.raises(AttributeError):
            setattr(thing, name, value)
        with pytest.raises(AttributeError):
            delattr(thing, name)
    with pytest.raises(TypeError):
        parameters.views["decoder.bias"] = np.zeros(1, np.float32)  # type: ignore[index]
    parameters.flat *= 2  # numbers may change
    trained(run, CORPUS)


def test_parts_of_other_networks_are_refused() -> None:
    """Kernels do not check: each of these would read or write past the end of an array."""
    run, large = small_run(CORPUS), small_run(CORPUS, hidden=40)
    small, other = run.model, large.model
    ids, Config = CORPUS.validation, charrnn.ConfigError
    panels = Panels(other, backward=False)
    with pytest.raises(Config, match="shape"):
        Model(other.config, small.parameters)
    with pytest.raises(Config, match="panels"):
        charrnn.evaluate(small, ids, panels=panels)
    with pytest.raises(Config, match="panels"):
        charrnn.Writer(small, SAMPLING, panels=panels)
    with pytest.raises(Config, match="panels"):
        list(generate(run.trained, "", SAMPLING, panels=panels))
    with pytest.raises(Config, match="precision"):
        halved = replace(FLOAT32, density=2)
        charrnn.Writer(small, SAMPLING, panels=Panels(small, False, halved))
    with pytest.raises(Config, match="backward"):
        Network(small, 4, 1, Workers(1), training=True, panels=Panels(small, backward=False))
    for states in (StartStates.zero(other, 0), StartStates(State(small, 2), np.zeros(1, np.int32))):
        with pytest.raises(Config, match="another shape"):
            charrnn.evaluate(small, ids, openings=[states])
        with pytest.raises(Config, match="another shape"):
            charrnn.Writer(small, SAMPLING).begin(states)
    with pytest.raises(charrnn.VocabError):
        charrnn.evaluate(small, ids, openings=[StartStates.zero(small, 999)])
    for wrong in ([0], [0, 999]):
        with pytest.raises(charrnn.VocabError):
            charrnn.Writer(small, SAMPLING, streams=2).follow(np.array(wrong, np.int32))
    with pytest.raises(Config, match="one per model"):
        charrnn.evaluate_texts(small, [ids], [])
    with pytest.raises(Config, match="squares"):
        charrnn.evaluate_dynamic(other, ids, squares=[small.parameters])
    for name, value in [
        ("vocab", charrnn.Vocab(("a", "b"))),
        ("squares", other.parameters),
        ("starts", StartStates.zero(other, 0)),
    ]:
        parts = {"model": small, "vocab": CORPUS.vocab, "corpus_config": CORPUS.config}
        with pytest.raises(Config, match=name):
            Trained(**{**parts, name: value})
    for name, value in [
        ("state", large.state),
        ("slots", large.slots),
        ("slots", {}),
        ("average", other.parameters),
        ("anchor", other.parameters),
        ("model", other),
    ]:
        broken = copy.deepcopy(run)
        setattr(broken, name, value)
        with pytest.raises(charrnn.RunError):
            charrnn.train(broken, CORPUS)


@pytest.mark.parametrize("ids", [[2**32, 1], [2**64, 1], [-1, 1], [99, 1], [0.5, 1], [True, False]])
def test_ids_are_checked_in_the_type_that_they_came_in(ids: list[Any]) -> None:
    run = small_run(CORPUS)
    model, vocab = run.model, CORPUS.vocab
    arrays: list[Any] = [ids, np.array(ids)]
    if max(ids) < 2**63 and type(ids[0]) is int:
        arrays += [np.array(ids, np.int64), np.array(ids, np.int64)[::-1]]
    calls: list[Callable[[Any], Any]] = [
        vocab.decode,
        lambda ids: charrnn.evaluate(model, ids),
        lambda ids: charrnn.evaluate([model, model], ids),
        lambda ids: charrnn.evaluate_windows(model, ids),
        lambda ids: charrnn.evaluate_dynamic(model, ids),
        lambda ids: charrnn.evaluate_xz(ids, vocab),
        lambda ids: charrnn.gradient_norms(model, ids, lags=1),
        lambda ids: charrnn.trace(run.trained, ids),
        lambda ids: list(charrnn.generate_ids(charrnn.Writer(model, SAMPLING), ids, 3)),
        lambda ids: charrnn.Writer(model, SAMPLING, streams=2).step(ids),
    ]
    for array in arrays:
        for call in calls:
            with pytest.raises(charrnn.VocabError, match=r"^ids must"):
                call(array)


@pytest.mark.parametrize("kind", ["int8", "uint16", ">i4", "int64", "uint64", "list", "strided"])
def test_ids_of_every_integer_type_are_the_same_text(kind: str) -> None:
    run = small_run(CORPUS)
    model, vocab, plain = run.model, CORPUS.vocab, CORPUS.validation[:90]
    ids: Any = {"list": plain.tolist(), "strided": np.repeat(plain, 2)[::2]}.get(kind)
    ids = plain.astype(kind) if ids is None else ids
    for call in (
        lambda ids: charrnn.evaluate(model, ids).losses,
        lambda ids: charrnn.evaluate_windows(model, ids, 7).losses,
        lambda ids: charrnn.evaluate_dynamic(model, ids).losses,
        lambda ids: charrnn.gradient_norms(model, ids, lags=2),
        lambda ids: charrnn.trace(run.trained, ids).h,
        lambda ids: np.concatenate(
            list(charrnn.generate_ids(charrnn.Writer(model, SAMPLING), ids, 30))
        ),
    ):
        assert call(ids).tobytes() == call(plain).tobytes()
    assert vocab.decode(ids) == vocab.decode(plain)
    assert charrnn.evaluate_xz(ids, vocab) == charrnn.evaluate_xz(plain, vocab)


@pytest.mark.parametrize("kind", ["int64", "float32", "bool", "uint16", "int8"])
def test_a_corpus_has_ids_of_its_vocabularys_type(kind: str) -> None:
    with pytest.raises(charrnn.CorpusError, match="uint8"):
        charrnn.Corpus(
            np.zeros(100, kind), CORPUS.vocab, CORPUS.config, CORPUS.sources, "", name="wrong"
        )
