"""Writing a file whole or not at all; and the files that ship with the package."""

import os
import tempfile
from pathlib import Path

from charrnn.errors import CheckpointError, DataError

TEMPORARY = ".tmp"
"""The end of the name of a file that is being written; one left by a killed process is useless."""


def shipped(name: str) -> Path:
    """The place of a file that ships, such as data/plays.txt: in a wheel it lies in the package, in
    a clone beside it. `DataError` if the installation lacks it.
    """
    package = Path(__file__).resolve().parents[1]
    places = package / name, package.parent / name
    for place in places:
        if place.is_file():
            return place
    raise DataError(f"{places[0]} is missing; install charrnn again, or name a file of your own")


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file by these bytes: a temporary file beside it, flushed, synced and renamed, then
    the folder synced.
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
            f"{path}: cannot be written: {error.strerror or error}; free some space or choose "
            "another `out`"
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
