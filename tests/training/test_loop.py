"""Training: interruptions, threads and looks change nothing; it learns what there is to learn; and
the rules of a run.
"""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import load
from charrnn.config.training import TrainConfig
from charrnn.errors import ConfigError, CorpusError, RunError
from charrnn.evaluation.evaluate import evaluate
from charrnn.optim.optimizers import OPTIMIZERS
from charrnn.optim.schedules import SCHEDULES
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.training import loop as training
from charrnn.training import validation
from charrnn.training.loop import train
from charrnn.training.run import Run
from charrnn.training.run_file import load_run
from charrnn.training.run_folder import RunFolder
from charrnn.training.validation import validation_loss
from tests.reference import cells as reference
from tests.reference.small import adam, digest, plain_model, small_corpus, small_run, trained


def created(path: Path) -> RunFolder:
    folder = RunFolder(path)
    path.mkdir(parents=True, exist_ok=True)
    folder.create({})
    return folder


def finished(path: Path, corpus: Corpus, **settings: Any) -> bytes:
    """The last checkpoint of a run that was never stopped."""
    folder = created(path)
    trained(small_run(corpus, **settings), corpus, folder)
    return folder.last.read_bytes()


def test_smoothed_labels_change_the_updates_and_not_what_is_reported() -> None:
    corpus = small_corpus()
    plain, smoothed = small_run(corpus), small_run(corpus, label_smoothing=0.2)
    losses = [[report.loss for report in trained(run, corpus)] for run in (plain, smoothed)]
    assert losses[0][0] == losses[1][0] and losses[0][1] != losses[1][1]
    assert (
        smoothed.history[-1]["validation_loss"]
        == evaluate(smoothed.result, corpus.validation).nats_per_char
    )


