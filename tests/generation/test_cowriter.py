"""A session of a network that writes along: it continues at any place as it would write there."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import CorpusConfig, SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation import continuing
from charrnn.generation.continuing import Continuer, Request, first_word
from charrnn.generation.cowriter import Cowriter, Piece
from charrnn.generation.generate import generate
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.manuscript import Manuscript
from charrnn.network.model import Model
from charrnn.text.vocab import Vocab
from tests.reference.small import plain_model

SYMBOLS = "\n abcde"
GREEDY = SamplingConfig(temperature=0.0, seed=3)
CONFIG = SamplingConfig(temperature=1.0, seed=3)


def network(
    symbols: str = SYMBOLS,
    unit: str = "char",
    *,
    seed: int = 5,
    attention: int = 0,
    **corpus: object,
) -> Trained:
    """One with made-up weights, of some size: what it writes depends on what it read."""
    config = plain_model(vocab_size=len(symbols), layers=2, hidden=12, attention=attention)
    model = Model.initialized(config, seed)
    for name in ("decoder.weight", "rnn.weight_hh_l0"):
        model.parameters[name][:] *= 6
    return Trained(model, Vocab(tuple(symbols), unit), CorpusConfig(unit=unit, **corpus))  # type: ignore[arg-type]


def whole(trained: Trained | Mixture, before: str, length: int) -> str:
    """What the network writes after a text, read at once."""
    config = SamplingConfig(temperature=0.0, seed=3, length=length, unknown="nearest")
    return "".join(generate(trained, before, config))


def greedy(session: Cowriter) -> str:
    """The continuation at the cursor, computed."""
    session.compute()
    return session.ghost


def read_at(session: Cowriter) -> int:
    """How many characters the network reads to continue at the cursor."""
    sizes = [0]
    session.compute(progress=lambda _, total: sizes.append(total))
    return max(sizes)


@pytest.mark.parametrize("corpus", [{}, {"document_separator": "\n"}])
@pytest.mark.parametrize("seeds", [(5,), (5, 6, 7)])
def test_it_continues_as_if_it_had_read_the_text_at_once(
    seeds: tuple[int, ...], corpus: dict[str, object]
) -> None:
    trained = Mixture([network(seed=seed, **corpus) for seed in seeds])
    rng = random.Random(2)
    session = Cowriter(trained, Manuscript("ab cd\nee"), GREEDY)
    for _ in range(30):
        session.cursor = rng.randint(0, len(session.manuscript.text))
        session.insert("".join(rng.choices(SYMBOLS, k=rng.choice([1, 2, 40]))))
        if rng.random() < 0.3:
            session.undo()
        ghost = greedy(session)
        assert ghost
        assert ghost == whole(trained, session.manuscript.text[: session.cursor], len(ghost))


def test_several_networks_continue_together_and_write_known_words_only() -> None:
    networks = Mixture([network(), network("\n abcdef", seed=6)])
    words = Lexicon.of_text("abc fed be")
    one, both = Cowriter(networks[0], config=CONFIG), Cowriter(networks, config=CONFIG)
    assert greedy(one) != greedy(both)
    again = Cowriter(networks, config=CONFIG)
    again.insert("a")
    again.compute()
    again.undo()
    assert greedy(again) == both.ghost
    known = Cowriter(networks, config=CONFIG, known_words=words)
    assert {*greedy(known).split()} <= {"abc", "fed", "be"}


def test_little_is_read_again() -> None:
    text = "".join(random.Random(4).choices(SYMBOLS, k=9000))
    session = Cowriter(network(), Manuscript(text), CONFIG)
    assert 3072 - 768 <= read_at(session) <= 3072
    session.insert("abc")
    assert read_at(session) == 3
    session.undo()
    assert read_at(session) == 0
    session.cursor -= 1000
    assert read_at(session) <= 16
    session.delete(5)
    session.insert("e")
    assert read_at(session) <= 17
    session.cursor += 40
    assert read_at(session) <= 60
    session.cursor = len(session.manuscript.text)
    assert read_at(session) <= 1060
    session.cursor = 10
    assert read_at(session) == 10


def test_what_attention_may_look_at_is_read_again() -> None:
    text = "".join(random.Random(4).choices(SYMBOLS, k=2500))
    session = Cowriter(network(attention=2048), Manuscript(text), CONFIG)
    assert read_at(session) == 2500
    session.cursor = 1000
    session.insert("abc")
    session.cursor = len(session.manuscript.text)
    assert read_at(session) > 1400


def test_a_newline_of_two_characters_is_one_at_any_place() -> None:
    for size in range(12, 18):
        session = Cowriter(network(), Manuscript("a" * size + "\r\nbc"), GREEDY)
        ghost = greedy(session)
        assert ghost == whole(network(), "a" * size + "\nbc", len(ghost))


def test_known_words_go_on_in_the_text_as_it_is_read() -> None:
    trained, words = network("\n abc\u00e9", normalize="NFC"), Lexicon.of_list("ab\u00e9c")
    session = Cowriter(trained, Manuscript("abe\u0301"), CONFIG, known_words=words)
    assert greedy(session).startswith("c")


def test_states_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Cowriter(network(), Manuscript("ab cd " * 100), GREEDY)
    ghost = greedy(session)
    monkeypatch.setattr(continuing, "MOST_BYTES", 20_000)
    session.cursor = 300
    greedy(session)
    assert len(session._continuer._marks) < 5
    session.cursor = 600
    assert greedy(session) == ghost


def test_words_and_lines() -> None:
    session = Cowriter(network(), Manuscript("ab"), CONFIG)
    session.compute()
    while len(session.ghost.split()) < 3:
        session.another()
        session.compute()
    ghost = session.ghost
    word = session.take("word")
    assert word == first_word(ghost)
    assert session.ghost == ghost[len(word) :]  # the rest is not written anew
    assert session.needed is None
    session.insert(session.ghost[0])  # nor is it if you type what stands there
    assert session.ghost == ghost[len(word) + 1 :]
    session.take("line")
    assert session.manuscript.text == "ab" + ghost
    assert session.manuscript.network == [
        (2, 2 + len(word)),
        (3 + len(word), 2 + len(ghost)),
    ]
    assert session.ghost == ""
    assert session.needed == Request("ab" + ghost, 1, CONFIG)


def test_a_word_ahead() -> None:
    line, word = (Cowriter(network(), Manuscript("ab"), CONFIG, ahead=a) for a in ("line", "word"))
    line.compute()
    word.compute()
    assert word.ghost == first_word(line.ghost) != line.ghost
    with pytest.raises(ConfigError, match="ahead"):
        Cowriter(network(), ahead="page")  # type: ignore[arg-type]


def test_alternatives_come_back() -> None:
    session = Cowriter(network(), Manuscript("ab"), CONFIG)
    takes = []
    for n in range(5):
        session.compute()
        assert session.request.take == n + 1
        takes.append(session.ghost)
        session.another()
    assert len(set(takes)) == 5
    for take in reversed(takes):
        session.another(-1)
        assert session.ghost == take
    assert session.request.take == 1
    session.another(-1)
    assert session.request.take == 1
    session.take("word")
    rest = session.ghost
    session.another()
    session.compute()
    session.another(-1)
    assert session.ghost == rest
    fresh = Cowriter(network(), Manuscript("ab"), CONFIG)
    fresh.another(3)
    assert greedy(fresh) == takes[3]


def test_another_take_of_what_was_taken() -> None:
    session = Cowriter(network(), Manuscript("ab "), CONFIG)
    session.compute()
    first = session.take("word")
    assert session.retake() == "word"
    session.compute()
    second = session.take("word")
    assert session.manuscript.text == "ab " + second != "ab " + first
    session.insert("c")
    assert session.retake() is None  # nothing of yours is taken back
    assert session.manuscript.text == "ab " + second + "c"


@pytest.mark.parametrize("pieces", [["line"], ["word", "line"]])
def test_another_take_of_a_whole_continuation_again_and_again(pieces: list[Piece]) -> None:
    session = Cowriter(network(), Manuscript("ab "), CONFIG)
    for piece in pieces:
        session.compute()
        session.take(piece)
    session.compute()
    texts = [session.manuscript.text]
    for take in (2, 3, 4):
        assert session.retake() is not None
        assert session.request.take == take
        session.compute()
        session.take("line")
        session.compute()
        texts.append(session.manuscript.text)
    assert len({*texts}) == 4
    session.undo()
    session.another(-3)
    session.take("line")
    assert session.manuscript.text == texts[0]


@pytest.mark.parametrize("take", [1, 2])
def test_undo_shows_the_same_continuation(take: int) -> None:
    session = Cowriter(network(), Manuscript("ab"), CONFIG)
    session.another(take - 1)
    session.compute()
    ghost = session.ghost
    session.take("line")
    session.compute()
    assert session.undo()
    assert (session.manuscript.text, session.cursor, session.ghost) == ("ab", 2, ghost)
    assert not session.undo()
    assert session.redo()
    assert session.manuscript.text == "ab" + ghost
    assert session.cursor == 2 + len(ghost)


def test_temperature() -> None:
    session = Cowriter(network(), Manuscript("ab"), CONFIG)
    session.compute()
    warm = session.ghost
    session.change_temperature(0.0)
    assert session.ghost == ""
    assert greedy(session) == whole(network(), "ab", len(session.ghost))
    session.change_temperature(1.0)
    assert greedy(session) == warm
    with pytest.raises(ConfigError, match="temperature"):
        session.change_temperature(-1.0)


def test_it_can_be_cancelled() -> None:
    session = Cowriter(network(), Manuscript("ab cd " * 200), CONFIG)
    seen: list[int] = []
    session.compute(is_cancelled=lambda: len(seen) >= 3, progress=lambda read, _: seen.append(read))
    assert len(seen) == 3
    assert (session.ghost, session.needed) == ("", session.request)
    grown: list[str] = []
    session.compute(is_cancelled=lambda: bool(grown), report=lambda: grown.append(session.ghost))
    part = session.ghost
    session.compute()
    assert session.ghost.startswith(part)
    assert part


def test_characters_that_the_network_lacks() -> None:
    trained = network()
    session = Cowriter(trained, Manuscript("\u00c4b 日\u0301c"), GREEDY)
    assert greedy(session) == whole(trained, "ab c", len(session.ghost)) != ""


def test_bytes_that_are_no_characters_are_not_written() -> None:
    symbols = "\n ab\xc3\xa9\xff"
    session = Cowriter(network(symbols, "byte"), Manuscript("aé b"), CONFIG)
    for _ in range(40):
        session.compute()
        session.take("line").encode("utf-8")
        session.another()
    assert "é" in session.manuscript.text[4:]


def test_a_continuation_ends_after_a_word() -> None:
    continuer = Continuer(network(" abcde"))
    texts = [*continuer.continued(Request("ab", 1, CONFIG))]
    assert len(texts[-1]) <= 120
    assert all(later.startswith(text) for text, later in pairwise(texts))
    long = [*Continuer(network("abcde")).continued(Request("ab", 1, CONFIG))]
    assert len(long[-1]) == 120


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (" of France.", " of"),
        ("ng, and", "ng,"),
        ("\n\nKING: No", "\n\nKING:"),
        ("  ", "  "),
        ("", ""),
        ("日本語", "日"),
        ("สวัส", "ส"),
        ("ни шагу", "ни"),
    ],
)
def test_words_of_any_script(text: str, word: str) -> None:
    assert first_word(text) == word


def test_known_words() -> None:
    lexicon = Lexicon.of_list("ab cde ee bad")
    session = Cowriter(network(), Manuscript("ab c"), CONFIG, known_words=lexicon)
    for _ in range(30):
        session.compute()
        session.take("line")
    words = session.manuscript.text.split()
    assert len(words) > 25
    assert {word.lower() for word in words} <= lexicon.words
    session.write_known(False)
    session.compute()
    assert not set(session.ghost.split()) <= lexicon.words
    with pytest.raises(ConfigError, match="known_words"):
        Cowriter(network()).write_known(True)
