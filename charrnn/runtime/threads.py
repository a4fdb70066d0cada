"""Threads that run kernels in parallel, the division of work among them, and ordered calls on other
threads.
"""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle, pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeVar

from charrnn.errors import ConfigError

Thing = TypeVar("Thing")
Result = TypeVar("Result")

MOST_THREADS = 1024
AHEAD = 4
"""Maximum number of items that wait for another thread."""


UNLIMITED = 1 << 16
SYSTEM = Path("/")


_limits = [UNLIMITED]


def affinity() -> set[int]:
    """The numbers of the processors that this process may run on."""
    try:
        return os.sched_getaffinity(0)
    except AttributeError:
        return set(range(os.cpu_count() or 1))


def available_threads() -> int:
    """The number of processors that this process may use: its affinity and, on Linux, its control
    groups' quotas, and `limit_threads`.
    """
    return max(1, min(len(affinity()), quota(), *_limits))


def limit_threads(count: int) -> None:
    """From now on this process uses no more processors, since others use the rest."""
    _limits[:] = [count]


def check_threads(threads: int | None) -> None:
    """`ConfigError` unless the number is reasonable or None (all processors)."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"`threads` must be 1 to {MOST_THREADS}, not {threads}")


def usable_threads(asked: int | None, processors: int | None = None) -> int:
    """The requested number of threads, or all processors, but no more threads than processors: two
    on each can take twice as long.

    `processors` are by default those available to this process.
    """
    check_threads(asked)
    return min(asked or UNLIMITED, processors or available_threads())


def quota() -> int:
    """The processors that our control groups (version 1 or 2) and their parents allow.

    In a container, the file names the group as the host sees it; only the end of that path, or none
    of it, may be mounted.
    """
    try:
        lines = (
            (SYSTEM / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
        )
    except OSError:
        return UNLIMITED
    limits = [UNLIMITED]
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for mount in (controllers, "cpu") if controllers else ("", "unified"):
            group = PurePosixPath("/", name)
            for place in (group, *group.parents):
                limits.append(_limit(SYSTEM / "sys/fs/cgroup" / mount / place.relative_to("/")))
    return min(limits)


def _limit(folder: Path) -> int:
    """The quota of one control group in processors, rounded, at least 1."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join(
                (folder / name).read_text(encoding="ascii") for name in names
            ).split()
            if int(quota) > 0:  # without a limit, version 1 says -1 and version 2 max
                return max(1, round(int(quota) / int(period)))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return UNLIMITED


