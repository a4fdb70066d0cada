"""`charrnn log`: the table, CSV, JSON, and files for TensorBoard."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli.main import cli
from charrnn.training.run_folder import RunFolder
from tests.reference.small import TEXT, small_corpus, small_run, trained
from tests.training.test_recovery import created, harm

NAMES = {"train/loss", "train/grad_norm", "train/learning_rate", "train/epoch"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run of 12 steps, validated at 5, 10 and 12, that went back from step 9 to 5."""
    monkeypatch.chdir(tmp_path)
    harm(monkeypatch, (9, 0))
    corpus, folder = small_corpus(), created(tmp_path / "run")
    trained(small_run(corpus), corpus, folder)
    return folder


def charrnn_(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == status, result.output
    return result


def test_the_table(folder: RunFolder) -> None:
    result = charrnn_("log", "run")
    first, *rest = result.stdout.splitlines()
    assert first.startswith("run: step 12 of 12, 0.") and first.endswith(", finished")
    record = charrnn.RunRecord.read("run")
    rows = [line.split() for line in rest if line.strip()[:1].isdigit()]
    assert [row[0] for row in rows] == ["5", "10", "12"]
    for row, entry in zip(rows, record.validations, strict=True):
        assert row[2:4] == [f"{entry['train_loss']:.4f}", f"{entry['validation_loss']:.4f}"]
    assert "step 9: loss nan, back to step 5, rate x 0.500" in rest
    assert not result.stderr


def test_losses_of_bytes_are_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus, folder = small_corpus(unit="byte"), created(tmp_path / "run")
    trained(small_run(corpus), corpus, folder)
    assert "bits per byte, at step" in charrnn_("log", "run").stdout
    assert "nats per byte" in charrnn.RunRecord.read("run")._repr_html_()


def test_csv_has_every_step(folder: RunFolder) -> None:
    record = charrnn.RunRecord.read("run")
    lines = [*csv.DictReader(io.StringIO(charrnn_("log", "run", "--csv").stdout))]
    assert [*lines[0]] == [
        *("step", "epoch", "loss", "gradient_norm", "learning_rate", "validation_loss"),
    ]
    assert [int(line["step"]) for line in lines] == [*range(1, 13)]
    for name in record.steps.dtype.names or ():
        column = np.array([line[name] for line in lines], "<f4")
        np.testing.assert_array_equal(column, record.steps[name])  # no digit is lost
    np.testing.assert_allclose([float(line["epoch"]) for line in lines], record.epochs, atol=1e-6)
    losses = {
        int(line["step"]): float(line["validation_loss"])
        for line in lines
        if line["validation_loss"]
    }
    assert losses == {entry["step"]: entry["validation_loss"] for entry in record.validations}


def test_json_has_everything(folder: RunFolder) -> None:
    about = json.loads(charrnn_("log", "run", "--json").stdout)
    record = charrnn.RunRecord.read("run")
    assert about["run"] == "run" and about["step"] == about["total_steps"] == 12
    for name in record.steps.dtype.names or ():
        np.testing.assert_array_equal(np.array(about["steps"][name], "<f4"), record.steps[name])
    assert about["validations"] == record.validations and about["samples"] == record.samples
    assert [(e["step"], e["fell_back_from"]) for e in about["fall_backs"]] == [(5, 9)]
    assert about["model"]["hidden"] == 9 and about["train"]["steps"] == 12
    assert about["is_running"] is False


def test_a_step_that_is_missing(folder: RunFolder) -> None:
    path = folder.path / "steps.bin"
    path.write_bytes(struct.pack("<3f", *[np.nan] * 3) + path.read_bytes()[12:])
    result = charrnn_("log", "run", "--csv")
    assert result.stdout.splitlines()[1].startswith("1,0.") and ",,,," in result.stdout
    assert "the losses of 1 of 12 steps" in result.stderr
    assert json.loads(charrnn_("log", "run", "--json").stdout)["steps"]["loss"][0] is None
    path.unlink()
    assert "the losses of 12 of 12 steps" in charrnn_("log", "run").stderr


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("nowhere",), 1, "nowhere: no run (no such folder); give a run's folder"),
        ((".",), 1, "no run (no last.safetensors in this folder)"),
        ((), 1, "no run in checkpoints/"),
        (("run", "--csv", "--json"), 2, "--csv, --json and --tensorboard: give one of them"),
        (("run", "--cvs"), 2, "--csv"),
    ],
)
def test_what_cannot_be_shown(
    folder: RunFolder, arguments: tuple[str, ...], status: int, told: str
) -> None:
    result = charrnn_("log", *arguments, status=status)
    assert told in result.stderr and not result.stdout


