"""Threads that run kernels side by side, how work is divided among them, and calls in order on
other threads.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeVar

from charrnn.errors import ConfigError

Thing = TypeVar("Thing")
Result = TypeVar("Result")

MOST_THREADS = 1024
AHEAD = 4
"""Things that may wait for another thread."""


UNLIMITED = 1 << 16
SYSTEM = Path("/")


def available_threads() -> int:
    """How many processors this process may use: its affinity, and on Linux the quotas of its
    control groups.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    return max(1, min(count, _quota()))


def check_threads(threads: int | None) -> None:
    """`ConfigError` unless it is a sensible number, or None for all there are."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"`threads` must be 1 to {MOST_THREADS}, not {threads}")


def usable_threads(asked: int | None) -> int:
    """As many threads as asked for, or all there are, but not more than processors: two on each
    take up to twice as long.
    """
    check_threads(asked)
    return min(asked or UNLIMITED, available_threads())


def _quota() -> int:
    """The processors that our control groups, of version 1 or 2, and all those above them leave us.

    In a container the file names the group as the host sees it, where only its end, or nothing of
    it, may be mounted.
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
    """The quota of one control group in processors, nearest whole number but at least 1."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join(
                (folder / name).read_text(encoding="ascii") for name in names
            ).split()
            if int(quota) > 0:  # version 1 says -1, version 2 max, where there is no limit
                return max(1, round(int(quota) / int(period)))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return UNLIMITED


def ranges(size: int, parts: int, grain: int = 1) -> list[tuple[int, int]]:
    """At most `parts` ranges (start, stop) that cover 0:size, nearly equal, cut at multiples of
    `grain`.
    """
    grains = -(-size // grain)
    parts = max(1, min(parts, grains))
    cuts = [min(size, part * grains // parts * grain) for part in range(parts + 1)]
    return list(pairwise(cuts))


class Workers:
    """A pool of threads. Every job must release the GIL in kernels, and jobs of one call must not
    write the same place.

    Handing over takes two locks a thread, 15 to 40 microseconds; a `ThreadPoolExecutor`, with its
    queue, takes 55 to 70.
    """

    def __init__(self, threads: int | None = None) -> None:
        check_threads(threads)
        self.threads = threads or available_threads()
        # jobs that wait for one another must not wait for threads that other jobs have
        self._turn = threading.Lock()
        self._others: list[_Worker] = []
        self._stop = weakref.finalize(self, _stop, self._others)

    def run(
        self,
        function: Callable[..., Any],
        jobs: Sequence[tuple[Any, ...]],
        release: Callable[[], None] | None = None,
    ) -> None:
        """Call function(*job) for every job, the last one in this thread, and return, or raise,
        when all are done. A thread does every `threads`-th job, one after another.

        Jobs that wait for one another, of which there are no more than threads, need a `release`:
        if one of them cannot start, as when an interrupt comes between, it lets the others end.
        """
        count = min(len(jobs), self.threads)
        if count <= 1:
            for job in jobs:
                function(*job)
            return
        with self._turn:
            while len(self._others) < count - 1:
                self._others.append(_Worker())
            others, ours = self._others[: count - 1], (len(jobs) - 1) % count
            places = [place for place in range(count) if place != ours]
            try:
                for worker, place in zip(others, places, strict=True):
                    worker.begin(function, jobs[place::count])
                for job in jobs[ours::count]:
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
        self._stop()
        for worker in self._others:
            worker.thread.join()
        self._others.clear()


class _Worker:
    """A thread that waits for jobs. Its work and its result are in attributes; the locks only
    wake who waits.
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
        """Let the thread do these jobs, one after another."""
        self._work, self._error, self._is_done = (function, jobs), None, False
        self._begun.release()

    def end(self) -> BaseException | None:
        """Wait until they are done; what one of them raised, which left out those after it."""
        while not self._is_done:
            self._ended.acquire()
        return self._error

    def stop(self) -> None:
        """Let the thread end, when it has nothing to do."""
        self._work = None
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
            with suppress(RuntimeError):  # still open, where `end` did not have to wait
                self._ended.release()


def _ended(workers: Sequence[_Worker]) -> list[BaseException]:
    """What was raised in the threads, once all are done; an interruption waits too, while arrays
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


class BackgroundCalls:
    """Calls a function with one thing after the other, in order, on a thread of its own, beside the
    one that makes them.

    A context, at whose end all calls are done. Raises what they raise.
    """

    def __init__(self, function: Callable[[Any], None]) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        for future in self._pending if kind is None else ():
            future.result()

    def add(self, thing: Any) -> None:
        """The next one; waits where they come too fast."""
        self._pending.append(self._pool.submit(self._function, thing))
        if len(self._pending) > AHEAD:
            self._pending.popleft().result()


def map_in_order(
    function: Callable[[Thing], Result], things: Iterable[Thing], threads: int
) -> Iterator[Result]:
    """As `map`, with calls on threads: at most `AHEAD` + `threads` things are taken in advance."""
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[Result]] = deque()
        for thing in things:
            pending.append(pool.submit(function, thing))
            if len(pending) > AHEAD + threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
