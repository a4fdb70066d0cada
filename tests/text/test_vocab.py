import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import VocabError
from charrnn.text.vocab import MAX_SYMBOLS, UNKNOWN, Decoder, Vocab

ABC = Vocab(tuple("abc\n é"))
WITH_UNKNOWN = Vocab(("a", UNKNOWN, "b"), unknown=1)
BYTES = Vocab(tuple(chr(i) for i in range(256)), "byte")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_decoding_inverts_encoding(text: str) -> None:
    vocab = Vocab(tuple(sorted(set(text) | {"x"})))
    ids = vocab.encode(text)
    assert vocab.decode(ids) == text
    assert ids.tolist() == [vocab.symbols.index(ch) for ch in text]
    assert BYTES.decode(BYTES.encode(text)) == text


def test_long_texts_are_encoded_in_pieces_without_seams() -> None:
    text = "abc\n é" * 50_000
    ids = ABC.encode(text)
    assert ids.dtype == np.uint8 and np.array_equal(ids, np.tile(np.arange(6), 50_000))


def test_ids_take_two_bytes_only_when_they_must() -> None:
    assert Vocab(tuple(chr(0x4E00 + i) for i in range(256))).encode("一").dtype == np.uint8
    large = Vocab(tuple(chr(0x4E00 + i) for i in range(257)))
    assert large.encode(chr(0x4E00 + 256)).dtype == np.uint16
    assert large.encode(chr(0x4E00 + 256)).tolist() == [256]
    assert ABC.encode("").dtype == np.uint8 and ABC.encode("").size == 0


def test_unknown_characters_are_named_with_the_nearest_ones() -> None:
    with pytest.raises(VocabError) as error:
        ABC.encode("abBa\tÉ—𝔸")
    message = str(error.value)
    assert "'B' (U+0042 LATIN CAPITAL LETTER B) at character 2 (nearest: 'b')" in message
    assert r"'\t' (U+0009) at character 4 (nearest: ' ', '\n')" in message
    assert "'É' (U+00C9 LATIN CAPITAL LETTER E WITH ACUTE) at character 5 (nearest: 'é')" in message
    assert "'—' (U+2014 EM DASH) at character 6, " in message
    assert "`unknown` skip" in message and "\n" not in message


def test_at_most_five_unknown_characters_are_named() -> None:
    with pytest.raises(
        VocabError, match=r"U\+0034[^,]* at character 4[^,]* and 5 more; use `unknown`"
    ):
        ABC.encode("0123456789")


def test_unknown_after_the_first_piece_is_found_where_it_is() -> None:
    with pytest.raises(VocabError, match="at character 70000;"):
        ABC.encode("a" * 70_000 + "Z")


@pytest.mark.parametrize(
    ("known", "asked", "nearest"),
    [
        ("aA", "á", "a"),
        ("aA", "Á", "A"),
        ("a", "Á", "a"),
        ("o", "Ø", "o"),
        ("'\"", "’", "'"),
        ("'\"", "”", '"'),
        ("“'", '"', "“"),
        ("'", "”", "'"),
        ("-", "—", "-"),
        ("—", "-", "—"),
        (" \n", "\u00a0", " "),
        ("\n", "\t", "\n"),
        (".", "…", "."),
        ("05", "6", "5"),
        ("12", "\u0662", "2"),
        ("f", "ﬁ", "f"),
        ("ab", "漢", None),
        ("ab", "?", None),
    ],
)
def test_nearest(known: str, asked: str, nearest: str | None) -> None:
    assert Vocab(tuple(known)).nearest(asked) == nearest


def test_policies_for_unknown_characters() -> None:
    assert ABC.decode(ABC.encode("aBéÉZ漢c", "skip")) == "aéc"
    assert ABC.decode(ABC.encode("aBéÉZ漢c", "nearest")) == "abééc"
    assert WITH_UNKNOWN.encode("axbé", "fold").tolist() == [0, 1, 2, 1]
    with pytest.raises(VocabError, match="no unknown symbol"):
        ABC.encode("a", "fold")
    with pytest.raises(VocabError, match=r"'x' \(U\+0078"):
        WITH_UNKNOWN.encode("x")


def test_the_unknown_symbol_is_no_text() -> None:
    assert WITH_UNKNOWN.decode([0, 1, 2]) == "a\ufffdb"
    with pytest.raises(VocabError):
        WITH_UNKNOWN.encode("<unk>")


