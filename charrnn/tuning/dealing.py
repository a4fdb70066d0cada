"""Whole runs, one after the other here or, under MPI, dealt to the other ranks by mpi4py.futures.

Rank 0 decides, records and shows; the other ranks train and write the folders of their runs, which
must be on a disk that all of them see. A run has the same result wherever it is trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol, TypeVar

from charrnn.runtime.interrupts import ignored_signals
from charrnn.runtime.mpi import launched_size, share_processors, world
from charrnn.runtime.threads import available_threads, limit_threads
from charrnn.training.report import Report

PROGRESS, STOP = 1, 2
"""Tags: from a worker, how far its run is; to a worker, the number of the last job to stop."""
EVERY = 0.5
"""Seconds between two reports of a worker, and between two looks at them."""


class Job(Protocol):
    """A run: yields the share of it that is done, with each step's report or, last, its result."""

    def events(self) -> Iterator[tuple[float, Report | None, Any]]:
        """The run from where it stopped to its end."""
        ...


J = TypeVar("J", bound=Job)
Result = TypeVar("Result")


def slots() -> int:
    """How many runs are trained at the same time."""
    return 1 if _team is None else _team.size


def rounds(runs: int) -> int:
    """After how many runs' time this many runs are done."""
    return -(-runs // slots())


def deal(jobs: Iterator[J]) -> Iterator[tuple[J, float, Report | None, Any]]:
    """The events of all jobs, each with its job. A job is taken when there is a place for it; on
    other ranks, only the newest report is passed on twice a second. If the iteration is closed, all
    runs stop after their step, and are saved.
    """
    if _team is not None:
        yield from _team.deal(jobs)
        return
    for job in jobs:
        with closing(job.events()) as events:  # type: ignore[type-var]
            for event in events:
                yield job, *event


def on_workers(main: Callable[[], Result], communicator: Any = None) -> Result | None:
    """Call `main` on rank 0, whose `compare` and `tune` deal their runs to the other ranks; returns
    what it returns. The other ranks train these runs until `main` is over, and return None.

        def main():
            for event in charrnn.compare(candidates, seeds=range(5), folder="sizes"): ...

        charrnn.on_workers(main)  # mpiexec -n 8 python script.py

    Without a launcher such as mpiexec, it only calls `main`. `RunError` if there is one, but
    mpi4py is missing or cannot connect its processes.

    communicator: that of mpi4py to use; by default all processes that were launched together.
    """
    if communicator is None and launched_size() > 1:
        with suppress(ImportError, RuntimeError):  # `world` says why
            from mpi4py import MPI  # noqa: F401  # before `world`, which asks for fewer threads
        communicator = world()
    if communicator is None or communicator.size == 1:
        return main()
    global _team, _control
    from mpi4py.futures import MPICommExecutor

    is_first = communicator.rank == 0
    _control = communicator.Dup()
    own = communicator.Split(int(is_first), communicator.rank)
    if not is_first:
        share_processors(own)
    counts = communicator.allgather(available_threads())
    if is_first:  # what it measures to plan runs is what one of the others would measure
        limit_threads(min(counts[1:]))
    ignoring = nullcontext() if is_first else ignored_signals()
    with ignoring, MPICommExecutor(communicator, root=0) as executor:
        if executor is None:  # a worker whose work is done
            return None
        _team = _Team(executor, _control, communicator.size - 1)
        try:
            return main()
        finally:
            _team = None
    return None


@dataclass
class _Team:
    """The workers, as rank 0 sees them; `control` is a communicator beside the executor's."""

    executor: Any
    control: Any
    size: int
    _keys: Iterator[int] = field(default_factory=lambda: count(1))

    def deal(self, jobs: Iterator[J]) -> Iterator[tuple[J, float, Report | None, Any]]:
        running: dict[Future[Any], int] = {}
        of_key: dict[int, J] = {}
        try:
            while True:
                while len(running) < self.size and (job := next(jobs, None)) is not None:
                    key = next(self._keys)
                    of_key[key] = job
                    running[self.executor.submit(_work, key, job)] = key
                if not running:
                    return
                ended, _ = wait(running, timeout=EVERY, return_when=FIRST_COMPLETED)
                for key, done, report in self._messages():
                    if key in of_key:
                        yield of_key[key], done, report, None
                for future in ended:
                    report, result = future.result()
                    job = of_key.pop(running.pop(future))
                    if report is not None:
                        yield job, 1.0, report, None
                    yield job, 1.0, None, result
        finally:
            if running:
                for rank in range(1, self.size + 1):
                    self.control.send(max(of_key), rank, STOP)
                wait(running)
                self._messages()

    def _messages(self) -> list[tuple[int, float, Report]]:
        """What workers have said, the newest of each run."""
        newest: dict[int, tuple[int, float, Report]] = {}
        while self.control.iprobe(tag=PROGRESS):
            message = self.control.recv(tag=PROGRESS)
            newest[message[0]] = message
        return list(newest.values())


_team: _Team | None = None
_control: Any = None
_stopped = 0
"""On a worker: the number of the last job that is to stop."""


def _work(key: int, job: Job) -> tuple[Report | None, Any]:
    """On a worker: run the job; returns its last report, None if it had ended before, and its
    result, None if it was stopped.
    """
    global _stopped
    told, last = 0.0, None
    with closing(job.events()) as events:  # type: ignore[type-var]
        for done, report, result in events:
            if result is not None:
                return last, result
            last = report
            while _control.iprobe(source=0, tag=STOP):
                _stopped = max(_stopped, _control.recv(source=0, tag=STOP))
            if key <= _stopped:
                break
            if time.monotonic() - told >= EVERY:
                told = time.monotonic()
                _control.send((key, done, report), 0, PROGRESS)
    return last, None
