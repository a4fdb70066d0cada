"""Dealing runs without MPI: one after the other, and what is said if mpi4py is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from charrnn.errors import RunError
from charrnn.tuning.dealing import deal, on_workers, rounds, slots


class Counting:
    """A job of three steps that notes what happens."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def events(self) -> Iterator[tuple[float, None, Any]]:
        try:
            for k in range(3):
                yield k / 3, None, None
            yield 1.0, None, self.name
        finally:
            self.notes.append(f"{self.name} closed")


def jobs(notes: list[str]) -> Iterator[Counting]:
    for name in "ab":
        notes.append(f"{name} taken")
        yield Counting(name, notes)


def test_jobs_run_one_after_the_other_and_are_taken_when_it_is_their_turn() -> None:
    notes: list[str] = []
    events = list(deal(jobs(notes)))
    assert [job.name for job, *_ in events] == list("aaaabbbb")
    assert [result for *_, result in events if result] == ["a", "b"]
    assert notes == ["a taken", "a closed", "b taken", "b closed"]
    notes.clear()
    iteration = deal(jobs(notes))
    next(iteration)
    iteration.close()  # type: ignore[attr-defined]
    assert notes == ["a taken", "a closed"]


def test_alone_there_is_one_run_at_a_time() -> None:
    assert on_workers(lambda: (slots(), rounds(5))) == (1, 5)


def test_ranks_without_mpi4py_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "3")
    for name in ("mpi4py", "mpi4py.MPI"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RunError, match=r"one of 3 processes, but .*mpi4py.*: pip install"):
        on_workers(lambda: None)


def test_without_mpiexec_mpi4py_is_not_imported() -> None:
    program = (
        "import sys, charrnn; charrnn.on_workers(lambda: None); print('mpi4py' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr
