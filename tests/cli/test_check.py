"""`charrnn check`, and what `charrnn train` says of a text."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from charrnn.cli import terminal
from charrnn.cli.main import cli
from tests.training.test_check import SHORT, TEXT, WORDS

NAMES = "\n".join(WORDS[:1500]) + "\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def charrnn_(*arguments: str, status: int = 0, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(cli, list(arguments), input=stdin)
    assert result.exit_code == status, result.output
    return result


def write(text: str, name: str = "a b.txt", encoding: str = "utf-8") -> str:
    Path(name).write_text(text, encoding=encoding)
    return name


def test_the_command_that_is_named_runs() -> None:
    output = charrnn_("check", write(NAMES.replace("a", "é"), encoding="cp1252")).stdout
    command = shlex.split(output.splitlines()[-1])
    assert command[:3] == ["charrnn", "train", "a b.txt"]
    assert command[3:] == ["--encoding", "cp1252", "--document-separator", r"\n"]
    small = ["--hidden", "4", "--layers", "1", "--steps", "1", "--out", "run"]
    result = charrnn_(*command[1:], *small)
    assert "documents: 1,500" in result.stderr and "seems to be" not in result.stderr


def test_levels_and_status() -> None:
    lines = charrnn_("check", write(TEXT)).stdout.splitlines()
    assert lines[0] == f"a b.txt: {len(TEXT):,} characters"
    assert all(line.startswith("ok    ") for line in lines[1:-3]) and "--for" in lines[-3]
    wrong = charrnn_("check", write(TEXT.replace("a", "Ã©"))).stdout
    assert "fix   encoding" in wrong and wrong.endswith("then type:\n  charrnn train mended.txt\n")
    assert "missing.txt" in charrnn_("check", "missing.txt", status=1).stderr
    Path("binary").write_bytes(b"a\0b")
    charrnn_("check", "binary", status=1)
    charrnn_("check", status=2)


def test_a_name_that_begins_with_a_dash_is_no_flag() -> None:
    output = charrnn_("check", "--", write(TEXT, "-a.txt")).stdout
    assert output.splitlines()[-1] == "  charrnn train ./-a.txt"
    wrong = charrnn_("check", "--", write(TEXT.replace("a", "\u00c3\u00a9"), "-a.txt")).stdout
    assert " ./-a.txt > mended.txt\n" in wrong


def test_json() -> None:
    found = json.loads(charrnn_("check", write(SHORT + "Q"), "--json").stdout)
    assert found["characters"] == len(SHORT) + 1 and found["settings"] == {"min_count": 3}
    assert found["command"] == "charrnn train 'a b.txt' --min-count 3"
    assert {"kind", "level", "text", "settings", "lines", "command"} == found["findings"][0].keys()
    assert found["network"]["hidden"] >= 32


def test_standard_input() -> None:
    assert charrnn_("check", "-", stdin=SHORT.encode()).stdout.startswith("standard input: ")


@pytest.mark.parametrize("columns", [40, 80])
def test_it_fits_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "width_of", lambda _: columns)
    monkeypatch.setattr(terminal, "is_terminal", lambda _: True)
    monkeypatch.setenv("NO_COLOR", "1")
    text = f"{TEXT}{TEXT[:30_000]}Q\x1b\x0c\n"
    output = charrnn_("check", write(text, "a.txt")).stdout
    long = [line for line in output.splitlines() if len(line) > columns]
    assert [line.split()[0] for line in long] in (["perl"], []) and "\x1b" not in output


def test_control_characters_of_a_text_do_not_reach_the_terminal() -> None:
    pages = "\n".join(
        "".join([TEXT[a : a + 900], "\n\x1b[2J the head \x07"]) for a in range(0, 90_000, 900)
    )
    assert not {"\x1b", "\x07"} & {*charrnn_("check", write(pages, "\x1b.txt")).stdout}


def test_train_says_what_matters_and_no_more() -> None:
    small = ["--hidden", "4", "--layers", "1", "--steps", "1"]
    wrong = write((NAMES + TEXT + TEXT).replace("a", "Ã©"), "wrong.txt")
    result = charrnn_("train", wrong, *small).stderr
    assert "'Ã©' in line" in result and "held-out part" in result
    names = charrnn_("train", write(NAMES, "names.txt"), *small).stderr
    assert r"with --document-separator '\n'" in names
    lines = charrnn_("train", write(TEXT, "well.txt"), *small).stderr.splitlines()
    assert len(lines) < len(names.splitlines())


def test_a_text_that_is_called_as_what_would_be_mended() -> None:
    output = charrnn_("check", write(TEXT.replace("a", "Ã©"), "mended.txt")).stdout
    assert "mended.txt > again-mended.txt" in output
    assert output.endswith("then type:\n  charrnn train again-mended.txt\n")


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("bash") is None, reason="names, and a shell, of Linux"
)
@pytest.mark.parametrize("name", ["a\nb.txt", "tab\tit's.txt", "\udcff.txt", "é b.txt"])
def test_odd_names_can_be_copied(name: str) -> None:
    output = charrnn_("check", write(TEXT, name)).stdout
    command = output.splitlines()[-1].strip()
    assert command.isprintable() and command.startswith("charrnn train ")
    shell = ["bash", "-c", f"printf %s {command.removeprefix('charrnn train ')}"]
    assert subprocess.run(shell, capture_output=True, check=True).stdout == os.fsencode(name)


def test_names_of_any_script_are_shown_as_they_are() -> None:
    output = charrnn_("check", write(TEXT, "一\u3000二\u200d.txt")).stdout
    assert output.endswith("charrnn train '一\u3000二\u200d.txt'\n")


def test_words_in_backticks_in_a_text_are_no_flags() -> None:
    text = TEXT + "See `make` in the manual\n" * 300
    output = charrnn_("check", write(text)).stdout
    assert "in the manual" in output and "--make" not in output
