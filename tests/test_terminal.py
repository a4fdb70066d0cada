import io

import pytest

from charrnn import terminal


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x07\x7f\x9b", "a\\x07\\x7f\\x9b"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\r\n", "\\x0d\n"),
        ("\udcff", "\\udcff"),
        ("é 漢 🎭", "é 漢 🎭"),
    ],
)
def test_what_could_harm_a_terminal_is_escaped(text, shown):
    assert terminal.escaped(text) == shown
    assert terminal.escaped(text, Screen()) == shown
    assert terminal.escaped(text, io.StringIO()) == text  # a pipe gets the text itself


def test_an_error_is_one_line(capsys):
    terminal.tell_error("a\nb\x1b[31m [bold]c")
    assert capsys.readouterr() == ("", "error: a\\nb\\x1b[31m [bold]c\n")


def test_styles_only_on_terminals_and_not_with_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.dim("x", Screen()) == "\x1b[2mx\x1b[0m"
    assert terminal.dim("x", io.StringIO()) == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.dim("x", Screen()) == "x"


def test_tables_keep_to_no_color(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Screen()
    terminal.console(stream).print("x", style="red")
    assert "\x1b[31m" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (45, "45 s"), (89, "89 s"), (720, "12 min"), (12000, "3 h 20 min"), (4 * 86400, "4 days")],
)
def test_durations(seconds, text):
    assert terminal.duration_text(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(512, "512 bytes"), (1_500_000, "1.5 MB"), (2.34e11, "234 GB")])
def test_sizes(size, text):
    assert terminal.size_text(size) == text


def test_a_loss_has_both_units():
    assert terminal.loss_text(1.0) == "1.0000 nats, 1.4427 bits a character"


def test_progress_appears_late_and_only_on_a_terminal(monkeypatch):
    screen, pipe = Screen(), io.StringIO()
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


def test_compiling_is_told_once_where_nobody_watches(monkeypatch, capsys):
    shown = terminal._Compiling(3, quiet=False)
    shown.tick("a")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(terminal, "LOADING_SHOWN_AFTER", -1.0)
    shown.tick("b")
    shown.tick("c")
    assert capsys.readouterr().err == "compiling kernels for this machine (once, about 15 s)\n"


def test_compiling_shows_a_bar_on_a_terminal(monkeypatch):
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(terminal, "LOADING_SHOWN_AFTER", -1.0)
    shown = terminal._Compiling(3, quiet=False)
    for name in "abc":
        shown.tick(name)
    shown.close()
    assert "Compiling for this machine, once" in screen.getvalue()
    assert "2/3" in screen.getvalue()
