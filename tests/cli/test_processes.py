"""How every command ends: by a signal, a closed pipe, a full disk, or with streams closed from the
start; and what it does where no thread can be started.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import charrnn
from charrnn.training.run_file import save_run
from tests.reference.small import small_corpus, small_run, trained

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")

PROGRAM = [sys.executable, "-m", "charrnn"]
SECONDS = 240  # the first test on a machine compiles the kernels
SHAPE = [*("--hidden", "6", "--layers", "1", "--batch-size", "4", "--seq-length", "16")]
TRAIN = ["train", "sea.txt", *SHAPE, "--steps", "4", "--threads", "1", "--out", "new"]
COMPARE = ["compare", "sea.txt", "--cells", "lstm,gru", *SHAPE, "--steps", "4", "--seeds", "1"]
BENCH = ["bench", "--only", "sampling", "--hidden", "8", "--streams", "1", "--rounds", "1"]
EVAL, INFO = ["eval", "run", "sea.txt"], ["info", "run"]
LR_FIND = ["lr-find", "sea.txt", *SHAPE, "--epochs", "1", "--range-steps", "20"]
SAMPLE = ["sample", "run", "--prime", "the", "--length", "50"]
COMMANDS = {
    "train": [*TRAIN, "--json"],
    "compare": [*COMPARE, "--out", "many", "--json"],
    "lr-find": LR_FIND,
    "bench": BENCH,
    "data": ["data", "list"],
    "eval": EVAL,
    "sample": SAMPLE,
    "info": INFO,
    "help": ["--help"],
    "version": ["--version"],
    "train --help": ["train", "--help"],
}
DRIVER = """
import json, os, sys
from charrnn.cli.main import main

def run(arguments, function, number):
    # the profiler sends the signal while this function of the command is running
    def profile(frame, event, _):
        if event == "call" and frame.f_code.co_name == function:
            sys.setprofile(None)
            os.kill(os.getpid(), number)
    sys.argv[1:] = arguments
    sys.setprofile(profile)
    try:
        main()
    except SystemExit as end:
        return end.code
    finally:
        sys.setprofile(None)

print(json.dumps([run(*case) for case in json.loads(sys.argv[1])]), file=sys.__stderr__)
"""
NO_THREADS = """
import sys, threading
def refused(*_, **__): raise RuntimeError("can't start new thread")
threading._start_new_thread = refused
from charrnn.cli.main import main
main()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a text and a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(charrnn.__file__).parents[1]))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    words = random.Random(1).choices(["the", "sea", "sings", "a", "stone", "king\n"], k=3000)
    text = " ".join(words)
    (tmp_path / "sea.txt").write_text(text, encoding="utf-8")
    (tmp_path / "run").mkdir()
    corpus = small_corpus(text[:3000])
    run = small_run(corpus)
    trained(run, corpus, steps=1)
    save_run(tmp_path / "run" / "last.safetensors", run)
    return tmp_path


def program(
    *arguments: str, command: Sequence[str] = PROGRAM, **options: Any
) -> subprocess.CompletedProcess[str]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # not ignored, as in `&`
    try:
        return subprocess.run(
            [*command, *arguments], text=True, timeout=SECONDS, **{**pipes, **options}
        )
    finally:
        signal.signal(signal.SIGINT, before)


