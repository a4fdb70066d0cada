"""Signals: those that end a training after the step that is being made, and an interrupt that
cannot get lost.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from charrnn.cli.terminal import is_terminal


class Stop:
    """Remembers the first SIGINT, SIGTERM or SIGHUP, as the exit status that it asks for; later
    ones are ignored.
    """

    def __init__(self) -> None:
        self.status = 0

    def _note(self, number: int, _: object) -> None:
        if not self.status:
            self.status = 128 + number
            if is_terminal(
                sys.stderr
            ):  # not by print: the signal may have come in the middle of one
                os.write(sys.stderr.fileno(), b"\nstopping after this step ...\n")

    @classmethod
    @contextmanager
    def installed(cls) -> Iterator[Stop]:
        """Signals are noted from here to the end of the block."""
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
    """Yields a function that raises `KeyboardInterrupt` if there was one.

    One that arrives while compiled code asks Python for something is swallowed there, and the text
    would go on.
    """
    noted: list[int] = []

    def note(number: int, _: object) -> None:
        noted.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if noted:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before == signal.SIG_IGN:  # a job in the background
        yield check
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
