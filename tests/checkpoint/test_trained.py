"""A trained network's file: what is in it, what loading it does not do, and what it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import charrnn
from charrnn.checkpoint.format import write
from charrnn.checkpoint.header import describe
from charrnn.checkpoint.names import OWN_NAMES, file_name, torch_module
from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Trained, arrays_in_file, load, metadata_of, save
from charrnn.config.settings import CELL_NAMES, ModelConfig
from charrnn.errors import CheckpointError, CorpusError
from charrnn.evaluation.dynamic import evaluate_dynamic
from charrnn.network.model import Model, State
from charrnn.network.parameters import tensors_of
from charrnn.text.corpus import Corpus
from charrnn.training.run import Run
from charrnn.training.run_file import load_run, save_run
from tests.reference.small import adam, plain_model, small_corpus, small_run, trained

PLAIN = plain_model(vocab_size=5, hidden=6, layers=3)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    corpus = small_corpus(document_separator="fall")
    run = small_run(corpus)
    trained(run, corpus)
    state = State(run.model, 4)
    state.h[..., :9], state.c[..., :9] = 0.3, -2.0
    starts = StartStates.rounded(state, np.array([2, 0, 1, 2], np.int32))
    saved = replace(run.trained, starts=starts)
    save(tmp_path / "a", saved)
    found = load(tmp_path / "a")
    assert (found.vocab, found.corpus_config) == (saved.vocab, saved.corpus_config)
    assert found.origin == saved.origin and found.origin.loss == run.history[-1]["validation_loss"]
    assert found.model.config == saved.model.config and run.average is not None
    np.testing.assert_array_equal(found.model.parameters.flat, run.average.flat)
    assert found.starts is not None
    np.testing.assert_array_equal(found.starts.state.h, state.h)
    np.testing.assert_array_equal(found.starts.state.c, state.c)
    np.testing.assert_array_equal(found.starts.ids, starts.ids)
    assert found.starts.ids.dtype == np.int32 and state.h.max() == np.float32(0.30078125)
    save(tmp_path / "b", found)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_folder_gives_the_best_and_a_run_gives_its_network(tmp_path: Path) -> None:
    corpus = small_corpus()
    run = small_run(corpus)
    save_run(tmp_path / "last.safetensors", run)
    assert load(tmp_path).origin.step == 0
    trained(run, corpus)
    save(tmp_path / "best.safetensors", run.trained)
    assert load(tmp_path).origin.step == 12
    last = load(tmp_path / "last.safetensors")
    assert last.starts is None and len(last.opening) == 1
    assert last.squares is not None and not last.squares.flat.any()
    with pytest.raises(CheckpointError, match="contains a network but not the run"):
        load_run(tmp_path / "best.safetensors")


@pytest.mark.parametrize(
    "ids", [None, [], [0], [0, 1, 2, 3], [0, 1, 99], [0, 1, -1], [0, 1, 2.0], [0, 1, True], "abc"]
)
def test_start_ids_that_do_not_fit(tmp_path: Path, ids: Any) -> None:
    """One symbol for each state, or the file is refused."""
    corpus = small_corpus()
    run = small_run(corpus)
    run.starts = StartStates(State(run.model, 3), np.array([0, 1, 2], np.int32))
    assert metadata_of(run.trained)["start_ids"] == [0, 1, 2]
    write(
        tmp_path / "a", arrays_in_file(run.trained), metadata_of(run.trained) | {"start_ids": ids}
    )
    with pytest.raises(CheckpointError, match="'start_ids' is not a list of 3 symbols"):
        load(tmp_path / "a")


def test_start_states_that_do_not_fit(tmp_path: Path) -> None:
    """Of another shape, without their other half, or not finite."""
    corpus = small_corpus()
    run = small_run(corpus)
    run.starts = StartStates(State(run.model, 3), np.array([0, 1, 2], np.int32))
    whole, about = arrays_in_file(run.trained), metadata_of(run.trained)
    infinite = np.full_like(whole["start.h"], 0x7F80)
    for name, array in (("start.c", whole["start.c"][:, :2]), ("start.h", infinite)):
        write(tmp_path / "a", whole | {name: np.ascontiguousarray(array)}, about)
        with pytest.raises(CheckpointError, match="the file is damaged"):
            load(tmp_path / "a")
    del whole["start.c"]
    write(tmp_path / "a", whole, about)
    with pytest.raises(CheckpointError, match=r"start\.c is missing"):
        load(tmp_path / "a")


def test_no_path_stands_in_it(tmp_path: Path) -> None:
    (tmp_path / "secret-folder").mkdir()
    text = tmp_path / "secret-folder" / "book.txt"
    text.write_text("to be or not to be\n" * 30, encoding="utf-8")
    corpus = Corpus.read(text)
    run = small_run(corpus)
    run.init_from = str(text)
    save(tmp_path / "best", run.trained)
    save_run(tmp_path / "last", run)
    assert b"secret-folder" not in (tmp_path / "best").read_bytes()
    assert b"secret-folder" in (tmp_path / "last").read_bytes()
    assert describe(tmp_path / "best")["texts"] == [{"name": "book.txt", "characters": len(corpus)}]


def test_it_is_small_and_keeps_what_dynamic_evaluation_needs(tmp_path: Path) -> None:
    """bfloat16 squares serve as well as the optimizer's own; all is 0.4 of the run at most."""
    text = charrnn.bundled_corpus().read_text(encoding="utf-8")[:60_000]
    corpus = small_corpus(text)
    run = Run.new(corpus, plain_model(hidden=64), adam(steps=60, seq_length=32))
    trained(run, corpus)
    save(tmp_path / "best", run.trained)
    save_run(tmp_path / "last", run)
    sizes = [(tmp_path / name).stat().st_size for name in ("best", "last")]
    assert sizes[0] < 0.4 * sizes[1]
    ids = corpus.validation[:3000]
    both = [
        evaluate_dynamic(one.model, ids, squares=[one.squares]).nats_per_char
        for one in (run.trained, load(tmp_path / "best"))
    ]
    without = evaluate_dynamic(run.result, ids).nats_per_char
    assert abs(both[0] - both[1]) < 1e-3 < abs(both[0] - without)
    ours, theirs = (load(tmp_path / name).squares for name in ("best", "last"))
    assert ours is not None and theirs is not None
    relative = theirs.flat / theirs.flat[theirs.flat > 0].mean(dtype=np.float64)
    np.testing.assert_allclose(ours.flat, relative, rtol=2**-8)


