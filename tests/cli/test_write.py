"""`charrnn write` in a real terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import charrnn
from charrnn.checkpoint.trained import Trained, load, save
from charrnn.cli.write import _earlier
from charrnn.config import CorpusConfig, SamplingConfig
from charrnn.generation.cowriter import Cowriter
from charrnn.generation.manuscript import Manuscript
from charrnn.network.model import Model
from charrnn.text.vocab import Vocab
from tests.reference.small import plain_model

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals of POSIX")
if os.name == "posix":
    from tests.cli.pseudo_terminal import SECONDS, terminal

TAB, LINE, NEXT, PREVIOUS, RETAKE, UNDO, QUIT, WORDS = "\t\x0c\x0e\x10\x12\x1a\x11\x0f"
LEFT, UP = "\x1b[D", "\x1b[A"
WRITE = ["write", "a.txt", "--run", "net.safetensors", "--seed", "6"]
CONFIG = SamplingConfig(seed=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of made-up weights."""
    folder = tmp_path_factory.mktemp("write")
    symbols = "\n abcde"
    model = Model.initialized(plain_model(vocab_size=len(symbols), layers=2, hidden=12), 5)
    model.parameters["decoder.weight"][:] *= 3
    model.parameters["decoder.bias"][:2] = -2.0, 1.5
    save(folder / "net.safetensors", Trained(model, Vocab(tuple(symbols)), CorpusConfig()))
    return folder


@pytest.fixture
def place(folder: Path) -> Path:
    """The folder, without a text."""
    for path in folder.glob("a*"):
        path.unlink()
    return folder


def session_at(place: Path, text: str) -> Cowriter:
    """The session that stands at the end of this text, its continuation computed."""
    session = Cowriter(load(place / "net.safetensors"), Manuscript(text), CONFIG)
    session.compute()
    return session


def spans(place: Path) -> Any:
    about = json.loads((place / "a.txt.charrnn.json").read_text(encoding="utf-8"))
    return about["texts"][0]["network"]


def program(*arguments: str, place: Path, **environment: str) -> tuple[int, str]:
    """The status and the errors of a process without a terminal."""
    own = {**os.environ, "PYTHONPATH": str(Path(charrnn.__file__).parents[1]), **environment}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=place,
        env=own,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
    )
    return done.returncode, done.stderr


def test_a_session(place: Path) -> None:
    session = session_at(place, "ab ")
    with terminal(WRITE, place) as screen:
        screen.type("ab ")
        screen.until_text("ab " + session.ghost)
        screen.until(lambda: screen.cursor == (0, 3))  # which may arrive after the text
        assert screen.styles(0, "brightblack") == session.ghost.rstrip("\n")
        screen.type(TAB)
        word = session.take("word")
        screen.until(lambda: screen.cursor == (0, 3 + len(word)))
        assert screen.styles(0, "green") == word
        assert screen.styles(0, "brightblack") == session.ghost.rstrip("\n")
        screen.type(NEXT)
        session.another()
        session.compute()
        screen.until_text(session.manuscript.text + session.ghost)
        screen.until(lambda: "take 2" in screen.lines[-2])
        screen.type(PREVIOUS)
        session.another(-1)
        screen.until_text(session.manuscript.text + session.ghost)
        screen.type(LINE)
        session.take("line")
        session.compute()
        screen.until_text(session.manuscript.text + session.ghost)
        assert screen.cursor == (1, 0)
        screen.type(UNDO)
        session.undo()
        screen.until_text(session.manuscript.text + session.ghost)
        # an edit in the middle: the continuation stands there, before the rest
        screen.type(LEFT * len(session.manuscript.text) + "be\x7f")
        session.cursor = 0
        session.insert("b")
        session.compute()
        text, at = session.manuscript.text, session.cursor
        screen.until_text(text[:at] + session.ghost + text[at:])
        assert screen.cursor == (0, 1)
        screen.type(QUIT)
        assert screen.end() == 0
        assert f"a.txt: {len(text)} characters" in "\n".join(screen.lines)
    assert (place / "a.txt").read_text(encoding="utf-8") == text
    assert spans(place) == [[4, 4 + len(word)]]
    with terminal(WRITE, place) as screen:  # and once more
        screen.until(lambda: screen.styles(0, "green") == word)
        screen.type(QUIT)
        assert screen.end() == 0


