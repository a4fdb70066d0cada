"""`charrnn score`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli.main import cli
from tests.reference.small import small_corpus, small_run

TEXT = "KING:\nOnce more, good night.\n\nQUEEN:\nSo be it, caf\u00e9 or no; the owl is abroad.\n\n"


def network(folder: Path, name: str, text: str = TEXT * 9, **settings: str) -> charrnn.Trained:
    """An untrained network of this text's characters, in a file."""
    trained = small_run(small_corpus(text, **settings)).trained
    charrnn.save(folder / f"{name}.safetensors", trained)
    return trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> charrnn.Trained:
    return network(tmp_path_factory.getbasetemp(), "tiny")


@pytest.fixture(autouse=True)
def here(
    run: charrnn.Trained, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.chdir(tmp_path_factory.getbasetemp())
    yield


def charrnn_(*arguments: str, status: int = 0, stdin: bytes | None = None) -> Result:
    words = list(arguments)
    if "--run" not in words:
        words += ["--run", "tiny.safetensors"]
    result = CliRunner().invoke(cli, words, input=stdin)
    assert result.exit_code == status, result.output
    return result


def test_json_is_an_object_for_each_character(run: charrnn.Trained) -> None:
    text = "KING:\nSo be it, caf\u00e9."
    output = charrnn_("score", "--json", "--top", "2", stdin=text.encode()).stdout
    lines = [json.loads(line) for line in output.splitlines()]
    expected = charrnn.score(run, text, top=2)
    assert "".join(line["char"] for line in lines) == text
    assert [line["offset"] for line in lines] == list(range(len(text)))
    for name in ("nats", "entropy"):
        values = [line[name] for line in lines]
        np.testing.assert_allclose(values, getattr(expected, name), rtol=1e-5)
    assert [line["rank"] for line in lines] == expected.rank.tolist()
    symbols = run.vocab.symbols
    assert [[symbol for symbol, _ in line["top"]] for line in lines] == [
        [symbols[i] for i in row] for row in expected.top.tolist()
    ]


LINES = "KING:\nSo \u2603 it\n\nthe owl is good\n"


def test_per_line_scores_each_line_by_itself(run: charrnn.Trained) -> None:
    Path("lines.txt").write_text(LINES, encoding="utf-8")
    result = charrnn_("score", "lines.txt", "--per-line", status=1)
    assert result.stderr.count("\n") == 1 and "1 of 4 lines" in result.stderr
    assert "--unknown" in result.stderr
    values = result.stdout.splitlines()
    for n, line in ((0, "KING:"), (3, "the owl is good")):
        ids = run.vocab.encode(line)
        expected = charrnn.evaluate(run.model, ids, openings=[run.opening])
        assert float(values[n]) == pytest.approx(expected.nats_per_char, abs=2e-6)
        assert charrnn_("score", "--per-line", stdin=line.encode()).stdout == values[n] + "\n"
    assert values[1].startswith("error: ") and "U+2603" in values[1] and values[2] == "-"
    output = charrnn_("score", "lines.txt", "--per-line", "--json", status=1)
    king, snow, empty, owl = map(json.loads, output.stdout.splitlines())
    assert [each["line"] for each in (king, snow, empty, owl)] == [1, 2, 3, 4]
    assert king["nats"] == pytest.approx(5 * king["nats_per_char"])
    assert king["characters"] == 5 and owl["characters"] == 15
    assert "U+2603" in snow["error"] and "nats" not in snow
    assert (empty["characters"], empty["nats"], empty["nats_per_char"]) == (0, 0, None)


def test_per_line_with_unknown_characters() -> None:
    Path("lines.txt").write_text(LINES, encoding="utf-8")
    skipped = charrnn_("score", "lines.txt", "--per-line", "--unknown", "skip")
    assert skipped.stderr == "" and len(skipped.stdout.splitlines()) == 4
    Path("without.txt").write_text(LINES.replace("\u2603", ""), encoding="utf-8")
    without = charrnn_("score", "without.txt", "--per-line")
    assert without.stdout == skipped.stdout
