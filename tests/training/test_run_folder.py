"""A run's folder: its lock, its history, and which run is meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from charrnn.checkpoint.paths import find_checkpoint
from charrnn.errors import CheckpointError, RunError
from charrnn.training import run_folder
from charrnn.training.run_file import save_run
from charrnn.training.run_folder import (
    TEST_LOOKS,
    RunFolder,
    newest_run,
    note_test_look,
)
from charrnn.training.run_folder import test_looks as looks_at_test
from tests.reference.small import small_corpus, small_run, trained

HOLD = """
import sys
from charrnn.training.run_folder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def steps_in(folder: RunFolder) -> list[int]:
    return [json.loads(line)["step"] for line in folder.history.read_text().splitlines()]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "new" / "run")
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process"), folder.locked():
            pass
        other.kill()  # a killed process must not leave the folder locked
        other.wait()
        with folder.locked():
            pass
    with (
        folder.locked(),
        pytest.raises(RunError, match="another process"),
        RunFolder(folder.path).locked(),
    ):
        pass
    with pytest.raises(ZeroDivisionError), folder.locked():
        raise ZeroDivisionError
    with folder.locked():
        pass


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match="cannot use this folder"), RunFolder(path).locked():
            pass


def test_create_refuses_to_overwrite(tmp_path: Path) -> None:
    folder, corpus = RunFolder(tmp_path), small_corpus()
    folder.create({"hidden": 9, "steps": None, "schedule": "constant", "text": ["a.txt"]})
    assert tomllib.loads(folder.config.read_text()) == {
        "hidden": 9,
        "schedule": "constant",
        "text": ["a.txt"],
    }
    assert folder.history.read_bytes() == b"" and not folder.holds_run
    folder.create({"hidden": 10})  # nothing was trained
    trained(small_run(corpus), corpus, folder, steps=1)
    before = folder.last.read_bytes(), folder.config.read_bytes()
    with pytest.raises(RunError, match="`resume`"):
        folder.create({"hidden": 11})
    assert before == (folder.last.read_bytes(), folder.config.read_bytes())
    folder.last.rename(folder.best)
    with pytest.raises(RunError, match="`out`"):
        folder.create({})


