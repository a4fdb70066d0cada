"""`compare` and `tune` under mpiexec: the same runs as alone, Ctrl-C, a worker that dies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from operator import gt
from pathlib import Path
from typing import Any

import pytest

import charrnn

MPIEXEC = Path(sys.executable).with_name("mpiexec")
PROGRAM = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-m", "charrnn"]
TINY = ["--hidden", "6", "--layers", "1", "--batch-size", "4", "--seq-length", "16"]
SECONDS = 120


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(charrnn.__file__).parents[1]))
    words = random.Random(1).choices(["the", "sea", "sings", "of", "a", "stone", "king\n"], k=3000)
    path = tmp_path / "sea.txt"
    path.write_text(" ".join(words), encoding="utf-8")
    return path


def ended(*words: str, ranks: int = 1, status: int = 0) -> subprocess.CompletedProcess[str]:
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    result = subprocess.run(
        [*launcher, *PROGRAM, *words], capture_output=True, text=True, timeout=SECONDS
    )
    assert result.returncode == status, result.stderr
    return result


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(MPIEXEC), "-n", "3", *PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def time_of(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def networks(folder: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).glob("*/*.safetensors")
    }


def compare(out: str, steps: int, seeds: int = 1) -> list[str]:
    varied = ["--steps", "9", "--vary", f"steps={steps},{steps + 1}", "--seeds", str(seeds)]
    return ["compare", "sea.txt", *TINY, *varied, "--out", out, "--quiet", "--json"]


def test_dealt_runs_are_those_of_one_process(text: Path) -> None:
    ended(*compare("alone", 20, 2))
    dealt = ended(*compare("dealt", 20, 2), ranks=3)
    assert networks("alone") == networks("dealt") and len(networks("alone")) == 8
    assert dealt.stderr == "" and dealt.stdout.count("\n") == 1
    said = ended(*compare("dealt", 20, 2)[:-2], ranks=3).stderr
    assert said.startswith("2 runs are trained at the same time") and said.count("already") == 4


def test_ctrl_c_or_a_worker_that_dies_ends_all_and_the_same_command_goes_on(text: Path) -> None:
    measured = [Path(f"parts/steps={steps}-seed0/measured.json") for steps in (900, 901)]
    for how in ("death", "signal"):
        before = [time_of(path) for path in measured]
        process = started(*compare("parts", 900))
        wait_for(lambda before=before: all(map(gt, map(time_of, measured), before)))
        if how == "signal":
            process.send_signal(signal.SIGINT)
        else:
            os.kill(worker_in(text.parent), signal.SIGKILL)
        answer, said = process.communicate(timeout=SECONDS)
        if how == "signal":
            assert process.returncode == 130 and '"finished": false' in answer
            assert said.splitlines()[-1].startswith("stopped after ")
        else:
            assert process.returncode not in (0, 130)
        for run in networks("parts"):  # whole files
            charrnn.load(Path("parts") / run)
    again = ended(*compare("parts", 900), ranks=3)
    ended(*compare("whole", 900))
    assert networks("whole") == networks("parts") and '"finished": true' in again.stdout


def worker_in(folder: Path) -> int:
    """The process of rank 1 in this folder."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_rank_1 = b"PMI_RANK=1" in (path / "environ").read_bytes().split(b"\0")
            if is_rank_1 and (path / "cwd").readlink() == folder:
                return int(path.name)
    raise AssertionError(folder)


def test_an_error_is_said_once(text: Path) -> None:
    for words, status in ((["compare", "no.txt", "--cells", "lstm"], 1), (["tune", "--x"], 2)):
        result = ended(*words, ranks=3, status=status)
        assert result.stderr.count("error:") == 1 and result.stdout == ""


def test_an_error_of_a_worker_ends_all(text: Path) -> None:
    words = compare("out", 400)
    Path("out").mkdir()
    Path("out/steps=401-seed0").write_text("in the way")
    result = ended(*words, ranks=3, status=1)
    assert result.stderr.count("error:") == 1 and "steps=401-seed0" in result.stderr


def test_trials_are_dealt(text: Path) -> None:
    words = ["tune", "sea.txt", *TINY, "--cell", "lstm", "--steps", "30", "--trials", "5"]
    result = ended(*words, "--quiet", ranks=3)
    assert "5 trials" in result.stdout
    again: Any = ended(*words, "--quiet")
    assert again.stdout == result.stdout
