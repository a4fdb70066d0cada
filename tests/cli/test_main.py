"""Errors become one line on stderr, with flags for the parameters that the library names."""

from __future__ import annotations

from pathlib import Path

import pytest

from charrnn.cli.main import COMMANDS, RENAMED, report, with_flags
from charrnn.errors import CheckpointError, ConfigError


@pytest.mark.parametrize(
    ("command", "message", "shown"),
    [
        ("train", "`learning_rate` must be at least 0", "--learning-rate must be at least 0"),
        ("train", "`layer_norm` must be true or false", "--layer-norm must be true or false"),
        ("train", "`duration` must be at least 5", "--for must be at least 5"),
        ("train", "x.toml: `steps` or `epochs`", "x.toml: --steps or --epochs"),
        ("compare", "choose another `folder`", "choose another --out"),
        ("sample", "`streams` must be at least 1", "--count must be at least 1"),
        ("bench", "`streams` must be at least 1", "--streams must be at least 1"),
        ("eval", "`as_json`", "--json"),
        ("sample", "train again with `min_count` 2", "train again with --min-count 2"),
        ("", "choose another `out`", "choose another --out"),
        (
            "data",
            "`nonsense`, `Seed`, `seed=3`, ``, `see",
            "`nonsense`, `Seed`, `seed=3`, ``, `see",
        ),
        ("train", "learning_rate.txt: no such file", "learning_rate.txt: no such file"),
        ("train", "'learning_rate' and seed", "'learning_rate' and seed"),
    ],
)
def test_parameters_become_flags(command: str, message: str, shown: str) -> None:
    assert with_flags(message, command) == shown


def test_every_renamed_flag_is_one() -> None:
    for flag in RENAMED.values():
        name = flag.removeprefix("--").replace("-", "_")
        assert any(with_flags(f"`{name}`", command) == flag for command in COMMANDS)


def test_a_report_is_one_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ConfigError("`seed` must be\n0"), "train") == 2
    assert report(CheckpointError("a\x1b.b"), "info") == 1
    assert report(FileNotFoundError(2, "missing", str(Path("`seed`"))), "train") == 1
    assert report(MemoryError("`seed`")) == 1
    assert report(KeyboardInterrupt()) == 130
    shown = capsys.readouterr().err.splitlines()
    assert shown[:2] == [r"error: --seed must be\n0", r"error: a\x1b.b"]
    assert shown[2].startswith("error: `seed`: missing; ") and "(`seed`)" in shown[3]
    assert len(shown) == 4
