"""Texts to train on: the bundled one, and known ones that can be downloaded."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charrnn.errors import DataError, one_line
from charrnn.runtime.files import shipped

_TIMEOUT = 30.0  # seconds without an answer


@dataclass(frozen=True)
class DataSet:
    """A text that can be downloaded: `size` in bytes, `sha256` of the file."""

    name: str
    size: int
    sha256: str
    url: str

    @property
    def file_name(self) -> str:
        """The name of the downloaded file."""
        return f"{self.name}.txt"


DATASETS = {
    dataset.name: dataset
    for dataset in (
        DataSet(
            name="tiny-shakespeare",
            size=1_115_394,
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        ),
    )
}


def bundled_corpus() -> Path:
    """The path of the bundled plays; `DataError` if the installation lacks them."""
    return shipped("data/plays.txt")


def fetch(name: str, folder: Path, *, url: str | None = None, progress: Any = None) -> Path:
    """Download a data set to `folder`/`name`.txt, check it, and return its path; a file that is
    already there is kept.

    `progress` is an object like tqdm's: `total`, `update(n)`, `reset()`, `close()`; n in bytes.
    `DataError` if the name is unknown, or if the file cannot be downloaded or written, is not the
    expected one, or would overwrite another. The file is written atomically.
    """
    dataset = DATASETS.get(name)
    if dataset is None:
        raise DataError(
            f"there is no data set {name!r}; the data sets are: {', '.join(sorted(DATASETS))}"
        )
    target = Path(folder) / dataset.file_name
    try:
        if target.exists():
            if wrong := _wrong(target, dataset):
                raise DataError(
                    f"{target} already exists but is not {name} ({wrong}); move it away, or choose "
                    "another folder"
                )
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise DataError(
            f"{e.filename or target}: cannot write the file ({e.strerror}); choose another folder"
        ) from None
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        _download(url or dataset.url, partial, dataset, target, progress)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _download(url: str, partial: Path, dataset: DataSet, target: Path, progress: Any) -> None:
    import pooch  # imported here: it takes 0.1 s, and only this needs it

    by_hand = f"or download {dataset.url} by hand and save it as {target} (sha256 {dataset.sha256})"
    responses: list[Any] = []
    downloader = pooch.HTTPDownloader(
        progressbar=progress or False,
        chunk_size=1 << 16,
        timeout=_TIMEOUT,
        headers={"Accept-Encoding": "identity"},  # so that the announced length is the file's
        hooks={"response": lambda response, **_: responses.append(response)},
    )
    try:
        downloader(url, str(partial), None)
    except (OSError, ValueError) as e:  # the exceptions of requests are OSErrors too
        raise DataError(
            f"{url}: download failed ({_reason(e)}); check the network and try again, {by_hand}"
        ) from None
    finally:
        for response in responses:  # pooch leaves the connection of a failed download open
            response.close()
    if wrong := _wrong(partial, dataset):
        raise DataError(
            f"{url}: the download is not {dataset.name} ({wrong}); try again, {by_hand}"
        )


def _wrong(path: Path, dataset: DataSet) -> str:
    """How a file differs from the data set; empty if it does not."""
    size = path.stat().st_size
    if size != dataset.size:
        return f"{size} bytes, not {dataset.size}"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return "" if digest == dataset.sha256 else f"sha256 {digest}, not {dataset.sha256}"


def _reason(error: Exception) -> str:
    """The innermost cause, on one line: the exceptions that requests wraps around it say less."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    cause: Any = error
    while inner := (getattr(cause, "reason", None) or cause.__cause__ or cause.__context__):
        if not isinstance(inner, BaseException):
            break
        cause = inner
    return one_line(cause) or type(cause).__name__
