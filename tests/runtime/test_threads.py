"""How work is divided among threads, and that all of it is done."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from charrnn.errors import ConfigError
from charrnn.runtime import threads as workers
from charrnn.runtime.threads import (
    AHEAD,
    BackgroundCalls,
    Workers,
    available_threads,
    map_in_order,
    ranges,
    usable_threads,
)


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
        assert len(cuts) == min(parts, -(-size // grain)), (
            "a thread that could work has nothing to do"
        )


def test_ranges_by_hand() -> None:
    assert ranges(10, 3) == [(0, 3), (3, 6), (6, 10)]
    assert ranges(100, 2, 64) == [(0, 64), (64, 100)]
    assert ranges(100, 5, 64) == [(0, 64), (64, 100)]
    assert ranges(2, 5) == [(0, 1), (1, 2)]
    assert ranges(0, 2) == [(0, 0)]


@pytest.fixture(params=[1, 2, 3, 5])
def pool(request: pytest.FixtureRequest) -> Iterator[Workers]:
    pool = Workers(request.param, processors=request.param)
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
    """Else a caller that catches it, to save a checkpoint say, finds its arrays still being
    written.
    """
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


def test_no_more_threads_than_jobs() -> None:
    """With more threads than shards, those without one are not there at all."""
    before = threading.active_count()
    pool = Workers(64, processors=64)
    for _ in range(3):
        pool.run(time.sleep, [(0.001,)] * 3)
    assert threading.active_count() == before + 2
    pool.close()


def test_close_ends_the_threads() -> None:
    before = threading.active_count()
    pool = Workers(4, processors=4)
    pool.run(time.sleep, [(0.01,)] * 4)
    assert threading.active_count() > before
    pool.close()
    assert threading.active_count() == before
    pool.close()


@pytest.mark.parametrize("reopens", [False, True])
def test_threads_end_with_their_pool(reopens: bool) -> None:
    """One that nobody closes, or that is used again after it, even if its own thread is the last to
    know of it.
    """
    before = threading.active_count()
    for _ in range(5):
        pool = Workers(3, processors=3)
        if reopens:
            pool.close()
        pool.run(lambda pool: None, [(pool,)] * 3)
        del pool
    until = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert threading.active_count() == before


def test_what_was_handed_over_is_let_go() -> None:
    """Else the buffers of the last call, which may be large, would live until the next."""
    pool, arrays = Workers(3, processors=3), [np.zeros(3) for _ in range(7)]
    known = [weakref.ref(array) for array in arrays]
    pool.run(np.copy, [(array,) for array in arrays])
    del arrays
    until = time.monotonic() + 10
    while any(ref() is not None for ref in known) and time.monotonic() < until:
        time.sleep(0.001)
    assert [ref() for ref in known] == [None] * 7
    pool.close()


def test_many_short_calls() -> None:
    """A lost wake-up would hang here, a job done twice would count."""
    pool, counts = Workers(3, processors=3), [0] * 6

    def count(place: int) -> None:
        counts[place] += 1

    for k in range(3000):
        pool.run(count, [(place,) for place in range(2 + k % 5)])
    pool.close()
    assert counts == [3000, 3000, 2400, 1800, 1200, 600]


@pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="no signals to a thread on this system"
)
def test_an_interruption_waits_for_the_threads() -> None:
    """Whoever catches it finds no array being written, and a pool that works."""
    pool, main, done = Workers(2, processors=2), threading.get_ident(), list[int]()

    def job(number: int) -> None:
        if number == 0:
            time.sleep(0.05)
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.05)
        done.append(number)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            pool.run(job, [(0,), (1,)])
        assert sorted(done) == [0, 1]
        done.clear()
    pool.run(job, [(2,), (3,)])
    assert sorted(done) == [2, 3]
    pool.close()


def test_threads_by_default_are_those_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "available_threads", lambda: 3)
    pool = Workers()
    assert pool.threads == 3
    pool.close()


@pytest.mark.parametrize(("affinity", "quota", "expected"), [(8, 2, 2), (2, 8, 2), (1, 1 << 16, 1)])
def test_available_threads(
    monkeypatch: pytest.MonkeyPatch, affinity: int, quota: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(workers, "quota", lambda: quota)
    assert available_threads() == expected


@pytest.mark.parametrize(("asked", "used"), [(None, 4), (1, 1), (4, 4), (5, 4), (1024, 4)])
def test_more_threads_than_processors_are_not_used(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, used: int
) -> None:
    """They would take turns on them."""
    monkeypatch.setattr(workers, "available_threads", lambda: 4)
    assert usable_threads(asked) == used
    assert Workers(asked).threads == used, "whoever asks"
    assert Workers(asked, processors=3).threads == min(used, 3)


@pytest.mark.parametrize("asked", [0, -1, 1025])
def test_no_sensible_number_of_threads(asked: int) -> None:
    for ask in (usable_threads, Workers):
        with pytest.raises(ConfigError, match=f"`threads` must be 1 to 1024, not {asked}"):
            ask(asked)


def test_available_threads_where_there_is_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(workers, "quota", lambda: 1 << 16)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_threads() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_threads() == 1


# Control groups
# --------------------------------------------------------------------------------------------------


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(workers, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(12)), raising=False)
    return tmp_path


def write(system: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)


OF_1 = "7:memory:/a\n4:cpu,cpuacct:/a/b\n3:cpuset:/a/b\n1:name=systemd:/a\n"


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, 12),
        ("0::/\n", {}, 12),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 12),
        ("0::/\n", {"cpu.max": "2000000 100000\n"}, 12),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 12),
        ("0::/\n", {"cpu.max": "100000 0\n"}, 12),
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "500000 100000\n", "a/b/cpu.max": "600000 100000\n"}, 5),
        ("0::/a\n", {"b/cpu.max": "100000 100000\n"}, 12),
        ("0::/seen/by/the/host\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/../..\n", {"cpu.max": "200000 100000\n"}, 2),
        (
            OF_1,
            {
                "cpu,cpuacct/a/b/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/a/b/cpu.cfs_period_us": "50000",
            },
            5,
        ),
        (OF_1, {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 12),
        (OF_1, {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
        (OF_1, {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        (OF_1, {"cpu/a/cpu.cfs_quota_us": "300000"}, 12),
        ("1:cpu:/a\n0::/b\n", {"unified/b/cpu.max": "200000 100000\n"}, 2),
        ("broken", {"cpu.max": "200000 100000\n"}, 2),
    ],
)
def test_quotas(system: Path, groups: str, files: dict[str, str], expected: int) -> None:
    write(
        system,
        {"proc/self/cgroup": groups}
        | {f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    )
    assert available_threads() == expected


def test_no_control_groups(system: Path) -> None:
    assert available_threads() == 12


@pytest.mark.parametrize("threads", [1, 3])
def test_calls_ahead_come_in_order(threads: int) -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for n in range(50):
            taken.append(n)
            yield n

    def slow_at_first(n: int) -> int:
        time.sleep(0.01 if n % 7 == 0 else 0)
        return n * n

    for n, result in enumerate(map_in_order(slow_at_first, things(), threads)):
        assert result == n * n
        assert len(taken) <= n + AHEAD + threads + 1, "a buffer of the text would be overwritten"
    assert len(taken) == 50


def test_a_call_ahead_that_fails() -> None:
    results = map_in_order(lambda n: 1 // (2 - n), range(10), 2)
    with pytest.raises(ZeroDivisionError):
        list(results)


# Where no thread can be started, and after a fork
# --------------------------------------------------------------------------------------------------


def limit_threads(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Four processors, on which the system starts this many threads and refuses the rest."""
    begin, begun = threading.Thread.start, list[threading.Thread]()

    def start(thread: threading.Thread) -> None:
        if len(begun) >= most:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(workers, "available_threads", lambda: 4)


