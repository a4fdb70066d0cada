"""Known words: texts of nothing else, in any script."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import pytest
import regex

from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CorpusConfig
from charrnn.errors import CorpusError
from charrnn.generation.generate import generate_many
from charrnn.generation.lexicon import Lexicon
from charrnn.network.model import Model
from charrnn.text.vocab import Unit, Vocab
from tests.reference import cells as reference
from tests.reference.small import plain_model

TEXT = """The king's men, o'er the well-known hill; "they" came. An old man said: "Go, Zoë!"
Зима пришла. Он сказал: «зима»... 12 naïve men -- and 3.14 more (of 1,000) in the U.S. came o'
the hill's end. हिन्दी भाषा में, हिन्दी। Ελλάδα\u200cς 'tis so.
"""
WORD = regex.compile(r"[\p{L}\p{M}\p{N}\u200c]+(?:['.-][\p{L}\p{M}\p{N}\u200c]+)*")
OPENING = regex.compile(r'[.!?।…:\n"(«]')


@cache
def network(text: str, unit: Unit) -> Trained:
    """A random network over the symbols of a text."""
    data = text if unit == "char" else text.encode().decode("latin-1")
    vocab = Vocab(tuple(sorted(set(data))), unit)
    model = Model(plain_model(vocab_size=len(vocab), hidden=6, layers=1))
    parameters = reference.random_parameters(np.random.default_rng(0), model.config)
    model.parameters.from_disk(parameters)
    return Trained(model, vocab, CorpusConfig(unit=unit))


def pieces(text: str) -> list[tuple[str, bool]]:
    """The words of a text and what stands between, each with whether it is a word."""
    parts, place = list[tuple[str, bool]](), 0
    for match in WORD.finditer(text):
        parts += [(text[place : match.start()], False), (match[0], True)]
        place = match.end()
    return [(piece, is_word) for piece, is_word in [*parts, (text[place:], False)] if piece]


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_ten_thousand_texts_have_no_other_words_and_nothing_else_between_them(unit: Unit) -> None:
    known = Lexicon.of_text(TEXT)
    words = {piece for piece, is_word in pieces(TEXT) if is_word}
    gaps = {piece for piece, is_word in pieces(TEXT) if not is_word}
    assert known.words == words and known.between == gaps
    config = SamplingConfig(length=24, temperature=2.0)
    trained, count = network(TEXT, unit), 10_000 if unit == "char" else 1_000
    texts = generate_many(trained, count, "", config, known_words=known)
    seen = set[str]()
    for text in texts:
        assert len(text if unit == "char" else text.encode()) == 24  # no dead end
        before = "."
        for n, (piece, is_word) in enumerate(pieces(text)):
            small = piece[0].lower() + piece[1:]
            if is_word:
                may_be_large = n == 0 or OPENING.search(before)
                assert piece in words or (may_be_large and small in words), text
                seen.add(piece)
            else:  # what stands at the end may go on
                assert piece in gaps or (text.endswith(piece) and any(map(_begins(piece), gaps)))
            before = piece
    assert "And" in seen - words
    if unit == "char":
        assert {"king's", "o'er", "well-known", "Zoë", "Зима", "3.14", "U.S", "हिन्दी"} <= seen


def _begins(piece: str):  # type: ignore[no-untyped-def]
    return lambda gap: gap.startswith(piece)


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_of_a_list_anything_may_stand_between(unit: Unit) -> None:
    vocab = network("abc defghijklmnopqrstuvwxyzABCHZЖж.,'-\n中文国!", unit).vocab
    known = Lexicon.of_list("hello world\ndon't\nЖж\n中\n文\n")
    for text, is_known in {
        "hello,  world. Hello!": True,
        "Hello": True,
        "hello Hello": False,
        "hell": False,
        "hello'world": False,
        "hello-world": False,
        "hello--world": True,
        "hello'-'world": True,
        "don't don": False,
        "don'": False,
        "Жж ж": False,
        "жж": False,
        "Жж中文hello中 Жж.": True,
        "中文helo": False,
        "中国": False,
    }.items():
        accepts = known.automaton(vocab).accepts(vocab.encode(text).tolist())
        assert accepts == is_known, text


def test_the_last_word_of_the_prime_may_go_on() -> None:
    vocab = network("abcdefghijklmnopqrstuvwxyzABCDX .,'-", "char").vocab
    known = Lexicon.of_list("deep deeper bad don't")
    for prime, text, is_allowed in [
        ("dee", "p bad", True),
        ("dee", "r", False),
        ("A dee", "per", True),
        ("deep", "er", True),
        ("deep", "", True),
        ("dee", "", False),
        ("don", "'t bad", True),
        ("don'", "t", True),
        ("don'", "x", False),
        ("bad", "'s", False),
        ("xx", " bad", True),  # not known, but it is there
        ("xx", "x", False),
        ("xx'", "bad", False),
        ("bad. ", "Deep", True),
        ("bad, ", "Deep", False),
        ("", "Deep", True),
    ]:
        automaton = known.automaton(vocab, prime)
        assert automaton.accepts(vocab.encode(text).tolist()) == is_allowed, (prime, text)


def test_words_of_one_character() -> None:
    vocab = Vocab(("中", "文"))
    automaton = Lexicon.of_text("中文").automaton(vocab)
    assert automaton.accepts(vocab.encode("文中"))


def test_the_graph_is_the_smallest() -> None:
    rng = random.Random(0)
    words = sorted({"".join(rng.choices("abc", k=rng.randint(1, 7))) for _ in range(500)})
    vocab = Vocab(("a", "b", "c", " "))
    automaton = Lexicon(frozenset(words), frozenset({" "})).automaton(vocab, " ")
    # as many states as there are sets of endings after the beginnings of words
    beginnings = {word[:n] for word in words for n in range(len(word) + 1)}
    endings = {
        frozenset(word[len(start) :] for word in words if word.startswith(start))
        for start in beginnings
    }
    assert len(automaton.distance) <= len(endings) + 2
    for _ in range(500):
        text = "".join(rng.choices("abc", k=rng.randint(1, 7)))
        assert automaton.accepts(vocab.encode(text).tolist()) == (text in words)


def test_a_long_text_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Lexicon.of_text(TEXT)
    for size in (40, 57, 100):
        monkeypatch.setattr("charrnn.generation.lexicon.PIECE", size)
        assert Lexicon.of_text(TEXT) == whole


def test_without_a_word_that_can_be_written_there_is_an_error() -> None:
    with pytest.raises(CorpusError, match="no word in this text"):
        Lexicon.of_text("... -- !\n")
    with pytest.raises(CorpusError, match="none of these words"):
        Lexicon.of_list("abc").automaton(Vocab(("x", " ")))


def test_what_no_network_can_write_is_a_part_of_its_word() -> None:
    words, vocab = Lexicon.of_text("na\ufffdve men, caf\ufffd."), Vocab(tuple("navemcf ,."))
    known = words.automaton(vocab)
    assert known.accepts(vocab.encode("men").tolist())
    for text in ("na", "ve men", "caf"):
        assert not known.accepts(vocab.encode(text).tolist())


def test_an_unknown_word_before_the_cursor_is_a_word() -> None:
    """No known word is glued to it, whatever it begins with."""
    words, vocab = Lexicon.of_list("men"), Vocab(tuple("men \ufffd"))
    after = words.automaton(vocab, "\ufffdem")
    assert not after.accepts(vocab.encode("men").tolist())
    assert after.accepts(vocab.encode(" men").tolist())
