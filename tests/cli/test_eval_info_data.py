"""`charrnn eval`, `charrnn info` and `charrnn data`."""

import hashlib
import http.server
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.checkpoint.header import FORMAT_VERSION
from charrnn.checkpoint.paths import bundled_network
from charrnn.cli import terminal
from charrnn.cli.main import cli
from charrnn.evaluation import compression
from charrnn.evaluation.compression import has_ppmd
from charrnn.text.datasets import DATASETS, DataSet
from tests.checkpoint.test_promised_format import GOLDEN
from tests.cli.screen import Screen
from tests.reference.small import let_overflow

TEXT = (
    "KING:\nOnce more, good night.\n\nQUEEN:\nSo be it, caf\u00e9 or no; the owl is abroad.\n\n"
    * 40
)
SPLITS = charrnn.CorpusConfig(val_fraction=0.2, test_fraction=0.1)


def make(folder: Path, text: str, config: charrnn.CorpusConfig = SPLITS) -> charrnn.Corpus:
    """A text and a small run on it, checkpoints/tiny, in a folder."""
    (folder / "tiny.txt").write_text(text, encoding=config.encoding)
    corpus = charrnn.Corpus.read(folder / "tiny.txt", config)
    settings = charrnn.TrainConfig(batch_size=4, seq_length=16, steps=20, eval_every=4)
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=16, layers=1), settings)
    (folder / "checkpoints" / "tiny").mkdir(parents=True)
    for _ in charrnn.train(run, corpus, threads=1):
        pass
    charrnn.save_run(folder / "checkpoints" / "tiny" / "last.safetensors", run)
    return corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eval")
    make(folder, TEXT)
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


@pytest.fixture(scope="module")
def other(folder: Path) -> Path:
    """Another run on the same text, of another cell and size; not the newest."""
    corpus = charrnn.Corpus.read(folder / "tiny.txt", SPLITS)
    settings = charrnn.TrainConfig(batch_size=4, seq_length=16, steps=12, optimizer="sgd")
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(cell="gru", hidden=12, layers=2), settings)
    for _ in charrnn.train(run, corpus, threads=1):
        pass
    charrnn.save_run(folder / "other.safetensors", run)
    return folder / "other.safetensors"


@pytest.fixture
def run() -> charrnn.Run:
    return charrnn.load_run("checkpoints/tiny/last.safetensors")


