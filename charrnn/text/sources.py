"""From the sources that a user names (files, globs, folders, standard input) to a list of files."""

import errno
import glob
import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from charrnn.errors import CorpusError, one_line
from charrnn.text.kinds import packed_suffix

STDIN = "-"
RUN_FILES = frozenset(
    (
        *("last.safetensors", "best.safetensors", "good.safetensors"),
        *("config.toml", "history.jsonl", "test-looks.jsonl", "steps.bin", "samples.jsonl"),
        "advice.jsonl",
    )
)
"""What charrnn itself writes into the folder of a run, beside the `OTHER_NETWORKS` of some."""
OTHER_NETWORKS = re.compile(r"best-\d+\.safetensors")

_OF_TOOLS = frozenset(
    (
        *("__pycache__", "node_modules", "bower_components", "site-packages", "__MACOSX"),
        *("CVS", "_darcs", "SCCS", "$RECYCLE.BIN", "System Volume Information"),
    )
)
_OF_TOOLS_INSIDE = frozenset(("CACHEDIR.TAG", "pyvenv.cfg"))  # files in a cache or environment
_NAMED = 2  # names that a summary shows for each reason

Sources = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class InputFile:
    """A file to read, or standard input ("-"). `size` is in bytes on disk, None for a stream;
    `in_folder`: in a named folder rather than named itself; `part` as in `Source`; `most`: the
    characters that it may have, None for any number.
    """

    path: str
    size: int | None
    in_folder: bool = False
    part: str = ""
    most: int | None = None


@dataclass(frozen=True)
class Source:
    """A file that was read: its absolute path ("-" for standard input), its number of characters,
    and "validation" or "test" if it was given as that part of the text.
    """

    path: str
    characters: int
    part: str = ""

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return Path(self.path).name


@dataclass(frozen=True)
class Skipped:
    """A file or folder in a named folder that is not read, and why: hidden, run, of tools, backup,
    link, broken link, device or pipe, no prose or code, binary, or in UTF-16 or UTF-32.
    """

    path: str
    why: str


class Listing(NamedTuple):
    """The files that sources name, in order; a name for the text; and what was left out."""

    files: list[InputFile]
    name: str
    skipped: list[Skipped]


def size_of(files: list[InputFile]) -> int | None:
    """The total size of all files in bytes; None if one of them is a stream."""
    sizes = [file.size for file in files if file.size is not None]
    return sum(sizes) if len(sizes) == len(files) else None


def summary(skipped: Iterable[Skipped]) -> str:
    """What was left out and why, on one line: `run (plays), hidden (.git, .env and 12 more)`."""
    names: dict[str, list[str]] = {}
    for one in skipped:
        names.setdefault(one.why, []).append(Path(one.path).name)
    return ", ".join(
        f"{why} ({', '.join(of[:_NAMED])}"
        + (f" and {len(of) - _NAMED} more)" if len(of) > _NAMED else ")")
        for why, of in names.items()
    )


def find(sources: Sources, validation: Sources = (), test: Sources = ()) -> Listing:
    """The files that the sources name, in order, then those of the other parts, and a name for the
    text (the stem of the first source, or of its folder).

    A glob means its matches, sorted, those aside that lie in a folder that also matches; a folder
    means the regular files in it, at any depth, sorted, without what people do not write: hidden
    files and folders, runs, caches, installed packages, backups. `CorpusError` if a source does not
    exist or contains no file, or is a device or socket.
    """
    groups = {"": sources, "validation": validation, "test": test}
    listed = [
        (str(source), part)
        for part, group in groups.items()
        for source in ([group] if isinstance(group, str | Path) else group)
    ]
    if not listed or listed[0][1]:
        raise CorpusError("no text to read: name a file, a folder, a glob, or - for standard input")
    if sum(source == STDIN for source, _ in listed) > 1:
        raise CorpusError("standard input (-) is named twice, but can be read only once")
    listings = [(_find(source), part) for source, part in listed]
    files = [replace(file, part=part) for listing, part in listings for file in listing.files]
    skipped = [one for listing, _ in listings for one in listing.skipped]
    for empty in {part for _, part in listed} - {file.part for file in files}:
        named = next(source for source, part in listed if part == empty)
        left_out = summary(one for own, part in listings if part == empty for one in own.skipped)
        raise CorpusError(
            f"{named}: no text to read here; left out: {left_out}; name the files to read, or "
            "another folder"
        )
    return Listing(files, listings[0][0].name, skipped)


def check_recorded(paths: Iterable[str]) -> None:
    """`CorpusError` unless each path, which a file of unknown origin names, is a regular file or a
    folder: nothing else has an end for certain.
    """
    for path in paths:
        # not of `Path`, whose functions raise an error for a name that is too long
        if not os.path.isfile(path) and not os.path.isdir(path):  # noqa: PTH112, PTH113
            raise CorpusError(f"{path:.200}: no such file or folder, or not a regular file")


