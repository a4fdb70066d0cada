"""Going back to the last good state: when, to what, how often, to the same bits after any
interruption; and overfitting.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charrnn
from charrnn.checkpoint.trained import load
from charrnn.config.files import configs_of
from charrnn.errors import DivergenceError, RunError, UnstableStep, overflow
from charrnn.network.network import Network
from charrnn.text.corpus import Corpus
from charrnn.training import loop as training
from charrnn.training import recovery, validation
from charrnn.training.loop import train
from charrnn.training.recovery import long_enough, overfits
from charrnn.training.report import Report
from charrnn.training.run import Progress, Run
from charrnn.training.run_file import load_run, save_run
from charrnn.training.run_folder import RunFolder
from tests.reference.small import adam, plain_model, small_corpus, small_run, trained

Harm = Callable[[Any], bool]
real_update = training._Trainer._update


def created(path: Path) -> RunFolder:
    folder = RunFolder(path)
    path.mkdir()
    folder.create({})
    return folder


def harm(
    monkeypatch: pytest.MonkeyPatch, *moments: tuple[int, int], weights: float | None = None
) -> None:
    """Before step s, of a run that has fallen back f times, for each (s, f): NaN as its loss, or
    weights times a number.
    """

    def update(trainer: Any, *batch: Any) -> Any:
        progress = trainer.run.progress
        hit = (progress.step + 1, progress.fall_backs) in moments
        if hit and weights is not None:
            trainer.run.model.parameters.flat[:] *= np.float32(weights)
            trainer.update.refresh()
        found = real_update(trainer, *batch)
        if hit and weights is None:
            trainer.run.state.h[:] = np.nan
            raise UnstableStep("loss nan", math.nan, 1.0)
        return found

    monkeypatch.setattr(training._Trainer, "_update", update)


def falls(reports: list[Report]) -> list[tuple[int, int, float]]:
    found = [report.fell_back for report in reports if report.fell_back is not None]
    return [(fall.from_step, fall.to_step, fall.rate_factor) for fall in found]


def files(folder: RunFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.glob("*.safetensors")}


def entries(folder: RunFolder) -> list[dict[str, Any]]:
    """The lines of the history, without what the clock says."""
    found = [json.loads(line) for line in folder.history.read_text().splitlines()]
    assert [entry["seconds"] for entry in found] == sorted(entry.pop("seconds") for entry in found)
    return found


# Falling back
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_number_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float, where: str
) -> None:
    """The step is not taken; the run is at its last validation, to the bit, with half the learning
    rate.
    """
    corpus, folder, calls = small_corpus(), created(tmp_path / "a"), []
    run, real = small_run(corpus, save_every=1), Network.gradients
    iteration = train(run, corpus, folder=folder, threads=1)
    reports = [next(iteration) for _ in range(5)]
    good = load_run(folder.last)
    reports += [next(iteration) for _ in range(3)]
    held = load(folder.best)

    def diverging(network: Any, *arguments: Any) -> Any:
        calls.append(network)
        loss, gradient = real(network, *arguments)
        if where == "gradient":
            gradient.flat[7] = bad
        arguments[2].h[:] = np.nan
        return (bad if where == "loss" else loss), gradient

    with monkeypatch.context() as patch:
        patch.setattr(Network, "gradients", diverging)
        report = next(iteration)
    assert len(calls) == 1 and report.fell_back is not None
    assert (report.step, run.step, falls([report])) == (5, 5, [(9, 5, 0.5)])
    assert report.fell_back.reason == (
        f"loss {bad}" if where == "loss" else "gradient norm " + str(report.gradient_norm)
    )
    assert report.smoothed_loss == reports[4].smoothed_loss and report.chars_per_second > 0
    now = load_run(folder.last)
    for ours, theirs in zip(recovery._arrays(now), recovery._arrays(good), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert now.progress == run.progress == replace(good.progress, fall_backs=1, lost=4)
    assert now.history == [*good.history, run.history[-1]] and run.history[-1] == {
        **{
            "step": 5,
            "fell_back_from": 9,
            "lost": 4,
            "rate_factor": 0.5,
            "reason": report.fell_back.reason,
        }
    }
    assert held.origin.step == load(folder.best).origin.step == 5
    after = next(iteration)
    assert (
        after.step == 6
        and after.learning_rate == report.learning_rate == 0.5 * reports[5].learning_rate
    )
    rest = list(iteration)
    assert (rest[-1].step, rest[-1].ended) == (12, "steps") and falls(rest) == []


@pytest.mark.parametrize(
    ("save_every", "moments", "optimizer"),
    [
        (1, [(8, 0)], "adam"),
        (None, [(6, 0), (9, 1), (6, 2)], "adam"),
        (None, [(3, 0), (1, 1), (10, 2)], "adam"),
        (None, [(8, 0)], "soap"),
    ],
)
def test_the_same_bytes_after_any_interruption(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    save_every: int | None,
    moments: list[tuple[int, int]],
    optimizer: str,
) -> None:
    """Stopped after every single report and resumed from the disk, or stopped once, at each of
    them.
    """
    harm(monkeypatch, *moments)
    corpus = small_corpus()
    settings: dict[str, Any] = {
        "steps": 17,
        "save_every": save_every,
        "schedule": "plateau",
        "plateau_patience": 1,
        "optimizer": optimizer,
    }
    whole = created(tmp_path / "whole")
    reports = trained(small_run(corpus, **settings), corpus, whole)
    assert [at for at, _, _ in falls(reports)] == [at for at, _ in moments]
    run = load_run(whole.last)
    assert run.progress.fall_backs == len(moments) and run.fall_factor == 0.5 ** len(moments)
    assert run.progress.lost == sum(at - to for at, to, _ in falls(reports)) == len(reports) - 17
    assert len(entries(whole)) == 4 + len(moments) and entries(whole) == run.history
    for first in range(1, len(reports)):
        folder = created(tmp_path / f"{first}")
        trained(small_run(corpus, **settings), corpus, folder, steps=first)
        trained(folder.resume(), corpus, folder, threads=2)
        assert files(folder) == files(whole) and entries(folder) == run.history
    folder = created(tmp_path / "often")
    trained(small_run(corpus, **settings), corpus, folder, steps=1)
    while not folder.resume().is_finished:
        trained(folder.resume(), corpus, folder, steps=1)
    assert files(folder) == files(whole) and entries(folder) == run.history


def test_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The good state is in memory, from one call to the next too."""
    harm(monkeypatch, (8, 0), (9, 1), (13, 2))
    corpus, folder = small_corpus(), created(tmp_path / "a")
    trained(small_run(corpus, steps=17), corpus, folder)
    for stops in ([], [7], [1, 7, 2, 5]):
        run = small_run(corpus, steps=17)
        for steps in [*stops, None]:
            trained(run, corpus, steps=steps)
        save_run(tmp_path / "b", run)
        assert (tmp_path / "b").read_bytes() == folder.last.read_bytes()


