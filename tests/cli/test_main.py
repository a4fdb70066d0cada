"""Errors become one line on stderr, with flags for the parameters that the library names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from charrnn.cli.main import COMMANDS, RENAMED, cli, report, with_flags
from charrnn.cli.terminal import LINE
from charrnn.errors import CheckpointError, ConfigError
from tests.cli.screen import Screen


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
    for words in RENAMED.values():
        flag = words.rpartition(" ")[2]
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "error: there is no command 'trian'; did you mean train?\n"),
        (["Generate"], "error: there is no command 'Generate'; did you mean sample?\n"),
        (["frobnicate"], "error: there is no command 'frobnicate'; charrnn --help lists the"),
        (["data", "lst"], "error: no such command 'lst'"),
        (
            ["book.txt"],
            "error: there is no command 'book.txt'; to train on this text: charrnn train",
        ),
        (["x.safetensors"], "error: there is no command 'x.safetensors'; to write with this net"),
        ([""], "error: there is no command ''; charrnn --help lists the"),
        (["x" * 300], "error: there is no command 'xxx"),
        (["--versoin"], "error: there is no option --versoin; did you mean --version?\n"),
        (["train", "--lr", "1"], "error: there is no option --lr; did you mean --learning-rate?\n"),
        (
            ["train", "--epohcs", "1"],
            "error: there is no option --epohcs; did you mean --epochs?\n",
        ),
        (
            ["sample", "--start_text=x"],
            "error: there is no option --start_text; did you mean --pri",
        ),
        (["train", "--zzz"], "error: there is no option --zzz; charrnn train --help lists the opt"),
        (["train", "--epochs", "x"], "error: --epochs must be a number, not 'x'\n"),
        (["train", "--hidden", "1.5"], "error: --hidden must be a whole number, not '1.5'\n"),
        (["sample", "--threads", "x"], "error: --threads must be a whole number, not 'x'\n"),
        (["sample", "--threads", "0"], "error: --threads must be at least 1, not 0\n"),
        (["bench", "--streams", "-1"], "error: --streams must be "),
        (["train", "--fro", "3m"], "error: there is no option --fro; did you mean --for?\n"),
        (
            ["train", "--seed", "1" * 20],
            "error: --seed must be at most 9223372036854775807, not 11",
        ),
        (["train", "--for", "1" * 12 + "h"], "error: --for must be a time of at most 9 digits"),
        (["train", "--cell", "ltsm"], "error: --cell must be one of lstm, peephole,"),
        (["eval", "--split", "tset"], "error: invalid value for '--split': 'tset' is not one of"),
        (["sample", "--prime", "a", "--prime-file", "b"], "error: --prime and --prime-file cannot"),
        (["train", "--layers"], "error: option '--layers' requires an argument\n"),
        (
            ["train", "--preset", "charrnn"],
            "error: there is no preset 'charrnn'; did you mean char",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_that_helps(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text("text")
    Path("x.safetensors").touch()
    result = CliRunner().invoke(cli, words, prog_name="charrnn")
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith(said) and result.stderr.count("\n") == 1
    assert "lstm" not in said or result.stderr.endswith("not 'ltsm'; did you mean lstm?\n")


def test_processes_that_do_not_share_their_work_say_so() -> None:
    program = [sys.executable, "-m", "charrnn", "data", "list"]
    for rank in ("0", "1"):
        environment = {**os.environ, "PMI_SIZE": "3", "PMI_RANK": rank}
        result = subprocess.run(program, env=environment, capture_output=True, text=True)
        assert result.returncode == 0 and "plays: " in result.stdout
        said = result.stderr.startswith("note: each of the 3 processes does all of charrnn data: ")
        assert said == (rank == "0")


def test_without_a_command_there_is_help() -> None:
    for words in ([], ["data"]):
        result = CliRunner().invoke(cli, words, prog_name="charrnn")
        assert "Usage:" in result.output and "Commands:" in result.output
        assert "error:" not in result.output


LONG = "x" * 10_000


@pytest.mark.parametrize(
    "words",
    [
        [LONG],
        ["train", f"--{LONG}"],
        ["train", "--epochs", LONG],
        ["train", LONG],
        ["train", f"{LONG}/{'y ' * 5000}"],
        ["train", "--cell", LONG],
        ["train", "--document-separator", LONG],
        ["train", "--document-separator", "(" * 150 + "\x1b[31m"],
        ["train", "--for", LONG],
        ["train", "--preset", LONG],
        ["train", "--config", LONG],
        ["train", "--resume", LONG],
        ["train", "--init-from", LONG],
        ["compare", "--vary", LONG],
        ["compare", "--vary", f"layers={LONG}"],
        ["sample", LONG],
        ["sample", "bundled", "--prime-file", LONG],
        ["eval", LONG],
        ["info", LONG],
        ["bench", "--hidden", LONG],
        ["data", "get", LONG],
    ],
)
def test_no_message_is_longer_than_people_read(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, words, prog_name="charrnn")
    assert result.exit_code in (1, 2), result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert len(result.stderr) <= LINE + 1 and "\x1b" not in result.stderr


def test_a_long_message_keeps_its_beginning_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    report(ConfigError(f"{LONG}: no such file; give another"), "train")
    said = capsys.readouterr().err
    assert said.startswith("error: xxx") and said.endswith("xxx: no such file; give another\n")
    assert " ... " in said and len(said) <= LINE + 1


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS), ["train", "--help-all"]])
def test_help_fits_40_columns(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    screen = Screen(monkeypatch, 40, "stdout")
    words = command if "--help-all" in command else [*command, "--help"]
    with pytest.raises(SystemExit) as end:
        cli(words, prog_name="charrnn")
    assert end.value.code == 0 and "Usage: charrnn" in screen.getvalue()
    longest = max(map(len, screen.getvalue().split()))
    assert screen.widest() <= max(40, longest)
