"""How long work will take from here on."""

from __future__ import annotations

import time

from charrnn.cli.train_display import ESTIMATED_AFTER


class TimeLeft:
    """The time that the rest of some work takes at the pace so far, since `begin`."""

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None

    def begin(self, share: float) -> None:
        """Work begins after this share of all, 0 to 1; what was done earlier has no pace. Later
        calls change nothing.
        """
        self._begun = self._begun or (time.monotonic(), share)

    def seconds(self, share: float) -> float | None:
        """Seconds left once this share is done; None while unknown."""
        if self._begun is None:
            return None
        start, before = self._begun
        elapsed = time.monotonic() - start
        if elapsed < ESTIMATED_AFTER or share <= before or share >= 1:
            return None
        return elapsed * (1 - share) / (share - before)
