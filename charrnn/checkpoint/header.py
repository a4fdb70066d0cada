"""The metadata of a checkpoint, read without any tensor and without loading a kernel.

A checkpoint is one safetensors file. Its metadata has one key, `charrnn`, whose value is JSON.
Files are not trusted: nothing in them is run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from charrnn.checkpoint.paths import find_checkpoint
from charrnn.config import ModelConfig
from charrnn.config.fields import Settings
from charrnn.errors import CharrnnError, CheckpointError, one_line
from charrnn.runtime.files import check_regular, parse_json

FORMAT_VERSION = 4
"""Earlier versions are from before the first release and are not supported."""
KEY = "charrnn"
MOST = 10**15
"""Upper limit of every count in a checkpoint."""
SINCE: dict[str, Any] = {"attention": 0, "mogrifier": 0}
"""What settings were that the metadata of an older file lacks."""

Metadata = dict[str, Any]
T = TypeVar("T")
S = TypeVar("S", bound=Settings)


def model_config_of(path: str | os.PathLike[str]) -> ModelConfig:
    """A network's configuration; `CheckpointError` if the file is missing or not a checkpoint."""
    with opened_safely(find_checkpoint(path)) as (_, about):
        return configuration(ModelConfig, about, "model")


def describe(path: str | os.PathLike[str]) -> Metadata:
    """A file's metadata, as in JSON; errors as in `model_config_of`."""
    with opened_safely(path) as (_, about):
        return about


@contextmanager
def opened_safely(path: str | os.PathLike[str]) -> Iterator[tuple[Any, Metadata]]:
    """An open safetensors file and its metadata; an error inside the block becomes a
    `CheckpointError` naming the file.
    """
    try:
        check_regular(path)
        with open(path, "rb"):  # noqa: PTH123  # `safe_open` has one error for all reasons
            pass
        with safe_open(os.fspath(path), framework="numpy") as file:
            yield file, _metadata(file.metadata() or {})
    except IsADirectoryError:
        raise CheckpointError(f"{path}: this is a folder, not a checkpoint file") from None
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; give a checkpoint or a run's folder"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot read the file: {error.strerror or error}") from None
    except SafetensorError as error:
        if _is_text(path):
            raise CheckpointError(
                f"{path}: a text, not a checkpoint; give a checkpoint or a run's folder"
            ) from None
        raise CheckpointError(f"{path}: not a checkpoint, or damaged ({one_line(error)})") from None
    except (
        RecursionError,
        OverflowError,
        ValueError,
    ) as error:  # a decompression bomb, or a NUL in the path
        raise CheckpointError(f"{path!r}: cannot read the file ({one_line(error)})") from None
    except CharrnnError as error:
        raise CheckpointError(f"{path}: {one_line(error)}") from None


def value(about: Metadata, key: str, kind: type[T]) -> T:
    """about[key], which must have this type (an int is allowed for a float)."""
    result = about.get(key)
    if kind is float and type(result) is int:
        result = float(result)
    if type(result) is not kind:
        raise CheckpointError(
            f"the metadata's {key!r} should be of type {kind.__name__}, but is {result!r:.60}; the "
            "file is damaged"
        )
    return result


def configuration(kind: type[S], about: Metadata, key: str) -> S:
    """about[key] as settings of this class, all of them set (none left to the recipe)."""
    config = kind.from_mapping(value(about, key, dict), f"the metadata's {key!r}")
    config = config.filled(**{name: SINCE[name] for name in config.undecided() if name in SINCE})
    for name in config.undecided():
        raise CheckpointError(f"the metadata's {key!r} has no `{name}`; the file is damaged")
    return config


def count(about: Metadata, key: str, least: int = 0) -> int:
    """about[key], a whole number from `least` to `MOST`."""
    number = value(about, key, int)
    if not least <= number <= MOST:
        raise CheckpointError(
            f"the metadata's {key!r} is not between {least} and {MOST}; the file is damaged"
        )
    return number


def _is_text(path: str | os.PathLike[str]) -> bool:
    """True if the file begins like a text: a checkpoint's first bytes are a number with zeros."""
    with open(path, "rb") as file:  # noqa: PTH123
        start = file.read(1024)
    return b"\0" not in start and start.strip() != b""


def _metadata(metadata: dict[str, str]) -> Metadata:
    if KEY not in metadata:
        raise CheckpointError(
            "a safetensors file without charrnn metadata, so not a charrnn checkpoint"
        )
    try:
        about = parse_json(metadata[KEY])
    except ValueError as error:
        raise CheckpointError(
            f"the metadata is not JSON ({one_line(error)}); the file is damaged"
        ) from None
    version = about.get("format_version") if isinstance(about, dict) else None
    if type(version) is not int or version < 1:
        raise CheckpointError("the metadata has no format version; the file is damaged")
    if version < FORMAT_VERSION:
        raise CheckpointError(
            f"format version {version} is from before the first release and no longer supported; "
            "train a new network"
        )
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"format version {version} is newer than this program's ({FORMAT_VERSION}); update "
            "charrnn: pip install -U charrnn-numba"
        )
    return dict(about)
