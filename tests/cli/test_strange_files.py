"""Files of others, as the command line meets them: one line, never a traceback or a long wait."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from charrnn.cli.main import cli
from charrnn.training.run_folder import RunFolder
from tests.reference.small import small_corpus, small_run, trained

posix = pytest.mark.skipif(os.name != "posix", reason="special files of POSIX")
COMMANDS = [
    ["info", "run"],
    ["sample", "run", "--prime", "", "--length", "5", "--seed", "1"],
    ["eval", "run", "text.txt"],
    ["train", "--resume", "run", "--threads", "1"],
    ["train", "text.txt", "--init-from", "run", "--steps", "1", "--out", "other"],
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.chdir(tmp_path)
    words = random.Random(1).choices(["the", "sea", "sings", "a", "stone", "king\n"], k=800)
    text = " ".join(words)
    Path("text.txt").write_text(text, encoding="utf-8")
    folder = RunFolder("run")
    folder.path.mkdir()
    folder.create({"hidden": 9})
    from charrnn.text.corpus import Corpus

    corpus = Corpus.read(["text.txt"], small_corpus().config)
    trained(small_run(corpus, steps=10), corpus, folder, steps=6)
    return folder


def invoke(arguments: list[str]) -> Result:
    return CliRunner().invoke(cli, arguments)


def check(result: Result, statuses: Any = (0, 1)) -> None:
    assert result.exit_code in statuses, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == (result.exit_code != 0), result.stderr
    assert all(len(line) < 1000 for line in errors)


HISTORIES = {
    "brackets": b"[" * 200_000 + b"\n",
    "digits": b'{"step": 5, "train_loss": ' + b"7" * 400 + b"}\n",
    "long digits": b'{"step": ' + b"7" * 9000 + b"}\n",
    "NaN": b'{"step": 5, "train_loss": NaN, "seconds": NaN}\n',
    "types": b'{"step": "5"}\n{"step": 5, "seconds": {}, "lost": []}\n[1]\n3\n',
    "binary": bytes(range(256)) * 40,
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_strange_history(folder: RunFolder, name: str) -> None:
    for arguments in COMMANDS:
        folder.history.write_bytes(HISTORIES[name] + folder.history.read_bytes())
        check(invoke(arguments), (0,))


SPECIAL: dict[str, Callable[[Path], object]] = {
    "fifo": lambda path: os.mkfifo(path),
    "zeros": lambda path: path.symlink_to("/dev/zero"),
    "null": lambda path: path.symlink_to("/dev/null"),
    "loop": lambda path: path.symlink_to(path.absolute()),
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.touch(),
}


@posix
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize(
    "name",
    [
        *("last.safetensors", "best.safetensors", "history.jsonl", "config.toml", ".lock"),
        *("steps.bin", "samples.jsonl"),
    ],
)
def test_a_special_file_in_a_run(folder: RunFolder, name: str, kind: str) -> None:
    path = folder.path / name
    for arguments in COMMANDS:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        SPECIAL[kind](path)
        before = path.lstat()
        check(invoke(arguments))
        replaced = kind == "empty" and name in (
            *("history.jsonl", "best.safetensors", ".lock", "steps.bin", "samples.jsonl"),
        )
        assert replaced or path.lstat().st_mode == before.st_mode
        shutil.rmtree("other", ignore_errors=True)


@posix
@pytest.mark.parametrize("kind", ["fifo", "zeros", "null", "loop", "folder", "empty"])
def test_a_special_file_as_a_checkpoint(folder: RunFolder, kind: str) -> None:
    SPECIAL[kind](Path("special"))
    for arguments in COMMANDS:
        result = invoke([each if each != "run" else "special" for each in arguments])
        check(result, (1,))
