"""Large texts: what is read twice by compiled code is what all other texts are that are read piece
by piece.
"""

import codecs
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charrnn.text.counted
import charrnn.text.reading
from charrnn.cli import inputs
from charrnn.cli.inputs import read_text
from charrnn.config.settings import CorpusConfig
from charrnn.errors import CharrnnError, ConfigError, CorpusError, VocabError
from charrnn.kernels import utf8
from charrnn.text.contents import read_bytes
from charrnn.text.corpus import Corpus
from charrnn.text.counted import Counted
from charrnn.text.reading import MOST_THREADS, PAD, Reading, left_over, uses_kernels
from charrnn.text.sources import find
from charrnn.text.vocab import UNKNOWN, Vocab

TEXT = "\ufeffIn — am…\r\n\rд漢\r\n𝔸e\u0301\ufeffx🙂\r"


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr(charrnn.text.reading, "LARGE", 1)
    monkeypatch.setattr(charrnn.text.reading, "PIECE", 5)
    monkeypatch.setattr(charrnn.text.counted, "BLOCK", 4)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def counted_text(path: Path, config: CorpusConfig | None = None, tick=lambda n: None) -> Counted:
    reading = Reading(
        find(path)[0],
        config or CorpusConfig(),
        lambda file, tick: read_bytes(file, None, tick),
        tick,
        raw=True,
    )
    return Counted(reading)


def ids_of(text: Counted, vocab: Vocab) -> np.ndarray:
    for _ in text.encode(vocab):
        pass
    return text.ids()


def both(sources, config=None, **options):
    """What becomes of files, or the error, counted and stored."""
    results = []
    for large in (1, 1 << 40):
        charrnn.text.reading.LARGE = large  # the fixture restores it
        assert uses_kernels(find(sources)[0], config or CorpusConfig()) == (large == 1)
        try:
            corpus = Corpus.read(sources, config, **options)
            assert corpus.ids.dtype == corpus.vocab.dtype
            results.append(
                (corpus.ids.tolist(), corpus.vocab, corpus.sources, corpus.sha256, corpus.skipped)
            )
        except CharrnnError as error:
            results.append((type(error), str(error)))
    charrnn.text.reading.LARGE = 1
    return results


CONFIGS = st.builds(
    CorpusConfig,
    newlines=st.sampled_from(["lf", "keep"]),
    unit=st.sampled_from(["char", "byte"]),
    min_count=st.integers(1, 2),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "UTF8"]),
)


BORDERS = [
    bytes([b]) for b in b"\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xed\xef\xf0\xf4\xf5\xff"
]
"""Where the ranges of UTF-8's bytes begin and end."""
PIECES = ["", "a", "b\n", "c\r", "\ufeff", "\ufeffd", "\n", "é", "漢\r\n"]