def charrnn_(*arguments: str, status: int = 0, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(cli, list(arguments), input=stdin)
    assert result.exit_code == status, result.output
    return result


def evaluated(*arguments: str) -> Any:
    return json.loads(charrnn_("eval", *arguments, "--json").stdout)


# eval


@pytest.mark.parametrize("split", ["validation", "test", "train"])
def test_eval_measures_a_part_of_the_runs_own_text(run: charrnn.Run, split: str) -> None:
    ids = getattr(charrnn.Corpus.read("tiny.txt", SPLITS), split)
    found = evaluated("checkpoints/tiny", "--split", split)
    expected = charrnn.evaluate(run.result, ids)
    assert found["nats_per_char"] == pytest.approx(expected.nats_per_char, abs=1e-6)
    assert found["bits_per_char"] == pytest.approx(expected.nats_per_char / math.log(2), abs=1e-6)
    assert found["characters"] == len(ids) - 1
    windows = charrnn.evaluate_windows(run.result, ids)
    assert found["window"]["size"] == 256
    assert found["window"]["nats_per_char"] == pytest.approx(windows.nats_per_char, abs=1e-6)
    assert found["checkpoint"].endswith("last.safetensors")


def test_eval_without_arguments_is_the_newest_run_on_its_validation_text() -> None:
    expected = evaluated("checkpoints/tiny", "--split", "validation")
    assert evaluated() == expected
    plain = charrnn_("eval").stdout
    assert (
        f"{expected['nats_per_char']:.4f} nats" in plain
        and f"{expected['bits_per_char']:.4f} bits" in plain
    )
    assert f"{expected['characters']:,} characters" in plain and "windows of 256" in plain


def test_eval_reads_all_of_another_text(run: charrnn.Run, folder: Path) -> None:
    (folder / "other.txt").write_text("KING:\nSo the owl is good.\n", encoding="utf-8")
    found = evaluated("checkpoints/tiny", "other.txt", "--window", "8", "--threads", "1")
    ids, openings = run.vocab.encode("KING:\nSo the owl is good.\n"), [run.trained.opening]
    assert found["characters"] == len(ids)  # the first is predicted from a start state
    assert found["nats_per_char"] == pytest.approx(
        charrnn.evaluate(run.result, ids, openings=openings).nats_per_char, abs=1e-6
    )
    expected = charrnn.evaluate_windows(run.result, ids, 8)
    assert found["window"]["nats_per_char"] == pytest.approx(expected.nats_per_char, abs=1e-6)
    whole = evaluated("checkpoints/tiny", "other.txt", "--window", str(10**15))
    assert whole["window"]["nats_per_char"] == pytest.approx(
        charrnn.evaluate(run.result, ids).nats_per_char, abs=1e-6
    )
    assert "window" not in evaluated("checkpoints/tiny", "other.txt", "--window", "0")


def test_eval_of_one_character(run: charrnn.Run, folder: Path) -> None:
    """A single character has a probability too; there is no window in it."""
    (folder / "one.txt").write_text("S", encoding="utf-8")
    found = evaluated("checkpoints/tiny", "one.txt")
    assert found["characters"] == 1 and "window" not in found
    openings = [run.trained.opening]
    losses = [
        charrnn.evaluate(run.result, np.array([v]), openings=openings).nats_per_char
        for v in range(len(run.vocab))
    ]
    assert np.exp(np.negative(losses)).sum() == pytest.approx(1.0, abs=1e-4)
    assert found["nats_per_char"] == pytest.approx(losses[run.vocab.index["S"]], abs=1e-6)
    assert "on the text, 1 character\n" in charrnn_("eval", "checkpoints/tiny", "one.txt").stdout
    assert evaluated("checkpoints/tiny", "one.txt", "--unknown", "skip") == found
    several = "--ensemble", "checkpoints/tiny", "--no-counts"
    dynamic = evaluated("checkpoints/tiny", "one.txt", "--dynamic", *several)
    assert dynamic["dynamic"]["nats_per_char"] == pytest.approx(found["nats_per_char"], abs=1e-6)


def test_eval_reads_standard_input_and_other_encodings(folder: Path) -> None:
    piped = charrnn_(
        "eval", "checkpoints/tiny", "-", "--json", stdin=b"So be it, caf\xc3\xa9"
    ).stdout
    (folder / "latin.txt").write_bytes(b"So be it, caf\xe9")
    latin = evaluated("checkpoints/tiny", "latin.txt", "--encoding", "latin-1")
    assert {**json.loads(piped)} == latin


@pytest.mark.parametrize(
    ("unknown", "as_read"), [("skip", "So be i, caf"), ("nearest", "So be iO, cafe")]
)
def test_eval_can_leave_out_or_replace_unknown_characters(
    run: charrnn.Run, folder: Path, unknown: str, as_read: str
) -> None:
    (folder / "strange.txt").write_text("So be i\u00d8\u2603, caf\u00e8", encoding="utf-8")
    found = evaluated("checkpoints/tiny", "strange.txt", "--unknown", unknown)
    openings = [run.trained.opening]
    expected = charrnn.evaluate(run.result, run.vocab.encode(as_read), openings=openings)
    assert found["characters"] == len(as_read)
    assert found["nats_per_char"] == pytest.approx(expected.nats_per_char, abs=1e-6)


def test_eval_folds_unknown_characters_where_the_model_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, TEXT + "z", charrnn.CorpusConfig(min_count=2))
    (tmp_path / "other.txt").write_text("So be \u2603", encoding="utf-8")
    assert evaluated("checkpoints/tiny", "other.txt")["characters"] == 7
    assert evaluated("checkpoints/tiny", "other.txt", "--unknown", "skip")["characters"] == 6


