"""What an export needs: a package, and a place, which is checked before and written whole."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from charrnn.errors import ExportError
from charrnn.runtime.files import replace_file


def check_package(name: str, what: str) -> None:
    """`ExportError` if a package is not installed that has an extra of its name."""
    if find_spec(name) is None:
        raise ExportError(
            f"{what} needs the package {name}; install it with: pip install 'charrnn-numba[{name}]'"
        )


def check_file(path: str | os.PathLike[str], force: bool = False) -> Path:
    """The path of a file to write; `ExportError` if there is one already and it may not be
    replaced, or if it cannot be made.
    """
    path = Path(path)
    if str(path) == "-":
        raise ExportError("-: an export is not written to stdout; give the name of a file to write")
    if path.is_dir():
        raise ExportError(f"{path}: a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise ExportError(f"{path}: no folder {path.parent}; make it first, or write elsewhere")
    if path.exists() and not force:
        raise ExportError(f"{path}: exists already; write elsewhere, or replace it with `force`")
    return path


def check_folder(path: str | os.PathLike[str], force: bool = False) -> Path:
    """The path of a folder to write into; `ExportError` if something is in it that an export could
    replace, or if it is none.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ExportError(f"{path}: not a folder; give the name of a folder to make")
    if path.is_dir() and any(path.iterdir()) and not force:
        raise ExportError(
            f"{path}: this folder is not empty; write elsewhere, or replace the files of an "
            "earlier export with `force`"
        )
    return path


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically; `ExportError` if that fails."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise _cannot_write(path, error) from None


def write_folder(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Make a folder unless it is there, and write these files into it, each atomically; returns
    their paths. If that fails, `ExportError`, and nothing is left of files that were not there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from None
    paths = [folder / name for name in files]
    new = [path for path in paths if not path.exists()]
    try:
        for path, data in zip(paths, files.values(), strict=True):
            write_file(path, data)
    except BaseException:
        for path in new:
            path.unlink(missing_ok=True)
        raise
    return paths


def _cannot_write(path: Path, error: OSError) -> ExportError:
    return ExportError(
        f"{path}: cannot be written: {error.strerror or error}; check the disk and the path's "
        "permissions, or write elsewhere"
    )
