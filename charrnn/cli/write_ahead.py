"""How the network writes ahead in `charrnn write`: in a thread of its own, so that no key waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from charrnn.cli.terminal import one_line
from charrnn.generation.continuing import Request
from charrnn.generation.cowriter import Cowriter

READING_SHOWN_AFTER = 0.2
"""Seconds before the progress of reading is shown."""


class Ahead:
    """Computes the continuation at a session's cursor; what has become useless is cancelled.

    grown: called in the other thread when there is more to show. done: when the continuation is
        known, or could not be computed.
    progress: what to show of the reading. trouble: why the last one could not be computed.
    """

    def __init__(
        self, session: Cowriter, grown: Callable[[], None], done: Callable[[], None]
    ) -> None:
        self._session, self._grown, self._done = session, grown, done
        self._network = ThreadPoolExecutor(1)
        self._wanted: Request | None = None
        self.progress = self.trouble = ""

    def compute(self) -> None:
        """Let the network continue at the cursor, unless that is known or being computed."""
        needed, begun = self._session.needed, time.monotonic()
        if needed is None or needed == self._wanted:
            return
        self._wanted, self.trouble = needed, ""

        def is_cancelled() -> bool:
            return self._wanted is not needed

        def progress(read: int, total: int) -> None:
            if time.monotonic() - begun > READING_SHOWN_AFTER:
                self.progress = f"reading {read / total:.0%}"
                self._grown()

        def report() -> None:
            self.progress = ""
            self._grown()

        call = self._network.submit(self._session.compute, needed, is_cancelled, progress, report)
        call.add_done_callback(self._computed)

    def close(self) -> None:
        """End the thread."""
        self._wanted = None
        self._network.shutdown(cancel_futures=True)

    def _computed(self, call: Future[None]) -> None:
        self.progress = ""
        if call.cancelled():
            return
        if (error := call.exception()) is not None:
            self.trouble = one_line(str(error))
        self._done()
