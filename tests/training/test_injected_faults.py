"""Each system call of a save fails once, in a real process under strace: the save is one line of
complaint, the run is the old or the new one, and it goes on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import charrnn
from charrnn.training.run_file import save_run
from charrnn.training.run_folder import RunFolder
from tests.reference.small import small_corpus, small_run, trained

STRACE = shutil.which("strace")
CALLS = "openat,write,fsync,fdatasync,rename,renameat,renameat2,unlink,chmod,fchmodat,mkdir,close"
PROGRAM = """
import os, sys
from charrnn.training.run_folder import RunFolder
from charrnn.training.run_file import load_run
from charrnn.errors import CheckpointError
folder, run = RunFolder(sys.argv[1]), load_run(sys.argv[2])
os.unlink(sys.argv[3])
try:
    folder.save_last(run)
except (CheckpointError, OSError) as error:
    os._exit(3 if "\\n" not in str(error) else 4)
os._exit(0)
"""


def save(folder: Path, *strace: str) -> int:
    """Let a process save the next state into the run's folder; its exit status."""
    (folder / "marker").write_bytes(b"")
    arguments = [folder / "run", folder / "next", folder / "marker"]
    environment = {**os.environ, "PYTHONPATH": str(Path(charrnn.__file__).parents[1])}
    options = ["-f", "-qq", "--seccomp-bpf", "-o", str(folder / "log"), *strace]
    return subprocess.run(
        [str(STRACE), *options, sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env=environment,
        timeout=240,
    ).returncode


@pytest.mark.skipif(STRACE is None, reason="no strace on this system")
def test_every_call_of_a_save_fails_once(tmp_path: Path) -> None:
    corpus, whole, run = small_corpus(), tmp_path / "whole", RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.create({"hidden": 9})
    trained(small_run(corpus), corpus, run, steps=6)
    later = run.resume()
    trained(later, corpus, steps=3)
    save_run(tmp_path / "next", later)
    shutil.copytree(run.path, whole)
    if save(tmp_path, "-e", f"trace={CALLS}"):
        pytest.skip("strace may not trace here")
    new = {path.name: path.read_bytes() for path in run.path.iterdir()}
    old = {path.name: path.read_bytes() for path in whole.iterdir()}
    lines = (tmp_path / "log").read_text().splitlines()
    marker = next(n for n, line in enumerate(lines) if "unlink" in line and "marker" in line)
    calls = [match[1] for line in lines if (match := re.match(r"(?:\d+ +)?(\w+)\(", line))]
    before = sum(bool(re.match(r"(?:\d+ +)?\w+\(", line)) for line in lines[: marker + 1])
    assert calls[before:].count("fsync") >= 4 and "rename" in calls[before:]
    statuses = list[int]()
    for n in range(before, len(calls)):
        if calls[n] == "close":  # it cannot fail usefully; it is there so that each file is seen
            continue
        shutil.rmtree(run.path)
        shutil.copytree(whole, run.path)
        number = calls[: n + 1].count(calls[n])
        error = ("ENOSPC", "EIO", "EDQUOT")[n % 3]
        fault = f"inject={calls[n]}:error={error}:when={number}"
        statuses.append(save(tmp_path, "-e", f"trace={CALLS}", "-e", fault))
        assert statuses[-1] in (0, 3)
        for path in run.path.iterdir():
            if path.suffix != ".tmp" and path.name != "history.jsonl":
                assert path.read_bytes() in (old.get(path.name), new.get(path.name)), path.name
        assert run.resume().step in (6, 9)
        assert not list(run.path.glob(".*.tmp"))
    assert statuses.count(3) > len(statuses) / 2
