"""Where sentences, lines, paragraphs and documents end."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.text.endings import Limit, Unit, ends, finder

SENTENCES = [
    "Mr. Smith came at 5 p.m. on Jan. 3, with the name of Dr.\nWatson on a card.",
    'He said, "No!',
    "I won't (not ever).\"",
    "Then J. R. Tolkien wrote 3.5 pages... and more.",
    "No. 5 was red.",
    "So do I.",
    "I, too.",
    "He said no.",
    "There were 12. Or more.",
    "The U.S. Army won, e.g. this, i.e. that, etc. and so on.",
    "It was in 1999.",
    "Then\n\nACT II\n\n1. First item.",
    "2. Second one!",
    "“Never!” he cried.",
    "(He stayed.)",
    "[See p. 5 there.]",
    "'Well?'",
    "'So...'",
    "_Yes._",
    "So!?",
    "So it went\non.",
    "«\xa0Non\xa0!\xa0» dit-il.",
    "— Oui.",
    "¿Qué?",
    "„Nein.“",
    "Das ist z. B. so.",
    "यह है।",
    "Она пошла.",
]
"""Whole sentences; a heading and its blank line begin the one before which they stand."""


def cut(text: str, unit: Unit, separator: str | None = None) -> list[str]:
    places = [0, *ends(text, unit, separator)]
    return [text[a:b] for a, b in zip(places, [*places[1:], len(text)], strict=True)]


def test_sentences() -> None:
    found = [each.strip() for each in cut(" ".join(SENTENCES), "sentence") if each]
    assert found == [part for each in SENTENCES for part in each.split("\n\n")]
    assert cut("他说。“好。”然后", "sentence") == [
        "他说。",
        "“好。”",
        "然后",
    ]
    assert cut("... ! Mr.", "sentence") == ["... ! Mr."]


def test_lines_paragraphs_and_documents() -> None:
    text = "\n \nOne\ntwo\n\n\nthree\n \n#\nfour"
    assert cut(text, "line") == ["\n \nOne\n", "two\n", "\n\nthree\n", " \n#\n", "four"]
    assert cut(text, "paragraph") == ["\n \nOne\ntwo\n", "\n\nthree\n", " \n#\nfour"]
    assert cut(text, "document", "#\n|\n\n+") == ["\n \nOne\ntwo\n\n\n", "three\n \n#\n", "four"]
    assert cut(text, "document") == [text]


WORDS = [".", ". ", " ", "\n", "He", "he", '"', "Mr", "!", "\xa0»", "1", "..", "\n\n", "。"]


@pytest.mark.parametrize("unit", ["sentence", "line", "paragraph", "document"])
def test_pieces(unit: Unit) -> None:
    """However a text is cut: nothing is passed on that has to be taken back, and the end is that of
    the whole text, the first one, or the third, after so many characters.
    """
    rng = np.random.default_rng(0)
    find = finder(unit, r"\n\n+")
    for _ in range(500):
        words = rng.choice(WORDS, size=25).tolist()
        before, text = "".join(words[: rng.integers(6)]), "".join(words[5:])
        after, count = int(rng.choice([0, 0, 5, 20])), int(rng.choice([1, 1, 3]))
        whole = Limit(find, before, after, count)
        expected = whole.feed(text, True)
        assert whole.reached or expected == text
        limit, out, place = Limit(find, before, after, count), "", 0
        while place < len(text) and not limit.reached:
            size = rng.integers(1, 5)
            out += limit.feed(text[place : place + size])
            place += size
            assert expected.startswith(out)
        if not limit.reached:
            out += limit.feed("", True)
        assert (out, limit.reached) == (expected, whole.reached)
        if not before and not after and whole.reached:
            assert len(expected) == [*ends(text, unit, r"\n\n+")][count - 1]


def test_what_stands_before_belongs_to_the_first_unit() -> None:
    def text(before: str, text: str, unit: Unit = "sentence") -> str:
        return Limit(finder(unit), before).feed(text, True)

    assert text("It was", ". Then he left.") == "."
    assert text("It was.", " Then he left. So") == " Then he left."
    assert text("Mr", ". Smith left. So") == ". Smith left."
    assert text("KING:", "\nSo\n", "line") == "\n"
    assert text("KING:\n", "\nSo\nbe", "line") == "\nSo\n"


def test_a_long_separator_in_pieces() -> None:
    """It is found even if each of its characters comes alone."""
    limit, text = Limit(finder("document", "\n---\n"), reach=9), "One\n--\n---\nTwo"
    out = "".join(limit.feed(character) for character in text if not limit.reached)
    assert (out, limit.reached) == ("One\n--\n---\n", True)


def test_long_texts_take_no_longer_for_each_character() -> None:
    """Searches go on where the last one ended."""
    text, calls = "word " * 20_000, []
    find = finder("sentence")

    def counting(text: str, begin: int, start: int, is_whole: bool) -> object:
        calls.append(len(text) - start)
        return find(text, begin, start, is_whole)

    limit = Limit(counting)  # type: ignore[arg-type]
    for place in range(0, len(text), 500):
        limit.feed(text[place : place + 500])
    assert sum(calls) < 2 * len(text)
