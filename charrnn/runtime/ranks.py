"""The processes that `mpiexec` or `srun` has started together (ranks): how many, and which this is.

Their environment says so, so that a program that is alone never imports mpi4py.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from charrnn.errors import ConfigError

_PLACES = (
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, and srun --mpi=pmi2
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),  # srun --mpi=pmix
)
_LOCAL = "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE"


@dataclass(frozen=True)
class Place:
    """This process is number `rank`, from 0, of `size` ranks; `local` of them share its machine."""

    rank: int = 0
    size: int = 1
    local: int = 1


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """Where this process stands among the ranks; alone without `mpiexec`."""
    for rank, size in _PLACES:
        if environment.get(rank, "").isdigit() and environment.get(size, "").isdigit():
            number, count = int(environment[rank]), int(environment[size])
            local = next((environment[name] for name in _LOCAL if name in environment), "")
            return Place(number, count, int(local) if local.isdigit() else count)
    return Place()


def communicator() -> Any:
    """mpi4py's COMM_WORLD; `ConfigError` if mpi4py is not installed."""
    if find_spec("mpi4py") is None:
        raise ConfigError(
            'ranks need the package mpi4py: install it by pip install "charrnn-numba[mpi]", or '
            "run the command without mpiexec"
        )
    from mpi4py import MPI

    return MPI.COMM_WORLD
