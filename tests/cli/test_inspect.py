"""`charrnn inspect`."""

from __future__ import annotations

import json
import re
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
    trained.model.parameters.flat *= 8  # gates that open and close
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
    assert inspect("-", stdin=PAGE).stdout == found.stdout and not found.stderr
    lines = found.stdout.splitlines()
    assert lines[0] == f"tiny.safetensors: {run.model.summary}"
    trace = charrnn.trace(run, PAGE)
    assert lines[1].startswith(f"300 characters: {trace.losses.mean():.4f} nats, ")
    rows = [line.replace(" %", "%").split() for line in lines if line.strip()[:1] in ("1", "2")]
    assert [row[:2] for row in rows] == [[layer, gate] for layer in "12" for gate in "ifgo"]
    for layer, gate, mean, *shares in rows:
        values = trace.gates[gate][:, int(layer) - 1]
        assert float(mean) == pytest.approx(values.mean(), abs=6e-3)
        closed, open_ = (values < 0.1).mean(), (values > 0.9).mean()
        assert " ".join(shares) == ("- -" if gate == "g" else f"{closed:.0%} {open_:.0%}")


def test_json_is_one_object(run: charrnn.Trained) -> None:
    found = json.loads(inspect("page.txt", "--json").stdout)
    trace = charrnn.trace(run, PAGE)
    assert found["checkpoint"] == "tiny.safetensors" and found["symbols"] == 300
    assert found["nats_per_char"] == pytest.approx(trace.losses.mean(), rel=1e-6)
    assert [(row["layer"], row["gate"]) for row in found["gates"]] == [
        (layer, gate) for layer in (1, 2) for gate in "ifgo"
    ]
    assert json.loads(inspect("-", "--json", stdin="1").stdout)["nats_per_char"] is None


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
        (("--unknown", "nearest"), 2, "--unknown apply only to a TEXT"),
        (("--encoding", "cp1252"), 2, "--unknown apply only to a TEXT"),
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


# Units
# --------------------------------------------------------------------------------------------------


LONG = TEXT[:1500]


def test_a_text_with_bars_below_it(run: charrnn.Trained) -> None:
    lines = inspect("page.txt", "--unit", "2.9").stdout.splitlines()
    assert lines[0] == "unit 2.9, tanh(c)" and lines[1].startswith("▁ ")
    shown, bars = lines[3::2], lines[4::2]
    assert "\n".join(shown) == PAGE.rstrip("\n")
    assert "".join(bars).replace("\n", "").strip("▁▂▃▄▅▆▇") == ""
    values = charrnn.activity(charrnn.trace(run, PAGE))[:, 1, 8]
    highest = int(values[: len(bars[0])].argmax())
    assert bars[0][highest] == max(bars[0])
    found = json.loads(inspect("page.txt", "--unit", "2.9h", "--json").stdout)
    assert (found["layer"], found["unit"], found["shown"], found["text"]) == (2, 9, "h", PAGE)
    h = charrnn.trace(run, PAGE).h[:, 1, 8]
    np.testing.assert_allclose(found["values"], h, atol=1e-6)


def test_a_terminal_has_colors_or_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charrnn.cli.terminal.is_terminal", lambda stream: stream is not None)
    monkeypatch.setattr("charrnn.cli.terminal.width_of", lambda stream: 40)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    Path("page.txt").write_text("one\x1b[31m\twall\n" + PAGE)
    found = inspect("page.txt", "--unit", "1.1", "--unknown", "nearest").stdout
    assert "\x1b[38;5;16;48;5;" in found and "\x1b[31m" not in found
    plain = re.sub("\x1b\\[[0-9;]*m", "", found)
    assert PAGE.split("\n")[0] in plain
    assert not re.search("48;5;[0-9]+m[^\x1b]*\n", found)  # no color goes on to the edge
    monkeypatch.setenv("NO_COLOR", "1")
    rows = inspect("page.txt", "--unit", "1.1", "--unknown", "nearest").stdout.splitlines()
    assert "\x1b" not in "".join(rows) and max(map(len, rows[3:])) == 40


def test_the_best_detectors(run: charrnn.Trained) -> None:
    Path("long.txt").write_text(LONG)
    found = inspect("long.txt", "--units", "--pattern", "all").stdout
    told = json.loads(inspect("long.txt", "--units", "--pattern", "all", "--json").stdout)
    search = charrnn.find_units(
        charrnn.trace(run, LONG),
        pattern="all",
        baseline=charrnn.trace(charrnn.untrained(run), LONG),
    )
    assert told["summary"] == search.summary and search.summary in " ".join(found.split())
    assert [each["feature"] for each in told["features"]] == [f.name for f in search.features]
    assert "match of all" in found and "inside quotes" in told["too_rare"]
    for row in told["features"]:
        best = search.best(row["feature"])[0]
        (mine, *_) = row["best"]
        assert (mine["layer"], mine["unit"]) == (best.layer + 1, best.unit + 1)
        assert mine["auc"] == best.auc and f"{best.layer + 1}.{best.unit + 1} {best.kind}" in found