def test_a_setting_that_is_no_utf8(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.create({"text": ["caf\udce9.txt"], "hidden": 3})
    assert tomllib.loads(folder.config.read_text("utf-8"))["hidden"] == 3


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        RunFolder(tmp_path / "none").resume()
    with pytest.raises(RunError, match=r"no last\.safetensors"):
        RunFolder(tmp_path).resume()
    (tmp_path / "last.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        RunFolder(tmp_path).resume()


def test_the_history_follows_the_checkpoint(tmp_path: Path) -> None:
    """After a crash it may be ahead of the checkpoint, behind it, or end inside a line."""
    folder, corpus = RunFolder(tmp_path), small_corpus()
    folder.create({})
    run = small_run(corpus, steps=30)
    trained(run, corpus, folder, steps=17)
    assert steps_in(folder) == [5, 10, 15]
    entry = json.loads(folder.history.read_text().splitlines()[-1])
    assert entry["seconds"] > 0 and {key: entry[key] for key in run.history[-1]} == run.history[-1]
    whole = folder.history.read_text()
    ahead = json.dumps({**entry, "step": 20}) + "\n"
    odd = '[1]\n{"step": "x"}\n{"step": 4, "seconds": "x"}\n{"step": 3}\n'
    for text, expected in [
        (whole + ahead, [5, 10, 15]),
        (whole + ahead[:40], [5, 10, 15]),
        (whole[:-40], [5, 10, 15]),
        ("", [5, 10, 15]),
        (odd + whole, [3, 5, 10, 15]),
        (whole + "\udce9\n", [5, 10, 15]),
    ]:
        folder.history.write_text(text, "utf-8", "surrogateescape")
        assert RunFolder(tmp_path).resume().step == 17
        assert steps_in(folder) == expected, text
    folder.history.unlink()
    resumed = RunFolder(tmp_path)
    run = resumed.resume()
    trained(run, corpus, resumed)
    assert steps_in(folder) == [5, 10, 15, 20, 25, 30] == [entry["step"] for entry in run.history]


def test_seconds_count_on(tmp_path: Path) -> None:
    folder, corpus = RunFolder(tmp_path), small_corpus()
    folder.create({})
    trained(small_run(corpus, steps=30), corpus, folder, steps=12)
    lines = [json.loads(line) for line in folder.history.read_text().splitlines()]
    lines[-1]["seconds"] = 1000.0
    folder.history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = RunFolder(tmp_path)
    trained(again.resume(), corpus, again)
    seconds = [json.loads(line)["seconds"] for line in folder.history.read_text().splitlines()]
    assert len(seconds) == 6 and seconds[2] >= 1000 and seconds == sorted(seconds)


def test_seconds_begin_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the object, which a comparison makes for all of its runs."""
    now = 0.0
    monkeypatch.setattr(run_folder, "time", SimpleNamespace(monotonic=lambda: now))
    folder, corpus = RunFolder(tmp_path), small_corpus()
    now = 100.0
    folder.create({})
    trained(small_run(corpus, steps=5), corpus, folder)
    assert folder.seconds_before == 0.0


def test_what_changes_with_the_length_is_recorded(tmp_path: Path) -> None:
    folder, run = RunFolder(tmp_path), small_run(small_corpus(), steps=100)
    folder.create({"steps": 100, "decay_after": 2.0, "networks": 1})
    run.change(steps=10, decay_after=0.2)
    folder.save_last(run)
    settings = tomllib.loads(folder.config.read_text())
    assert settings == {"steps": 10, "decay_after": 0.2, "networks": 1}


def test_resume_clears_away_what_a_kill_left(tmp_path: Path) -> None:
    folder, corpus = RunFolder(tmp_path), small_corpus()
    folder.create({})
    trained(small_run(corpus), corpus, folder, steps=1)
    (tmp_path / ".last.safetensors.abc.tmp").write_bytes(b"half")
    with folder.locked():
        folder.resume()
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {
        "config.toml",
        "good.safetensors",
        "history.jsonl",
        "last.safetensors",
        "samples.jsonl",
        "steps.bin",
    }


def test_newest_run_and_find_checkpoint(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunError, match="no run"):
            newest_run(root)
        with pytest.raises(RunError, match="no run"):
            find_checkpoint(None, root)
    run = small_run(small_corpus())
    for age, name in enumerate(["b", "c", "a"]):
        (tmp_path / name).mkdir()
        save_run(tmp_path / name / "last.safetensors", run)
        os.utime(tmp_path / name / "last.safetensors", (1e9 - age, 1e9 - age))
    (tmp_path / "empty").mkdir()
    assert newest_run(tmp_path).path == tmp_path / "b"
    os.utime(tmp_path / "c" / "last.safetensors", (2e9, 2e9))
    assert newest_run(tmp_path).path == tmp_path / "c"
    assert find_checkpoint(None, tmp_path) == tmp_path / "c" / "last.safetensors"
    save_run(tmp_path / "c" / "best.safetensors", run)
    assert find_checkpoint(None, tmp_path) == tmp_path / "c" / "best.safetensors"
    assert find_checkpoint(str(tmp_path / "a")) == tmp_path / "a" / "last.safetensors"
    assert (
        find_checkpoint(tmp_path / "a" / "last.safetensors") == tmp_path / "a" / "last.safetensors"
    )
    with pytest.raises(CheckpointError, match="no checkpoint"):
        find_checkpoint(tmp_path / "empty")


def test_a_foreign_config_is_not_overwritten(tmp_path):
    (tmp_path / "config.toml").write_text("mine = 1\n")
    with pytest.raises(RunError, match="does not belong to a run"):
        RunFolder(tmp_path).create({})
    assert (tmp_path / "config.toml").read_text() == "mine = 1\n"


STRANGE = [
    b"[" * 200_000,
    b'{"step": 5, "a": ' + b"[" * 200_000,
    b'{"step": 5, "train_loss": ' + b"7" * 400 + b"}",
    b'{"step": ' + b"7" * 400 + b"}",
    b'{"step": ' + b"7" * 5000 + b"}",
    b'{"step": NaN}',
    b'{"step": 5, "seconds": Infinity}',
    b'{"step": 5, "seconds": 1e999}',
    b'{"step": 5, "lost": "x"}',
    b'{"step": 5, "lost": [1], "epoch": {}}',
    b'{"step": true}',
    b'{"step": -1}',
    b"null",
    b'"' + b"x" * 10_000,
    bytes(range(256)),
    b"\xff\xfe\x00",
    b"",
]


@pytest.mark.parametrize("number", range(len(STRANGE)))
def test_strange_lines_of_a_history_are_left_out(tmp_path: Path, number: int) -> None:
    """Wherever they are, the history that the checkpoint holds is whole again."""
    folder, corpus = RunFolder(tmp_path), small_corpus()
    folder.create({})
    run = small_run(corpus, steps=30)
    trained(run, corpus, folder, steps=17)
    lines = folder.history.read_bytes().splitlines(keepends=True)
    for place in range(len(lines) + 1):
        parts = [*lines[:place], STRANGE[number], b"\n", *lines[place + 1 :]]
        folder.history.write_bytes(b"".join(parts))
        again = RunFolder(tmp_path)
        assert again.resume().step == 17 and steps_in(folder) == [5, 10, 15]
        seconds = [json.loads(line)["seconds"] for line in folder.history.read_text().splitlines()]
        assert seconds == sorted(seconds)


def test_a_history_of_others_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_bytes(b"\x00 something else")
    with pytest.raises(RunError, match="contains the history"):
        RunFolder(tmp_path).create({})
    assert (tmp_path / "history.jsonl").read_bytes() == b"\x00 something else"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
@pytest.mark.parametrize("name", ["history.jsonl", "last.safetensors"])
def test_a_fifo_in_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    """Reading it would wait for ever, and replacing it is not ours to do."""
    folder, corpus = RunFolder(tmp_path), small_corpus()
    folder.create({})
    trained(small_run(corpus, steps=30), corpus, folder, steps=17)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match="not a regular file") as caught:
        trained(folder.resume(), corpus, folder)
    assert "\n" not in str(caught.value) and (tmp_path / name).is_fifo()


@pytest.mark.parametrize(
    "text",
    [
        *(b"[" * 200_000, b"a = " + b"[" * 200_000, b"a = " + b"7" * 5000, b"\xff", b"a = nan"),
        b"a" + b".a" * 400_000 + b" = 1",
    ],
)
def test_a_strange_config_stays_as_it_is(tmp_path: Path, text: bytes) -> None:
    folder, corpus = RunFolder(tmp_path), small_corpus()
    folder.create({})
    folder.config.write_bytes(text)
    trained(small_run(corpus, steps=30), corpus, folder, steps=7)
    assert folder.config.read_bytes() == text and folder.resume().step == 7


def test_looks_at_the_test_part_in_a_strange_file(tmp_path: Path) -> None:
    for line in (b"[" * 200_000, b'{"when": 3}', b'{"when": "' + b"x" * 10_000 + b'"}', b"\xff"):
        (tmp_path / TEST_LOOKS).write_bytes(line + b'\n{"when": "2026-01-01"}\n')
        note_test_look(tmp_path / "best.safetensors", 1.5)
        first, second = looks_at_test(tmp_path / "best.safetensors")
        assert first == {"when": "2026-01-01"} and second["nats_per_char"] == 1.5
