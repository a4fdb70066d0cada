"""Names of files and folders in commands that people copy."""

import os
import shlex


def argument(path: str | os.PathLike[str]) -> str:
    """A path, or - for standard input, as a word of a command that is not taken for a flag."""
    name = str(path)
    return f"./{name}" if name.startswith("-") and name != "-" else name


def quoted(path: str | os.PathLike[str]) -> str:
    """The same in a line for a shell."""
    return shlex.quote(argument(path))
