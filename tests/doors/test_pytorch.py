"""`charrnn export --to pytorch`: model.py has the losses of charrnn, for every cell and option."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import charrnn
from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import CorpusConfig
from charrnn.config.settings import CELL_NAMES
from charrnn.export.card import visible
from charrnn.text.documents import resets
from charrnn.text.vocab import Vocab
from tests.reference.drawn import (
    ROUNDS,
    SYMBOLS,
    chances_at,
    drawn_mixture,
    drawn_network,
    drawn_text,
)
from tests.reference.torch_options import OPTIONS

Networks = Trained | Mixture
numbers = itertools.count()
torch.set_num_threads(1)  # two would wait for each other most of the time


def exported(trained: Networks, folder: Path) -> ModuleType:
    charrnn.export_pytorch(trained, folder)
    spec = importlib.util.spec_from_file_location(f"exported_{next(numbers)}", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def loss_here(trained: Networks, text: str | bytes) -> charrnn.Evaluation:
    networks = Mixture.of(trained)
    ids = trained.vocab.encode(text, "error" if trained.vocab.unknown is None else "fold")
    pattern = trained.corpus_config.document_separator
    starts = None if pattern is None else resets(ids, trained.vocab, pattern)
    openings = [network.opening for network in networks]
    return charrnn.evaluate(networks, ids, starts=starts, openings=openings)


def check(trained: Networks, folder: Path, text: str | bytes) -> ModuleType:
    module = exported(trained, folder)
    wanted = loss_here(trained, text)
    losses = module.evaluate(module.load(), text)
    np.testing.assert_allclose(losses.numpy(), wanted.losses, atol=2e-4)
    assert abs(losses.double().mean().item() - wanted.nats_per_char) < 1e-5
    return module


@pytest.mark.parametrize(
    "settings",
    [
        {"attention": 48, "layer_norm": True},
        {"attention": 16, "skip": True, "residual": True},
        {"attention": 176, "embedding": 0, "cell": "gru"},
        {"attention": 32, "cell": "grid", "zoneout_h": 0.1},
        {"attention": 48, "mogrifier": 5, "layer_norm": True},
    ],
)
@pytest.mark.parametrize("pattern", [None, r"\n\n+"])
@pytest.mark.parametrize("count", [1, 2])
def test_attention(
    settings: dict[str, Any], pattern: str | None, count: int, tmp_path: Path
) -> None:
    """The loss is ours, in one stream and in several, and so is what it writes at temperature 0."""
    corpus = CorpusConfig(document_separator=pattern)
    networks = drawn_mixture(count, corpus=corpus, starts=1, **settings)
    for network in networks:
        network.model.parameters["attention.bias"][:] -= 0.2
    module = check(networks[0] if count == 1 else networks, tmp_path, drawn_text(5000, "\n\n.abc"))
    config = charrnn.SamplingConfig(length=300, temperature=0, precision="float32")
    network, prime = module.load(), "ab\n\nc" * 30
    wanted = "".join(charrnn.generate(networks, prime, config))
    assert module.sample(network, prime, length=300, temperature=0) == wanted

    if pattern is None:  # the draws at a low temperature are from what ours are drawn from
        ids = module.encode(prime)
        read = torch.tensor([int(network.start_ids[0]), *ids])[:, None]
        logits, *_ = network(read, *network.start(), 0.3)
        found = torch.softmax(logits[-1, 0] / 0.3, 0).detach().numpy()
        np.testing.assert_allclose(found, chances_at(0.3, networks, np.array(ids)), atol=1e-5)
        drawn = [module.sample(network, prime, 1, 0.3, seed) for seed in range(300)]
        shares = np.array([drawn.count(symbol) / 300 for symbol in module.SYMBOLS])
        assert abs(shares - found).max() < 0.1


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_the_loss_is_ours(cell: str, option: str, tmp_path: Path) -> None:
    check(drawn_network(cell=cell, **OPTIONS[option]), tmp_path, drawn_text(400))


@pytest.mark.parametrize("settings", ROUNDS)
@pytest.mark.parametrize("count", [1, 2])
def test_the_rounds_of_a_mogrifier(count: int, settings: dict[str, Any], tmp_path: Path) -> None:
    """Also of two networks; without the rounds the losses would be others."""
    networks = drawn_mixture(count, starts=1, **settings)
    text, config = (
        drawn_text(3000),
        charrnn.SamplingConfig(length=60, temperature=0, precision="float32"),
    )
    module = check(networks, tmp_path, text)
    network, wanted = module.load(), "".join(charrnn.generate(networks, "abc", config))
    assert module.sample(network, "abc", length=60, temperature=0) == wanted
    before = module.evaluate(network, text)
    for name, matrix in network.named_parameters():
        matrix.data *= ".rounds." not in name
    assert abs(module.evaluate(network, text) - before).max() > 0.01


@pytest.mark.parametrize("pattern", [None, r"\n\n+"])
@pytest.mark.parametrize(
    ("count", "cell", "option"), [(2, "lstm", "plain"), (3, "gru", "skip"), (2, "grid", "zoneout")]
)
def test_several_networks_together(
    count: int, cell: str, option: str, pattern: str | None, tmp_path: Path
) -> None:
    """The loss is ours, in one stream and in several, and so is what they write at temperature 0;
    softmax gives the mean of the probabilities.
    """
    corpus = CorpusConfig(document_separator=pattern)
    networks = drawn_mixture(count, cell=cell, corpus=corpus, starts=1, **OPTIONS[option])
    module = check(networks, tmp_path, drawn_text(3000, "\n\n.abc"))
    network, config = (
        module.load(),
        charrnn.SamplingConfig(length=60, temperature=0, precision="float32"),
    )
    wanted = "".join(charrnn.generate(networks, "ab\n\nc", config))
    assert module.sample(network, "ab\n\nc", length=60, temperature=0) == wanted
    ids, state = torch.tensor([[3], [5]]), network.start()
    logits, *after = network(ids, *state)
    assert [each.shape for each in after] == [each.shape for each in state]
    states = zip(*(each.chunk(count) for each in state), strict=True)
    alone = [each(ids, *own)[0] for each, own in zip(network.members, states, strict=True)]
    mean = torch.stack([each.softmax(-1) for each in alone]).mean(0)
    torch.testing.assert_close(logits.softmax(-1), mean)
    torch.testing.assert_close(logits.exp(), mean)


@pytest.mark.parametrize("cell", ["lstm", "gru", "clockwork", "depth-gated"])
@pytest.mark.parametrize("length", [2047, 2048, 5000])
def test_long_texts_are_read_in_the_same_parts(cell: str, length: int, tmp_path: Path) -> None:
    trained = drawn_network(cell=cell, layer_norm=cell == "lstm")
    check(trained, tmp_path, drawn_text(length))


@pytest.mark.parametrize("length", [2048, 2049, 4096])
def test_parts_that_are_as_long_as_attention_reaches(length: int, tmp_path: Path) -> None:
    check(drawn_network(attention=1024), tmp_path, drawn_text(length))


@pytest.mark.parametrize("length", [1, 2])
def test_the_first_character_counts(length: int, tmp_path: Path) -> None:
    """It is predicted from the first of the states that a text may start from."""
    check(drawn_network(), tmp_path, drawn_text(length))


@pytest.mark.parametrize("cell", ["lstm", "gru-after", "grid"])
@pytest.mark.parametrize("pattern", [r"\n", r"\n\n+", r"\.\n|\n+", r"\n(?=[a-c])", r"(?m)^$"])
def test_documents_begin_with_a_zero_state(cell: str, pattern: str, tmp_path: Path) -> None:
    trained = drawn_network(cell=cell, corpus=CorpusConfig(document_separator=pattern))
    text = drawn_text(3000, "\n\n\n.abc")
    module = check(trained, tmp_path, text)
    ids = trained.vocab.encode(text)
    assert module.reset_places(ids.tolist()) == resets(ids, trained.vocab, pattern).tolist()


@pytest.mark.parametrize(
    ("symbols", "pattern"),
    [
        ("'\"\nab\\\x1b", "'\"\n\\\\|\"'|\x1b"),
        ("\n a\u00b2\u0301", r"[^\w\n]"),
        ("\n a\u00b2\u0301", r"\n(?=\w)"),
    ],
)
def test_a_separator_can_hold_any_character(symbols: str, pattern: str, tmp_path: Path) -> None:
    """Also one that Python's `re` takes for another kind than charrnn."""
    trained = drawn_network(symbols, CorpusConfig(document_separator=pattern))
    check(trained, tmp_path, drawn_text(500, symbols))


