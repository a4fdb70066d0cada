"""`mpiexec charrnn train`: the same bits on any number of processes, whatever happens to them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mpi4py  # noqa: F401  # missing: an error, not a skip
import pytest

from charrnn.training.run_file import load_run
from tests.reference.small import TEXT

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
SETTINGS = [
    *("--hidden", "9", "--dropout", "0.2", "--recurrent-dropout", "0.1", "--batch-size", "8"),
    *("--seq-length", "8", "--parts", "4", "--eval-every", "20", "--sample-every", "0"),
    *("--document-separator", "fall\\n", "--threads", "2"),
]
SECONDS = 120


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("text") / "bottles.txt"
    path.write_text(TEXT)
    return str(path)


def command(ranks: int, *arguments: object, python: str = sys.executable) -> list[str]:
    assert MPIEXEC is not None
    launcher = [MPIEXEC, "-n", str(ranks)] if ranks else []
    return [*launcher, python, "-m", "charrnn", *map(str, arguments)]


def called(ranks: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(ranks, *arguments), capture_output=True, text=True, timeout=SECONDS, check=False
    )


def trained(ranks: int, *arguments: object) -> str:
    """What the command says on its standard error."""
    done = called(ranks, "train", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def whole(text: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The last checkpoint of a process that trains all parts itself."""
    out = tmp_path_factory.mktemp("whole") / "run"
    trained(0, text, *SETTINGS, "--steps", 30, "--out", out)
    return (out / "last.safetensors").read_bytes()


