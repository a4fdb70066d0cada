"""Several ranks train the same network as one process, to the bit: here they are threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.errors import ConfigError, RunError, UnstableStep
from charrnn.runtime import mpi, threads
from charrnn.runtime.threads import Workers
from charrnn.training import loop, ranks, update
from charrnn.training.distributed import on_ranks
from charrnn.training.loop import train
from charrnn.training.ranks import Ranks
from charrnn.training.run_folder import RunFolder
from charrnn.training.sums import SharedSum
from tests.reference.communicator import (
    ThreadCommunicator,
    communicators,
    in_threads,
    random_gradients,
)
from tests.reference.small import small_corpus, small_run, trained

EVERYTHING: dict[str, Any] = {
    "batch_size": 8,
    "parts": 4,
    "label_smoothing": 0.1,
    "average": 0.9,
    "weight_decay": 0.01,
    "eval_every": 4,
    "steps": 9,
}


@pytest.fixture(autouse=True)
def all_processors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ranks limit the threads of their process, which here is that of the tests."""
    before = list(threads._limits)
    yield
    threads._limits[:] = before


def lead(size: int, main: Callable[[], Any]) -> Any:
    """What main returns or raises on rank 0 of so many."""
    results = in_threads(lambda communicator: on_ranks(main, communicator), size)
    assert results[1:] == [None] * (size - 1)
    return results[0]


def last_of(path: Path, size: int, stop: int | None = None, **settings: Any) -> bytes:
    corpus, folder = small_corpus(document_separator="fall\\n"), RunFolder(path)

    def main() -> bytes:
        if folder.last.exists():
            run = folder.resume()
        else:
            path.mkdir()
            folder.create({})
            run = small_run(corpus, **{**EVERYTHING, **settings})
        trained(run, corpus, folder, steps=stop)
        return folder.last.read_bytes()

    found = lead(size, main)
    assert isinstance(found, bytes), found
    return found


# The same bits
# --------------------------------------------------------------------------------------------------


def test_the_same_bits_on_any_number_of_ranks(tmp_path: Path) -> None:
    """Three ranks have four parts: in the second round two of them have nothing to do."""
    lasts = {last_of(tmp_path / f"{size}", size) for size in (1, 2, 3, 4)}
    assert len(lasts) == 1


def test_an_optimizer_that_needs_the_whole_gradient(tmp_path: Path) -> None:
    lasts = {last_of(tmp_path / f"{size}", size, optimizer="soap") for size in (1, 2, 3)}
    assert len(lasts) == 1


def test_a_run_goes_on_with_other_ranks(tmp_path: Path) -> None:
    whole = last_of(tmp_path / "whole", 1)
    last_of(tmp_path / "changing", 4, stop=3)
    last_of(tmp_path / "changing", 1, stop=2)
    assert last_of(tmp_path / "changing", 2) == whole


