"""Signals: one ends a command at once, or training after the current step; none is lost."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from charrnn.cli.terminal import is_terminal

ENDING = [
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__
]
"""The signals that end a command; its exit status is then 128 + number."""
CLEANING_SECONDS = 2.0
"""A second signal within this time does not interrupt what the first one made the command clean
up: a terminal that closes sends several.
"""


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command, with the exit status."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


STOPPING = "stopping after this step ..."


def _say_stopping() -> None:
    if is_terminal(sys.stderr):  # not print: the signal may have interrupted one
        os.write(sys.stderr.fileno(), f"\n{STOPPING}\n".encode())


class Stop:
    """Remembers the first SIGINT, SIGTERM or SIGHUP as an exit status; later ones are ignored.

    `notify` is called then, between two instructions of whatever runs; by default it says that
    the step is still to end.
    """

    def __init__(self) -> None:
        self.status = 0
        self.notify: Callable[[], None] = _say_stopping

    def _note(self, number: int, _: object) -> None:
        if not self.status:
            self.status = 128 + number
            self.notify()

    @classmethod
    @contextmanager
    def installed(cls) -> Iterator[Stop]:
        """Record signals until the end of the block."""
        stop = cls()
        with _handled(stop._note, always=(signal.SIGINT, signal.SIGTERM)):
            yield stop


@contextmanager
def interruptions() -> Iterator[Callable[[], None]]:
    """In the block, a signal raises `Interrupted`. Yields a function that raises it again if a
    signal arrived.

    An exception raised while compiled code calls Python, or in a destructor, is swallowed there,
    and the command would go on.
    """
    noted: list[int] = []
    last = -CLEANING_SECONDS

    def note(number: int, _: object) -> None:
        nonlocal last
        if time.monotonic() - last >= CLEANING_SECONDS:
            last = time.monotonic()
            noted.append(number)
            raise Interrupted(number)

    def check() -> None:
        if noted:
            raise Interrupted(noted[0])

    with _handled(note):
        yield check


def end_silently() -> None:
    """From now on a signal ends the process at once, without a traceback: the command is over."""
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _handled(
    handler: Callable[[int, Any], None], always: tuple[signal.Signals, ...] = ()
) -> Iterator[None]:
    """Handle the ending signals in the block. One that is ignored stays so unless `always`: SIGHUP
    under nohup, SIGINT in a background job.
    """
    numbers = [n for n in ENDING if n in always or signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