def test_what_a_prediction_hangs_on(run: charrnn.Trained) -> None:
    lines = inspect("page.txt", "--at", "2:6").stdout
    at = PAGE.index("\n") + 6
    told = json.loads(inspect("page.txt", "--at", str(at), "--json").stdout)
    found = charrnn.attribution(run, PAGE, at)
    assert told["character"] == PAGE[at] and told["logprob"] == found.logprob
    assert [each["char"] for each in told["past"]] == list(PAGE[max(0, at - 100) : at])
    assert [each["derivative"] for each in told["past"]] == found.gradients.tolist()
    assert lines.startswith(f"after {at} characters: “{PAGE[at]}” has p ")
    greatest = float(np.abs(found.changes).max())
    assert f"{greatest:.3f}" in lines
    assert "0.000" not in inspect("page.txt", "--at", "1").stdout  # nothing would be left to read


def test_a_place_that_is_skipped(run: charrnn.Trained) -> None:
    Path("odd.txt").write_text(f"{PAGE[:2]}\u2603{PAGE[2:]}", encoding="utf-8")
    flags = ("odd.txt", "--unknown", "skip", "--at")
    said = inspect(*flags, "1:3", status=2).stderr
    assert "--at 1:3: the network lacks this character and skips it" in said
    found = json.loads(inspect(*flags, "1:4", "--json").stdout)
    assert found["character"] == PAGE[2]


def test_places_in_bytes() -> None:
    corpus = charrnn.Corpus.from_text(PAGE * 9, charrnn.CorpusConfig(unit="byte"))
    charrnn.save("bytes.safetensors", small_run(corpus).trained)
    found = inspect("page.txt", "--at", "30", "--run", "bytes.safetensors").stdout
    assert found.startswith("after 30 bytes: ") and "without each byte before it" in found
    wrong = inspect("page.txt", "--at", "301", "--run", "bytes.safetensors", status=2)
    assert "after 1 to 300 bytes" in wrong.stderr


def test_a_web_page(run: charrnn.Trained) -> None:
    Path("long.txt").write_text(LONG)
    found = inspect("long.txt", "--html", "page.html")
    assert found.stderr == "wrote page.html\n" and not found.stdout
    assert "<h1>Units: long.txt</h1>" in Path("page.html").read_text(encoding="utf-8")
    both = inspect("long.txt", "--html", "page.html", "--json")
    assert both.stdout == inspect("long.txt", "--json").stdout
    found = inspect("--html", "long.txt", "--text", "page.txt", status=2)
    assert "long.txt: that is a file of another kind" in found.stderr
    assert Path("long.txt").read_text() == LONG


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("page.txt", "--unit", "9"), 2, "write the layer and the unit, such as 1.12"),
        (("page.txt", "--unit", "3.1"), 2, "layers are 1 to 2 and its units 1 to 9"),
        (("page.txt", "--unit", "1.0"), 2, "units 1 to 9"),
        (("page.txt", "--unit", "1.1", "--units"), 2, "exclude each other"),
        (("page.txt", "--at", "x"), 2, "is not a place"),
        (("page.txt", "--at", "0"), 2, "after 1 to 300 characters"),
        (("page.txt", "--at", "301"), 2, "after 1 to 300 characters"),
        (("page.txt", "--at", "99:1"), 2, "no such line and column"),
        (("page.txt", "--units"), 1, "at least 500 characters, not 300"),
        (("long.txt", "--units", "--pattern", "("), 2, "--pattern '(' is not a regular"),
        (("page.txt", "--pattern", "a"), 2, "--pattern needs --units or --html"),
        (("page.txt", "--html", "page.txt"), 2, "that is the text"),
        (("--units",), 1, "pass"),
    ],
)
def test_units_that_cannot_be_shown(arguments: tuple[str, ...], status: int, said: str) -> None:
    Path("long.txt").write_text(LONG)
    found = inspect(*arguments, status=status)
    assert said in found.stderr and not found.stdout, found.stderr
    assert found.stderr.count("\n") == 1


def test_a_run_whose_text_has_moved() -> None:
    Path("sea.txt").write_text(TEXT)
    shape = ["--hidden", "4", "--layers", "1", "--seq-length", "16", "--steps", "2"]
    result = CliRunner().invoke(cli, ["train", "sea.txt", *shape, "--quiet", "--out", "run"])
    assert result.exit_code == 0, result.output
    before = inspect("--run", "run").stdout
    Path("sea.txt").rename("ocean.txt")
    assert "pass its new path with --text" in inspect("--run", "run", status=1).stderr
    assert inspect("--run", "run", "--text", "ocean.txt").stdout == before
    told = "--text applies to the run's own text: leave out TEXT"
    assert told in inspect("page.txt", "--text", "ocean.txt", status=2).stderr
