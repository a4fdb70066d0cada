"""Where the checkpoints of a run are."""

import os
from pathlib import Path

from charrnn.errors import RunError
from charrnn.runtime.files import shipped

ROOT = Path("checkpoints")
"""The folder of the runs' folders, below the current one."""
BEST, LAST = "best.safetensors", "last.safetensors"
"""The files of a run's folder: the network with the lowest validation loss, and all of the run."""


def bundled_network() -> Path:
    """The network that ships with the package, trained on the plays that ship: a `Trained`."""
    return shipped("checkpoints/plays.safetensors")


def newest_folder(root: str | Path = ROOT) -> Path:
    """The folder below `root` of the run that was saved last; `RunError` if there is none."""
    saved = [(path.stat().st_mtime, path) for path in Path(root).glob(f"*/{LAST}")]
    if not saved:
        raise RunError(f"there is no run in {root}/; train one first, or name a checkpoint")
    return max(saved)[1].parent


def find_checkpoint(path: str | os.PathLike[str] | None, root: str | Path = ROOT) -> Path:
    """The checkpoint that a user means.

    path: a file, a run's folder (its best checkpoint, else its last), or None for the newest run.
    """
    found = newest_folder(root) if path is None else Path(path)
    if not found.is_dir():
        return found
    for checkpoint in (found / BEST, found / LAST):
        if checkpoint.exists():
            return checkpoint
    raise RunError(f"{found}: there is no checkpoint here ({BEST} or {LAST})")
