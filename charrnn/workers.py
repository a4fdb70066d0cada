"""Threads that run kernels side by side, and how work is divided among them; a thread that follows another."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any, Self

from charrnn.errors import ConfigError

MOST_THREADS = 1024
AHEAD = 4
"""Things that may wait for a `Follower`."""


def available_threads() -> int:
    """How many processors this process may use: its affinity, and on Linux its control group's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    return max(1, min(count, _quota()))


def check_threads(threads: int | None) -> None:
    """`ConfigError` unless it is a sensible number, or None for all there are."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"--threads must be 1 to {MOST_THREADS}, not {threads}")


def _quota() -> int:
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123
            limit, period = file.read().split()
        return max(1, round(int(limit) / int(period)))
    except (OSError, ValueError):
        return 1 << 16


def ranges(size: int, parts: int, grain: int = 1) -> list[tuple[int, int]]:
    """At most `parts` ranges (start, stop) that cover 0:size, nearly equal, cut at multiples of `grain`."""
    grains = -(-size // grain)
    parts = max(1, min(parts, grains))
    cuts = [min(size, part * grains // parts * grain) for part in range(parts + 1)]
    return list(pairwise(cuts))


class Workers:
    """A pool of threads. Every job must release the GIL in kernels, and jobs of one call must not write the same place."""

    def __init__(self, threads: int | None = None) -> None:
        check_threads(threads)
        self.threads = threads or available_threads()
        self._pool = ThreadPoolExecutor(self.threads - 1, "charrnn") if self.threads > 1 else None

    def run(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> None:
        """Call function(*job) for every job, the last one in this thread, and return, or raise, when all are done."""
        if self._pool is None or len(jobs) <= 1:
            for job in jobs:
                function(*job)
            return
        futures = [self._pool.submit(function, *job) for job in jobs[:-1]]
        try:
            function(*jobs[-1])
        finally:
            wait(futures)
        for future in futures:
            future.result()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


class Follower:
    """Calls a function with one thing after the other, in order, on a thread of its own, beside the one that makes them.

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