def test_words_asked_for_before_they_are_known(place: Path) -> None:
    """Keys pressed while the network is loaded or computes are neither lost nor late, and shown
    only on the screen.
    """
    session = session_at(place, "ab ")
    assert session.take("word") + session.take("word") == "ea de"
    with terminal(WRITE, place) as screen:
        screen.until(lambda: "loading" in screen.raw)
        screen.type("ab " + TAB + TAB)
        screen.until(lambda: screen.text.startswith(session.manuscript.text))
        screen.until(lambda: screen.cursor == (0, len(session.manuscript.text)))
        screen.type(RETAKE)
        screen.until(lambda: "take 2" in screen.lines[-2])
        screen.type("\x03")
        assert "ab" not in screen.raw[: screen.raw.index("\x1b[?1049h")]
        assert screen.end() == 130
    assert (place / "a.txt").read_text(encoding="utf-8").startswith("ab ")


def test_a_word_asked_for_is_not_put_where_the_cursor_is_later(place: Path) -> None:
    session = session_at(place, "ab ")
    session.cursor = 2
    session.compute()
    with terminal(WRITE, place) as screen:
        screen.until(lambda: "loading" in screen.raw)
        screen.type("ab " + TAB + LEFT)
        screen.until_text("ab" + session.ghost + " ")
        screen.type(QUIT)
        assert screen.end() == 0
    assert (place / "a.txt").read_text(encoding="utf-8") == "ab "


def test_another_take_before_the_first_is_known(place: Path) -> None:
    """What stands before it is not taken back."""
    session = session_at(place, "ab ")
    word = session.take("word")
    session.another(2)
    session.compute()
    session.take("line")
    with terminal(WRITE, place) as screen:
        screen.start()
        screen.type("ab " + TAB)
        screen.until(lambda: screen.cursor == (0, len("ab " + word)))
        screen.type(LINE + RETAKE + RETAKE)
        path, text = place / "a.txt", session.manuscript.text
        screen.until(lambda: path.exists() and path.read_text(encoding="utf-8") == text)
        screen.type(QUIT)
        assert screen.end() == 0


@pytest.mark.parametrize("settings", ["x", [1], {"temperature": "x"}, {"top_k": [2]}, None])
def test_settings_of_another_session_that_are_none(settings: Any) -> None:
    assert _earlier({"settings": settings, "seed": 3}) == ({} if settings else {"seed": 3})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_text_survives(place: Path, number: signal.Signals) -> None:
    with terminal(WRITE, place) as screen:
        screen.start()
        screen.type("ab cd")
        screen.until(lambda: screen.text.startswith("ab cd"))
        if number == signal.SIGKILL:
            time.sleep(1)
        screen.process.kill(number)
        expected = -number if number == signal.SIGKILL else 128 + number
        assert screen.end() == expected
    assert (place / "a.txt").read_text(encoding="utf-8") == "ab cd"


def test_a_closed_terminal(place: Path) -> None:
    with terminal(WRITE, place) as screen:
        screen.start()
        screen.type("ab cd")
        screen.until(lambda: screen.text.startswith("ab cd"))
        assert screen.hang_up() == 129
    assert (place / "a.txt").read_text(encoding="utf-8") == "ab cd"


def test_a_text_that_cannot_be_saved(place: Path) -> None:
    (place / "gone").mkdir()
    (place / "temporary").mkdir()
    command = ["write", "gone/a.txt", *WRITE[2:]]
    with terminal(command, place, TMPDIR=str(place / "temporary")) as screen:
        screen.start()
        (place / "gone").rmdir()
        screen.type("ab cd")
        screen.until(lambda: "NOT SAVED: No such file" in screen.lines[-2])
        screen.type(QUIT)
        assert screen.end() == 1
        assert "instead" in " ".join(screen.lines)
        shown = "".join(screen.lines)
    (rescued,) = (place / "temporary").glob("charrnn-*/a.txt")
    assert rescued.read_text(encoding="utf-8") == "ab cd"
    assert f"{rescued}:" in shown and "gone/a.txt:" not in shown


