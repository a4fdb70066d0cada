"""Signals that end a training after the step that is being made."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from charrnn.terminal import is_terminal


class Stop:
    """Remembers the first SIGINT, SIGTERM or SIGHUP, as the exit status that it asks for; later ones are ignored."""

    def __init__(self) -> None:
        self.status = 0

    def _note(self, number: int, _: object) -> None:
        if not self.status:
            self.status = 128 + number
            if is_terminal(sys.stderr):  # not by print: the signal may have come in the middle of one
                os.write(sys.stderr.fileno(), b"\nstopping after this step ...\n")

    @classmethod
    @contextmanager
    def installed(cls) -> Iterator[Stop]:
        """Signals are noted from here to the end of the block."""
        stop = cls()
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored under nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, stop._note) for number in numbers}
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
