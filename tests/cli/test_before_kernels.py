"""What is missing or wrong is reported before any kernel is loaded or compiled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
from charrnn.cli.main import main
try:
    main()
finally:
    assert not any(name.startswith("charrnn.kernels.") for name in sys.modules)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a text, files that are no checkpoints, and what looks like a run."""
    (tmp_path / "t.txt").write_text("in the beginning there was a word " * 20)
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "other.safetensors").write_bytes(b"")
    save_file({}, tmp_path / "run" / "last.safetensors", {"made by": "another program"})
    return tmp_path


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sample nowhere", "nowhere: no such file"),
        ("sample t.txt", "t.txt: a text, not a checkpoint; give a checkpoint or a run"),
        ("sample empty", "empty: no checkpoint"),
        ("sample run", "not a charrnn checkpoint"),
        ("sample --ensemble t.txt run", "not a charrnn checkpoint"),
        ("eval", "no run in checkpoints/"),
        ("eval nowhere", "nowhere: no such file"),
        ("eval run", "not a charrnn checkpoint"),
        ("eval t.txt nowhere.txt", "nowhere.txt: no such file"),
        ("eval t.txt --text nowhere.txt", "nowhere.txt: no such file"),
        ("score", "no run in checkpoints/"),
        ("score nowhere", "nowhere: no such file"),
        ("score t.txt --run t.txt", "t.txt: a text, not a checkpoint"),
        ("score t.txt --html no/x", "no folder no"),
        ("inspect", "no run in checkpoints/"),
        ("inspect nowhere", "nowhere: no such file"),
        ("inspect t.txt --run t.txt", "t.txt: a text, not a checkpoint"),
        ("inspect t.txt --npz no/x", "no folder no"),
        ("info", "no run in checkpoints/"),
        ("log", "no run in checkpoints/"),
        ("log nowhere", "nowhere: no run (no such folder)"),
        ("log run", "not a charrnn checkpoint"),
        ("info t.txt", "t.txt: a text, not a checkpoint"),
        ("train nowhere.txt", "nowhere.txt: no such file"),
        ("train t.txt --out run", "run already contains a run; resume it with --resume run"),
        ("train t.txt --init-from nowhere", "nowhere: no such file"),
        ("train t.txt --init-from run", "not a charrnn checkpoint"),
        ("train t.txt --cell lstn", "--cell must be one of"),
        ("train --resume", "no run in checkpoints/"),
        ("train --resume nowhere", "nowhere: no run to resume (no such folder)"),
        ("train --resume empty", "empty: no run to resume (no last.safetensors)"),
        (
            "train --resume other.safetensors",
            "to start a new run from this file, use --init-from",
        ),
        ("train --resume run", "not a charrnn checkpoint"),
        (
            "train --resume t.txt",
            "t.txt: not a run; --resume takes a run's folder, such as checkpoints/t",
        ),
        ("compare nowhere.txt --cells gru,lstm", "nowhere.txt: no such file"),
        ("compare t.txt --cells gru,lstn", "--cell must be one of"),
        ("compare t.txt --vary dropout=0,7", "--dropout must be at most"),
        ("compare t.txt --vary layers=1,two", "'two' is not a whole number"),
        ("bench --text nowhere.txt", "nowhere.txt: no such file"),
        ("bench --only training --precision int8", "training cannot use --precision int8"),
        ("bench --only sampling --precision amx", "sampling cannot use --precision amx"),
    ],
)
def test_no_kernel_is_loaded_for_what_cannot_run(folder, command, said):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command.split()],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert said in done.stderr
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1, done.stderr
