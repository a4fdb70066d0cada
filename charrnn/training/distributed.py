"""Data-parallel training: the same program runs on all ranks of MPI, one of which leads.

Rank 0 alone reads the text, decides, watches the clock, validates, writes and shows. The others
receive the text and the run, compute their parts of each batch, and make the same updates, so that
no weights need to travel. Whatever ends the leader's part of the program ends theirs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from charrnn.errors import ConfigError, UnstableStep
from charrnn.runtime.interrupts import ignored_signals
from charrnn.runtime.mpi import Communicator, launched_size, share_processors, world
from charrnn.training.ranks import Ranks

Result = TypeVar("Result")

_ranks = threading.local()


def current() -> Ranks:
    """The ranks that the program runs on (`on_ranks`); this process alone, outside."""
    found: Ranks | None = getattr(_ranks, "current", None)
    return found or Ranks()


def on_ranks(
    main: Callable[[], Result],
    communicator: Communicator | None = None,
    *,
    report_error: Callable[[BaseException], int] | None = None,
) -> Result | None:
    """Call `main` on rank 0, whose calls of `train` in this thread then use all ranks; returns what
    it returns. The other ranks take part in the training until `main` is over, and return None.

        def main():
            corpus = charrnn.Corpus.read("book.txt")
            run = charrnn.Run.new(corpus, config=charrnn.TrainConfig(parts=4))
            for report in charrnn.train(run, corpus): ...
            charrnn.save("book.safetensors", run.trained)

        charrnn.on_ranks(main)  # mpiexec -n 4 python script.py

    Without a launcher such as mpiexec, it only calls `main`. `RunError` if there is one, but
    mpi4py is missing or cannot connect its processes.

    communicator: that of mpi4py to use; by default all processes that were launched together
    report_error: shows an error that ends all ranks at once, since they wait for each other, and
        returns the exit status; by default it prints the traceback
    """
    if communicator is None and launched_size() > 1:
        communicator = world()
    if communicator is None or communicator.size == 1:
        return main()
    ranks = Ranks(communicator)
    ranks.machine = share_processors(communicator)
    with _ending_all(ranks, report_error or _print_traceback):
        if ranks.rank > 0:
            follow(ranks)
            return None
        _ranks.current = ranks
        try:
            return main()
        finally:
            del _ranks.current
            if not ranks.is_busy:
                from charrnn.training.update import END

                ranks.say(END)


def check_parts(parts: int, ranks: Ranks) -> None:
    """`ConfigError` if there are fewer parts than ranks, some of which would have nothing to do."""
    if parts < ranks.size:
        raise ConfigError(
            f"`parts` is {parts}, but there are {ranks.size} processes to deal the parts of a "
            f"batch to; set `parts` to {ranks.size} or a multiple, or start fewer processes"
        )


def follow(ranks: Ranks) -> None:
    """Do what rank 0 says, until it says that the program is over. Signals are left to it."""
    from charrnn.training import update

    own: update.Update | None = None
    with ignored_signals():
        while True:
            command, step, rate = ranks.hear()
            if command == update.END:
                return
            if command == update.SESSION:
                if own is not None:
                    own.workers.close()
                own = None  # its memory is free before that of the next is taken
                own = update.Update.received(ranks)
            elif own is not None and command == update.COMPLETE:
                own.send_slices()
            elif own is not None:
                with suppress(UnstableStep):  # rank 0 has noticed, too
                    own(step, rate)


@contextmanager
def _ending_all(ranks: Ranks, report_error: Callable[[BaseException], int]) -> Iterator[None]:
    """An error in the middle of a step, or on a rank that follows, ends all: others would wait for
    this one forever.
    """
    try:
        yield
    except BaseException as error:
        if ranks.is_busy or ranks.rank > 0:
            ranks.communicator.Abort(report_error(error))
        raise


def _print_traceback(error: BaseException) -> int:
    sys.excepthook(type(error), error, error.__traceback__)
    return 1