def test_eval_dynamic_is_a_row_of_its_own(run: charrnn.Run) -> None:
    corpus = charrnn.Corpus.read("tiny.txt", SPLITS)
    plain, found = (
        evaluated(),
        evaluated("--dynamic", "--dynamic-rate", "0.01", "--dynamic-segment", "8"),
    )
    dynamic = found.pop("dynamic")
    assert found == plain, "the plain figures are as they were"
    config = charrnn.DynamicConfig(dynamic_rate=0.01, dynamic_segment=8)
    about = {"before": (corpus.train, None), "squares": [run.trained.squares]}
    expected = charrnn.evaluate_dynamic(run.result, corpus.validation, config, **about)
    assert dynamic["nats_per_char"] == expected.nats_per_char < plain["nats_per_char"]
    assert dynamic["counts"]
    assert (dynamic["rate"], dynamic["segment"], dynamic["decay"], dynamic["streams"]) == (
        0.01,
        8,
        0.0003,
        1,
    )
    text = charrnn_("eval", "--dynamic", "--dynamic-rate", "0.01", "--dynamic-segment", "8").stdout
    names = [line.split("  ")[1].strip() for line in text.splitlines()[1:]]
    assert names == [
        "state carried",
        "windows of 256, zero state",
        "dynamic, with counts",
        *(["PPMd, after the training part"] if has_ppmd() else []),
        "xz -9e",
    ]
    assert (
        f"{dynamic['nats_per_char']:.4f} nats" in text
        and f"{plain['nats_per_char']:.4f} nats" in text
    )


def test_eval_dynamic_without_counts_and_without_the_training_text(
    run: charrnn.Run, folder: Path
) -> None:
    ids = charrnn.Corpus.read("tiny.txt", SPLITS).validation
    alone, squares = evaluated("--dynamic", "--no-counts")["dynamic"], [run.trained.squares]
    expected = charrnn.evaluate_dynamic(run.result, ids, counting=False, squares=squares)
    assert alone["nats_per_char"] == expected.nats_per_char and not alone["counts"]
    assert "\n  dynamic  " in charrnn_("eval", "--dynamic", "--no-counts").stdout
    (folder / "other.txt").write_text("KING:\nOnce more, good night.\n" * 9, encoding="utf-8")
    with_it = evaluated("checkpoints/tiny", "other.txt", "--dynamic")["dynamic"]
    (folder / "tiny.txt").rename(folder / "moved.txt")
    result = charrnn_("eval", "checkpoints/tiny", "other.txt", "--dynamic", "--json")
    (folder / "moved.txt").rename(folder / "tiny.txt")
    assert "the training text is not there any more: nothing of it was counted" in result.stderr
    without = json.loads(result.stdout)["dynamic"]
    assert without["counts"] and without["nats_per_char"] > with_it["nats_per_char"]
    for flag in ("--counts", "--no-counts"):
        result = charrnn_("eval", flag, status=2)
        assert "apply to dynamic evaluation: add --dynamic" in result.stderr


