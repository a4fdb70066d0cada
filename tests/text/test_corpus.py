import bz2
import codecs
import gzip
import hashlib
import io
import json
import lzma
import os
import threading
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import charrnn.text.cached_ids
import charrnn.text.contents
import charrnn.text.corpus
import charrnn.text.reading
from charrnn.config.settings import CorpusConfig
from charrnn.errors import ConfigError, CorpusError, VocabError
from charrnn.text.corpus import Corpus
from charrnn.text.decoding import tidy
from charrnn.text.sources import Source
from charrnn.text.streams import Streams, fit_batch_shape
from charrnn.text.vocab import UNKNOWN, Vocab

TEXT = "To be, or not to be:\nthat is the question.\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def text_of(corpus: Corpus) -> str:
    return corpus.vocab.decode(corpus.ids)


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charrnn.text.contents, "CHUNK", 3)


class TestReading:
    def test_one_file(self, tmp_path: Path) -> None:
        path = write(tmp_path / "hamlet act 3.txt", TEXT)
        corpus = Corpus.read(path)
        assert text_of(corpus) == TEXT
        assert corpus.vocab == Vocab(tuple(sorted(set(TEXT))))
        assert corpus.ids.dtype == np.uint8 and corpus.ids.ndim == 1 and len(corpus) == len(TEXT)
        assert corpus.sources == (Source(str(path), len(TEXT)),)
        assert corpus.sources[0].name == path.name
        assert corpus.name == "hamlet-act-3"

    @pytest.mark.usefixtures("tiny_chunks")
    def test_small_chunks_change_nothing(self, tmp_path: Path) -> None:
        text = "\ufeffé—\r\n\r漢\r\n𝔸e\u0301\ufeffx\r"
        path = write(tmp_path / "a", text)
        assert text_of(Corpus.read(path)) == "é—\n\n漢\n𝔸e\u0301\ufeffx\n"
        assert text_of(Corpus.read(path, CorpusConfig(newlines="keep"))) == text[1:]
        assert text_of(Corpus.read(path, CorpusConfig(normalize="NFC"))) == "é—\n\n漢\n𝔸é\ufeffx\n"
        assert (
            text_of(Corpus.read(path, CorpusConfig(normalize="NFKD")))
            == "e\u0301—\n\n漢\nAe\u0301\ufeffx\n"
        )

    def test_bytes_are_kept_as_they_are(self, tmp_path: Path) -> None:
        data = b"\xef\xbb\xbfa\r\n\x00\xff\xff"
        corpus = Corpus.read(
            write(tmp_path / "a", data), CorpusConfig(unit="byte", encoding="none", normalize="NFC")
        )
        assert [ord(corpus.vocab.symbols[i]) for i in corpus.ids] == list(data)
        assert corpus.vocab.unit == "byte" and list(corpus.vocab.symbols) == sorted(
            set(data.decode("latin-1"))
        )

    @pytest.mark.parametrize(
        "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "cp1252", "latin-1"]
    )
    def test_encodings(self, tmp_path: Path, encoding: str) -> None:
        path = write(tmp_path / "a", "déjà vu\r\n".encode(encoding))
        assert text_of(Corpus.read(path, CorpusConfig(encoding=encoding))) == "déjà vu\n"

    def test_many_symbols_take_two_bytes(self) -> None:
        text = "".join(chr(0x4E00 + i % 300) for i in range(1000))
        corpus = Corpus.from_text(text)
        assert corpus.ids.dtype == np.uint16 and len(corpus.vocab) == 300
        assert text_of(corpus) == text
        folded = Corpus.from_text(text, CorpusConfig(min_count=4))
        assert folded.ids.dtype == np.uint8 and len(folded.vocab) == 101

    def test_symbols_beyond_256_on_the_way_do_not_widen_the_result(self) -> None:
        text = "".join(chr(0x4E00 + i) for i in range(200)) * 2
        corpus = Corpus.from_text(text)
        assert corpus.ids.dtype == np.uint8
        assert text_of(corpus) == text

    def test_too_many_symbols(self) -> None:
        text = "".join(chr(0x10000 + i) for i in range(65537)) + "aa"
        with pytest.raises(CorpusError, match=r"65538 different symbols.*`min_count`"):
            Corpus.from_text(text)
        assert text_of(Corpus.from_text(text, CorpusConfig(min_count=2)))[-3:] == "\ufffdaa"

    @settings(max_examples=50)
    @given(
        st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
            min_size=2,
            max_size=80,
        )
    )
    def test_any_text(self, text: str) -> None:
        text = "ab" + text
        assert text_of(Corpus.from_text(text, CorpusConfig(newlines="keep"))) == text
        assert text_of(Corpus.from_text(text)) == text.replace("\r\n", "\n").replace("\r", "\n")
        assert (
            text_of(
                Corpus.from_text(
                    text.encode("utf-16"), CorpusConfig(encoding="utf-16", newlines="keep")
                )
            )
            == text
        )

    @settings(max_examples=200)
    @given(
        st.lists(
            st.text("ae<\n \u0301\u0338\u0327\u1100\u1161\u11a8가ｶﾞ\u09c7\u09beﬁﷺ漢", max_size=6),
            max_size=6,
        ),
        st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    )
    def test_normalisation_has_no_seams(self, pieces: list[str], form: str) -> None:
        whole = unicodedata.normalize(form, "".join(pieces))  # type: ignore[arg-type]
        assert "".join(tidy(iter(pieces), "keep", form)) == whole

    def test_normalisation_may_lengthen_a_text(self) -> None:
        corpus = Corpus.from_text("ab" + "ﷺ" * 10_000, CorpusConfig(normalize="NFKD"))
        assert len(corpus) == 2 + 18 * 10_000
        assert corpus.ids.base.nbytes == corpus.ids.nbytes  # no slack is kept

    def test_progress(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", TEXT * 60_000)
        told: list[tuple[int, int | None]] = []
        Corpus.read([path, path], progress=lambda done, total: told.append((done, total)))
        size = 2 * len(TEXT) * 60_000
        assert told[-1] == (size, size)
        assert {total for _, total in told} == {size} and len(told) > 3
        assert told == sorted(told)


class TestSources:
    def test_several_files_are_joined_by_newlines(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / name, text)
            for name, text in [("1", "ab"), ("2", ""), ("3", "\ufeffcd\n"), ("4", "e")]
        ]
        corpus = Corpus.read(paths)
        assert text_of(corpus) == "ab\ncd\ne"
        assert [s.characters for s in corpus.sources] == [
            2,
            1,
            3,
            1,
        ]  # a joining newline counts to the file before
        in_bytes = Corpus.read([paths[0], paths[3]], CorpusConfig(unit="byte"))
        assert text_of(in_bytes) == "ab\ne"

    def test_no_newline_beside_a_carriage_return(self, tmp_path: Path) -> None:
        paths = [write(tmp_path / "1", "a\r"), write(tmp_path / "2", "b")]
        assert text_of(Corpus.read(paths, CorpusConfig(newlines="keep"))) == "a\rb"

    def test_folder(self, tmp_path: Path) -> None:
        for name in ("b.txt", "a/z.txt", "a/b/c", ".hidden", ".git/x", "a/.h"):
            write(tmp_path / "My plays" / name, name + "\n")
        write(tmp_path / "My plays" / "picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
        corpus = Corpus.read(tmp_path / "My plays")
        assert text_of(corpus) == "a/b/c\na/z.txt\nb.txt\n"
        assert corpus.name == "My-plays"
        assert {Path(s.path).name: s.why for s in corpus.skipped} == {
            ".hidden": "hidden",
            ".git": "hidden",
            ".h": "hidden",
            "picture.png": "an image",
        }
        assert len(corpus.sources) == 3 and sum(s.characters for s in corpus.sources) == len(corpus)

    def test_a_skipped_file_leaves_no_trace(self, tmp_path: Path) -> None:
        for name, content in (("1", b"ab"), ("2", b"\0"), ("3", b"cd")):
            write(tmp_path / name, content)
        corpus = Corpus.read(tmp_path)
        assert text_of(corpus) == "ab\ncd"
        assert [s.characters for s in corpus.sources] == [3, 2]

    def test_bytes_of_binary_files_in_folders_are_read(self, tmp_path: Path) -> None:
        write(tmp_path / "a", b"\0\1")
        assert len(Corpus.read(tmp_path, CorpusConfig(unit="byte"))) == 2

    def test_glob(self, tmp_path: Path) -> None:
        for name in ("plays/b.txt", "plays/a.txt", "plays/c.md"):
            write(tmp_path / name, name[-5:] + "\n")
        corpus = Corpus.read(str(tmp_path / "plays" / "*.txt"))
        assert text_of(corpus) == "a.txt\nb.txt\n"
        assert corpus.name == "plays"
        assert Corpus.read(str(tmp_path / "**" / "b.*")).name == "b"

    def test_a_file_with_a_star_in_its_name_is_a_file(self, tmp_path: Path) -> None:
        write(tmp_path / "ab", "not this")
        assert text_of(Corpus.read(str(write(tmp_path / "a*", "this")))) == "this"

    def test_standard_input(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", "file")
        corpus = Corpus.read([path, "-"], stdin=io.BytesIO(b"stream"))
        assert text_of(corpus) == "file\nstream"
        assert corpus.sources[1] == Source("-", 6)
        packed = Corpus.read("-", stdin=io.BytesIO(gzip.compress(b"stream")))
        assert text_of(packed) == "stream" and packed.name == "stdin"

    def test_a_pipe_that_gives_little_at_a_time(self, tmp_path: Path) -> None:
        data = lzma.compress(TEXT.encode())
        fifo = tmp_path / "pipe"
        os.mkfifo(fifo)

        def feed() -> None:
            with fifo.open("wb", buffering=0) as pipe:
                for i in range(len(data)):
                    pipe.write(data[i : i + 1])

        feeder = threading.Thread(target=feed)
        feeder.start()
        told: list[tuple[int, int | None]] = []
        assert text_of(Corpus.read(fifo, progress=lambda *a: told.append(a))) == TEXT
        feeder.join()
        assert told == [(len(data), None)]

    @pytest.mark.parametrize(
        ("ending", "pack"),
        [
            ("gz", gzip.compress),
            ("bz2", bz2.compress),
            ("xz", lzma.compress),
            ("zst", zstandard.ZstdCompressor().compress),
        ],
    )
    def test_compressed(self, tmp_path: Path, ending: str, pack) -> None:  # type: ignore[no-untyped-def]
        text = "".join(f"{i * 7919 % 10007} é\n" for i in range(30_000))
        half = len(text) // 2
        packed = pack(text[:half].encode()) + pack(text[half:].encode())
        for name in (f"a.txt.{ending}", "a.txt"):
            corpus = Corpus.read(write(tmp_path / name, packed))
            assert text_of(corpus) == text
            assert corpus.name == "a"
        for cut in (len(packed) - 1, len(packed) - 9, len(packed) // 3, 7):
            with pytest.raises(CorpusError, match=r"a\.txt: .*damaged"):
                Corpus.read(write(tmp_path / "a.txt", packed[:cut]))
        middle = len(packed) // 4
        spoilt = (
            packed[:middle]
            + bytes(b ^ 255 for b in packed[middle : middle + 20])
            + packed[middle + 20 :]
        )
        with pytest.raises(CorpusError):
            Corpus.read(write(tmp_path / "a.txt", spoilt))
        with pytest.raises(CorpusError, match="damaged"):
            Corpus.read(write(tmp_path / f"plain.{ending}", "just plain text"))


class TestErrors:
    def test_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(write(tmp_path / "a", "a").parent)
        for source in ("nothing", "", "a\0b", Path("nothing")):
            with pytest.raises(CorpusError, match="no such file or folder"):
                Corpus.read(source)
        with pytest.raises(CorpusError, match=r"\*\.txt: no file matches"):
            Corpus.read("*.txt")
        with pytest.raises(CorpusError, match="name a file"):
            Corpus.read([])
        with pytest.raises(CorpusError, match="twice"):
            Corpus.read(["-", "-"])

    def test_folders_without_text(self, tmp_path: Path) -> None:
        (tmp_path / "e").mkdir()
        with pytest.raises(CorpusError, match="contains no files"):
            Corpus.read(tmp_path / "e")
        write(tmp_path / "e" / "x.bin", b"\0\0")
        with pytest.raises(CorpusError, match=r"left out: binary \(x\.bin\).*`unit` byte"):
            Corpus.read(tmp_path / "e")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_permissions(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", TEXT)
        path.chmod(0)
        with pytest.raises(CorpusError, match="permissions"):
            Corpus.read(path)

    def test_a_file_that_fails_while_it_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        path = write(tmp_path / "a", TEXT)
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(CorpusError, match=r"a: cannot read the file \(Permission denied\)"):
            Corpus.read(path)

    @pytest.mark.parametrize("chunk", [1, 3, 1 << 16])
    @pytest.mark.parametrize(
        ("data", "encoding", "at", "byte", "place"),
        [
            (b"abc\xe9def", "utf-8", 3, "e9", "line 1, column 4"),
            (b"a\r\nb\nc\xe9", "utf-8", 6, "e9", "line 3, column 2"),
            (b"ab\rcd\r\xe9", "utf-8", 6, "e9", "line 3, column 1"),
            ("é漢".encode() + b"\xe6\xbc", "utf-8", 5, "e6", "line 1, column 3"),
            (b"\xef\xbb\xbfab\xff", "utf-8-sig", 5, "ff", "line 1, column 3"),
            (b"caf\xe9", "ascii", 3, "e9", "line 1, column 4"),
            ("漢\n字".encode("gb18030") + b"ab\xff", "gb18030", 7, "ff", "line 2, column 4"),
            ("a\nb".encode("utf-16") + b"\x00\xdc\x00\x00", "utf-16", 8, "00", "line 2, column 2"),
            (b"a\x81", "cp1252", 1, "81", "line 1, column 2"),
        ],
    )
    def test_undecodable_bytes_are_located(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        chunk: int,
        data: bytes,
        encoding: str,
        at: int,
        byte: str,
        place: str,
    ) -> None:
        monkeypatch.setattr(charrnn.text.contents, "CHUNK", chunk)
        path = write(tmp_path / "a.txt", data)
        with pytest.raises(
            CorpusError,
            match=rf"a\.txt: not {encoding}: byte 0x{byte} at {place} \(byte {at}, .*`encoding`",
        ):
            Corpus.read(path, CorpusConfig(encoding=encoding))

    def test_utf16_is_recognised(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match="`encoding` utf-16"):
            Corpus.read(write(tmp_path / "a", TEXT.encode("utf-16")))
        with pytest.raises(CorpusError, match="`encoding`"):
            Corpus.read(
                write(tmp_path / "a", TEXT.encode("utf-16-le")), CorpusConfig(encoding="utf-16")
            )

    @pytest.mark.parametrize("encoding", ["klingon", "base64", "rot13", "", "a\0b"])
    def test_encodings_that_are_none(self, encoding: str) -> None:
        with pytest.raises(ConfigError, match="`encoding`"):
            Corpus.from_text(b"ab", CorpusConfig(encoding=encoding))

    def test_binary(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match=r"a: binary.* line 2, column 3;.*`unit` byte"):
            Corpus.read(write(tmp_path / "a", "a\nbé\0"))
        with pytest.raises(CorpusError, match="binary: use `unit` byte"):
            Corpus.read(write(tmp_path / "b", b"\x89ABC\0\0"))

    @pytest.mark.parametrize("text", ["", b"", b"\xef\xbb\xbf", "\ufeff"])
    def test_empty(self, text: str | bytes) -> None:
        with pytest.raises(CorpusError, match="empty"):
            Corpus.from_text(text)

    def test_one_symbol(self) -> None:
        with pytest.raises(
            CorpusError, match=r"contains only 'a' \(U\+0061 LATIN SMALL LETTER A\), 3 times"
        ):
            Corpus.from_text("aaa")
        with pytest.raises(CorpusError, match="contains only byte 0x0a"):
            Corpus.from_text("\n", CorpusConfig(unit="byte"))

    def test_too_short_to_split(self) -> None:
        with pytest.raises(CorpusError, match=r"10 characters, with 1 to train on.*`val_fraction`"):
            Corpus.from_text("abcdefghij", CorpusConfig(val_fraction=0.9))

    def test_half_characters(self) -> None:
        with pytest.raises(CorpusError, match=r"U\+D800.* at character 2"):
            Corpus.from_text("ab\ud800")
        with pytest.raises(CorpusError, match=r"U\+D800.* at character 2"):
            Corpus.from_text(b"ab+2AA-", CorpusConfig(encoding="utf-7"))


class TestVocabulary:
    def test_rare_symbols_become_one(self) -> None:
        corpus = Corpus.from_text("aabbxaby", CorpusConfig(min_count=2))
        assert corpus.vocab == Vocab(("a", "b", UNKNOWN), unknown=2)
        assert corpus.ids.tolist() == [0, 0, 1, 1, 2, 0, 1, 2]
        assert Corpus.from_text("aabb", CorpusConfig(min_count=2)).vocab.unknown is None

    def test_folding_everything(self) -> None:
        with pytest.raises(CorpusError, match=r"`min_count` 4 leaves no symbol.*'b'.* 3 times"):
            Corpus.from_text("aabbb", CorpusConfig(min_count=4))

    def test_a_given_vocabulary_is_kept(self) -> None:
        vocab = Vocab(tuple("cbaz"))
        corpus = Corpus.from_text("abcaab", CorpusConfig(min_count=2), vocab=vocab)
        assert corpus.vocab is vocab
        assert corpus.ids.tolist() == [2, 1, 0, 2, 2, 1]
        assert Corpus.from_text("aa", vocab=vocab).ids.tolist() == [2, 2]

    def test_a_given_vocabulary_that_lacks_characters(self) -> None:
        with pytest.raises(
            VocabError,
            match=r"'é' .* at character 2 \(nearest: 'e'\), 'x' .* at character 4; take it out",
        ):
            Corpus.from_text("aeéaxé", vocab=Vocab(tuple("ae")))
        folded = Corpus.from_text("aebéa", vocab=Vocab((UNKNOWN, "a", "e"), unknown=0))
        assert folded.ids.tolist() == [1, 2, 0, 0, 1]
        with pytest.raises(VocabError, match="`unit` byte"):
            Corpus.from_text("ab", vocab=Vocab(tuple("ab"), "byte"))

    def test_extending(self) -> None:
        corpus = Corpus.from_text("cabd", extend=Vocab(tuple("zba")))
        assert corpus.vocab.symbols == tuple("zbacd")
        assert corpus.ids.tolist() == [3, 2, 1, 4]

    def test_extending_folds_only_what_is_new_and_rare(self) -> None:
        corpus = Corpus.from_text("abccx", CorpusConfig(min_count=2), extend=Vocab(tuple("ba")))
        assert corpus.vocab == Vocab(("b", "a", "c", UNKNOWN), unknown=3)
        assert corpus.ids.tolist() == [1, 0, 2, 2, 3]

    def test_the_hash_is_of_what_was_read(self, tmp_path: Path) -> None:
        corpus = Corpus.from_text("cab漢")
        symbols = json.dumps(["a", "b", "c", "漢"]).encode()
        assert corpus.sha256 == hashlib.sha256(bytes([2, 0, 1, 3]) + symbols).hexdigest()
        moved = Corpus.read(write(tmp_path / "x" / "y", codecs.BOM_UTF8 + "cab漢".encode()))
        assert moved.sha256 == corpus.sha256
        assert Corpus.from_text("cab漢", vocab=corpus.vocab).sha256 == corpus.sha256
        assert Corpus.from_text("cba漢").sha256 != corpus.sha256
        assert Corpus.from_text("cad漢").sha256 != corpus.sha256

    @pytest.mark.parametrize(
        ("name", "folder"), [("..", "text"), ("a/b:c", "a-b-c"), ("-x", "x"), ("漢 é", "漢-é")]
    )
    def test_names_are_fit_for_folders(self, name: str, folder: str) -> None:
        assert Corpus.from_text("ab", name=name).name == folder


class TestSplits:
    @given(st.integers(40, 400), st.floats(0, 0.45), st.floats(0, 0.4))
    def test_the_parts_are_the_text(self, n: int, val: float, test: float) -> None:
        corpus = Corpus.from_text(
            "ab" * (n // 2) + "a" * (n % 2), CorpusConfig(val_fraction=val, test_fraction=test)
        )
        parts = [corpus.train, corpus.validation, corpus.test]
        assert np.concatenate(parts).tolist() == corpus.ids.tolist()
        assert all(np.shares_memory(p, corpus.ids) for p in parts if p.size)
        assert [p.size for p in parts if p.size == 1] == []
        assert abs(len(corpus.validation) - n * val) < 3 and abs(len(corpus.test) - n * test) < 2

    @pytest.mark.parametrize("part", ["validation", "test"])
    @pytest.mark.parametrize(("name", "content"), [(".hidden", b"text"), ("a.dat", b"\0\1\2" * 99)])
    def test_a_part_of_which_nothing_is_read(
        self, tmp_path: Path, part: str, name: str, content: bytes
    ) -> None:
        """It would be trained on another part than the one that was asked for."""
        text, own = write(tmp_path / "a.txt", "abc" * 99), tmp_path / "own"
        own.mkdir()
        (own / name).write_bytes(content)
        with pytest.raises(CorpusError, match=rf"own: no text to read here; left out: .*{name}"):
            Corpus.read(text, **{part: own})

    @pytest.mark.parametrize("compiled", [False, True])
    def test_files_of_their_own_are_the_parts_exactly(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
    ) -> None:
        """Nothing comes between two parts; the vocabulary is that of all."""
        monkeypatch.setattr(charrnn.text.reading, "LARGE", 1 if compiled else 1 << 26)
        a, b = write(tmp_path / "a", "no end of line"), write(tmp_path / "b", "second")
        c, d = write(tmp_path / "c", "\nvalidated"), write(tmp_path / "d", "Tested")
        corpus = Corpus.read([a, b], validation=c, test=[d, d])
        parts = corpus.train, corpus.validation, corpus.test
        assert [corpus.vocab.decode(ids) for ids in parts] == [
            "no end of line\nsecond",
            "\nvalidated",
            "Tested\nTested",
        ]
        assert {"T", "v"} <= set(corpus.vocab.symbols) and corpus.name == "a"
        assert (corpus.config.val_fraction, corpus.config.test_fraction) == (0.0, 0.0)
        found = [(source.name, source.characters, source.part) for source in corpus.sources]
        assert found == [
            *(("a", 15, ""), ("b", 6, "")),
            *(("c", 10, "validation"), ("d", 7, "test"), ("d", 6, "test")),
        ]

    @pytest.mark.parametrize("compiled", [False, True])
    def test_an_empty_file_between_two_parts(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
    ) -> None:
        monkeypatch.setattr(charrnn.text.reading, "LARGE", 1 if compiled else 1 << 26)
        a, b, nothing = (
            write(tmp_path / name, text) for name, text in (("a", "a text"), ("b", "bb"), ("c", ""))
        )
        corpus = Corpus.read([a, nothing], validation=[nothing, b, nothing], test=[nothing, b])
        assert corpus.vocab.decode(corpus.ids) == "a textbbbb"
        assert [source.characters for source in corpus.sources] == [6, 0, 0, 2, 0, 0, 2]

    def test_one_part_is_a_file(self, tmp_path: Path) -> None:
        """With a test file alone, the validation part is a share of the text still."""
        text, other = write(tmp_path / "a", "x" * 95 + "\n" * 5), write(tmp_path / "b", "yy")
        config = CorpusConfig(val_fraction=0.05, test_fraction=0.5)
        corpus = Corpus.read(text, config, test=other)
        parts = corpus.train, corpus.validation, corpus.test
        assert [corpus.vocab.decode(ids) for ids in parts] == ["x" * 95, "\n" * 5, "yy"]
        corpus = Corpus.read(text, config, validation=other)
        assert [len(corpus.train), len(corpus.validation), len(corpus.test)] == [100, 2, 0]
        tiny = write(tmp_path / "c", "y")
        with pytest.raises(
            CorpusError, match="the text for `test` has 1 character; it needs at least 2"
        ):
            Corpus.read(text, config, validation=other, test=tiny)
        with pytest.raises(CorpusError, match=r"standard input \(-\) is named twice"):
            Corpus.read("-", config, validation="-")

    def test_documents_of_each_part(self, tmp_path: Path) -> None:
        """A separator does not reach from one part into the next, which begins a document."""
        a, b = write(tmp_path / "a", "one\n\ntwo\n"), write(tmp_path / "b", "\nthree\n\nfour")
        corpus = Corpus.read(a, CorpusConfig(document_separator="\n\n+"), validation=b, test=a)
        starts = corpus.train_starts, corpus.validation_starts, corpus.test_starts
        assert [part.tolist() for part in starts if part is not None] == [[-1, 4], [-1, 7], [-1, 4]]

    def test_parts_that_are_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is kept of a text tells its parts, and is of these parts alone."""
        monkeypatch.setenv("CHARRNN_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setattr(charrnn.text.cached_ids, "_SOUGHT_FROM", 1)
        monkeypatch.setattr(charrnn.text.corpus, "KEPT_FROM", 1)
        a, b = write(tmp_path / "a", "first\n"), write(tmp_path / "b", "second")
        before, again, joined = (
            Corpus.read(a, validation=b),
            Corpus.read(a, validation=b),
            Corpus.read([a, b], CorpusConfig(val_fraction=0.0)),
        )
        assert again.kept_in is not None and again.kept_in != joined.kept_in
        assert again.sources == before.sources and len(again.validation) == 6
        assert again.sha256 == joined.sha256 and len(joined.validation) == 0

    def test_sizes(self) -> None:
        def sizes(n: int, **fractions: float) -> list[int]:
            corpus = Corpus.from_text("ab" * (n // 2), CorpusConfig(**fractions))  # type: ignore[arg-type]
            return [len(corpus.train), len(corpus.validation), len(corpus.test)]

        assert sizes(1000) == [900, 100, 0]
        assert sizes(1000, test_fraction=0.2) == [700, 100, 200]
        assert sizes(1000, val_fraction=0.0) == [1000, 0, 0]
        assert sizes(1000, val_fraction=0.0, test_fraction=0.1) == [900, 0, 100]
        assert sizes(20, val_fraction=0.9) == [2, 18, 0]
        assert sizes(10) == [10, 0, 0]
        assert sizes(2) == [2, 0, 0]


class TestStreams:
    @given(st.integers(2, 300), st.integers(1, 12), st.integers(1, 40))
    def test_they_rejoin_into_the_text(self, n: int, batch_size: int, seq_length: int) -> None:
        batch_size, seq_length = fit_batch_shape(n, batch_size, seq_length)
        ids = np.arange(n, dtype=np.uint16)
        streams = Streams(ids, batch_size, seq_length)
        batches = [streams.batch(step) for step in range(streams.steps)]
        x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        covered = batch_size * streams.targets
        assert x.T.ravel().tolist() == list(range(covered))
        assert y.T.ravel().tolist() == list(range(1, covered + 1))
        assert n - 1 - covered < batch_size
        lengths = {len(part) for part, _ in batches}
        assert max(lengths) <= seq_length and max(lengths) - min(lengths) <= 1

    def test_batches_are_what_kernels_want(self) -> None:
        ids = np.arange(100, dtype=np.uint8)
        ids.flags.writeable = False
        x, y = Streams(ids, 3, 10).batch(0)
        for part in (x, y):
            assert part.dtype == np.int32 and part.flags.c_contiguous and part.shape == (8, 3)
        assert x[:, 1].tolist() == list(range(33, 41))

    def test_of_a_memory_map(self, tmp_path: Path) -> None:
        path = write(tmp_path / "ids", bytes(range(200)))
        x, y = Streams(np.memmap(path, np.uint8, "r"), 2, 5).batch(3)
        assert np.array_equal(x + 1, y)

    def test_bounds(self) -> None:
        streams = Streams(np.zeros(10, np.uint8), 3, 2)
        for step in (-1, streams.steps):
            with pytest.raises(IndexError):
                streams.batch(step)
        with pytest.raises(CorpusError, match=r"3 characters .* 3 streams"):
            Streams(np.zeros(3, np.uint8), 3, 2)

    @given(st.integers(2, 5000), st.integers(1, 100), st.integers(1, 100))
    def test_fitting(self, n: int, batch_size: int, seq_length: int) -> None:
        b, t = fit_batch_shape(n, batch_size, seq_length)
        assert 1 <= b <= batch_size and 1 <= t <= seq_length and (n - 1) // b >= t
        assert t == seq_length or t == n - 1
        assert b == batch_size or (n - 1) // (b + 1) < t

    def test_fitting_examples(self) -> None:
        assert fit_batch_shape(1_000_000, 32, 64) == (32, 64)
        assert fit_batch_shape(1000, 32, 64) == (15, 64)
        assert fit_batch_shape(50, 32, 64) == (1, 49)
        with pytest.raises(CorpusError, match="1 character; at least 2"):
            fit_batch_shape(1, 32, 64)


def test_a_large_text_is_in_memory_once(tmp_path: Path) -> None:
    import tracemalloc

    path = write(tmp_path / "a", (TEXT + "“quoted”\n") * 80_000)
    size = path.stat().st_size
    tracemalloc.start()
    corpus = Corpus.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.ids.nbytes > 4e6
    # The text, the table of code points (4.5 MB), and a few pieces.
    assert peak < 1.2 * size + 8e6