def test_bytes() -> None:
    assert BYTES.encode("é").tolist() == [0xC3, 0xA9]
    assert BYTES.encode(b"\xff\x00").tolist() == [255, 0]
    assert BYTES.encode("\udcff").tolist() == [
        255
    ]  # what Python makes of such a byte on the command line
    assert BYTES.decode([0xC3, 0x28]) == "\ufffd("
    some = Vocab(("a", "\xc3", UNKNOWN), "byte", 2)
    assert some.decode([0, 2, 2, 0]) == "a\ufffd\ufffda"
    with pytest.raises(VocabError, match=r"byte 0xa9 at byte 1; "):
        some.encode("é")
    with pytest.raises(VocabError, match=r"byte 0x41 \('A'\) at byte 0 \(nearest: 'a'\)"):
        some.encode("A")


def test_text_that_is_none() -> None:
    with pytest.raises(VocabError, match="0xff at position 1"):
        ABC.encode(b"a\xff")
    with pytest.raises(VocabError, match=r"U\+DCFF"):
        ABC.encode("\udcff")
    with pytest.raises(VocabError, match=r"U\+D800"):
        BYTES.encode("\ud800")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.integers(1, 5))
def test_streaming_never_cuts_a_character(text: str, size: int) -> None:
    ids = BYTES.encode(text)
    decoder = Decoder(BYTES)
    parts = [decoder.feed(ids[a : a + size]) for a in range(0, len(ids), size)]
    assert "".join(parts) == text
    assert decoder.end() == ""


def test_a_cut_character_shows_at_the_end() -> None:
    decoder = Decoder(BYTES)
    assert decoder.feed([0xE2, 0x82]) == ""
    assert decoder.end() == "\ufffd"


@pytest.mark.parametrize("ids", [[6], [-1], np.array([0, 300])])
def test_ids_outside_are_refused(ids: list[int]) -> None:
    with pytest.raises(VocabError, match="0 to 5"):
        ABC.decode(ids)


def test_extending_keeps_the_old_ids() -> None:
    both = Vocab(tuple("zab")).extended(Vocab(tuple("cyaé")))
    assert both.symbols == tuple("zabcyé")
    assert both.unknown is None


def test_extending_with_unknown_symbols() -> None:
    assert WITH_UNKNOWN.extended(Vocab(tuple("ac"))) == Vocab(("a", UNKNOWN, "b", "c"), unknown=1)
    assert Vocab(tuple("bc")).extended(WITH_UNKNOWN) == Vocab(("b", "c", "a", UNKNOWN), unknown=3)
    assert WITH_UNKNOWN.extended(WITH_UNKNOWN) == WITH_UNKNOWN
    with pytest.raises(VocabError, match="`unit` char"):
        ABC.extended(BYTES)


def test_through_json() -> None:
    for vocab in (ABC, WITH_UNKNOWN, BYTES):
        assert Vocab.from_json(json.loads(json.dumps(vocab.as_json()))) == vocab


@pytest.mark.parametrize(
    ("symbols", "unit", "unknown", "message"),
    [
        ([], "char", None, "1 to 65536"),
        ([chr(0x10000 + i) for i in range(MAX_SYMBOLS + 1)], "char", None, "65537"),
        (["a", "b", "a"], "char", None, "'a' twice"),
        (["a", "bc"], "char", None, "symbol 1 .* 'bc'"),
        (["a", ""], "char", None, "symbol 1"),
        (["a", 7], "char", None, "symbol 1"),
        (["a", {"b": []}], "char", None, "symbol 1"),
        (["a", "\ud800"], "char", None, "surrogate"),
        (["a", "\u0100"], "byte", None, "U\\+0100"),
        (["a", UNKNOWN], "char", None, "symbol 1"),
        (["a", UNKNOWN], "char", 0, "should be '<unk>'"),
        (["a", UNKNOWN], "char", 2, "0 to 1, not 2"),
        (["a", UNKNOWN], "char", -1, "not -1"),
        (["a", UNKNOWN], "char", True, "not True"),
        (["a", UNKNOWN], "char", "1", "not '1'"),
        (["a", UNKNOWN, UNKNOWN], "char", 1, "symbol 2"),
        (["a"], "word", None, "unit"),
        (["a"], [], None, "unit"),
        ("ab", "char", None, "must be a list"),
        (None, "char", None, "must be a list"),
    ],
)
def test_tampered_lists_are_refused(
    symbols: object, unit: object, unknown: object, message: str
) -> None:
    with pytest.raises(VocabError, match=message):
        Vocab.from_json({"vocab": symbols, "unit": unit, "unknown": unknown})


def test_a_policy_that_does_not_exist() -> None:
    with pytest.raises(VocabError, match="`unknown` must be error, skip, nearest, fold, not 'near"):
        Vocab(("a",)).encode("ab", "nearset")  # type: ignore[arg-type]
