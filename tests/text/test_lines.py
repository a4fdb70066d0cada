"""Texts read line by line."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from charrnn.config import CorpusConfig
from charrnn.errors import CorpusError
from charrnn.text.lines import lines_of


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"\n", [""]),
        (b"a\n\nb\r\nc\rd", ["a", "", "b", "c", "d"]),
        ("é\u2028ü\x0bx\x85y\n".encode(), ["é\u2028ü\x0bx\x85y"]),
        (b"\xef\xbb\xbfa\n" + b"x" * 200_000 + b"\nb\n", ["a", "x" * 200_000, "b"]),
        (b"ab\n" * 50_000, ["ab"] * 50_000),
    ],
)
def test_lines(tmp_path: Path, data: bytes, lines: list[str]) -> None:
    """Only a newline ends a line, and no line is lost where a file is read in pieces."""
    (tmp_path / "a.txt").write_bytes(data)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(data))
    assert list(lines_of(tmp_path / "a.txt", CorpusConfig())) == lines
    assert list(lines_of(tmp_path / "a.txt.gz", CorpusConfig())) == lines
    assert list(lines_of("-", CorpusConfig(), io.BytesIO(data))) == lines


def test_lines_of_files_of_bytes_and_in_other_encodings(tmp_path: Path) -> None:
    a, b = tmp_path / "a.txt", tmp_path / "b.txt"
    a.write_bytes(b"one\xff\r\ntwo")
    b.write_bytes(b"three\n")
    as_bytes = CorpusConfig(unit="byte")
    assert list(lines_of([a, b], as_bytes)) == [b"one\xff\r", b"two", b"three"]
    assert list(lines_of([b, a], CorpusConfig(encoding="latin-1"))) == ["three", "one\xff", "two"]
    with pytest.raises(CorpusError, match=r"a\.txt"):
        list(lines_of([b, a], CorpusConfig()))
