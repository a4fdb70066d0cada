"""What a prediction hangs on, against derivatives in float64 and against shorter texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charrnn import CorpusConfig, Model, Trained, Vocab
from charrnn.config.settings import CELL_NAMES
from charrnn.errors import ConfigError
from charrnn.inspection.attribution import attribution
from charrnn.network.model import State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from tests.reference import cells as reference
from tests.reference.small import plain_model

VOCAB = Vocab(tuple("\nabcdef"))
TEXT = "abcafe\nbead\ndeaf\nface\n"


def network_of(cell: str = "lstm", separator: str | None = None, **settings: Any) -> Trained:
    config = plain_model(
        vocab_size=len(VOCAB), **({"cell": cell, "layers": 2, "hidden": 6} | settings)
    )
    model = Model.initialized(config, seed=1)
    rng = np.random.default_rng(2)
    for view in model.parameters.views.values():
        view *= 2
    model.parameters["decoder.bias"][: len(VOCAB)] = rng.normal(size=len(VOCAB))
    model.hold_zeros()
    return Trained(model, VOCAB, CorpusConfig(document_separator=separator))


def derivatives(trained: Trained, ids: Any, target: int) -> Any:
    """Of the last loss by each input, float64 (T, D), by the reference: every character has a row
    of its own in the table of embeddings, or of one-hot vectors.
    """
    config, parameters = trained.model.config, dict(trained.model.parameters.to_disk())
    V, H, T = config.vocab_size, config.hidden, len(ids)
    table = parameters.get("embedding.weight", np.eye(V))
    parameters["embedding.weight"] = table[ids]
    memory = parameters.get("rnn.memory.weight")
    if memory is not None:
        parameters["rnn.memory.weight"] = memory[ids]
    wide = replace(config, embedding=table.shape[1])
    x, y = np.arange(T)[:, None], np.append(ids[1:], target)[:, None]
    sums = []
    for steps in (T, T - 1):
        states = [(np.zeros((1, H)), np.zeros((1, H))) for _ in range(config.layers)]
        _, means, _ = reference.gradients(wide, parameters, x[:steps], y[:steps], states)
        sums.append({name: steps * mean for name, mean in means.items()})
    last = {name: sums[0][name] - sums[1][name] for name in sums[0]}
    by_input = last["embedding.weight"]
    if memory is None:
        return by_input
    by_memory = last["rnn.memory.weight"]
    if config.embedding:
        return np.concatenate([by_input, by_memory], axis=1)
    return by_input + by_memory @ memory.T


@pytest.mark.parametrize("embedding", [0, 5])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_derivatives_are_those_of_the_reference(cell: str, embedding: int) -> None:
    trained = network_of(cell, embedding=embedding, layer_norm=True, residual=True)
    ids = VOCAB.encode(TEXT)
    found = attribution(trained, TEXT, 12, reach=50)
    wanted = np.linalg.norm(derivatives(trained, ids[:12], int(ids[12])), axis=1)
    np.testing.assert_allclose(found.gradients, wanted, atol=2e-5 * wanted.max())
    assert found.first == 0 and found.target == ids[12]


def logprob(trained: Trained, text: str, target: str) -> float:
    """ln p of a character after a text, read from a zero state."""
    ids = VOCAB.encode(text + target).astype(np.int32)[:, None]
    network = Network(trained.model, len(text), 1, Workers(1))
    return -float(network.evaluate(ids[:-1], ids[1:], State(trained.model, 1))[-1, 0])


def test_characters_are_left_out_one_by_one() -> None:
    trained = network_of()
    found = attribution(trained, TEXT, 20, reach=18)
    assert found.first == 2 and found.logprob == logprob(trained, TEXT[:20], TEXT[20])
    for place in range(2, 20):
        left = TEXT[:place] + TEXT[place + 1 : 20]
        assert found.without[place - 2] == pytest.approx(logprob(trained, left, TEXT[20]), abs=1e-5)
    np.testing.assert_allclose(found.changes, found.logprob - found.without, atol=1e-6)
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    near = attribution(trained, TEXT, 20, reach=3)
    np.testing.assert_allclose(near.without, found.without[-3:], atol=1e-6)
    np.testing.assert_allclose(near.gradients, found.gradients[-3:], atol=1e-6)


def test_which_character_it_is_about() -> None:
    trained = network_of()
    found = attribution(trained, TEXT, len(TEXT), reach=4)
    assert found.target == found.probabilities.argmax()
    other = attribution(trained, TEXT, 5, character="f")
    assert other.target == VOCAB.index["f"] and len(other.gradients) == 5
    assert other.logprob == pytest.approx(logprob(trained, TEXT[:5], "f"), abs=1e-6)
    one = attribution(trained, TEXT, 1)
    assert np.isnan(one.without).all() and one.gradients[0] > 0


@pytest.mark.parametrize("separator", ["\n", "\n(?=[a-z])"])
def test_earlier_documents_have_no_part(separator: str) -> None:
    trained = network_of(separator=separator)
    found = attribution(trained, TEXT, 15, reach=50)
    begin = TEXT.index("\n", 8) + (separator != "\n")  # what is read first from the zero state
    assert found.first == begin
    assert found.logprob == pytest.approx(logprob(trained, TEXT[begin:15], TEXT[15]), abs=1e-5)
    first = attribution(trained, TEXT, 2, reach=50)
    before = "\n" if separator == "\n" else ""
    assert first.first == 0
    assert first.logprob == pytest.approx(logprob(trained, before + TEXT[:2], TEXT[2]), abs=1e-5)


def test_errors() -> None:
    trained = network_of()
    for at in (0, len(TEXT) + 1, -1):
        with pytest.raises(ConfigError, match="`at` must be 1 to 22"):
            attribution(trained, TEXT, at)
    with pytest.raises(ConfigError, match="`reach`"):
        attribution(trained, TEXT, 3, reach=0)
    with pytest.raises(ConfigError, match="`character` must be one"):
        attribution(trained, TEXT, 3, character="ab")