def test_without_colors_and_narrow(place: Path) -> None:
    (place / "a.txt").write_text("ab \x1b[31m 日本語 e\u0301\tb\u202e", encoding="utf-8")
    with terminal(WRITE, place, columns=40, NO_COLOR="1") as screen:
        screen.start()
        assert max(map(len, screen.lines)) <= 40
        assert screen.lines[-1].endswith("quit")
        assert screen.text.startswith("ab \\x1b[31m 日本語 é    b")
        assert "\\u202e" in "".join(screen.lines[:3])
        assert screen.cursor == (0, 31)  # after wide characters, combining marks and escapes
        screen.type("ab ")
        screen.until(lambda: any(screen.styles(row, "italics") for row in range(3)))
        screen.type(TAB)
        screen.until(lambda: any(screen.styles(row, "underscore") for row in range(3)))
        screen.type(QUIT)
        assert screen.end() == 0


def test_known_words_and_what_a_session_leaves_to_the_next(place: Path) -> None:
    (place / "words.txt").write_text("ab dad bee", encoding="utf-8")
    options = ["--known-words", "words.txt", "--temperature", "1.1"]
    with terminal([*WRITE, *options], place) as screen:
        screen.type("ab ")
        screen.until(lambda: len(screen.styles(0, "brightblack")) > 2)
        screen.until(lambda: "known words" in screen.lines[-2])
        screen.type(LINE + LINE)
        screen.until(lambda: len(screen.text.split()) > 6)
        screen.type(WORDS)
        screen.until(lambda: "any words" in screen.lines[-2])
        screen.type(QUIT)
        assert screen.end() == 0
    text = (place / "a.txt").read_text(encoding="utf-8")
    assert {word.lower() for word in text.split()} <= {"ab", "dad", "bee"}
    with terminal(["write", "a.txt"], place) as screen:  # the same run, seed and temperature
        screen.start()
        screen.until(lambda: "temp 1.1" in screen.lines[-2])
        screen.type("\x13" + QUIT)
        assert screen.end() == 0
    about = json.loads((place / "a.txt.charrnn.json").read_text(encoding="utf-8"))
    assert (about["run"], about["seed"]) == (str(place / "net.safetensors"), 6)


def test_without_a_terminal(place: Path) -> None:
    status, errors = program("-m", "charrnn", *WRITE, place=place)
    assert status == 2
    assert errors.startswith("error: charrnn write needs a terminal")
    assert errors.count("\n") == 1
    assert not (place / "a.txt").exists()


@pytest.mark.parametrize(
    ("environment", "status", "message"),
    [({"TERM": "dumb"}, 2, "TERM=dumb"), ({"PYTHONPATH": "blocked"}, 1, "charrnn-numba[write]")],
)
def test_what_it_needs(place: Path, environment: dict[str, str], status: int, message: str) -> None:
    """A terminal that can show it, and prompt_toolkit."""
    if "PYTHONPATH" in environment:
        (place / "blocked").mkdir(exist_ok=True)
        hide = "import sys; sys.modules['prompt_toolkit'] = None"
        (place / "blocked" / "sitecustomize.py").write_text(hide, encoding="utf-8")
        source = str(Path(charrnn.__file__).parents[1])
        environment = {"PYTHONPATH": os.pathsep.join([str(place / "blocked"), source])}
    with terminal(WRITE, place, **environment) as screen:
        assert screen.end() == status
        shown = " ".join(" ".join(screen.lines).split())
        assert shown.startswith("error: ")
        assert message in shown


def test_a_text_that_is_not_utf8(place: Path) -> None:
    (place / "a.txt").write_bytes(b"ab\xff")
    with terminal(WRITE, place) as screen:
        assert screen.end() == 1
        assert "not UTF-8" in " ".join(screen.lines)
    assert (place / "a.txt").read_bytes() == b"ab\xff"