def test_bytes(tmp_path: Path) -> None:
    symbols = sorted(set("né\n a".encode()))
    vocab = Vocab(tuple(map(chr, symbols)), "byte")
    trained = drawn_network(vocab=vocab, cell="gru-after")
    module = check(trained, tmp_path, "né a\n".encode() * 30 + b"\xc3")
    assert module.decode(module.encode("né")) == "né"
    assert "\ufffd" in module.sample(module.load(), "n", length=300, temperature=3)
    with pytest.raises(ValueError, match=r"not in the vocabulary: \['b'\]"):
        module.encode("b")


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_the_unknown_symbol_is_read_and_never_written(unit: str, tmp_path: Path) -> None:
    vocab = Vocab(("a", "<unk>", "b", "\n"), unit, 1)
    corpus = CorpusConfig(unit=unit, document_separator=r"\n|\ufffd\ufffd")
    trained = drawn_network(vocab=vocab, corpus=corpus, cell="gru")
    module = check(trained, tmp_path, drawn_text(500, "abxyz\n"))
    assert set(module.sample(module.load(), "x", length=500, temperature=9)) == set("ab\n")
    assert set(module.sample(module.load(), "x", temperature=float("inf"))) == set("ab\n")
    assert module.decode(module.encode("ax")) == "a\ufffd"


