"""`overlap` against a search by brute force."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from charrnn.config import CorpusConfig
from charrnn.errors import ConfigError
from charrnn.runtime.threads import Workers
from charrnn.text.copies import Copies
from charrnn.text.corpus import Corpus
from charrnn.text.folding import fold
from charrnn.text.overlap import copied, overlap


def squeezed(text):
    """The folded text, and the place of each of its characters."""
    out, places = "", []
    for i, ch in enumerate(text):
        symbol = fold(ch)
        if symbol and not (symbol == " " and out[-1:] in (" ", "")):
            out, places = out + symbol, [*places, i]
    return out, places


def brute_force(text, files, at_least):
    """Each maximal passage (start, end) of a text in one of the files."""
    lengths = [0]
    for i in range(len(text)):
        size = 0
        while i + size < len(text) and any(text[i : i + size + 1] in file for file in files):
            size += 1
        lengths.append(size)
    return sorted(
        (i, i + size)
        for i, size in enumerate(lengths[1:])
        if size >= at_least and lengths[i] <= size
    )


@pytest.fixture(scope="module")
def two_threads():
    workers = Workers(2, processors=2)
    yield workers
    workers.close()


def read(tmp_path, *files, **settings):
    for n, file in enumerate(files):
        (tmp_path / f"{n}.txt").write_bytes(file.encode())
    return Corpus.read(sorted(tmp_path.glob("*.txt")), CorpusConfig(**settings))


@pytest.mark.parametrize("alphabet", ["ab", "a", "abc\n", "ñ語"])
def test_it_equals_a_search_by_brute_force(alphabet, tmp_path, two_threads):
    draw = random.Random(alphabet)
    for _ in range(30):
        text = "".join(draw.choices(alphabet, k=draw.randint(1, 60)))
        files = ["".join(draw.choices(alphabet, k=draw.randint(1, 99))) + "x\n" for _ in range(3)]
        corpus, at_least = read(tmp_path, *files), draw.randint(1, 9)
        passages = overlap(text, corpus, at_least, workers=two_threads)
        assert passages == overlap(text, corpus, at_least, workers=Workers(1))
        assert sorted((p.start, p.end) for p in passages) == brute_force(text, files, at_least)
        assert [p.length for p in passages] == sorted((p.length for p in passages), reverse=True)
        for p in passages:
            passage = text[p.start : p.end]
            name, file = next((n, f) for n, f in enumerate(files) if passage in f)
            assert p.path.endswith(f"{name}.txt")
            assert (p.corpus_start, p.length) == (file.index(passage), len(passage))
            assert p.corpus_end == p.corpus_start + p.length
            assert p.corpus_line == file[: p.corpus_start].count("\n") + 1
            assert p.line == text[: p.start].count("\n") + 1
            assert p.column == p.start - text.rfind("\n", 0, p.start)


def test_folded_it_equals_a_search_in_the_folded_texts(tmp_path, two_threads):
    draw, alphabet = random.Random(1), "aAbB  \n,.-"
    for _ in range(60):
        text = "".join(draw.choices(alphabet, k=draw.randint(1, 60)))
        files = ["".join(draw.choices(alphabet, k=draw.randint(1, 99))) + "x\n" for _ in range(2)]
        corpus, at_least = read(tmp_path, *files), draw.randint(2, 7)
        passages = overlap(text, corpus, at_least, fold=True, workers=two_threads)
        assert passages == overlap(text, corpus, at_least, fold=True, workers=Workers(1))
        (own, places), folded = squeezed(text), [squeezed(file)[0] for file in files]
        expected = brute_force(own, folded, at_least)
        ends = [(places[start], places[end - 1] + 1) for start, end in expected]
        assert sorted((p.start, p.end) for p in passages) == ends
        for p in passages:
            there = files[int(p.path[-5])][p.corpus_start : p.corpus_end]
            assert squeezed(there)[0] == squeezed(text[p.start : p.end])[0]


def test_a_passage_is_found_whatever_its_case_spaces_and_punctuation():
    corpus = Corpus.from_text("Once upon a time, there was -- so they say -- a fox; it was red.\n")
    [passage] = overlap(
        "so: ONCE UPON A TIME\nthere was\u2014so they say\u2014a\u00adfox", corpus, fold=True
    )
    assert (passage.start, passage.corpus_start, passage.line) == (4, 0, 1)
    assert overlap("ONCE UPON A TIME\nthere was so they say", corpus) == []


def test_the_corpus_itself_is_one_passage():
    text = "a rose is a rose is a rose\n" * 400
    [passage] = overlap(text, Corpus.from_text(text))
    assert (passage.start, passage.end, passage.corpus_start) == (0, len(text), 0)


def test_a_run_of_one_letter_takes_no_longer():
    corpus = Corpus.from_text("a" * 300_000 + "b")
    [passage] = overlap("a" * 200_000, corpus)
    assert passage.length == 200_000


@pytest.mark.parametrize("alphabet", ["", "".join(map(chr, range(0x4E00, 0x4F00)))])
def test_ids_from_the_cache_are_read_only(alphabet):
    text = f"a line that is long enough to be told {alphabet}\n"
    corpus = Corpus.from_text(text)
    corpus.ids.flags.writeable = False
    for is_folded in (False, True):
        assert overlap(f"so: {text}", corpus, fold=is_folded)[0].length >= len(text) - 1
    copies = Copies([corpus], corpus.vocab, 30)
    assert copies.first(corpus.ids.astype(np.int32), 0, len(text)) == 29


def test_lines_are_counted_if_the_corpus_has_one():
    [passage] = overlap("x\ny\n" + "abcdefghij" * 4, Corpus.from_text("abcdefghij" * 4))
    assert (passage.line, passage.column, passage.corpus_line) == (3, 1, 1)


def test_texts_that_share_nothing():
    corpus = Corpus.from_text("something else\n")
    assert overlap("", corpus) == overlap("語" * 99, corpus) == overlap("short", corpus) == []


def test_bytes_and_line_ends(tmp_path):
    line = "a line of the text, and it is long enough\n"
    corpus = read(tmp_path, line.replace("\n", "\r\n") * 2)
    assert overlap(line, corpus)[0].length == len(line)
    raw = Corpus.from_text(b"\xff\xfe" * 20 + b"x", CorpusConfig(unit="byte"))
    [passage] = overlap(b"--" + b"\xff\xfe" * 15, raw, fold=True)
    assert (passage.start, passage.end) == (2, 32)


def test_parts_that_overlap_count_once():
    corpus = Corpus.from_text("abcdef--cdefgh\n")
    passages = overlap("abcdefgh abc", corpus, 3)
    assert [(p.start, p.end) for p in passages] == [(0, 6), (2, 8), (9, 12)]
    assert copied(passages) == [(0, 8), (9, 12)]
    assert overlap("abcdefgh abc", corpus, 3, most=1) == passages[:1]


def test_a_length_below_one_is_an_error():
    with pytest.raises(ConfigError, match="at_least"):
        overlap("text", Corpus.from_text("text\n"), 0)


def test_copies_are_found_by_several_threads_at_once() -> None:
    tail = "the quick brown fox jumps over the lazy dog"
    corpus = Corpus.from_text(f"{tail}\nabcdefghij\n" * 3)
    text = "".join(random.Random(1).choices("abcdefghij", k=500_000)) + tail
    copies, ids = Copies([corpus], corpus.vocab, 30), corpus.vocab.encode(text).astype(np.int32)
    alone = copies.first(ids, 0, len(ids))
    assert alone == 500_000 + 29
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda _: copies.first(ids, 0, len(ids)), range(8))
    assert [*found] == [alone] * 8