# The same bits
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("embedding", [0, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_saved_and_continued_equals_uninterrupted(
    tmp_path: Path, threads: int, embedding: int
) -> None:
    """Stopped at several steps, in one pass over the text and in the next, on one thread and two in
    turn.
    """
    corpus = small_corpus()
    passes = small_run(corpus).steps_per_epoch
    settings = {
        "steps": passes + 9,
        "seq_length": 8,
        "batch_size": 6,
        "embedding": embedding,
        "eval_every": 20,
    }
    whole = finished(tmp_path / "whole", corpus, **settings)
    folder = created(tmp_path / "parts")
    trained(small_run(corpus, **settings), corpus, folder, steps=1, threads=threads)
    for steps in (1, 3, 6, passes // 2, None):
        again = RunFolder(folder.path)
        trained(again.resume(), corpus, again, steps=steps, threads=threads)
        threads = 3 - threads
    assert folder.last.read_bytes() == whole
    assert folder.best.read_bytes() == (tmp_path / "whole" / "best.safetensors").read_bytes()


GOING_ON = [
    *((name, "inverse-sqrt") for name in OPTIMIZERS),
    *(("momentum", name) for name in SCHEDULES),
]


@pytest.mark.parametrize(("optimizer", "schedule"), GOING_ON)
def test_every_optimizer_and_schedule_goes_on_exactly(
    tmp_path: Path, optimizer: str, schedule: str
) -> None:
    """12 steps are 5 on two threads, and then 7 on one; with penalties, a warm-up, and falls of the
    rate on both sides.
    """
    corpus = small_corpus()
    settings = {
        **{
            "optimizer": optimizer,
            "schedule": schedule,
            "l1": 1e-4,
            "l2": 1e-3,
            "weight_decay": 0.01,
            "warmup": 3,
        },
        **{
            "decay_every": 0.02,
            "eval_every": 2,
            "plateau_patience": 1,
            "learning_rate": None,
            "sample_every": 0,
        },
    }
    whole = finished(tmp_path / "whole", corpus, **settings)
    folder = created(tmp_path / "parts")
    trained(small_run(corpus, **settings), corpus, folder, steps=5, threads=2)
    run = folder.resume()
    rule = OPTIMIZERS[optimizer]
    assert run.step == 5 and tuple(run.slots) == (*rule.slots, *rule.others)
    assert all(values.flat.any() for values in run.slots.values())
    assert len(trained(run, corpus, folder)) == 7
    assert folder.last.read_bytes() == whole


def test_closing_before_the_first_step_loses_nothing(tmp_path: Path) -> None:
    corpus, folder = small_corpus(), created(tmp_path / "a")
    iteration = train(small_run(corpus), corpus, folder=folder, threads=1)
    iteration.close()
    folder.create({})
    trained(small_run(corpus), corpus, folder)
    assert folder.last.read_bytes() == finished(tmp_path / "b", corpus)


@pytest.mark.parametrize("unit", ["steps", "epochs"])
def test_more_steps_go_on_as_if_they_had_been_asked_for(tmp_path: Path, unit: str) -> None:
    corpus = small_corpus()
    few, many = {"steps": (11, 33), "epochs": (0.4, 1.3)}[unit]
    straight = small_run(corpus, **{"steps": None, unit: many})
    trained(straight, corpus)
    folder = created(tmp_path)
    trained(small_run(corpus, **{"steps": None, unit: few}), corpus, folder)
    run = folder.resume()
    assert run.is_finished
    with pytest.raises(RunError, match=f"`{unit}` ended it at step {run.step}; .* change `{unit}`"):
        train(run, corpus, folder=folder)
    run.change(**{unit: many})
    trained(run, corpus, folder)
    assert run.step == straight.step == run.total_steps
    np.testing.assert_array_equal(run.model.parameters.flat, straight.model.parameters.flat)
    np.testing.assert_array_equal(run.state.c, straight.state.c)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    corpus = small_corpus()
    quiet, curious = (
        small_run(corpus, eval_every=1000, sample_every=0),
        small_run(corpus, eval_every=1, sample_every=1),
    )
    trained(quiet, corpus)
    reports = trained(curious, corpus, created(tmp_path))
    assert all(report.sample and report.validation_loss for report in reports)
    np.testing.assert_array_equal(quiet.model.parameters.flat, curious.model.parameters.flat)
    np.testing.assert_array_equal(quiet.slots["v"].flat, curious.slots["v"].flat)
    np.testing.assert_array_equal(quiet.state.h, curious.state.h)


KILLED = """
import sys
import charrnn.kernels.adam  # now: the first step is to come soon
from charrnn.training.run_folder import RunFolder
from charrnn.training.loop import train
from tests.reference.small import small_corpus, small_run
folder, corpus = RunFolder(sys.argv[1]), small_corpus()
with folder.locked():
    if not folder.holds_run:
        folder.create({})
        run = small_run(corpus, steps=100, save_every=1, eval_every=20, sample_every=0)
    else:
        run = folder.resume()
    print("ready", flush=True)
    for report in train(run, corpus, folder=folder, threads=1):
        pass
"""


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """SIGKILL while every step is saved: the run goes on, and ends with the same bytes."""
    corpus, folder = small_corpus(), RunFolder(tmp_path / "killed")
    settings = {"steps": 100, "save_every": 1, "eval_every": 20, "sample_every": 0}
    rng, killed = np.random.default_rng(1), []
    while len(killed) < 3 or (
        killed[-1] == 0 and len(killed) < 50
    ):  # on a busy machine the first may come before the first step
        command = [sys.executable, "-c", KILLED, str(folder.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            try:
                process.wait(rng.uniform(0, 0.15))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        killed.append(load_run(folder.last).step if folder.last.exists() else 0)
    assert killed == sorted(killed) and killed[-1] > 0 and killed[0] < 100
    run = folder.resume()
    trained(run, corpus, folder, threads=2)
    assert folder.last.read_bytes() == finished(tmp_path / "whole", corpus, **settings)
    assert folder.best.read_bytes() == (tmp_path / "whole" / "best.safetensors").read_bytes()
    assert (
        not list(folder.path.glob("*.tmp"))
        and len(folder.history.read_text().splitlines()) == len(run.history) == 5
    )


# What a run tells
# --------------------------------------------------------------------------------------------------


def test_reports_and_history() -> None:
    corpus = small_corpus()
    run = small_run(corpus, steps=12, eval_every=5)
    reports = trained(run, corpus)
    assert [report.step for report in reports] == list(range(1, 13))
    assert [report.step for report in reports if report.validation_loss is not None] == [5, 10, 12]
    assert [entry["step"] for entry in run.history] == [5, 10, 12]
    smoothed = reports[0].loss
    for report in reports[1:]:
        smoothed = training.SMOOTHING * smoothed + (1 - training.SMOOTHING) * report.loss
        assert report.smoothed_loss == pytest.approx(smoothed)
        assert report.epoch == report.step / run.steps_per_epoch and report.total_steps == 12
    for entry, steps in zip(run.history, (reports[:5], reports[5:10], reports[10:]), strict=True):
        assert entry["train_loss"] == pytest.approx(np.mean([report.loss for report in steps]))
        assert entry["validation_loss"] == steps[-1].validation_loss
        assert entry["learning_rate"] == pytest.approx(
            0.01 * (1 + (entry["step"] - 1) / 1000) ** -0.5
        )
        assert (
            entry["gradient_norm"] == steps[-1].gradient_norm > 0
            and entry["epoch"] == steps[-1].epoch
        )
    losses = [entry["validation_loss"] for entry in run.history]
    assert run.progress.best_loss == min(losses)
    assert run.progress.best_step == run.history[int(np.argmin(losses))]["step"]
    assert evaluate(run.result, corpus.validation).nats_per_char == losses[-1]


def test_the_best_checkpoint_is_the_best(tmp_path: Path) -> None:
    corpus, folder = small_corpus(), created(tmp_path)
    run = small_run(corpus, steps=30)
    trained(run, corpus, folder, steps=17)
    run.change(learning_rate=9.0, steps=30)  # so large that it gets worse again
    trained(run, corpus, folder)
    losses = {entry["step"]: entry["validation_loss"] for entry in run.history}
    best = load(folder.best)
    assert losses[best.origin.step] == best.origin.loss == min(losses.values())
    assert best.origin.step < run.step
    assert evaluate(best.model, corpus.validation).nats_per_char == best.origin.loss


def test_without_validation_text_the_training_loss_decides(tmp_path: Path) -> None:
    corpus, folder = small_corpus(val_fraction=0.0), created(tmp_path)
    run = small_run(corpus)
    trained(run, corpus, folder)
    assert [entry["validation_loss"] for entry in run.history] == [None] * 3
    assert (
        run.progress.best_loss == min(entry["train_loss"] for entry in run.history)
        and folder.best.exists()
    )


# The rules
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["ab", "abc", "ab" * 5, "hello world " * 3])
def test_tiny_texts_shrink_the_batch(tmp_path: Path, text: str) -> None:
    corpus, folder = small_corpus(text), created(tmp_path)
    run = small_run(corpus, batch_size=32, seq_length=64)
    config = run.config
    assert (
        config.batch_size * config.seq_length <= len(corpus.train) - 1 and config.seq_length <= 64
    )
    assert run.state.h.shape[1] == config.batch_size
    reports = trained(run, corpus, folder)
    assert len(reports) == 12 and all(math.isfinite(report.loss) for report in reports)
    assert load_run(folder.last).config == config


def test_change() -> None:
    run = small_run(small_corpus(), steps=10)
    for name, value in {"batch_size": 4, "seq_length": 9, "seed": 1}.items():
        with pytest.raises(ConfigError, match="cannot change"):
            run.change(**{name: value})
    run.change(batch_size=3, seq_length=8, seed=0, optimizer="adam", learning_rate=0.5)
    assert run.config.learning_rate == 0.5 and run.config.steps == 10
    run.change(epochs=2)
    assert (run.config.epochs, run.config.steps) == (
        2.0,
        None,
    ) and run.total_steps == 2 * run.steps_per_epoch
    run.change(steps=7)
    assert (run.config.epochs, run.config.steps) == (None, 7) and run.total_steps == 7
    run.change(steps=9, epochs=100)
    assert (run.config.epochs, run.config.steps) == (100.0, 9) and run.total_steps == 9
    before = run.config
    with pytest.raises(ConfigError, match="at most"):
        run.change(learning_rate=1e9)
    with pytest.raises(ConfigError, match="no setting 'lerning_rate'"):
        run.change(lerning_rate=0.1)
    with pytest.raises(ConfigError, match="how long"):
        run.change(steps=None, epochs=None)
    assert run.config == before
    run.change(warmup=None, decay_after=None, precision="auto")  # the recipe has decided
    assert run.config == before


def test_a_change_within_the_loop_counts_from_the_next_step() -> None:
    """As if the loop had been left and resumed there."""
    corpus, changes = small_corpus(), {"learning_rate": 0.05, "clip_norm": 0.1}
    inside, left, unchanged = (small_run(corpus) for _ in range(3))
    for report in train(inside, corpus, threads=1):
        if report.step == 5:
            inside.change(**changes)
    trained(left, corpus, steps=5)
    left.change(**changes)
    trained(left, corpus)
    trained(unchanged, corpus)
    assert digest(inside) == digest(left) != digest(unchanged)


def test_a_new_run_does_not_overwrite_another(tmp_path: Path) -> None:
    corpus, folder = small_corpus(), created(tmp_path / "run")
    trained(small_run(corpus), corpus, folder)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(RunError, match="already contains a run"):
        train(small_run(corpus), corpus, folder=folder)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == before


def test_only_the_text_it_was_started_on() -> None:
    corpus = small_corpus()
    run = small_run(corpus)
    for other in (
        small_corpus("something else " * 99),
        small_corpus(val_fraction=0.2),
        small_corpus(unit="byte"),
    ):
        with pytest.raises(CorpusError, match=r"the run('s text)? had"):
            next(train(run, other, threads=1))
    assert run.step == 0


@pytest.mark.parametrize("embedding", [0, 6])
def test_from_weights_keeps_the_meaning(embedding: int) -> None:
    """Symbols before the known ones in code point order must not shift them (a cipher)."""
    old_text = "mind the gap between the train and the platform\n" * 30
    corpus = small_corpus(old_text)
    old = small_run(corpus, steps=150, embedding=embedding)
    trained(old, corpus)
    new_corpus = Corpus.from_text(
        "A new text! With UPPER CASE, 3 digits & ünlaute.\n" * 20, extend=old.vocab
    )
    new = Run.from_weights(
        new_corpus, old.trained, adam(steps=5, batch_size=2, seq_length=8), dropout=0.1
    )
    known = len(old.vocab)
    assert new.vocab.symbols[:known] == old.vocab.symbols and len(new.vocab) > known
    assert (
        new.model.config.dropout == 0.1
        and new.model.config.hidden == old.model.config.hidden
        and new.step == 0
    )
    before, after = dict(old.result.parameters.to_disk()), dict(new.model.parameters.to_disk())
    for name, array in before.items():
        np.testing.assert_array_equal(after[name][tuple(map(slice, array.shape))], array)
    if embedding:
        assert after["embedding.weight"][known:].all()

    ids = old.vocab.encode(old_text[:400])
    np.testing.assert_array_equal(new.vocab.encode(old_text[:400]), ids)
    was, is_ = evaluate(old.result, ids).losses, evaluate(new.result, ids).losses
    config, x, y = new.model.config, ids[:-1, None].astype(int), ids[1:, None].astype(int)
    trace = reference.forward(config, after, x, y, reference.zero_states(config, 1))
    logits = trace.logits[:, 0]
    probability = np.exp(logits - logits.max(1, keepdims=True))
    share = probability[:, known:].sum(1) / probability.sum(1)
    np.testing.assert_allclose(is_, was - np.log1p(-share), atol=2e-5)
    assert was.mean() < 2 and 0 < share.mean() < 1.5 / len(new.vocab)
    assert len(trained(new, new_corpus)) == 5


def test_from_weights_wants_the_vocabulary_extended() -> None:
    old = small_run(small_corpus())
    with pytest.raises(ConfigError, match=r"extend=weights\.vocab"):
        Run.from_weights(small_corpus("quite other text\n" * 20), old.trained)


def begun_from(old: Run, corpus: Corpus, **settings: Any) -> Run:
    given = {"steps": 12, "batch_size": 3, "seq_length": 8, "eval_every": 5, "learning_rate": 0.01}
    return Run.from_weights(
        corpus, old.trained, TrainConfig(**{**given, "optimizer": "adamw", **settings})
    )


def test_a_run_from_weights_decays_towards_them() -> None:
    """The stronger the decay, the nearer the weights stay to their first values, new rows too."""
    old = small_run(small_corpus())
    trained(old, small_corpus())
    corpus = Corpus.from_text("Other Text, and new symbols! " * 40, extend=old.vocab)
    distances = []
    for decay in (0.0, 10.0, 90.0):
        run = begun_from(old, corpus, weight_decay=decay)
        first = run.model.parameters.copy()
        assert run.anchor is not None and run.anchor.flat is not run.model.parameters.flat
        trained(run, corpus)
        np.testing.assert_array_equal(run.anchor.flat, first.flat)
        after, before = dict(run.model.parameters.to_disk()), dict(first.to_disk())
        distances.append(
            [np.abs(after[name] - before[name]).mean() for name in after if "bias" not in name]
        )
    assert (np.diff(distances, axis=0) < 0).all()
    assert np.mean(distances[2]) < 0.3 * np.mean(distances[0])


def test_a_run_from_weights_goes_on_exactly(tmp_path: Path) -> None:
    """On one thread and two in turn; only such a run's file holds its first weights."""
    corpus = small_corpus()
    old = small_run(corpus, hidden=16)
    trained(old, corpus)

    def begun() -> Run:
        return begun_from(old, corpus, weight_decay=3.0)

    whole, parts = created(tmp_path / "whole"), created(tmp_path / "parts")
    trained(begun(), corpus, whole)
    trained(begun(), corpus, parts, steps=2, threads=2)
    for steps, threads in ((3, 1), (4, 2), (None, 1)):
        trained(parts.resume(), corpus, parts, steps=steps, threads=threads)
    assert parts.last.read_bytes() == whole.last.read_bytes()
    assert parts.best.read_bytes() == whole.best.read_bytes()
    anchor = parts.resume().anchor
    assert anchor is not None
    np.testing.assert_array_equal(anchor.flat, begun().model.parameters.flat)
    with safe_open(parts.best, framework="numpy") as best:
        assert not any(name.startswith("anchor.") for name in best.keys())  # noqa: SIM118
    usual = created(tmp_path / "usual")
    trained(small_run(corpus), corpus, usual, steps=1)
    with safe_open(usual.last, framework="numpy") as last:
        assert not any(name.startswith("anchor.") for name in last.keys())  # noqa: SIM118
    assert usual.resume().anchor is None


# Learning
# --------------------------------------------------------------------------------------------------


def markov_chain(rows: np.ndarray, length: int, seed: int) -> tuple[str, float]:
    """A text of an order-1 chain over the letters from 'a', and the chain's entropy rate in nats a
    character.
    """
    rng, symbol, text = np.random.default_rng(seed), 0, []
    cumulative = rows.cumsum(1)
    for coin in rng.random(length):
        symbol = min(int(np.searchsorted(cumulative[symbol], coin, "right")), len(rows) - 1)
        text.append(chr(ord("a") + symbol))
    values, vectors = np.linalg.eig(rows.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    entropies = -np.sum(np.where(rows > 0, rows * np.log(np.where(rows > 0, rows, 1)), 0), 1)
    return "".join(text), float(stationary @ entropies)


def test_a_source_of_known_entropy() -> None:
    """The loss comes near the entropy rate, and never below it by more than chance allows."""
    rows = np.random.default_rng(3).dirichlet(np.full(5, 0.5), 5)
    text, rate = markov_chain(rows, 60_000, 4)
    corpus = small_corpus(text, val_fraction=0.25)
    model = plain_model(layers=1, hidden=16, dropout=0.0)
    config = adam(
        steps=400, batch_size=16, seq_length=32, learning_rate=0.02, eval_every=400, sample_every=0
    )
    run = Run.new(corpus, model, config)
    losses = [report.loss for report in train(run, corpus, threads=1)]
    found = run.history[-1]["validation_loss"]
    v = corpus.validation.astype(int)
    ideal = -np.log(rows[v[:-1], v[1:]])  # what knowing the chain would cost on this very text
    error = ideal.std() / math.sqrt(len(ideal))
    assert 0.5 < rate < math.log(5) - 0.3 and losses[0] == pytest.approx(math.log(5), abs=0.2)
    assert abs(ideal.mean() - rate) < 4 * error  # the chain is what we take it for
    assert rate - 4 * error < found < rate + 0.03
    assert ideal.mean() - 0.002 < found < ideal.mean() + 0.02


def test_clipping_sees_the_sum_over_time_where_that_is_asked_for() -> None:
    """char-rnn's loss: the norm of the first gradient is T times that of the mean, and adam takes
    no notice of it.
    """
    corpus = small_corpus()
    mean, total = (
        small_run(corpus, clip_norm=0.0, epsilon=1e-15, reduction=kind)
        for kind in ("mean", "sum-over-time")
    )
    first, second = trained(mean, corpus, steps=1)[0], trained(total, corpus, steps=1)[0]
    assert second.loss == first.loss
    assert second.gradient_norm == pytest.approx(8 * first.gradient_norm, rel=1e-5)
    np.testing.assert_allclose(total.model.parameters.flat, mean.model.parameters.flat, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"steps": 3, "eval_every": 5}, [1, 3]),
        ({"steps": 8, "eval_every": 2}, [1, 2, 4, 6, 8]),
        ({"steps": 9, "eval_every": 2}, [1, 2, 4, 6, 8, 9]),
        ({"steps": 18, "eval_every": 1}, [1, 2, 3, 4, 5, 10, 15, 18]),
        ({"steps": 120, "eval_every": 60}, [1, 10, 60, 100, 120]),
        ({"steps": 7, "eval_every": 2, "sample_every": 3}, [3, 6, 7]),
        ({"steps": 3, "eval_every": 1, "sample_every": 0}, []),
        ({"steps": 99, "eval_every": 1, "patience": 2, "learning_rate": 0.0}, [1, 2, 3]),
    ],
)
def test_when_there_are_samples(settings: dict[str, Any], expected: list[int]) -> None:
    """Early, and at each of the first validations, so that a short run has some; then fewer; at
    every end.
    """
    corpus = small_corpus()
    reports = trained(small_run(corpus, **settings), corpus)
    assert [report.step for report in reports if report.sample] == expected


def test_the_average_is_that_of_its_equation() -> None:
    """averaged = d averaged + (1 - d) w with d = min(memory, (1 + step) / (10 + step)), and it is
    what is evaluated and kept.
    """
    corpus = small_corpus()
    run = small_run(corpus, steps=30, average=0.7, eval_every=30)
    expected = run.model.parameters.flat.astype(np.float64)
    reports = []
    for report in train(run, corpus, threads=1):
        d = min(0.7, (1 + run.step) / (10 + run.step))
        expected += (1 - d) * (run.model.parameters.flat - expected)
        reports.append(report)
    assert run.average is not None
    np.testing.assert_allclose(run.average.flat, expected, atol=1e-6)
    assert np.abs(run.average.flat - run.model.parameters.flat).max() > 1e-4
    assert reports[-1].validation_loss == evaluate(run.result, corpus.validation).nats_per_char
    without = run.model
    assert reports[-1].validation_loss != evaluate(without, corpus.validation).nats_per_char


def test_an_average_can_begin_and_end_within_a_run() -> None:
    corpus = small_corpus()
    run = small_run(corpus, steps=10, average=0.0)
    assert run.average is None and run.result is run.model
    trained(run, corpus)
    run.change(steps=12, average=0.9)
    assert run.average is not None
    np.testing.assert_array_equal(run.average.flat, run.model.parameters.flat)
    trained(run, corpus)
    assert run.average is not None and (run.average.flat != run.model.parameters.flat).any()
    run.change(average=0.0)
    assert run.average is None


def test_of_a_long_validation_text_with_documents_the_beginning_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    corpus = small_corpus(document_separator="\n")
    assert corpus.validation_starts is not None and corpus.validation_starts[-1] > 60
    monkeypatch.setattr(validation, "VALIDATED", 60)
    run = small_run(corpus)
    loss = validation_loss(run.result, corpus, Workers(1))
    starts = corpus.validation_starts[corpus.validation_starts <= 60]
    opening = StartStates.zero(run.result, corpus.separator_end)
    wanted = evaluate(run.result, corpus.validation[:60], starts=starts, openings=[opening])
    assert loss == wanted.nats_per_char
