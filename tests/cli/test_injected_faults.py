"""One system call that writes fails in each run of a command, in a real process under strace: the
command ends with a line that says so, or without harm; a result is whole or its loss is an error;
what lies on the disk is old or new; and the run goes on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

import charrnn
from charrnn.cli.main import cli
from charrnn.compiler.target import FILES
from tests.fuzzing import TIMES
from tests.reference.small import TEXT

STRACE = shutil.which("strace")
SHAPE = [*("--hidden", "4", "--layers", "1", "--batch-size", "4", "--seq-length", "16")]
ONE = ["--threads", "1"]
STEPS = [*SHAPE, *ONE, "--steps", "8", "--eval-every", "3", "--test-fraction", "0.1"]
FEW = ["--steps", "4", "--seeds", "1"]
TRAIN = ["train", "sea.txt", *STEPS, "--out", "new"]
COMMANDS = {
    "train": TRAIN,
    "resume": ["train", "--resume", "run", "--steps", "12", *ONE],
    "sample": ["sample", "run", "--length", "300", "--seed", "1", *ONE],
    "eval": ["eval", "run", "--split", "test", *ONE],
    "info": ["info", "run"],
    "compare": ["compare", "sea.txt", "--cells", "gru,rnn", *SHAPE, *ONE, *FEW, "--out", "many"],
    "sample, compiling": ["sample", "run", "--length", "9", "--seed", "1", *ONE],
}
if TIMES > 1:
    COMMANDS |= {
        "train --json": [*TRAIN, "--json"],
        "sample --json": ["sample", "run", "--length", "90", "--seed", "1", "--json", *ONE],
        "eval --json": ["eval", "run", "--json", *ONE],
        "compile": ["compile"],  # every kernel must be there
    }
TIMED = "compare", "train --json"
"""Commands whose results contain times."""
CALLS = "openat,write,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,chmod"
CALLS += ",fchmod,fchmodat,mkdir,ftruncate,fallocate,utimensat"
READS = re.compile(r"openat\((?!.*(O_WRONLY|O_RDWR|O_CREAT))")
LOST = "sampling.draw", "product.pack"
"""Kernels missing from the cache of a command that compiles."""
SAMPLED = 2
"""Calls of each command that fail in a short test."""

pytestmark = pytest.mark.skipif(STRACE is None, reason="no strace on this system")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its status and what it said; and the calls of its first process."""

    status: int
    out: bytes
    err: str
    calls: list[str]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a run that can be resumed, and a cache that lacks two kernels."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "sea.txt").write_text(TEXT)
    command = ["train", str(folder / "sea.txt"), *STEPS, "--out", str(folder / "run")]
    assert CliRunner().invoke(cli, command).exit_code == 0
    return folder


def traced(folder: Path, arguments: Sequence[str], *options: str) -> Ended:
    """Run a command in the folder under strace."""
    log = folder / "calls.log"
    environment = {**os.environ, "PYTHONPATH": str(Path(charrnn.__file__).parents[1])}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    if (folder / "cache").exists():
        environment["CHARRNN_CACHE_DIR"] = str(folder / "cache")
    done = subprocess.run(
        [
            *(str(STRACE), "-f", "-qq", "--seccomp-bpf", "-o", str(log), "-e", f"trace={CALLS}"),
            *(*options, sys.executable, "-m", "charrnn", *arguments),
        ],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=240,
    )
    lines = [line.split(None, 1) for line in log.read_text(errors="replace").splitlines()]
    calls = [line for pid, line in lines if pid == lines[0][0]]
    return Ended(done.returncode, done.stdout, done.stderr.decode(), calls)


def prepared(whole: Path, folder: Path, command: str) -> Path:
    """A copy of the folder, for one command."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    if "compil" in command:
        for name, path in FILES.paths().items():
            if name not in LOST:
                copy = folder / "cache" / path.parent.name / path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
    return folder


def faults(calls: Sequence[str]) -> list[tuple[str, int, str]]:
    """The name, number and text of every call that writes."""
    counts = dict[str, int]()
    found = []
    for call in calls:
        if match := re.match(r"(\w+)\(", call):
            counts[match[1]] = counts.get(match[1], 0) + 1
            if not READS.match(call):
                found.append((match[1], counts[match[1]], call))
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_survives_each_call_that_fails(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    arguments = COMMANDS[command]
    folder = prepared(whole, tmp_path / "work", command)
    good = traced(folder, arguments)
    if not good.calls:
        pytest.skip("strace may not trace here")
    assert good.status == 0, good.err
    made = folder / ("run" if command == "resume" else "new")
    kept = {path: path.read_bytes() for path in made.glob("*") if path.name != "history.jsonl"}
    places = faults(good.calls)
    chosen = places if TIMES > 1 else places[:: max(1, len(places) // SAMPLED)]
    statuses = list[int]()
    for n, (call, number, text) in enumerate(chosen):
        error = ("ENOSPC", "EIO", "EDQUOT")[n % 3]
        folder = prepared(whole, tmp_path / "work", command)
        fault = f"inject={call}:error={error}:when={number}"
        ended = traced(folder, arguments, "-e", fault)
        about = f"{command}: {fault} ({text[:100]}): {ended.status} {ended.err}"
        to_output, to_errors = re.match(r"write\(1, \"[^\"]", text), re.match(r"write\(2,", text)
        assert ended.status in (0, 1), about
        assert "Traceback" not in ended.err and "Exception" not in ended.err, about
        assert ended.err.count("error: ") <= 1, about
        if ended.status:
            assert to_errors or "error: " in ended.err, about
        else:
            assert not to_output, about
            assert command in TIMED or ended.out == good.out, about
        assert not [*folder.glob("*/.*.tmp")], about
        if kept and arguments[0] == "train":
            monkeypatch.chdir(folder)
            start = [] if command == "resume" else ["--resume-or-start"]
            again = CliRunner().invoke(cli, [*arguments, *start])
            assert again.exit_code == 0, f"{about} {again.stderr}"
            assert kept == {path: path.read_bytes() for path in kept}, about
        statuses.append(ended.status)
    print(f"{command}: {len(statuses)} calls failed, {statuses.count(1)} ended the command")
