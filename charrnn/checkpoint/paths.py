"""The paths of a run's checkpoints."""

import os
from pathlib import Path

from charrnn.errors import CheckpointError, RunError
from charrnn.runtime.files import shipped

ROOT = Path("checkpoints")
"""The folder that contains the runs' folders, below the current one."""
BEST, LAST = "best.safetensors", "last.safetensors"
"""The checkpoints in a run's folder: the network with the lowest validation loss, and the whole
run.
"""


def bundled_network() -> Path:
    """The path of the bundled network, a `Trained`; it was trained on the bundled plays."""
    return shipped("checkpoints/plays.safetensors")


def newest_folder(root: str | Path = ROOT) -> Path:
    """The folder of the most recently saved run below `root`; `RunError` if there is none."""
    saved = [(path.stat().st_mtime, path) for path in Path(root).glob(f"*/{LAST}")]
    if not saved:
        raise RunError(f"no run in {root}/; train one first, or give a checkpoint")
    return max(saved)[1].parent


def find_checkpoint(path: str | os.PathLike[str] | None, root: str | Path = ROOT) -> Path:
    """The checkpoint that the user means.

    path: a file, a run's folder (its best checkpoint, else its last; `CheckpointError` if there is
        neither), or None for the newest run (`RunError` if there is none).
    """
    folder = newest_folder(root) if path is None else Path(path)
    if not folder.is_dir():
        return folder
    for checkpoint in (folder / BEST, folder / LAST):
        if checkpoint.exists():
            return checkpoint
    raise CheckpointError(
        f"{folder}: no checkpoint ({BEST} or {LAST}) in this folder; train a run first"
    )
