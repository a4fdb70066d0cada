"""What `charrnn train` shows on a terminal while it trains: its parts, and the whole, driven in a
real terminal.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.cli.live_bar import bar_line
from charrnn.cli.live_block import LiveBlock, Looks
from charrnn.cli.loss_curve import LABEL, curve
from charrnn.cli.terminal import cells
from charrnn.cli.train_view import View, picture
from tests.cli.pseudo_terminal import Terminal, terminal
from tests.cli.screen import Screen
from tests.reference.small import TEXT

PLAIN = Looks()
ASCII = Looks(has_dots=False)
FALLING = np.linspace(4, 1, 3000, dtype=np.float32)
VIEW = View(
    step=3000,
    total_steps=4000,
    seconds_left=360.0,
    training=FALLING,
    validation=[(1000, 3.1), (2000, 2.2), (3000, 1.25)],
    best_loss=1.25,
    sample="TAMSIN:\nWhy, the sea is a wall.\n" * 20,
    sample_step=3000,
)


@pytest.mark.parametrize("looks", [PLAIN, ASCII, Looks(has_color=True)])
@pytest.mark.parametrize("columns", [12, 20, 40, 80, 200])
@pytest.mark.parametrize("rows", [1, 3, 6, 10, 23, 60])
def test_a_picture_fits_its_terminal(columns: int, rows: int, looks: Looks) -> None:
    lines = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in picture(VIEW, columns, rows, looks)]
    assert len(lines) <= rows and max(map(cells, lines[:1])) < columns
    assert columns < 40 or max(map(cells, lines)) < columns
    assert lines[0].startswith(" 75 % ")
    if rows >= 10 and columns >= 40:
        text = " ".join(" ".join(lines).split())
        assert "6 min left" in lines[0] and "training loss 1.049" in text
        assert "validation loss 1.250" in text and "best 1.250" in text
    if rows >= 23 and columns >= 40:
        assert "What it writes after 3,000 steps:" in lines and "  TAMSIN:" in lines
        assert sum(bool(re.match(r" \d\.\d\d ", line)) for line in lines) == 2


def test_the_newest_sample_grows_and_nothing_else_moves() -> None:
    before = picture(replace(VIEW, sample_shown=0), 80, 30, PLAIN)
    for shown in range(0, 90, 7):
        lines = picture(replace(VIEW, sample_shown=shown), 80, 30, PLAIN)
        begin = lines.index("What it writes after 3,000 steps:") + 1
        assert lines[:begin] == before[:begin] and len(lines) == len(before)
        text = "\n".join(line.removeprefix("  ") for line in lines[begin:-1]).rstrip("\n")
        assert VIEW.sample is not None and text == VIEW.sample[:shown].rstrip()


def test_a_sample_is_neither_obeyed_nor_markup() -> None:
    sample = "[bold]a\x1b[2J\r\x07[/bold]\n\u202eb\tc"
    lines = picture(replace(VIEW, sample=sample), 80, 40, Looks(has_color=True))
    assert "  [bold]a\\x1b[2J\\x0d\\x07[/bold]" in lines and "  \\u202eb c" in lines


def highest_dots(lines: list[str], has_dots: bool) -> list[int]:
    """The row of the highest dot in each column that has one."""
    found: dict[int, int] = {}
    for row, line in enumerate(lines):
        for x, character in enumerate(line[LABEL:]):
            if has_dots and "\u2800" < character <= "\u28ff":
                for bit, (dx, dy) in enumerate(
                    [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
                ):
                    if (ord(character) - 0x2800) >> bit & 1:
                        place, y = 2 * x + dx, 4 * row + dy
                        found[place] = min(y, found.get(place, y))
            elif character in "'.:" and not has_dots:
                y = 2 * row + (character == ".")
                found[x] = min(y, found.get(x, y))
    return [found[x] for x in sorted(found)]


@pytest.mark.parametrize("looks", [PLAIN, ASCII])
@pytest.mark.parametrize("steps", [2, 7, 50, 3000])
def test_the_curve_is_where_the_losses_are(looks: Looks, steps: int) -> None:
    falling = np.linspace(4, 1, steps, dtype=np.float32)
    lines = curve(falling, (), 46, 8, looks)
    heights = highest_dots(lines, looks.has_dots)
    assert len(lines) == 8 and len(heights) == (80 if looks.has_dots else 40)
    assert heights == sorted(heights)
    assert heights[0] <= 1 and heights[-1] >= 8 * (4 if looks.has_dots else 2) - 3
    assert curve(falling[::-1].copy(), (), 46, 8, looks) != lines


def test_validations_are_points_at_their_steps() -> None:
    lines = curve(np.full(100, 2.0, np.float32), [(1, 3.0), (50, 2.5), (100, 2.0)], 46, 9, PLAIN)
    places = [
        (r, c - LABEL) for r, line in enumerate(lines) for c, x in enumerate(line) if x == "•"
    ]
    assert places == [(0, 0), (4, 19), (8, 39)]
    assert lines[0].startswith(" 3.00 ") and lines[8].startswith(" 2.00 ")


def test_a_curve_of_little_and_of_what_is_no_number() -> None:
    nan = np.full(10, np.nan, np.float32)
    assert curve(nan, (), 40, 8, PLAIN) == [] and curve(nan[:0], (), 40, 8, PLAIN) == []
    assert curve(FALLING, (), 9, 8, PLAIN) == [] and curve(FALLING, (), 40, 1, PLAIN) == []
    later = np.concatenate([nan, FALLING[:10], [np.inf]]).astype(np.float32)
    assert len(curve(later, [(5, np.nan)], 40, 8, PLAIN)) == 8
    assert len(curve(np.ones(50, np.float32), [(50, 1.0)], 40, 8, PLAIN)) == 8


def test_losses_that_are_none_are_left_out_and_large_ones_keep_to_their_columns() -> None:
    losses = FALLING.copy()
    losses[1000:1500] = 1e30
    for high in (99.999, 123.456, 9999.0):
        losses[:200] = high
        validation = [(1000, 1e30), (2000, high)]
        labels = [line[:LABEL] for line in curve(losses, validation, 80, 8, PLAIN)]
        assert labels[0][-1] == labels[-1][-1] == " "
        assert float(labels[0]) == pytest.approx(high, 0.01) and float(labels[-1]) < 1.1
    lines = picture(replace(VIEW, training=losses, validation=[(9, 1e30)]), 80, 30, PLAIN)
    assert "validation" not in "".join(lines)


@pytest.mark.parametrize("columns", [12, 20, 40, 80, 200])
def test_a_bar_has_the_length_of_its_share(columns: int) -> None:
    empty, half, full = (bar_line(share, [], columns, PLAIN) for share in (0.0, 0.5, 1.5))
    assert len(empty) == len(half) == len(full) < columns
    assert (empty.count("━"), full.count("─")) == (0, 0)
    assert abs(half.count("━") - half.count("─")) <= 1 and "100 %" in full
    beside = bar_line(0.5, [(0, "12 min left"), (1, "x" * 30)], columns, ASCII)
    assert len(beside) < columns and "━" not in beside
    assert ("12 min left" in beside) == (columns >= 40) and ("xx" in beside) == (columns >= 80)


def test_a_block_in_a_window_that_became_narrower_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The terminal has folded its lines into rows; the cursor is in the last."""
    monkeypatch.setenv("TERM", "xterm")
    screen: Any = Screen(monkeypatch, 80)  # type: ignore[no-untyped-call]
    block = LiveBlock(screen)
    block.say("before")
    block.draw(["x" * 50, "y" * 10])
    screen.write("\n")  # what folding 50 columns in a window of 30 does to the cursor
    screen.columns = 30
    block.say("after")
    block.close()
    assert screen.lines() == ["before", "after", ""]


