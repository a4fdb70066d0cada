"""Texts that were decoded wrongly, and encodings that are guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from charrnn.errors import CorpusError
from charrnn.text.corpus import Corpus
from charrnn.text.encodings import guess_encoding, marks_of
from charrnn.text.misread import Misread, find_misread
from charrnn.text.occurrences import count_symbols
from charrnn.text.sources import find

FRENCH = "Où est le café à la crème, señor ? – « L’été, c’est déjà fini… »\n" * 3
GERMAN = "Der Mörder war’s – „gewiß“, sagte ich. Die Tür fiel zu. 5 €\n" * 3
RUSSIAN = "Привет, мир! Это «тест» — да. Ещё один.\n" * 3
TEXTS = {
    **dict.fromkeys(("cp1252", "mac_roman"), GERMAN),
    **dict.fromkeys(("cp1250",), "Zażółć gęślą jaźń. Příliš žluťoučký kůň. Też książka źle\n"),
    "cp1254": "Şişli'de ığdır çok güzel değil mi\n",
    **dict.fromkeys(("cp1251",), RUSSIAN),
    **dict.fromkeys(("koi8-r", "cp866"), "Привет, мир! Это тест. Ещё один.\n"),
    "cp1253": "Καλημέρα κόσμε, τι κάνεις;\n",
    **dict.fromkeys(("cp932", "euc_jp"), "吾輩は猫である。名前はまだ無い。どこで生れたか\n"),
    "cp949": "안녕하세요 세상. 나는 고양이다\n",
    "gb18030": "我是猫。还没有名字。在什么地方出生的，一点也不知道\n",
    "big5": "我是貓。還沒有名字。在什麼地方出生的，一點也不知道\n",
    "utf-16": GERMAN,
}


def misread_of(text: str) -> Misread | None:
    corpus = Corpus.from_text(text)
    return find_misread(corpus.ids, corpus.vocab, count_symbols(corpus.ids, len(corpus.vocab)))


def as_another(text: str, encoding: str) -> str:
    """The text's UTF-8 read as another encoding; as in browsers, cp1252 has all bytes."""
    if encoding != "cp1252":
        return text.encode().decode(encoding)
    pieces = (bytes([byte]) for byte in text.encode())
    return "".join(p.decode("cp1252", "ignore") or p.decode("latin-1") for p in pieces)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "mac_roman", "cp1251", "cp437"])
@pytest.mark.parametrize("text", [FRENCH, GERMAN, RUSSIAN])
def test_utf8_that_was_read_as_something_else(text: str, encoding: str) -> None:
    try:
        wrong = as_another(text, encoding)
    except UnicodeDecodeError:
        pytest.skip("that byte has no character there")
    found = misread_of(wrong)
    assert found is not None
    assert found.groups == sum(not ch.isascii() for ch in text)
    assert wrong[found.first :].startswith(found.shown) and found.meant in text
    if found.is_whole:
        assert wrong.encode(found.encoding).decode() == text


@pytest.mark.parametrize("text", [FRENCH, GERMAN, RUSSIAN, "«CAFÉ» É… ÂGE Ã a", *TEXTS.values()])
def test_texts_that_are_right(text: str) -> None:
    assert misread_of(text) is None


def test_a_text_that_was_read_wrongly_in_places() -> None:
    found = misread_of(FRENCH + as_another("é à ç ’\n", "latin-1") + GERMAN)
    assert found is not None and found.groups == 4 and not found.is_whole


@pytest.mark.parametrize("encoding", TEXTS)
def test_encodings_are_guessed(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(f"a\n{TEXTS[encoding]}".encode(encoding))
    assert guess_encoding(find(tmp_path).files) == encoding


def test_what_is_not_guessed(tmp_path: Path) -> None:
    file = tmp_path / "text"
    for content in (FRENCH.encode(), FRENCH.encode() + b"caf\xe9\n", bytes(range(128, 256)), b""):
        file.write_bytes(content)
        assert guess_encoding(find(tmp_path).files) is None
    file.write_bytes(b"caf\xe9\n")
    (tmp_path / "other").write_text("café", encoding="utf-8")
    with pytest.raises(CorpusError, match=r"text: not UTF-8, as .*other is: it looks like cp1252"):
        guess_encoding(find(tmp_path).files)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_marks(encoding: str, tmp_path: Path) -> None:
    """Also where a CRLF is cut in two by the end of a piece that is read."""
    text = "a\r\nb\nc\rd\r\n" + "x" * (65535 - 10) + "\r\n" * 3 + "\r"
    (tmp_path / "text").write_bytes(text.encode(encoding))
    found = marks_of(find(tmp_path).files, encoding)
    assert found.line_ends == {"LF": 1, "CR": 2, "CRLF": 5} and not found.byte_order_marks
    (tmp_path / "text").write_bytes(text.encode("utf-8-sig"))
    assert marks_of(find(tmp_path).files, "utf-8").byte_order_marks == 1


def test_a_file_that_is_not_read_says_nothing_of_the_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("é", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(GERMAN.encode("cp1252"))
    assert guess_encoding(find(tmp_path).files) == "cp1252"


def test_what_is_no_utf_8_may_stand_where_a_piece_begins(tmp_path: Path) -> None:
    data = (b"x" * 63 + b"\n") * 1024 + b"caf\xe9\n" + b"words\n" * 99
    (tmp_path / "text").write_bytes(data)
    assert guess_encoding(find(tmp_path).files) == "cp1252"
