from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from charrnn.cli.main import cli
from charrnn.config.settings import CELL_NAMES
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.optim.optimizers import OPTIMIZERS, new_slots
from charrnn.optim.rotation import Rotation
from charrnn.runtime.threads import Workers
from charrnn.training.memory_estimate import memory_estimate
from tests.reference.small import TEXT, adam, plain_model, small_corpus, small_run


def _bytes_of(value, seen):
    """All memory of the arrays below an object, each block counted once."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        return _bytes_of(value.base, seen) if isinstance(value.base, np.ndarray) else value.nbytes
    if isinstance(value, dict):
        return sum(_bytes_of(item, seen) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_bytes_of(item, seen) for item in value)
    ours = type(value).__module__.startswith("charrnn.")
    return sum(_bytes_of(item, seen) for item in vars(value).values()) if ours else 0


def _found(config, train, starts=None):
    """Bytes of a network that has made a step, of the optimiser's slots and buffers, and of nothing
    that is there once a thread.
    """
    model, shape = Model(config), (train.seq_length, train.batch_size)
    network, state, ids = (
        Network(model, *shape, Workers(1), training=True),
        State(model, shape[1]),
        np.zeros(shape, np.int32),
    )
    network.gradients(ids, ids, state, 1, starts)
    slots, scratch = new_slots(train.optimizer, config), [*network.weight_gradients.scratch]
    held = [network, state, slots]
    if OPTIMIZERS[train.optimizer].rotates:
        arrays = model.parameters, network.gradient, slots
        held.append(rotation := Rotation(*arrays, network.panels.arithmetic, network.workers))
        scratch += [array for arrays in rotation.scratch for array in arrays]
    average = (train.average > 0) * network.gradient.flat.nbytes
    return _bytes_of(held, set()) - sum(array.base.nbytes for array in scratch) + average


SETTINGS = {
    "plain": {},
    "residual": {"residual": True, "dropout": 0.3},
    "embedded": {"embedding": 48, "dropout": 0.3, "input_dropout": 0.2},
    "normal": {"layer_norm": True},
    "skip": {"skip": True, "dropout": 0.3},
    "locked": {"dropout": 0.3, "locked_dropout": True},
    "zoneout": {"zoneout_h": 0.2, "zoneout_c": 0.1},
    "recurrent": {"recurrent_dropout": 0.3},
    "everything": {
        **{
            "residual": True,
            "embedding": 7,
            "dropout": 0.3,
            "input_dropout": 0.2,
            "recurrent_dropout": 0.3,
        },
        **{"zoneout_h": 0.2, "zoneout_c": 0.1},
    },
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(("layers", "hidden", "batch_size"), [(1, 200, 8), (3, 70, 33)])
def test_the_estimate_is_what_a_network_takes(layers, hidden, batch_size, cell, setting):
    shape = {"vocab_size": 90, "layers": layers, "hidden": hidden, "dropout": 0.0}
    config = plain_model(cell=cell, **(shape | SETTINGS[setting]))
    train = adam(batch_size=batch_size, seq_length=50)
    assert memory_estimate(config, train) == pytest.approx(_found(config, train), rel=0.01)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_documents_take_memory_too(cell):
    config = plain_model(vocab_size=90, layers=3, hidden=70, cell=cell, dropout=0.2)
    train = adam(batch_size=33, seq_length=50)
    starts = np.zeros((50, 33), np.bool_)
    starts[3, 7] = True
    found = _found(config, train, starts)
    assert memory_estimate(config, train, documents=True) == pytest.approx(found, rel=0.01)
    assert memory_estimate(config, replace(train, reset_every=100)) == memory_estimate(
        config, train, documents=True
    )
    assert memory_estimate(config, train) < 0.99 * found


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adadelta", "soap"])
def test_an_optimizer_has_its_slots(optimizer):
    config, train = (
        plain_model(vocab_size=90, hidden=200),
        adam(optimizer=optimizer, batch_size=4, seq_length=10),
    )
    assert memory_estimate(config, train) == pytest.approx(_found(config, train), rel=0.01)


def test_a_network_that_does_not_fit_is_not_begun(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sea.txt").write_text(TEXT)
    monkeypatch.setattr("charrnn.training.memory_estimate.memory_size", lambda: 10**9)
    for flags in (["--steps", "2"], ["--for", "5s"]):
        command = ["train", "sea.txt", "--hidden", "4000", *flags]
        result = CliRunner().invoke(cli, command, prog_name="charrnn")
        assert result.exit_code == 1 and not Path("checkpoints").exists()
        assert "error: out of memory (training 2 x 4000 units needs " in result.stderr
        assert "GB, of 1.0); use a smaller network" in result.stderr
    assert small_run(small_corpus()).step == 0
