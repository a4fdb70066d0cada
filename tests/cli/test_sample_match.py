"""`charrnn sample` with --match, --must, --known-words and --particles."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli import terminal
from charrnn.cli.main import cli

TEXT = "The king is here. The queen's men are well-known, and gone!\nNo man is the king.\n" * 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small run, whose text is beside it."""
    folder = tmp_path_factory.mktemp("match")
    (folder / "tiny.txt").write_text(TEXT)
    corpus = charrnn.Corpus.read(folder / "tiny.txt")
    model = charrnn.ModelConfig(hidden=16, layers=1)
    run = charrnn.Run.new(corpus, model, charrnn.TrainConfig(batch_size=4, seq_length=16, steps=20))
    for _ in charrnn.train(run, corpus, threads=1):
        pass
    (folder / "checkpoints" / "tiny").mkdir(parents=True)
    charrnn.save_run(folder / "checkpoints" / "tiny" / "last.safetensors", run)
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


def sample(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["sample", *arguments])
    assert result.exit_code == status, result.output
    return result


def error_of(*arguments: str, status: int) -> str:
    message = sample(*arguments, status=status).stderr
    assert message.count("\n") == 1 and len(message) < 400
    return message


def test_an_error_on_a_terminal_writes_no_empty_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: True)
    assert sample("--match", "[", status=2).stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--match", r"[A-Z]\w{2,5}( \w+){1,4}\."],
        ["--match", "[A-Z][^\n]+g", "--particles", "4"],
        ["--must", "king", "--must", "men", "--length", "60", "--prime", "The "],
        ["--known-words", "--length", "50", "--match", "(?s).*", "--prime", "The qu"],
        ["--known-words", "words.txt", "--length", "50"],
        ["--match", "[A-Z].*", "--count", "3", "--unique", "--known-words"],
    ],
    ids=" ".join,
)
def test_the_command_on_stderr_writes_the_text_again(arguments: list[str]) -> None:
    Path("words.txt").write_text("king\nqueen\nmen\nare\n")
    first = sample(*arguments)
    (again,) = re.findall("^again: charrnn sample (.*)$", first.stderr, re.MULTILINE)
    assert sample(*shlex.split(again)).stdout == first.stdout != ""


def test_texts_match_and_have_known_words_only() -> None:
    words = set(re.findall(r"[\w'-]+", TEXT))
    known = words | {word.capitalize() for word in words}
    arguments = [
        "--match",
        r"[A-Z].*\.",
        "--known-words",
        "--count",
        "5",
        "--json",
        "--length",
        "90",
    ]
    samples = json.loads(sample(*arguments, "--temperature", "2").stdout)["samples"]
    for text in (each["text"] for each in samples):
        assert re.fullmatch(r"[A-Z].*\.", text)
        assert set(re.findall(r"[\w'-]+", text)) <= known


def test_the_text_may_have_moved() -> None:
    expected = sample("--known-words", "--length", "40", "--seed", "1").stdout
    Path("tiny.txt").rename("moved.txt")
    assert "pass" in error_of("--known-words", "--length", "40", status=1)
    moved = sample("--known-words", "--text", "moved.txt", "--length", "40", "--seed", "1")
    assert moved.stdout == expected
    Path("moved.txt").rename("tiny.txt")


def test_what_takes_long_to_prepare_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charrnn.cli.terminal.READING_SHOWN_AFTER", 0.0)
    lines = sample("--match", "(a|e)*a(a|e){30}", status=2).stderr.splitlines()
    assert lines[0] == "working out what may be written ..." and "too large" in lines[-1]


def test_what_cannot_be_written_is_one_line() -> None:
    assert "--match '(' is not a regular" in error_of("--match", "(", status=2)
    assert "lacks 'ü'" in error_of("--match", "ü", status=2)
    assert "--length 5" in error_of("--match", "[a-z]{9}", "--length", "5", status=2)
    assert "--must 'été'" in error_of("--must", "été", status=2)
    assert "--must must be a string or several, none of them empty, not ''" in error_of(
        "--must", "", status=2
    )
    assert "--keep-stop needs --stop" in error_of("--keep-stop", status=2)
    assert "add --match, --must or" in error_of("--particles", "8", status=2)
    assert "no_file" in error_of("--known-words", "no_file", status=1)
    Path("dashes.txt").write_text("--- ...\n")
    assert "no word" in error_of("--known-words", "dashes.txt", status=1)
    message = error_of("--known-words", "checkpoints/tiny", status=1)
    assert "name the network first, as in charrnn sample NETWORK" in message
    assert "charrnn write --run NETWORK" in message


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_list_in_another_encoding_is_to_be_converted(encoding: str) -> None:
    Path("caf\u00e9s.txt").write_text("caf\u00e9\n", encoding=encoding)
    message = error_of("--not-in", "caf\u00e9s.txt", status=1)
    assert "caf\u00e9s.txt: not utf-8" in message
    assert message.endswith("; convert it to utf-8, e.g. with iconv\n")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero")
def test_a_list_without_an_end_is_an_error() -> None:
    message = error_of("--known-words", "/dev/zero", "--length", "9", status=1)
    assert "--known-words (/dev/zero): longer than 67.1 MB" in message
    assert "a device" in error_of("--not-in", "/dev/zero", "--length", "9", status=1)


def test_short_texts_that_must_contain_a_word_are_single_lines() -> None:
    result = sample("--must", "men", "--count", "20", "--max-length", "40", "--seed", "1")
    names = result.stdout.splitlines()
    assert len(names) == 20 and not any(r"\n" in name for name in names)
    assert all(re.search(r"\b[Mm]en\b", name) for name in names)