def test_eval_shows_what_ppmd_makes_of_it(
    run: charrnn.Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the training part: on the parts it has not seen, and on other texts."""
    pytest.importorskip("pyppmd")
    corpus = charrnn.Corpus.read("tiny.txt", SPLITS)
    for split in ("validation", "test"):
        ids = getattr(corpus, split)
        expected = charrnn.evaluate_ppmd(ids, corpus.vocab, corpus.train)
        assert evaluated("checkpoints/tiny", "--split", split)["ppmd"] == {
            "nats_per_char": expected.nats_per_char,
            "characters": len(ids),
            "bits_per_char": expected.bits_per_char,
        }
    assert "ppmd" not in evaluated("checkpoints/tiny", "--split", "train")
    (folder / "line.txt").write_text("KING:\nOnce more, good night.\n", encoding="utf-8")
    found = evaluated("checkpoints/tiny", "line.txt")
    assert found["ppmd"]["nats_per_char"] < found["xz"]["nats_per_char"] / 4
    (folder / "line.txt").rename(folder / "moved.txt")
    monkeypatch.setattr(compression, "find_spec", lambda name: None)
    assert "ppmd" not in evaluated("checkpoints/tiny", "moved.txt")
    assert "PPMd" not in charrnn_("eval").stdout


def test_eval_of_an_ensemble(run: charrnn.Run, other: Path) -> None:
    corpus = charrnn.Corpus.read("tiny.txt", SPLITS)
    ids, models = corpus.validation, [run.result, charrnn.load(other).model]
    found = evaluated("checkpoints/tiny", "--ensemble", str(other), "--dynamic")
    assert found["nats_per_char"] == charrnn.evaluate(models, ids).nats_per_char
    assert found["window"]["nats_per_char"] == charrnn.evaluate_windows(models, ids).nats_per_char
    about = {"before": (corpus.train, None), "squares": [run.trained.squares, None]}
    learning = charrnn.evaluate_dynamic(models, ids, **about)
    assert found["dynamic"]["nats_per_char"] == learning.nats_per_char
    assert found["ensemble"] == [str(other)] and found["checkpoint"].endswith("last.safetensors")
    result = charrnn_("eval", "checkpoints/tiny", "--ensemble", str(other), "tiny.txt")
    assert "an ensemble of 2" in result.stdout and not result.stderr


def test_eval_of_an_ensemble_says_who_may_know_the_text(folder: Path, tmp_path: Path) -> None:
    corpus = charrnn.Corpus.read(folder / "tiny.txt", charrnn.CorpusConfig(val_fraction=0.1))
    stranger = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=8, layers=1))
    charrnn.save_run(tmp_path / "stranger.safetensors", stranger)
    told = charrnn_(
        "eval", "checkpoints/tiny", "--ensemble", str(tmp_path / "stranger.safetensors")
    ).stderr
    assert "stranger.safetensors was trained on another" in told and told.count("\n") == 1


def test_eval_of_an_ensemble_of_other_units_or_documents(tmp_path: Path) -> None:
    path = str(tmp_path / "other.safetensors")
    for options, status, found in (
        ({"unit": "byte"}, 1, "network 2 was trained on bytes"),
        ({"document_separator": "\n\n"}, 2, "network 2: its --document-separator differs"),
    ):
        corpus = charrnn.Corpus.from_text(TEXT, charrnn.CorpusConfig(**options))
        run = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=8, layers=1))
        charrnn.save_run(path, run)
        result = charrnn_("eval", "checkpoints/tiny", "--ensemble", path, status=status)
        assert found in result.stderr and result.stderr.count("\n") == 1


def test_eval_notes_who_looked_at_the_test_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, TEXT)
    note, checkpoint = (
        tmp_path / "checkpoints/tiny/test-looks.jsonl",
        tmp_path / "checkpoints/tiny/last.safetensors",
    )
    before = checkpoint.read_bytes()
    assert charrnn_("eval").stderr == "" and not note.exists(), (
        "the validation part may be looked at"
    )
    first = charrnn_("eval", "--split", "test", "--json")
    assert first.stderr == "" and json.loads(first.stdout)["test_looks"] == []
    (look,) = map(json.loads, note.read_text().splitlines())
    assert (
        look["nats_per_char"] == json.loads(first.stdout)["nats_per_char"]
        and look["checkpoint"] == checkpoint.name
    )
    second = charrnn_("eval", "--split", "test")
    assert (
        "evaluated once before" in second.stderr
        and look["when"] in second.stderr
        and second.stderr.count("\n") == 1
    )
    third = charrnn_("eval", "--split", "test", "--json")
    assert (
        "evaluated 2 times before" in third.stderr
        and len(json.loads(third.stdout)["test_looks"]) == 2
    )
    note.write_text("no note\n")
    assert (
        charrnn_("eval", "--split", "test").stderr == "" and len(note.read_text().splitlines()) == 1
    )
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_eval_never_loses_a_result_to_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    """The folder cannot be written: it is read-only, full, or, here, something is in the way."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path, TEXT)
    (tmp_path / "checkpoints/tiny/test-looks.jsonl").mkdir()
    result = charrnn_("eval", "--split", "test", *form)
    assert result.stderr.startswith("note: ") and "test-looks.jsonl" in result.stderr
    assert result.stderr.count("\n") == 1
    figures = charrnn_("eval", "--split", "test", *form)
    assert result.stdout == figures.stdout and "nats" in result.stdout


@pytest.fixture(scope="module")
def broken(folder: Path) -> Path:
    """A network whose weights are finite, but not its logits."""
    run = charrnn.load_run(folder / "checkpoints/tiny/last.safetensors")
    let_overflow(run.result.parameters)
    charrnn.save(folder / "broken.safetensors", replace(run.trained, model=run.result))
    return folder / "broken.safetensors"


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "BROKEN", "tiny.txt", "--json"),
        ("eval", "BROKEN", "tiny.txt"),
        ("eval", "BROKEN", "tiny.txt", "--dynamic"),
        ("eval", "checkpoints/tiny", "tiny.txt", "--ensemble", "BROKEN"),
        ("score", "--run", "BROKEN", "tiny.txt"),
        ("score", "--run", "BROKEN", "tiny.txt", "--json"),
        ("score", "--run", "BROKEN", "tiny.txt", "--per-line"),
        ("inspect", "--run", "BROKEN", "tiny.txt"),
        ("sample", "BROKEN", "--prime", "KING"),
        ("sample", "BROKEN", "--prime", "", "--json"),
        ("sample", "BROKEN", "--prime", "", "--count", "3"),
        ("sample", "checkpoints/tiny", "--prime", "", "--ensemble", "BROKEN"),
    ],
)
def test_a_network_that_overflows_is_one_line(broken: Path, command: tuple[str, ...]) -> None:
    result = charrnn_(*(str(broken) if w == "BROKEN" else w for w in command), status=1)
    assert not result.stdout
    assert "NaN or infinite" in result.stderr and result.stderr.count("\n") == 1