@pytest.mark.skipif(not hasattr(signal, "SIGCONT"), reason="no job control on Windows")
def test_after_a_pause_the_block_is_below_what_the_shell_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    before = signal.getsignal(signal.SIGCONT)
    screen: Any = Screen(monkeypatch)  # type: ignore[no-untyped-call]
    block = LiveBlock(screen, foot="foot")
    block.draw(["a", "b"])
    screen.write("\n[1]+ Stopped\n")
    os.kill(os.getpid(), signal.SIGCONT)
    block.draw(["c"])
    assert screen.lines() == ["a", "b", "foot", "[1]+ Stopped", "c", "foot"]
    block.set_foot("other")
    assert screen.lines()[4:] == ["c", "other"]
    block.close()
    block.set_foot("late")
    assert screen.lines()[3:] == ["[1]+ Stopped", ""]
    assert signal.getsignal(signal.SIGCONT) == before


WAIT = ["--steps", "100000000", "--eval-every", "40", "--out", "run"]
TINY = ["--hidden", "8", "--layers", "1", "--batch-size", "4", "--seq-length", "16"]
BAR = "━─"


@contextmanager
def training(folder: Path, columns: int = 80, *more: str, **environment: str) -> Iterator[Terminal]:
    """`charrnn train`, until its picture is there."""
    (folder / "song.txt").write_text(TEXT * 2)
    arguments = ["train", "song.txt", *TINY, "--threads", "1", *WAIT, *more]
    with terminal(arguments, folder, columns, **environment) as shown:
        shown.until(lambda: any("What it writes" in line for line in shown.lines))
        yield shown


