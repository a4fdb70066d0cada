import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from charrnn.cli import kernel_loading, terminal
from charrnn.cli.live_block import LiveBlock
from tests.cli.screen import Screen

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x07\x7f\x9b", "a\\x07\\x7f\\x9b"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\r\n", "\\x0d\n"),
        ("\udcff\udc80 \ud800", "\\xff\\x80 \\ud800"),
        ("é 漢 🎭", "é 漢 🎭"),
    ],
)
def test_what_could_harm_a_terminal_is_escaped(monkeypatch, text, shown):
    assert terminal.escaped(text) == shown
    assert terminal.escaped(text, Screen(monkeypatch)) == shown
    assert terminal.escaped(text, io.StringIO()) == text  # a pipe gets the text itself


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError])
def test_keys_are_not_shown_for_a_while(monkeypatch, end):
    termios = pytest.importorskip("termios")
    ours, theirs = os.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(theirs)
        with pytest.raises(end), terminal.without_echo():
            assert before[3] - termios.tcgetattr(theirs)[3] == termios.ECHO
            raise end
        assert termios.tcgetattr(theirs) == before


def test_an_error_is_one_line(capsys):
    terminal.print_error("a\nb\x1b[31m [bold]c")
    assert capsys.readouterr() == ("", "error: a\\nb\\x1b[31m [bold]c\n")


def test_styles_only_on_terminals_and_not_with_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(monkeypatch)
    assert terminal.dim("x", screen) == "\x1b[2mx\x1b[0m"
    assert terminal.dim("x", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.dim("x", screen) == "x"


def test_tables_keep_to_no_color(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Screen(monkeypatch, name="stdout")
    terminal.console().print("x", style="red")
    assert "\x1b[31m" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (45, "45 s"),
        (89, "89 s"),
        (720, "12 min"),
        (12000, "3 h 20 min"),
        (4 * 86400, "4 days"),
    ],
)
def test_durations(seconds, text):
    assert terminal.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(512, "512 bytes"), (1_500_000, "1.5 MB"), (2.34e11, "234 GB")]
)
def test_sizes(size, text):
    assert terminal.size_text(size) == text


def test_a_loss_has_both_units():
    assert terminal.loss_text(1.0) == "1.0000 nats, 1.4427 bits per character"


def test_progress_appears_late_and_only_on_a_terminal(monkeypatch):
    screen, pipe = Screen(monkeypatch), io.StringIO()
    for stream in (screen, pipe):
        monkeypatch.setattr("sys.stderr", stream)
        with terminal.progress_bar("reading") as bar:
            bar(10, 100)
            assert stream.getvalue() == ""
            monkeypatch.setattr(terminal, "READING_SHOWN_AFTER", -1.0)
            bar(50, 100)
        monkeypatch.setattr(terminal, "READING_SHOWN_AFTER", 1.0)
    assert "reading" in screen.getvalue() and "50%" in screen.getvalue()
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(
    ("missing", "beside", "text"),
    [(30, None, "about 20 s"), (30, "a process", "about 10 s"), (3, None, "a few seconds")],
)
def test_compiling_is_told_once_where_nobody_watches(capsys, missing, beside, text):
    shown = kernel_loading._Compiling(40, missing, quiet=False, beside=beside)
    shown.tick("a", True)
    assert capsys.readouterr().err == ""
    shown.tick("b", False)
    shown.tick("c", True)
    shown.tick("d", False)
    assert capsys.readouterr().err == f"compiling kernels for this machine (once, {text})\n"


def test_quiet_compiling_says_nothing(capsys):
    kernel_loading._Compiling(3, 3, quiet=True).tick("a", False)
    assert capsys.readouterr().err == ""


class Beside:
    """A companion that has compiled so many kernels which are still to come."""

    def __init__(self, ahead):
        self.ahead = lambda: ahead


@pytest.mark.parametrize(
    ("beside", "shown_as"), [(None, "2/9"), (Beside(3), "5/9"), (Beside(30), "9/9")]
)
def test_compiling_shows_a_bar_on_a_terminal(monkeypatch, beside, shown_as):
    screen = Screen(monkeypatch)
    shown = kernel_loading._Compiling(9, 8, quiet=False, beside=beside)
    shown.tick("a", True)
    assert screen.getvalue() == ""
    for name in "bc":
        shown.tick(name, False)
    shown.close()
    assert "Compiling for this machine (once)" in screen.getvalue()
    assert shown_as in screen.getvalue()


@pytest.mark.parametrize(
    ("passes", "text"),
    [(0.0004, "less than a tenth of a pass"), (0.06, "0.1 passes"), (1234.5, "1,234.5 passes")],
)
def test_passes(passes, text):
    assert terminal.passes_text(passes) == f"{text} over the text"


PLAN = "plan: 2 layers of 1,024 units, 40.0 passes over the text, about 2 h 00 min; more would"


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_lines_wrap_at_words_in_a_terminal(monkeypatch, columns):
    screen = Screen(monkeypatch, columns)
    terminal.say(f"{PLAN}\n  two more")
    *lines, last = screen.getvalue().split("\n")
    assert screen.widest() <= columns and last == ""
    assert " ".join(lines) == f"{PLAN}   two more"
    assert (len(lines) == 2) == (columns == 200)


