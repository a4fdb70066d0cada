"""How work is divided among threads, and that all of it is done."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from charrnn import workers
from charrnn.workers import Workers, available_threads, ranges


@pytest.mark.parametrize("grain", [1, 16, 64])
@pytest.mark.parametrize("parts", [1, 2, 3, 5, 64])
def test_ranges_cover_everything_once(parts: int, grain: int) -> None:
    for size in [1, 2, 3, 15, 16, 17, 63, 64, 65, 100, 129, 1000]:
        cuts = ranges(size, parts, grain)
        assert 1 <= len(cuts) <= parts
        assert cuts[0][0] == 0 and cuts[-1][1] == size
        assert all(stop == start for (_, stop), (start, _) in pairwise(cuts))
        assert all(start < stop and start % grain == 0 for start, stop in cuts)
        grains = [-(-(stop - start) // grain) for start, stop in cuts]
        assert max(grains) - min(grains) <= 1, "not nearly equal"
        assert len(cuts) == min(parts, -(-size // grain)), "a thread that could work has nothing to do"


def test_ranges_by_hand() -> None:
    assert ranges(10, 3) == [(0, 3), (3, 6), (6, 10)]
    assert ranges(100, 2, 64) == [(0, 64), (64, 100)]
    assert ranges(100, 5, 64) == [(0, 64), (64, 100)]
    assert ranges(2, 5) == [(0, 1), (1, 2)]
    assert ranges(0, 2) == [(0, 0)]


@pytest.fixture(params=[1, 2, 3, 5])
def pool(request: pytest.FixtureRequest) -> Iterator[Workers]:
    pool = Workers(request.param)
    assert pool.threads == request.param
    yield pool
    pool.close()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_every_job_is_done_once_and_before_run_returns(pool: Workers, count: int) -> None:
    done: list[tuple[int, str]] = []

    def job(number: int, letter: str) -> None:
        time.sleep(0.001)
        done.append((number, letter))

    jobs = [(number, "ab"[number % 2]) for number in range(count)]
    pool.run(job, jobs)
    assert sorted(done) == jobs


def test_jobs_run_side_by_side(pool: Workers) -> None:
    """As many as there are threads meet at a barrier; one after another they never would."""
    barrier = threading.Barrier(pool.threads, timeout=10)
    pool.run(barrier.wait, [()] * pool.threads)
    assert not barrier.broken


def test_the_last_job_is_the_callers(pool: Workers) -> None:
    seen: dict[int, threading.Thread] = {}
    pool.run(lambda number: seen.setdefault(number, threading.current_thread()), [(0,), (1,), (2,)])
    assert seen[2] is threading.current_thread()


@pytest.mark.parametrize("broken", [0, 1, 3])
def test_an_exception_arrives_when_all_jobs_are_done(pool: Workers, broken: int) -> None:
    """Else a caller that catches it, to save a checkpoint say, finds its arrays still being written."""
    running: set[int] = set()

    def job(number: int) -> None:
        running.add(number)
        time.sleep(0.002 if number == broken else 0.03)
        running.remove(number)
        if number == broken:
            raise ZeroDivisionError(f"job {number}")

    with pytest.raises(ZeroDivisionError, match=f"job {broken}"):
        pool.run(job, [(number,) for number in range(4)])
    assert not running
    time.sleep(0.04)
    assert not running
    numbers: list[int] = []
    pool.run(numbers.append, [(1,), (2,)])
    assert sorted(numbers) == [1, 2], "the pool is of no use any more"


def test_close_ends_the_threads() -> None:
    before = threading.active_count()
    pool = Workers(4)
    pool.run(time.sleep, [(0.01,)] * 4)
    assert threading.active_count() > before
    pool.close()
    assert threading.active_count() == before


def test_threads_by_default_are_those_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "available_threads", lambda: 3)
    pool = Workers()
    assert pool.threads == 3
    pool.close()


@pytest.mark.parametrize(("affinity", "quota", "expected"), [(8, 2, 2), (2, 8, 2), (1, 1 << 16, 1)])
def test_available_threads(monkeypatch: pytest.MonkeyPatch, affinity: int, quota: int, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(workers, "_quota", lambda: quota)
    assert available_threads() == expected


def test_available_threads_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(workers, "_quota", lambda: 1 << 16)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_threads() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_threads() == 1
