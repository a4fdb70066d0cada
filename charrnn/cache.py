"""Where this machine keeps what can be made again: compiled kernels, and the ids of large texts."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir


def cache_root() -> Path:
    """The folder CHARRNN_CACHE_DIR, or else the user's own cache folder for charrnn; it may not exist yet."""
    return Path(os.environ.get("CHARRNN_CACHE_DIR") or user_cache_dir("charrnn", appauthor=False))