@pytest.mark.parametrize("most", [0, 1, 2])
def test_work_is_done_on_the_threads_that_can_be_started(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    limit_threads(monkeypatch, most)
    pool, done = Workers(4, processors=4), list[int]()
    with pytest.warns(RuntimeWarning, match="no more threads"):
        pool.run(done.append, [(n,) for n in range(9)])
    pool.run(done.append, [(n,) for n in range(9, 20)])  # and says so once
    assert sorted(done) == list(range(20)) and pool.ready(4) == most + 1
    pool.close()


@pytest.mark.parametrize(("threads", "most"), [(3, 1), (4, 2)])
def test_jobs_that_share_memory_run_in_one_thread(
    monkeypatch: pytest.MonkeyPatch, threads: int, most: int
) -> None:
    """Every `threads`-th job, on fewer threads too; the last one is the caller's."""
    limit_threads(monkeypatch, most)
    pool, seen = Workers(threads, processors=threads), dict[int, threading.Thread]()
    with pytest.warns(RuntimeWarning, match="no more threads"):
        pool.run(lambda n: seen.setdefault(n, threading.current_thread()), [(n,) for n in range(9)])
    assert all(seen[n] is seen[n % threads] for n in range(9))
    assert len(set(seen.values())) == most + 1 and seen[8] is threading.current_thread()
    pool.close()


@pytest.mark.parametrize("most", [0, 1, 2])
def test_calls_ahead_on_the_threads_that_can_be_started(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    limit_threads(monkeypatch, most)
    with pytest.warns(RuntimeWarning, match="no more threads"):
        assert list(map_in_order(lambda n: n * n, range(30), 3)) == [n * n for n in range(30)]


def test_background_calls_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_threads(monkeypatch, 0)
    calls = list[int]()
    with pytest.warns(RuntimeWarning, match="no more threads"), BackgroundCalls(calls.append) as c:
        for n in range(20):
            c.add(n)
    assert calls == list(range(20))
    with (
        pytest.warns(RuntimeWarning),
        pytest.raises(ZeroDivisionError),
        BackgroundCalls(lambda n: 1 // n) as failing,
    ):
        failing.add(0)


def status_of_child(work: Callable[[], bool]) -> int:
    """Fork; the child's exit status: 0 if `work` is true there, 1 if not, -1 if it hangs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_starts_its_own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, done = Workers(3, processors=3), list[int]()
    pool.run(done.append, [(n,) for n in range(6)])

    def works() -> bool:
        pool.run(done.append, [(n,) for n in range(6, 12)])
        pool.close()
        return sorted(done) == list(range(12)) and pool.ready(1) == 1

    def works_alone() -> bool:
        limit_threads(monkeypatch, 0)
        with pytest.warns(RuntimeWarning):
            return works()

    assert status_of_child(works) == 0
    assert status_of_child(works_alone) == 0
    pool.run(done.append, [(n,) for n in range(6, 12)])  # the parent's are as before
    assert sorted(done) == list(range(12))
    pool.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_while_another_thread_uses_the_pool() -> None:
    """The child finds the pool idle, not locked by a thread that it does not have."""
    pool, begun, forked = Workers(2, processors=2), threading.Event(), threading.Event()

    def busy() -> None:
        begun.set()
        forked.wait(60)

    user = threading.Thread(target=pool.run, args=(busy, [(), ()]))
    user.start()
    begun.wait(60)
    done = list[int]()

    def works() -> bool:
        pool.run(done.append, [(1,), (2,)])
        return sorted(done) == [1, 2]

    try:
        assert status_of_child(works) == 0
    finally:
        forked.set()
        user.join()
        pool.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_inside_a_job() -> None:
    """The other thread's job is lost in the child, which is an error there, not a wait."""
    pool, main, forked = Workers(2, processors=2), threading.current_thread(), threading.Event()
    child = list[int]()

    def job() -> None:
        if threading.current_thread() is main:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child.append(os.fork())
            forked.set()
        else:
            forked.wait(60)

    try:
        pool.run(job, [(), ()])
    except RuntimeError as error:
        os._exit(7 if not child[0] and "forked" in str(error) else 1)
    if not child[0]:
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child[0], 0)[1]) == 7
    pool.close()


DAEMONS = """
import threading, time
from charrnn.runtime.threads import Workers

def use():
    pool = Workers(2, processors=2)
    while True:
        pool.run(time.sleep, [(0,), (0,)])

for _ in range(20):
    threading.Thread(target=use, daemon=True).start()
time.sleep(0.2)
"""


def test_a_program_ends_while_daemons_use_pools() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", DAEMONS], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stderr == ""
