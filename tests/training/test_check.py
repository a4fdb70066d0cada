"""`charrnn.check`: what is said of a text before training."""

from __future__ import annotations

import gzip
import io
import random
import unicodedata
from pathlib import Path

import pytest

import charrnn
from charrnn.network.parameters import parameter_count
from charrnn.training import check, recipe
from charrnn.training.check import advice

DRAW = random.Random(2)
WORDS = ["".join(DRAW.choices("abcdefghijkl", k=DRAW.randrange(2, 9))) for _ in range(3000)]
TEXT = "".join(f"{' '.join(DRAW.choices(WORDS, k=14))}.\n" for _ in range(3000))
SHORT = TEXT[:9000]


def findings(path: Path, text: str | bytes, **settings: object) -> dict[str, charrnn.Finding]:
    """What is found, by its kind."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = charrnn.check(path, charrnn.CorpusConfig(**settings))  # type: ignore[arg-type]
    assert all(
        finding.text and finding.level in ("ok", "note", "fix") for finding in found.findings
    )
    return {finding.kind: finding for finding in found.findings}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a text.txt"


def test_a_text_that_is_well(path: Path) -> None:
    path.write_text(TEXT)
    found = charrnn.check(str(path))
    assert charrnn.check(iter([path])).corpus.sha256 == found.corpus.sha256  # type: ignore[arg-type]
    assert {finding.level for finding in found.findings} == {"ok"} and not found.settings
    assert found.model.hidden > 64 and found.passes > 10
    assert found.training.epochs == pytest.approx(found.passes, abs=0.1)
    assert advice(found.corpus) == []


def test_encodings(path: Path) -> None:
    text = SHORT.replace("a", "é")
    found = findings(path, text.encode("cp1252"))["encoding"]
    assert (found.level, found.settings) == ("fix", {"encoding": "cp1252"})
    wrong = text.encode().decode("cp1252")
    found = findings(path, "x\n" + wrong)["encoding"]
    assert (found.level, found.lines) == ("fix", (2,)) and "'Ã©'" in found.text
    assert found.command == f"iconv -c -f utf-8 -t latin1 '{path}' > mended.txt"
    found = findings(path, wrong + "ж")["encoding"]
    assert found.command.startswith("ftfy ")
    assert findings(path, TEXT + "Ã© â€™ Ã¨ Ã\xa0")["encoding"].level == "note"
    found = findings(path, text, encoding="cp1252")["encoding"]
    assert found.settings == {"encoding": "utf-8"} and "leave out" in found.text
    assert charrnn.check(path, charrnn.CorpusConfig(encoding="cp1252")).settings == {}
    found = findings(path, wrong.encode("utf-16"), encoding="utf-16")["encoding"]
    assert "leave out" not in found.text and found.settings == {"encoding": "utf-8"}
    assert found.command.lower().startswith("iconv -c -f utf-16 -t latin1 ")
    found = findings(path, (text + "Ã© Ã© Ã©").encode("cp1252"), encoding="cp1252")["encoding"]
    assert "leave out" not in found.text and found.command.startswith("ftfy -e cp1252 ")
    german = "schön Straße „so“ " * 99
    for name, errors in (("iso8859-15", "strict"), ("cp1252", "replace")):
        found = findings(path, german, encoding=name, encoding_errors=errors)["encoding"]
        assert f"leave out `encoding` {name}" in found.text
    found = findings(path, wrong, encoding="utf-8-sig")["encoding"]
    assert found.command.startswith("iconv -c -f utf-8 -t ")
    few = ("é " + TEXT + "Ã© " * 3).encode("cp1252")
    found = findings(path, few, encoding="cp1252")["encoding"]
    assert (found.level, found.settings) == ("note", {})  # the text stays as it is
    found = findings(path, SHORT + "\ufffd")["encoding"]
    assert found.level == "fix" and "lost" in found.text
    with pytest.raises(charrnn.CorpusError, match="not utf-8"):
        findings(path, text.encode() + b"\xe9\n")


def test_characters_lost_just_now_are_not_lost_for_good(path: Path) -> None:
    data = SHORT.replace("a", "é").encode("cp1252")
    found = findings(path, data, encoding_errors="replace")["encoding"]
    assert "earlier" not in found.text and "name the real `encoding`" in found.text


def test_signs_that_are_printed_are_not_invisible(path: Path) -> None:
    assert "invisible" not in findings(path, TEXT + "\u06dd" * 9)


def test_a_text_and_its_parts(tmp_path: Path) -> None:
    """Which file is to be mended is not known; and a part is no document of its own."""
    text, other = tmp_path / "a", tmp_path / "b"
    text.write_text(TEXT)
    other.write_text(TEXT[:9000].replace("a", "Ã©"))
    found = {f.kind: f for f in charrnn.check(text, validation=other).findings}
    assert " FILE > " in found["encoding"].command
    config = charrnn.CorpusConfig(document_separator="#")
    found = {f.kind: f for f in charrnn.check(text, config, validation=other).findings}
    assert found["documents"].level == "fix" and "not match anywhere" in found["documents"].text


def test_a_text_of_one_line_again_and_again(path: Path) -> None:
    text = "All work and no play makes Jack a dull boy.\n" * 1000
    assert findings(path, text)["repeats"].text.startswith("99.9 % of the text")


def test_line_ends_and_marks(path: Path) -> None:
    windows = SHORT.replace("\n", "\r\n").encode()
    assert findings(path, windows)["line ends"].text == "CRLF, read as LF"
    assert findings(path, windows, newlines="keep")["line ends"].level == "note"
    found = findings(path, b"\xef\xbb\xbf" + windows + b"a\nb\rc")
    assert found["line ends"].text.startswith("mixed: ")
    assert "byte order mark" in found["encoding"].text
    assert "one line" in findings(path, SHORT.replace("\n", " "))["line ends"].text


def test_characters(path: Path) -> None:
    found = findings(path, f"{TEXT}\x0ca\u200b\u200cb\nQ\nX\n")
    assert (
        found["invisible"].command
        == f"perl -CSD -pe 's/[\\x{{c}}\\x{{200b}}]//g' '{path}' > clean.txt"
    )
    assert found["symbols"].settings == {"min_count": 3}
    assert {*found["symbols"].lines} == {3001, 3002, 3003} and "'X' (U+0058" in found[
        "symbols"
    ].text
    assert not findings(path, TEXT + "Q", min_count=2)["symbols"].settings
    assert not findings(path, "".join(map(chr, range(0x4E00, 0x4F00))))["symbols"].settings
    assert "accents" not in findings(path, SHORT.replace("a", "é"))
    text = SHORT.replace("a", "é")
    found = findings(path, text + unicodedata.normalize("NFD", text))
    assert found["accents"].settings == {"normalize": "NFC"}
    assert f"{text.count('é'):,} letters" in found["accents"].text


def test_commands_read_what_is_in_the_file(path: Path) -> None:
    found = findings(path, f"{SHORT}é\x0c".encode("cp1252"))["invisible"]
    assert not found.command and found.text.endswith("Take them out")
    many = "".join(map(chr, range(0xE000, 0xE020)))
    command = findings(path, TEXT + many)["invisible"].command
    assert all(f"\\x{{{ord(symbol):x}}}" in command for symbol in many)
    packed = path.with_suffix(".gz")
    found = findings(packed, gzip.compress(f"{SHORT}\x0c".encode()))["invisible"]
    assert found.command == f"gzip -dc < '{packed}' | perl -CSD -pe 's/[\\x{{c}}]//g' > clean.txt"
    wrong = SHORT.replace("a", "é").encode().decode("cp1252")
    found = findings(packed, gzip.compress(wrong.encode()))["encoding"]
    assert found.command == f"gzip -dc < '{packed}' | iconv -c -f utf-8 -t latin1 > mended.txt"


def test_repeats_and_documents(path: Path) -> None:
    found = findings(path, TEXT + TEXT[:90000])["repeats"]
    assert (found.level, found.lines) == (
        "fix",
        (1, 3001),
    ) and "100 % of the held-out" in found.text
    assert findings(path, TEXT + TEXT[:9000])["repeats"].level == "fix", "it is held out"
    assert findings(path, TEXT[:90000] + TEXT)["repeats"].level == "fix"
    assert findings(path, TEXT[:9000] + TEXT)["repeats"].level == "note"
    lines = TEXT.split("\n")
    pages = "\n".join(
        "\n".join([*lines[a : a + 30], "The head of the page"]) for a in range(0, 3000, 30)
    )
    assert "'The head of the page' occurs 100 times" in findings(path, pages)["lines"].text
    names = "\n".join([*WORDS[:1500], WORDS[7]])
    found = findings(path, names)["documents"]
    assert (found.level, found.settings) == ("fix", {"document_separator": r"\n"})
    assert "1,501 lines" in found.text and "repeat another" in found.text
    assert "alphabetical" not in found.text
    assert "alphabetical" in findings(path, "\n".join(sorted(WORDS)))["documents"].text
    assert findings(path, names, document_separator=r"\n")["documents"].level == "ok"
    assert findings(path, names, document_separator="#")["documents"].level == "fix"


def test_a_leak_between_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(TEXT)
    (tmp_path / "b").write_text(TEXT[1000:9000])
    found = charrnn.check(tmp_path / "a", validation=tmp_path / "b")
    (repeats,) = (finding for finding in found.findings if finding.kind == "repeats")
    assert "line 1 of b" in repeats.text or "line 2 of b" in repeats.text
    assert repeats.level == "fix"


def test_drawn_documents_are_compared_as_they_are_split(path: Path) -> None:
    """Copies are on one side."""
    songs = [TEXT[a : a + 400].replace("\n", " ") for a in range(0, 100_000, 400)]
    text = "\n".join([*songs, *songs])
    assert findings(path, text)["repeats"].level == "fix"
    found = findings(path, text, document_separator=r"\n")["repeats"]
    assert "held-out" not in found.text


def test_sizes(path: Path) -> None:
    assert findings(path, TEXT)["size"].level == "ok"
    assert "init_from" in findings(path, SHORT)["size"].text
    assert "none is held out" in findings(path, SHORT, val_fraction=0.0)["size"].text


@pytest.mark.parametrize("characters", [13_000, 21_000, 72_000, 230_000])
def test_the_network_for_a_text_is_one_that_training_would_choose(
    path: Path, characters: int
) -> None:
    path.write_text((TEXT * 2)[:characters])
    corpus = charrnn.Corpus.read(path)
    model, _, passes = check._recipe(corpus)
    most = recipe.PARAMETERS_PER_CHARACTER * len(corpus.train)
    count = parameter_count(model)
    assert model.mogrifier == recipe.ROUNDS and count <= most
    assert passes == recipe.most_passes_for(count)


def test_standard_input_is_read_once() -> None:
    text = SHORT.replace("a", "é").encode("cp1252").replace(b"\n", b"\r\n")
    found = charrnn.check("-", stdin=io.BytesIO(text))
    assert found.settings == {"encoding": "cp1252"} and found.corpus.name == "stdin"
    assert "CRLF" in {f.kind: f.text for f in found.findings}["line ends"]


def test_bytes(path: Path) -> None:
    found = findings(path, bytes(range(256)) * 50, unit="byte")
    assert set(found) == {"symbols", "repeats", "documents", "size"}


def test_advice_is_what_makes_a_worse_network(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + SHORT.encode() + b"Q\x0c\r\n")
    assert advice(charrnn.Corpus.read(path)) == []
    wrong = "\n".join(WORDS[:1500]).replace("a", "Ã©")
    kinds = [f.kind for f in advice(charrnn.Corpus.from_text(wrong + "\n" + TEXT + TEXT))]
    assert kinds == ["encoding", "repeats"]


def test_commands_do_not_write_over_the_text(tmp_path: Path) -> None:
    """A shell empties the file before a program reads it."""
    wrong = SHORT.replace("a", "Ã©")
    assert findings(tmp_path / "Mended.TXT", wrong)["encoding"].command.endswith("again-mended.txt")
    for name, text in (("clean.txt", TEXT + "\u00ad"), ("mended.txt", wrong)):
        commands = [each.command for each in findings(tmp_path / name, text).values()]
        assert any(commands)
        assert not [each for each in commands if each.endswith(f"> {name}")]
    link = tmp_path / "book.txt"
    link.symlink_to(tmp_path / "mended.txt")
    (found,) = [each for each in charrnn.check(link).findings if each.kind == "encoding"]
    assert found.command.endswith("> again-mended.txt")
