"""Write files atomically, and find the files bundled with the package."""

import os
import tempfile
from pathlib import Path

from charrnn.errors import CheckpointError, DataError

TEMPORARY = ".tmp"
"""The suffix of a file that is being written; one left by a killed process can be deleted."""


def shipped(name: str) -> Path:
    """The path of a bundled file, such as data/plays.txt: inside the package in a wheel, beside it
    in a clone. `DataError` if the installation lacks it.
    """
    package = Path(__file__).resolve().parents[1]
    places = package / name, package.parent / name
    for place in places:
        if place.is_file():
            return place
    raise DataError(f"{places[0]} is missing; reinstall charrnn, or give your own file")


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file with these bytes: write a temporary file beside it, flush, sync and rename it,
    then sync the folder.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY, delete=False
        ) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
        temporary = None
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot write the file: {error.strerror or error}; free some space or choose "
            "another `out`"
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
