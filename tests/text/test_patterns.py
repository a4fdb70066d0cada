"""Separators whose search would never end."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.checkpoint.trained import load, save
from charrnn.config import CorpusConfig, SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.generate import generate_many
from charrnn.text import patterns
from charrnn.text.corpus import Corpus
from charrnn.text.documents import DocumentTracker
from charrnn.text.patterns import Pattern
from tests.reference.small import small_corpus, small_run

ENDLESS = [
    r"(a+)+b",
    r"(a|aa)+$x",
    r"([^b]*a){25}c",
    r"(?=(a+)+b)",
    r"((a{1,60}){1,60}){1,60}b",
    r"(?i)(a+)+b",
    r"(?>(a+)+b)",
    r"(a|a|aa)*\Z!|(a+)+!",
    "(?=" + "(a|a)" * 36 + "(?<!a))",
]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 0.2)


@pytest.mark.parametrize("pattern", ENDLESS)
def test_in_a_text(pattern: str) -> None:
    corpus = Corpus.from_text("a" * 5000 + "x", CorpusConfig(document_separator=pattern))
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"`document_separator`.* takes too long"):
        assert corpus.document_starts is None
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("pattern", ENDLESS)
def test_while_a_text_grows(pattern: str) -> None:
    tracker = DocumentTracker(pattern)
    start = time.monotonic()
    with pytest.raises(ConfigError, match="takes too long"):
        for _ in range(3000):
            tracker.resets_before("a")
        tracker.resets_before("x")
        raise AssertionError(f"{pattern} was searched for in {time.monotonic() - start} s")
    assert time.monotonic() - start < 20


def test_in_any_thread() -> None:
    errors: list[BaseException] = []

    def search() -> None:
        try:
            Pattern("(?=(a+)+b)").finditer("a" * 5000)
        except ConfigError as error:
            errors.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    thread.join(20)
    assert len(errors) == 1


def test_in_a_checkpoint_of_others(tmp_path: Path) -> None:
    network = small_run(small_corpus()).trained
    config = replace(network.corpus_config, document_separator=r"(?=((.|\n)+)+!!!)")
    save(tmp_path / "a.safetensors", replace(network, corpus_config=config))
    network = load(tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match="takes too long"):
        list(generate_many(network, count=1, config=SamplingConfig(length=3000)))


def test_many_slow_searches_are_limited_together() -> None:
    pattern = Pattern("(?=(a+)+b)")
    with pytest.raises(ConfigError, match="takes too long"):
        for _ in range(10_000):
            pattern.match("a" * 1500, 0, 1500)  # each takes much longer than it is allowed


@pytest.mark.parametrize("pattern", ["a+b", "[a-z]+!", "(?m)^a*$!", "[^!]+(?=!)"])
def test_one_repeat(pattern: str) -> None:
    text = "a" * patterns._SHORT
    start = time.monotonic()
    assert not spans(pattern, text)
    assert time.monotonic() - start < 5


def test_fast_searches_are_not() -> None:
    pattern = Pattern("\n\n+")
    text = "words and words\n\n" * 50_000
    for _ in range(20):
        assert len(pattern.finditer(text)) == 50_000
    pattern = Pattern("\n+-+")
    for _ in range(100_000):
        pattern.match("\n\n--", 0, 2)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a{e}", "xa{e}b"),
        ("(?:abc){e<=1}", "abd abc{e<=1}"),
        (r"\{e\}", "a{e}"),
        ("a{2}", "aaa"),
        ("[{e}]", "{e}"),
        ("a{,2}b", "aab"),
        ("a{s}{1,2}", "a{s}}"),
        (r"\\{i}", r"\{i}"),
    ],
)
def test_it_means_what_it_means_in_python(pattern: str, text: str) -> None:
    assert spans(pattern, text) == [match.span() for match in re.finditer(pattern, text)]


@given(
    st.lists(
        st.sampled_from([*r"ab.^$|", "\n", "-", r"\s", r"\b", r"\w", "[^a]", "(?:a|b)", "(a)"])
        | st.sampled_from([r"(?<=\n)", "(?=a)", "(?!b)", "a+", "b*", ".+?", "\n{2,}", "(?:ab)*"]),
        min_size=1,
        max_size=6,
    ),
    st.text("ab\n- ", max_size=30),
)
def test_it_finds_what_python_finds(parts: list[str], text: str) -> None:
    pattern = "".join(parts)
    assert spans(pattern, text) == [match.span() for match in re.finditer(pattern, text)]


@pytest.mark.parametrize("pattern", [r"\w", r"\W", r"\b", r"\B", r"\d", r"\s", r"[^\S\n]", r"\D"])
def test_it_means_the_same_in_short_and_long_texts(pattern: str) -> None:
    text = "e\u0301 \u0903\u200d\u00b2\U0001e5f8\x1f"
    long = spans(pattern, text + "\n" * patterns._SHORT)
    assert spans(pattern, text) == [span for span in long if span[1] <= len(text)]


def spans(pattern: str, text: str) -> list[tuple[int, int]]:
    return [match.span() for match in Pattern(pattern).finditer(text)]


def test_a_setting_that_regex_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import regex

    def refuse(*_: object, **__: object) -> None:
        raise regex.error("unlike Python's")

    assert asdict(CorpusConfig(document_separator="a+"))["document_separator"] == "a+"
    monkeypatch.setattr(regex, "compile", refuse)
    with pytest.raises(ConfigError, match="is not a regular expression: unlike"):
        CorpusConfig(document_separator="a+")
