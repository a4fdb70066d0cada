"""How long a tuning has taken in all of its sessions."""

import json
import time
from contextlib import suppress
from pathlib import Path

from charrnn.runtime.files import parse_json, read_regular, write_atomically
from charrnn.tuning.candidates import MOST_READ

SPENT = "seconds.json"


class Spent:
    """The seconds of all sessions, in a file of the folder; a damaged file counts as none."""

    def __init__(self, folder: Path) -> None:
        self._path, self._started, self._before = folder / SPENT, time.monotonic(), 0.0

    def read(self) -> None:
        """Count earlier sessions, too."""
        with suppress(OSError, ValueError, LookupError, TypeError):
            stored = parse_json(read_regular(self._path, MOST_READ))
            self._before = max(0.0, float(stored["seconds"]))

    @property
    def seconds(self) -> float:
        """Seconds until now."""
        return self._before + time.monotonic() - self._started

    def write(self) -> None:
        """Record them for later sessions."""
        write_atomically(self._path, json.dumps({"seconds": round(self.seconds, 3)}).encode())