def strictly(text: str) -> Any:
    """JSON as its standard has it."""

    def fail(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=fail)


def test_json_has_no_nan(tmp_path: Path, run: charrnn.Run) -> None:
    """Not even from a run that has some in its history."""
    (tmp_path / "history.jsonl").write_text('{"step": 1, "train_loss": NaN, "lost": -Infinity}\n')
    run.history = [{"step": 1, "train_loss": 1.0, "validation_loss": None}]
    charrnn.save_run(tmp_path / "last.safetensors", run)
    strictly(charrnn_("info", str(tmp_path), "--json").stdout)
    assert strictly(terminal.json_text({"a": [math.nan, (1.5, -math.inf)], "b": "NaN"})) == {
        "a": [None, [1.5, None]],
        "b": "NaN",
    }


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("--dynamic-rate", "0.1"), 2, "add --dynamic"),
        (("--dynamic", "--dynamic-rate", "2"), 2, "--dynamic-rate"),
        (("--ensemble", "nothing.safetensors"), 1, "nothing.safetensors"),
        (("checkpoints/tiny", "tiny.txt", "--split", "test"), 2, "--split"),
        (("--unknown", "skip"), 2, "--unknown"),
        (("--window", "-1"), 2, "--window"),
        (("--threads", "0"), 2, "--threads"),
        (("checkpoints/tiny", "nothing.txt"), 1, "nothing.txt"),
        (("checkpoints/tiny", "snow.txt"), 1, "U+2603"),
        (("checkpoints/tiny", "short.txt", "--unknown", "skip"), 1, "at least 1"),
        (("tiny.txt",), 1, "tiny.txt"),
    ],
)
def test_eval_tells_what_is_wrong(
    folder: Path, arguments: tuple[str, ...], status: int, told: str
) -> None:
    (folder / "snow.txt").write_text("So \u2603", encoding="utf-8")
    (folder / "short.txt").write_text("\u2603\u2604", encoding="utf-8")
    result = charrnn_("eval", *arguments, status=status)
    assert told in result.stderr and not result.stdout
    assert status == 2 or result.stderr.count("\n") == 1


