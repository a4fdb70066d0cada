"""What is read of what people name: folders, documents, archives, pipes, and texts as they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import socket
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import charrnn.text.contents
from charrnn.checkpoint.paths import BEST, LAST
from charrnn.config import CorpusConfig
from charrnn.errors import CharrnnError, CorpusError
from charrnn.text.corpus import Corpus
from charrnn.text.kinds import kind_of, packing, wide_encoding
from charrnn.text.sources import RUN_FILES, find, summary
from charrnn.training.entries import ADVICE
from charrnn.training.records import SAMPLES, STEPS
from charrnn.training.run_folder import TEST_LOOKS, RunFolder
from tests.fuzzing import fuzzed

TEXT = "Où est-il ?\nПривет, 漢字\nand plain words\n" * 20
posix = pytest.mark.skipif(os.name != "posix", reason="only there")


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def text_of(corpus: Corpus) -> str:
    return corpus.vocab.decode(corpus.ids)


def left_out(corpus: Corpus, folder: Path) -> dict[str, str]:
    return {Path(one.path).relative_to(folder).as_posix(): one.why for one in corpus.skipped}


class TestFolders:
    def test_what_charrnn_wrote_is_not_read(self, tmp_path: Path) -> None:
        write(tmp_path / "book.txt", TEXT)
        for name in (LAST, BEST, "config.toml", "history.jsonl"):
            write(tmp_path / "checkpoints/a" / name, "step = 1")
        write(tmp_path / "checkpoints/killed/config.toml", "step = 1")
        write(tmp_path / "checkpoints/killed/history.jsonl", "")
        write(tmp_path / "checkpoints/notes.txt", "my notes\n")
        corpus = Corpus.read(tmp_path)
        assert text_of(corpus) == TEXT + "my notes\n"
        assert left_out(corpus, tmp_path) == {"checkpoints/a": "run", "checkpoints/killed": "run"}

    def test_the_folder_of_a_run_with_a_text_in_it(self, tmp_path: Path) -> None:
        write(tmp_path / "book.txt", TEXT)
        for name in RUN_FILES:
            write(tmp_path / name, "step = 1")
        corpus = Corpus.read(tmp_path)
        assert text_of(corpus) == TEXT
        assert left_out(corpus, tmp_path) == dict.fromkeys(RUN_FILES, "run")

    def test_the_files_of_a_run_have_these_names(self, tmp_path: Path) -> None:
        run = RunFolder(tmp_path)
        paths = run.last, run.best, run.good, run.history, run.config, tmp_path / TEST_LOOKS
        assert {path.name for path in paths} | {STEPS, SAMPLES, ADVICE} == RUN_FILES

    def test_the_other_networks_of_a_run_are_its_own_too(self, tmp_path: Path) -> None:
        write(tmp_path / "book.txt", TEXT)
        names = "last.safetensors", "best.safetensors", "best-2.safetensors", "best-12.safetensors"
        for name in names:
            write(tmp_path / name, "weights")
        corpus = Corpus.read(tmp_path, CorpusConfig(unit="byte"))
        assert left_out(corpus, tmp_path) == dict.fromkeys(names, "run")

    def test_a_setting_file_alone_is_no_run(self, tmp_path: Path) -> None:
        write(tmp_path / "a/config.toml", "speed = 1\n")
        assert text_of(Corpus.read(tmp_path)) == "speed = 1\n"

    @pytest.mark.parametrize(
        ("name", "folder", "why"),
        [
            (".git/HEAD", ".git", "hidden"),
            ("a/.hg/x", "a/.hg", "hidden"),
            (".venv/lib/x.py", ".venv", "hidden"),
            ("__pycache__/x.py", "__pycache__", "of tools"),
            ("web/node_modules/m/index.js", "web/node_modules", "of tools"),
            ("CVS/Entries", "CVS", "of tools"),
            ("env/pyvenv.cfg", "env", "of tools"),
            ("target/CACHEDIR.TAG", "target", "of tools"),
            ("my.egg-info/SOURCES.txt", "my.egg-info", "of tools"),
            ("a/book.txt~", "a/book.txt~", "backup"),
            ("#book.txt#", "#book.txt#", "backup"),
            ("~$book.txt", "~$book.txt", "backup"),
            ("data.csv", "data.csv", "no prose or code"),
            ("a/B.JSON", "a/B.JSON", "no prose or code"),
            ("log.jsonl.gz", "log.jsonl.gz", "no prose or code"),
            ("lib.min.js", "lib.min.js", "no prose or code"),
            ("utf16.txt", "utf16.txt", "in utf-16-le"),
        ],
    )
    def test_what_nobody_wrote(self, tmp_path: Path, name: str, folder: str, why: str) -> None:
        content = "some words\n" if name != "utf16.txt" else "words\n".encode("utf-16-le")
        named = write(tmp_path / name, content)
        write(tmp_path / "x/book.txt", TEXT)
        corpus = Corpus.read(tmp_path)
        assert text_of(corpus) == TEXT
        assert left_out(corpus, tmp_path) == {folder: why}
        if why != "in utf-16-le" and named.suffix != ".gz":  # by its own name it is read
            assert text_of(Corpus.read(named)) == "some words\n"

    def test_a_folder_that_is_named_is_read(self, tmp_path: Path) -> None:
        for name in (".notes", "__pycache__", "node_modules"):
            write(tmp_path / name / "a.txt", TEXT)
            assert text_of(Corpus.read(tmp_path / name)) == TEXT

    def test_other_names_and_kinds_are_read(self, tmp_path: Path) -> None:
        names = ("a.md", "b.py", "c", "d.toml", "e.tex", "f.html", "g.txt.gz", "venv/h.txt")
        for name in names:
            data = f"{name}\n".encode()
            write(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
        corpus = Corpus.read(tmp_path)
        assert text_of(corpus) == "".join(f"{name}\n" for name in names)
        assert not corpus.skipped

    def test_bytes_of_all_kinds_are_read_but_not_runs(self, tmp_path: Path) -> None:
        write(tmp_path / "a.csv", b"\0\1")
        write(tmp_path / ".git/x", b"\2")
        corpus = Corpus.read(tmp_path, CorpusConfig(unit="byte"))
        assert len(corpus) == 2 and left_out(corpus, tmp_path) == {".git": "hidden"}

    @pytest.mark.parametrize("named", ["", "*"])
    def test_nothing_left(self, tmp_path: Path, named: str) -> None:
        write(tmp_path / "f/.git/x", "x")
        write(tmp_path / f"f/a/{LAST}", "x")
        with pytest.raises(CorpusError, match=r"left out: .*run \((a|last)"):
            Corpus.read(str(tmp_path / "f" / named))
        write(tmp_path / "f/d.csv", "a,b")
        with pytest.raises(CorpusError, match=r"d\.csv|not plain text|left out"):
            Corpus.read(tmp_path / "f")

    def test_a_folder_of_runs_beside_texts(self, tmp_path: Path) -> None:
        # the shell writes both for `charrnn train *`
        write(tmp_path / f"checkpoints/a/{LAST}", "x")
        book = write(tmp_path / "book.txt", TEXT)
        corpus = Corpus.read([book, tmp_path / "checkpoints"])
        assert text_of(corpus) == TEXT
        assert left_out(corpus, tmp_path) == {"checkpoints/a": "run"}

    @posix
    def test_links_and_things_that_are_no_files(self, tmp_path: Path) -> None:
        write(tmp_path / "f/book.txt", TEXT)
        write(tmp_path / "elsewhere/x.txt", "from elsewhere\n")
        (tmp_path / "f/loop").symlink_to(tmp_path / "f")
        (tmp_path / "f/self").symlink_to("self")
        (tmp_path / "f/gone").symlink_to(tmp_path / "nothing")
        (tmp_path / "f/x.txt").symlink_to(tmp_path / "elsewhere/x.txt")
        os.mkfifo(tmp_path / "f/pipe")
        corpus = Corpus.read(tmp_path / "f")
        assert text_of(corpus) == TEXT + "from elsewhere\n"
        assert left_out(corpus, tmp_path / "f") == {
            "loop": "link",
            "self": "broken link",
            "gone": "broken link",
            "pipe": "device or pipe",
        }
        with pytest.raises(CorpusError, match=r"a link to .*nothing, which does not exist"):
            Corpus.read(tmp_path / "f/gone")
        with pytest.raises(CorpusError, match="self"):
            Corpus.read(tmp_path / "f/self")

    @posix
    def test_names_with_anything_in_them(self, tmp_path: Path) -> None:
        for name in ("a\nb.txt", "\x1b[31mred.txt", "*.txt", os.fsdecode(b"\xff.txt")):
            write(tmp_path / name, TEXT)
            assert text_of(Corpus.read(str(tmp_path / name))) == TEXT
        assert len(Corpus.read(tmp_path).sources) == 4

    @pytest.mark.parametrize("pattern", ["**", "*", "**/", "**/*", "**/*.txt"])
    def test_a_glob_reads_each_file_once(self, tmp_path: Path, pattern: str) -> None:
        a, b = write(tmp_path / "a.txt", "a\n"), write(tmp_path / "sub/b.txt", "b\n")
        assert [file.path for file in find(f"{tmp_path}/{pattern}").files] == [str(a), str(b)]

    def test_many_files(self, tmp_path: Path) -> None:
        for i in range(3000):
            write(tmp_path / f"{i % 7}/{i}.txt", "word\n")
            write(tmp_path / f"{i % 7}/{i}.csv", "a,b\n")
        start = time.monotonic()
        corpus = Corpus.read(tmp_path)
        assert time.monotonic() - start < 10
        assert len(corpus.sources) == len(corpus.skipped) == 3000
        assert len(summary(corpus.skipped)) < 100 and "and 2998 more" in summary(corpus.skipped)

    def test_the_summary(self, tmp_path: Path) -> None:
        for name in (".a", ".b", ".c", ".d", "x~"):
            write(tmp_path / name, "x")
        write(tmp_path / "y", "y")
        assert summary(find(tmp_path).skipped) == "hidden (.a, .b and 2 more), backup (x~)"


def zipped(*files: tuple[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files:
            archive.writestr(name, content)
    return data.getvalue()


def tarred() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo("book.txt")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    return data.getvalue()


KINDS = {
    "Word document": zipped(("[Content_Types].xml", "<x>"), ("word/document.xml", "<w>")),
    "Office document": zipped(("[Content_Types].xml", "<x>"), ("xl/workbook.xml", "<w>")),
    "EPUB book": zipped(("mimetype", "application/epub+zip"), ("a.xhtml", "<a>")),
    "OpenDocument": zipped(("mimetype", "application/vnd.oasis.opendocument.text"), ("a", "b")),
    "zip archive": zipped(("a.txt", "word")),
    "old Office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "PDF": b"%PDF-1.4\nonly ASCII here\n",
    "RTF": rb"{\rtf1\ansi only ASCII here}",
    "PostScript": b"%!PS-Adobe-3.0\n%%Title: x\n",
    "Kindle": b"Title".ljust(32, b"\0") + bytes(28) + b"BOOKMOBI" + bytes(99),
    "tar archive": tarred(),
    "7-Zip": b"7z\xbc\xaf\x27\x1c\0\4" + bytes(99),
    "RAR": b"Rar!\x1a\x07\x01\0" + bytes(99),
    "unknown format": b"\x1f\x9d\x90abc",
    "image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "an image": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "sound": b"ID3\3\0\0\0\0\0\0",
    "video": b"\0\0\0\x18ftypmp42\0\0\0\0",
    "program": b"\x7fELF\2\1\1" + bytes(99),
    "data": b"SQLite format 3\0" + bytes(99),
}


class TestKinds:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252"])
    def test_files_that_are_no_text(self, tmp_path: Path, kind: str, encoding: str) -> None:
        path = write(tmp_path / "f/book.txt", KINDS[kind])
        for config in (
            CorpusConfig(encoding=encoding),
            CorpusConfig(encoding=encoding, encoding_errors="replace"),
        ):
            with pytest.raises(CorpusError, match=rf"book\.txt: .*{kind}.*, not plain text; ") as e:
                Corpus.read(path, config)
            assert "latin-1" not in str(e.value) and "byte" not in str(e.value)
        write(tmp_path / "f/z.txt", TEXT)
        corpus = Corpus.read(tmp_path / "f")
        assert text_of(corpus) == TEXT and kind in corpus.skipped[0].why
        assert len(Corpus.read(path, CorpusConfig(unit="byte"))) == len(KINDS[kind])

    def test_in_a_compressed_file_and_from_a_pipe(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match=r"a\.tar\.gz: a tar archive"):
            Corpus.read(write(tmp_path / "a.tar.gz", gzip.compress(tarred())))
        with pytest.raises(CorpusError, match="-: a PDF document"):
            Corpus.read("-", stdin=io.BytesIO(KINDS["PDF"]))

    def test_of_large_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("charrnn.text.reading.LARGE", 1)  # compiled code
        for kind in ("RTF", "Word document"):
            with pytest.raises(CorpusError, match=kind):
                Corpus.read(write(tmp_path / "a", KINDS[kind]))

    @pytest.mark.parametrize(
        "text",
        ["PK is a name", "BM, as they say", "GIF89a is a format", "MZ", "Rar! it said", "RIFF",
         "ID3 tags", "%PDF", "ustar", "7z", "BZh", "{\\rt", "MThd", "PAR1", "\ufeffword", "", "ÿû"],
    )  # fmt: skip
    def test_texts_that_begin_alike(self, text: str) -> None:
        for encoding in ("utf-8", "latin-1") if text[:1] != "\ufeff" else ("utf-8",):
            head = (text + "\nMore words.\n").encode(encoding)
            assert kind_of(head) is None and packing("a.txt", head) is None
            assert wide_encoding(head) is None


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
    @pytest.mark.parametrize(
        "text", [TEXT, "plain words\n", "Привет, мир!\n" * 900, "漢字かな。\n" * 3000]
    )
    @pytest.mark.parametrize("declared", ["utf-8", "latin-1"])
    def test_wide_ones_without_a_mark(
        self, tmp_path: Path, encoding: str, text: str, declared: str
    ) -> None:
        path = write(tmp_path / "a", text.encode(encoding))
        with pytest.raises(CorpusError, match=f"looks like {encoding}; use `encoding` {encoding}"):
            Corpus.read(path, CorpusConfig(encoding=declared))
        assert text_of(Corpus.read(path, CorpusConfig(encoding=encoding))) == text

    def test_wide_ones_with_a_mark(self, tmp_path: Path) -> None:
        for encoding in ("utf-16", "utf-32"):
            path = write(tmp_path / "a", TEXT.encode(encoding))
            with pytest.raises(CorpusError, match=f"`encoding` {encoding}$"):
                Corpus.read(path)
            assert text_of(Corpus.read(path, CorpusConfig(encoding=encoding))) == TEXT

    @pytest.mark.parametrize(
        "data", [b"ab\0", b"words and\0 more words\n" * 9, bytes(99), b"\0" * 5]
    )
    def test_other_zeros_are_not_wide(self, data: bytes) -> None:
        assert wide_encoding(data) is None

    @pytest.mark.parametrize("chunk", [1, 5, 1 << 16])
    def test_bytes_that_are_not_in_the_encoding(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
    ) -> None:
        monkeypatch.setattr(charrnn.text.contents, "CHUNK", chunk)
        path = write(tmp_path / "a", b"caf\xe9 au lait\nna\xefve\n")
        message = r"0xe9 at line 1, column 4 .*`encoding_errors` replace or ignore"
        with pytest.raises(CorpusError, match=message):
            Corpus.read(path)
        read = {
            errors: text_of(Corpus.read(path, CorpusConfig(encoding_errors=errors)))  # type: ignore[arg-type]
            for errors in ("replace", "ignore")
        }
        assert read == {
            "replace": "caf\ufffd au lait\nna\ufffdve\n",
            "ignore": "caf au lait\nnave\n",
        }

    def test_the_line_in_a_large_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = b"x" * 99 + b"\n"
        path = write(tmp_path / "a", data * 12345 + b"abc\xff" + data * 3000)
        for large in (1, 1 << 26):  # with compiled code, and without
            monkeypatch.setattr("charrnn.text.reading.LARGE", large)
            with pytest.raises(CorpusError, match="line 12,346, column 4"):
                Corpus.read(path)
        monkeypatch.setattr("charrnn.text.reading.LARGE", 1)
        assert "\ufffd" in Corpus.read(path, CorpusConfig(encoding_errors="replace")).vocab.index

    def test_line_ends(self, tmp_path: Path) -> None:
        for end in ("\r", "\r\n", "\n"):
            path = write(tmp_path / "a", f"one{end}two{end}")
            assert text_of(Corpus.read(path)) == "one\ntwo\n"
            assert text_of(Corpus.read(path, CorpusConfig(newlines="keep"))) == f"one{end}two{end}"

    def test_a_mark_in_the_middle_is_a_character(self, tmp_path: Path) -> None:
        one, two = (write(tmp_path / name, "\ufeffab\n") for name in "ab")
        assert text_of(Corpus.read([one, two])) == "ab\nab\n"
        both = write(tmp_path / "c", one.read_bytes() + two.read_bytes())
        assert text_of(Corpus.read(both)) == "ab\n\ufeffab\n"

    def test_one_long_line(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", "漢字" * 1_000_000)
        assert len(Corpus.read(path, CorpusConfig(normalize="NFC"))) == 2_000_000


class TestCompressed:
    @pytest.mark.parametrize(
        ("ending", "pack", "between"),
        [
            ("gz", gzip.compress, bytes(512)),
            ("bz2", bz2.compress, b""),
            ("xz", lzma.compress, bytes(8)),
            ("zst", zstandard.ZstdCompressor().compress, b"\x50\x2a\x4d\x18\3\0\0\0abc"),
        ],
    )
    def test_streams_one_after_another(self, tmp_path: Path, ending, pack, between) -> None:  # type: ignore[no-untyped-def]
        half = len(TEXT) // 2
        parts = [TEXT[:half], TEXT[half:], "", "the end\n"]
        packed = between.join(pack(part.encode()) for part in parts)
        assert text_of(Corpus.read(write(tmp_path / f"a.{ending}", packed))) == TEXT + "the end\n"
        if between and ending == "zst":
            path = write(tmp_path / "a", between + packed)
            assert text_of(Corpus.read(path)) == TEXT + "the end\n"
        with pytest.raises(CorpusError, match="damaged"):
            Corpus.read(write(tmp_path / f"a.{ending}", packed + b"garbage"))

    def test_empty(self, tmp_path: Path) -> None:
        for ending, pack in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
            with pytest.raises(CorpusError, match="the text is empty"):
                Corpus.read(write(tmp_path / f"a.{ending}", pack(b"")))


@posix
class TestWithoutEnd:
    @pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/urandom"])
    def test_devices(self, path: str) -> None:
        for config in (CorpusConfig(), CorpusConfig(unit="byte")):
            with pytest.raises(CorpusError, match=f"{path}: a device or socket, not a file"):
                Corpus.read(path, config)

    def test_sockets(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("s")
            with pytest.raises(CorpusError, match="a device or socket"):
                Corpus.read("s")

    def test_a_pipe_that_nothing_writes_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(tmp_path / "pipe")
        monkeypatch.setattr(charrnn.text.contents, "WRITER_WAIT", 0.2)
        threads, descriptors = threading.active_count(), len([*Path("/dev/fd").iterdir()])
        with pytest.raises(CorpusError, match=r"pipe: .*to write to in 0\.2 s"):
            Corpus.read(tmp_path / "pipe")
        assert threading.active_count() == threads
        assert len([*Path("/dev/fd").iterdir()]) == descriptors

    def test_a_pipe_of_the_shell(self) -> None:
        # what `charrnn train <(...)` gives us
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(TEXT.encode())
        try:
            assert text_of(Corpus.read(f"/dev/fd/{reading}")) == TEXT
        finally:
            os.close(reading)

    def test_a_stream_in_bytes_ends_with_the_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("charrnn.text.stored.memory_size", lambda: 5_000_000)

        class Zeros(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
                return len(buffer)

        with pytest.raises(CorpusError, match=r"-: more than fits into .* memory, after 3,9"):
            Corpus.read("-", CorpusConfig(unit="byte"), stdin=io.BufferedReader(Zeros()))

    def test_a_small_file_with_a_large_text(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("charrnn.text.stored.memory_size", lambda: 5_000_000)
        for pack in (gzip.compress, bz2.compress, lzma.compress):
            with pytest.raises(CorpusError, match=r"bomb: more than fits into .* memory"):
                Corpus.read(write(tmp_path / "bomb", pack(b"ab" * 4_000_000)))

    def test_a_file_with_holes(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a", "words")
        os.truncate(path, 1 << 42)
        with pytest.raises(CorpusError, match="binary"):
            Corpus.read(path)


class TestRecorded:
    """What a file of unknown origin names."""

    @pytest.mark.parametrize("large", [1, 1 << 26])
    def test_no_more_is_read_than_it_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
    ) -> None:
        monkeypatch.setattr("charrnn.text.reading.LARGE", large)
        path = write(tmp_path / "a", "ab\n" * 10_000_000)
        read: list[int] = []
        with pytest.raises(CorpusError, match="more than 300 characters"):
            Corpus.read(path, lengths=[300], progress=lambda done, _: read.append(done))
        assert max(read, default=0) <= 1 << 24
        assert len(Corpus.read(path, lengths=[30_000_000])) == 30_000_000
        with pytest.raises(CorpusError, match="1 file, but there should be 2"):
            Corpus.read(path, lengths=[1, 2])
        with pytest.raises(CorpusError, match="2 files, but there should be 1"):
            Corpus.read([path, path], lengths=[1])


HEADS = [b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\3\4", b"\xff\xfe"]


@fuzzed(100)
@given(
    st.sampled_from([*HEADS, *(data[:40] for data in KINDS.values())]),
    st.binary(max_size=300) | st.text(max_size=80).map(str.encode),
    st.sampled_from(["utf-8", "utf-16", "utf-32-be", "latin-1", "gb18030", "utf-7", "cp1252"]),
    st.sampled_from(["strict", "replace", "ignore"]),
    st.sampled_from(["a", "a.gz", "a.bz2", "a.xz", "a.zst", "a.csv"]),
)
def test_any_bytes_are_read_or_refused(
    tmp_path: Path, head: bytes, rest: bytes, encoding: str, errors: str, name: str
) -> None:
    path = write(tmp_path / "f" / name, head + rest)
    for source in (path, path.parent):
        for unit in ("char", "byte"):
            config = CorpusConfig(encoding=encoding, encoding_errors=errors, unit=unit)  # type: ignore[arg-type]
            try:
                corpus = Corpus.read(source, config)
            except CharrnnError as error:
                assert "\n" not in str(error) and len(str(error)) < 900
            else:
                assert len(corpus) >= 2
    path.unlink()
