"""Automata of regular expressions, against Python's own matcher."""

from __future__ import annotations

import random
import re

import pytest
import regex

from charrnn.errors import ConfigError
from charrnn.generation.expression import containing, matching
from charrnn.text.vocab import Vocab

LETTERS = "abBcé1 \nßẞ€"
CHARACTERS = Vocab(tuple(LETTERS))
BYTES = Vocab(tuple(map(chr, sorted(set(LETTERS.encode())))), "byte")
ASCII = Vocab(tuple(map(chr, range(32, 127))))
ATOMS = [
    *("a", "b", "B", "c", "é", "ß", "€", "1", ".", r"\w", r"\d", r"\s", r"\W", "[ab]", "[^a]"),
    *(r"[\W\d]", r"[^\w\s]", "[a-c]", "[]a]", r"\u20ac", "(?a:\\w)", r"\N{EURO SIGN}"),
]
REPEATS = ["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?", "{,2}", "{0}"]


def any_pattern(rng: random.Random, depth: int = 0) -> str:
    kind = rng.random()
    if depth > 3 or kind < 0.35:
        return rng.choice(ATOMS)
    inner = any_pattern(rng, depth + 1)
    if kind < 0.6:
        return inner + any_pattern(rng, depth + 1)
    if kind < 0.75:
        return f"({inner}|{any_pattern(rng, depth + 1)})"
    if kind < 0.85:
        return f"(?{rng.choice(['i', 's', 'i-s', 'x'])}:{inner})"
    return f"(?:{inner}){rng.choice(REPEATS)}"


@pytest.mark.parametrize("vocab", [CHARACTERS, BYTES], ids=["char", "byte"])
def test_accepts_what_python_matches(vocab: Vocab) -> None:
    rng, matched = random.Random(1), 0
    for _ in range(150):
        pattern = any_pattern(rng)
        try:
            automaton = matching(pattern, vocab)
        except ConfigError as error:
            assert "cannot write" in str(error)
            automaton = None
        for _ in range(40):
            text = "".join(rng.choices(LETTERS, k=rng.choice([0, 1, 1, 2, 2, 3, 4])))
            is_match = re.fullmatch(pattern, text) is not None
            accepts = automaton is not None and automaton.accepts(vocab.encode(text).tolist())
            assert accepts == is_match, (pattern, text)
            matched += is_match
    assert matched > 200


def test_classes_are_unicode() -> None:
    vocab = Vocab(tuple("aÉж٣2_-\u00a0\u2003.Σσςſs"))
    for pattern in (r"\w", r"\d", r"\s", r"[^\W\d_]", "(?i)é", "(?i)Σ", "(?i)s", "(?i)[Ж-Ж]"):
        automaton = matching(pattern, vocab)
        for i, symbol in enumerate(vocab.symbols):
            assert automaton.accepts([i]) == bool(re.fullmatch(pattern, symbol)), (pattern, symbol)
            if "(?i)" not in pattern:  # regex folds fully, re one character to one
                assert automaton.accepts([i]) == bool(regex.fullmatch(pattern, symbol))


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a(?=b)", "a lookaround"),
        ("(?<!a)b", "a lookaround"),
        (r"\bfoo", r"a place such as \b"),
        ("a^b", "a place such as"),
        (r"(a)\1", "a reference to a group"),
        ("(a)?b(?(1)c|d)", "a condition"),
        ("a++", "a possessive repeat"),
        ("(?>a)b", "an atomic group"),
        ("(a", "is not a regular expression: missing )"),
        ("[z-a]", "bad character range"),
        ("a" * 10_001, "longer than 10,000"),
        ("a" * 40 + "é|ü", "lacks 'é' .U.00E9 LATIN SMALL LETTER E WITH ACUTE., 'ü'"),
        ("[é-ü]", "the network cannot write a text like this$"),
    ],
)
def test_what_cannot_be_matched_is_refused_in_one_line(pattern: str, why: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(why).replace(r"\.", ".").replace(r"\$", "$")):
        matching(pattern, ASCII)


@pytest.mark.parametrize("vocab", [ASCII, BYTES], ids=["char", "byte"])
def test_marks_around_the_whole_pattern_change_nothing(vocab: Vocab) -> None:
    plain, marked = matching("a.b", vocab), matching(r"^\Aa.b\Z$", vocab)
    assert [*plain.targets] == [*marked.targets] and [*plain.symbols] == [*marked.symbols]


@pytest.mark.parametrize("pattern", ["(.{0,100}){0,100}", "(a|b)*a(a|b){30}", "(a{0,99}){0,9999}"])
def test_a_pattern_that_is_too_large_is_given_up(pattern: str) -> None:
    with pytest.raises(ConfigError, match="too large for an automaton: use fewer repeats"):
        matching(pattern, ASCII, seconds=0.05)


def test_large_patterns_that_are_simple_are_not() -> None:
    for pattern in (
        r".{0,2000}",
        r"(a+)+b",
        r"(?:a{0}|){4000000000}b",
        r"(a?){2000}",
        r"\w+( \w+){0,200}",
        "|".join("abc"[n % 3] * n for n in range(1, 99)),
    ):
        assert not matching(pattern, ASCII).is_empty


def test_a_text_contains_all_words() -> None:
    automaton = containing(["love", "death", "love"], ASCII)
    for text, is_right in {
        "love death": True,
        "Death, the Love": True,
        "(love.death)": True,
        "glove death": False,
        "lovedeath love": False,
        "loves, love; deaths, death": True,
        "love": False,
        "LOVE death": False,
    }.items():
        assert automaton.accepts(ASCII.encode(text).tolist()) == is_right, text


def test_a_word_does_not_go_on_the_prime() -> None:
    for prime, is_right in {"": True, "g": False, "g ": True, "-": True}.items():
        automaton = containing(["love"], ASCII, prime)
        assert automaton.accepts(ASCII.encode("love").tolist()) == is_right


def test_a_word_may_be_of_anything() -> None:
    automaton = containing(["c++", "--", "New York"], ASCII)
    assert automaton.accepts(ASCII.encode("In New York--c++!").tolist())
    assert not automaton.accepts(ASCII.encode("In New Yorks--c++!").tolist())
    with pytest.raises(ConfigError, match=r"`must` 'été'.*lacks 'é'"):
        containing(["été"], ASCII)


def test_marks_belong_to_words() -> None:
    vocab = Vocab(tuple("राम यणक"))
    rama = containing(["राम"], vocab)
    assert rama.accepts(vocab.encode("यण राम").tolist())
    assert not rama.accepts(vocab.encode("रामायण").tolist())
    assert not containing(["का"], vocab).accepts(vocab.encode("राका").tolist())
    assert not containing(["का"], vocab, "रा").accepts(vocab.encode("का").tolist())
