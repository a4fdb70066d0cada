"""A memory of what was read: against the equation, and blind to what comes later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import charrnn
from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.cli.main import cli
from charrnn.config import CorpusConfig, MemoryConfig
from charrnn.errors import ConfigError, CorpusError
from charrnn.evaluation import evaluate as evaluation
from charrnn.evaluation import memory
from charrnn.evaluation.evaluate import evaluate
from charrnn.evaluation.memory import evaluate_with_memory
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.vocab import Vocab
from tests.reference.small import plain_model, small_corpus, small_run, trained
from tests.reference.trust import by_trust

SYMBOLS = 7
VOCAB = Vocab(tuple("abcdefg"))


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.initialized(plain_model(vocab_size=SYMBOLS, hidden=20, layers=2), 3)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(SYMBOLS, size=count).astype(np.uint8)


def by_the_equation(models: Sequence[Model], ids: np.ndarray, config: MemoryConfig) -> np.ndarray:
    """One character after the other, in float64."""
    read = [read_once(model, ids) for model in models]
    losses = []
    for t in range(len(ids) - 1):
        sums = np.mean([alike_at(t, outputs, ids, config) for _, outputs in read], axis=0)
        root = np.sqrt(sums[1])
        share = root / (root + memory.CAUTIONS)
        known = sums[0] / sums[1] if t else 0.0
        own = np.mean([p[t] for p, _ in read])
        losses.append(-np.log((1 - share) * own + share * known))
    return by_trust(np.array(losses).T, ids[:-1])


def read_once(model: Model, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probability of each character, and the output before it."""
    count = len(ids) - 1
    network = Network(model, count, 1, Workers(1))
    x, y = (part.astype(np.int32)[:, None] for part in (ids[:-1], ids[1:]))
    own = np.exp(-network.evaluate(x, y, State(model, 1))[:, 0].astype(np.float64))
    outputs = network.layers[-1].out[:count, 0].astype(np.float16).astype(np.float64)
    return own, outputs


def alike_at(t: int, outputs: np.ndarray, ids: np.ndarray, config: MemoryConfig) -> list[float]:
    """How alike the places before t are: those with the same next character, and all."""
    first = max(0, t - config.memory_size)
    block = t // memory.TOGETHER * memory.TOGETHER
    keys = outputs[first : t + 1] - (outputs[:block].mean(axis=0) if block else 0)
    keys /= np.linalg.norm(keys, axis=1)[:, None]
    alike = np.exp(config.memory_sharpness * (keys[:-1] @ keys[-1] - 1))
    return [alike[ids[first + 1 : t + 1] == ids[t + 1]].sum(), alike.sum()]


@pytest.mark.parametrize("size", [1, 30, 4000])
def test_it_is_the_equation(model: Model, size: int) -> None:
    config = MemoryConfig(memory_size=size, memory_sharpness=7.0)
    ids = drawn(700)
    found = evaluate_with_memory(model, ids, config).losses
    np.testing.assert_allclose(found, by_the_equation([model], ids, config), atol=2e-4)


def test_an_ensemble_remembers_with_each_network(model: Model) -> None:
    other = Model.initialized(plain_model(cell="gru", vocab_size=SYMBOLS, hidden=9, layers=1), 4)
    config, ids = MemoryConfig(memory_sharpness=7.0), drawn(700)
    found = evaluate_with_memory([model, other], ids, config).losses
    np.testing.assert_allclose(found, by_the_equation([model, other], ids, config), atol=2e-4)
    alone = Mixture([Trained(each, VOCAB, CorpusConfig()) for each in (model, model)], [0.3, 0.7])
    np.testing.assert_allclose(
        evaluate_with_memory(alone, ids, config).losses,
        evaluate_with_memory(model, ids, config).losses,
        atol=1e-6,
    )


def test_no_character_is_known_before_it_comes(model: Model) -> None:
    ids = drawn(3000)
    losses = evaluate_with_memory(model, ids).losses
    for place in (5, 700, 2500):
        other = ids.copy()
        other[place] = (other[place] + 1) % SYMBOLS
        changed = evaluate_with_memory(model, other).losses
        np.testing.assert_array_equal(changed[: place - 1], losses[: place - 1])
        assert changed[place - 1] != losses[place - 1]


def test_no_source_is_predicted_better_than_its_entropy(model: Model) -> None:
    """Independent characters: a memory that peeked would go below log 7."""
    ids = drawn(20_000)
    losses, plain = evaluate_with_memory(model, ids).losses, evaluate(model, ids).losses
    assert losses.mean() > np.log(SYMBOLS) - 0.01
    assert losses[1000:].mean() < plain[1000:].mean() + 0.01, "it keeps no say where it is no use"


def test_what_returns_is_remembered(model: Model) -> None:
    page = drawn(900)
    twice = np.concatenate([page, page])
    with_it, without = evaluate_with_memory(model, twice), evaluate(model, twice)
    assert with_it.losses[910:].mean() < 0.9 * without.losses[910:].mean()
    assert with_it.characters == without.characters == 1799


def test_threads_and_an_opening(model: Model) -> None:
    ids = drawn(5000)
    told: list[tuple[int, int]] = []
    evaluate_with_memory(model, ids, progress=lambda *at: told.append(at))
    assert told == sorted(told) and told[-1] == (2 * 4999, 2 * 4999) and len(told) > 2
    workers = [Workers(count, processors=count) for count in (1, 3)]
    one, three = (evaluate_with_memory(model, ids, workers=each).losses for each in workers)
    np.testing.assert_array_equal(one, three)
    corpus = small_corpus()
    run = small_run(corpus)
    trained(run, corpus)
    opening = run.trained.opening
    found = evaluate_with_memory(run.result, corpus.validation, openings=[opening])
    plain = evaluate(run.result, corpus.validation, openings=[opening])
    assert found.characters == plain.characters == len(corpus.validation)
    assert found.losses[0] == pytest.approx(plain.losses[0], rel=1e-6)


def test_errors(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LONGEST", 100)
    with pytest.raises(CorpusError, match="of 100 at most"):
        evaluate_with_memory(model, drawn(200))
    with pytest.raises(ConfigError, match="memory_size"):
        MemoryConfig(memory_size=0)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, path = small_corpus(), tmp_path / "net.safetensors"
    run = small_run(corpus)
    trained(run, corpus)
    charrnn.save(path, run.trained)
    (tmp_path / "text").write_text("fall all all fall " * 9)
    command = ["eval", str(path), str(tmp_path / "text"), "--unknown", "skip"]
    plain = CliRunner().invoke(cli, [*command, "--memory-size", "5"])
    assert plain.exit_code == 2 and "applies to a memory: add --memory" in plain.stderr
    result = CliRunner().invoke(cli, [*command, "--memory", "--memory-size", "300", "--json"])
    assert result.exit_code == 0, result.output
    about = json.loads(result.stdout)
    assert about["memory"]["size"] == 300 and about["memory"]["sharpness"] == 17
    assert about["memory"]["nats_per_char"] < about["nats_per_char"]
    shown = CliRunner().invoke(cli, [*command, "--memory", "--ensemble", str(path)])
    assert "  with a memory  " in shown.stdout
    monkeypatch.setattr(memory, "LONGEST", about["characters"] - 1)
    monkeypatch.setattr(evaluation, "evaluate", None)  # it is told before any work
    long = CliRunner().invoke(cli, [*command, "--memory"])
    assert long.exit_code == 1 and "at most" in long.stderr