@pytest.mark.parametrize("change", ["gone", "longer", "with a new character"])
def test_eval_notices_that_the_runs_text_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, TEXT)
    if change == "gone":
        (tmp_path / "tiny.txt").unlink()
    else:
        (tmp_path / "tiny.txt").write_text(
            TEXT + ("KING" if change == "longer" else "\u2603"), encoding="utf-8"
        )
    error = charrnn_("eval", status=1).stderr
    assert "text" in error and error.count("\n") == 1
    assert (
        "--text" if change == "gone" else "not the run's text" if change == "longer" else "changed"
    ) in error


def test_eval_of_a_part_that_the_run_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, TEXT, charrnn.CorpusConfig())
    assert "--test-fraction" in charrnn_("eval", "--split", "test", status=1).stderr


# info


@pytest.mark.parametrize(("reach", "told"), [(0, False), (1040, True)])
def test_info_tells_how_far_a_network_looks_back(reach: int, told: bool, tmp_path: Path) -> None:
    model = charrnn.ModelConfig(hidden=8, layers=1, attention=reach)
    charrnn.save(tmp_path / "a", charrnn.Run.new(charrnn.Corpus.from_text(TEXT), model).trained)
    shown = charrnn_("info", str(tmp_path / "a")).stdout
    assert ("parameters, looks back 1,040 characters" in shown) == told == ("looks back" in shown)


@pytest.mark.parametrize(
    "path", [GOLDEN / "last.safetensors", GOLDEN / "best.safetensors", bundled_network()]
)
def test_info_of_files_that_lack_newer_settings(path: Path) -> None:
    shown = facts(charrnn_("info", str(path)).stdout)
    assert shown["network"].startswith("lstm of 2 x ") and "looks back" not in shown["network"]
    assert json.loads(charrnn_("info", str(path), "--json").stdout)["model"]["attention"] == 0


def test_info_as_json_is_all_metadata_and_sizes(run: charrnn.Run, folder: Path) -> None:
    found = json.loads(charrnn_("info", "checkpoints/tiny", "--json").stdout)
    assert found["parameters"] == run.model.count()
    assert found["bytes"] == (folder / "checkpoints/tiny/last.safetensors").stat().st_size
    assert (
        found["vocab"] == list(run.vocab.symbols)
        and found["step"] == 20
        and found["format_version"] == FORMAT_VERSION
    )
    assert found["model"]["hidden"] == 16 and found["history"] == run.history
    assert found["run"]["paths"] == [str(folder / "tiny.txt")]
    assert found["texts"] == [{"name": "tiny.txt", "characters": len(TEXT)}]


def test_info_shows_what_matters(run: charrnn.Run) -> None:
    text = charrnn_("info").stdout
    assert f"{run.model.count():,}" in text and " x 16 units" in text and "step 20" in text
    assert (
        f"{len(run.vocab)} symbols: \\n\u2423,." in text
        and f"format version {FORMAT_VERSION}" in text
        and "tiny.txt" in text
    )
    assert [line.split()[0] for line in text.splitlines()[-6:] if line.strip()] == [
        "4",
        "8",
        "12",
        "16",
        "20",
    ]
    assert f"{run.history[-1]['validation_loss']:.4f}" in text


def facts(text: str) -> dict[str, str]:
    """The first column of the facts, and what stands beside each."""
    lines = (line.partition("  ") for line in text.split("\n\n")[0].splitlines())
    return {name: value.strip() for name, _, value in lines}


def trained_on(folder: Path, model: Any, training: Any, **options: Any) -> str:
    """The settings that info shows of a run of three steps with these settings."""
    corpus = charrnn.Corpus.read(folder / "tiny.txt", charrnn.CorpusConfig())
    run = charrnn.Run.new(
        corpus, charrnn.ModelConfig(**model), charrnn.TrainConfig(steps=3, **training)
    )
    charrnn.save_run(folder / "info.safetensors", run)
    return facts(charrnn_("info", "info.safetensors").stdout)["settings"]