def test_a_pipe_that_closes(folder: RunFolder) -> None:
    """No kernel is loaded, and `| head` ends it silently."""
    code = (
        "import sys; from charrnn.cli.main import main\ntry: main()\nfinally: "
        "assert not any(name.startswith('charrnn.kernels.') for name in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(charrnn.__file__).parents[1])}
    path = folder.path / "steps.bin"
    path.write_bytes(path.read_bytes() * 20_000)
    with subprocess.Popen(
        [sys.executable, "-c", code, "log", "run", "--csv"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b"step,epoch,loss,")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


# TensorBoard
# --------------------------------------------------------------------------------------------------


def shown(folder: str) -> dict[str, dict[int, float]]:
    """What TensorBoard shows of a folder: the numbers of each name by step, without what a writer
    that started later has taken back.
    """
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    numbers = dict[str, dict[int, float]]()
    for path in sorted(Path(folder).glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            if event.HasField("session_log"):
                for steps in numbers.values():
                    for step in [step for step in steps if step >= event.step]:
                        del steps[step]
            for value in event.summary.value:
                numbers.setdefault(value.tag, {})[event.step] = value.simple_value
    return numbers


def of_record(record: charrnn.RunRecord) -> dict[str, dict[int, float]]:
    steps = range(1, record.step + 1)
    return {
        "train/loss": dict(zip(steps, record.steps["loss"].tolist(), strict=True)),
        "train/grad_norm": dict(zip(steps, record.steps["gradient_norm"].tolist(), strict=True)),
        "train/learning_rate": dict(
            zip(steps, record.steps["learning_rate"].tolist(), strict=True)
        ),
        "train/epoch": dict(zip(steps, record.epochs.astype("<f4").tolist(), strict=True)),
        "eval/loss": {
            e["step"]: float(np.float32(e["validation_loss"])) for e in record.validations
        },
    }


def test_a_run_for_tensorboard(folder: RunFolder) -> None:
    pytest.importorskip("tensorboardX")
    for _ in range(2):  # the second takes back the first
        result = charrnn_("log", "run", "--tensorboard", "logs/a b")
        assert "tensorboard --logdir 'logs/a b'" in result.stderr and not result.stdout
    assert shown("logs/a b") == of_record(charrnn.RunRecord.read("run"))


def test_training_for_tensorboard(folder: RunFolder) -> None:
    """It goes back from step 9, is stopped, and resumed."""
    pytest.importorskip("tensorboardX")
    Path("sea.txt").write_text(TEXT)
    shape = ["--hidden", "4", "--layers", "1", "--batch-size", "4", "--seq-length", "16"]
    common = ["--threads", "1", "--quiet", "--tensorboard", "logs"]
    charrnn_(
        "train", "sea.txt", *shape, "--steps", "12", "--eval-every", "5", "--out", "new", *common
    )
    charrnn_("train", "--resume", "new", "--steps", "16", *common)
    assert shown("logs") == of_record(charrnn.RunRecord.read("new"))
    assert {*shown("logs")} == NAMES | {"eval/loss"} and len(shown("logs")["train/loss"]) == 16


def test_what_is_missing_for_tensorboard(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.training.tensorboard.find_spec", lambda name: None)
    for arguments in (["log", "run"], ["train", "--resume", "run"], ["train", "nothing.txt"]):
        result = charrnn_(*arguments, "--tensorboard", "logs", status=2)
        told = "--tensorboard needs one more package: pip install 'charrnn-numba[tensorboard]'"
        assert told in result.stderr
    assert not Path("logs").exists()


def test_a_folder_for_tensorboard_that_is_a_file(folder: RunFolder) -> None:
    pytest.importorskip("tensorboardX")
    Path("logs").write_text("mine")
    result = charrnn_("log", "run", "--tensorboard", "logs", status=1)
    assert "logs: cannot write here: " in result.stderr and Path("logs").read_text() == "mine"


def test_a_full_disk_for_tensorboard(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, not a thread that has died and is waited for."""
    pytest.importorskip("tensorboardX")

    def full(writer: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.flush", full)
    monkeypatch.setattr("charrnn.training.tensorboard.FLUSH_SECONDS", -1)
    result = charrnn_("log", "run", "--tensorboard", "logs", status=1)
    told = "logs: cannot write here: No space left on device; choose another --tensorboard"
    assert told in result.stderr
