"""ONNX files, as far as that can be tested without the package onnx."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import charrnn
from charrnn import ConfigError, CorpusConfig, ExportError, Mixture, Model, Trained, Vocab
from charrnn.export.onnx import about_networks
from tests.reference.drawn import drawn_mixture
from tests.reference.small import plain_model


def untrained(**settings: Any) -> Trained:
    model = Model(plain_model(vocab_size=4, **({"hidden": 3} | settings)))
    return Trained(model, Vocab(("\n", "a", "é", "<unk>"), unknown=3), CorpusConfig())


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExportError, match=r"pip install 'charrnn-numba\[onnx\]'"):
        charrnn.export_onnx(untrained(), tmp_path / "network.onnx")
    assert not [*tmp_path.iterdir()]


def test_a_network_that_one_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    large = untrained(hidden=12000, layers=1)  # of whose memory no byte is touched
    with pytest.raises(ExportError, match=r"GiB of numbers.* export to pytorch"):
        charrnn.export_onnx(large, tmp_path / "network.onnx")
    coupled = untrained(cell="coupled", hidden=12000, layers=1)  # written as an LSTM
    with pytest.raises(ExportError, match="GiB of numbers"):
        charrnn.export_onnx(coupled, tmp_path / "network.onnx")
    half = untrained(hidden=6000, layers=2)
    with pytest.raises(ExportError, match=r"^2 networks, each .* GiB of numbers"):
        charrnn.export_onnx([half, half], tmp_path / "network.onnx")


def test_what_is_no_trained_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`trained` must be a Trained or several, not Model"):
        charrnn.export_onnx(untrained().model, tmp_path / "network.onnx")  # type: ignore[arg-type]


def test_the_description_has_all_that_a_program_needs() -> None:
    network = untrained(cell="gru")
    about = about_networks(Mixture.of(network))
    assert about["vocabulary"] == ["\n", "a", "é", "<unk>"] and about["unknown"] == 3
    assert about["start_ids"] == [0] and about["loss"] is None and about["model"]["cell"] == "gru"
    assert not about["document_separator"] and not about["texts"]
    assert about["networks"] == 1


@pytest.mark.parametrize(("unit", "said"), [("char", ("lf", "NFC")), ("byte", ("keep", "none"))])
def test_it_says_what_a_text_is_given_before_it_is_read(unit: Any, said: tuple[str, str]) -> None:
    corpus = CorpusConfig(unit=unit, newlines="lf", normalize="NFC")
    about = about_networks(drawn_mixture(1, vocab=Vocab(tuple("\nab"), unit), corpus=corpus))
    assert (about["newlines"], about["normalize"]) == said


def test_it_says_how_many_networks_there_are() -> None:
    about = about_networks(drawn_mixture(3))
    assert (about["networks"], about["step"], about["loss"]) == (3, 360, None)
    assert about["texts"] == [{"name": "made-up.txt", "characters": 3000}]