def test_the_fourth_time_it_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the good state in `last`; as it is, it fails again; with another learning rate it has
    its three times again.
    """
    corpus, folder = small_corpus(), created(tmp_path / "a")
    harm(monkeypatch, *((8, times) for times in range(4)))
    run = small_run(corpus, save_every=1)
    with pytest.raises(
        DivergenceError,
        match=r"^step 8: loss nan; going back 3 times, to 0\.125 .* step 5: .*`learning_rate`",
    ):
        trained(run, corpus, folder)
    assert list(files(folder)) and set(files(folder)) == {"last.safetensors", "best.safetensors"}
    assert folder.resume().progress == run.progress and run.step == 5 and run.progress.lost == 9
    before = folder.last.read_bytes()
    with pytest.raises(DivergenceError, match="step 8"):
        trained(folder.resume(), corpus, folder)
    harm(monkeypatch, *((8, times) for times in range(4)))
    with pytest.raises(DivergenceError, match=r"lower `learning_rate` or with a `clip_norm`, such"):
        trained(small_run(corpus, clip_norm=0.0), corpus)
    assert folder.last.read_bytes() == before
    again = folder.resume()
    again.change(learning_rate=again.config.learning_rate, epochs=None, steps=12)
    assert again.progress.fall_backs == 3
    again.change(learning_rate=0.001)
    assert again.progress.fall_backs == 0 and again.fall_factor == 1
    monkeypatch.undo()
    assert [report.step for report in trained(again, corpus, folder)] == list(range(6, 13))


def test_a_learning_rate_far_too_large(tmp_path: Path) -> None:
    """Rectified cells without clipping: one falls back and learns, the other cannot be saved."""
    corpus = small_corpus()
    model = plain_model(cell="rnn", activation="relu", hidden=32, layers=2, dropout=0.0)
    free: dict[str, Any] = {
        "clip_norm": 0.0,
        "batch_size": 16,
        "seq_length": 64,
        "steps": 60,
        "eval_every": 20,
    }
    run = Run.new(corpus, model, adam(optimizer="sgd", learning_rate=3.0, **free))
    reports = trained(run, corpus)
    assert falls(reports) and reports[-1].ended == "steps"
    assert all(math.isfinite(report.loss) for report in reports if report.fell_back is None)
    assert run.validations[-1]["validation_loss"] < math.log(len(run.vocab))
    folder = created(tmp_path / "a")
    run = Run.new(corpus, model, adam(optimizer="sgd", learning_rate=1000.0, **free))
    with pytest.raises(DivergenceError, match=r"loss nan|outputs NaN"):  # of the first sample
        trained(run, corpus, folder)
    assert load_run(folder.last).step == run.step == 0 and run.progress.fall_backs == 3


# Nothing bad on the disk
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model", "slots", "state"])
def test_what_is_not_finite_is_not_saved(tmp_path: Path, name: str) -> None:
    """A validation goes back; a save in between leaves the old file."""
    corpus, folder = small_corpus(), created(tmp_path / "a")
    run = small_run(corpus, save_every=1, dropout=0.0)
    iteration = train(run, corpus, folder=folder, threads=1)
    for _ in range(9):
        next(iteration)
    before = files(folder)
    spoiled = {
        "model": run.model.parameters["decoder.bias"],
        "slots": run.slots["v"].flat,
        "state": run.state.h[0, 0],
    }
    spoiled[name][-1] = np.inf  # in the padding: no loss tells of it
    report = next(iteration)
    assert falls([report]) == [(10, 5, 0.5)]
    assert report.fell_back is not None and report.fell_back.reason in (
        "weights not finite",
        "loss nan",
    )
    assert (
        load_run(folder.last).step == 5
        and files(folder)["best.safetensors"] == before["best.safetensors"]
    )
    run.model.parameters.flat[-1] = np.nan
    before = files(folder)
    iteration.close()
    assert files(folder) == before


def test_a_validation_loss_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, folder, real = small_corpus(), created(tmp_path / "a"), validation.evaluate
    run = small_run(corpus)

    def evaluate(model: Any, *arguments: Any, **options: Any) -> Any:
        if run.step == 10 and not run.progress.fall_backs:
            raise overflow()
        return real(model, *arguments, **options)

    monkeypatch.setattr(validation, "evaluate", evaluate)
    reports = trained(run, corpus, folder)
    assert falls(reports) == [(10, 5, 0.5)] and [entry["step"] for entry in run.validations] == [
        5,
        10,
        12,
    ]
    assert reports[9].fell_back is not None and reports[9].fell_back.reason.startswith(
        "outputs NaN"
    )


def test_the_good_state_stays_on_the_disk_while_last_is_another(tmp_path: Path) -> None:
    corpus, folder = small_corpus(), created(tmp_path / "a")
    run = small_run(corpus, save_every=1)
    iteration = train(run, corpus, folder=folder, threads=1)
    for step in range(1, 13):
        at_validation = load_run(folder.last) if step in (6, 11) else None
        next(iteration)
        expected = {5: 5, 10: 10, 12: 12}.get(step, step - step % 5)
        assert folder.load_good(run).step == expected == run.progress.good_step
        assert folder.good.exists() == (step not in (5, 10, 12)), step
        if at_validation is not None:
            save_run(tmp_path / "b", at_validation)
            assert folder.good.read_bytes() == (tmp_path / "b").read_bytes()


def test_a_good_state_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost while nobody trained, the run is good as it is; lost while training, there is nothing to
    go back to.
    """
    harm(monkeypatch, (8, 0), (9, 1))
    corpus, folder = small_corpus(), created(tmp_path / "a")
    trained(small_run(corpus), corpus, folder, steps=6)
    folder.good.unlink()
    run = folder.resume()
    iteration = train(run, corpus, folder=folder, threads=1)
    assert falls([next(iteration), next(iteration)]) == [(8, 6, 0.5)]
    next(iteration)
    next(iteration)
    folder.last.write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"checkpoint of step 6.*is missing; .*`init_from`"):
        next(iteration)


