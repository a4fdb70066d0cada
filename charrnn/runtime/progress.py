"""The callback that reports progress."""

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called at intervals with the amount done and the total (None if unknown)."""