def test_a_sample_begins_where_a_text_may_begin(tmp_path: Path) -> None:
    """At temperature 0 it is that of charrnn, from the same start; with documents, through them."""
    for name, separator in (("book", None), ("names", "c"), ("ahead", r"\.|[ab](?=[c-h])")):
        trained = drawn_network(corpus=CorpusConfig(document_separator=separator), starts=1)
        module = exported(trained, tmp_path / name)
        config = charrnn.SamplingConfig(length=60, temperature=0, precision="float32")
        for prime in ("", "abc", "."):
            wanted = "".join(charrnn.generate(trained, prime, config))
            written = module.sample(module.load(), prime, length=60, temperature=0)
            assert written == wanted.removeprefix(prime)


def test_the_seed_chooses_the_start_and_the_draws(tmp_path: Path) -> None:
    module = exported(drawn_network(), tmp_path)
    network = module.load()
    assert network.start_ids.tolist() == [0, 1, 2]
    texts = [module.sample(network, length=40, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    counts = [module.sample(network, length=1, temperature=0, seed=k) for k in range(20)]
    assert len(set(counts)) > 1
    assert module.sample(network, "ab", length=0) == ""


def test_draws_follow_the_distribution(tmp_path: Path) -> None:
    module = exported(drawn_network(starts=1), tmp_path)
    network = module.load()
    logits, *_ = network(torch.tensor([[0]]), *network.start())
    wanted = torch.softmax(logits[-1, 0] / 2, 0)
    drawn = "".join(module.sample(network, length=1, temperature=2, seed=k) for k in range(2000))
    shares = torch.tensor([drawn.count(symbol) / 2000 for symbol in SYMBOLS])
    assert (shares - wanted).abs().max() < 0.04


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_a_part_of_a_text_is_read_from_a_zero_state(tmp_path: Path) -> None:
    """As `charrnn eval` reads the validation part: its first character is not predicted."""
    for name, pattern in (("book", None), ("names", r"\n"), ("ahead", r"\n(?=a)")):
        trained = drawn_network(corpus=CorpusConfig(document_separator=pattern))
        module, text = exported(trained, tmp_path / name), drawn_text(2500)
        ids = trained.vocab.encode(text)
        starts = None if pattern is None else resets(ids, trained.vocab, pattern)
        starts = starts if starts is None else starts[starts >= 0]
        wanted = charrnn.evaluate(trained.model, ids, starts=starts)
        losses = module.evaluate(module.load(), text, begins=False)
        assert len(losses) == wanted.characters == 2499
        assert abs(losses.double().mean().item() - wanted.nats_per_char) < 1e-5


@pytest.mark.parametrize("name", ["a: 'b' #\n- c", '"\\x\x85\ufeff\udcff`', "é\U0001f600\x1b"])
def test_a_reader_of_yaml_gets_what_stands_in_the_card(name: str, tmp_path: Path) -> None:
    trained = drawn_network()
    text = charrnn.Text(name, 5)
    trained = replace(trained, origin=replace(trained.origin, texts=(text,)))
    card = charrnn.Card(license=name, sample="---\n```\n")
    charrnn.export_pytorch(trained, tmp_path / "a:'b", card=card)
    _, head, _ = (tmp_path / "a:'b" / "README.md").read_text("utf-8").split("---\n", 2)
    about = yaml.safe_load(head)
    assert about["license"] == visible(name) and about["library_name"] == "pytorch"
    (result,) = about["model-index"][0]["results"]
    assert about["model-index"][0]["name"] == "a:'b"
    assert result["dataset"]["name"] == visible(name)
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["cross-entropy"] == trained.origin.loss
    assert set(about["metrics"]) <= set(values)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """model.py as a program, from another folder."""
    command = [sys.executable, str(folder / "model.py"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=folder.parent, timeout=120, env=ONE_THREAD
    )


def test_as_a_program(tmp_path: Path) -> None:
    folder, text = tmp_path / "net", tmp_path / "text.txt"
    trained = drawn_network()
    charrnn.export_pytorch(trained, folder)
    text.write_bytes("\ufeffabc\r\nhgé\rabc".encode())
    result = run(folder, "--eval", str(text))
    wanted = loss_here(trained, "abc\nhgé\nabc")
    shown = f"{wanted.nats_per_char:.5f}"[:-1], f"{wanted.bits_per_char:.5f}"[:-1]
    assert result.returncode == 0, result.stderr
    assert all(number in result.stdout for number in (*shown, " 11 characters"))
    prime = run(folder, "--prime", "abc", "--length", "9", "--seed", "4", "--temperature", "0.5")
    assert prime.stdout.startswith("abc") and len(prime.stdout) == 13
    assert "not in the vocabulary: ['\\x1b', 'X']\n" in run(folder, "--prime", "X\x1b").stderr
    part = run(folder, "--eval", str(text), "--part", "4:8")
    assert part.stdout.endswith("3 characters\n")
    assert "No such file" in run(folder, "--eval", "none.txt").stderr


def test_how_a_text_is_decoded_travels_along(tmp_path: Path) -> None:
    corpus = CorpusConfig(
        encoding="latin-1", encoding_errors="replace", newlines="keep", normalize="NFC"
    )
    trained = drawn_network("abé\r\n", corpus)
    charrnn.export_pytorch(trained, tmp_path / "net")
    (tmp_path / "text.txt").write_bytes("aé\r\nb".encode("latin-1"))
    result = run(tmp_path / "net", "--eval", str(tmp_path / "text.txt"))
    wanted = loss_here(trained, "aé\r\nb").nats_per_char
    assert result.returncode == 0, result.stderr
    assert abs(float(result.stdout.split()[0]) - wanted) < 1e-5
    written = run(tmp_path / "net", "--prime", "be\u0301", "--length", "9")
    assert written.stdout.startswith("b\u00e9"), written.stderr


@pytest.mark.parametrize("count", [1, 2])
def test_the_page_shows_how_to_train_on(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(charrnn.__file__).parents[1] / "docs" / "doors.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n([^`]*import torch\n.*?)```", page, re.DOTALL)
    folder, text = tmp_path / "net", tmp_path / "data" / "plays.txt"
    text.parent.mkdir()
    text.write_text(drawn_text(8000, "abc\n"), "utf-8")
    module = exported(drawn_mixture(count, cell="gru-after"), folder)
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "model", module)
    names: dict[str, Any] = {}
    before = module.evaluate(module.load(), "abc" * 40).mean()
    exec(compile(code, "docs/doors.md", "exec"), names)
    assert module.evaluate(names["network"].eval(), "abc" * 40).mean() < before