def test_a_checkpoint_from_before_there_were_good_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm(monkeypatch, (9, 0))
    corpus, folder = small_corpus(), created(tmp_path / "a")
    trained(small_run(corpus), corpus, folder, steps=7)
    folder.good.unlink()
    run = folder.resume()
    run.progress = replace(run.progress, good_step=None, calm_loss=None)
    save_run(folder.last, run)
    assert falls(trained(folder.resume(), corpus, folder)) == [(9, 7, 0.5)]


# Jumps
# --------------------------------------------------------------------------------------------------

LARGE: dict[str, Any] = {
    "batch_size": 32,
    "seq_length": 32,
    "steps": 200,
    "eval_every": 50,
    "sample_every": 0,
}


def test_a_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that come to be thirty times as large: after 20 steps it goes back; interrupted in
    those, too.
    """
    harm(monkeypatch, (117, 0), (170, 1), weights=30.0)
    corpus, whole = small_corpus(), created(tmp_path / "whole")
    reports = trained(small_run(corpus, **LARGE), corpus, whole)
    assert falls(reports) == [(136, 100, 0.5), (189, 150, 0.25)]
    reason = next(report.fell_back.reason for report in reports if report.fell_back)
    after, before = (float(word) for word in reason.removeprefix("loss ").split(" after "))
    calm = min(report.smoothed_loss for report in reports[99:116])
    assert after > before + recovery.JUMP and before == pytest.approx(calm, abs=0.006)
    for save_every, stops in ((None, [118]), (3, [119, 16]), (None, [110, 20, 10, 40, 1])):
        folder = created(tmp_path / f"{stops}")
        trained(small_run(corpus, **LARGE), corpus, folder, steps=stops[0])
        for steps in [*stops[1:], None]:
            run = folder.resume()
            run.change(save_every=save_every)
            if steps is None:
                run.change(save_every=None)
            trained(run, corpus, folder, steps=steps)
        assert files(folder) == files(whole) and entries(folder) == entries(whole)


def test_a_jump_in_the_first_steps_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    harm(monkeypatch, (20, 0), weights=30.0)
    corpus = small_corpus()
    reports = trained(small_run(corpus, **{**LARGE, "steps": 100}), corpus)
    assert (
        falls(reports) == []
        and max(report.loss for report in reports) > reports[18].loss + recovery.JUMP
    )


def test_a_network_that_falls_to_pieces_in_its_first_steps_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first validation is its best, but no state to go back to."""
    corpus = small_corpus()
    settings: dict[str, Any] = {
        **LARGE,
        "clip_norm": 1.0,
        "optimizer": "sgd",
        "learning_rate": 1000.0,
    }
    run = small_run(corpus, **settings)
    with pytest.raises(DivergenceError, match=r"^step 120: loss .* step 0:"):
        trained(run, corpus)
    assert run.step == 0


