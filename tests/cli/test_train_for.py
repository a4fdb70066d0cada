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
from charrnn.config.settings import ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.training import recipe
from charrnn.training.run_file import load_run
from charrnn.tuning import planning
from tests.reference.small import TEXT, killed_at

SMALL = ("--hidden", "16", "--layers", "1", "--threads", "1", "--out", "run", "--networks", "1")


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
    measure = planning.Planner._step_seconds
    monkeypatch.setattr(planning.Planner, "_step_seconds", lambda *given: factor * measure(*given))


def test_a_given_length_wins_over_a_recorded_pace(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    first = started(monkeypatch, text, *SMALL, "--steps", "30", "--pace", "10:40")
    assert first.exit_code == 0, first.output
    assert tomllib.loads(Path("run/config.toml").read_text())["pace"] == "10:40"
    short = "--config", "run/config.toml", "--steps", "5", "--out", "short"
    assert started(monkeypatch, *short).exit_code == 0
    assert load_run("short/last.safetensors").step == 5
    passes = "--config", "short/config.toml", "--epochs", "2", "--out", "long"
    assert started(monkeypatch, *passes).exit_code == 0
    assert load_run("long/last.safetensors").step > 5
    Path("mine.toml").write_text('for = "20m"\n')
    timed = text, *SMALL[:-4], "--config", "mine.toml", "--steps", "3", "--out", "timed"
    assert started(monkeypatch, *timed).exit_code == 0
    assert load_run("timed/last.safetensors").step == 3


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
        r"plan: 1 layer of 16 units, [\d,.]+ passes over the text, about \d+ s",
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
    objects = [json.loads(line) for line in result.stdout.splitlines()[:-1]]
    validations = [found for found in objects if "event" not in found]
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


def given_more(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Result, int]:
    """The program that resumes the run for some seconds; and how many steps that were."""
    before = load_run("run/last.safetensors").step
    result = started(monkeypatch, "--resume", "run", "--threads", "1", *arguments)
    assert result.exit_code == 0, result.output
    run = load_run("run/last.safetensors")
    assert run.step == run.total_steps and run.validations[-1]["learning_rate"] == 0
    return result, run.step - before


def test_a_run_is_given_more_time_and_more_again(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A finished one learns on at a rate that rises again, and all of it can be repeated."""
    assert started(monkeypatch, text, *SMALL, "--steps", "60").exit_code == 0
    for duration in ("6s", "5 sec"):
        step = load_run("run/last.safetensors").step
        result, _ = given_more(monkeypatch, "--for", duration)
        (plan,) = [line for line in result.stderr.splitlines() if line.startswith("plan: ")]
        assert re.fullmatch(
            r"plan: [\d,]+ steps more, [\d,.]+ passes over the text, about \d+ s; the learning "
            "rate rises again to 50% of its peak",
            plan,
        )
        run = load_run("run/last.safetensors")
        assert f"{step}+" in (run.config.pace or "")
        assert [entry["step"] for entry in run.validations].count(step) == 1
    run, settings = (
        load_run("run/last.safetensors"),
        tomllib.loads(Path("run/config.toml").read_text()),
    )
    assert settings["pace"] == run.config.pace and run.config.pace.startswith("60+")
    again = CliRunner().invoke(
        cli, ["train", "--config", "run/config.toml", "--out", "again", "--threads", "2"]
    )
    assert again.exit_code == 0, again.output
    for name in ("last", "best"):
        one, other = (Path(f"{folder}/{name}.safetensors") for folder in ("run", "again"))
        assert one.read_bytes() == other.read_bytes()


def test_a_run_that_was_stopped_is_given_time(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """By its --max-time, which it then no longer has; the rest of its curve is spread."""
    flags = ("--steps", "1000000000", "--max-time", "0.3s")
    assert started(monkeypatch, text, *SMALL, *flags).exit_code == 0
    step = load_run("run/last.safetensors").step
    result, _ = given_more(monkeypatch, "--for", "5s")
    assert "rises again" not in result.stderr
    assert "max_time" not in tomllib.loads(Path("run/config.toml").read_text())
    assert (load_run("run/last.safetensors").config.pace or "").startswith(f"{step}:")


def test_patience_has_to_be_larger_too(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    flags = ("--learning-rate", "0", "--eval-every", "2", "--patience", "1", "--steps", "99")
    assert started(monkeypatch, text, *SMALL, *flags).exit_code == 0
    result = started(monkeypatch, "--resume", "run", "--for", "5s")
    assert result.exit_code == 2 and (
        "the run was ended by its --patience 1; give a larger one with --for 5s" in result.stderr
    )
    result = started(monkeypatch, "--resume", "run", "--for", "5s", "--patience", "2")
    assert result.exit_code == 0 and load_run("run/last.safetensors").step > 4


def test_more_time_and_another_length_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    assert started(monkeypatch, text, *SMALL, "--steps", "5").exit_code == 0
    result = started(monkeypatch, "--resume", "run", "--for", "1m", "--steps", "9")
    assert result.exit_code == 2 and "--for and --steps both say how long" in result.stderr
    result = started(monkeypatch, "--resume", "run", "--max-time", "3m")
    assert result.exit_code == 0 and (
        "run is finished (5 steps, 0.2 epochs); for 3m more: charrnn train --resume run --for 3m\n"
        in result.stderr
    )
    Path("mine.toml").write_text('for = "1h"\n')  # says how long a new run is to be
    result = started(monkeypatch, "--resume", "run", "--config", "mine.toml")
    assert result.exit_code == 0 and "run is finished" in result.stderr


def test_a_script_that_is_run_again(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """The same command starts the run, resumes it, and leaves it when it is finished."""
    command = (text, *SMALL, "--for", "6s", "--resume-or-start", "--save-every", "1")
    with killed_at(20):
        assert started(monkeypatch, *command).exit_code == 130
    assert load_run("run/last.safetensors").step == 20
    result = started(monkeypatch, *command)
    assert result.exit_code == 0 and "of --for are left" in result.stderr, result.output
    assert "resumed at step 20" in result.stderr
    done = Path("run/last.safetensors").read_bytes()
    result = started(monkeypatch, *command)
    assert result.exit_code == 0 and "run is finished" in result.stderr
    assert Path("run/last.safetensors").read_bytes() == done


def test_a_script_with_a_number_of_steps(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What the run was given by hand in between stays, and a larger number is taken over."""
    command = (text, *SMALL, "--resume-or-start", "--steps")
    assert started(monkeypatch, *command, "9").exit_code == 0
    _, more = given_more(monkeypatch, "--for", "5s")
    result = started(monkeypatch, *command, "9")
    assert result.exit_code == 0 and "run is finished" in result.stderr
    assert load_run("run/last.safetensors").total_steps == 9 + more
    assert started(monkeypatch, *command, str(9 + more + 3)).exit_code == 0
    assert load_run("run/last.safetensors").step == 9 + more + 3
    for flags, said in (
        ((text, "--resume-or-start", "--steps", "9"), "--resume-or-start needs --out"),
        (("--resume", "run", "--resume-or-start"), "leave one of them out"),
    ):
        result = started(monkeypatch, *flags)
        assert result.exit_code == 2 and said in result.stderr


def test_a_preset_gives_way(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What it says of the length; its other settings are those that were given."""
    result = started(monkeypatch, text, *SMALL, "--preset", "torch-rnn", "--for", "5s")
    assert result.exit_code == 0, result.output
    assert load_run("run/last.safetensors").config.epochs is None


def test_the_plan_says_that_ten_minutes_are_the_default() -> None:
    shown = plan_text(a_plan(steps=5, most=9), is_at_most=True)
    assert shown.endswith("; ten minutes at most, --for 2h would give more")
    assert "ten minutes" not in plan_text(a_plan(steps=5, most=9), is_at_most=False)
    repeats = "; more would only repeat the text"
    assert plan_text(a_plan(steps=9, most=9), is_at_most=False).endswith(repeats)
    shown = plan_text(a_plan(steps=9, most=9), is_at_most=True)
    assert shown.endswith(f"{repeats}, but --for 10m trains more networks")
    shown = plan_text(a_plan(steps=5, most=9, networks=3), is_at_most=False)
    assert shown.startswith("plan: 3 networks with 2 layers of 8 units, 2.0 passes over the text ")
    assert "each, about 30 min" in shown and "expect" not in shown


def a_plan(steps: int, most: int, networks: int = 1) -> planning.Plan:
    model, training = ModelConfig(hidden=8), TrainConfig(steps=steps, networks=networks)
    return planning.Plan(model, training, 590.0, 1e4, 2.0, 0.1, 1.0, 0.0, most, 0.0)


def test_ten_minutes_are_the_default(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A text as short as this one has no more to give after a moment."""
    monkeypatch.setattr(recipe, "MOST_PASSES", 2.0)
    result = started(monkeypatch, text, *SMALL)
    assert result.exit_code == 0, result.output
    assert "more would only repeat the text" in result.stderr
    precision = load_run("run/last.safetensors").config.precision
    assert precision in ("float32", planning.rounded_precision())


def test_without_a_clock_nothing_is_measured_and_the_precision_is_float32(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(planning, "plan", None)
    result = started(monkeypatch, text, *SMALL, "--epochs", "1")
    assert result.exit_code == 0 and "plan" not in result.stderr
    assert load_run("run/last.safetensors").config.precision == "float32"
