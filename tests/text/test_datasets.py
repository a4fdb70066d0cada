import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from charrnn.errors import DataError
from charrnn.runtime import files
from charrnn.text.datasets import DATASETS, DataSet, bundled_corpus, fetch

CONTENT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 5000


class Progress:
    def __init__(self) -> None:
        self.total = 0
        self.n = self.updates = 0
        self.is_closed = False

    def update(self, n: int) -> None:
        self.n += n
        self.updates += 1

    def reset(self) -> None:
        self.n = 0

    def close(self) -> None:
        self.is_closed = True


class Handler(http.server.BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path == "/missing":
            self.send_error(404)
            return
        body = {"/corrupted": CONTENT[:-1] + b"X", "/longer": CONTENT + b"X"}.get(
            self.path, CONTENT
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/truncated" else body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    known = DataSet(
        "tiny",
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
        "https://example.invalid/tiny.txt",
    )
    monkeypatch.setitem(DATASETS, "tiny", known)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Handler.requests.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_fetching(server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    path = fetch("tiny", tmp_path / "new" / "folder", url=f"{server}/good", progress=progress)
    assert path == tmp_path / "new" / "folder" / "tiny.txt"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert (
        progress.total == progress.n == len(CONTENT) and progress.updates > 2 and progress.is_closed
    )
    assert capfd.readouterr() == ("", "")


def test_what_is_there_is_not_fetched_again(server: str, tmp_path: Path) -> None:
    for _ in range(2):
        fetch("tiny", tmp_path, url=f"{server}/good")
    assert Handler.requests == ["/good"]


@pytest.mark.parametrize("content", [b"mine", CONTENT[:-1] + b"X"])
def test_another_file_is_not_overwritten(server: str, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tiny.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"already exists but is not tiny .*move it away"):
        fetch("tiny", tmp_path, url=f"{server}/good")
    assert (tmp_path / "tiny.txt").read_bytes() == content
    assert Handler.requests == []


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("missing", r"HTTP status 404"),
        ("truncated", r"download failed"),
        ("corrupted", r"is not tiny \(sha256 [0-9a-f]{64}, not "),
        ("longer", rf"is not tiny \({len(CONTENT) + 1} bytes, not {len(CONTENT)}\)"),
    ],
)
def test_failures_leave_nothing_and_say_what_to_do(
    server: str, tmp_path: Path, page: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        fetch("tiny", tmp_path, url=f"{server}/{page}")
    assert list(tmp_path.iterdir()) == []
    by_hand = (
        f"download https://example.invalid/tiny.txt by hand and save it as {tmp_path / 'tiny.txt'}"
    )
    assert by_hand in str(error.value) and DATASETS["tiny"].sha256 in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_listens(server: str, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        with pytest.raises(DataError, match=r"download failed \(.*refused.*check the network"):
            fetch("tiny", tmp_path, url=url)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(server: str, tmp_path: Path) -> None:
    class Interrupting(Progress):
        def update(self, n: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", tmp_path, url=f"{server}/good", progress=Interrupting())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="choose another folder"):
        fetch("tiny", tmp_path / "file" / "below", url=f"{server}/good")


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'war-and-peace'; the data sets are: .*tiny-shakespeare"):
        fetch("war-and-peace", tmp_path)


def test_tiny_shakespeare() -> None:
    known = DATASETS["tiny-shakespeare"]
    assert (known.size, known.sha256[:8], known.file_name) == (
        1115394,
        "86c4e6aa",
        "tiny-shakespeare.txt",
    )


def test_the_bundled_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "charrnn"
    monkeypatch.setattr(files, "__file__", str(package / "runtime" / "files.py"))
    with pytest.raises(DataError, match="missing"):
        bundled_corpus()
    for folder in (
        tmp_path / "data",
        package / "data",
    ):  # a clone's, then a wheel's, which is preferred
        folder.mkdir(parents=True)
        (folder / "plays.txt").write_text("ROMEO:\n")
        assert bundled_corpus() == folder / "plays.txt"
