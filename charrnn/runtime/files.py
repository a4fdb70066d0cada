"""Writing a file whole or not at all."""

import os
import tempfile
from pathlib import Path

from charrnn.errors import CheckpointError

TEMPORARY = ".tmp"
"""The end of the name of a file that is being written; one left by a killed process is useless."""


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
