"""Every gate and state, against the float64 reference and the bits of training."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn.checkpoint.trained import Trained
from charrnn.config.settings import CELL_NAMES, CorpusConfig
from charrnn.errors import (
    CheckpointError,
    ConfigError,
    CorpusError,
    DivergenceError,
    VocabError,
)
from charrnn.evaluation.evaluate import evaluate
from charrnn.inspection import trace as module
from charrnn.inspection.trace import Trace, trace
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.vocab import Vocab
from tests.reference import cells as reference
from tests.reference.small import let_overflow, plain_model, small_corpus, small_run

SYMBOLS = "\nabcdefghij"
EVERY_CELL = pytest.mark.parametrize("cell", CELL_NAMES)
OPTIONS: dict[str, Any] = {
    **{"activation": "softsign", "embedding": 3, "layer_norm": True, "residual": True},
    **{"skip": True, "zoneout_h": 0.3, "zoneout_c": 0.2, "dropout": 0.5},
}


def network(cell: str, separator: str | None = None, **settings: Any) -> Trained:
    """Three layers of random weights that bend every gate."""
    settings = {"cell": cell, "layers": 3, "hidden": 5, "vocab_size": len(SYMBOLS)} | settings
    model = Model(plain_model(**settings))
    model.parameters.from_disk(
        reference.random_parameters(np.random.default_rng(1), model.config)  # type: ignore[arg-type]
    )
    corpus_config = CorpusConfig(document_separator=separator)
    return Trained(model, Vocab(tuple(SYMBOLS)), corpus_config)


def text(T: int) -> np.ndarray:
    return np.random.default_rng(3).integers(len(SYMBOLS), size=T)


def by_reference(trained: Trained, ids: np.ndarray, starts: np.ndarray | None = None) -> Trace:
    """The trace of ids, all but the last of them, in float64."""
    config = trained.model.config
    parameters, zero = dict(trained.model.parameters.to_disk()), np.zeros((1, config.hidden))
    run = reference.forward(
        config, parameters, ids[:-1, None], ids[1:, None], [(zero, zero)] * config.layers, starts
    )

    def stacked(choose: Any) -> Any:
        rows = [[choose(step) for step in layers] for layers in run.steps]
        return (
            np.array([[each.data[0] for each in row] for row in rows])
            if rows[0][0] is not None
            else None
        )

    h, c = (
        np.array([[state[n][0] for state in layers] for layers in run.carried]) for n in range(2)
    )
    p = np.exp(run.logits[:, 0])
    first = run.steps[0][0]
    return Trace(
        trained=trained,
        ids=ids[:-1],
        gates={name: stacked(lambda s, name=name: s.gates[name]) for name in first.gates},
        h=h,
        c=c if config.cell in reference.HAS_MEMORY else None,
        m=stacked(lambda s: s.m),
        y=stacked(lambda s: s.y),
        probabilities=p / p.sum(axis=1, keepdims=True),
        losses=run.losses[:, 0],
        starts=np.empty(0, np.int64),
    )


def assert_close(found: Trace, wanted: Trace, skipped: int = 0) -> None:
    arrays = {name: array[skipped:] for name, array in arrays_of(wanted).items()}
    assert arrays.keys() == arrays_of(found).keys()
    for name, array in arrays_of(found).items():
        assert array.dtype == np.float32 and array.shape == arrays[name].shape, name
        np.testing.assert_allclose(array, arrays[name], atol=2e-5, err_msg=name)
    np.testing.assert_allclose(found.losses, wanted.losses[skipped:-1], atol=2e-5)


def arrays_of(trace: Trace) -> dict[str, np.ndarray]:
    others = "ids", "codes", "losses", "starts"
    return {name: array for name, array in trace.arrays().items() if name not in others}


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["plain", "options"])
@EVERY_CELL
def test_each_number_is_that_of_the_equations(cell: str, options: dict[str, Any]) -> None:
    trained, ids = network(cell, **options), text(21)
    found = trace(trained, ids[:-1])
    assert tuple(found.gates) == trained.model.cell.gates
    assert_close(found, by_reference(trained, ids))


@EVERY_CELL
def test_the_bits_are_those_of_training(cell: str) -> None:
    """In blocks, one of which is short; padded units are left out."""
    T, trained = 2 * module.STEPS + 3, network(cell, hidden=17)
    model, ids = trained.model, text(2 * module.STEPS + 4).astype(np.int32)
    found = trace(trained, ids[:-1])
    training = Network(model, T, 1, Workers(1), training=True)
    x, y = np.ascontiguousarray(ids[:-1, None]), np.ascontiguousarray(ids[1:, None])
    training.evaluate(x, y, State(model, 1))
    for index, layer in enumerate(training.layers):
        for block, (name, gate) in enumerate(found.gates.items()):
            of_gate = layer.z[:, 0, block * model.width :][:, :17]
            np.testing.assert_array_equal(gate[:, index], of_gate, err_msg=name)
        for states, its in (
            (found.h, layer.h[1:]),
            (found.c, layer.c[1:]),
            (found.m, layer.m),
            (found.y, layer.y),
        ):
            if states is not None:
                np.testing.assert_array_equal(states[:, index], its[:, 0, :17])
    np.testing.assert_array_equal(found.losses, training.losses[:-1, 0])
    training.gradients(x, y, state := State(model, 1), key=1)
    np.testing.assert_array_equal(found.losses, training.losses[:-1, 0])
    np.testing.assert_array_equal(found.h[-1], state.h[:, 0, :17])
    losses = evaluate(model, ids[:-1]).losses
    np.testing.assert_array_equal(found.losses, losses)


@pytest.mark.parametrize("is_first_empty", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "grid", "clockwork"])
def test_documents_begin_in_the_zero_state(cell: str, is_first_empty: bool) -> None:
    """The state that is then lost is shown, and the first document follows a separator."""
    trained, ids = network(cell, separator="\n"), text(41) % 6
    ids[0] = 0 if is_first_empty else 1
    found = trace(trained, ids[:-1])
    places = np.flatnonzero(ids[:-1] == 0)
    assert found.starts.tolist() == [n for n in places.tolist() if n > 0] and len(places) > 2
    read = np.append(np.zeros(1, ids.dtype), ids)
    assert_close(found, by_reference(trained, read, read[:-1, None] == 0), skipped=1)
    ahead = trace(network(cell, separator=r"\n(?=\w)"), ids[:-1])
    starts = np.zeros((40, 1), np.bool_)
    starts[ahead.starts] = True
    assert_close(ahead, by_reference(ahead.trained, ids, starts))
    assert 0 < len(ahead.starts) < len(places) and (ids[ahead.starts - 1] == 0).all()


def test_what_is_known_of_a_trace(tmp_path: Path) -> None:
    found = charrnn.trace(network("lstm"), "abba\ncab")
    assert found.text == "abba\ncab" and len(found) == 8 and found.ids.dtype == np.uint8
    assert repr(found).startswith("Trace(lstm 3 x 5, ") and "8 characters, " in repr(found)
    assert repr(found).endswith("gates i f g o, h c)")
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    p = found.probabilities[np.arange(7), found.ids[1:]]
    np.testing.assert_allclose(found.losses, -np.log(p), rtol=1e-5, atol=1e-6)
    found.save(tmp_path / "page.npz")
    with np.load(tmp_path / "page.npz", allow_pickle=False) as file:
        assert set(file) == {
            *("ids", "codes", "gate_i", "gate_f", "gate_g", "gate_o", "h", "c"),
            *("probabilities", "losses", "starts"),
        }
        for name, array in found.arrays().items():
            np.testing.assert_array_equal(file[name], array)
        assert "".join(map(chr, file["codes"][file["ids"]])) == found.text
    assert [path.name for path in tmp_path.iterdir()] == ["page.npz"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).h, found.h)
    one = trace(found.trained, "a")
    assert len(one.losses) == 0 and "nats" not in repr(one) and "1 character," in repr(one)
    with pytest.raises(CheckpointError, match="cannot write"):
        found.save(tmp_path / "missing" / "page.npz")


def test_a_trace_of_bytes_and_of_unknown_symbols() -> None:
    run = small_run(small_corpus("caf\u00e9 " * 50, unit="byte"))
    assert trace(run.trained, "caf\u00e9").text == "caf\xc3\xa9"
    with pytest.raises(VocabError, match="'x'"):
        trace(run.trained, "fax")
    assert trace(run.trained, "fax", unknown="skip").text == "fa"


def test_progress_reaches_the_end() -> None:
    calls: list[tuple[int, int | None]] = []
    trace(network("rnn"), text(600), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(256, 600), (512, 600), (600, 600)]


def test_a_text_that_does_not_fit_says_how_much_would(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = network("lstm")
    each = 4 * (6 * 3 * 5 + len(SYMBOLS))
    monkeypatch.setattr(module, "memory_size", lambda: 2 * each * 1000)
    assert len(trace(trained, text(1000))) == 1000
    with pytest.raises(CorpusError, match="trace at most 1,000 characters at a time"):
        trace(trained, text(1001))


def test_what_cannot_be_traced() -> None:
    run = small_run(small_corpus())
    with pytest.raises(ConfigError, match="attribute `trained`"):
        trace(run, "1")  # type: ignore[arg-type]
    with pytest.raises(CorpusError, match="at least 1 character"):
        trace(run.trained, "")
    with pytest.raises(VocabError, match="ids must be"):
        trace(run.trained, np.array([99]))
    trained = replace(network("lstm"))
    let_overflow(trained.model.parameters)
    with pytest.raises(DivergenceError, match="NaN or infinite"):
        trace(trained, "abc")
