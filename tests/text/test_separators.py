"""The guess where documents end."""

from __future__ import annotations

import random
import re

import pytest

from charrnn.text.corpus import Corpus
from charrnn.text.datasets import bundled_corpus
from charrnn.text.findings import Examined
from charrnn.text.separators import Separator, likely_separator

DRAW = random.Random(1)
NAMES = [
    "".join(DRAW.choices("abcdefghijkl", k=DRAW.randrange(4, 12))).title() for _ in range(1500)
]
PROSE = [" ".join(DRAW.choices(NAMES, k=12)) for _ in range(400)]


def separator_of(text: str) -> Separator | None:
    corpus = Corpus.from_text(text)
    return likely_separator(corpus.ids, corpus.vocab, Examined(corpus).line_ends)


def joined(separator: str, lines: list[str] = PROSE, each: int = 4) -> str:
    return separator.join("\n".join(lines[a : a + each]) for a in range(0, len(lines), each))


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_list(end: str) -> None:
    assert separator_of("\n".join(NAMES) + end) == Separator(r"\n", 1500, "line")
    in_order = Separator(r"\n", 1500, "line", is_sorted=True)
    assert separator_of("\n".join(sorted(NAMES, key=str.upper)) + end) == in_order


@pytest.mark.parametrize("rule", ["***", "* * *", "-----", "<|endoftext|>", "%"])
def test_lines_that_part_documents(rule: str) -> None:
    text = joined(f"\n{rule}\n")
    found = separator_of(text)
    assert found is not None and (found.documents, found.kind, found.shown) == (100, "rule", rule)
    assert len(re.split(found.pattern, text)) == 100


@pytest.mark.parametrize("gap", ["\n\n\n", "\n\n\n\n\n"])
def test_blank_lines(gap: str) -> None:
    text = joined(gap)
    found = separator_of(text)
    assert found is not None and found.kind == "blank lines"
    assert len(re.split(found.pattern, text)) == found.documents == 100


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\nb\n" * 10,
        "same\n" * 300,
        joined("\n\n"),  # paragraphs
        joined("\n"),  # long lines
        "\n".join(f"{name}, {name}," for name in NAMES),  # verse
        "\n".join(f"{name}: {name}" for name in NAMES),  # a conversation
        "\n".join(f"    {name}" for name in NAMES),  # code
        joined("\n\n\n", PROSE, 40),  # a few chapters
    ],
)
def test_what_is_one_text(text: str) -> None:
    assert separator_of(text + "xyz") is None


def test_the_plays_are_one_text() -> None:
    assert separator_of(bundled_corpus().read_text(encoding="utf-8")) is None
