"""The record of every step and sample: the same bytes after any kill, and no harm from damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn.errors import CheckpointError, RunError
from charrnn.text.corpus import Corpus
from charrnn.training import records
from charrnn.training.loop import train
from charrnn.training.records import SAMPLES, STEP, STEPS, Recorder
from charrnn.training.report import Report
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from charrnn.training.run_record import RunRecord
from tests.reference.small import small_corpus, small_run, trained
from tests.training.test_recovery import created, harm

ENDLESS = 1e9


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill loses nothing that was written; test_crash_states is about the power."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def record_of(folder: RunFolder) -> dict[str, bytes]:
    return {name: (folder.path / name).read_bytes() for name in (STEPS, SAMPLES)}


def numbers(reports: list[Report]) -> np.ndarray:
    rows = [(r.loss, r.gradient_norm, r.learning_rate) for r in reports if r.fell_back is None]
    return np.array(rows, STEP)


def test_every_step_and_sample_is_recorded(tmp_path: Path) -> None:
    folder, corpus = created(tmp_path / "run"), small_corpus()
    run = small_run(corpus, steps=12)
    with folder.locked():
        reports = trained(run, corpus, folder)
        assert RunRecord.read(folder.path).is_running
    record = RunRecord.read(tmp_path / "run")
    np.testing.assert_array_equal(record.steps, numbers(reports))
    assert (tmp_path / "run" / STEPS).stat().st_size == 12 * 12
    samples = [(r.step, r.epoch, r.sample) for r in reports if r.sample is not None]
    assert [tuple(sample.values()) for sample in record.samples] == samples
    assert {5, 10, 12} <= {step for step, *_ in samples}
    assert [{k: v for k, v in e.items() if k != "seconds"} for e in record.history] == run.history
    assert record.validations == list(record.history) and record.seconds > 0
    assert (record.model, record.config) == (run.model.config, run.config)
    assert (record.step, record.total_steps, record.missing) == (12, 12, 0)
    assert record.epochs[-1] == run.epoch and not record.is_running
    assert repr(record) == f"RunRecord({str(folder.path)!r}, step 12 of 12)"
    for name in ("last.safetensors", "best.safetensors"):
        assert RunRecord.read(folder.path / name).step == 12


# Killed and resumed
# --------------------------------------------------------------------------------------------------


def settings(**changes: Any) -> dict[str, Any]:
    return {"steps": 17, "schedule": "plateau", "plateau_patience": 1, **changes}


def with_pace(run: Run, step: int) -> None:
    """What `on_time` may do after these steps, and `--resume --for` after the last one."""
    for at, to in ((3, "3:14"), (7, "7:12"), (12, "12+19")):
        if step == at and to not in (run.config.pace or ""):
            run.change(pace=f"{run.config.pace or ''} {to}".strip())


def until(run: Run, corpus: Corpus, folder: RunFolder, most: float, is_paced: bool) -> int:
    """Train for at most so many reports, then leave the folder as a kill would; the number of
    reports. The run goes on as often as it is given more.
    """
    reports = 0
    while True:
        if is_paced:
            with_pace(run, run.step)
        for report in train(run, corpus, folder=folder, threads=1):
            if is_paced:
                with_pace(run, report.step)
            reports += 1
            if reports == most:
                shutil.copytree(folder.path, f"{folder.path}-killed")
                return reports
        if run.ended_by() is not None:
            return reports


@pytest.mark.parametrize(
    ("case", "seconds"), [("falls", ENDLESS), ("falls", 0.0), ("paced", ENDLESS)]
)
def test_the_same_record_after_a_kill_at_any_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, seconds: float
) -> None:
    """Written at every step, or only before a checkpoint."""
    monkeypatch.setattr(records, "SECONDS", seconds)
    if case == "falls":
        harm(monkeypatch, (6, 0), (9, 1), (14, 2))
    corpus, paced = small_corpus(), case == "paced"
    given = settings(save_every=None if seconds else 4)
    whole = created(tmp_path / "whole")
    count = until(small_run(corpus, **given), corpus, whole, ENDLESS, paced)
    wanted, steps = record_of(whole), 19 if paced else 17
    assert len(wanted[STEPS]) == 12 * steps and RunRecord.read(whole.path).missing == 0
    assert count > steps if case == "falls" else count == steps
    for first in range(2, count, 3):
        folder = created(tmp_path / f"{first}")
        until(small_run(corpus, **given), corpus, folder, first, paced)
        killed = RunFolder(f"{folder.path}-killed")
        until(killed.resume(), corpus, killed, ENDLESS, paced)
        assert record_of(killed) == wanted, first


KILLED = """
import sys
from charrnn.training import records
from charrnn.training.run_folder import RunFolder
from tests.reference.small import small_corpus, small_run, trained
records.SECONDS = 0.0
folder, corpus = RunFolder(sys.argv[1]), small_corpus()
with folder.locked():
    if folder.last.exists():
        run = folder.resume()
    else:
        folder.create({})
        run = small_run(corpus, steps=400, eval_every=40, save_every=7, sample_every=11)
    print("ready", flush=True)
    trained(run, corpus, folder)
