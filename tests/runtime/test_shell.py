"""Names of files in commands that people copy."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from charrnn.runtime.shell import argument, quoted


@pytest.mark.parametrize(
    ("path", "word"),
    [("a b.txt", "a b.txt"), ("-a.txt", "./-a.txt"), ("-", "-"), (Path("--x") / "y", "./--x/y")],
)
def test_a_path_is_one_word_and_no_flag(path: str | Path, word: str) -> None:
    assert argument(path) == word and shlex.split(f"charrnn train {quoted(path)}")[2:] == [word]
