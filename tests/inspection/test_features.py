"""What is true of each character of a text, marked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.errors import ConfigError
from charrnn.inspection.features import text_features


def marks(text: str, name: str, **options: str) -> str:
    """The text with ^ below every character of which the feature is true."""
    found = {each.name: each for each in text_features(text, **options)}  # type: ignore[arg-type]
    assert all(len(each.values) == len(text) for each in found.values())
    return "".join(" ^"[int(flag)] for flag in found[name].values)


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("inside quotes", 'a "b c" d', "  ^^^^   "),
        ("inside quotes", "«oui» “no” „ja“ ‘it’s’", "^^^^  ^^^  ^^^  ^^^^^ "),
        ("inside quotes", '"open\n\nnot "so"', "^^^^^      ^^^ "),
        ("inside quotes", "it's the dogs' 6’ board", "                       "),
        ("inside quotes", "“He said ‘yes’ twice” so", "^^^^^^^^^^^^^^^^^^^^    "),
        ("inside quotes", '"a\r\n \r\nb"c', "^^      ^^"),
        ("inside brackets", "f(a[1], (b)) :) x", " ^^^^^^^^^^      "),
        ("inside brackets", "(a\n\nb) [c]", "^^     ^^ "),
        ("inside brackets", "(a\r\n\r\nb) [c]", "^^       ^^ "),
        ("inside braces", "a {\n\n b {c}} d", "  ^^^^^^^^^   "),
        ("upper case", "Ab É1", "^  ^ "),
        ("vowel", "Able éy ы", "^  ^ ^  ^"),
        ("vowel", "мой її Ў æ", " ^  ^^   ^"),
        ("between words", "it's. A b", "    ^^ ^ "),
        ("in the indentation", "a b\n  c d\n\te\n", "    ^^    ^  "),
        ("deeply indented", "a b\n  c d\n\te\n", "     ^^^^    "),
        ("in a speaker's name", "TOM:\nGo: now.\n\nAB. Ah.", "^^^            ^^     "),
        ("after a speaker's name", "TOM:\nGo on.\nOr.\n", "   ^^^^^^^^     "),
        ("after a speaker's name", "TOM:\r\nGo on.\r\nOr.\r\n", "   ^^^^^^^^^       "),
        ("after a speaker's name", "TOM. Go on.\nOr.\n", "   ^^^^^^^^     "),
    ],
)
def test_marked_by_hand(name: str, text: str, wanted: str) -> None:
    assert marks(text, name) == wanted


def test_late_in_the_line_is_past_the_middle_of_all_characters() -> None:
    assert marks("ab\nabcd\nab\n", "late in the line") == " ^  ^^^  ^ "


def test_matches_of_a_pattern_and_bad_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert marks("a1 22", "match of [0-9]+", pattern="[0-9]+") == " ^ ^^"
    with pytest.raises(ConfigError, match="`pattern` '\\('"):
        text_features("a", pattern="(")
    monkeypatch.setattr("charrnn.text.patterns.SECONDS", 0.1)
    with pytest.raises(ConfigError, match=r"`pattern` .* takes too long"):
        text_features("a" * 4000 + "!" * 1100, pattern="(a|aa)+b")


def test_bytes_have_the_features_of_their_characters() -> None:
    text = "É “é” x"
    symbols = text.encode().decode("latin-1")
    sizes = [len(ch.encode()) for ch in text]
    for one, other in zip(text_features(text), text_features(symbols, "byte"), strict=True):
        np.testing.assert_array_equal(np.repeat(one.values, sizes), other.values)
    unknown = {f.name: f.values.tolist() for f in text_features("A\ufffda", "byte")}
    assert unknown["between words"] == [False, True, False]
    assert text_features("")[0].places == 0
    assert [f.places for f in text_features('"a" "b', "char")][:1] == [2]