def test_no_squares_where_the_optimizer_keeps_none(tmp_path: Path) -> None:
    corpus = small_corpus()
    run = small_run(corpus, optimizer="sgd")
    trained(run, corpus)
    save(tmp_path / "a", run.trained)
    save_run(tmp_path / "b", run)
    assert load(tmp_path / "a").squares is None and load(tmp_path / "b").squares is None


def test_loading_to_write_loads_nothing_of_training(tmp_path: Path) -> None:
    corpus = small_corpus()
    save(tmp_path / "a", small_run(corpus).trained)
    code = """
import sys
import charrnn
trained = charrnn.load(sys.argv[1])
"".join(charrnn.generate(trained, "1", charrnn.SamplingConfig(length=5)))
rooms = ("charrnn.training", "charrnn.optim", "charrnn.kernels.")
loaded = {name for name in sys.modules if name.startswith(rooms)}
kernels = {name for name in loaded if name.startswith("charrnn.kernels.")}
assert loaded == kernels, loaded - kernels
unwanted = {"layers", "softmax", "update", "adam", "adaptive", "descent", "adapting"}
assert not {name.rpartition(".")[2] for name in kernels} & unwanted, kernels
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=True, timeout=300)


def test_the_text_must_be_that_of_the_run(tmp_path: Path) -> None:
    corpus = small_corpus()
    save(tmp_path / "a", small_run(corpus).trained)
    found = load(tmp_path / "a")
    found.check_text(corpus)
    with pytest.raises(CorpusError, match="not the run's text"):
        found.check_text(small_corpus("another text\n" * 50))
    with pytest.raises(CorpusError, match=r"`val_fraction` 0\.2, but the run"):
        found.check_text(small_corpus(val_fraction=0.2))


@pytest.mark.parametrize("version", [1, 3])
def test_formats_from_before_the_first_release_are_refused(tmp_path: Path, version: int) -> None:
    save(tmp_path / "a", small_run(small_corpus()).trained)
    data = (
        (tmp_path / "a")
        .read_bytes()
        .replace(b'"format_version\\":4', b'"format_version\\":%d' % version)
    )
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(CheckpointError, match=f"version {version} is from before"):
        load(tmp_path / "a")


# Names
# --------------------------------------------------------------------------------------------------


def names(config: ModelConfig) -> set[str]:
    return {file_name(t.name, config) for t in tensors_of(config)}


@pytest.mark.parametrize(
    ("changes", "module"),
    [
        ({}, "LSTM"),
        ({"cell": "gru-after"}, "GRU"),
        ({"cell": "rnn"}, "RNN"),
        ({"cell": "rnn", "activation": "relu"}, "RNN"),
        ({"dropout": 0.5, "recurrent_dropout": 0.5, "embedding": 4}, "LSTM"),
        *(({"cell": cell}, None) for cell in sorted({*CELL_NAMES} - {"lstm", "gru-after", "rnn"})),
        *(({name: True}, None) for name in ("layer_norm", "residual", "skip")),
        ({"activation": "softsign"}, None),
        ({"cell": "gru-after", "activation": "relu"}, None),
        ({"mogrifier": 2, "embedding": 4}, None),
        ({"zoneout_h": 0.1}, None),
        ({"zoneout_c": 0.1}, None),
    ],
)
def test_only_what_pytorch_computes_has_its_names(
    changes: dict[str, object], module: str | None
) -> None:
    config = replace(PLAIN, **changes)  # type: ignore[arg-type]
    assert torch_module(config) == module
    found = names(config)
    assert len(found) == len(tensors_of(config))
    has_theirs = [name for name in found if name.startswith("rnn.")]
    assert bool(has_theirs) == (module is not None)
    assert ("decoder.weight" in found) != config.skip


def test_no_state_dict_of_another_kind_fits() -> None:
    """nn.GRU's names do not occur in a file of Cho's GRU, nor those of nn.Linear with skip."""
    assert not {n for n in names(replace(PLAIN, cell="gru")) if "_ih_" in n or "_hh_" in n}
    skipped = {n for n in names(replace(PLAIN, skip=True)) if n.startswith("decoder.weight")}
    assert skipped == {"decoder.weight_l0", "decoder.weight_l1", "decoder.weight_l2"}
    assert set(OWN_NAMES.values()) >= {"weight_x", "weight_h", "bias"}


def page_program() -> str:
    page = Path(__file__).parents[2] / "docs" / "checkpoints.md"
    return page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


OPTIONS: list[dict[str, object]] = [
    {},
    {"embedding": 5},
    {"layer_norm": True},
    {"residual": True, "skip": True},
    {"zoneout_h": 0.2, "zoneout_c": 0.1},
    {"activation": "softsign"},
    {"activation": "relu"},
    {"layer_norm": True, "residual": True, "skip": True, "embedding": 3, "activation": "softsign"},
]


ROUNDS: list[dict[str, object]] = [
    {"mogrifier": 5, "embedding": 4},
    {"mogrifier": 2, "embedding": 12, "layer_norm": True, "zoneout_h": 0.2},
]


@pytest.mark.parametrize(
    ("cell", "options"),
    [*((cell, options) for cell in CELL_NAMES for options in OPTIONS)]
    + [("lstm", options) for options in ROUNDS],
)
def test_the_program_of_the_page_computes_what_we_do(
    tmp_path: Path, cell: str, options: dict[str, object]
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    corpus = small_corpus()
    config = plain_model(vocab_size=len(corpus.vocab), cell=cell, hidden=10, layers=3, **options)  # type: ignore[arg-type]
    model, rng = Model(config), np.random.default_rng(3)
    drawn = rng.normal(size=model.count()).astype(np.float32) * 0.4
    place = 0
    for tensor in model.parameters.tensors:
        size = int(np.prod(tensor.disk_shape))
        array = np.resize(drawn[place:], size).reshape(tensor.disk_shape)
        tensor.from_disk(array.astype(np.float32), model.parameters[tensor.name])
        place += tensor.count
    model.hold_zeros()
    save(tmp_path / "a", Trained(model, corpus.vocab, corpus.config))
    program: dict[str, object] = {}
    exec(page_program(), program)
    ids = corpus.ids[:40].astype(np.int64)
    with torch.no_grad():
        found = program["logits"](str(tmp_path / "a"), torch.from_numpy(ids))  # type: ignore[operator]
        losses = torch.nn.functional.cross_entropy(
            found[:-1], torch.from_numpy(ids[1:]), reduction="none"
        )
    wanted = charrnn.evaluate(load(tmp_path / "a").model, ids).losses
    np.testing.assert_allclose(losses.numpy(), wanted, rtol=2e-4, atol=2e-4)


def test_the_second_bias_of_pytorch_is_there_and_zero(tmp_path: Path) -> None:
    save(tmp_path / "a", small_run(small_corpus()).trained)
    with safe_open(tmp_path / "a", framework="numpy") as file:
        assert json.loads(file.metadata()["charrnn"])["format_version"] == 4
        assert not file.get_tensor("rnn.bias_hh_l0").any()
