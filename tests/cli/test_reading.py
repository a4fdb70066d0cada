"""What commands say of what they read, and what a file of unknown origin makes them read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import charrnn.text.contents
from charrnn.cli.main import cli
from charrnn.training.run_file import save_run
from tests.reference.small import TEXT, small_corpus, small_run

posix = pytest.mark.skipif(os.name != "posix", reason="only there")
SHORT = ("--hidden", "8", "--layers", "1", "--steps", "2", "--precision", "float32")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ran(*arguments: str, status: int = 0, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(cli, list(arguments), input=stdin)
    assert result.exit_code == status, result.output
    assert status == 0 or result.stderr.count("\n") == 1
    return result


def test_training_on_a_folder_twice() -> None:
    Path("book.txt").write_text(TEXT * 40, encoding="utf-8")
    first = ran("train", ".", *SHORT, "--out", "checkpoints/a").stderr
    second = ran("train", ".", *SHORT, "--out", "checkpoints/b").stderr
    read = f"book.txt: {len(TEXT) * 40:,} characters"
    assert read in first and read in second
    assert "left out" not in first
    assert "left out: run (a)\n" in second
    assert "left out" not in ran("train", ".", *SHORT, "--out", "checkpoints/c", "--quiet").stderr
    third = ran("eval", "checkpoints/a", ".").stderr
    assert third.count("left out: run (a, b and 1 more)\n") == 1


def test_names_are_shown_escaped() -> None:
    Path("book.txt").write_text(TEXT * 40, encoding="utf-8")
    Path(".\x1b[31m\nred").write_text("x", encoding="utf-8")
    error = ran("train", ".", *SHORT).stderr
    assert "left out: hidden (.\\x1b[31m\\nred)\n" in error and "\x1b" not in error


def test_flags_that_errors_name() -> None:
    Path("book.txt").write_bytes(TEXT.encode() * 40 + b"caf\xe9\n")
    error = ran("train", "book.txt", *SHORT, status=1).stderr
    assert "--encoding-errors replace or ignore" in error and "column 4" in error
    ran("train", "book.txt", *SHORT, "--encoding-errors", "replace", "--out", "a")
    assert 'encoding_errors = "replace"' in Path("a/config.toml").read_text(encoding="utf-8")
    ran("train", "--resume", "a", "--steps", "3")
    error = ran("train", "--resume", "a", "--encoding-errors", "ignore", status=2).stderr
    assert "--encoding-errors ignore does not match the run" in error
    ran("eval", "a")
    ran("eval", "a", "book.txt")  # as the run
    error = ran("eval", "a", "book.txt", "--encoding-errors", "strict", status=1).stderr
    assert "--encoding-errors replace or ignore" in error
    ran("eval", "a", "book.txt", "--encoding-errors", "ignore")


@posix
def test_what_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charrnn.text.contents, "WRITER_WAIT", 0.2)
    os.mkfifo("pipe")
    save_run("last.safetensors", small_run(small_corpus()))
    for text in ("/dev/zero", "pipe"):
        assert text in ran("train", text, status=1).stderr
        assert text in ran("eval", "last.safetensors", text, status=1).stderr
        for command in ("sample", "eval", "info"):
            assert "not a regular file" in ran(command, text, status=1).stderr
        assert text in ran("train", "--init-from", text, status=1).stderr
    assert "not a file of settings" in ran("train", "--config", "/dev/zero", status=2).stderr


@posix
@pytest.mark.parametrize(
    "path", ["/dev/zero", "pipe", "/dev/stdin", "*", "/**", "a\0b", "x" * 9000]
)
@pytest.mark.parametrize("command", [("eval",), ("train", "--resume")])
def test_a_checkpoint_that_names_what_is_no_file(command: tuple[str, ...], path: str) -> None:
    os.mkfifo("pipe")
    save_run("a.safetensors", small_run(small_corpus()))
    rename_texts(Path("a.safetensors"), path)
    start = time.monotonic()
    error = ran(*command, "last.safetensors", status=1).stderr
    assert "or not a regular file" in error and len(error) < 500
    assert time.monotonic() - start < 10


def test_a_checkpoint_that_names_a_larger_file() -> None:
    save_run("a.safetensors", small_run(small_corpus()))
    Path("large").write_text(TEXT * 10_000, encoding="utf-8")
    rename_texts(Path("a.safetensors"), str(Path("large").absolute()))
    assert (
        "not the run's text, or it has changed: it has more than"
        in ran("eval", "last.safetensors", status=1).stderr
    )


def rename_texts(checkpoint: Path, path: str) -> None:
    """Write last.safetensors: the same run, whose text has another path."""
    with safe_open(checkpoint, framework="numpy") as file:
        about = json.loads(file.metadata()["charrnn"])
    about["run"]["paths"] = [path] * len(about["texts"])
    save_file(load_file(checkpoint), "last.safetensors", {"charrnn": json.dumps(about)})


@posix
def test_the_shells_pipes() -> None:
    Path("book.txt").write_text(TEXT * 40, encoding="utf-8")
    command = f"{sys.executable} -m charrnn train <(cat book.txt) {' '.join(SHORT)} --out a"
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    assert f"{len(TEXT) * 40:,} characters" in result.stderr
