"""The command that `charrnn sample` ends with makes the same text again, byte for byte."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import charrnn
from charrnn.cli.main import cli
from charrnn.cli.prime import escaped, unescaped
from tests.reference.small import plain_model

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = tuple("\n abcAB.'\"$\\%\u00e9\u200f")


def network(unit: str = "char") -> charrnn.Trained:
    """A network that draws characters at random, more of the first than of the last."""
    symbols = SYMBOLS if unit == "char" else tuple(map(chr, range(256)))
    model = charrnn.Model(plain_model(vocab_size=len(symbols), hidden=4, layers=1))
    model.parameters.flat[:] = 0
    model.parameters["decoder.bias"][: len(symbols)] = -np.arange(len(symbols)) / 9
    config = charrnn.CorpusConfig(unit=unit)  # type: ignore[arg-type]
    return charrnn.Trained(model, charrnn.Vocab(symbols, unit), config)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two networks, a text, a prime, and the command `charrnn` in bin/."""
    folder = tmp_path_factory.mktemp("again")
    charrnn.save(folder / "a b.safetensors", network())
    charrnn.save(folder / "-bytes.safetensors", network("byte"))
    (folder / "prime's.txt").write_text("ab\n'\"", encoding="utf-8")
    (folder / "known.txt").write_text("a\nb\naB\n")
    (folder / "bin").mkdir()
    program = folder / "bin" / "charrnn"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m charrnn.cli.main "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


def sample(*flags: str, stdin: str | None = None, status: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["sample", *flags], input=stdin)
    assert result.exit_code == status, result.output
    return result


def made_again(line: str) -> bytes:
    """What the command prints; a shell runs what is before the pipe, if there is one."""
    before, _, command = line.rpartition(" | ")
    data = subprocess.run(["sh", "-c", before], capture_output=True, check=True).stdout
    name, *words = shlex.split(command)
    assert name == "charrnn"
    result = CliRunner().invoke(cli, words, input=data)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes


def made_by_shell(line: str, folder: Path) -> bytes:
    """What a shell prints for the command."""
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    python = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python}
    done = subprocess.run(
        ["sh", "-c", line],
        env=environment,
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout


def lines_of(result: Result) -> list[str]:
    return [
        line.removeprefix("again: ")
        for line in result.stderr.splitlines()
        if line.startswith("again: ")
    ]


ODD = 'ab\'c "a" $b\\b %c\na\u00e9\u200f'


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
@pytest.mark.parametrize(
    ("flags", "prime"),
    [
        ((), None),
        (("--prime", ODD), None),
        (("--length", "30", "--no-prime"), ODD),
        (("--prime-file", "prime's.txt", "--lines", "3", "--temperature", "0.55"), None),
        (("--stop", "a\\n", "--stop", "\\\\", "--keep-stop", "--length", "400"), ""),
        (("--stop", "\u200f", "--stop", "\\u00e9\\x61", "--length", "400"), ""),
        (("--ensemble", "a b.safetensors:0.00005", "--length", "20"), ""),
        (("--must", "a\nb", "--must", "b\\na", "--length", "60"), ""),
        (("--take", "7", "--top-k", "5", "--until", "line", "--json", "--seed", "5"), ""),
        (("--count", "9", "--max-length", "3", "--unique", "--not-in", "known.txt"), "a"),
        (("--count", "12", "--until", "sentence", "--min-p", "0.1", "--after", "4"), ""),
    ],
)
def test_the_line_makes_the_same_bytes(flags: tuple[str, ...], prime: str | None) -> None:
    if prime is not None:
        flags = (*flags, "--prime", prime)
    first = sample("a b.safetensors", *flags)
    if "--json" in flags:
        line, bytes_ = json.loads(first.stdout)["again"], first.stdout_bytes
    else:
        (line,), bytes_ = lines_of(first), first.stdout_bytes
    assert "\n" not in line and "--seed" in line and "--length" in line
    assert made_again(line) == bytes_ != b""


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
def test_a_line_for_each_of_several_texts() -> None:
    """Of several takes and temperatures, each has a line of its own; with one seed."""
    flags = ("--temperature", "0.3", "--temperature", "1.2", "--count", "2", "--length", "20")
    several = sample("a b.safetensors", *flags, "--prime", "")
    lines = lines_of(several)
    assert len(lines) == 4 and len({line.split("--seed ")[1].split()[0] for line in lines}) == 1
    last = made_again(lines[3])
    assert several.stdout_bytes.rstrip(b"\n").endswith(b"\n" + last.rstrip(b"\n"))
    found = json.loads(sample("a b.safetensors", *flags, "--json", "--prime", "").stdout)
    each = [(text["temperature"], text["take"]) for text in found["samples"]]
    assert each == [(0.3, 1), (0.3, 2), (1.2, 1), (1.2, 2)]


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
def test_bytes_by_a_shell(folder: Path) -> None:
    flags = ("--prime", "\u00e9\x00\x1b", "--length", "50")
    first = sample("./-bytes.safetensors", *flags)
    (line,) = lines_of(first)
    assert line.isprintable() and made_by_shell(line, folder) == first.stdout_bytes


def test_a_long_prime_is_left_to_the_user() -> None:
    (line,) = lines_of(sample("a b.safetensors", "--prime", "ab " * 999, "--length", "3"))
    assert line.endswith("--prime-file - < the same prime") and len(line) < 500


@pytest.mark.parametrize("text", ["", "\\", "\\n", "\n\\", "\t\\t\\\\n\r", "a\\\nb"])
def test_escaping_is_undone_by_unescaping(text: str) -> None:
    assert unescaped(escaped(text)) == text and escaped(text).isprintable()


def test_what_ends_a_text_is_told() -> None:
    common = ("a b.safetensors", "--length", "3", "--prime", "", "--seed", "1")
    cut = sample(*common, "--until", "paragraph")
    assert "the text was cut at --length 3: no end of a paragraph before\n" in cut.stderr
    assert sample(*common).stderr.count("\n") == 1
    several = json.loads(
        sample("a b.safetensors", "--lines", "2", "--count", "3", "--json", "--prime", "").stdout
    )
    assert {text["ended"] for text in several["samples"]} == {"line"}
    assert all(text["text"].count("\n") >= 2 for text in several["samples"])


def test_without_length_and_until_a_text_ends_at_a_sentence() -> None:
    text = sample("a b.safetensors", "--prime", "", "--seed", "2").stdout
    assert 500 < len(text) < 1000 and text.rstrip("'\"").endswith((".", "b", "a", "A", "B", "c"))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--until", "document"), "no documents; train with --document-separator"),
        (("--until", "line", "--lines", "2"), "--until and --lines both"),
        (("--after", "9", "--length", "20"), "--after needs --until or --lines"),
        (("--min-length", "5", "--max-length", "4"), "--min-length 5 is larger than --max-length"),
        (("--unique", "--temperature", "1", "--temperature", "2"), "one --temperature"),
        (("--take", "0"), "--take must be at least 1"),
        (("--max-length", "4", "--no-prime"), "--no-prime is not for many short texts"),
        (("--new",), "no run file beside it: pass the text it was trained on with --text"),
        (("--not-in", "nothing.txt"), "nothing.txt"),
    ],
)
def test_what_a_user_gets_wrong(flags: tuple[str, ...], says: str) -> None:
    result = CliRunner().invoke(cli, ["sample", "a b.safetensors", *flags, "--prime", ""])
    assert result.exit_code in (1, 2) and says in result.stderr and not result.stdout
    assert result.stderr.count("\n") == 1


def test_short_texts_say_what_fell_and_give_up() -> None:
    flags = ("a b.safetensors", "--prime", "", "--seed", "1", "--max-length", "4")
    result = sample(*flags, "--count", "5", "--min-length", "2", "--not-in", "known.txt")
    texts = result.stdout.split("\n")[:-1]
    assert len(texts) == 5 and all(2 <= len(text) <= 4 for text in texts)
    assert not {"ab", "aB", "AB"} & {*texts}
    assert result.stderr.startswith("5 of ") and "too long" in result.stderr
    few = sample(*flags, "--unique", "--count", "900000", "--max-length", "1", status=1)
    assert "error: next to no text passes: " in few.stderr and few.stdout.count("\n") > 3
    found = json.loads(sample(*flags, "--count", "5", "--json").stdout)
    assert len(found["samples"]) == 5 and found["drawn"] == 5 + sum(found["fallen"].values())
