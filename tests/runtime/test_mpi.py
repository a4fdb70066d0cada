"""How a process that MPI's launcher started ends before MPI connects it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

END = f"from charrnn.runtime.mpi import end_by; end_by({int(signal.SIGTERM)})"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("launched", "status"),
    [
        ({}, 0),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, 0),
        ({"PMI_SIZE": "2", "PMI_RANK": "0"}, -signal.SIGTERM),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, -signal.SIGTERM),
    ],
)
def test_an_interrupted_rank_ends_by_the_signal(launched: dict[str, str], status: int) -> None:
    """A launcher does not end those that wait for a rank which ended with an exit status."""
    ended = subprocess.run([sys.executable, "-c", END], env={**os.environ, **launched})
    assert ended.returncode == status