def unreadable(path: str, error: OSError | ValueError) -> CorpusError:
    """The error for a file or folder that the system does not let us read."""
    reason = getattr(error, "strerror", None) or one_line(error)
    return CorpusError(
        f"{path}: cannot read the file ({reason}); check the path and its permissions"
    )


def _find(source: str) -> Listing:
    if source == STDIN:
        return Listing([InputFile(STDIN, None)], "stdin", [])
    path = Path(source)
    try:
        if source and path.is_dir():  # Path("") is the current folder
            return _walked(path)
        if source and path.exists():
            return Listing([_named(path)], _stem(path), [])
        if glob.has_magic(source):
            return _matches(source)
        if path.is_symlink():
            raise CorpusError(f"{source}: a link to {path.readlink()}, which does not exist")
    except (OSError, ValueError) as e:  # ValueError: a NUL in the path
        raise unreadable(source, e) from None
    raise CorpusError(
        f"{source or repr(source)}: no such file or folder; relative paths start at {Path.cwd()}"
    )


def _matches(pattern: str) -> Listing:
    files: list[InputFile] = []
    skipped: list[Skipped] = []
    folders: set[Path] = set()
    for match in map(Path, sorted(glob.glob(pattern, recursive=True))):  # noqa: PTH207
        if not folders.isdisjoint(match.parents):
            continue
        if match.is_dir():
            folders.add(match)
            listing = _walked(match, may_be_empty=True)
            files, skipped = files + listing.files, skipped + listing.skipped
        else:
            files.append(_named(match))
    if not files and not skipped:
        raise CorpusError(f"{pattern}: no file matches; relative paths start at {Path.cwd()}")
    paths = [Path(file.path) for file in files]
    one = len(paths) == 1
    return Listing(
        files, _stem(paths[0]) if one else paths[0].parent.name if paths else "", skipped
    )


def _named(path: Path) -> InputFile:
    status = path.stat()
    if stat.S_ISREG(status.st_mode):
        return InputFile(str(path.absolute()), status.st_size)
    if stat.S_ISFIFO(status.st_mode):
        return InputFile(str(path.absolute()), None)
    raise CorpusError(
        f"{path}: a device or socket, not a file; name a file, or - for standard input"
    )


def _walked(folder: Path, may_be_empty: bool = False) -> Listing:
    def fail(error: OSError) -> None:
        raise error

    files: list[InputFile] = []
    skipped: list[Skipped] = []
    root = str(folder.absolute())
    for parent, folders, names in os.walk(root, onerror=fail):
        is_run = _holds_run(names)
        if parent != root and (is_run or not _OF_TOOLS_INSIDE.isdisjoint(names)):
            skipped.append(Skipped(parent, "run" if is_run else "of tools"))
            folders.clear()
            continue
        reasons = {name: _folder_skipped(parent, name) for name in folders}
        folders[:] = [name for name, why in reasons.items() if not why]
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118
            is_own = is_run and (name in RUN_FILES or OTHER_NETWORKS.fullmatch(name) is not None)
            reasons[name] = "run" if is_own else _name_skipped(name)
            if not reasons[name]:
                size, reasons[name] = _size(path)
                if not reasons[name]:
                    files.append(InputFile(path, size, in_folder=True))
        skipped += [
            Skipped(os.path.join(parent, name), why)  # noqa: PTH118
            for name, why in reasons.items()
            if why
        ]
    if not files and not skipped and not may_be_empty:
        raise CorpusError(f"{folder}: the folder contains no files; choose another")
    files.sort(key=lambda file: file.path.replace(os.sep, "/"))
    skipped.sort(key=lambda one: one.path)
    return Listing(files, folder.resolve().name, skipped)


def _holds_run(names: Sequence[str]) -> bool:
    """True if these are the files of a run; it may have been killed before its first checkpoint."""
    return (
        "last.safetensors" in names
        or "best.safetensors" in names
        or {"config.toml", "history.jsonl"} <= {*names}
    )


def _folder_skipped(parent: str, name: str) -> str:
    if name.startswith("."):
        return "hidden"
    if name in _OF_TOOLS or name.endswith(".egg-info"):
        return "of tools"
    return "link" if os.path.islink(os.path.join(parent, name)) else ""  # noqa: PTH114, PTH118


def _name_skipped(name: str) -> str:
    if name.startswith("."):
        return "hidden"
    is_backup = name.endswith("~") or name.startswith("~$") or (name[0] == name[-1] == "#")
    return "backup" if is_backup else ""


def _size(path: str) -> tuple[int, str]:
    """The size of a file in bytes, or why it cannot be read."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        return 0, "broken link"
    return status.st_size, "" if stat.S_ISREG(status.st_mode) else "device or pipe"


def _stem(path: Path) -> str:
    return Path(path.stem).stem if packed_suffix(path.name) else path.stem
