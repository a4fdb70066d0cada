"""`charrnn lr-find`, and the curves in braille."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from charrnn import lr_find
from charrnn.cli import lr_find_display, main
from charrnn.cli.line_chart import braille_lines, column_of
from charrnn.cli.live_block import Looks
from charrnn.cli.main import cli
from charrnn.config.settings import ModelConfig
from charrnn.config.training import TrainConfig
from tests.cli.pseudo_terminal import Terminal
from tests.reference.small import small_corpus

SHAPE = ["--hidden", "12", "--layers", "1", "--batch-size", "8", "--seq-length", "16"]
TEXT = " ".join(random.Random(1).choices(["the", "sea", "sings", "of", "a", "stone\n"], k=3000))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "the sea.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def run(*words: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["lr-find", "the sea.txt", *SHAPE, "--threads", "1", *words])
    assert result.exit_code == status, result.output
    return result


# The command
# --------------------------------------------------------------------------------------------------


def test_json_is_the_library_s_test() -> None:
    result = run("--json", "--range-steps", "150", "--svg", "rates.svg")
    told = json.loads(result.stdout)
    model = ModelConfig(hidden=12, layers=1)
    training = TrainConfig(batch_size=8, seq_length=16, optimizer="adamw")
    test = lr_find(small_corpus(TEXT), model, training, range_steps=150)
    assert told["losses"] == test.losses.tolist() and told["suggestion"] == test.suggestion
    assert told["network"] == {"cell": "lstm", "layers": 1, "hidden": 12}
    assert Path("rates.svg").read_text(encoding="utf-8") == test.svg()
    assert "wrote rates.svg" in result.stderr
    assert told["planned"] == test.planned and told["outcome"] == "diverged"


def test_in_a_pipe_it_is_a_table_and_the_command_can_be_typed() -> None:
    lines = run("--cell", "gru", "--no-skip", "--learning-rate", "0.5").stdout.splitlines()
    table = [line for line in lines if re.match(r" *\d[\de.-]* +\d\.\d{3}\b", line)]
    assert 10 < len(table) < 40 and sum("suggestion" in line for line in table) == 1
    assert any("the rate that you gave is 0.5" in line.lower() for line in lines)
    words = shlex.split(lines[-1])
    assert words[:3] == ["charrnn", "train", "the sea.txt"]
    assert words[words.index("--optimizer") + 1] == "adamw"  # so short a text is read often
    assert "--no-skip" in words and words[-2] == "--learning-rate" and float(words[-1]) < 0.5
    assert words.count("--learning-rate") == 1 and "--threads" not in words
    command = cli.get_command(click.Context(cli), "train")
    assert command is not None
    command.make_context("train", words[2:])


def test_without_a_suggestion_it_says_why() -> None:
    flat = run("--lowest", "1e-9", "--highest", "1e-8", "--range-steps", "20").stdout
    assert "no suggestion: the loss never fell" in flat and "--learning-rate" not in flat
    fell = run("--lowest", "1e-3", "--highest", "0.02", "--range-steps", "150").stdout
    assert "nothing diverged; repeat with --highest 0.2 or more" in fell


def test_what_is_wrong_is_one_line(folder: Path) -> None:
    (folder / "tiny.txt").write_text("to be or not to be")
    for words, told in (
        (["tiny.txt"], "too short for a test of learning rates"),
        (
            ["the sea.txt", "--hidden", "8", "--lowest", "2", "--highest", "1"],
            "--lowest and --high",
        ),
        (["the sea.txt", "--hidden", "8", "--range-steps", "0"], "--range-steps must be 20 to"),
        (["nowhere.txt"], "nowhere.txt: no such file"),
        (["the sea.txt", "--svg", "no/x.svg"], "--svg no/x.svg: no folder no"),
    ):
        result = CliRunner().invoke(cli, ["lr-find", *words, "--epochs", "1"])
        errors = [line for line in result.stderr.splitlines() if line.startswith("error")]
        assert result.exit_code in (1, 2) and len(errors) == 1 and told in errors[0]


def test_ctrl_c_ends_it() -> None:
    terminal = Terminal(
        ["lr-find", "the sea.txt", *SHAPE, "--epochs", "1", "--range-steps", "100000"], Path.cwd()
    )
    terminal.until(lambda: any("testing rates" in line for line in terminal.lines))
    terminal.type("\x03")
    assert terminal.end() == 130
    assert not any("rror" in line or "Traceback" in line for line in terminal.lines)


# Its picture
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_picture_fits_its_terminal(columns: int) -> None:
    test = lr_find(
        *(small_corpus(TEXT), ModelConfig(hidden=12, layers=1)),
        TrainConfig(batch_size=8, seq_length=16),
        range_steps=150,
    )
    marks = [("suggestion", test.suggestion), ("recipe", test.planned)]
    lines = lr_find_display.picture(test, marks, columns, Looks())
    assert max(map(len, lines)) <= min(columns, lr_find_display.WIDEST)
    assert max(map(len, lines)) > min(columns, lr_find_display.WIDEST) - 12
    text = "\n".join(lines)
    assert f"{test.suggestion:.2g} suggestion" in text and f"{test.planned:.2g} recipe" in text
    assert text.count("\u25b2") == 2 and f"{test.smoothed.min():.2f}" in text


def dots(lines: list[str]) -> Any:
    """The dots of lines of braille, bool (4 height, 2 width)."""
    bits = [[0, 3], [1, 4], [2, 5], [6, 7]]
    codes = np.array([[ord(ch) - 0x2800 if ch != " " else 0 for ch in line] for line in lines])
    spread = [[codes >> bit & 1 for bit in row] for row in bits]
    return np.array(spread).transpose(2, 0, 3, 1).reshape(4 * len(lines), -1) > 0


def test_a_curve_passes_its_points_without_gaps() -> None:
    x = np.linspace(0, 1, 500)
    ink = dots(braille_lines(x, x**2, 20, 5))
    assert ink.shape == (20, 40) and ink.any(axis=0).all()
    for column in range(40):
        (rows,) = np.nonzero(ink[:, column])
        assert np.all(np.diff(rows) == 1)
        assert rows.min() == round((1 - (column / 39) ** 2) * 19) or len(rows) > 1
    assert ink[19, 0] and ink[0, 39]


def test_two_points_are_joined_and_what_is_not_finite_is_left_out() -> None:
    line = dots(braille_lines([0, 1, 2, 3], [0, np.nan, np.inf, 3], 8, 4))
    assert line[15, 0] and line[0, 15] and line.any(axis=0).all()
    assert braille_lines([1.0], [np.nan], 3, 2) == braille_lines([], [], 3, 2) == ["   ", "   "]
    assert dots(braille_lines([5.0], [2.0], 3, 2)).sum() == 1


def test_a_mark_stands_below_its_place_on_the_curve() -> None:
    x = np.linspace(-4, 0, 100)
    ink = dots(braille_lines(x, np.abs(x + 2), 30, 10))
    middle = column_of(-2, -4, 0, 30)
    assert middle in (14, 15) and ink[-4:, 2 * middle - 1 : 2 * middle + 3].any()
    assert column_of(-4, -4, 0, 30) == 0 and column_of(0, -4, 0, 30) == 29
    assert column_of(0.1, -4, 0, 30) is None


def test_messages_of_the_library_name_the_flags() -> None:
    assert main.with_flags("`range_steps`, `lowest`", "lr-find") == "--range-steps, --lowest"
