"""`charrnn inspect`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli.main import cli
from tests.reference.small import TEXT, small_corpus, small_run

PAGE = TEXT[:300]


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> charrnn.Trained:
    monkeypatch.chdir(tmp_path)
    trained = small_run(small_corpus()).trained
    charrnn.save("tiny.safetensors", trained)
    Path("page.txt").write_text(PAGE)
    return trained


def inspect(*arguments: str, status: int = 0, stdin: str | None = None) -> Result:
    words = ["inspect", *arguments]
    if "--run" not in words:
        words += ["--run", "tiny.safetensors"]
    result = CliRunner().invoke(cli, words, input=stdin)
    assert result.exit_code == status, result.output
    return result


def test_the_summary_has_a_row_for_each_gate(run: charrnn.Trained) -> None:
    found = inspect("page.txt")
    assert inspect(stdin=PAGE).stdout == found.stdout and not found.stderr
    lines = found.stdout.splitlines()
    assert lines[0] == f"tiny.safetensors: {run.model.summary}"
    trace = charrnn.trace(run, PAGE)
    assert lines[1].startswith(f"300 characters: {trace.losses.mean():.4f} nats, ")
    rows = [line.split() for line in lines if line.strip()[:1] in ("1", "2")]
    assert [row[:2] for row in rows] == [[layer, gate] for layer in "12" for gate in "ifgo"]
    for layer, gate, mean, *_ in rows:
        assert float(mean) == pytest.approx(trace.gates[gate][:, int(layer) - 1].mean(), abs=6e-4)


def test_json_is_one_object(run: charrnn.Trained) -> None:
    found = json.loads(inspect("page.txt", "--json").stdout)
    trace = charrnn.trace(run, PAGE)
    assert found["checkpoint"] == "tiny.safetensors" and found["symbols"] == 300
    assert found["nats_per_char"] == pytest.approx(trace.losses.mean(), rel=1e-6)
    assert [(row["layer"], row["gate"]) for row in found["gates"]] == [
        (layer, gate) for layer in (1, 2) for gate in "ifgo"
    ]
    assert json.loads(inspect("--json", stdin="1").stdout)["nats_per_char"] is None


def test_npz_holds_every_number(run: charrnn.Trained) -> None:
    found = inspect("page.txt", "--npz", "page.npz")
    assert not found.stdout and found.stderr.startswith("wrote page.npz, ")
    with np.load("page.npz") as file:
        for name, array in charrnn.trace(run, PAGE).arrays().items():
            np.testing.assert_array_equal(file[name], array)
    both = inspect("page.txt", "--npz", "page.npz", "--json")
    assert json.loads(both.stdout)["symbols"] == 300


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("nowhere.txt",), 1, "nowhere.txt: no such file"),
        (("tiny.safetensors",), 2, "is a network, not a text"),
        (("page.txt", "--npz", "page.txt"), 2, "that is the text"),
        (("page.txt", "--npz", "."), 2, "--npz .: a folder"),
        (("page.txt", "--npz", "no/x.npz"), 2, "no folder no"),
        (("page.txt", "--run", "page.txt"), 1, "a text, not a checkpoint"),
        (("odd.txt",), 1, "--unknown skip"),
        (("empty.txt",), 1, "empty"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: tuple[str, ...], status: int, said: str) -> None:
    Path("odd.txt").write_text("\u2603")
    Path("empty.txt").write_text("")
    found = inspect(*arguments, status=status)
    assert said in found.stderr and found.stderr.count("\n") == 1 and not found.stdout
    assert not list(Path().glob("*.npz"))


def test_a_text_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charrnn.inspection.trace.memory_size", lambda: 100_000)
    found = inspect("page.txt", status=1)
    assert "trace at most" in found.stderr and "characters at a time" in found.stderr
