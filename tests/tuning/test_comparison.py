"""Comparing configurations: what is compared, that runs resume, what becomes of losses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import charrnn
from charrnn.checkpoint.trained import load
from charrnn.config.settings import CELL_NAMES, CorpusConfig, ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError, RunError
from charrnn.evaluation.evaluate import evaluate
from charrnn.network.model import Model
from charrnn.training.run_file import load_run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning import comparison, dealing, question
from charrnn.tuning.candidates import (
    PLAN,
    Candidate,
    combinations,
    folder_names,
    of_equal_size,
    plan_text,
)
from charrnn.tuning.comparison import compare
from charrnn.tuning.outcomes import Event, Outcome, Result, results
from tests.reference.small import small_corpus

SHORT = {
    "steps": 12,
    "batch_size": 3,
    "seq_length": 8,
    "eval_every": 5,
    "learning_rate": 0.01,
    "sample_every": 0,
}


def candidates(**training: Any) -> list[Candidate]:
    corpus, config = small_corpus(), TrainConfig(**(SHORT | training))
    return [
        Candidate(
            f"hidden={hidden}", corpus, ModelConfig(layers=1, hidden=hidden, dropout=0.2), config
        )
        for hidden in (5, 9)
    ]


def outcomes(events: list[Event]) -> list[tuple[str, Outcome]]:
    return [(event.candidate.name, event.outcome) for event in events if event.outcome is not None]


def losses(events: list[Event]) -> list[Any]:
    return [(name, one.seed, one.validation_loss, one.train_loss) for name, one in outcomes(events)]


def test_combinations_are_named_after_what_varies() -> None:
    found = combinations(
        {"layers": 1}, {"cell": ["lstm", "gru"], "dropout": [0.0, 0.25], "residual": [True]}
    )
    assert [name for name, _ in found] == [
        "lstm dropout=0 residual=true",
        "lstm dropout=0.25 residual=true",
        "gru dropout=0 residual=true",
        "gru dropout=0.25 residual=true",
    ]
    assert found[1][1] == {"layers": 1, "cell": "lstm", "dropout": 0.25, "residual": True}
    assert combinations({"cell": "gru"}, {}) == [("gru", {"cell": "gru"})]
    for wrong in ({"hidden": [0]}, {"hiden": [3]}, {"hidden": [3, 3]}):
        with pytest.raises(ConfigError, match="hid"):
            combinations({}, wrong)


def test_equal_size_is_the_nearest_to_the_first() -> None:
    corpus = small_corpus()
    shapes: list[dict[str, Any]] = [
        {"layers": 2},
        {"layers": 1},
        {"layers": 3},
        {"embedding": 20},
        {"hidden": 3},
    ]
    shapes += [{"cell": cell} for cell in CELL_NAMES]
    given = [
        Candidate(str(shape), corpus, ModelConfig(**({"hidden": 40} | shape)), TrainConfig())
        for shape in shapes
    ]
    target = given[0].parameters
    for one in of_equal_size(given):
        near = [
            hidden
            for hidden in (*range(1, 120, 20), *range(one.model.hidden - 2, one.model.hidden + 3))
            if hidden > 0
        ]
        sizes = {
            hidden: replace(one, model=replace(one.model, hidden=hidden)).parameters
            for hidden in near
        }
        assert one.model.hidden == min(sizes, key=lambda hidden: abs(sizes[hidden] - target)), (
            one.name
        )
        assert one.parameters == Model(one.model).count()
    same = of_equal_size(given)
    assert same[0].resolved == given[0].resolved == same[4].resolved


def test_in_a_given_time_attention_is_what_training_would_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, asked = small_corpus(), []

    def planned(corpus: Any, seconds: float, model: ModelConfig, *_: Any, **__: Any) -> Any:
        asked.append(seconds)
        return SimpleNamespace(model=model.filled(hidden=96, attention=256))

    monkeypatch.setattr(comparison, "plan", planned)
    for hidden in (None, 128):
        given = [
            Candidate(cell, corpus, ModelConfig(cell=cell, hidden=hidden), TrainConfig())
            for cell in CELL_NAMES[:2]
        ]
        for folder in (tmp_path / "new", tmp_path / f"begun {hidden}"):
            sized = comparison.with_size(given, folder, 20.0)
            assert [one.model.hidden for one in sized] == [hidden or 96] * 2
            equal = of_equal_size(sized)
            assert [one.model.attention for one in equal] == [256, 256]
            folder.mkdir(exist_ok=True)
            (tmp_path / f"begun {hidden}").mkdir(exist_ok=True)
            (tmp_path / f"begun {hidden}" / PLAN).write_text(plan_text(equal, [0]))
        (tmp_path / "new").rmdir()
    assert asked == [20.0, 20.0]  # a comparison that has begun is as it was


def test_equal_size_of_the_largest_networks() -> None:
    corpus = small_corpus()
    huge, small = (
        Candidate("x", corpus, ModelConfig(hidden=16384, layers=layers), TrainConfig())
        for layers in (64, 1)
    )
    assert [one.model.hidden for one in of_equal_size([huge, small])] == [16384, 16384]
    assert (
        of_equal_size([replace(huge, model=replace(huge.model, hidden=1)), small])[1].model.hidden
        < 16
    )


def test_folder_names_differ_even_without_case() -> None:
    corpus = small_corpus()
    names = ["a b", "a-b", "A B", "../x", "=|", "lstm dropout=0.3", "||", "w" * 99]
    found = folder_names([Candidate(name, corpus, ModelConfig(), TrainConfig()) for name in names])
    assert found == ["a-b", "a-b-2", "A-B-3", "x", "=", "lstm-dropout=0.3", "candidate", "w" * 60]


def test_every_run_is_judged_by_its_best_checkpoint(tmp_path: Path) -> None:
    pair = candidates()
    events = list(compare(pair, [3, 4], tmp_path / "all", threads=1))
    assert [(event.run, event.runs) for event in events if event.outcome] == [
        (1, 4),
        (2, 4),
        (3, 4),
        (4, 4),
    ]
    assert [(name, one.seed) for name, one in outcomes(events)] == [
        ("hidden=5", 3), ("hidden=9", 3), ("hidden=5", 4), ("hidden=9", 4),
    ]  # fmt: skip
    shares = [event.share for event in events]
    assert shares == sorted(shares) and shares[0] > 0 and shares[-1] == 1
    assert sum(event.report is not None for event in events) == 4 * 12
    for name, one in outcomes(events):
        folder = RunFolder(tmp_path / "all" / f"{name}-seed{one.seed}")
        best = load(folder.best)
        last = load_run(folder.last)
        assert last.config.seed == one.seed and f"hidden={best.model.config.hidden}" == name
        assert one.validation_loss == evaluate(best.model, pair[0].corpus.validation).nats_per_char
        assert one.validation_loss == pytest.approx(last.progress.best_loss, rel=1e-5)
        entry = next(e for e in last.history if e["step"] == best.origin.step)
        assert one.train_loss == entry["train_loss"] and one.best_epoch == best.origin.epoch
        assert one.finished and one.chars_per_second > 0 and one.seconds > 0
        assert one.epochs == last.epoch
        assert folder.config.exists() and folder.history.exists()


def test_an_interrupted_comparison_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = list(compare(candidates(), [0, 1], tmp_path / "whole", threads=1))
    kept: list[Event] = []
    for stop in (7, 3, 20, 1000):  # within the first run, again, in a later one, never
        events = compare(candidates(), [0, 1], tmp_path / "parts", threads=1)
        kept = []
        for event in events:
            kept.append(event)
            if sum(one.report is not None for one in kept) == stop:
                break
        events.close()  # type: ignore[attr-defined]
    assert losses(kept) == losses(whole)
    for path in (tmp_path / "whole").glob("*/*.safetensors"):
        assert (
            path.read_bytes()
            == (tmp_path / "parts" / path.relative_to(tmp_path / "whole")).read_bytes()
        )
    again = list(compare(candidates(), [0, 1], tmp_path / "parts", threads=1))
    assert all(event.report is None for event in again)
    assert [one for _, one in outcomes(again)] == [one for _, one in outcomes(kept)]


def test_a_kill_between_the_last_step_and_the_outcome(tmp_path: Path) -> None:
    before = list(compare(candidates(), [0], tmp_path, threads=1))
    measured = tmp_path / "hidden=5-seed0" / "measured.json"
    found = json.loads(measured.read_text()) | {"outcome": None}
    for damage in (json.dumps(found), "{", "[]", '{"seconds": "x", "speeds": 3}'):
        measured.write_text(damage)
        assert losses(list(compare(candidates(), [0], tmp_path, threads=1))) == losses(before)
    measured.unlink()
    assert losses(list(compare(candidates(), [0], tmp_path, threads=1))) == losses(before)


def test_a_run_that_diverges_is_an_outcome(tmp_path: Path) -> None:
    pair = candidates()
    training = replace(
        pair[0].training, optimizer="sgd", learning_rate=1000.0, l2=1000.0, clip_norm=0.0
    )
    wild = replace(pair[0], name="wild", training=training)
    for _ in range(2):
        events = list(compare([wild, pair[1]], [0], tmp_path, threads=1))
        found = dict(outcomes(events))
        assert not found["wild"].finished and found["hidden=9"].finished
        assert [one.candidate.name for one in results([wild, pair[1]], events)] == [
            "hidden=9",
            "wild",
        ]


def test_another_comparison_in_the_folder_is_refused(tmp_path: Path) -> None:
    list(compare(candidates(), [0], tmp_path, threads=1))
    before = sorted(path.name for path in tmp_path.iterdir())
    wider = [replace(candidates()[0], name="hidden=7"), candidates()[1]]
    others: list[tuple[list[Candidate], list[int], str]] = [
        (candidates(), [0, 1], "contains another comparison (seeds 0); choose another `folder`"),
        (wider, [0], "contains another comparison (hidden=5, hidden=9); choose another `folder`"),
        (
            candidates(steps=13),
            [0],
            "contains another comparison (hidden=5: steps 12, not 13); choose another `folder`",
        ),
    ]
    for others_candidates, seeds, said in others:
        with pytest.raises(RunError) as caught:
            next(compare(others_candidates, seeds, tmp_path))
        assert str(caught.value) == f"{tmp_path} {said}"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    for damage in ("[]", "{}", '{"candidates": {"hidden=5": 3, "hidden=9": 4}, "seeds": [0]}', "x"):
        (tmp_path / "compare.json").write_text(damage)
        with pytest.raises(RunError, match=r"choose another `folder`$"):
            next(compare(candidates(), [0], tmp_path))


def test_the_folder_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    with pytest.raises(RunError, match="contains a run; choose another `folder`"):
        next(compare(candidates(), [0], tmp_path))
    with pytest.raises(RunError, match="contains a run; choose another `folder`"):
        question.check_plan(tmp_path, {})


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    untested = Candidate("a", small_corpus(val_fraction=0.0), ModelConfig(), TrainConfig())
    with pytest.raises(ConfigError, match="there is none: use a larger `val_fraction`"):
        next(compare([untested], [0], tmp_path / "a"))
    for pair, seeds in (([], [0]), (candidates(), []), (candidates(), [1, 1])):
        with pytest.raises(ConfigError, match="at least one configuration and one seed"):
            next(compare(pair, seeds, tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def test_one_process_a_comparison(tmp_path: Path) -> None:
    events = compare(candidates(), [0], tmp_path, threads=1)
    next(events)
    with pytest.raises(RunError, match="another process is training in this folder"):
        next(compare(candidates(), [0], tmp_path))
    events.close()  # type: ignore[attr-defined]


def test_texts_may_be_read_in_several_ways(tmp_path: Path) -> None:
    pair = [
        Candidate(
            unit, small_corpus(unit=unit), ModelConfig(layers=1, hidden=5), TrainConfig(**SHORT)
        )
        for unit in ("char", "byte")
    ]
    assert [name for name, _ in outcomes(list(compare(pair, [0], tmp_path, threads=1)))] == [
        "char",
        "byte",
    ]
    assert load_run(tmp_path / "byte-seed0" / "last.safetensors").corpus_config == CorpusConfig(
        unit="byte"
    )


def made(name: str, *losses: float | None, finished: bool = True) -> list[Event]:
    candidate = Candidate(name, small_corpus(), ModelConfig(hidden=4), TrainConfig())
    return [
        Event(
            candidate,
            k,
            1,
            1,
            1.0,
            None,
            Outcome(k, loss, 1.0, 2.0, 3.0, 100.0 * (k + 1), 5.0, finished),
        )
        for k, loss in enumerate(losses)
    ]


def test_results_are_sorted_and_have_their_spread() -> None:
    worse, better, alone = (
        made("worse", 1.0, 2.0, 6.0),
        made("better", 1.5, 2.5),
        made("alone", 2.25),
    )
    lost, none = made("lost", 0.5, finished=False), made("none", 1.0)
    events = [*worse, *better, *alone, *lost]
    found = results([one[0].candidate for one in (none, lost, worse, alone, better)], events)
    assert [one.candidate.name for one in found] == ["better", "alone", "worse", "none", "lost"]
    assert (found[2].mean_loss, found[2].loss_deviation) == (3.0, pytest.approx(7**0.5))
    assert (found[1].mean_loss, found[1].loss_deviation) == (2.25, None)
    assert (found[4].mean_loss, found[4].losses) == (None, [])
    assert [one.chars_per_second for one in found] == [150.0, 100.0, 200.0, None, 100.0]


def test_a_result_as_json() -> None:
    events = made("one", 1.0, 2.0)
    described = json.loads(
        json.dumps(Result(events[0].candidate, tuple(outcomes_of(events))).as_json())
    )
    assert list(described) == [
        "name",
        "settings",
        "hidden",
        "parameters",
        "seeds",
        "validation_loss_mean",
        "validation_loss_std",
        "chars_per_second",
    ]
    assert described["seeds"][1] == {
        "seed": 1, "validation_loss": 2.0, "train_loss": 1.0, "best_epoch": 2.0, "epochs": 3.0,
        "chars_per_second": 200.0, "seconds": 5.0, "finished": True,
    }  # fmt: skip
    settings = described["settings"]
    assert (
        settings["hidden"] == described["hidden"] == 4
        and settings["unit"] == "char"
        and "seed" not in settings
    )
    charrnn.configs_of(settings)


def outcomes_of(events: list[Event]) -> list[Outcome]:
    return [one for _, one in outcomes(events)]


def test_another_order_is_another_comparison(tmp_path: Path) -> None:
    """Long names are cut, and numbered by their order."""
    pair = [replace(each, name="w" * 70 + each.name) for each in candidates()]
    list(compare(pair, [0], tmp_path, threads=1))
    with pytest.raises(RunError, match="another comparison"):
        next(compare(pair[::-1], [0], tmp_path))


def test_a_time_and_a_number_of_steps_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`duration` and `steps`"):
        list(compare(candidates(), [0], tmp_path / "both", duration=60.0))
    assert not (tmp_path / "both").exists()
    free = Candidate("a", small_corpus(), ModelConfig(), TrainConfig())
    with pytest.raises(ConfigError, match="with a `duration`, set `hidden`"):
        next(compare([free], [0], tmp_path / "x", duration=60.0))


def test_runs_share_a_time_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(comparison, "time", SimpleNamespace(monotonic=lambda: now))

    def shares(
        seconds: Sequence[float], duration: float, places: int, *, ended: bool = False
    ) -> list[float | None]:
        """Of runs that have trained for so long, or not at all, when `places` run side by side."""
        nonlocal now
        now = 0.0
        for module in (comparison, dealing):
            monkeypatch.setattr(module, "slots", lambda: places)
        jobs: list[Any] = [
            SimpleNamespace(
                is_begun=s > 0,
                is_ended=ended and s > 0,
                folder=SimpleNamespace(seconds_before=s),
                share=None,
            )
            for s in seconds
        ]
        for k, job in enumerate(comparison._on_time(jobs, duration)):
            now = max(now, ((k + 1) // places) * (job.share or 0.0))  # when the next one begins
            job.is_begun = True
        return [job.share for job in jobs]

    assert shares([0.0] * 9, 3600.0, 7) == [1800.0] * 9
    assert shares([600.0, 0.0], 1200.0, 1) == [None, 600.0]  # as before it was interrupted
    assert shares([1200.0, 0.0], 1200.0, 1) == [None, comparison.LEAST_SECONDS]
    assert shares([600.0, 0.0], 1050.0, 1, ended=True) == [None, 450.0]
    assert shares([100.0] + [0.0] * 8, 3600.0, 1, ended=True)[1] == 437.5  # it ended early


@pytest.mark.parametrize(
    ("seconds", "duration", "left"),
    [
        ((600.0, 0.0, 0.0), 600.0, 0),
        ((600.0, 0.0, 0.0), 1000.0, 200),
        ((600.0, 300.0, 0.0), 1200.0, 0),  # the second needs the other 300 first
    ],
)
def test_runs_that_would_be_far_shorter_than_the_others_are_refused(
    seconds: Sequence[float], duration: float, left: int
) -> None:
    """A comparison that goes on with another duration is no comparison."""
    jobs: list[Any] = [
        SimpleNamespace(
            is_begun=s > 0, is_ended=s == 600, folder=SimpleNamespace(seconds_before=s), share=None
        )
        for s in seconds
    ]
    said = rf"leaves {left} for each run that has not begun, but others had 600; give 1800 seconds"
    with pytest.raises(ConfigError, match=said):
        next(comparison._on_time(jobs, duration))