def ranges(size: int, parts: int, grain: int = 1) -> list[tuple[int, int]]:
    """At most `parts` ranges (start, stop) of nearly equal size that cover 0:size, cut at multiples
    of `grain`.
    """
    grains = -(-size // grain)
    parts = max(1, min(parts, grains))
    cuts = [min(size, part * grains // parts * grain) for part in range(parts + 1)]
    return list(pairwise(cuts))


class Workers:
    """A pool of threads. Every job must release the GIL in kernels, and jobs of one call must not
    write to the same memory.

    There are no more threads than processors, whoever asks (`usable_threads`). They are started
    when they are first needed. If the system refuses one (`ulimit -u`), those that run do all the
    work, down to the caller's own. After a fork, the child starts its own.

    Handing a job over takes two locks per thread, 15 to 40 microseconds; a `ThreadPoolExecutor`,
    with its queue, takes 55 to 70.
    """

    def __init__(self, threads: int | None = None, *, processors: int | None = None) -> None:
        self.threads = usable_threads(threads, processors)
        # jobs that wait for one another must not wait for threads used by other jobs
        self._turn = threading.Lock()
        self._others: list[_Worker] = []
        weakref.finalize(self, _stop, self._others)
        self._most = MOST_THREADS  # lower once the system has refused a thread
        _LIVE.add(self)

    def ready(self, count: int) -> int:
        """Start threads until `count` jobs can run side by side; returns how many can, which is
        less only if the system refuses to start more threads.
        """
        with self._turn:
            while len(self._others) < min(count, self._most) - 1:
                try:
                    self._others.append(_Worker())
                except RuntimeError:  # "can't start new thread"
                    self._most = len(self._others) + 1
                    _warn_of_threads()
            return min(count, len(self._others) + 1)

    def __repr__(self) -> str:
        return f"Workers({self.threads})"

    def run(
        self,
        function: Callable[..., Any],
        jobs: Sequence[tuple[Any, ...]],
        release: Callable[[], None] | None = None,
    ) -> None:
        """Call function(*job) for every job, the last one in this thread, and return or raise when
        all are done. Jobs n, n + `threads`, n + 2 `threads`, ... may share memory: they run in one
        thread, in turn, even if the system starts fewer threads.

        Jobs that wait for one another (no more than can be `ready`) need a `release`: it lets the
        others end if one of them cannot start, for example because of an interrupt.
        """
        places = min(len(jobs), self.threads)
        count = self.ready(places) if places > 1 else 1
        if count == 1:
            for job in jobs:
                function(*job)
            return
        with self._turn:
            shares = [
                [job for place in range(n, places, count) for job in jobs[place::places]]
                for n in range(count)
            ]
            others, own = self._others[: count - 1], shares.pop((len(jobs) - 1) % places % count)
            try:
                for worker, share in zip(others, shares, strict=True):
                    worker.begin(function, share)
                for job in own:
                    function(*job)
            except BaseException:
                if release is not None:
                    release()
                raise
            finally:
                errors = _ended(others)
        for error in errors:
            raise error

    def close(self) -> None:
        """End the threads."""
        _stop(self._others)
        for worker in self._others:
            worker.thread.join()
        self._others.clear()

    def forget_threads(self) -> None:
        """In the child of a fork: only the thread that forked is there. It starts others."""
        for worker in self._others:
            worker.lose()
        self._others.clear()
        self._turn = threading.Lock()


class _Worker:
    """A thread that waits for jobs. Its work and its result are attributes; the locks only wake
    waiters.
    """

    def __init__(self) -> None:
        self._begun, self._ended = threading.Lock(), threading.Lock()
        self._begun.acquire()
        self._work: tuple[Callable[..., Any], Sequence[tuple[Any, ...]]] | None = None
        self._is_done = True
        self._error: BaseException | None = None
        self.thread = threading.Thread(target=self._loop, name="charrnn", daemon=True)
        self.thread.start()

    def begin(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> None:
        """Let the thread run these jobs in turn."""
        self._work, self._error, self._is_done = (function, jobs), None, False
        self._begun.release()

    def end(self) -> BaseException | None:
        """Wait until the jobs are done; returns the exception of a failed job, after which the rest
        were skipped.
        """
        while not self._is_done:
            self._ended.acquire()
        return self._error

    def lose(self) -> None:
        """Record that the thread is gone, for a caller that waits for its jobs."""
        if not self._is_done:
            self._error, self._is_done = RuntimeError("forked while jobs were running"), True

    def stop(self) -> None:
        """End the thread once it is idle; at exit, a daemon may have left it a job."""
        self._work = None
        with suppress(RuntimeError):
            self._begun.release()

    def _loop(self) -> None:
        while True:
            self._begun.acquire()
            if self._work is None:
                return
            (function, jobs), self._work = self._work, None
            try:
                for job in jobs:
                    function(*job)
            except BaseException as error:
                self._error = error
            function = jobs = job = None  # type: ignore[assignment]  # or the arrays would live until the next call
            self._is_done = True
            with suppress(RuntimeError):  # still open if `end` did not have to wait
                self._ended.release()


def _ended(workers: Sequence[_Worker]) -> list[BaseException]:
    """The exceptions raised in the threads, once all are done; an interrupt waits too, while arrays
    are being written.
    """
    errors: list[BaseException] = []
    for worker in workers:
        while True:
            try:
                error = worker.end()
                break
            except KeyboardInterrupt as interruption:
                errors.append(interruption)
        errors += [error] if error is not None else []
    return errors


def _stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.stop()


_LIVE: weakref.WeakSet[Workers] = weakref.WeakSet()


def _after_fork() -> None:
    for workers in list(_LIVE):
        workers.forget_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _warn_of_threads() -> None:
    """Warn once."""
    warnings.warn(
        "the system starts no more threads (see ulimit -u); working on fewer, which is slower",
        RuntimeWarning,
        stacklevel=1,
    )


def _pools(threads: int) -> list[ThreadPoolExecutor]:
    """At most this many pools of one running thread each; fewer, or none, if the system refuses to
    start threads.
    """
    pools: list[ThreadPoolExecutor] = []
    with suppress(RuntimeError):
        for _ in range(threads):
            pool = ThreadPoolExecutor(1)
            pool.submit(int)
            pools.append(pool)
    if len(pools) < threads:
        _warn_of_threads()
    return pools


class BackgroundCalls:
    """Calls a function with one item after another, in order, on a separate thread if one can be
    started, while the caller produces the items.

    At the end of the context, all calls are done. Raises what they raise.
    """

    def __init__(self, function: Callable[[Any], None]) -> None:
        self._function = function
        self._pools = _pools(1)
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=kind is not None)
        for future in self._pending if kind is None else ():
            future.result()

    def add(self, thing: Any) -> None:
        """Add the next item; waits if items come too fast."""
        if not self._pools:
            self._function(thing)
            return
        self._pending.append(self._pools[0].submit(self._function, thing))
        if len(self._pending) > AHEAD:
            self._pending.popleft().result()


def map_in_order(
    function: Callable[[Thing], Result], things: Iterable[Thing], threads: int
) -> Iterator[Result]:
    """Like `map`, with calls on threads: at most `AHEAD` + `threads` items are taken in advance.

    If no thread can be started, the calls are made here.
    """
    pools = _pools(threads)
    if not pools:
        yield from map(function, things)
        return
    pending: deque[Future[Result]] = deque()
    turns = cycle(pools)
    try:
        for thing in things:
            pending.append(next(turns).submit(function, thing))
            if len(pending) > AHEAD + threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for pool in pools:
            pool.shutdown()
