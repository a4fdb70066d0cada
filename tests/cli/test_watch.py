"""`charrnn watch`: what it says of a run that is trained, finished, stopped and killed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from charrnn.checkpoint.paths import LOCK
from charrnn.cli.main import cli
from charrnn.training.entries import line_of
from charrnn.training.loop import train
from charrnn.training.records import STEPS as STEPS_FILE
from charrnn.training.records import Recorder
from charrnn.training.run_folder import RunFolder
from tests.cli.pseudo_terminal import terminal
from tests.reference.small import small_corpus, small_run

STEPS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run that was stopped at step 20 of 40, with a validation every 10 steps."""
    path: Path = tmp_path_factory.mktemp("runs")
    corpus = small_corpus()
    run, out = small_run(corpus, steps=STEPS, eval_every=10), RunFolder(path / "run")
    with out.locked():
        out.create({})
        reports = train(run, corpus, folder=out, threads=1)
        for report in reports:
            if report.step == STEPS // 2:
                break
        reports.close()
    yield path


def watch(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["watch", str(folder / "run"), *arguments])


def state(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(watch(folder, "--json").stdout)
    return result


def killed(folder: Path, step: int = 0, text: str = "") -> None:
    """Record three steps more, and a sample, as a run that was killed afterwards does."""
    recorder = Recorder(folder / "run", STEPS // 2)
    for loss in (1.5, 1.5, 1.5):
        recorder.add_step(loss, 1.0, 0.1)
    if text:
        recorder.add_sample(step, 0.5, text)
    recorder.flush()


def test_a_stopped_a_running_and_a_killed_run(folder: Path) -> None:
    about = state(folder)
    assert (about["state"], about["step"], about["total_steps"]) == ("stopped", 20, STEPS)
    assert about["best_loss"] == about["validation_loss"] and about["best_step"] == 20
    assert about["sample_step"] == 20 and about["sample"] and about["seconds_left"] is None
    said = watch(folder).stdout
    assert said.splitlines()[0].startswith("stopped at step 20 of 40; resume with: charrnn train ")
    with FileLock(folder / "run" / LOCK):
        about = state(folder)
        assert about["state"] == "running" and about["seconds_left"] > 0
        assert "running, at step 20 of 40\n" in watch(folder, "--once").stdout
    killed(folder)
    about = state(folder)
    assert (about["state"], about["step"]) == ("killed", 23) and about["train_loss"] > 1.5
    assert "killed at step 23 of 40, saved at step 20; resume with: " in watch(folder).stdout
    Recorder(folder / "run", STEPS // 2)  # as it was


def test_one_picture_is_plain_in_a_pipe(folder: Path) -> None:
    lines = watch(folder, "--once").stdout.splitlines()
    assert lines[0].startswith(" 50 % ━") and max(map(len, lines)) < 120
    assert "What it writes after 20 steps:" in lines and "\x1b" not in "".join(lines)
    assert any("validation loss" in line and "best" in line for line in lines)


def test_a_damaged_record_is_called_damaged(folder: Path) -> None:
    file = folder / "run" / STEPS_FILE
    whole = file.read_bytes()
    file.write_bytes(np.float32([1e30] * 30).tobytes() + whole[120:])  # ten steps
    try:
        log = CliRunner().invoke(cli, ["log", str(folder / "run")])
        for said in (watch(folder, "--once"), log):
            assert "the losses of 10 of 20 steps were not recorded, or the" in said.stderr
            assert not re.search(r"\d{9}", said.stdout)
        assert state(folder)["train_loss"] < 10
    finally:
        file.write_bytes(whole)


def test_in_a_pipe_the_last_validation_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, path = FileLock(folder / "run" / LOCK), folder / "run" / "history.jsonl"
    whole = path.read_bytes()
    last = {"step": 21, "train_loss": 1.0, "validation_loss": 2.0}

    def end(seconds: float) -> None:
        path.write_bytes(whole + line_of(last))
        lock.release()

    monkeypatch.setattr("charrnn.cli.watch.time.sleep", end)
    lock.acquire()
    try:
        said = watch(folder).stdout
    finally:
        path.write_bytes(whole)
    assert "step 21 of 40, training loss 1.0000, validation loss 2.0000" in said


def test_a_time_limit_is_the_time_left(tmp_path: Path) -> None:
    corpus, out = small_corpus(), RunFolder(tmp_path / "run")
    settings = {"steps": 10**9, "max_time": "1h", "eval_every": 1}
    with out.locked():
        out.create({})
        reports = train(small_run(corpus, **settings), corpus, folder=out, threads=1)
        for report in reports:
            if report.step == 2:
                break
        reports.close()
    with FileLock(tmp_path / "run" / LOCK):
        assert 3500 < state(tmp_path)["seconds_left"] <= 3600


def test_a_finished_run_and_none(tmp_path: Path) -> None:
    validated, alone = small_corpus(), small_corpus(val_fraction=0.0)
    for name, settings in (
        ("steps", {"steps": 2}),
        ("patience", {"steps": 99, "patience": 1}),
        ("patience alone", {"steps": 99, "patience": 1}),
    ):
        corpus = alone if name == "patience alone" else validated
        out = RunFolder(tmp_path / name / "run")
        with out.locked():
            out.create({})
            still = {"learning_rate": 0.0, "eval_every": 1, **settings}
            for _ in train(small_run(corpus, **still), corpus, folder=out, threads=1):
                pass
        assert state(tmp_path / name)["state"] == "finished"
        said = watch(tmp_path / name).stdout
        assert said.startswith("finished, at step 2 of " if corpus is validated else "finished, ")
    result = watch(tmp_path)
    assert result.exit_code == 1 and "no run" in result.stderr and result.stderr.count("\n") == 1
    (tmp_path / "steps" / "run" / "text").touch()
    file = CliRunner().invoke(cli, ["watch", str(tmp_path / "steps" / "run" / "text")])
    assert "no run (not a folder); give a run's folder" in file.stderr


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_terminal_shows_what_is_new_and_ctrl_c_leaves(folder: Path, columns: int) -> None:
    with (
        FileLock(folder / "run" / LOCK),
        terminal(["watch", "run"], folder, columns) as shown,
    ):
        shown.until(lambda: any(line.startswith(" 50 % ━") for line in shown.lines))
        killed(folder, 23, "a \x1b[2Jnew [bold]text")
        shown.until(lambda: "  a \\x1b[2Jnew [bold]text" in shown.lines)
        assert any(line.startswith(" 57 % ━") for line in shown.lines)
        assert "What it writes after 23 steps:" in shown.lines
        shown.resize(30)
        drawn = len(shown.raw)
        shown.until(lambda: shown.raw[drawn:].count("\x1b[?7h") >= 2)
        assert sum(bool(re.match(r" \d\d % ", line)) for line in shown.lines) == 1
        shown.process.sendintr()
        assert shown.end() == 130
        assert not any(sign in "".join(shown.lines) for sign in "━─•")
    Recorder(folder / "run", STEPS // 2)


def test_the_terminal_says_how_it_ended(folder: Path) -> None:
    lock = FileLock(folder / "run" / LOCK)
    lock.acquire()
    with terminal(["watch", "run"], folder) as shown:
        shown.until(lambda: any("Ctrl-C leaves; the run goes on." in x for x in shown.lines))
        lock.release()
        assert shown.end() == 0
        lines = [line for line in shown.lines if line]
        assert lines[-1] == "sample from it: charrnn sample run"
        assert lines[-2] == "stopped at step 20 of 40; resume with: charrnn train --resume run"
        assert not any("Ctrl-C" in line for line in lines)
