import numpy as np
import pytest

from charrnn.config import ModelConfig, TrainConfig
from charrnn.memory import memory_estimate
from charrnn.model import Model
from charrnn.network import Network
from charrnn.workers import Workers


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
    return sum(_bytes_of(item, seen) for item in vars(value).values()) if hasattr(value, "__dict__") else 0


@pytest.mark.parametrize("embedding", [0, 48])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("layers", "hidden", "batch_size"), [(1, 200, 8), (3, 70, 33)])
def test_the_estimate_is_what_a_network_takes(layers, hidden, batch_size, dropout, embedding):
    config = ModelConfig(vocab_size=90, layers=layers, hidden=hidden, dropout=dropout, embedding=embedding)
    train = TrainConfig(batch_size=batch_size, seq_length=50)
    workers = Workers(1)
    network = Network(Model(config), train.seq_length, batch_size, workers, training=True)
    scratch = sum(array.base.nbytes for array in network.scratch)
    slots = 2 * network.gradient.flat.nbytes  # Adam's, which a run owns
    found = _bytes_of(network, set()) - scratch + slots
    assert memory_estimate(config, train) == pytest.approx(found, rel=0.05)