@pytest.mark.parametrize(
    ("model", "training", "shown"),
    [
        ({}, {}, "the recipe's"),
        ({"cell": "gru", "hidden": 24, "layers": 1}, {}, "the recipe's"),  # stand in another line
        ({"mogrifier": 0}, {}, "the recipe's, except mogrifier 0"),
        ({"dropout": 0.4}, {"seed": 3}, "the recipe's, except dropout 0.4, seed 3"),
        ({"skip": True}, {"clip_norm": 0.5}, "the recipe's, except skip True, clip_norm 0.5"),
        ({}, {"learning_rate": 0.5}, "the recipe's, except learning_rate 0.5"),
        ({}, {"learning_rate": 1e-9}, "the recipe's, except learning_rate 1e-09"),
        ({}, {"weight_decay": 0.0}, "the recipe's, except weight_decay 0"),
        ({"layer_norm": False}, {"batch_size": 2}, "the recipe's, except layer_norm False, batch"),
    ],
)
def test_info_shows_what_differs_from_the_recipe(
    folder: Path, model: Any, training: Any, shown: str
) -> None:
    settings = trained_on(folder, model, training)
    assert settings.startswith(shown) and (shown != "the recipe's" or settings == shown)


def test_info_sums_up_many_texts(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for n in range(3000):
        (tmp_path / "texts" / f"{n:04}.txt").write_text(f"text {n:04}\n")
    run = charrnn.Run.new(charrnn.Corpus.read(tmp_path / "texts"), charrnn.ModelConfig(hidden=8))
    charrnn.save_run(tmp_path / "many.safetensors", run)
    text = charrnn_("info", str(tmp_path / "many.safetensors")).stdout
    assert facts(text)["read from"] == "3,000 texts, 0000.txt to 2999.txt, 30,000 characters"
    assert "and 2,999 more" in text and len(text.splitlines()) < 20
    about = json.loads(charrnn_("info", str(tmp_path / "many.safetensors"), "--json").stdout)
    assert len(about["texts"]) == len(about["run"]["paths"]) == 3000


@pytest.mark.parametrize("name", ["checkpoints/tiny", "other.safetensors"])
def test_info_and_eval_fit_40_columns(
    monkeypatch: pytest.MonkeyPatch, other: Path, folder: Path, name: str
) -> None:
    for command in (["info", name], ["eval", name, "--text", "tiny.txt"], ["data", "list"]):
        with monkeypatch.context() as patch:
            screen, _ = Screen(patch, 40, "stdout"), Screen(patch, 40, "stderr")
            with pytest.raises(SystemExit) as end:
                cli(command, prog_name="charrnn")
        assert end.value.code == 0
        words = [len(word) for word in screen.getvalue().split()]
        assert screen.widest() <= 40 or (command[0] != "info" and screen.widest() in words)


def test_long_strings_in_a_checkpoint_are_shortened(tmp_path: Path) -> None:
    corpus = charrnn.Corpus.from_text("ab\n" * 200, name="n" * 10_000)
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=8, layers=1))
    run.init_from = "i" * 10_000
    charrnn.save_run(tmp_path / "long.safetensors", run)
    text = charrnn_("info", str(tmp_path / "long.safetensors")).stdout
    assert "nnn ... nnn" in text and "iii ... iii" in text
    assert max(map(len, text.splitlines())) < 1000


def test_info_of_strange_symbols_and_names_is_plain_text(tmp_path: Path) -> None:
    corpus = charrnn.Corpus.from_text("\x1b[31m[bold]\x9b\u202e\\\n" * 20, name="[red]x[/red]")
    run = charrnn.Run.new(corpus, charrnn.ModelConfig(hidden=8, layers=1))
    run.init_from = "\x1b]0;title\x07"
    run.history = [{"step": 3, "validation_loss": None, "epoch": None}]
    charrnn.save_run(tmp_path / "strange.safetensors", run)
    text = charrnn_("info", str(tmp_path / "strange.safetensors")).stdout
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)
    assert "\\x1b" in text and "\\u202e" in text and "\\\\" in text and "<[red]x[/red]>" in text


