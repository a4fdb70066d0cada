"""The source of model.py: well-formed, formatted, and free of what others could put into it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import charrnn
from charrnn.checkpoint.mixture import Mixture
from charrnn.config.settings import CELL_NAMES
from charrnn.errors import ConfigError, ExportError
from charrnn.export.torch_source import chosen_lines, literal, source_of
from charrnn.export.torch_weights import tensors_for_torch
from charrnn.text.vocab import Vocab
from tests.reference.drawn import ROUNDS, drawn_mixture, drawn_network
from tests.reference.torch_options import CORPORA, OPTIONS


def test_lines_are_chosen_by_their_conditions() -> None:
    template = "a\nb  #? x\nc  #? !x\nd  #? x|y z\n#[ y\ne\nf  #? z\n#[ x\ng\n#]\n#]\nh\n"
    assert chosen_lines(template, {"x", "z"}) == "a\nb\nd\nh\n"
    assert chosen_lines(template, {"y"}) == "a\nc\ne\nh\n"
    assert chosen_lines(template, {"x", "y"}) == "a\nb\ne\ng\nh\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        r"\n+'",
        r"\n\\",
        "\\",
        "'",
        '"',
        "'\"",
        '""\'',
        "\\n",
        "\n\t\x00\x1b",
        "é\u2028\U0001f600",
        "\ud800",
    ],
)
def test_a_literal_is_ascii_and_the_same_text(text: str) -> None:
    assert literal(r"\n+") == 'r"\\n+"'
    assert literal(text).isascii() and ast.literal_eval(literal(text)) == text


def test_every_source_is_formatted_and_has_no_flaws(tmp_path: Path) -> None:
    """As ruff formats by default, in lines of 88 columns, and checks by default and more."""
    number = count()
    for cell in CELL_NAMES:
        for options in OPTIONS.values():
            source = source_of(drawn_mixture(1, cell=cell, **options))
            (tmp_path / f"{next(number)}.py").write_text(source, "utf-8")
        source = source_of(drawn_mixture(2, cell=cell))
        assert "K = 2" in source
        (tmp_path / f"{next(number)}.py").write_text(source, "utf-8")
        for corpus in CORPORA.values():
            vocab = Vocab(("\n", "a", "\x1b", "<unk>"), corpus.unit, 3)
            source = source_of(drawn_mixture(1, cell=cell, vocab=vocab, corpus=corpus))
            assert "#?" not in source and "$" not in source.replace(")$", "")
            (tmp_path / f"{next(number)}.py").write_text(source, "utf-8")
    for rounds in ROUNDS:
        for settings in (rounds, rounds | {"attention": 48}):
            source = source_of(drawn_mixture(1, **settings))
            assert f"R = {rounds['mogrifier']} " in source
            (tmp_path / f"{next(number)}.py").write_text(source, "utf-8")
    ruff = [str(Path(sys.executable).parent / "ruff")]
    rules = "--select=E,F,W,I,UP,SIM,C4,RUF,PTH"
    for command in (["format", "--isolated", "--diff"], ["check", "--isolated", rules]):
        result = subprocess.run([*ruff, *command, str(tmp_path)], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-500:]


def test_what_is_not_needed_is_not_there() -> None:
    plain = source_of(drawn_mixture(1))
    assert "nn.LSTM(E, H, L)" in plain
    for word in (
        "class Layer",
        "rounds",
        "SEPARATOR",
        "UNKNOWN",
        "layer_norm",
        "one_hot",
        "HARMFUL",
        "bytes",
    ):
        assert word not in plain, word
    assert len(plain.splitlines()) < 180


def test_control_characters_reach_a_terminal_only_escaped() -> None:
    assert "isatty" in source_of(Mixture.of(drawn_network("ab\x1b")))
    assert "isatty" not in source_of(Mixture.of(drawn_network("ab\n\té")))
    assert "isatty" in source_of(drawn_mixture(1, vocab=Vocab(("a", "\xc3"), "byte"), starts=1))


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_parameter_travels(cell: str) -> None:
    trained = drawn_network(cell=cell, skip=True)
    tensors = tensors_for_torch(Mixture.of(trained))
    starts = {name: tensors.pop(name) for name in [*tensors] if name.startswith("start_")}
    spare = 0  # PyTorch has more biases than are trained
    if cell in ("lstm", "gru-after", "rnn"):
        spare = {"lstm": 4, "gru-after": 2, "rnn": 1}[cell] * 11 * 2
    blocked = 0  # that of a clockwork RNN may be zero
    if cell == "clockwork":
        blocked = sum(int((tensors[f"layers.{k}.recurrent.weight"] == 0).sum()) for k in (0, 1))
    assert sum(array.size for array in tensors.values()) - spare - blocked == trained.model.count()
    assert starts["start_ids"].tolist() == [0, 1, 2]
    assert starts["start_h"].shape == (2, 3, 11)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_the_matrices_of_the_rounds_travel(rounds: int) -> None:
    """Those of odd rounds read h (H,) and scale x (E,), the others the other way round."""
    trained = drawn_network(mogrifier=rounds)
    tensors, disk = tensors_for_torch(Mixture.of(trained)), dict(trained.model.parameters.to_disk())
    names = [name for name in tensors if ".rounds." in name]
    assert names == [f"layers.0.rounds.{k}.weight" for k in range(rounds)]
    for number, name in enumerate(names, 1):
        assert tensors[name].shape == ((5, 11) if number % 2 else (11, 5))
        np.testing.assert_array_equal(tensors[name], disk[f"rnn.weight_m{number}_l0"])
    starts = sum(array.size for name, array in tensors.items() if name.startswith("start_"))
    assert sum(array.size for array in tensors.values()) - starts == trained.model.count()


def test_a_folder_has_the_files_and_the_vocabulary_is_a_list(tmp_path: Path) -> None:
    paths = charrnn.export_pytorch(drawn_network(), tmp_path / "new" / "net")
    names = ["model.py", "model.safetensors", "vocabulary.json", "README.md"]
    assert [path.name for path in paths] == names
    assert json.loads(paths[2].read_text()) == list(drawn_network().vocab.symbols)
    first = [path.read_bytes() for path in paths]
    again = charrnn.export_pytorch(drawn_network(), tmp_path / "new" / "net", force=True)
    assert [path.read_bytes() for path in again] == first


def test_other_files_are_safe(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ExportError, match=r"not empty.*`force`"):
        charrnn.export_pytorch(drawn_network(), tmp_path)
    with pytest.raises(ExportError, match="not a folder"):
        charrnn.export_pytorch(drawn_network(), tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize("cell", ["lstm", "gru", "grid"])
def test_every_parameter_of_several_networks_travels(cell: str) -> None:
    networks = drawn_mixture(3, cell=cell)
    tensors = tensors_for_torch(networks)
    for number, network in enumerate(networks):
        for name, array in tensors_for_torch(Mixture.of(network)).items():
            np.testing.assert_array_equal(tensors.pop(f"members.{number}.{name}"), array)
    assert not tensors


def test_a_mixture_of_one_network_is_that_network(tmp_path: Path) -> None:
    network = drawn_network()
    files = [
        [path.read_bytes() for path in charrnn.export_pytorch(each, tmp_path / name / "net")]
        for name, each in (("a", network), ("b", Mixture([network])))
    ]
    assert files[0] == files[1]
    with pytest.raises(ConfigError, match="must be a Trained or several, not str"):
        charrnn.export_pytorch("net", tmp_path)  # type: ignore[arg-type]