def shell(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program as "$@" in a script of the shell."""
    return program(*arguments, command=["sh", "-c", script, "sh", *PROGRAM])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "function"),
    [
        (TRAIN, "read_text"),
        (TRAIN, "load_kernels"),
        (COMPARE, "_candidates"),
        (BENCH, "_sampling"),
        (["data", "list"], "_texts"),
        (["data", "get", "tiny-shakespeare", "--url", "http://127.0.0.1:9/"], "_download"),
        (EVAL, "_evaluate"),
        (EVAL, "read_trained"),
        (SAMPLE, "read_prime"),
        (SAMPLE, "generate"),
        (INFO, "describe"),
        (["--help"], "format_commands"),
        (["train", "--help"], "format_options"),
    ],
)
def test_a_signal_ends_a_command_and_nothing_is_left(
    folder: Path, arguments: list[str], function: str
) -> None:
    before, numbers = files(folder), [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    cases = json.dumps([(arguments, function, number) for number in numbers])
    result = program(cases, command=[sys.executable, "-c", DRIVER])
    lines = result.stderr.splitlines()
    assert json.loads(lines.pop()) == [130, 143, 129], result.stderr
    assert not any("Traceback" in line or "ignored" in line for line in lines), result.stderr
    assert files(folder) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_training_saves_and_stops(folder: Path, number: signal.Signals) -> None:
    cases = json.dumps([(TRAIN, "_advance", number), (["train", "--resume", "new"], "", number)])
    result = program(cases, command=[sys.executable, "-c", DRIVER])
    assert json.loads(result.stderr.splitlines()[-1]) == [128 + number, 0]
    assert "step 4" in result.stderr
    assert not list((folder / "new").glob("*.tmp"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_closed_pipe_ends_a_command(folder: Path, name: str) -> None:
    again = ["--out", "other"] if name in ("train", "compare") else []
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = program(*COMMANDS[name], stdout=writer)
        assert (result.returncode, "rror" in result.stderr) == (141, False), result.stderr
        if name == "train":
            assert program("train", "--resume", "new").returncode == 0
        both = program(*COMMANDS[name], *again, stdout=writer, stderr=writer)
        assert both.returncode == 141
    finally:
        os.close(writer)
    assert not list((folder / "temporary").iterdir())


@pytest.mark.parametrize("name", ["data", "info", "sample", "help", "eval"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_to_a_full_disk_is_one_line(folder: Path, name: str) -> None:
    result = shell('"$@" > /dev/full', *COMMANDS[name])
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 1 and len(lines) == 1 and "Traceback" not in result.stderr
    assert "No space left" in lines[0]
    assert shell('"$@" > /dev/full 2> /dev/full', *COMMANDS[name]).returncode == 1


@pytest.mark.parametrize(
    ("name", "closed"),
    [
        *((name, closed) for name in COMMANDS if name != "bench" for closed in (">&-", "2>&-")),
        *(("bench", ">&-"), ("train", "<&-"), ("train", "<&- >&- 2>&-"), ("eval", "<&- >&- 2>&-")),
    ],
)
def test_closed_streams(folder: Path, name: str, closed: str) -> None:
    result = shell(f'"$@" {closed}', *COMMANDS[name])
    assert result.returncode == 0, result.stderr
    told = result.stderr.replace("--unknown error", "")
    assert "Traceback" not in told and "rror" not in told
    if ">&-" in closed.split():
        assert result.stdout == ""
    elif name in ("train", "compare"):
        for line in result.stdout.splitlines():  # no line for people
            json.loads(line)
        assert result.stdout
    if name == "train":
        assert (folder / "new" / "last.safetensors").read_bytes()[:1] != b"{"
        assert program("info", "new").returncode == 0


def test_an_error_with_streams_closed(folder: Path) -> None:
    """The message has nowhere to go; the status says it."""
    for closed in (">&- 2>&-", "2>&-"):
        result = shell(f'"$@" {closed}', "info", "nowhere")
        assert (result.returncode, result.stdout, result.stderr) == (1, "", "")


@pytest.mark.parametrize("name", ["train", "compare", "eval", "sample", "bench"])
@pytest.mark.parametrize("threads", [[], ["--threads", "1"]])
def test_no_thread_can_be_started(folder: Path, name: str, threads: list[str]) -> None:
    usual = program(*COMMANDS[name], *threads, "--seed", "1") if name == "sample" else None
    seed = ["--seed", "1"] if usual else []
    result = program(*COMMANDS[name], *threads, *seed, command=[sys.executable, "-c", NO_THREADS])
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
    assert result.stderr.count("note: ") <= 1
    if usual is not None:
        assert result.stdout == usual.stdout
