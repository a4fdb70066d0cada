"""Signals: those that end training after the current step, and an interrupt that cannot be lost."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from charrnn.cli.terminal import is_terminal


class Stop:
    """Remembers the first SIGINT, SIGTERM or SIGHUP as an exit status; later ones are ignored."""

    def __init__(self) -> None:
        self.status = 0

    def _note(self, number: int, _: object) -> None:
        if not self.status:
            self.status = 128 + number
            if is_terminal(sys.stderr):  # not print: the signal may have interrupted one
                os.write(sys.stderr.fileno(), b"\nstopping after this step ...\n")

    @classmethod
    @contextmanager
    def installed(cls) -> Iterator[Stop]:
        """Record signals until the end of the block."""
        stop = cls()
        numbers = [signal.SIGINT, signal.SIGTERM]
        if (
            hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
        ):  # ignored under nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, stop._note) for number in numbers}
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def remembered_interrupt() -> Iterator[Callable[[], None]]:
    """Yields a function that raises `KeyboardInterrupt` if an interrupt arrived.

    An interrupt that arrives while compiled code calls Python is swallowed there, and generation
    would continue.
    """
    noted: list[int] = []

    def note(number: int, _: object) -> None:
        noted.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if noted:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:  # a background job
        yield check
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
