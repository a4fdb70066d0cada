"""`charrnn train --for`: what it says, what it writes, and what contradicts it."""

from __future__ import annotations

import json
import re
import time
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from charrnn.cli import train_for
from charrnn.cli.main import cli
from charrnn.cli.train_for import plan_text
from charrnn.config.settings import ModelConfig, TrainConfig
from charrnn.training import recipe
from charrnn.training.run_file import load_run
from charrnn.tuning import planning
from tests.reference.small import TEXT

SMALL = ("--hidden", "16", "--layers", "1", "--threads", "1", "--out", "run")


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("song.txt").write_text(TEXT * 3)
    return "song.txt"


def started(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """The program, as if it had been started now."""
    monkeypatch.setattr(train_for, "STARTED", time.monotonic())
    return CliRunner().invoke(cli, ["train", *arguments])


def misjudge(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Let a machine seem so many times as slow as it is while the plan is made."""
    measure = planning._Planner._step_seconds
    monkeypatch.setattr(planning._Planner, "_step_seconds", lambda *given: factor * measure(*given))


@pytest.mark.parametrize(("seems", "word"), [(5.0, "faster"), (0.2, "slower")])
def test_what_is_said_and_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, text: str, seems: float, word: str
) -> None:
    # so small a text would be read 40 times in a moment
    monkeypatch.setattr(recipe, "MOST_PASSES", 1e6)
    misjudge(monkeypatch, seems)
    result = started(monkeypatch, text, *SMALL, "--for", "6s")
    assert result.exit_code == 0, result.output
    lines = result.stderr.splitlines()
    (planned,) = [line for line in lines if line.startswith("plan: ")]
    assert re.fullmatch(
        r"plan: 1 layer of 16 units, [\d,.]+ passes over the text, about \d+ s; "
        r"expect a loss near \d\.\d nats per character",
        planned,
    )
    said = [line for line in lines if line.startswith("running ")]
    changed = re.fullmatch(
        r"running (\w+) than planned: ([\d,]+) steps instead of ([\d,]+)[,;].*", said[0]
    )
    assert changed is not None and changed[1] == word
    steps, planned_steps = (int(number.replace(",", "")) for number in changed.groups()[1:])
    assert (steps > planned_steps) == (word == "faster")
    written = tomllib.loads(Path("run/config.toml").read_text())
    run = load_run("run/last.safetensors")
    assert f"training: {planned_steps:,} steps" in result.stderr
    assert f"ended at step {run.step:,}, the last" in result.stderr
    assert written["steps"] == run.config.steps == planned_steps and written["hidden"] == 16
    assert written["pace"] == run.config.pace and run.total_steps == run.step
    assert run.validations[-1]["learning_rate"] == 0
    again = CliRunner().invoke(
        cli, ["train", "--config", "run/config.toml", "--out", "again", "--threads", "1"]
    )
    assert again.exit_code == 0 and "running" not in again.stderr
    for name in ("last", "best"):
        one, other = (Path(f"{folder}/{name}.safetensors") for folder in ("run", "again"))
        assert one.read_bytes() == other.read_bytes()
    longer = CliRunner().invoke(cli, ["train", "--resume", "run", "--steps", str(run.step + 5)])
    assert longer.exit_code == 0 and load_run("run/last.safetensors").step == run.step + 5


def test_json_and_quiet_say_nothing_of_it(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    misjudge(monkeypatch, 1.4)
    result = started(monkeypatch, text, *SMALL, "--for", "5s", "--json", "--quiet")
    assert result.exit_code == 0
    assert "plan" not in result.stderr and '"finished": true' in result.stdout.splitlines()[-1]
    validations = [json.loads(line) for line in result.stdout.splitlines()[:-1]]
    assert len(validations) > 1 and validations[0]["sample"] and validations[-1]["sample"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--for", "soon"), "--for must be a time such as 90s, 20m or 2h30m, not 'soon'"),
        (("--for", "20"), "--for 20 has no unit: write 20s, 20m or 20h"),
        (("--for", "1:30"), "--for 1:30 has no unit: write 1h30m or 1m30s"),
        (("--max-time", "0.5"), "--max-time 0.5 has no unit: write 0.5s, 0.5m or 0.5h"),
        (("--for", "3s"), "--for must be at least 5 seconds"),
        (("--for", "1m", "--steps", "10"), "--for and --steps both say how long to train"),
        (("--for", "1m", "--epochs", "2"), "--for and --epochs both say how long to train"),
        (("--for", "1m", "--pace", "3:5"), "--for and --pace both say how long to train"),
        (("--for", "1m", "--max-time", "2m"), "--for and --max-time both say how long to train"),
    ],
)
def test_bad_input_is_one_line(
    monkeypatch: pytest.MonkeyPatch, text: str, flags: tuple[str, ...], said: str
) -> None:
    result = started(monkeypatch, text, *SMALL, *flags)
    assert (
        result.exit_code == 2
        and said in result.stderr.splitlines()[-1]
        and "Traceback" not in result.output
    )
    assert not Path("run").exists()


def test_a_run_that_goes_on_has_its_plan(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert started(monkeypatch, text, *SMALL, "--steps", "5").exit_code == 0
    result = started(monkeypatch, "--resume", "run", "--for", "1m")
    assert result.exit_code == 2 and "--for plans a new run" in result.stderr.splitlines()[-1]


def test_a_preset_gives_way(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What it says of the length; its other settings are those that were given."""
    result = started(monkeypatch, text, *SMALL, "--preset", "torch-rnn", "--for", "5s")
    assert result.exit_code == 0, result.output
    assert load_run("run/last.safetensors").config.epochs is None


def test_the_plan_says_that_ten_minutes_are_the_default() -> None:
    shown = plan_text(a_plan(steps=5, most=9), train_for.TEN_MINUTES)
    assert shown.endswith("; ten minutes at most, --for 2h would give more")
    assert "ten minutes" not in plan_text(a_plan(steps=5, most=9), "2h")
    assert plan_text(a_plan(steps=9, most=9), "10m").endswith("; more would only repeat the text")


def a_plan(steps: int, most: int) -> planning.Plan:
    model, training = ModelConfig(hidden=8), TrainConfig(steps=steps)
    return planning.Plan(model, training, 590.0, 1e4, 2.0, 1.5, 0.1, 1.0, 0.0, most)


def test_ten_minutes_are_the_default(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A text as short as this one has no more to give after a moment."""
    monkeypatch.setattr(recipe, "MOST_PASSES", 2.0)
    result = started(monkeypatch, text, *SMALL)
    assert result.exit_code == 0, result.output
    assert "more would only repeat the text" in result.stderr
    precision = load_run("run/last.safetensors").config.precision
    assert precision in (("bf16", "float32") if planning.INSTRUCTION else ("float32",))


def test_without_a_clock_nothing_is_measured_and_the_precision_is_float32(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(planning, "plan", None)
    result = started(monkeypatch, text, *SMALL, "--epochs", "1")
    assert result.exit_code == 0 and "plan" not in result.stderr
    assert load_run("run/last.safetensors").config.precision == "float32"