def started(out: Path, ranks: int, *arguments: object) -> subprocess.Popen[str]:
    """A command that has been training for some steps."""
    process = subprocess.Popen(
        command(ranks, "train", *arguments, "--out", out),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 20 of"):
            return process
    raise AssertionError("it has ended")


def ranks_of(launcher: int) -> list[int]:
    """The processes below the launcher that run Python, by /proc."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parents[int(status.parent.name)] = int(
                re.search(r"^PPid:\s+(\d+)", status.read_text(), re.MULTILINE)[1]  # type: ignore[index]
            )
        except OSError:
            continue
    below = {launcher}
    for _ in range(4):
        below |= {child for child, parent in parents.items() if parent in below}
    return sorted(
        process
        for process in below
        if b"charrnn\0train" in Path(f"/proc/{process}/cmdline").read_bytes()
        and b"mpiexec" not in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")[0]
    )


@pytest.fixture
def endless(text: str, tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str], list[int]]]:
    """A run of two ranks that is in the middle of its training."""
    out = tmp_path / "run"
    process = started(out, 2, text, *SETTINGS, "--steps", 10**6)
    yield out, process, ranks_of(process.pid)
    process.kill()
    process.communicate(timeout=SECONDS)


def has_ended(process: int) -> bool:
    for _ in range(100):
        if not Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_the_same_bytes(text: str, tmp_path: Path, whole: bytes, ranks: int) -> None:
    out = tmp_path / "run"
    said = trained(ranks, text, *SETTINGS, "--steps", 30, "--out", out)
    assert (out / "last.safetensors").read_bytes() == whole
    assert said.count("ended at step 30") == 1 and said.count("network:") == 1


@pytest.mark.parametrize("which", [0, 1])
def test_a_rank_that_is_killed_ends_all(
    endless: tuple[Path, subprocess.Popen[str], list[int]], which: int
) -> None:
    out, process, ranks = endless
    assert len(ranks) == 2
    os.kill(ranks[which], signal.SIGKILL)
    assert process.wait(SECONDS) != 0
    assert all(has_ended(rank) for rank in ranks)
    step = load_run(out).step
    assert step >= 20 and step % 20 == 0
    trained(4, "--resume", out, "--steps", step + 10)
    assert load_run(out).step == step + 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(
    endless: tuple[Path, subprocess.Popen[str], list[int]], number: signal.Signals
) -> None:
    out, process, ranks = endless
    process.send_signal(number)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    assert all(has_ended(rank) for rank in ranks)
    match = re.search(r"stopped at step ([\d,]+)", said)
    assert match is not None and load_run(out).step == int(match[1].replace(",", ""))


def test_a_time_and_its_record(text: str, tmp_path: Path) -> None:
    """A run of two ranks that was to take 6 seconds can be repeated by one process without a
    clock.
    """
    from charrnn.config.files import values_of

    first = tmp_path / "first"
    trained(2, text, *SETTINGS, "--for", "6s", "--out", first, "--precision", "float32")
    run = load_run(first)
    flags = []
    for name in ("steps", "pace", "eval_every"):
        setting = values_of(run.config).get(name)
        flags += [] if setting is None else [f"--{name.replace('_', '-')}", str(setting)]
    dropped = [flag for flag in SETTINGS if flag not in ("--eval-every", "20")]
    trained(0, text, *dropped, *flags, "--out", tmp_path / "again", "--precision", "float32")
    again = load_run(tmp_path / "again")
    assert again.step == run.step > 0
    assert (again.model.parameters.flat == run.model.parameters.flat).all()


@pytest.mark.parametrize(
    ("flags", "message", "status"),
    [
        (["--parts", "1"], "--parts is 1, but there are 2 processes", 2),
        (["--parts", "3"], "a --batch-size of 8 cannot be divided into 3 --parts", 2),
        (["--part", "3"], "there is no option --part", 2),
    ],
)
def test_one_line_says_what_is_wrong(
    text: str, tmp_path: Path, flags: list[str], message: str, status: int
) -> None:
    done = called(2, "train", text, *SETTINGS, "--steps", 9, "--out", tmp_path / "a", *flags)
    assert done.returncode == status
    assert done.stderr.count("error:") == 1 and message in done.stderr
    assert not (tmp_path / "a").exists()


def test_without_mpi4py(text: str, tmp_path: Path) -> None:
    """An interpreter that finds every package but that one."""
    hiding = tmp_path / "mpi4py.py"
    hiding.write_text("raise ModuleNotFoundError('No module named mpi4py')\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        command(2, "train", text, *SETTINGS, "--steps", 9, "--out", tmp_path / "a"),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1 and 'pip install "charrnn-numba[mpi]"' in done.stderr


def test_an_error_on_another_rank(text: str, tmp_path: Path) -> None:
    """It is said once, and ends all ranks."""
    program = tmp_path / "failing.py"
    program.write_text(
        "from charrnn.cli.main import main\n"
        "from charrnn.runtime.mpi import launched_rank\n"
        "from charrnn.training import update\n"
        "real = update.Update._add_gradients\n"
        "def failed(own, step):\n"
        "    if step == 5 and launched_rank() == 1:\n"
        "        raise MemoryError('made up')\n"
        "    return real(own, step)\n"
        "update.Update._add_gradients = failed\n"
        "main()\n"
    )
    flags = ["train", text, *SETTINGS, "--steps", "30", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [str(MPIEXEC), "-n", "2", sys.executable, str(program), *flags],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    assert "on rank 1 of 2:\nerror: out of memory (made up)" in done.stderr
    assert done.stderr.count("error:") == 1
    assert load_run(tmp_path / "run").step == 0


def test_a_plain_run_never_imports_mpi4py(text: str, tmp_path: Path) -> None:
    code = (
        "import sys; from charrnn.cli.main import cli\n"
        f"cli(['train', {text!r}, '--steps', '2', '--hidden', '9', '--quiet', '--parts', '2',"
        f" '--out', {str(tmp_path / 'a')!r}], standalone_mode=False)\n"
        "print('mpi4py' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stdout.strip().endswith("False"), done.stderr


SCRIPT = """
import sys
import charrnn

def main():
    text, out, stop = sys.argv[1:]
    corpus = charrnn.Corpus.read(text)
    folder = charrnn.RunFolder(out)
    with folder.locked():
        if folder.holds_run:
            run = folder.resume()
        else:
            folder.create({})
            model = charrnn.ModelConfig(hidden=9, dropout=0.2)
            training = charrnn.TrainConfig(batch_size=8, steps=20, eval_every=5, parts=4)
            run = charrnn.Run.new(corpus, model, training)
        for report in charrnn.train(run, corpus, folder=folder):
            if stop == "error":
                raise SystemExit(5)
            if report.step == int(stop):
                break
    return run.step

sys.stdout.write(f"{charrnn.on_ranks(main)}\\n")  # at once: ranks share it
"""


def test_a_script_that_goes_on_with_other_ranks(text: str, tmp_path: Path) -> None:
    """What the command can do, a script can do; an error on rank 0 ends the others."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def called(ranks: int, out: str, stop: int | str) -> tuple[int, list[str]]:
        launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks else []
        done = subprocess.run(
            [*launcher, sys.executable, str(script), text, str(tmp_path / out), str(stop)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, sorted(done.stdout.split())

    assert called(0, "whole", 20) == (0, ["20"])
    assert called(4, "changing", 7) == (0, ["7", "None", "None", "None"])
    assert called(2, "changing", "error") == (5, ["None"])
    assert called(2, "changing", 20) == (0, ["20", "None"])
    lasts = [(tmp_path / out / "last.safetensors").read_bytes() for out in ("whole", "changing")]
    assert lasts[0] == lasts[1]


def test_several_networks_are_those_of_one_process(text: str, tmp_path: Path) -> None:
    settings = (*SETTINGS, "--steps", 30, "--networks", 2)
    trained(0, text, *settings, "--out", tmp_path / "one")
    said = trained(2, text, *settings, "--out", tmp_path / "two")
    assert "2 networks together: validation loss" in said
    for name in ("last.safetensors", "best-2.safetensors", "2/last.safetensors"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