def test_falling_back_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient of one part that is not finite, and then weights that are not."""
    real = loop._Trainer._update

    def harmed(trainer: Any) -> Any:
        run = trainer.run
        if (run.step, run.progress.fall_backs) == (6, 0):
            run.complete()
            run.state.h[0, 5] = np.nan
            trainer.update.refresh()
        if (run.step, run.progress.fall_backs) == (7, 1):
            real(trainer)
            raise UnstableStep("weights not finite", math.nan, math.nan)
        return real(trainer)

    monkeypatch.setattr(loop._Trainer, "_update", harmed)
    lasts = [last_of(tmp_path / f"{size}", size, optimizer="adamw") for size in (1, 2)]
    assert lasts[0] == lasts[1] and b"fell_back_from" in lasts[0]


def test_two_runs_in_turn(tmp_path: Path) -> None:
    """The other ranks are given the run that goes on, and a text only if it is another one."""
    corpora = small_corpus(), small_corpus("abcab " * 300)
    alone = [small_run(corpus, **EVERYTHING, seed=k) for k, corpus in enumerate(corpora)]
    for run, corpus in zip(alone, corpora, strict=True):
        trained(run, corpus)

    def main() -> list[Any]:
        runs = [small_run(corpus, **EVERYTHING, seed=k) for k, corpus in enumerate(corpora)]
        reports = [train(run, corpus) for run, corpus in zip(runs, corpora, strict=True)]
        for _ in zip(*reports, strict=True):
            pass
        return runs

    for run, own in zip(lead(2, main), alone, strict=True):
        np.testing.assert_array_equal(run.model.parameters.flat, own.model.parameters.flat)
        np.testing.assert_array_equal(run.state.h, own.state.h)


@pytest.mark.parametrize("pieces", [[(0, 16)], [(0, 48), (48, 64)], [(0, 20000), (20000, 32768)]])
@pytest.mark.parametrize(("parts", "size"), [(3, 2), (4, 2), (5, 3), (4, 4)])
def test_the_sum_is_in_the_order_of_parts(
    parts: int, size: int, pieces: list[tuple[int, int]]
) -> None:
    """Also if there are fewer slices of a piece than ranks; and no warning of what overflows."""
    gradients = random_gradients(parts, pieces[-1][1])
    gradients[0][3], gradients[1][3] = np.inf, -np.inf
    gradients[0][4] = gradients[1][4] = 3e38
    with np.errstate(all="ignore"):
        expected = reduce(np.add, gradients)

    def summed(communicator: ThreadCommunicator) -> Any:
        own, buffer, found = Ranks(communicator), np.zeros_like(expected), np.zeros_like(expected)
        total = SharedSum(own, parts, buffer, found, pieces, Workers(2))
        for _ in range(2):
            for part in own.parts(parts):
                total.begin(part)
                if part is not None:
                    buffer[:] = gradients[part]
                    for _ in pieces:
                        total.ready()
            total.finish()
        total.gather(found)
        return found

    for total in in_threads(summed, size):
        np.testing.assert_array_equal(total, expected)


def test_a_text_is_sent_in_pieces_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "PIECE", 7)
    text = np.arange(50, dtype=np.uint16)
    sent = []

    def told(communicator: ThreadCommunicator) -> Any:
        own = Ranks(communicator)
        if own.rank == 0:
            monkeypatch.setattr(communicator, "Bcast", lambda buf: sent.append(real(buf)))
            own.send("a", 1, text)
            own.send("b", 2, text[:])
            return None
        return own.receive(), own.receive()

    pair = communicators(2)
    real = pair[0].Bcast
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        (first, second) = list(pool.map(told, pair))[1]
    assert (first[0], second[0]) == (1, 2) and len(sent) == 15
    np.testing.assert_array_equal(second[1], text)


# Errors
# --------------------------------------------------------------------------------------------------


def test_fewer_parts_than_ranks() -> None:
    corpus = small_corpus()
    error = lead(3, lambda: train(small_run(corpus, batch_size=4, parts=2), corpus))
    assert isinstance(error, ConfigError) and "`parts` is 2, but there are 3" in str(error)


def test_an_error_between_steps_ends_the_others_quietly() -> None:
    def main() -> None:
        corpus = small_corpus()
        next(train(small_run(corpus, batch_size=4, parts=2), corpus))
        raise KeyError("of the caller")

    error = lead(2, main)
    assert isinstance(error, KeyError)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_within_a_step_ends_all(monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """Else the other rank would wait for a gradient that never comes."""
    real, shown = update.Update._add_gradients, []

    def failed(own: update.Update, step: int) -> float:
        if step == 3 and own.ranks.rank == failing:
            raise MemoryError("no room")
        return real(own, step)

    monkeypatch.setattr(update.Update, "_add_gradients", failed)

    def report(error: BaseException) -> int:
        shown.append(type(error))
        return 7

    def on_rank(communicator: ThreadCommunicator) -> Any:
        corpus = small_corpus()
        run = small_run(corpus, batch_size=4, parts=2)
        try:
            return on_ranks(lambda: list(train(run, corpus)), communicator, report_error=report)
        finally:
            assert communicator.aborted[0] == 7

    errors = in_threads(on_rank, 2)
    assert isinstance(errors[failing], MemoryError) and MemoryError in shown


def test_ranks_that_compute_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that rounds differently must not spoil a run unnoticed."""
    real = update.Update._gradients_of

    def rounded(own: update.Update, *place: Any, **others: Any) -> Any:
        loss, gradient = real(own, *place, **others)
        if own.ranks.rank == 1:
            gradient.flat[3] = np.nextafter(gradient.flat[3], np.float32(1))
        return loss, gradient

    monkeypatch.setattr(update.Update, "_gradients_of", rounded)
    corpus = small_corpus()

    def on_rank(communicator: ThreadCommunicator) -> Any:
        run = small_run(corpus, batch_size=4, parts=2)
        return on_ranks(lambda: list(train(run, corpus)), communicator, report_error=lambda _: 1)

    errors = [error for error in in_threads(on_rank, 2) if isinstance(error, RunError)]
    assert errors and all("rank 1 computes other bits" in str(error) for error in errors)


