"""How long work tells how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called now and then with what is done, and with all there is to do, None if that is unknown."""