class TestTheSame:
    @settings(max_examples=150)
    @given(
        st.text(st.sampled_from("ab\r\n\ufeffé\u07ff\u0800漢\uffff𝔸\U0010ffff")),
        CONFIGS,
        st.integers(1, 9),
    )
    def test_any_text(self, tmp_path_factory, text, config, segment):
        charrnn.text.reading.PIECE = segment
        counted, stored = both(write(tmp_path_factory.mktemp("t") / "a", "ab" + text), config)
        assert counted == stored

    @settings(max_examples=300)
    @given(
        st.lists(
            st.sampled_from(
                [*BORDERS, b"a", b"\n", b"\r", b"\0", "é".encode(), "漢".encode(), "🙂".encode()]
            ),
            max_size=12,
        ).map(b"".join)
        | st.binary(max_size=12),
        st.integers(1, 9),
    )
    def test_any_bytes(self, tmp_path_factory, data, segment):
        charrnn.text.reading.PIECE = segment
        path = write(tmp_path_factory.mktemp("t") / "a", b"ab" + data)
        counted, stored = both(path)
        assert counted == stored

    @settings(max_examples=50)
    @given(st.lists(st.sampled_from(PIECES), min_size=2, max_size=6), CONFIGS)
    def test_several_files(self, tmp_path_factory, texts, config):
        folder = tmp_path_factory.mktemp("t")
        paths = [write(folder / str(n), text) for n, text in enumerate(["xy", *texts])]
        counted, stored = both(paths, config)
        assert counted == stored

    def test_many_small_files(self, tmp_path):
        for n in range(60):
            write(tmp_path / "f" / f"{n:02}", "é漢a" * (n % 4) + str(n))
        counted, stored = both(tmp_path / "f")
        assert counted == stored

    def test_a_folder_with_a_binary_file(self, tmp_path):
        for name, content in (("a", "first"), ("b", b"\x89PNG\0\0"), ("c", "last\n")):
            write(tmp_path / "f" / name, content)
        for unit in ("char", "byte"):
            counted, stored = both(tmp_path / "f", CorpusConfig(unit=unit))
            assert counted == stored
            assert len(counted[4]) == (unit == "char")
        write(tmp_path / "f" / "a", b"\0")
        write(tmp_path / "f" / "c", b"\0")
        counted, stored = both(tmp_path / "f")
        assert counted == stored and "left out: binary (a, b and 1 more)" in counted[1]

    def test_vocabularies(self, tmp_path):
        path = write(tmp_path / "a", "aebéa漢é漢a\n")
        given_ones = [
            Vocab(tuple("ae\n")),
            Vocab(tuple("\n漢éeba")),
            Vocab((UNKNOWN, "a", "e"), unknown=0),
            Vocab(tuple("ae"), "byte"),
            Vocab(tuple(chr(c) for c in range(ord("a"), 1000))),
        ]
        for vocab in given_ones:
            for options in ({"vocab": vocab}, {"extend": vocab}):
                counted, stored = both(path, **options)
                assert counted == stored, options
        counted, stored = both(path, vocab=Vocab(tuple("a")))
        assert counted == stored and counted[0] is VocabError and "'é' (U+00E9" in counted[1]

    def test_many_symbols_take_two_bytes(self, tmp_path):
        text = "".join(chr(0x4E00 + i % 300) for i in range(1000))
        counted, stored = both(write(tmp_path / "a", text))
        assert counted == stored and len(counted[1]) == 300

    def test_every_character(self, tmp_path, monkeypatch):
        monkeypatch.setattr(charrnn.text.reading, "PIECE", 4099)
        monkeypatch.setattr(charrnn.text.counted, "BLOCK", 1024)
        everything = "".join(map(chr, [*range(1, 0xD800), *range(0xE000, 0x110000)]))
        keep = CorpusConfig(newlines="keep")
        text = counted_text(write(tmp_path / "a", everything), keep)
        assert text.counts() == dict.fromkeys(everything, 1)
        half = everything[: len(everything) // 20]
        vocab = Vocab(tuple(reversed(half)))
        text = counted_text(write(tmp_path / "b", half), keep)
        assert np.array_equal(ids_of(text, vocab), np.arange(len(half))[::-1])


class TestWhatIsCounted:
    @pytest.mark.parametrize(
        "options", [{"normalize": "NFC"}, {"encoding": "latin-1"}, {"encoding": "utf-16"}]
    )
    def test_other_encodings_and_forms_are_not(self, tmp_path, options):
        found = find(write(tmp_path / "a", "abc"))[0]
        assert uses_kernels(found, CorpusConfig()) and not uses_kernels(
            found, CorpusConfig(**options)
        )
        assert uses_kernels(found, CorpusConfig(unit="byte", **options))

    def test_packed_files_and_streams_are_not(self, tmp_path):
        plain = write(tmp_path / "a", "abc")
        for other in (write(tmp_path / "b", b"\x1f\x8b"), write(tmp_path / "c.zst", "x"), "-"):
            assert not uses_kernels(find([plain, other])[0], CorpusConfig())

    def test_small_texts_are_not(self, tmp_path, monkeypatch):
        monkeypatch.setattr(charrnn.text.reading, "LARGE", 4)
        paths = [write(tmp_path / name, "ab") for name in "ab"]
        assert uses_kernels(find(paths)[0], CorpusConfig())
        assert not uses_kernels(find(paths[0])[0], CorpusConfig())

    def test_what_is_wrong_is_told_in_one_line(self, tmp_path):
        found = find(write(tmp_path / "a", "abc"))[0]
        with pytest.raises(ConfigError, match="`encoding` 'klingon'"):
            uses_kernels(found, CorpusConfig(encoding="klingon"))
        (tmp_path / "a").unlink()
        with pytest.raises(CorpusError, match=r"a: cannot read the file \(No such file"):
            uses_kernels(found, CorpusConfig())


class TestReading:
    def test_progress_comes_to_the_size(self, tmp_path):
        paths = [write(tmp_path / name, "0123456789" * 3 + "\r") for name in "ab"]
        ticks = []
        text = counted_text(paths, tick=ticks.append)
        assert 0 < sum(ticks) < 62 / 2
        ids_of(text, Vocab(tuple("0123456789\n")))
        assert sum(ticks) == 62 and min(ticks) >= 0

    def test_pieces_are_the_text_in_order(self, tmp_path):
        text = counted_text(write(tmp_path / "a", TEXT))
        pieces = [piece.copy() for piece in text.encode(Vocab(tuple(sorted(text.counts()))))]
        ids = text.ids()
        assert np.array_equal(np.concatenate(pieces), ids) and len(ids) == text.length

    @pytest.mark.parametrize(
        "now", ["", "abcdefgh", "abcdefghabcdef\n", "ééééééééé", b"\xff" * 18, "漢" * 6]
    )
    def test_a_file_that_changes_is_told(self, tmp_path, now):
        path = write(tmp_path / "a", "abcdefghabcdefghab")
        text = counted_text(path)
        write(path, now)
        with pytest.raises(CorpusError, match="a: the file changed while it was read"):
            ids_of(text, Vocab(tuple("abcdefghé漢\n")))

    def test_a_file_that_grows_is_read_as_it_was(self, tmp_path):
        path = write(tmp_path / "a", "abcab")
        text = counted_text(path)
        write(path, "abcabcdef")
        assert ids_of(text, Vocab(tuple("abc"))).tolist() == [0, 1, 2, 0, 1]

    def test_a_file_that_is_gone_is_told(self, tmp_path):
        path = write(tmp_path / "a", "abc")
        text = counted_text(path)
        path.unlink()
        with pytest.raises(CorpusError, match="cannot read the file"):
            ids_of(text, Vocab(tuple("abc")))

    @pytest.mark.parametrize(
        ("tail", "waits"),
        [
            (b"a", 0),
            (b"\r", 1),
            (b"\n", 0),
            (b"a\xc3", 1),
            ("é".encode(), 0),
            (b"a\xe6", 1),
            (b"a\xe6\xbc", 2),
            (b"", 0),
        ],
    )
    def test_what_waits_at_the_end_of_a_segment(self, tail, waits):
        assert left_over(tail) == waits

    def test_of_four_bytes_up_to_three_wait(self):
        assert [left_over("a🙂".encode()[:n][-3:]) for n in range(1, 6)] == [0, 1, 2, 3, 0]


def test_memory_is_that_of_the_ids(tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.undo()
    monkeypatch.setattr(charrnn.text.reading, "LARGE", 1)
    path = write(tmp_path / "a", "το “δέντρο” — a tree; дерево\n" * 150_000)
    Corpus.read(path)  # loads what it needs
    tracemalloc.start()
    corpus = Corpus.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert corpus.ids.nbytes > 4e6
    segments = MOST_THREADS + 1
    assert (
        peak
        < 1.1 * corpus.ids.nbytes + segments * (charrnn.text.reading.PIECE + utf8.CODES * 8) + 5e6
    )


def test_the_mark_of_utf8_is_three_bytes():
    assert "\ufeff".encode() == codecs.BOM_UTF8 and len(codecs.BOM_UTF8) == PAD == utf8.PAD


@pytest.mark.parametrize(("size", "needed"), [(9, []), (10, ["utf8"])])
def test_kernels_are_announced_where_a_text_needs_them(tmp_path, monkeypatch, size, needed):
    asked = []
    monkeypatch.setattr(inputs, "load_kernels", lambda *names, quiet: asked.extend(names))
    monkeypatch.setattr(charrnn.text.reading, "LARGE", 10)
    corpus = read_text(
        [str(write(tmp_path / "a", "ababababab"[:size]))], CorpusConfig(), quiet=True
    )
    assert len(corpus) == size and asked == needed