"""


def test_the_same_record_after_real_kills(tmp_path: Path) -> None:
    """SIGKILL at moments that nobody chose."""
    root = str(Path(charrnn.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}

    def begun(name: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / name)],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    with begun("whole") as process:
        assert process.wait(200) == 0
    for seconds in (0.1, 0.2):
        with begun("killed") as process:
            time.sleep(seconds)
            process.kill()
    with begun("killed") as process:
        assert process.wait(200) == 0
    wanted = record_of(RunFolder(tmp_path / "whole"))
    assert len(wanted[STEPS]) == 400 * 12 and record_of(RunFolder(tmp_path / "killed")) == wanted


# Damage
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["missing", "torn", "short", "long", "other", "linked"])
def test_a_damaged_record_is_made_whole(tmp_path: Path, damage: str) -> None:
    """The steps that were recorded stay, the others are NaN; training is as ever."""
    folder, corpus = created(tmp_path / "run"), small_corpus()
    trained(small_run(corpus, steps=17), corpus, folder, steps=11)
    wanted = record_of(folder)
    for name, data in wanted.items():
        path = folder.path / name
        if damage == "missing":
            path.unlink()
        elif damage == "torn":
            path.write_bytes(data[:-5])
        elif damage == "short":
            path.write_bytes(data[: 12 * 4])
        elif damage == "long":
            path.write_bytes(data + b"\xff" * 1000)
        elif damage == "other":
            path.write_bytes(b"[" * 200_000)
        else:  # somebody else's file, which is not ours to change
            path.rename(tmp_path / name)
            path.symlink_to(tmp_path / name)
    at_rest = RunRecord.read(folder.path)
    trained(folder.resume(), corpus, folder)
    record = RunRecord.read(folder.path)
    assert record.step == 17 and np.isfinite(record.steps[11:]["loss"]).all()
    known = {"missing": 0, "torn": 10, "short": 4}.get(damage, 11)
    if damage != "other":
        assert (folder.path / STEPS).read_bytes()[: 12 * known] == wanted[STEPS][: 12 * known]
        assert record.missing == 11 - known and (
            damage == "long" or at_rest.missing == record.missing
        )
    assert record.samples[-1]["step"] == 17
    if damage == "linked":
        assert wanted == {name: (tmp_path / name).read_bytes() for name in wanted}
    assert [entry["step"] for entry in record.validations] == [5, 10, 15, 17]


def test_files_that_vanish_while_it_trains(tmp_path: Path) -> None:
    folder, corpus = created(tmp_path / "run"), small_corpus()
    for report in train(small_run(corpus, steps=12), corpus, folder=folder, threads=1):
        if report.step == 6:
            (folder.path / STEPS).unlink()
            (folder.path / SAMPLES).unlink()
    record = RunRecord.read(folder.path)
    assert np.isnan(record.steps["loss"]).tolist() == [True] * 5 + [False] * 7
    assert [sample["step"] for sample in record.samples] == [10, 12]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between checkpoints it does no harm if it has space again; at a checkpoint it is an error, as
    that of the checkpoint itself.
    """
    monkeypatch.setattr(records, "SECONDS", 0.0)
    folder, corpus = created(tmp_path / "run"), small_corpus()
    reports, real = [], records.check_regular

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    for report in train(small_run(corpus, steps=12), corpus, folder=folder, threads=1):
        reports.append(report)
        monkeypatch.setattr(records, "check_regular", full if report.step in (2, 3) else real)
    np.testing.assert_array_equal(RunRecord.read(folder.path).steps, numbers(reports))
    run = folder.resume()
    run.change(steps=30)
    with pytest.raises(CheckpointError, match=r"steps\.bin: cannot write .*; free some space"):
        for _ in train(run, corpus, folder=folder, threads=1):
            monkeypatch.setattr(records, "check_regular", full)
    monkeypatch.undo()
    run = folder.resume()
    run.change(steps=15)
    trained(run, corpus, folder)
    assert RunRecord.read(folder.path).step == 15


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system")
@pytest.mark.parametrize("name", [STEPS, SAMPLES])
def test_a_record_that_is_no_file(tmp_path: Path, name: str) -> None:
    folder, corpus = created(tmp_path / "run"), small_corpus()
    trained(small_run(corpus, steps=12), corpus, folder, steps=7)
    (folder.path / name).unlink()
    os.mkfifo(folder.path / name)
    with pytest.raises(CheckpointError, match="not a regular file"):
        trained(folder.resume(), corpus, folder)
    assert RunRecord.read(folder.path).step == 7


