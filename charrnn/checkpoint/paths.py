"""The paths of a run's checkpoints."""

import os
from pathlib import Path

from charrnn.errors import CheckpointError, RunError
from charrnn.runtime.files import exists, is_file, is_folder, shipped
from charrnn.runtime.shell import quoted

ROOT = Path("checkpoints")
"""The folder that contains the runs' folders, below the current one."""
BEST, LAST = "best.safetensors", "last.safetensors"
"""The checkpoints in a run's folder: the network with the lowest validation loss, and the whole
run.
"""
LOCK = ".lock"
"""The file in a run's folder that is locked while a process trains there."""


def bundled_network() -> Path:
    """The path of the bundled network, a `Trained`; it was trained on the bundled plays."""
    return shipped("checkpoints/plays.safetensors")


def newest_folder(root: str | Path = ROOT, wanted: str = "a run's folder") -> Path:
    """The folder of the most recently saved run below `root`; `RunError` if there is none, which
    says what is wanted.
    """
    folders = [path.parent for path in Path(root).glob(f"*/{LAST}")]
    if not folders:
        raise RunError(f"no run in {root}/; train one first, or give {wanted}")
    return max(folders, key=lambda folder: (_saved(folder), folder))


def _saved(folder: Path) -> float:
    """When one of a run's networks was last saved, seconds since 1970."""
    return max((own / LAST).stat().st_mtime for own in networks_of(folder))


def holds_run(folder: Path) -> bool:
    """True if there is a checkpoint of a run in the folder."""
    return any((folder / name).exists() for name in (LAST, BEST))


def check_no_run(folder: Path) -> None:
    """`RunError` if the folder holds a checkpoint, which a new run would overwrite."""
    if holds_run(folder):
        raise RunError(
            f"{folder} already contains a run; resume it with `resume` {quoted(folder)}, or choose "
            "another `out`"
        )


def find_run(path: str | os.PathLike[str] | None) -> Path:
    """The checkpoint that a run resumes from: of this folder or file, or None for the newest run;
    `RunError` if there is none.
    """
    folder = Path(path) if path else newest_folder()
    if is_file(folder):
        if folder.name == LAST:
            return folder
        if folder.suffix != Path(LAST).suffix:
            raise RunError(
                f"{folder}: not a run; `resume` takes a run's folder, such as {ROOT / folder.stem}"
            )
        raise RunError(
            f"{folder}: a run resumes from its {LAST}; to start a new run from this file, use "
            "`init_from`"
        )
    if not exists(folder / LAST):
        problem = f"no {LAST}" if exists(folder) else "no such folder"
        raise RunError(f"{folder}: no run to resume ({problem}); train one first")
    return folder / LAST


def best_of(folder: Path, number: int) -> Path:
    """The file of a run's network with this number, from 1."""
    return folder / (BEST if number == 1 else f"best-{number}.safetensors")


def network_folder(folder: Path, number: int) -> Path:
    """The folder of a run's network with this number, from 1: a run of its own, below the first."""
    return folder if number == 1 else folder / str(number)


def networks_of(folder: Path) -> list[Path]:
    """The folders of the networks of a run that have been begun, in order; the first is its own."""
    folders = [folder]
    while (network_folder(folder, len(folders) + 1) / LAST).exists():
        folders.append(network_folder(folder, len(folders) + 1))
    return folders


def find_checkpoints(path: str | os.PathLike[str] | None, root: str | Path = ROOT) -> list[Path]:
    """The checkpoints of all networks that the user means: those of a run's folder, or one file.
    Arguments and errors as for `find_checkpoint`.
    """
    first, number, found = find_checkpoint(path, root), 1, []
    if path is None or is_folder(path):
        while exists(other := best_of(first.parent, number := number + 1)):
            found.append(other)
    return [first, *found]


def find_checkpoint(path: str | os.PathLike[str] | None, root: str | Path = ROOT) -> Path:
    """The checkpoint that the user means.

    path: a file, a run's folder (its best checkpoint, else its last; `CheckpointError` if there is
        neither), or None for the newest run (`RunError` if there is none).
    """
    wanted = "a checkpoint or a run's folder"
    folder = newest_folder(root, wanted) if path is None else Path(path)
    if not is_folder(folder):
        return folder
    for checkpoint in (folder / BEST, folder / LAST):
        if exists(checkpoint):
            return checkpoint
    raise CheckpointError(
        f"{folder}: no checkpoint ({BEST} or {LAST}) in this folder; train a run first"
    )
