"""`charrnn compare`: what it takes, what it prints, and that the same command goes on."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import charrnn
from charrnn.checkpoint.trained import load
from charrnn.cli.main import cli
from charrnn.config import ModelConfig
from charrnn.training import recipe
from charrnn.training.run_file import load_run

PROGRAM = [sys.executable, "-m", "charrnn.cli.main", "compare", "sea.txt"]
TINY = [
    "--hidden",
    "6",
    "--layers",
    "1",
    "--batch-size",
    "4",
    "--seq-length",
    "16",
    "--threads",
    "1",
    "--steps",
    "4",
]
SECONDS = 120  # the first test on a machine compiles the kernels


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(
        "PYTHONPATH", str(Path(charrnn.__file__).parents[1])
    )  # for the processes that tests start
    words = random.Random(1).choices(
        ["the", "sea", "sings", "of", "a", "stone", "no", "king\n"], k=3000
    )
    path = tmp_path / "sea.txt"
    path.write_text(" ".join(words), encoding="utf-8")
    return path


def compare(*arguments: Any, **options: Any) -> Any:
    return CliRunner().invoke(
        cli, ["compare", *(str(argument) for argument in arguments)], **options
    )


def found(*arguments: Any) -> dict[str, Any]:
    result = compare(*arguments, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_table_and_the_same_as_json(text: Path) -> None:
    request = ["sea.txt", *TINY, "--vary", "dropout=0,0.5", "--seeds", 2]
    result = compare(*request)
    assert result.exit_code == 0, result.output
    heading, _, *rows = [line for line in result.stdout.splitlines() if line.strip()]
    assert re.split(r"\s{2,}", heading.strip()) == [
        "configuration", "hidden", "parameters", "loss (nats)", "spread", "chars/s", "epochs",
    ]  # fmt: skip
    answer = found(*request)
    assert answer["folder"] == "checkpoints/compare-sea" and answer["finished"]
    best, other = answer["configurations"]
    assert best["validation_loss_mean"] < other["validation_loss_mean"]
    assert {best["name"], other["name"]} == {"dropout=0", "dropout=0.5"}
    for row, one in zip(rows, answer["configurations"], strict=True):
        losses = [seed["validation_loss"] for seed in one["seeds"]]
        assert re.split(r"\s{2,}", row.strip()) == [
            one["name"],
            "6",
            f"{one['parameters']:,}",
            f"{sum(losses) / 2:.4f}",
            f"{min(losses):.4f} to {max(losses):.4f}",
            f"{one['chars_per_second']:,.0f}",
            f"{one['seeds'][0]['epochs']:.1f}",
        ]
        assert [seed["seed"] for seed in one["seeds"]] == [0, 1]
        assert (
            one["parameters"]
            == load(f"checkpoints/compare-sea/{one['name']}-seed1/best.safetensors").model.count()
        )
    assert result.stderr.splitlines()[0] == (
        "2 configurations, 2 seeds: 4 runs into checkpoints/compare-sea"
    )
    assert re.match(
        r"4 of 4: dropout=0\.5, seed 1: \d\.\d{4} nats, .* chars/s, \d+ s",
        result.stderr.splitlines()[-1],
    )


def test_parameters_are_equal_unless_something_else_is_asked_for(text: Path) -> None:
    request = ["sea.txt", *TINY, "--vary", "layers=1,2", "--seeds", 1, "--hidden", 20]
    first, second = sorted(found(*request)["configurations"], key=lambda one: one["name"])
    assert first["hidden"] == 20 > second["hidden"]
    assert abs(first["parameters"] - second["parameters"]) < 0.1 * first["parameters"]
    same = found(*request, "--equal", "hidden", "--out", "hidden")["configurations"]
    assert [one["hidden"] for one in same] == [20, 20]
    varied = found("sea.txt", *TINY, "--seeds", 1, "--vary", "hidden=5,9", "--out", "varied")[
        "configurations"
    ]
    assert {one["hidden"] for one in varied} == {5, 9}


def test_lengths_are_compared(text: Path) -> None:
    request = [*TINY[:-2], "--vary", "steps=2,4", "--seeds", 1]
    for equal in ("hidden", "parameters"):
        one, other = found("sea.txt", *request, "--equal", equal, "--out", equal)["configurations"]
        long, short = sorted((one, other), key=lambda one: one["seeds"][0]["epochs"], reverse=True)
        assert (long["name"], short["name"]) == ("steps=4", "steps=2")
        assert long["seeds"][0]["epochs"] == 2 * short["seeds"][0]["epochs"]
    result = compare("sea.txt", *request, "--for", "1m", "--out", "both")
    assert result.exit_code == 2 and "--for and --steps both say how long" in result.stderr
    assert not Path("both").exists()
    Path("mine.toml").write_text('steps = 4\npace = "2:6"\n')
    recorded = found("sea.txt", *request, "--config", "mine.toml", "--out", "recorded")
    epochs = {one["seeds"][0]["epochs"] for one in recorded["configurations"]}
    assert len(epochs) == 2
    passes = *TINY[:-2], "--vary", "epochs=1,2", "--seeds", 1
    recorded = found("sea.txt", *passes, "--config", "mine.toml", "--out", "passes")
    assert len({one["seeds"][0]["epochs"] for one in recorded["configurations"]}) == 2


def test_cells_are_compared(text: Path) -> None:
    answer = found("sea.txt", *TINY, "--cells", "lstm,gru-after, rnn", "--seeds", 1)
    assert {one["name"]: one["settings"]["cell"] for one in answer["configurations"]} == {
        name: name for name in ("lstm", "gru-after", "rnn")
    }
    sizes = [one["parameters"] for one in answer["configurations"]]
    assert max(sizes) - min(sizes) < 0.2 * max(sizes)
    hidden = {one["name"]: one["hidden"] for one in answer["configurations"]}
    assert hidden["lstm"] == 6 < hidden["gru-after"] < hidden["rnn"]


def test_settings_come_from_preset_file_and_flags(text: Path) -> None:
    (text.parent / "mine.toml").write_text(
        'text = "sea.txt"\nhidden = 5\nout = "there"\nseed = 7\nlayers = 1\n'
    )
    request = [
        "--preset",
        "torch-rnn",
        "--config",
        "mine.toml",
        "--steps",
        3,
        "--batch-size",
        4,
        "--cells",
        "lstm",
    ]
    (one,) = found(*request, "--seeds", 2)["configurations"]
    assert one["name"] == "lstm" and [seed["seed"] for seed in one["seeds"]] == [7, 8]
    settings = one["settings"]
    assert [settings[name] for name in ("embedding", "hidden", "batch_size", "sample_every")] == [
        64,
        5,
        4,
        0,
    ]
    assert load_run("there/lstm-seed8/last.safetensors").config.seed == 8


def test_values_have_the_settings_types(text: Path) -> None:
    varied = [
        "--vary",
        "locked-dropout=true,no",
        "--vary",
        "clip_norm=2",
        "--vary",
        "init=uniform",
        "--vary",
        "patience=none,3",
    ]
    configurations = found("sea.txt", *TINY, "--seeds", 1, *varied)["configurations"]
    names = {one["name"]: one["settings"] for one in configurations}
    assert set(names) == {
        f"locked-dropout={locked} clip-norm=2 init=uniform patience={patience}"
        for locked in ("true", "false")
        for patience in ("none", "3")
    }
    settings = names["locked-dropout=true clip-norm=2 init=uniform patience=none"]
    assert (settings["locked_dropout"], settings["clip_norm"], settings["patience"]) == (
        True,
        2.0,
        None,
    )


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--cells", "lstm,lsm"], 2, "error: --cell must be one of lstm, peephole"),
        (
            ["--cells", "lstm,lstm"],
            2,
            "error: lstm would be compared with itself; give each value only once",
        ),
        (
            ["--cells", "lstm", "--vary", "cell=gru"],
            2,
            "error: --vary cell: named twice",
        ),
        (["--vary", "hidden"], 2, "error: --vary hidden: name a setting and its values"),
        (["--vary", "hidden="], 2, "error: --vary hidden=: name a setting and its values"),
        (
            ["--vary", "hiden=3"],
            2,
            "error: there is no setting 'hiden'; did you mean hidden?",
        ),
        (["--vary", "hidden=3,x"], 2, "error: --vary hidden: 'x' is not a whole number"),
        (["--vary", "hidden=3,0"], 2, "error: --hidden must be at least 1, not 0"),
        (["--vary", "layers=none"], 2, "error: --vary layers: 'none' is not a whole number"),
        (["--vary", "seed=1,2"], 2, "error: --vary seed: cannot be varied; --seed or --seeds"),
        (
            ["--vary", "hidden=3,4", "--equal", "parameters"],
            2,
            "error: --vary hidden and --equal parameters contradict",
        ),
        (["--seeds", "0"], 2, "error: --seeds must be 1 to 1000, not 0"),
        (["--threads", "0"], 2, "error: --threads must be 1 to 1024"),
        (["--hidden", "0"], 2, "error: --hidden must be at least 1, not 0"),
        (["--preset", "x"], 2, "error: there is no preset 'x'"),
        (
            ["--cells", "lstm", "--val-fraction", "0"],
            2,
            "error: configurations are compared by their loss on the validation text",
        ),
        (["none.txt"], 1, "error: none.txt: no such file or folder"),
        ([], 2, "error: nothing to compare: name cells or a setting's values, such as --cells"),
        (["--cells", "lstm,gur"], 2, "error: --cell must be one of lstm, "),
        (["--vary", "lr=1"], 2, "error: there is no setting 'lr'; did you mean learning_rate?"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(
    text: Path, arguments: list[str], status: int, said: str
) -> None:
    result = compare("sea.txt", *TINY, *arguments)
    assert result.exit_code == status
    assert result.stderr.startswith(said) and result.stderr.count("\n") == 1
    assert [path.name for path in text.parent.iterdir()] == ["sea.txt"]


def test_standard_input_is_read_once(text: Path) -> None:
    words = text.read_text()
    request = ["-", *TINY, "--seeds", 1]
    assert compare(*request, "--vary", "layers=1,2", input=words).exit_code == 0
    result = compare(*request, "--vary", "unit=char,byte", "--out", "b", input=words)
    assert result.exit_code == 2 and "standard input can be read only once" in result.stderr


def test_other_settings_in_the_same_folder_are_refused(text: Path) -> None:
    assert compare("sea.txt", *TINY, "--cells", "lstm", "--seeds", 1).exit_code == 0
    result = compare("sea.txt", *TINY, "--cells", "lstm", "--seeds", 1, "--dropout", "0.1")
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr == (
        "error: checkpoints/compare-sea contains another comparison "
        "(lstm: dropout unset, not 0.1); choose another --out\n"
    )


def test_quiet_prints_the_result_only(text: Path) -> None:
    result = compare("sea.txt", *TINY, "--cells", "lstm", "--seeds", 1, "--quiet")
    assert result.exit_code == 0 and result.stderr == ""
    assert "spread" not in result.stdout and "lstm" in result.stdout  # one seed has none


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_goes_on(text: Path, number: int) -> None:
    request = [*PROGRAM, *TINY, "--seeds", "1", "--vary", "steps=20,800", "--json"]
    whole = subprocess.run(
        [*request, "--out", "whole", "--quiet"], capture_output=True, text=True, timeout=SECONDS
    )
    with subprocess.Popen(
        [*request, "--out", "parts"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None and process.stdout is not None
        for line in process.stderr:
            if line.startswith("1 of 2: "):
                break
        while not Path("parts/steps=800-seed0/last.safetensors").exists():
            assert process.poll() is None
        process.send_signal(number)
        said, answer = process.stderr.read(), json.loads(process.stdout.read())
        assert process.wait(SECONDS) == 128 + number
    assert said.splitlines()[-1] == "stopped after 1 of 2 runs; run the same command to resume"
    assert not answer["finished"] and sorted(
        len(one["seeds"]) for one in answer["configurations"]
    ) == [0, 1]
    assert load_run("parts/steps=800-seed0/last.safetensors").step < 800
    again = subprocess.run(
        [*request, "--out", "parts"], capture_output=True, text=True, timeout=SECONDS
    )
    assert again.returncode == 0, again.stderr
    assert (
        "(already done)" in again.stderr.splitlines()[1]
        and "(already done)" not in again.stderr.splitlines()[-1]
    )

    def losses(text: str) -> list[Any]:
        return [
            (one["name"], one["validation_loss_mean"]) for one in json.loads(text)["configurations"]
        ]

    assert losses(again.stdout) == losses(whole.stdout)


@pytest.mark.parametrize(("columns", "no_color"), [(30, ""), (58, "1"), (120, "")])
def test_a_terminal_of_any_width(
    text: Path, monkeypatch: pytest.MonkeyPatch, columns: int, no_color: str
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    request = [*PROGRAM, *TINY, "--steps", "150", "--seeds", "2", "--vary", "dropout=0,0.5"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # env: a process that has readline in it passes on COLUMNS, which os.environ does not know of
    with subprocess.Popen(
        request, stdout=theirs, stderr=theirs, stdin=theirs, env=dict(os.environ)
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
        assert process.wait(SECONDS) == 0
    os.close(ours)
    plain = [
        re.sub("\x1b\\[[?0-9;]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", shown.decode())
    ]
    table = plain[next(k for k, line in enumerate(plain) if line.strip().startswith("config")) :]
    assert max(len(line.rstrip()) for line in table) <= columns
    assert sum(bool(re.search(r"\d\.\d{4}", line)) for line in table) == 2
    assert ("spread" in " ".join(table)) == (columns > 50) and ("epochs" in " ".join(table)) == (
        columns > 100
    )
    assert any(re.search(r"\d % [━─]", line) and "of 4" in line for line in plain)
    assert ("\x1b[1m" in shown.decode()) == (not no_color)


def test_help_has_its_groups_and_examples() -> None:
    shown = " ".join(compare("--help-all").output.split())
    for expected in (
        "Comparison: --cells CELL,...",
        "--vary NAME=VALUE,...",
        "Examples: charrnn compare",
        "--preset NAME|FILE",
    ):
        assert expected in shown
    assert "--resume" not in shown and "--init-from" not in shown


def test_of_equal_width_without_a_width(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def width_for(model: ModelConfig, *_: Any) -> int:
        return {"lstm": 12, "rnn": 20}[model.cell]

    monkeypatch.setattr(recipe, "width_for", width_for)
    request = "--cells", "lstm,rnn", "--seeds", 1, "--equal", "hidden", "--steps", 2
    given = found("sea.txt", *request, "--out", "wide")["configurations"]
    assert [one["hidden"] for one in given] == [12, 12]


def test_a_time_is_that_of_all_runs_and_the_same_command_goes_on(text: Path) -> None:
    request = [*TINY[:-2], "--cells", "lstm,gru", "--seeds", 1, "--for", "11s", "--out", "timed"]
    first = found("sea.txt", *request)["configurations"]
    hidden = json.loads(Path("timed/compare.json").read_text())["candidates"]["lstm"]["hidden"]
    assert {one["name"]: one["hidden"] for one in first}["lstm"] == hidden
    for cell in ("lstm", "gru"):
        run = load_run(f"timed/{cell}-seed0/last.safetensors")
        assert run.is_finished and run.config.steps is not None
    again = found("sea.txt", *request)["configurations"]
    assert [one["seeds"] for one in again] == [one["seeds"] for one in first]
    few = [*TINY[:-2], "--cells", "lstm,gru", "--seeds", 3, "--for", "11s", "--out", "few"]
    result = compare("sea.txt", *few)
    assert result.exit_code == 2 and "--for 11 seconds is too short for 6 runs" in result.stderr


@pytest.mark.parametrize("command", ["train", "compare", "tune", "sample"])
def test_help_is_short_and_all_of_it_is_there(command: str) -> None:
    brief, whole = (
        CliRunner(env={"COLUMNS": "80"}).invoke(cli, [command, flag]).stdout.splitlines()
        for flag in ("--help", "--help-all")
    )
    assert len(brief) <= 40 < len(whole)
    assert max(map(len, brief + whole)) <= 80
    assert sum(line.startswith("    ") for line in brief) >= 4
