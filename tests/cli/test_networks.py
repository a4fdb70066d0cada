"""A run of several networks: trained, interrupted, resumed, given more, looked at and used."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli import train_for
from charrnn.cli.main import cli
from charrnn.cli.train_display import Display
from charrnn.config import TrainConfig
from charrnn.errors import ConfigError
from charrnn.training import recipe
from charrnn.training.run_file import load_run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning import planning, replanning
from charrnn.tuning.question import Question
from tests.reference.small import TEXT, killed_at, small_corpus

TINY = (
    *("--hidden", "8", "--layers", "1", "--batch-size", "4", "--seq-length", "16"),
    *("--threads", "1", "--quiet"),
)
SHORT = (*TINY, "--steps", "12", "--eval-every", "4")
FILES = (
    *("best.safetensors", "best-2.safetensors", "last.safetensors"),
    *("2/best.safetensors", "2/last.safetensors", "steps.bin", "2/steps.bin", "config.toml"),
)


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    Path("song.txt").write_text(TEXT * 2)
    return "song.txt"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two networks."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "song.txt").write_text(TEXT * 2)
    invoke("train", folder / "song.txt", *SHORT, "--networks", 2, "--out", folder / "run")
    return folder / "run"


def invoke(*arguments: object, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == status, result.output
    return result


def contents(folder: str | Path, names: tuple[str, ...] = FILES) -> dict[str, bytes]:
    return {name: Path(folder, name).read_bytes() for name in names}


def interrupt(monkeypatch: pytest.MonkeyPatch, report: int) -> None:
    """Press Ctrl-C when this many steps of all networks have been shown."""
    shown, show = [0], Display.show

    def pressed(self: Display, *arguments: Any) -> None:
        show(self, *arguments)
        shown[0] += 1
        if shown[0] == report:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Display, "show", pressed)


@pytest.mark.parametrize("step", [6, 17])
def test_interrupted_and_resumed_is_uninterrupted(
    text: str, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    invoke("train", text, *SHORT, "--networks", 2, "--out", "whole")
    with monkeypatch.context() as patched:
        interrupt(patched, step)
        stopped = invoke("train", text, *SHORT, "--networks", 2, "--out", "parts", status=130)
    number = 1 if step < 12 else 2
    assert f"stopped at step {step - 12 * (number - 1)} of network {number} of 2" in stopped.stderr
    assert "charrnn train --resume parts" in stopped.stderr
    assert not Path("parts/best-2.safetensors").exists()
    assert json.loads(invoke("watch", "parts", "--json").stdout)["state"] == "stopped"
    result = invoke("train", "--resume", "parts", "--quiet")
    assert "2 networks together: validation loss" in result.stderr
    assert contents("parts") == contents("whole")


def test_another_network_and_more_steps_for_all(text: str) -> None:
    invoke("train", text, *SHORT, "--networks", 3, "--out", "three")
    invoke("train", text, *SHORT, "--out", "run")
    one = contents("run", ("best.safetensors", "steps.bin"))
    invoke("train", "--resume", "run", "--networks", 3, "--quiet")
    assert contents("run") == contents("three")
    assert contents("run", ("best-3.safetensors", "3/last.safetensors")) == contents(
        "three", ("best-3.safetensors", "3/last.safetensors")
    )
    assert contents("run", ("best.safetensors", "steps.bin")) == one
    invoke("train", "--resume", "run", "--steps", 20, "--quiet")
    runs = [load_run(f"run/{n}last.safetensors") for n in ("", "2/", "3/")]
    assert [run.step for run in runs] == [20, 20, 20]
    assert len({run.config.seed for run in runs}) == 3
    losses = [network.origin.loss for network in charrnn.load_mixture("run")]
    assert losses == [run.progress.best_loss for run in runs]


@pytest.mark.parametrize("step", [3, 11])
def test_more_steps_for_all_can_be_interrupted(
    text: str, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """While the first or the second of two networks, which had ended, is given eight more."""
    for out in ("whole", "parts"):
        invoke("train", text, *SHORT, "--networks", 2, "--out", out)
    more = "--steps", 20, "--threads", 1, "--quiet"
    invoke("train", "--resume", "whole", *more)
    with monkeypatch.context() as patched:
        interrupt(patched, step)
        invoke("train", "--resume", "parts", *more, status=130)
    invoke("train", "--resume", "parts", "--threads", 1, "--quiet")
    assert load_run("parts/2/last.safetensors").step == 20
    assert contents("parts") == contents("whole")


def test_a_time_after_the_end_is_for_more_networks_whatever_else_changes(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (planning, replanning):
        monkeypatch.setattr(module, "LEAST_SECONDS", 1.0)
    monkeypatch.setattr(recipe, "MOST_NETWORKS", 2)
    invoke("train", text, *TINY, "--steps", 5, "--networks", 2, "--out", "run")
    monkeypatch.setattr(train_for, "STARTED", time.monotonic())
    more = "--for", "1s", "--sample-every", 3
    invoke("train", "--resume", "run", *more, "--threads", 1, "--quiet")
    assert len(charrnn.load_mixture("run")) > 2


def test_fewer_networks_than_there_are(finished: Path) -> None:
    before = contents(finished)
    said = invoke("train", "--resume", finished, "--networks", 1, status=2).stderr
    assert "--networks 1" in said and "has more already" in said and "best-2.safetensors" in said
    text = finished.parent / "song.txt"
    words = ["train", text, *SHORT, "--networks", 1, "--out", finished, "--resume-or-start"]
    said = invoke(*words).stderr
    assert "for more networks: charrnn train --resume" in said
    assert "2 networks together" in said and contents(finished) == before


def test_networks_from_the_same_weights(text: str) -> None:
    invoke("train", text, *SHORT, "--networks", 2, "--out", "first")
    flags = ("--steps", 4, "--networks", 2, "--threads", 1, "--init-from", "first")
    result = invoke("train", text, *flags, "--out", "second")
    assert "starting from the first of 2 networks: first/best.safetensors" in result.stderr
    a, b = charrnn.load_mixture("second")
    weights = [network.model.parameters["decoder.weight"] for network in (a, b)]
    assert (weights[0] != weights[1]).any()


def test_a_time_is_shared_and_its_settings_repeat_every_network(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "LEAST_SECONDS", 1.0)
    monkeypatch.setattr(recipe, "MOST_PASSES", 1e6)
    measure = planning.Planner._step_seconds
    monkeypatch.setattr(planning.Planner, "_step_seconds", lambda *given: 5 * measure(*given))
    monkeypatch.setattr(train_for, "STARTED", time.monotonic())
    invoke("train", text, *TINY, "--for", "2s", "--networks", 2, "--out", "run")
    pace = tomllib.loads(Path("run/config.toml").read_text())["pace"]
    assert pace.count("|") == 1 and all(re.match(r"\d+:\d+", part) for part in pace.split(" | "))
    names = FILES[:5]
    invoke("train", text, "--config", "run/config.toml", "--quiet", "--out", "again")
    assert contents("again", names) == contents("run", names)
    invoke("train", "--resume", "run", "--for", "1s", "--quiet")
    assert len(charrnn.load_mixture("run")) > 2
    assert contents("run", names[:2]) == contents("again", names[:2])


def test_networks_that_learned_faster_than_planned_are_followed_by_others(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two are planned on a machine that seems slow; the number that came of it is recorded."""
    monkeypatch.setattr(recipe, "MOST_NETWORKS", 4)
    monkeypatch.setattr(recipe, "MOST_PASSES", 3.0)
    monkeypatch.setattr(recipe, "networks_for", lambda share: 2)
    monkeypatch.setattr(train_for, "STARTED", time.monotonic())
    asked = (text, *TINY, "--eval-every", 100)
    invoke("train", *asked, "--for", "20s", "--out", "run")
    assert len(charrnn.load_mixture("run")) == 4
    settings = tomllib.loads(Path("run/config.toml").read_text())
    assert settings["networks"] == load_run("run").config.networks == 4
    invoke("train", *asked, "--networks", 2, "--for", "20s", "--out", "two")
    assert len(charrnn.load_mixture("two")) == 2


