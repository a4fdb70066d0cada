"""Where texts end."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.config.sampling import SamplingConfig
from charrnn.errors import ConfigError, VocabError
from charrnn.generation.stopping import Ending, Endings
from charrnn.text.vocab import Vocab


def ended(text: str, strings: list[str], keep: bool) -> tuple[str, bool]:
    """By definition: at the first stop string to be completed, the longest of them."""
    for end in range(len(text) + 1):
        found = [string for string in strings if text[:end].endswith(string)]
        if found:
            return text[: end if keep else end - max(map(len, found))], True
    return text, False


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    "strings",
    [
        ["ab"],
        ["aab"],
        ["abab"],
        ["aaa"],
        ["abcab"],
        ["x"],
        ["ab", "cab"],
        ["cab", "ab", "abcab"],
        ["aa", "aab", "b"],
        ["bcc", "abca", "x"],
        [],
    ],
)
def test_stops_in_pieces(strings: list[str], keep: bool) -> None:
    """Strings that overlap with themselves and one another, in texts of which they are made,
    however the text is cut; nothing is passed on that has to be taken back.
    """
    rng = np.random.default_rng(0)
    for _ in range(300):
        whole = "".join(rng.choice(list("abc"), size=rng.integers(0, 14), p=[0.5, 0.4, 0.1]))
        cuts = sorted(rng.integers(0, len(whole) + 1, size=3))
        pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        expected, reached = ended(whole, strings, keep)
        stop, out = Ending(strings, keep), ""
        for piece in pieces:
            out += stop.feed(piece)
            assert expected.startswith(out)
            if stop.reached:
                break
        assert stop.reached == reached
        assert out + ("" if stop.reached else stop.feed("", last=True)) == expected


LETTERS = Vocab(tuple("\n abcdAB.#"))
BYTES = Vocab(tuple(map(chr, range(256))), "byte")


def text_of(
    symbols: str, vocab: Vocab = LETTERS, separator: str | None = None, prime: str = "", **ends: str
) -> tuple[str, str]:
    """A text and what ended it, by the settings of its end."""
    config = SamplingConfig(**{"length": 100, **ends})  # type: ignore[arg-type]
    text = Endings(vocab, config, separator).text(prime)
    return text.feed(symbols, last=True), text.ended


def test_what_comes_first_ends_a_text() -> None:
    whole = "ab. Ac\nB d#\n\nA"
    assert text_of(whole) == (whole, "")
    assert text_of(whole, until="sentence") == ("ab.", "sentence")
    assert text_of(whole, until="line") == ("ab. Ac\n", "line")
    assert text_of(whole, until="line", stop="A") == ("ab. ", "stop")
    assert text_of(whole, until="sentence", stop="A") == ("ab.", "sentence")
    assert text_of(whole, until="sentence", stop=". A", keep_stop=True) == ("ab.", "sentence")
    assert text_of(whole, until="paragraph") == ("ab. Ac\nB d#\n", "paragraph")
    assert text_of(whole, lines=2, separator="#\n") == ("ab. Ac\nB d#\n", "line")
    assert text_of(whole, until="paragraph", separator="#\n") == (whole[:-2], "document")
    assert text_of(whole, until="sentence", after=4, separator="c\n") == ("ab. Ac\n", "document")
    assert text_of(whole, until="document", separator="#\n+", prime="A#") == (
        whole[:-1],
        "document",
    )


def test_ends_of_texts_of_bytes() -> None:
    """Sentences are those of the characters, separators are bytes."""
    whole = "\u00e9a\u3002B\udcff.\u00e9 A"
    symbols = whole.encode("utf-8", "surrogateescape").decode("latin-1")
    assert text_of(symbols, BYTES, until="sentence") == ("\u00e9a\u3002", "sentence")
    rest = text_of(symbols[3:], BYTES, until="sentence", prime=symbols[:3])
    assert rest == ("\u3002", "sentence")
    assert text_of("a.", BYTES, until="sentence", prime="\ufffd.") == ("a.", "")
    assert text_of("ab\xff", BYTES, "b\xff", until="document") == ("ab\udcff", "document")


@pytest.mark.parametrize(
    ("ends", "error", "says"),
    [
        ({"until": "document"}, ConfigError, "`until` document: this network's text had no"),
        ({"until": "line"}, VocabError, "`until` line: not in the vocabulary.*no text would end"),
        ({"until": "paragraph"}, VocabError, "`until` paragraph"),
        ({"lines": 2}, VocabError, "`lines`: not in"),
    ],
)
def test_an_end_that_never_comes(ends: dict[str, str], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        text_of("a", Vocab(tuple("ab")), **ends)
    assert text_of("a", Vocab(tuple("ab")), until="sentence") == ("a", "")


def test_settings_of_the_end() -> None:
    assert SamplingConfig().resolved() == SamplingConfig(length=1000, until="sentence", after=500)
    assert SamplingConfig(after=40).resolved().length == 540
    assert SamplingConfig(lines=3).resolved().length == 10_000
    for config in (SamplingConfig(length=7), SamplingConfig(length=7, until="line", after=3)):
        assert config.resolved() == config
    with pytest.raises(ConfigError, match="`until` and `lines`"):
        SamplingConfig(until="line", lines=2)
    with pytest.raises(ConfigError, match="`after` needs"):
        SamplingConfig(length=5, after=2)
