"""Ids that are kept for the next start: found again, never wrong, and never in the way."""

import errno
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import charrnn.runtime.cache
import charrnn.text.cached_ids
import charrnn.text.corpus
from charrnn.config.settings import CorpusConfig
from charrnn.runtime.cache import CacheFile, forget_texts, mapped, texts_folder
from charrnn.text.corpus import Corpus
from charrnn.text.vocab import UNKNOWN, Vocab

TEXT = "a rose is a rose is a rose\n" * 50


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache of its own, in which every text is worth keeping."""
    monkeypatch.setenv("CHARRNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(charrnn.text.corpus, "KEPT_FROM", 1)
    monkeypatch.setattr(charrnn.text.cached_ids, "_SOUGHT_FROM", 1)
    return tmp_path / "cache" / "texts"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def readings(monkeypatch):
    """A list that grows whenever a text is read, not mapped."""
    done = []
    monkeypatch.setattr(
        charrnn.text.corpus,
        "Reading",
        lambda *a, real=charrnn.text.corpus.Reading, **k: done.append(a) or real(*a, **k),
    )
    return done


def same(one, other):
    parts = ("vocab", "config", "sources", "sha256", "name", "skipped")
    return np.array_equal(one.ids, other.ids) and all(
        getattr(one, part) == getattr(other, part) for part in parts
    )


def names(cache):
    return sorted(path.name for path in cache.iterdir())


class TestFinding:
    def test_the_second_time_the_text_is_not_read(self, text, readings, cache):
        first = Corpus.read(text)
        told = []
        second = Corpus.read(text, progress=lambda *a: told.append(a))
        assert len(readings) == 1 and same(first, second)
        assert told == [(len(TEXT), len(TEXT))]
        assert (
            not second.ids.flags.writeable
            and type(second.ids) is np.ndarray
            and second.ids.dtype == np.uint8
        )
        assert first.kept_in == second.kept_in == cache / names(cache)[0]
        assert second.kept_in.stat().st_mode & 0o077 == 0, "a text is nobody else's business"

    def test_wide_ids_and_unknown_symbols(self, text, readings):
        text.write_text("".join(chr(0x4E00 + i % 400) for i in range(999)))
        for config in (CorpusConfig(), CorpusConfig(min_count=3)):
            first, second = Corpus.read(text, config), Corpus.read(text, config)
            assert same(first, second) and second.ids.dtype == (
                np.uint16 if config.min_count == 1 else np.uint8
            )
            assert (second.vocab.unknown is None) == (config.min_count == 1)
        assert len(readings) == 2

    def test_a_changed_text_is_read_anew_and_the_old_one_forgotten(self, text, readings, cache):
        Corpus.read(text)
        before = text.stat()
        text.write_text(TEXT.replace("rose", "nose"))
        os.utime(text, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert text.stat().st_size == before.st_size
        assert "n" in Corpus.read(text).vocab.symbols
        assert len(readings) == 2 and len(names(cache)) == 1

    def test_a_moved_text_is_read_anew(self, text, readings):
        Corpus.read(text)
        Corpus.read(text.rename(text.with_name("other")))
        assert len(readings) == 2

    @pytest.mark.parametrize(
        ("name", "value", "matters"),
        [
            ("val_fraction", 0.5, False),
            ("test_fraction", 0.1, False),
            ("document_separator", "\n", False),
            ("newlines", "keep", True),
            ("normalize", "NFC", True),
            ("encoding", "latin-1", True),
            ("encoding", "UTF8", False),
            ("unit", "byte", True),
            ("min_count", 2, True),
        ],
    )
    def test_settings(self, text, readings, name, value, matters):
        Corpus.read(text)
        config = CorpusConfig(**{name: value})
        corpus = Corpus.read(text, config)
        assert len(readings) == 1 + matters and corpus.config == config
        Corpus.read(text, config)
        Corpus.read(text)
        assert len(readings) == 1 + matters

    def test_a_run_that_goes_on_asks_for_its_vocabulary(self, text, readings):
        vocab = Corpus.read(text).vocab
        again = Corpus.read(text, vocab=vocab)
        assert len(readings) == 1 and again.vocab is vocab
        other = Vocab(tuple(reversed(vocab.symbols)))
        for _ in range(2):
            assert Corpus.read(text, vocab=other).vocab is other
        assert len(readings) == 2

    def test_extended_and_fixed_vocabularies_are_not_mixed_up(self, text, readings):
        vocab = Vocab((UNKNOWN, "a", "r", "o"), unknown=0)
        fixed, extended = Corpus.read(text, vocab=vocab), Corpus.read(text, extend=vocab)
        assert len(fixed.vocab) == 4 and len(extended.vocab) == 9
        assert same(Corpus.read(text, extend=vocab), extended) and same(
            Corpus.read(text, vocab=vocab), fixed
        )
        assert same(Corpus.read(text, vocab=extended.vocab), extended)
        assert len(readings) == 2

    def test_folders_with_what_they_skip(self, tmp_path, readings):
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "a").write_text(TEXT)
        (folder / "b").write_bytes(b"\0")
        first, second = Corpus.read(folder), Corpus.read(folder)
        assert same(first, second) and len(second.skipped) == 1 and len(readings) == 1
        (folder / "c").write_text("more")
        assert len(Corpus.read(folder).sources) == 2

    def test_where_documents_begin_is_kept_too(self, text, monkeypatch):
        config = CorpusConfig(document_separator=r"\n(?=a)")
        first = Corpus.read(text, config).document_starts
        assert first.size == 49
        monkeypatch.setattr(charrnn.text.corpus, "document_starts", None)
        second = Corpus.read(text, config)
        assert (
            np.array_equal(second.document_starts, first)
            and second.document_starts.dtype == np.int64
        )
        monkeypatch.undo()

    def test_no_documents_are_found_again_as_none(self, text):
        config = CorpusConfig(document_separator="nowhere")
        for _ in range(2):
            assert Corpus.read(text, config).document_starts.tolist() == []


class TestWhatIsNotKept:
    def test_streams_small_texts_and_where_it_is_not_wanted(
        self, text, tmp_path, monkeypatch, cache
    ):
        fifo = tmp_path / "pipe"
        os.mkfifo(fifo)
        feeder = threading.Thread(target=lambda: fifo.write_text(TEXT))
        feeder.start()
        assert Corpus.read(fifo).kept_in is None
        feeder.join()
        assert Corpus.read(text, keep=False).kept_in is None
        monkeypatch.setattr(charrnn.text.corpus, "KEPT_FROM", len(TEXT) + 1)
        assert Corpus.read(text).kept_in is None
        assert not cache.exists()

    def test_a_text_that_changes_while_it_is_read(self, text, monkeypatch, cache):
        def change(*a, real=charrnn.text.corpus.vocabulary_of):
            text.write_text(TEXT + "more")
            return real(*a)

        monkeypatch.setattr(charrnn.text.corpus, "vocabulary_of", change)
        assert len(Corpus.read(text)) == len(TEXT)
        assert names(cache) == []


class TestDamage:
    @pytest.mark.parametrize("at", [0, 700, 1349, 1352, -49, -48, -40, -30, -1])
    def test_a_wrong_byte_anywhere(self, text, readings, at):
        first = Corpus.read(text)
        data = bytearray(first.kept_in.read_bytes())
        data[at] ^= 1
        first.kept_in.write_bytes(data)
        assert same(Corpus.read(text), first) and len(readings) == 2
        assert same(Corpus.read(text), first) and len(readings) == 2, "it was made anew"

    @pytest.mark.parametrize("left", [0, 1, 47, 48, 1000, -1, -48])
    def test_a_file_that_was_cut_off(self, text, readings, left):
        first = Corpus.read(text)
        first.kept_in.write_bytes(first.kept_in.read_bytes()[:left])
        assert same(Corpus.read(text), first) and len(readings) == 2

    @given(st.data())
    @settings(max_examples=60)
    def test_any_damage_to_any_file(self, tmp_path_factory, data):
        """Whatever bytes a file has, the text and its documents are what they are."""
        folder = tmp_path_factory.mktemp("damage")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CHARRNN_CACHE_DIR", str(folder / "cache"))
            (folder / "text").write_text(TEXT)
            config = CorpusConfig(document_separator="\n")
            first = Corpus.read(folder / "text", config)
            starts = first.document_starts
            for path in sorted((folder / "cache" / "texts").iterdir()):
                whole = path.read_bytes()
                a, b = sorted(data.draw(st.integers(0, len(whole))) for _ in "ab")
                path.write_bytes(whole[:a] + data.draw(st.binary(max_size=60)) + whole[b:])
            again = Corpus.read(folder / "text", config)
            assert same(again, first) and np.array_equal(again.document_starts, starts)

    @pytest.mark.parametrize("size", [2**64 - 1, 2**63, 2**40, 1351])
    def test_a_size_that_cannot_be(self, text, readings, size):
        first = Corpus.read(text)
        data = bytearray(first.kept_in.read_bytes())
        data[-40:-32] = size.to_bytes(8, "little")
        first.kept_in.write_bytes(data)
        assert same(Corpus.read(text), first) and len(readings) == 2

    @pytest.mark.parametrize("what", ["folder", "pipe", "device"])
    def test_what_is_no_file(self, text, readings, what):
        first = Corpus.read(text)
        first.kept_in.unlink()
        if what == "folder":
            first.kept_in.mkdir()
        elif what == "pipe":
            os.mkfifo(first.kept_in)
        else:
            first.kept_in.symlink_to("/dev/zero")
        assert same(Corpus.read(text), first) and len(readings) == 2

    def test_a_file_about_something_else(self, text, readings, cache):
        first = Corpus.read(text)
        with CacheFile(first.kept_in) as file:
            file.start(3)
            file.write(np.arange(3))
            assert file.finish(np.arange(3), {"symbols": 5})
        assert mapped(first.kept_in)[0]["symbols"] == 5
        assert same(Corpus.read(text), first) and len(readings) == 2


class TestTheFolder:
    def test_a_folder_that_cannot_be_made(self, text, tmp_path):
        (tmp_path / "cache").write_text("a file")
        for _ in range(2):
            assert Corpus.read(text).kept_in is None

    def test_a_disk_without_room(self, text, monkeypatch, cache):
        usage = shutil.disk_usage("/")._replace(free=2 * len(TEXT) - 1)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        assert Corpus.read(text).kept_in is None and names(cache) == []

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
    def test_a_disk_that_is_full_before_the_end(self, text, monkeypatch, cache):
        def open_full(self, folder):
            self._part = folder / "x.part"
            self._part.touch()
            self._file = open("/dev/full", "wb", buffering=0)  # noqa: PTH123, SIM115

        monkeypatch.setattr(CacheFile, "_open", open_full)
        corpus = Corpus.read(text)
        assert len(corpus) == len(TEXT) and corpus.kept_in is None and names(cache) == []

    def test_a_drive_that_is_full_says_so_on_closing_as_well(self, text, monkeypatch, cache):
        class Full:
            def write(self, data):
                raise OSError(errno.EDQUOT, "full")

            def close(self):
                raise OSError(errno.EDQUOT, "full")

        def open_full(self, folder):
            self._part = folder / "x.part"
            self._part.touch()
            self._file = Full()

        monkeypatch.setattr(CacheFile, "_open", open_full)
        assert len(Corpus.read(text)) == len(TEXT) and names(cache) == []

    def test_an_interruption_leaves_nothing(self, text, monkeypatch, cache):
        def interrupt(self, data):
            raise KeyboardInterrupt

        monkeypatch.setattr(CacheFile, "_write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Corpus.read(text)
        assert names(cache) == []

    def test_the_oldest_make_room(self, tmp_path, monkeypatch, cache):
        paths = [tmp_path / name for name in "abcd"]
        for path in paths:
            path.write_text(TEXT)
        kept = [Corpus.read(path).kept_in for path in paths[:3]]
        size = kept[0].stat().st_size
        for age, path in enumerate(kept):
            os.utime(path, (time.time() - 50 + age,) * 2)
        Corpus.read(paths[0])  # used: now the second is the oldest
        monkeypatch.setattr(charrnn.runtime.cache, "MOST_KEPT", 3 * size)
        kept.append(Corpus.read(paths[3]).kept_in)
        assert [path.exists() for path in kept] == [True, False, True, True]
        monkeypatch.setattr(charrnn.runtime.cache, "MOST_KEPT", len(TEXT) - 1)
        paths[3].write_text(TEXT)
        assert Corpus.read(paths[3]).kept_in is None and kept[0].exists()

    def test_what_a_killed_process_left_is_removed_when_it_is_old(self, text, cache):
        cache.mkdir(parents=True)
        old, new, other = cache / "old.part", cache / "new.part", cache / "other"
        for path in (old, new, other):
            path.touch()
        for path in (old, other):
            os.utime(path, (time.time() - 7200,) * 2)
        Corpus.read(text)
        assert [path.exists() for path in (old, new, other)] == [False, True, True]

    def test_many_at_once(self, text, cache):
        expected = Corpus.read(text, keep=False)
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(Corpus.read(text))) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6 and all(same(corpus, expected) for corpus in found)
        assert len(names(cache)) == 1 and same(Corpus.read(text), expected)

    def test_forgetting(self, text, readings, cache):
        corpus = Corpus.read(text, CorpusConfig(document_separator="\n"))
        assert corpus.document_starts is not None
        size = sum(path.stat().st_size for path in cache.iterdir())
        assert size > len(TEXT)
        assert forget_texts() == (2, size) and forget_texts() == (0, 0)
        assert texts_folder() == cache and names(cache) == []
        again = Corpus.read(text, CorpusConfig(document_separator="\n"))
        assert same(again, corpus) and len(readings) == 2