def test_words_stay_whole_and_wide_characters_count_twice():
    assert terminal.wrapped("see /a/very-long/path now", 10) == "see\n/a/very-long/path\nnow"
    assert terminal.wrapped("use --learning-rate 1", 15) == "use\n--learning-rate\n1"
    told = "resume with: charrnn train --resume a"
    assert terminal.wrapped(told, 20) == "resume with:\ncharrnn train --resume a"
    assert terminal.wrapped(told, 40) == told
    assert terminal.wrapped("漢字 漢字 漢字", 9) == "漢字 漢字\n漢字"
    assert terminal.wrapped("e\u0301e\u0301 e\u0301", 4) == "e\u0301e\u0301 e\u0301"


def test_a_line_folds_at_the_width_that_it_has():
    chat = "[28.11.26, 07:59] Ann: I will bring the cake 🎂"
    assert terminal.folded(chat, 50) == [chat]
    assert terminal.folded(chat, 46) == [chat[:-2], "🎂"]
    assert terminal.folded("漢字漢字漢", 4) == ["漢字", "漢字", "漢"]
    assert terminal.folded("漢字漢字漢", 5) == ["漢字", "漢字", "漢"]
    assert terminal.folded("", 4) == [""]
    assert terminal.folded("e\u0301e\u0301e\u0301", 2) == ["e\u0301e\u0301", "e\u0301"]


def test_nothing_is_wrapped_in_a_pipe(monkeypatch, capsys):
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((20, 24)))
    monkeypatch.setenv("COLUMNS", "20")
    terminal.say(PLAN)
    terminal.show(PLAN)
    terminal.console().print(PLAN)
    LiveBlock(sys.stderr).say(PLAN)
    assert capsys.readouterr() == (f"{PLAN}\n{PLAN}\n", f"{PLAN}\n{PLAN}\n")


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_the_bar_leaves_two_columns_free(monkeypatch, columns):
    screen = Screen(monkeypatch, columns)
    for label, total in (("windows of 256", 10), ("reading", 10**9), ("reading", None)):
        monkeypatch.setattr(terminal, "READING_SHOWN_AFTER", -1.0)
        with terminal.progress_bar(label) as show:
            show(5, total)
    assert screen.widest() <= columns - 2
    assert screen.lines() == [""]


def test_a_bar_in_a_window_that_became_narrower_is_replaced(monkeypatch):
    """The terminal has folded its line into rows; the cursor is in the last."""
    screen = Screen(monkeypatch, 80)
    monkeypatch.setattr(terminal, "READING_SHOWN_AFTER", -1.0)
    with terminal.progress_bar("reading") as show:
        show(5, 10)
        screen.write("\n" * 2)  # what folding 78 columns in a window of 30 does to the cursor
        start, screen.columns = len(screen.getvalue()), 30
    assert screen.lines() == [""]
    assert max(map(len, screen.getvalue()[start:].replace("\n", "\r").split("\r"))) <= 31


WATCHED = """
import sys
from charrnn.compiler import compiling
from charrnn.cli.main import main
names = []
def hear(name, cached):
    assert len(compiling.listeners) == 2, f"{name} is compiled while nothing is shown"
    names.append(name)
compiling.listeners.append(hear)
needed = sys.argv.pop().split()
cells = [name for name in needed if name != "writing"]
modules = compiling.kernel_modules(*cells, training="writing" not in needed)
expected = sum(len(compiling.kernels_in(module)) for module in modules)
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
assert len(names) == expected, (len(names), expected, names)
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Runs a command in a folder with a run; fails unless exactly the kernels for these names are
    loaded, and where it shows.
    """
    folder = tmp_path_factory.mktemp("watched")
    (folder / "t.txt").write_text("in the beginning there was a word " * 20)

    def charrnn(names, command):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        options = {
            "cwd": folder,
            "env": environment,
            "stdin": subprocess.DEVNULL,
            "capture_output": True,
            "text": True,
        }
        done = subprocess.run([sys.executable, "-c", WATCHED, *command.split(), names], **options)
        assert done.returncode == 0, done.stderr

    shape = "--hidden 4 --batch-size 2 --seq-length 8"
    charrnn(
        "clockwork sgd attention blending",
        f"train t.txt --out a --cell clockwork --optimizer sgd --steps 2 {shape} --quiet",
    )
    return charrnn


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (
            "train t.txt --init-from a --out b --steps 2 --optimizer rmsprop --quiet",
            "clockwork rmsprop",
        ),
        ("train --resume a --steps 3 --quiet", "clockwork sgd"),
        (
            "compare t.txt --out c --cells gru,rnn --seeds 1 --hidden 4 --steps 2 --quiet",
            "gru rnn adam soap attention",
        ),
        ("sample a", "clockwork writing"),
        ("eval a", "clockwork"),
        ("info a", "clockwork writing"),
    ],
    ids=["init-from", "resume", "compare", "sample", "eval", "info"],
)
def test_no_kernel_is_compiled_unseen(watched, command, names):
    """Not even where the cell is known from a checkpoint only."""
    watched(names, command)


def test_only_one_function_of_the_command_line_writes_json() -> None:
    """The one that never writes NaN."""
    files = Path(terminal.__file__).parent.glob("*.py")
    writers = [path.name for path in files if "json.dumps" in path.read_text(encoding="utf-8")]
    assert writers == ["terminal.py"]
