"""What MPI's launcher (mpiexec, srun) tells a process that it starts, and the processes that MPI
connects; a process that was started without one never imports mpi4py.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any, Protocol, Self

from charrnn.errors import RunError

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID")
"""Set by MPICH and Intel MPI, Open MPI, MVAPICH, and Slurm's srun."""


SPIN_SECONDS, LONG_SECONDS = 1e-2, 0.1
NAP_SECONDS, LONG_NAP_SECONDS = 5e-5, 1e-3
"""Who waits for others longer than this sleeps, and looks so often; less often after a long time,
as in a validation. Sleeping in the middle of an exchange costs more than it saves: MPI moves a
message piece by piece, at each look. MPI's own waiting keeps the processor: with four programs on
two processors a step took ten times as long.
"""


_connected: list[Communicator] = []


class Request(Protocol):
    """A call that goes on by itself; its arrays must not be used before `wait`."""

    def Test(self) -> bool:
        """True once it is done."""


class Communicator(Protocol):
    """What is used of `mpi4py.MPI.Comm`: objects in lower case, arrays in upper case, I for calls
    that return before they are done.
    """

    @property
    def rank(self) -> int:
        """This process's number, from 0."""

    @property
    def size(self) -> int:
        """The number of processes."""

    def Dup(self) -> Self:
        """Another communicator of the same processes."""

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """The root's object."""

    def allgather(self, sendobj: Any) -> list[Any]:
        """Every rank's object, in order."""

    def Bcast(self, buf: Any, root: int = 0) -> None:
        """Fill the array with the root's."""

    def Ibcast(self, buf: Any, root: int = 0) -> Request:
        """As `Bcast`."""

    def Iallgather(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Fill the array (size, ...) with every rank's."""

    def Iallgatherv(self, sendbuf: None, recvbuf: Any) -> Request:
        """The same in place: piece r of [array, (sizes, places)] is that of rank r."""

    def Ialltoallv(self, sendbuf: Any, recvbuf: Any) -> Request:
        """Piece r of each rank's [array, (sizes, places)] goes to rank r."""

    def Abort(self, errorcode: int = 0) -> Any:
        """End all processes."""


def launched_size(environment: Mapping[str, str] = os.environ) -> int:
    """The number of processes that a launcher has started together with this one; 1 without."""
    sizes = [environment[name] for name in SIZES if name in environment]
    return max([1, *(int(size) for size in sizes if size.isdecimal())])


def launched_rank(environment: Mapping[str, str] = os.environ) -> int:
    """The number of this process among them, from 0."""
    ranks = [environment[name] for name in RANKS if name in environment]
    return next((int(rank) for rank in ranks if rank.isdecimal()), 0)


def wait(request: Request) -> None:
    """Return when the call is done; other programs may use the processor meanwhile."""
    start = time.monotonic()
    while not request.Test():
        if hasattr(os, "sched_yield"):  # not on Windows
            os.sched_yield()
        waited = time.monotonic() - start
        if waited > SPIN_SECONDS:
            time.sleep(NAP_SECONDS if waited < LONG_SECONDS else LONG_NAP_SECONDS)


def world() -> Communicator:
    """All processes that were launched together. `RunError` without mpi4py, or if its MPI is not
    the launcher's, so that each process is alone.
    """
    count = launched_size()
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"  # calls come from one thread, and need no locks
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        reason = "mpi4py is not installed" if isinstance(error, ModuleNotFoundError) else str(error)
        raise RunError(
            f"started as one of {count} processes, but {reason}: "
            'pip install "charrnn-numba[mpi]", and an MPI such as pip install mpich'
        ) from None
    everyone: Communicator = MPI.COMM_WORLD
    _connected.append(everyone)
    if everyone.size == 1 < count:
        raise RunError(
            f"started as one of {count} processes, but mpi4py's MPI does not see the others: use "
            "the mpiexec of the MPI that mpi4py was built for, or srun --mpi=pmi2 or --mpi=pmix"
        )
    return everyone


def end_by(number: int) -> None:
    """Let the signal that has interrupted this process end it, if others may wait for it to
    connect: a launcher ends them then, but not after an exit status.
    """
    if launched_size() > 1 and (launched_rank() or not _connected):
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def share_processors(communicator: Communicator) -> tuple[int, int]:
    """Let this process use its share of the processors that it has in common with other ranks on
    its machine, so that no processor has two threads to run. Returns the number of these ranks,
    this one included, and that of the processors that they have together.
    """
    import socket

    from charrnn.runtime import threads  # both slow the start of every command

    own = threads.affinity()
    here = socket.gethostname()
    users = [theirs for host, theirs in communicator.allgather((here, own)) if host == here]
    share = sum(1 / sum(cpu in theirs for theirs in users) for cpu in own)
    threads.limit_threads(max(1, min(int(share + 1e-9), threads.quota() // len(users))))
    return len(users), min(len(set().union(*users)), threads.quota())
