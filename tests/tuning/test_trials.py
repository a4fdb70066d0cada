"""Trials: when one is stopped, how they rank, and what the end of a tuning says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn.config import CorpusConfig, ModelConfig, TrainConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import evaluate
from charrnn.tuning.candidates import Candidate
from charrnn.tuning.compared_run import ComparedRun
from charrnn.tuning.search import check_installed
from charrnn.tuning.trials import (
    Early,
    Trial,
    TrialEnd,
    TrialRun,
    early_losses,
    limits,
    over_limit,
    ranked,
)
from charrnn.tuning.tuned import (
    BLOCK,
    Tuned,
    Unseen,
    measure_unseen,
    settings_to_write,
    standard_error,
)
from tests.reference.small import small_corpus

CORPUS = small_corpus(test_fraction=0.1)
SHORT: dict[str, Any] = {
    **{"steps": 16, "batch_size": 3, "seq_length": 8, "eval_every": 4},
    **{"learning_rate": 0.01, "sample_every": 0},
}


def entries(*points: tuple[int, float | None]) -> list[dict[str, Any]]:
    return [{"step": step, "validation_loss": loss} for step, loss in points]


def trial(number: int, loss: float | None, ended: Any = "complete", percent: int = 100) -> Trial:
    return Trial(number, {"hidden": 9}, ended, percent, loss, 9, 100, 1.0, 5.0, 2.0)


def test_losses_at_equal_shares_of_the_time() -> None:
    # 25 lies between 20 and 40, 50 between 40 and 60
    points = entries((20, 3.0), (40, 2.0), (60, 1.5), (70, None))
    assert early_losses(points, 100) == {25: pytest.approx(2.75), 50: pytest.approx(1.75)}
    assert early_losses(points[:1], 100) == early_losses([], 100) == {}
    assert early_losses(entries((30, 3.0), (75, 2.0)), 100)[25] == 3.0  # there is none before
    assert early_losses(entries((5, 3.0), (10, 2.0), (20, 1.0)), 20) == {25: 3.0, 50: 2.0, 75: 1.5}


def test_a_trial_is_stopped_above_the_median_of_four() -> None:
    ended: list[Early] = [{25: loss, 50: loss - 1} for loss in (4.0, 3.0, 2.0, 5.0)]
    assert limits(ended[:3]) == {}
    most = limits(ended)
    assert most == {25: 3.5, 50: 2.5}
    assert over_limit({25: 3.5}, most) is None and over_limit({25: 3.6}, most) == 25
    assert over_limit({25: 3.0, 50: 2.6}, most) == 50 and over_limit({75: 9.0}, most) is None


def run_of(folder: Path, most: Early, **model: Any) -> TrialRun:
    config = ModelConfig(**({"layers": 1, "hidden": 7} | model))
    candidate = Candidate("trial-002", CORPUS, config, TrainConfig(**SHORT))
    run = ComparedRun(candidate, 0, charrnn.RunFolder(folder / "trial-002"), 1)
    return TrialRun(2, {"hidden": 7, "weight_decay": 1.0}, run, most)


def end_of(run: TrialRun) -> TrialEnd:
    *_, (share, report, end) = run.events()
    assert share == 1.0 and report is None and end is not None
    return end


def test_a_trial_runs_to_its_end_or_is_stopped_where_it_is_bad(tmp_path: Path) -> None:
    whole = end_of(run_of(tmp_path / "whole", {}))
    assert whole.trial.ended == "complete" and whole.trial.is_complete
    assert list(whole.early) == [25, 50, 75] and whole.trial.passes > 0
    best = charrnn.load(tmp_path / "whole/trial-002/best.safetensors")
    loss = evaluate(best.model, CORPUS.validation).nats_per_char
    assert whole.trial.validation_loss == loss
    decay = whole.trial.settings["weight_decay"]  # what the run has, not the point of the search
    assert whole.trial.settings["hidden"] == 7 and decay not in (None, 1.0)
    most = {25: 99.0, 50: whole.early[50] - 1e-6, 75: 0.0}
    for _ in range(2):  # once more: as after a kill before anyone was told
        stopped = end_of(run_of(tmp_path / "bad", most))
        assert (stopped.trial.ended, stopped.trial.percent) == ("stopped", 50)
        assert stopped.early == {25: whole.early[25], 50: whole.early[50]}
        assert not stopped.trial.is_complete
    run = charrnn.load_run(tmp_path / "bad/trial-002/last.safetensors")
    assert 8 <= run.step <= 10


def test_an_interrupted_trial_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = end_of(run_of(tmp_path / "whole", {}))
    events = run_of(tmp_path / "parts", {}).events()
    for _ in range(6):
        next(events)
    events.close()  # type: ignore[attr-defined]
    again = end_of(run_of(tmp_path / "parts", {}))
    assert again.early == whole.early
    assert again.trial.validation_loss == whole.trial.validation_loss


def test_a_trial_that_diverges_has_an_end(tmp_path: Path) -> None:
    run = run_of(tmp_path, {})
    wild = TrainConfig(**SHORT | {"optimizer": "sgd", "learning_rate": 1e3, "l2": 1e3})
    run.run.candidate = Candidate("wild", CORPUS, run.run.candidate.model, wild)
    end = end_of(run)
    assert end.trial.ended == "diverged" and end.early == {} and not end.trial.is_complete


def test_a_trial_that_cannot_begin_has_an_end_unless_it_is_the_first(tmp_path: Path) -> None:
    run = run_of(tmp_path, {})
    run.run.share, run.run.candidate = 5.0, replace_steps(run.run.candidate)
    end = end_of(run)
    assert (end.trial.ended, end.trial.percent, end.early) == ("failed", 0, {})
    assert end.trial.reason is not None and "both say how long" in end.trial.reason
    run.number = 1
    with pytest.raises(ConfigError, match="both say how long"):
        list(run.events())


def replace_steps(candidate: Candidate) -> Candidate:
    """With a time, too, which contradicts the steps."""
    training = TrainConfig(**SHORT | {"max_time": "9s"})
    return Candidate("x", candidate.corpus, candidate.model, training)


def test_the_best_trial_comes_first() -> None:
    trials = [
        trial(1, 2.0),
        trial(2, 1.0, "stopped", 25),
        trial(3, 1.5),
        trial(4, 1.9, "stopped", 50),
        trial(5, None, "diverged"),
        trial(6, 1.5),
    ]
    assert [each.number for each in ranked(trials)] == [3, 6, 1, 5, 4, 2]


def test_the_unseen_part_is_measured_once(tmp_path: Path) -> None:
    paths = []
    for hidden in (9, 5):
        for seed in (1, 2):
            folder = tmp_path / f"{hidden}-{seed}"
            model = ModelConfig(layers=1, hidden=hidden)
            candidate = Candidate("x", CORPUS, model, TrainConfig(**SHORT))
            list(ComparedRun(candidate, seed, charrnn.RunFolder(folder), 1).events())
            paths.append(folder / "best.safetensors")
    best, recipe = paths[:2], paths[2:]
    unseen = measure_unseen(CORPUS, best, recipe, tmp_path, 1, 2)
    assert unseen is not None and unseen.characters == len(CORPUS.test) - 1
    losses = [evaluate(charrnn.load(path).model, CORPUS.test).nats_per_char for path in paths]
    assert unseen.best == pytest.approx((losses[0] + losses[1]) / 2)
    assert unseen.recipe == pytest.approx((losses[2] + losses[3]) / 2)
    # the text is too short for an error of its own; the variance of each mean of two seeds
    variances = [(losses[k] - losses[k + 1]) ** 2 / 2 / 2 for k in (0, 2)]
    assert unseen.error == pytest.approx(sum(variances) ** 0.5) and unseen.repeats == 2
    looks = paths[0].with_name("test-looks.jsonl").read_text()
    assert measure_unseen(CORPUS, best, recipe, tmp_path, 1, 2) == unseen
    assert paths[0].with_name("test-looks.jsonl").read_text() == looks and looks.count("\n") == 1
    (tmp_path / "unseen.json").write_text("{")  # damaged: measured again
    assert measure_unseen(CORPUS, best, recipe, tmp_path, 1, 2) == unseen
    assert measure_unseen(small_corpus(), best, recipe, tmp_path, 1) is None
    one = measure_unseen(CORPUS, best, [tmp_path / "none", recipe[1]], tmp_path, 1)
    assert one is not None and (one.repeats, one.error) == (0, 0.0)
    assert one.best == pytest.approx(losses[1])
    assert measure_unseen(CORPUS, best[:1], [tmp_path / "none"], tmp_path, 1) is None


def test_the_error_of_a_difference_is_that_of_blocks() -> None:
    rng = np.random.default_rng(0)
    blocks = rng.normal(0.1, 1.0, 400)
    losses = np.repeat(blocks, BLOCK) + rng.normal(0, 0.1, 400 * BLOCK)
    assert standard_error(losses) == pytest.approx(1 / 20, rel=0.1)
    assert standard_error(losses[: 2 * BLOCK - 1]) == 0.0


def test_settings_for_training_again_say_nothing_of_a_trial_s_length() -> None:
    settings = settings_to_write(
        CorpusConfig(unit="byte", test_fraction=0.1),
        ModelConfig(cell="gru", layers=2),
        TrainConfig(steps=9, seed=3, optimizer="adam", sample_every=0, beta1=0.8),
    )
    assert settings == {"unit": "byte", "cell": "gru", "optimizer": "adam", "beta1": 0.8}


def test_a_result_as_json() -> None:
    unseen = Unseen(1000, 1.5, 1.75, 0.01)
    tuned = Tuned(
        Path("x"), (trial(3, 1.0), trial(1, 2.0)), trial(3, 1.0), {"cell": "gru"}, None, unseen
    )
    described = tuned.as_json()
    assert described["best"] == 3 and described["unseen"]["gain"] == 0.25
    assert described["config"] == "x/config.toml" and len(described["trials"]) == 2
    assert Tuned(Path("x"), (), None, {}, None, None).as_json()["unseen"] is None


def test_tuning_without_optuna_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = [""]

    def version(name: str) -> str:
        if not installed[0]:
            raise PackageNotFoundError(name)
        return installed[0]

    monkeypatch.setattr("charrnn.tuning.search.version", version)
    needs = r"tuning needs the package Optuna, version 5 or newer{}: pip install \"charrnn-numba"
    for installed[0], here in (("", ""), ("4.9.0", r", and 4\.9\.0 is installed")):
        with pytest.raises(ConfigError, match=needs.format(here)):
            charrnn.tune(CORPUS, None, TrainConfig(**SHORT), folder=tmp_path, trials=1)
    installed[0] = "10.0.0"
    check_installed()
    assert not any(tmp_path.iterdir())
