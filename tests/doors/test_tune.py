"""`charrnn tune` and `charrnn.tune` with Optuna: the same trials again, after any interruption."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import charrnn
from charrnn.cli.main import cli
from charrnn.config.fields import Value
from charrnn.errors import ConfigError, RunError
from charrnn.training.run_folder import RunFolder
from charrnn.tuning.question import Question
from charrnn.tuning.search import JOURNAL, Asked, Search
from charrnn.tuning.space import Choices, Range, Space
from charrnn.tuning.trials import Trial
from charrnn.tuning.tune import _Tuning
from tests.reference.small import small_corpus

CORPUS = small_corpus(test_fraction=0.1)
TRAINING = charrnn.TrainConfig(steps=16, batch_size=3, seq_length=8, seed=5)
VARY: dict[str, Any] = {"hidden": [4, 6, 8], "layers": [1, 2]}
TINY = ["--steps", "12", "--batch-size", "4", "--seq-length", "16", "--threads", "1"]
TINY += ["--vary", "hidden=4..8", "--vary", "layers=1,2", "--cell", "lstm", "--repeats", "1"]
SECONDS = 120


def tune(folder: Path, trials: int = 6, **options: Any) -> Any:
    settings: dict[str, Any] = {"vary": VARY, "search": ["learning_rate"], "threads": 1}
    settings["repeats"] = 1
    return charrnn.tune(
        CORPUS, None, TRAINING, folder=folder, trials=trials, **(settings | options)
    )


def tuned(folder: Path, trials: int = 6, **options: Any) -> charrnn.Tuned:
    *_, last = tune(folder, trials, **options)
    assert last.tuned is not None and last.share == 1.0
    result: charrnn.Tuned = last.tuned
    return result


def summary(result: charrnn.Tuned) -> list[Any]:
    """What does not depend on the clock."""
    trials = [(t.number, t.settings, t.ended, t.validation_loss, t.passes) for t in result.trials]
    return [trials, result.settings, result.importance, result.unseen]


def test_the_same_seed_gives_the_same_trials_and_the_first_is_the_recipe(tmp_path: Path) -> None:
    first = tuned(tmp_path / "a")
    assert summary(first) == summary(tuned(tmp_path / "b"))
    assert len(first.trials) == 6 and first.importance is None
    recipe = charrnn.load_run(tmp_path / "a/trial-001/last.safetensors")
    model = charrnn.ModelConfig(hidden=8)  # 32 is the recipe's; 8 is the nearest of those asked for
    usual = charrnn.Run.new(CORPUS, model, recipe.config)
    list(charrnn.train(usual, CORPUS, threads=1))
    assert usual.config.learning_rate == recipe.config.learning_rate
    assert usual.history == recipe.history
    best = first.best
    assert best is not None and best.validation_loss == min(
        t.validation_loss for t in first.trials if t.is_complete
    )
    assert best.number > 1 and first.unseen is not None and first.unseen.repeats == 1
    again = charrnn.load_run(tmp_path / f"a/trial-{best.number:03d}-again-1/last.safetensors")
    assert again.config.seed == TRAINING.seed + 1
    assert again.model.config.hidden == best.settings["hidden"]
    others = charrnn.tune(
        CORPUS,
        None,
        charrnn.TrainConfig(steps=16, batch_size=3, seq_length=8, seed=6),
        folder=tmp_path / "c",
        trials=3,
        vary=VARY,
        search=["learning_rate"],
    )
    settings = [event.trial.settings for event in others if event.trial]
    assert settings[1:] != [t.settings for t in sorted(first.trials, key=lambda t: t.number)][1:3]


def test_an_interrupted_tuning_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = tuned(tmp_path / "whole")
    for stop in (5, 20, 3, 30):  # events: within the first trial, in later ones
        events = tune(tmp_path / "parts")
        for _ in range(stop):
            next(events)
        events.close()
    assert summary(tuned(tmp_path / "parts")) == summary(whole)
    assert summary(tuned(tmp_path / "parts")) == summary(whole)  # nothing is left to do
    longer = tuned(tmp_path / "parts", trials=7)
    assert summary(longer) == summary(tuned(tmp_path / "longer", trials=7))


def test_trials_are_stopped_early(tmp_path: Path) -> None:
    result = tuned(tmp_path, trials=16)
    stopped = [trial for trial in result.trials if trial.ended == "stopped"]
    assert stopped and all(trial.percent < 100 for trial in stopped)
    assert len([trial for trial in result.trials if trial.is_complete]) >= 4
    assert result.importance is not None and sum(result.importance.values()) == pytest.approx(1)
    assert {*result.importance} == {"hidden", "layers", "learning_rate"}
    last = charrnn.load_run(tmp_path / f"trial-{stopped[0].number:03d}/last.safetensors")
    assert last.step < last.total_steps


def test_events_of_ended_trials_are_the_same_again(tmp_path: Path) -> None:
    def settings() -> dict[int, Any]:
        events = tune(tmp_path, trials=2, repeats=0)
        return {event.number: dict(event.settings) for event in events if event.trial}

    assert settings() == settings()


def test_nothing_is_repeated_when_no_time_is_left(tmp_path: Path) -> None:
    """As when a tuning goes on with a shorter time; short runs say nothing of longer ones."""
    tuned(tmp_path, repeats=0)
    (tmp_path / "seconds.json").write_text('{"seconds": 100}')
    result = tuned(tmp_path, duration=60)
    assert result.unseen is not None and result.unseen.repeats == 0
    assert not [*tmp_path.glob("*-again-*")]
    repeated = tuned(tmp_path, duration=200)
    assert repeated.unseen is not None and repeated.unseen.repeats == 1


def test_another_tuning_in_the_folder_is_refused(tmp_path: Path) -> None:
    tuned(tmp_path / "x", trials=1)
    with pytest.raises(RunError, match=r"x contains another tuning \(vary .*\); choose another"):
        tuned(tmp_path / "x", trials=1, vary={"hidden": [4, 6]})
    journal = tmp_path / "x/journal.jsonl"
    for damaged in (journal.read_text().replace('"passes"', '"p"'), '{"op_code": 99}\n{"a": 1}\n'):
        journal.write_text(damaged)
        with pytest.raises(RunError, match=r"journal\.jsonl is damaged; choose another `folder`"):
            tuned(tmp_path / "x", trials=1)
    (tmp_path / "x/tune.json").write_text("[]")
    with pytest.raises(RunError, match="cannot read the plan; choose another `folder`"):
        tuned(tmp_path / "x", trials=1)
    events = tune(tmp_path / "y")
    next(events)
    with pytest.raises(RunError, match="another process"):
        next(tune(tmp_path / "y"))
    events.close()


def test_what_cannot_be_tuned(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"trials": None}, "how long to tune is missing: set `duration` or `trials`"),
        ({"trials": 0}, "`trials` must be at least 1"),
        ({"repeats": -1}, "`repeats` must be 0 to 100"),
        ({"each": "5s"}, "`each` and `steps` both say how long a trial is"),
        ({"duration": 3}, "`duration` must be at least 5 seconds"),
        ({"training": charrnn.TrainConfig()}, "how long a trial is is missing"),
        (
            {"training": charrnn.TrainConfig(), "each": "1m", "duration": "30s"},
            "`duration` must be at least as long as `each`",
        ),
    ]
    for options, message in wrong:
        arguments: dict[str, Any] = {"training": TRAINING, "folder": tmp_path / "x", "trials": 1}
        with pytest.raises(ConfigError, match=message):
            charrnn.tune(CORPUS, **(arguments | options))
    with pytest.raises(ConfigError, match="there is none: use a larger `val_fraction`"):
        charrnn.tune(small_corpus(val_fraction=0.0), None, TRAINING, folder=tmp_path, trials=1)


SPACE: Space = {
    "learning_rate": Range(0.3, 3.0, of_recipe=True),
    "hidden": Choices((32, 64, 128)),
    "dropout": Range(0.0, 0.3),
    "cell": Choices(("lstm", "gru")),
}
FIRST: dict[str, Value] = {"learning_rate": 1.0, "hidden": 64, "dropout": 0.0, "cell": "lstm"}


def loss_at(point: dict[str, Value]) -> float:
    """Only the dropout matters."""
    assert isinstance(point["dropout"], float) and isinstance(point["learning_rate"], float)
    return 1 + 10 * (point["dropout"] - 0.2) ** 2 + 1e-3 * point["learning_rate"]


def finish(folder: Path, trials: int) -> list[dict[str, Any]]:
    """Search to this number of trials, the third of which is stopped early."""
    search = Search(folder, SPACE, FIRST, 3)
    asked: list[Asked] = search.unfinished()
    while asked or search.asked < trials:
        one = asked.pop(0) if asked else search.ask()
        loss = loss_at(one.point)
        end = None if one.number == 3 else loss
        search.tell(one.number, end, {25: loss + 1}, {"number": one.number, **one.point})
    return search.records()


def test_a_search_goes_on_from_every_line_of_its_journal(tmp_path: Path) -> None:
    whole = finish(tmp_path, 4)
    assert whole[0] == {"number": 1, **FIRST} and len(whole) == 4
    journal = (tmp_path / JOURNAL).read_bytes()
    lines = journal.splitlines(keepends=True)
    for k in range(len(lines)):
        for rest in (b"", lines[k][:-5]):  # a line that was torn off
            (tmp_path / JOURNAL).write_bytes(b"".join(lines[:k]) + rest)
            assert finish(tmp_path, 4) == whole


def test_the_importance_is_that_of_what_matters(tmp_path: Path) -> None:
    finish(tmp_path, 9)
    assert Search(tmp_path, SPACE, FIRST, 3).importance() is None
    finish(tmp_path, 40)
    search = Search(tmp_path, SPACE, FIRST, 3)
    importance = search.importance()
    assert importance is not None and importance["dropout"] > 0.5
    best = min(search.records(), key=loss_at)
    assert abs(best["dropout"] - 0.2) < 0.02  # the search comes near the best
    assert len(search.on_the_way()) == 39


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(charrnn.__file__).parents[1]))
    words = random.Random(1).choices(["the", "sea", "sings", "of", "a", "stone", "king\n"], k=3000)
    path = tmp_path / "sea.txt"
    path.write_text(" ".join(words), encoding="utf-8")
    return path


def command(*words: str, status: int = 0) -> Any:
    result = CliRunner().invoke(cli, list(words))
    assert result.exit_code == status, result.output
    return result


def test_the_command_prints_a_table_and_settings_that_train_takes(text: Path) -> None:
    words = ["tune", "sea.txt", *TINY, "--trials", "11"]
    result = command(*words)
    heading, *rows = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert " ".join(heading).startswith("trial loss (nats) hidden layers rate dropout decay")
    assert any(row[:2] == ["1", "(recipe)"] for row in rows)
    assert "11 trials" in result.stdout and "importance: " in result.stdout
    answer = json.loads(command(*words, "--json", "--quiet").stdout)
    assert answer["finished"] and answer["best"] == answer["trials"][0]["number"]
    unseen = answer["unseen"]
    assert unseen["characters"] > 1000
    if answer["best"] > 1:
        line = f"on {unseen['characters']:,} characters that tuning did not see"
        assert line in result.stdout and f"{abs(unseen['gain']):.4f} " in result.stdout
        assert f"charrnn train sea.txt --config {answer['config']} --steps 12" in result.stdout
    command("train", "sea.txt", "--config", answer["config"], "--steps", "2", "--out", "again")
    trained = charrnn.load_run("again/last.safetensors")
    for name, value in answer["settings"].items():
        config = trained.model.config if hasattr(trained.model.config, name) else trained.config
        assert getattr(config, name) == value
    own = Path(answer["folder"]) / f"trial-{answer['best']:03d}-again-1"
    assert f"{unseen['best']:.4f}" in command("eval", str(own), "--split", "test").stdout


def test_bad_flags_are_one_line(text: Path) -> None:
    for words, said in (
        (["--vary", "hidden=1..x"], "--vary hidden: 'x' is not a whole number"),
        (["--vary", "hidden=4,8", "--hidden", "4"], "--vary hidden and --hidden contradict"),
        (["--vary", "dropout=0.5..0.1"], "--dropout must go from a lower to a higher"),
        (["--trials", "3"], "--trials: say how long each is, by --each, --steps or --epochs"),
        (["--for", "1h", "--each", "1s"], "--each must be at least 5 seconds"),
        (["--for", "1m", "--each", "2m"], "--for must be at least as long as --each, 120 seconds"),
        (["--each", "1m", "--epochs", "2"], "--each and --epochs both say how long a trial is"),
        (["--vary", "seed=1,2"], "--vary seed: cannot be varied"),
        (["--steps", "5", "--vary", "parts=1,3", "--batch-size", "8"], "be divided into 3 --parts"),
    ):
        result = command("tune", "sea.txt", *words, status=2)
        (line,) = [
            line for line in result.stderr.splitlines() if not line.startswith("compiling kernels")
        ]
        assert result.stdout == "" and said in line
    assert not list(Path().glob("checkpoints/*/*.json"))  # a plan would refuse the right command


def test_the_command_to_train_with_the_best_reads_the_same_texts(text: Path) -> None:
    text.rename("-sea.txt").with_name("the end.txt").write_text("a stone sings of the sea " * 99)
    fixed = ["--cell", "lstm", "--hidden", "4", "--layers", "1", "--dropout", "0"]
    fixed += ["--weight-decay", "0", "--optimizer", "adam", "--vary", "learning-rate=0,0.1"]
    words = [*TINY[:8], *fixed, "--trials", "4", "--validation", "the end.txt", "--", "-sea.txt"]
    *_, line = command("tune", *words).stdout.splitlines()
    expected = "train ./-sea.txt --validation 'the end.txt' --config checkpoints/tune-sea/"
    assert line == f"to train with the best: charrnn {expected}config.toml --steps 12"
    command(*shlex.split(line)[6:], "--out", "best", "--quiet")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_and_the_same_command_goes_on(text: Path, number: int) -> None:
    words = ["tune", "sea.txt", *TINY, "--trials", "4", "--steps", "250", "--json", "--out"]
    program = [sys.executable, "-W", "error", "-m", "charrnn", *words, "parts"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + SECONDS
        while not Path("parts/trial-002/last.safetensors").exists() and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(process.pid, number)
        answer, said = process.communicate(timeout=SECONDS)
    if number == signal.SIGINT:
        assert process.returncode == 130 and json.loads(answer)["finished"] is False
        assert said.decode().endswith("stopped after 1 trial; run the same command to resume\n")
    results = [json.loads(command(*words, out).stdout) for out in ("parts", "whole")]
    parts, whole = (
        [(t["number"], t["settings"], t["ended"], t["validation_loss"]) for t in result["trials"]]
        for result in results
    )
    assert parts == whole and results[0]["unseen"] == results[1]["unseen"]


def test_a_time_is_that_of_all_trials(text: Path) -> None:
    words = ["tune", "sea.txt", *TINY[2:], "--quiet", "--json", "--for"]
    answer = json.loads(command(*words, "16s", "--each", "5.2s").stdout)
    assert len(answer["trials"]) >= 2
    last = charrnn.load_run("checkpoints/tune-sea/trial-001/last.safetensors")
    assert last.config.steps is not None and last.is_finished
    assert last.config.precision in ("float32", "bf16", "amx")
    again = json.loads(command(*words, "16.1s").stdout)  # as long each, and the time is over
    assert again["trials"] == answer["trials"] and again["unseen"] == answer["unseen"]
    folder = Path("checkpoints/tune-sea/trial-001")  # what the clock decided is recorded there
    command("train", "--config", str(folder / "config.toml"), "--out", "again", "--quiet")
    assert Path("again/last.safetensors").read_bytes() == (folder / "last.safetensors").read_bytes()


def test_of_trials_of_steps_the_recipe_s_says_how_many_repeats_there_is_time_for() -> None:
    asked = Question.checked(CORPUS, None, TRAINING, None, {}, None)
    tuning = _Tuning(asked, RunFolder("unused"), 3600.0, None, 2, 1)
    for seconds, repeats in ((100.0, 2), (400.0, 1), (600.0, 0)):
        trial = Trial(1, {}, "complete", 100, 1.5, 8, 100, 1.0, 1e4, seconds)
        tuning.search = SimpleNamespace(records=lambda trial=trial: [trial.as_json()])
        assert tuning.repeats == repeats


def test_a_time_in_a_file_and_a_length_that_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is that of all trials, and --each wins over a preset's length of a run."""
    asked: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("charrnn.cli.tune._run", lambda *given: asked.append(given) or 0)
    Path("sea.txt").write_text("the sea sings of a stone\n" * 99)
    Path("mine.toml").write_text('for = "2h"\n')
    for flags in (
        ("--config", "mine.toml", "--steps", "2000"),
        ("--preset", "char-rnn", "--each", "5m", "--trials", "3"),
    ):
        result = CliRunner().invoke(cli, ["tune", "sea.txt", *flags])
        assert result.exit_code == 0, result.output
    (_, _, first), (second, _, length) = asked
    assert first.duration == 7200.0 and first.trials is None
    assert length.each == 300.0 and not {"steps", "epochs"} & second.settings.keys()