def bars(shown: Terminal) -> list[str]:
    return [line for line in shown.lines if re.match(r" *\d+ % [━─]+", line)]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_terminal_while_it_trains_resized_and_after_ctrl_c(
    tmp_path: Path, columns: int
) -> None:
    with training(tmp_path, columns) as shown:
        shown.until(lambda: any("best " in line for line in shown.lines))
        for width, rows in ((30, 12), (120, 40)):
            shown.resize(width, rows)
            drawn = len(shown.raw)
            shown.until(lambda drawn=drawn: "\x1b[?7h" in shown.raw[drawn:])  # type: ignore[misc]
            drawn = len(shown.raw)
            shown.until(lambda drawn=drawn: "\x1b[?7h" in shown.raw[drawn:])  # type: ignore[misc]
            assert len(bars(shown)) == 1, "\n".join(shown.lines)
            assert sum("Ctrl-C saves" in line for line in shown.lines) == 1
        shown.process.sendintr()
        assert shown.end() == 130
        text = " ".join(" ".join(shown.lines).split())
        assert "stopped at step" in text and "charrnn train --resume run" in text
        assert "charrnn sample run" in text and not any(sign in text for sign in BAR)
        shown_until, _, _ = text.partition("stopped at step")
        assert "training loss" in shown_until and "What it writes after" in shown_until
        assert any("⠀" < sign <= "⣿" for sign in shown_until)
        for jargon in ("epoch", "bits/", "grad", "chars/s"):
            assert jargon not in text


def test_what_a_signal_says_at_once(tmp_path: Path) -> None:
    with training(tmp_path) as shown:
        shown.process.kill(signal.SIGTERM)
        assert shown.end() == 143
        assert "stopping after this step ..." in shown.raw
        assert not any("stopping" in line for line in shown.lines)
        assert any("resume with: " in line for line in shown.lines) and not bars(shown)
        assert not any("training loss" in line or "writes" in line for line in shown.lines)


def test_an_error_leaves_its_line_and_no_picture(tmp_path: Path) -> None:
    with training(tmp_path) as shown:
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        (tmp_path / "run").write_text("in the way")
        assert shown.end() == 1
        text = " ".join(" ".join(shown.lines).split())
        assert "error: " in text and not any(sign in text for sign in BAR)


def test_the_end_leaves_the_curve_ten_lines_and_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "song.txt").write_text(TEXT * 2)
    arguments = ["train", "song.txt", *TINY, "--steps", "300", "--eval-every", "50", "--out", "run"]
    arguments += ["--optimizer", "adamw"]
    with terminal(arguments, tmp_path, 60, NO_COLOR="1") as shown:
        assert shown.end() == 0
        lines = [line for line in shown.lines if line]
        begin = lines.index("What it writes after 300 steps:")
        assert all(line.startswith("  ") for line in lines[begin + 1 : begin + 11])
        assert lines[begin + 11] == "ended at step 300, the last"
        assert lines[-1] == "sample from it: charrnn sample run"
        assert lines[-2] == "see how it learned: charrnn report run"
        assert any("charrnn train --resume run --for 20m" in line for line in lines)
        assert not any(sign in "".join(lines) for sign in BAR)
        assert any("⠀" < sign <= "⣿" for sign in "".join(lines[:begin]))
        assert not re.search("\x1b\\[[0-9;]*m", shown.raw)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_terminals_that_can_do_less(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "song.txt").write_text(TEXT * 2)
    environment = {"PYTHONCOERCECLOCALE": "0", **environment}
    arguments = ["train", "song.txt", *TINY, "--steps", "200", "--eval-every", "50", "--out", "run"]
    with terminal(arguments, tmp_path, 80, **environment) as shown:
        assert shown.end() == 0
    assert shown.raw.isascii()
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in shown.raw and shown.raw.count("best so far") >= 2
