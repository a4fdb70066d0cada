"""The network that ships: its format, its size, and its loss."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import charrnn
from charrnn.checkpoint.trained import load
from charrnn.cli.main import cli

HOME = Path(charrnn.__file__).parents[1]


def test_its_format_and_its_loss() -> None:
    path = charrnn.bundled_network()
    assert path.stat().st_size <= 2_200_000
    trained = load(path)  # of the present version, or this raises
    corpus = charrnn.Corpus.read(
        charrnn.bundled_corpus(), trained.corpus_config, vocab=trained.vocab
    )
    trained.check_text(corpus)
    assert trained.squares is not None and trained.origin.loss is not None
    loss = charrnn.evaluate(trained.model, corpus.validation).nats_per_char
    assert loss == pytest.approx(trained.origin.loss, abs=1e-4) and loss < 1.45


def test_its_texts_begin_with_a_speaker() -> None:
    """It starts where paragraphs begin, and not always in the same way."""
    trained = load(charrnn.bundled_network())
    assert trained.starts is not None and len(trained.starts) >= 8
    samples = charrnn.generate_many(trained, 200, "", charrnn.SamplingConfig(length=60, seed=1))
    begins = [re.match("[A-Z][A-Za-z' ]+:\n", sample) for sample in samples]
    assert sum(begin is None for begin in begins) < 20
    assert len({begin.group() for begin in begins if begin}) > 20 and len(set(samples)) == 200


def test_it_is_in_the_wheel() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    name = "checkpoints/plays.safetensors"
    assert included[name] == f"charrnn/{name}" and (HOME / name).is_file()


def test_sample_writes_with_it_where_there_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["sample", "--prime", "", "--length", "200", "--seed", "1"])
    assert result.exit_code == 0 and len(result.stdout) >= 200
    assert "using the bundled network" in result.stderr
    charrnn_text = charrnn.bundled_corpus().read_text(encoding="utf-8")
    words = result.stdout.split()[:-1]
    known = sum(word in charrnn_text for word in words)
    assert known > 0.8 * len(words)
    run = tmp_path / "checkpoints" / "mine"
    run.mkdir(parents=True)
    (run / "last.safetensors").write_bytes(b"")
    result = CliRunner().invoke(cli, ["sample", "--prime", ""])
    assert result.exit_code == 1 and "bundled" not in result.stderr