def test_a_run_is_whole_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots and averages are spread over the ranks, which send them when rank 0 needs them."""
    corpus, settings = small_corpus(), {**EVERYTHING, "optimizer": "adam", "eval_every": 100}
    alone = small_run(corpus, **settings)
    averages = []
    for _ in train(alone, corpus):
        averages.append(alone.result.parameters.flat.copy())

    def main() -> Any:
        run, found = small_run(corpus, **settings), []
        for report in train(run, corpus):
            if report.step % 2:
                found.append(run.result.parameters.flat.copy())
        return run, found

    run, found = lead(3, main)
    np.testing.assert_array_equal(found, averages[::2])
    for name, slot in run.slots.items():
        np.testing.assert_array_equal(slot.flat, alone.slots[name].flat)
    assert run.completing is None


# What a launcher says
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (1, 0)),
        ({"PMI_SIZE": "4", "PMI_RANK": "2"}, (4, 2)),
        ({"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "1", "PMIX_RANK": "1"}, (3, 1)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "7", "PMIX_RANK": "7"}, (8, 7)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, (1, 0)),  # the script, not a step
        ({"PMI_SIZE": "one"}, (1, 0)),
    ],
)
def test_launchers(environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert (mpi.launched_size(environment), mpi.launched_rank(environment)) == expected


@pytest.mark.parametrize(
    ("affinities", "quota", "expected", "together"),
    [
        ([{0, 1}, {0, 1}], 1 << 16, [1, 1], 2),
        ([{0, 1}, {2, 3}], 1 << 16, [2, 2], 4),  # a launcher that binds ranks to processors
        ([set(range(8))] * 2, 4, [2, 2], 4),
        ([{0}] * 3, 1 << 16, [1, 1, 1], 1),
        ([set(range(12))] * 4, 1 << 16, [3, 3, 3, 3], 12),
    ],
)
def test_ranks_share_processors(
    monkeypatch: pytest.MonkeyPatch,
    affinities: list[set[int]],
    quota: int,
    expected: list[int],
    together: int,
) -> None:
    limits: dict[int, int] = {}
    own = iter(affinities)
    monkeypatch.setattr(threads, "affinity", lambda: next(own))
    monkeypatch.setattr(threads, "quota", lambda: quota)

    def shared(communicator: ThreadCommunicator) -> tuple[int, int]:
        monkeypatch.setattr(
            threads, "limit_threads", lambda count: limits.setdefault(len(limits), count)
        )
        return mpi.share_processors(communicator)

    count = len(affinities)
    assert in_threads(shared, count) == [(count, together)] * count
    assert sorted(limits.values()) == sorted(expected)