def test_info_of_what_is_no_checkpoint(folder: Path) -> None:
    (folder / "cut.safetensors").write_bytes(
        (folder / "checkpoints/tiny/last.safetensors").read_bytes()[:3000]
    )
    for name in ("cut.safetensors", "tiny.txt", "nowhere", "."):
        error = charrnn_("info", name, status=1).stderr
        assert error.startswith("error: ") and name in error and error.count("\n") == 1


# data

CONTENT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 500


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = CONTENT if self.path == "/tiny" else b"something else"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A mirror on this machine of the data set "tiny", and an empty folder to be in."""
    known = DataSet(
        "tiny",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
        "https://example.invalid/tiny.txt",
    )
    monkeypatch.setitem(DATASETS, "tiny", known)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("place", ["here", "data", "--to"])
def test_data_get_fetches_into_the_right_folder_and_prints_the_path(
    server: str, tmp_path: Path, place: str
) -> None:
    if place == "data":
        (tmp_path / "data").mkdir()
    to = ("--to", "my texts") if place == "--to" else ()
    result = charrnn_("data", "get", "tiny", "--url", f"{server}/tiny", *to)
    expected = {
        "here": "tiny.txt",
        "data": str(Path("data/tiny.txt")),
        "--to": str(Path("my texts/tiny.txt")),
    }[place]
    assert result.stdout == expected + "\n"
    assert (tmp_path / expected).read_bytes() == CONTENT
    assert "charrnn train" in result.stderr and ("'my texts" in result.stderr) == (place == "--to")


@pytest.mark.parametrize(
    ("name", "path", "told"),
    [
        ("nothing", "/tiny", "tiny-shakespeare"),
        ("tiny", "/other", "14 bytes"),
        ("tiny", "", "by hand"),
    ],
)
def test_data_get_tells_what_is_wrong(
    server: str, tmp_path: Path, name: str, path: str, told: str
) -> None:
    url = f"{server}{path}" if path else "http://127.0.0.1:1/closed"
    error = charrnn_("data", "get", name, "--url", url, status=1).stderr
    assert told in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_data_list_shows_what_ships_and_what_can_be_fetched(server: str) -> None:
    bundled = charrnn.bundled_corpus()
    text = charrnn_("data", "list").stdout
    assert str(bundled) in text and hashlib.sha256(bundled.read_bytes()).hexdigest() in text
    assert (
        "1,115,394 bytes" in text
        and DATASETS["tiny-shakespeare"].sha256 in text
        and "charrnn data get tiny" in text
    )
    charrnn_("data", "get", "tiny", "--url", f"{server}/tiny")
    texts = {
        entry["name"]: entry
        for line in charrnn_("data", "list", "--json").stdout.splitlines()
        if (entry := json.loads(line))
    }
    assert texts["tiny"]["path"] == "tiny.txt" and texts["tiny-shakespeare"]["path"] is None


def test_data_forget_removes_what_is_kept_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARRNN_CACHE_DIR", str(tmp_path))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a-b-c.ids").write_bytes(bytes(2500))
    (tmp_path / "kernels-0").mkdir()
    assert (
        charrnn_("data", "forget").stderr == f"removed 1 file, 2.5 KB, from {tmp_path / 'texts'}\n"
    )
    assert not list((tmp_path / "texts").iterdir()) and (tmp_path / "kernels-0").exists()
    assert "removed 0 files" in charrnn_("data", "forget").stderr


@pytest.mark.parametrize(
    "command", ["eval", "info", "data", "data get", "data list", "data forget"]
)
def test_help_ends_with_examples(command: str) -> None:
    assert (
        "Examples:\n    charrnn " + command.split()[0]
        in charrnn_(*command.split(), "--help").stdout
    )