def test_a_text_that_becomes_hard_is_no_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream that comes from numbers to letters: it is looked into, the text is to blame, and
    looking changes nothing.
    """
    text = (
        "0123456789 " * 500
        + "the quick brown fox jumps over the lazy dog, and sphinx of black quartz judges my vow\n"
        * 60
    )
    corpus, found, real = small_corpus(text), [], recovery.has_become_worse
    settings: dict[str, Any] = {
        "batch_size": 1,
        "seq_length": 32,
        "steps": 320,
        "eval_every": 50,
        "learning_rate": 0.003,
    }

    def judged(*arguments: Any) -> bool:
        found.append(real(*arguments))
        return found[-1]

    plain = small_run(corpus, **settings)
    assert (
        falls(trained(plain, corpus)) == [] and found == []
    )  # too short to be looked into: 20,000 characters
    monkeypatch.setattr(recovery, "HIGH_CHARACTERS", 0)
    monkeypatch.setattr(recovery, "has_become_worse", judged)
    watched = small_run(corpus, **settings)
    reports = trained(watched, corpus)
    assert falls(reports) == [] and found and not any(found)
    np.testing.assert_array_equal(watched.model.parameters.flat, plain.model.parameters.flat)
    np.testing.assert_array_equal(watched.state.h, plain.state.h)


def test_how_long_is_long() -> None:
    assert [long_enough(n) for n in (32 * 64, 50 * 50, 1000, 999, 64, 1)] == [
        20,
        20,
        20,
        21,
        313,
        20_000,
    ]


SOURCE = "".join(
    path.read_text("utf-8") for path in sorted(Path(charrnn.__file__).parent.rglob("*.py"))
)
PLAYS = charrnn.bundled_corpus().read_text("utf-8")
MIXED = (
    PLAYS[:20_000]
    + SOURCE[:20_000]
    + "".join(f"{n * 7919 % 10007:05d} " for n in range(3000))
    + PLAYS[20_000:30_000]
)


@pytest.mark.parametrize(
    "text", [PLAYS[:60_000], SOURCE[:60_000], MIXED], ids=["plays", "source", "mixed"]
)
@pytest.mark.parametrize("preset", [None, "char-rnn", "torch-rnn", "dl4j"])
def test_no_false_alarm(preset: str | None, text: str) -> None:
    """Several epochs of every preset, of small networks, with documents and without."""
    _, model, config = configs_of(charrnn.preset(preset) if preset else {})
    model = replace(model, hidden=24)
    config = replace(config, epochs=None, steps=250, eval_every=50, sample_every=0)
    corpus = small_corpus(text, document_separator="\n\n" if text is PLAYS[:60_000] else None)
    run = Run.new(corpus, model, config)
    highest = 0
    for report in train(run, corpus):
        highest = max(highest, run.progress.high_steps)
        assert report.fell_back is None
    assert highest < 20 and run.progress.good_step == 250


@pytest.mark.parametrize(("batch_size", "seq_length"), [(1, 64), (2, 16), (4, 32)])
def test_no_false_alarm_with_few_streams(batch_size: int, seq_length: int) -> None:
    """Passages of plays, source and numbers, one after the other, and then from the start again."""
    corpus = small_corpus(MIXED)
    run = small_run(
        corpus,
        batch_size=batch_size,
        seq_length=seq_length,
        steps=1200,
        eval_every=100,
        hidden=16,
        learning_rate=0.005,
    )
    assert falls(trained(run, corpus)) == []


# Overfitting
# --------------------------------------------------------------------------------------------------


def history(validation: list[float | None], training: list[float]) -> list[dict[str, Any]]:
    pairs = zip(validation, training, strict=True)
    return [{"step": k, "validation_loss": v, "train_loss": t} for k, (v, t) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("validation", "training", "found"),
    [
        ([2.0, 1.5, 1.6, 1.7, 1.8], [2.0, 1.5, 1.3, 1.2, 1.1], True),
        ([1.5, 1.51, 1.512, 1.514], [1.5, 1.4, 1.3, 1.2], False),  # less than 1 %
        ([1.5, 1.6, 1.7], [1.4, 1.3, 1.2], False),  # too few
        ([1.5, 1.6, 1.7, 1.7], [1.5, 1.4, 1.3, 1.2], True),
        ([1.5, 1.8, 1.7, 1.6], [1.5, 1.4, 1.3, 1.2], False),  # on its way down again
        ([1.5, 1.6, 1.55, 1.7, 1.8], [1.5, 1.4, 1.3, 1.2, 1.1], True),
        ([1.5, 1.6, 1.7, 1.8], [1.5, 1.4, 1.3, 1.5], False),  # the training loss rises too
        ([2.0, 1.9, 1.8, 1.7], [2.0, 1.9, 1.8, 1.7], False),
        ([None] * 5, [5.0, 4.0, 3.0, 2.0, 1.0], False),
    ],
)
def test_what_overfitting_is(
    validation: list[float | None], training: list[float], found: bool
) -> None:
    assert overfits(history(validation, training)) == found


def test_overfitting_is_said_once(tmp_path: Path) -> None:
    """Letters without a rule can only be learned by heart; and an interruption before or after it
    changes nothing.
    """
    corpus = Corpus.from_text("".join(np.random.default_rng(2).choice(list("abcdefghijkl"), 700)))
    settings: dict[str, Any] = {
        "steps": 150,
        "batch_size": 8,
        "eval_every": 10,
        "dropout": 0.0,
        "hidden": 48,
    }
    whole = created(tmp_path / "whole")
    reports = trained(small_run(corpus, **settings), corpus, whole)
    (said,) = [report.step for report in reports if report.overfitting]
    noted = [entry["step"] for entry in entries(whole) if entry.get("overfitting")]
    assert noted == [said] and load(whole.best).origin.step < said - 20
    for stop in (said - 1, said, said + 1):
        folder = created(tmp_path / str(stop))
        trained(small_run(corpus, **settings), corpus, folder, steps=stop)
        trained(folder.resume(), corpus, folder)
        assert files(folder) == files(whole)


def test_patience_counts_validations_alone() -> None:
    run = small_run(small_corpus())
    run.progress = Progress(step=8, best_step=5)
    run.history = [*history([2.0, 1.9], [2.0, 1.9]), {"step": 6, "fell_back_from": 9, "lost": 3}]
    assert run.validations_since_best == 0 and len(run.validations) == 2


@pytest.mark.parametrize("before", [0.0, 0.9])
def test_going_back_to_before_the_average_began_or_ended(before: float) -> None:
    corpus = small_corpus()
    run = small_run(corpus, average=before)
    trained(run, corpus)
    good = recovery.copy_of(run)
    run.change(average=0.9 - before)
    for array in recovery._arrays(run):
        array[:] = 0
    recovery._copy_state(run, good)
    np.testing.assert_array_equal(run.model.parameters.flat, good.model.parameters.flat)
    assert (run.average is None) == (before > 0)
    if run.average is not None:
        np.testing.assert_array_equal(run.average.flat, good.model.parameters.flat)


@pytest.mark.parametrize("has_folder", [True, False])
def test_a_sample_that_overflows_at_a_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_folder: bool
) -> None:
    """The network is then neither good nor the best, though its loss was."""
    corpus, real = small_corpus(), training.generate
    run = small_run(corpus)
    folder = created(tmp_path / "run") if has_folder else None

    def generate(*arguments: Any, **options: Any) -> Any:
        if run.step == 10 and not run.progress.fall_backs:
            raise DivergenceError("overflow")
        return real(*arguments, **options)

    monkeypatch.setattr(training, "generate", generate)
    reports = trained(run, corpus, folder)
    fallen = [report.fell_back for report in reports if report.fell_back is not None]
    assert [(fall.from_step, fall.to_step) for fall in fallen] == [(10, 5)]
    assert run.step == run.total_steps and run.progress.best_step is not None
    if folder is not None:
        assert load(folder.best).origin.step == run.progress.best_step
