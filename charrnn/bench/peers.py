"""PyTorch in a separate process, to be compared with charrnn: nothing of it is loaded here."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from charrnn.errors import PeerError

PEERS = {"torch": Path(__file__).with_name("torch_peer.py")}
"""Name -> the program, which knows nothing of charrnn.

It reads a JSON object with task and shape from standard input, and then a number of seconds per
line. It answers each line with a JSON object: first {"version"}, then {"chars_per_second"}.
"""

SETTLING_SECONDS = 0.03
"""OpenMP's threads keep spinning for some milliseconds after their work, on the processors measured
next.
"""


def installed_version(name: str) -> str:
    """The version of a peer's library, which is not loaded; `PeerError` if it is not installed."""
    if name not in PEERS:
        raise PeerError(f"there is no peer {name!r:.40}; the peers are: {', '.join(PEERS)}")
    try:
        return version(name)
    except PackageNotFoundError:
        raise PeerError(
            f"{name} is not installed in this Python; pip install {name}, or leave out `against`"
        ) from None


class Peer:
    """A peer's process, idle until it is called with the seconds to work."""

    def __init__(self, name: str, task: str, shape: Mapping[str, Any]) -> None:
        installed_version(name)
        self.name = name
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        # -P: the program must not import from its own folder, which is this package
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PEERS[name])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env={k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"},  # ours
        )
        try:
            self.version = str(self._ask({"task": task, **shape}, "version"))
        except BaseException:
            self.close()
            raise

    def __call__(self, seconds: float) -> float:
        """Characters per second, over about this many seconds of work."""
        speed = float(self._ask(seconds, "chars_per_second"))
        time.sleep(SETTLING_SECONDS)
        return speed

    def _ask(self, question: object, key: str) -> Any:
        """Send a line of JSON; return the answer's value for this key."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())[key]
        except (OSError, ValueError):
            raise PeerError(f"{self.name} failed: {self._last_error()}") from None

    def _last_error(self) -> str:
        """The last line that the process wrote."""
        status = self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return lines[-1] if lines else f"its process ended with status {status}"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()