def test_what_was_interrupted_goes_on_for_the_time_that_it_is_given(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not to the end of a plan of hours, and no networks are added before it has ended."""
    for module in planning, replanning:
        monkeypatch.setattr(module, "LEAST_SECONDS", 1.0)
    monkeypatch.setattr(recipe, "MOST_PASSES", 1e6)
    monkeypatch.setattr(train_for, "STARTED", time.monotonic())
    measure = planning.Planner._step_seconds
    monkeypatch.setattr(planning.Planner, "_step_seconds", lambda *given: measure(*given[:3], 0.2))
    flags = "--for", "2h", "--networks", 2, "--save-every", 10, "--out", "run"
    with killed_at(20):
        invoke("train", text, *TINY, *flags, status=130)
    assert load_run("run").step == 20
    monkeypatch.setattr(train_for, "STARTED", time.monotonic())
    invoke("train", "--resume", "run", "--for", "3s", "--networks", 2, "--quiet")
    assert load_run("run").is_finished and len(charrnn.load_mixture("run")) == 2
    with Path(text).open("a") as file:
        file.write(TEXT)
    before = [load_run(folder).step for folder in ("run", "run/2")]
    monkeypatch.setattr(train_for, "STARTED", time.monotonic())
    invoke("train", "--resume", "run", "--epochs", 1000, "--for", "3s", "--quiet", status=2)
    for folder in ("run", "run/2"):
        run = load_run(folder)
        run.change(epochs=float(run.epoch + 10**6), max_time="1s")
        RunFolder(folder).save_last(run)
    invoke("train", "--resume", "run", "--for", "3s", "--quiet")
    assert load_run("run").config.max_time is None
    after = [load_run(folder).step for folder in ("run", "run/2")]
    assert all(b > a + 50 for a, b in zip(before, after, strict=True))
    assert load_run("run").sha256 == load_run("run/2").sha256


def test_all_of_them_take_up_a_text_that_has_grown(text: str) -> None:
    invoke("train", text, *TINY, "--epochs", 3, "--networks", 2, "--out", "run")
    before = [load_run(folder).step for folder in ("run", "run/2")]
    with Path(text).open("a") as file:
        file.write(TEXT * 2)
    invoke("train", "--resume", "run", "--threads", 1, "--quiet")
    first, second = load_run("run"), load_run("run/2")
    assert first.sha256 == second.sha256 and first.is_finished and second.is_finished
    assert [first.step, second.step] == [first.total_steps] * 2 > before
    again = contents("run")
    invoke("train", "--resume", "run", "--threads", 1, "--quiet")
    assert contents("run") == again


def test_networks_that_have_ended_need_more_steps_for_a_text_that_has_grown(text: str) -> None:
    invoke("train", text, *TINY, "--steps", 5, "--networks", 2, "--out", "run")
    with Path(text).open("a") as file:
        file.write(TEXT * 2)
    before = contents("run")
    told = invoke("train", "--resume", "run", "--for", "3s", "--quiet", status=2).stderr
    assert "have come to their end: give them more, by --steps or --epochs" in told
    assert contents("run") == before
    invoke("train", "--resume", "run", "--steps", 9, "--threads", 1, "--quiet")
    first, second = load_run("run"), load_run("run/2")
    assert first.sha256 == second.sha256 and first.step == second.step == 9


def test_of_two_limits_both_stay(text: str) -> None:
    flags = text, *TINY, "--epochs", 3, "--networks", 2, "--out", "run", "--resume-or-start"
    invoke("train", *flags, "--steps", 5)
    invoke("train", *flags, "--steps", 7)
    for folder in ("run", "run/2"):
        config = load_run(folder).config
        assert (config.epochs, config.steps) == (3.0, 7) and load_run(folder).step == 7


def test_a_run_from_weights_is_repeated(text: str) -> None:
    invoke("train", text, *SHORT, "--out", "first")
    drops = "--dropout", 0.3, "--input-dropout", 0.25
    flags = "--init-from", "first", "--steps", 6, "--threads", 1, "--quiet"
    invoke("train", text, *flags, "--out", "second")
    invoke("train", text, *flags, *drops, "--out", "third")
    for folder in ("second", "third"):
        invoke("train", "--config", f"{folder}/config.toml", "--quiet", "--out", f"{folder}-again")
        assert contents(folder, FILES[:1]) == contents(f"{folder}-again", FILES[:1])
    model = load_run("third").model.config
    assert (model.dropout, model.input_dropout) == (0.3, 0.25)


def test_what_shows_a_run_says_what_it_shows(finished: Path) -> None:
    shown = invoke("info", finished).stdout
    alone = [network.origin.loss for network in charrnn.load_mixture(finished)]
    assert "networks" in shown and ", ".join(f"{loss:.4f}" for loss in alone) in shown
    told = json.loads(invoke("info", finished, "--json").stdout)
    assert [network["loss"] for network in told["networks"]] == alone
    assert "networks" not in json.loads(invoke("info", finished / "2", "--json").stdout)
    first, second = finished / "best.safetensors", finished / "best-2.safetensors"
    assert "used together" not in invoke("info", first).stdout
    assert json.loads(invoke("info", second, "--json").stdout)["run"] == {}
    page = finished.parent / "song.txt"
    assert "this is" not in invoke("report", second, "--text", page, "--out", "-").stderr
    for command, words in (("log", []), ("inspect --run", [page])):
        others = f"this is the first of 2 networks; the second: charrnn {command} {finished}/2"
        assert f"{others}\n" in invoke(*command.split(), finished, *words).stderr
        invoke(*shlex.split(others)[10:])
        assert "this is" not in invoke(*command.split(), finished / "2", *words).stderr
    assert "this is" not in invoke("inspect", page, "--run", finished / "best-2.safetensors").stderr
    now = json.loads(invoke("watch", finished, "--json").stdout)
    assert (now["network"], now["networks"], now["state"]) == (2, 2, "finished")
    assert "finished, at step 12 of 12 of network 2 of 2" in invoke("watch", finished).stdout


def test_watch_follows_the_network_that_is_trained(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, show = [], Display.show

    def watched(self: Display, *arguments: Any) -> None:
        show(self, *arguments)
        if self._report is not None and self._report.step == 9:
            seen.append(json.loads(invoke("watch", "run", "--json").stdout))

    with monkeypatch.context() as patched:
        patched.setattr(Display, "show", watched)
        result = CliRunner().invoke(cli, ["train", text, *SHORT, "--networks", "2", "--out", "run"])
    assert result.exit_code == 0, result.output
    assert [(now["network"], now["state"]) for now in seen] == [(1, "running"), (2, "running")]
    assert [now["step"] for now in seen] == [8, 8]


def test_watch_follows_networks_that_are_given_more(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke("train", text, *SHORT, "--networks", 2, "--out", "run")
    seen, show = [], Display.show

    def watched(self: Display, *arguments: Any) -> None:
        show(self, *arguments)
        if self._report is not None and self._report.step == 17:
            seen.append(json.loads(invoke("watch", "run", "--json").stdout))

    with monkeypatch.context() as patched:
        patched.setattr(Display, "show", watched)
        invoke("train", "--resume", "run", "--steps", 20, "--threads", 1)
    assert [(now["network"], now["state"]) for now in seen] == [(1, "running"), (2, "running")]
    interrupt(monkeypatch, 3)
    invoke("train", "--resume", "run", "--steps", 30, "--threads", 1, status=130)
    now = json.loads(invoke("watch", "run", "--json").stdout)
    assert (now["network"], now["state"]) == (1, "stopped")


def test_a_folder_is_used_and_named_as_one(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke("sample", finished, "--length", 40, "--seed", 3, "--prime", "")
    files = [finished / "best.safetensors", "--ensemble", finished / "best-2.safetensors"]
    assert (
        result.stdout == invoke("sample", *files, "--length", 40, "--seed", 3, "--prime", "").stdout
    )
    assert f"again: charrnn sample {finished} --length 40" in result.stderr
    heading = invoke("eval", finished).stdout.splitlines()[0]
    assert heading.startswith(f"{finished}, 2 networks on the validation part")
    weighted = invoke(
        *("sample", finished / "2", "--ensemble", f"{finished}:0.75", "--length", 9),
        *("--seed", 3, "--prime", "", "--adapt", finished.parent / "song.txt"),
    )
    again = shlex.split(weighted.stderr.partition("again: charrnn ")[2])
    assert f"{finished}:0.75" in again
    assert invoke(*again).stdout == weighted.stdout
    monkeypatch.chdir(finished.parent)
    Path("checkpoints").mkdir(exist_ok=True)
    shutil.copytree(finished, "checkpoints/run")
    newest = invoke("sample", "--length", 40, "--seed", 3, "--prime", "")
    assert newest.stdout == result.stdout
    assert "again: charrnn sample checkpoints/run --length" in newest.stderr


def test_authors_are_compared_by_all_their_networks(finished: Path) -> None:
    text = finished.parent / "song.txt"
    words = ["score", "--run", finished, "--run", finished / "2", text, "--json"]
    told = {run["run"]: run for run in json.loads(invoke(*words).stdout)["runs"]}
    nats = charrnn.score(charrnn.load_mixture(finished), text.read_text()).nats.sum()
    assert told[str(finished)]["nats"] == pytest.approx(nats, rel=1e-5)
    assert told[str(finished)]["nats"] < told[str(finished / "2")]["nats"] + 100


def test_comparisons_are_of_one_network_each(text: str) -> None:
    flags = ("--vary", "hidden=8,9", "--steps", 4)
    settings = Path(text).with_name("settings.toml")
    settings.write_text("networks = 2\n")
    (line,) = invoke("compare", text, *flags, "--config", settings, status=2).stderr.splitlines()
    assert "--networks 2" in line and "leave it out" in line
    for command in ("compare", "tune", "lr-find"):
        assert "--networks" not in invoke(command, "--help-all").stdout, command
    with pytest.raises(ConfigError, match=r"`networks` 2: .*; leave it out"):
        Question.checked(small_corpus(), None, TrainConfig(steps=4, networks=2), None, {}, ())


def test_steps_are_for_all_networks_even_as_many_as_were_planned(text: str) -> None:
    pace = "--steps", 12, "--pace", "4:8 | 4:8"
    invoke("train", text, *TINY, *pace, "--networks", 2, "--out", "run")
    assert [load_run(folder).step for folder in ("run", "run/2")] == [8, 8]
    invoke("train", "--resume", "run", "--steps", 12, "--threads", 1, "--quiet")
    assert [load_run(folder).step for folder in ("run", "run/2")] == [12, 12]