@pytest.mark.parametrize("name", [STEPS, SAMPLES])
def test_a_file_of_others_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(RunError, match=name):
        RunFolder(tmp_path).create({})
    assert (tmp_path / name).read_bytes() == b"mine"


# Reading
# --------------------------------------------------------------------------------------------------


def test_a_record_is_read_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "SECONDS", 0.0)
    folder, corpus = created(tmp_path / "run"), small_corpus()
    for report in train(small_run(corpus, steps=12), corpus, folder=folder, threads=1):
        assert RunRecord.read(folder.path).step == report.step


def test_it_is_written_about_once_a_second(tmp_path: Path) -> None:
    now, path = [0.0], tmp_path / STEPS
    recorder, sizes = Recorder(tmp_path, 0, lambda: now[0]), []
    for _ in range(25):
        now[0] += 0.125
        recorder.add_step(1.0, 2e39, 3.0)
        sizes.append(path.stat().st_size // STEP.itemsize)
    assert sizes == [0] * 7 + [8] * 8 + [16] * 8 + [24] * 2
    recorder.flush()
    steps = np.frombuffer(path.read_bytes(), STEP)
    assert len(steps) == 25 and np.isfinite(steps["gradient_norm"]).all()


def test_strange_lines_are_left_out(tmp_path: Path) -> None:
    folder, corpus = created(tmp_path / "run"), small_corpus()
    trained(small_run(corpus, steps=5), corpus, folder)
    whole = RunRecord.read(folder.path)
    odd = b'\xff\n[1]\n{"step": "x", "text": "a"}\n{"step": 1, "epoch": []}\n{"step": 1e999}\n'
    for name in (SAMPLES, "history.jsonl"):
        path = folder.path / name
        path.write_bytes(odd + path.read_bytes() + odd + b'{"step": 5, "te')
    again = RunRecord.read(folder.path)
    assert (again.samples, again.history) == (whole.samples, whole.history)
    (folder.path / "history.jsonl").unlink()
    missing = RunRecord.read(folder.path)
    assert [entry["step"] for entry in missing.history] == [5] and missing.seconds == 0


def test_what_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        RunRecord.read("nowhere")
    with pytest.raises(RunError, match=r"no last\.safetensors in this folder"):
        RunRecord.read(tmp_path)
    with pytest.raises(RunError, match="no run in checkpoints/; train one first, or give a run's"):
        RunRecord.read()
    (tmp_path / "last.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        RunRecord.read(tmp_path)


def test_reading_loads_no_kernel(tmp_path: Path) -> None:
    code = (
        "import sys, charrnn; charrnn.RunRecord; charrnn.TensorBoard; "
        "print([n for n in sys.modules if n.startswith(('charrnn.kernels', 'numba'))])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(charrnn.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr
