"""Commands whose runs are dealt to the ranks of MPI."""

from __future__ import annotations

from collections.abc import Callable

from charrnn.cli.terminal import say
from charrnn.runtime.mpi import launched_size


def dealt(main: Callable[[], int], quiet: bool) -> int:
    """Call `main`, which returns an exit status; if mpiexec has started several processes, on the
    first of them, while the others train its runs. Only the first one says anything.
    """
    if launched_size() == 1:
        return main()
    from charrnn.tuning.dealing import on_workers, slots

    def announced() -> int:
        if slots() > 1 and not quiet:
            say(f"{slots()} runs are trained at the same time, each on a rank of its own")
        return main()

    return on_workers(announced) or 0
