"""The layout of `charrnn write`: rows that fit, of whole words, and where each character stands."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("prompt_toolkit")
from prompt_toolkit.formatted_text import fragment_list_to_text, fragment_list_width
from prompt_toolkit.utils import get_cwidth

from charrnn.cli.write_rows import TAB, rows_of

CHARACTERS = "aab  .\u65e5\u0e19e\u0301\t\x1b\u202e"


def shown(line: str, width: int, ghost: str = "", at: int = 0) -> list[str]:
    rows = rows_of(line, "y" * len(line), width, ghost, at).rows
    return [fragment_list_to_text(row.shown) for row in rows]


def test_words_stay_whole() -> None:
    assert shown("the quick brown fox", 11) == ["the quick ", "brown fox"]
    assert shown("the quickest", 6) == ["the ", "quick", "est"]
    assert shown("", 6) == [""]
    assert shown("日本語", 6) == ["日本", "語"]


def test_the_continuation_stands_at_the_cursor() -> None:
    assert shown("one three", 80, " two", 3) == ["one two three"]
    rows = rows_of("one three", "yyynnnnnn", 80, " two\nand", 3)
    assert rows.rows[0].shown == [("", "one"), ("class:ghost", " two")]
    assert rows.rows[1].shown == [("class:ghost", "and"), ("class:network", " three")]
    assert [rows.place(n)[:2] for n in (0, 3, 4, 9)] == [(0, 0), (0, 3), (1, 4), (1, 9)]
    rows = rows_of("one", "yyy", 80, "\n\ntwo\n", 3)
    assert (len(rows.rows), rows.place(3)) == (4, (0, 3, 3))


def test_control_characters_are_escaped() -> None:
    assert shown("a\x1b[31m\u202eb\tc", 80) == ["a\\x1b[31m\\u202eb" + " " * TAB + "c"]


def test_random_lines_fit_and_their_characters_are_found() -> None:
    rng = random.Random(3)
    for _ in range(300):
        line = "".join(rng.choices(CHARACTERS, k=rng.randint(0, 60)))
        ghost, at = rng.choice(["", "ab cd", "\nab\n"]), rng.randint(0, len(line))
        width = rng.randint(12, 30)
        rows = rows_of(line, "y" * len(line), width, ghost, at)
        assert all(fragment_list_width(row.shown) <= width for row in rows.rows)
        places = [rows.place(n) for n in range(len(line) + 1)]
        assert places == sorted(places)
        assert all(column < width for _, column, _ in places)
        for row, column, offset in places:
            before = fragment_list_to_text(rows.rows[row].shown)[:offset]
            assert get_cwidth(before) == column
        own = "".join(t for row in rows.rows for style, t in row.shown if style != "class:ghost")
        assert own == "".join(shown(line, 10**6))
        if not ghost:
            for row, column, _ in places:
                assert rows.place(rows.nearest(row, column))[:2] == (row, column)
