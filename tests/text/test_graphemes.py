"""Symbols as people see them."""

from __future__ import annotations

import numpy as np
import pytest
import regex

from charrnn.text.graphemes import graphemes, place_in

CASES = [
    ("plain\ntext", list("plain\ntext")),
    ("", []),
    ("e\u0301a\r\nb", ["e\u0301", "a", "\r\n", "b"]),
    ("\U0001f469\u200d\U0001f467!", ["\U0001f469\u200d\U0001f467", "!"]),
    ("a" + "\u0301" * 40, ["a" + "\u0301" * 15, "\u0301" * 16, "\u0301" * 9]),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_characters_that_belong_together_are_one(text: str, expected: list[str]) -> None:
    found = graphemes(text)
    assert [found[n] for n in range(len(found))] == expected
    assert found.bases == "".join(each[0].replace("\r", "\n") for each in expected)
    assert [text[first] for first in found.firsts] == [each[0] for each in expected]
    assert found.sums(np.ones(len(text))).tolist() == [len(each) for each in expected]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_bytes_are_characters_first(text: str, expected: list[str]) -> None:
    found = graphemes(text.encode().decode("latin-1"), "byte")
    assert [found[n] for n in range(len(found))] == expected
    sizes = [len(each.encode()) for each in expected]
    assert found.sums(np.ones(len(text.encode()))).tolist() == sizes
    assert found.firsts.tolist() == [sum(sizes[:n]) for n in range(len(sizes))]


def test_borders_are_those_of_unicode_in_any_text() -> None:
    """Only the surroundings of characters that join are looked at closely."""
    kinds = "ab \n\r\u0301\u200d\u0903\u0600\u1100\u1161\u11a8\uac00\uac01"
    kinds += "\U0001f469\U0001f1e6\u0915\u094d"
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 8, 40, 40, 40, 40):
        for _ in range(100):
            text = "".join(rng.choice(list(kinds), size=size))
            expected = [m.start() for m in regex.finditer(r"\X", text) if len(m[0]) < 16]
            found = graphemes(text).places
            assert set(expected) <= set(found.tolist())
            if all(len(m[0]) < 16 for m in regex.finditer(r"\X", text)):
                assert found.tolist() == [*expected, size]


def test_bytes_that_are_no_utf8() -> None:
    raw = b"a\xffb\xc3\xe2\x98\x83\xed\xa0\x80"
    found = graphemes(raw.decode("latin-1"), "byte")
    assert found.text.encode("utf-8", "surrogateescape") == raw
    assert found.text[:5] == "a\udcffb\udcc3\u2603"
    assert found.sums(np.ones(len(raw))).sum() == len(raw)
    unknown = graphemes("a\ufffd\xc3\xa9", "byte")
    assert unknown.text == "a\udcfdé" and unknown.firsts.tolist() == [0, 1, 2]


def test_places() -> None:
    assert place_in("ab\ncd\n", 4) == (2, 2)
    assert place_in("ab\ncd\n", 0) == (1, 1)
    assert place_in("\u00e9\u00e9x".encode().decode("latin-1"), 4, "byte") == (1, 3)
    assert place_in("\xc3\xa9\ufffdx", 3, "byte") == (1, 3)
    found = graphemes("e\u0301a")
    assert [found.symbol_at(place) for place in range(3)] == [0, 0, 2]
