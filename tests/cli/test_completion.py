"""What a shell completes: commands, flags, the words of a setting, paths; and that it is quick."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pexpect
import pytest
from click.shell_completion import ShellComplete

from charrnn.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PATHS = r"PATH|FILE|FOLDER|RUN|CHECKPOINT|TEXTS?|CORPUS|RUNS"
"""What places for paths are called in the help."""
NOT_PATHS = {("sample", "prime")}


def completed(line: str) -> set[str]:
    """What the last word of a line may become; a path is <file>."""
    words = line.split(" ")
    items = ShellComplete(cli, {}, "charrnn", "_CHARRNN_COMPLETE").get_completions(
        words[1:-1], words[-1]
    )
    return {item.value if item.type == "plain" else f"<{item.type}>" for item in items}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("charrnn sam", {"sample"}),
        ("charrnn smaple ch", {"check"}),
        ("charrnn book.txt sam", {"sample"}),
        ("charrnn train --help-all --weight-dec", {"--weight-decay"}),
        ("charrnn train --recurrent", {"--recurrent-dropout", "--recurrent-init"}),
        ("charrnn train --cell gru", {"gru", "gru-after"}),
        ("charrnn train book.txt --schedule one", {"one-cycle"}),
        ("charrnn sample --until par", {"paragraph"}),
        ("charrnn train --preset d", {"dl4j"}),
        ("charrnn train --preset my/se", {"<file>"}),
        ("charrnn data get tiny", {"tiny-shakespeare"}),
        ("charrnn sample check", {"<file>"}),
        ("charrnn sample --prime th", set()),
        ("charrnn train --resume check", {"<file>"}),
        ("charrnn eval a --ensemble b", {"<file>"}),
    ],
)
def test_what_a_word_may_become(line: str, wanted: set[str]) -> None:
    assert completed(line) == wanted


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    context = click.Context(cli, info_name="charrnn")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        for each in command.commands.values() if isinstance(command, click.Group) else [command]:
            yield from ((name, parameter) for parameter in each.params)


def test_every_place_for_a_path_is_completed_as_one() -> None:
    for command, parameter in parameters():
        called = parameter.metavar or (parameter.name or "").upper()
        is_argument = isinstance(parameter, click.Argument)
        names_a_path = re.search(rf"\b({PATHS})\b", called) and (parameter.metavar or is_argument)
        if names_a_path and (command, parameter.name) not in NOT_PATHS:
            items = parameter.shell_complete(click.Context(click.Command(command)), "some")
            assert [item.type for item in items] == ["file"], (command, parameter.name)


def program(folder: Path) -> None:
    """A `charrnn` of this source in a folder."""
    call = shlex.join([sys.executable, "-m", "charrnn"])
    file = folder / "charrnn"
    file.write_text(f'#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(ROOT))}\nexec {call} "$@"\n')
    file.chmod(0o755)


def test_completing_loads_no_compiler() -> None:
    words = {"COMP_WORDS": "charrnn train --cell gr", "COMP_CWORD": "3"}
    environment = {**os.environ, **words, "_CHARRNN_COMPLETE": "bash_complete"}
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "charrnn"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        check=True,
    )
    assert "plain,gru" in ran.stdout
    loaded = set(re.findall(r"\| +([\w.]+)$", ran.stderr, re.MULTILINE))
    assert "charrnn.cli.options" in loaded and not loaded & {"numba", "llvmlite", "torch", "rich"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this system")
def test_bash_completes(tmp_path: Path) -> None:
    program(tmp_path)
    (tmp_path / "a book.txt").write_text("a")
    shell = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile", "-i"],
        cwd=str(tmp_path),
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PS1": "$ ", "TERM": "dumb"},
        encoding="utf-8",
        timeout=60,
    )
    try:
        shell.sendline("bind 'set enable-bracketed-paste off'")
        shell.sendline('eval "$(_CHARRNN_COMPLETE=bash_source charrnn)"; echo re""ady')
        shell.expect_exact("ready")
        for typed, becomes in (
            ("sco", "score "),
            ("train --cell lst", "lstm "),
            ("sample a", r"a\ book.txt "),
            ("train --out a", r"a\ book.txt "),
        ):
            shell.send(f"charrnn {typed}\t")
            shell.expect_exact(becomes)
            shell.send("\x15")
    finally:
        shell.close(force=True)
