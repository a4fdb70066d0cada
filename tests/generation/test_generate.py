"""Writing text: the draws, the state behind them, and the characters that come of it."""

from __future__ import annotations

import contextlib
import signal
import threading
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CorpusConfig
from charrnn.errors import ConfigError, DivergenceError, VocabError
from charrnn.generation.drawing import controls_of
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.generate import generate, generate_ids, generate_many, generate_texts
from charrnn.generation.short import ShortTexts
from charrnn.generation.writer import CHUNK, Progress, Writer
from charrnn.kernels import sampling
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers, start_ids
from charrnn.text.vocab import UNKNOWN, Vocab
from tests.reference import cells as reference
from tests.reference.small import let_overflow, plain_model

# The draw
# --------------------------------------------------------------------------------------------------

LOGITS = [1.0, -0.5, 2.0, 0.3, -3.0, 2.0]


def drawn(logits: Any, uniforms: Any, banned: tuple[int, ...] = (), **settings: Any) -> np.ndarray:
    logits = np.array(logits, np.float32)
    config = SamplingConfig(**{"temperature": 1.0, **settings})
    controls, scratch = controls_of(config, logits.size, banned), np.zeros(logits.size, np.float32)
    memory = sampling.Memory.new(1)
    return np.array(
        [sampling.draw(logits.copy(), controls, 0, float(u), scratch, memory, 0) for u in uniforms]
    )


@pytest.mark.parametrize("banned", [(), (0,), (2, 4)])
@pytest.mark.parametrize("top_k", [0, 1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_frequencies(temperature: float, top_k: int, banned: tuple[int, ...]) -> None:
    """An even comb of numbers draws every symbol in proportion, to within a tooth."""
    z = np.array(LOGITS)
    z[list(banned)] = -np.inf
    kept = np.argsort(-z, kind="stable")[: top_k or z.size]
    p = np.zeros(z.size)
    p[kept] = np.exp(z[kept] / temperature)
    p /= p.sum()
    n = 4000
    comb = (np.arange(n) + 0.5) / n
    found = drawn(LOGITS, comb, banned, temperature=temperature, top_k=top_k)
    counts = np.bincount(found, minlength=z.size)
    np.testing.assert_allclose(counts, n * p, atol=2)
    assert not counts[p == 0].any()


P = np.array([0.4, 0.25, 0.2, 0.1, 0.04, 0.01])


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, 6),
        ({"min_p": 0.0}, 6),
        ({"min_p": 0.02}, 6),
        ({"min_p": 0.03}, 5),
        ({"min_p": 0.2}, 4),
        ({"min_p": 0.6}, 2),
        ({"min_p": 1.0}, 1),
        ({"min_p": 0.2, "top_k": 3}, 3),
        ({"min_p": 0.6, "top_k": 3}, 2),
    ],
)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_min_p_drops_what_is_improbable(
    settings: dict[str, Any], kept: int, temperature: float
) -> None:
    """By the probabilities before the temperature, which then changes those of what is left."""
    wanted = np.where(np.arange(6) < kept, P ** (1 / temperature), 0)
    n = 4000
    found = drawn(np.log(P), (np.arange(n) + 0.5) / n, temperature=temperature, **settings)
    counts = np.bincount(found, minlength=6)
    np.testing.assert_allclose(counts, n * wanted / wanted.sum(), atol=2)
    assert not counts[kept:].any()


def test_min_p_is_relative_to_what_may_be_written() -> None:
    """A banned symbol is not the most probable one; equals of the largest are never dropped."""
    comb = np.linspace(0, 1, 101)[:-1]
    assert set(drawn(np.log(P), comb, (0,), min_p=0.7)) == {1, 2}
    assert set(drawn([3, 1, 3, 3], comb, min_p=1.0)) == {0, 2, 3}
    assert set(drawn([3, 1, 3, 3], comb, min_p=1.0, temperature=0)) == {0}
    assert set(drawn([-np.inf, 1, 1], comb, min_p=0.5)) == {1, 2}


def test_min_p_reaches_the_writer() -> None:
    assert (written(2, 1, min_p=1.0) == written(2, 1, temperature=0)).all()
    np.testing.assert_array_equal(written(2, 1, min_p=0.0), written(2, 1))
    assert not np.array_equal(written(2, 1, min_p=0.5), written(2, 1))


def test_frequencies_of_random_numbers() -> None:
    """Chi squared over 5 degrees of freedom; above 25 once in 7,000 seeds."""
    n = 20_000
    p = np.exp(LOGITS) / np.exp(LOGITS).sum()
    counts = np.bincount(drawn(LOGITS, np.random.default_rng(0).random(n)), minlength=6)
    assert (((counts - n * p) ** 2) / (n * p)).sum() < 25


def test_ties_and_extremes() -> None:
    comb = np.linspace(0, 1, 101)[:-1]
    assert set(drawn([1, 3, 3, 3, 0], comb, top_k=2)) == {1, 2}
    assert set(drawn([1, 3, 3, 3, 0], comb, top_k=2, banned=(1,))) == {2, 3}
    assert set(drawn([5] * 5, comb, top_k=3)) == {0, 1, 2}
    assert set(drawn([1, 3, 3, 0], comb, temperature=0)) == {1}
    assert set(drawn([1, 3, 3, 0], comb, temperature=0, banned=(1,))) == {2}
    assert set(drawn([9, 1, 2], comb, top_k=3, banned=(0, 2))) == {1}
    assert set(drawn([1e30, -1e30, 0], comb, temperature=1e-5)) == {0}
    assert set(drawn([80, 0, 79], [0.0, np.nextafter(1, 0)])) == {0, 2}
    assert set(drawn([-1e4, -1e4 - 1], comb)) == {0, 1}
    assert set(drawn([1, 2, 3], comb, temperature=1e30)) == {0, 1, 2}


# The writer
# --------------------------------------------------------------------------------------------------


@cache
def model(V: int = 11, E: int = 0, H: int = 6, L: int = 2, rounds: int = 0) -> Model:
    settings = {"vocab_size": V, "embedding": E, "hidden": H, "layers": L, "mogrifier": rounds}
    made = Model(plain_model(**settings))
    made.parameters.from_disk(reference.random_parameters(np.random.default_rng(V), made.config))
    made.parameters.flat *= np.float32(1.3)  # so that it remembers some characters
    return made


def config(**settings: Any) -> SamplingConfig:
    """Settings, at temperature 1 and in float32 unless others are given."""
    return SamplingConfig(**{"temperature": 1.0, "precision": "float32", **settings})


def exact_logits(m: Model, ids: list[int]) -> np.ndarray:
    """Those after the last of the ids, by the reference."""
    x, parameters = np.array(ids)[:, None], dict(m.parameters.to_disk())
    states = reference.zero_states(m.config, 1)
    return reference.forward(m.config, parameters, x, x, states).logits[-1, 0]


@pytest.mark.parametrize("K", [2, 3, 256, 257, 258, 600])
@pytest.mark.parametrize(("E", "rounds"), [(0, 0), (5, 0), (5, 1), (24, 5)])
def test_reading_is_what_the_network_does(E: int, rounds: int, K: int) -> None:
    m = model(E=E, rounds=rounds)
    ids = np.random.default_rng(K).integers(11, size=K)
    writer = Writer(m, config(), streams=3)
    writer.read(ids)
    network, state = Network(m, K - 1, 1, Workers(1)), State(m, 1)
    x, y = (np.ascontiguousarray(part[:, None], np.int32) for part in (ids[:-1], ids[1:]))
    network.evaluate(x, y, state)
    for stream in range(3):
        np.testing.assert_allclose(writer.state.h[:, stream], state.h[:, 0], atol=1e-6)
        np.testing.assert_allclose(writer.state.c[:, stream], state.c[:, 0], atol=1e-6)


@pytest.mark.parametrize(("E", "rounds"), [(0, 0), (5, 0), (5, 1), (24, 5)])
@pytest.mark.parametrize("L", [1, 2, 3])
def test_greedy_text_is_the_references(L: int, E: int, rounds: int) -> None:
    m = model(E=E, L=L, rounds=rounds)
    ids = [3, 1, 4, 1, 5]
    greedy = Writer(m, config(temperature=0))
    found = np.concatenate(list(generate_ids(greedy, np.array(ids), 40)))[:, 0]
    for symbol in found:
        z = exact_logits(m, ids)
        assert z[symbol] > z.max() - 1e-5
        ids.append(int(symbol))


def test_what_is_drawn_has_the_networks_probabilities() -> None:
    m, n, ids = model(), 3000, np.array([3, 1, 4])
    writer = Writer(m, config(temperature=0.7, seed=5), streams=n, banned=(2,))
    writer.read(ids)
    counts = np.bincount(writer.write(1)[0], minlength=11)
    z = exact_logits(m, ids.tolist()) / 0.7
    z[2] = -np.inf
    p = np.exp(z - z.max())
    p /= p.sum()
    assert counts[2] == 0
    kept = p > 0
    assert (((counts - n * p)[kept] ** 2) / (n * p)[kept]).sum() < 35  # 9 degrees of freedom


def written(
    streams: int,
    threads: int,
    length: int = 70,
    piece: int = CHUNK,
    banned: tuple[int, ...] = (),
    **settings: Any,
) -> np.ndarray:
    workers = Workers(threads, processors=threads)
    writer = Writer(model(), config(**settings), streams=streams, banned=banned, workers=workers)
    writer.read(np.array([1, 2, 3]))
    blocks = [writer.write(min(piece, length - done)) for done in range(0, length, piece)]
    workers.close()
    return np.concatenate(blocks)


def test_neither_streams_nor_threads_nor_pieces_change_a_text() -> None:
    seven = written(7, 1, seed=3)
    assert len({tuple(column) for column in seven.T}) == 7
    for streams in (1, 2, 5):
        np.testing.assert_array_equal(written(streams, 1, seed=3), seven[:, :streams])
    np.testing.assert_array_equal(written(7, 2, seed=3), seven)
    np.testing.assert_array_equal(written(7, 3, seed=3, piece=9), seven)
    assert not np.array_equal(written(7, 1, seed=4), seven)
    assert (written(2, 1, top_k=1) == written(2, 1, temperature=0)).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_k": -1}, "top.k"),
        ({"min_p": -0.1}, "min.p"),
        ({"min_p": 1.1}, "min.p"),
        ({"length": -1}, "length"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"unknown": "guess"}, "unknown"),
        ({"precision": "fp8"}, "precision.* must be one of auto, float32, bf16, int8, not 'fp8'"),
        ({"length": 10**20}, "length"),
        ({"after": 10**20}, "after"),
    ],
)
def test_settings_are_checked_at_once(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        SamplingConfig(**settings)


@pytest.mark.parametrize(
    ("options", "says"), [({"streams": 0}, "`streams`"), ({"banned": range(11)}, "banned")]
)
def test_options_out_of_range(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Writer(model(), config(), **options)


@pytest.mark.parametrize("temperature", [1e-30, 1e-6, 1e38, 1e300])
def test_extreme_temperatures(temperature: float) -> None:
    ids = written(2, 1, temperature=temperature, banned=(4,), top_k=3, seed=2**63 - 1)
    assert not (ids == 4).any() and ids.min() >= 0 and ids.max() < 11


@pytest.mark.parametrize("ids", [[11], [-1], [0, 300], [2**32], [2**64], [0.0], [True], [[1]]])
def test_ids_that_are_none(ids: list[Any]) -> None:
    with pytest.raises(VocabError, match=r"^ids must"):
        Writer(model(), config()).read(ids)


def test_no_ids() -> None:
    with pytest.raises(VocabError, match="at least one"):
        Writer(model(), config()).read([])


# Characters
# --------------------------------------------------------------------------------------------------

VOCAB = Vocab(tuple("\n abcdefgh"))  # as many symbols as the model has, less one
FOLDING = Vocab((*VOCAB.symbols, UNKNOWN), unknown=10)


def trained(network: Model | None = None, vocab: Vocab = FOLDING) -> Trained:
    return Trained(model=network or model(len(vocab)), vocab=vocab, corpus_config=CorpusConfig())


def text(
    vocab: Vocab = FOLDING,
    prime: str = "abc",
    *,
    length: int = 100,
    progress: Progress | None = None,
    **settings: Any,
) -> str:
    chosen = SamplingConfig(length=length, **settings)
    return "".join(generate(trained(vocab=vocab), prime, chosen, progress=progress))


def test_length_and_seed() -> None:
    whole = text(length=100)
    assert len(whole) == 100 and set(whole) <= set(VOCAB.symbols)
    for length in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 99):
        assert text(length=length) == whole[:length]
    assert text(seed=1) != whole == text(seed=0)


def test_pieces() -> None:
    """The more a character takes, the fewer come at a time; the text is the same."""
    whole = text(length=1500)
    pieces = list(generate(trained(), "abc", SamplingConfig(length=1500)))
    assert len(pieces) == 3 and "".join(pieces) == whole
    assert Writer(model(), config(), streams=5000).chunk == CHUNK
    several, alone = Writer(model(H=300), config(), streams=2), Writer(model(H=300), config())
    assert CHUNK <= several.chunk < alone.chunk < 512


@pytest.mark.parametrize("embedding", [24, 300])
@pytest.mark.parametrize("precision", ["float32", "bf16", "int8"])
def test_rounds_are_the_same_on_any_number_of_threads(precision: str, embedding: int) -> None:
    network = model(H=300, E=embedding, rounds=5)
    ids, found = np.arange(60) % 11, []
    for threads in (1, 2, 3):
        workers = Workers(threads, processors=threads)
        writer = Writer(network, config(precision=precision), workers=workers)
        writer.read(ids)
        found.append((writer.write(50), writer.state.h.copy()))
        workers.close()
    for symbols, h in found[1:]:
        assert np.array_equal(symbols, found[0][0]) and np.array_equal(h, found[0][1])


def test_primes() -> None:
    long = "abcdefgh " * 70
    assert len(text(prime=long, length=5)) == 5
    assert text(prime="") != text(prime="\n")  # which is a second line after the first
    assert text(prime=long) != text(prime="")
    told: list[tuple[int, int]] = []
    text(prime=long, progress=lambda done, whole: told.append((done, whole)))
    assert told == [(256, 629), (512, 629), (629, 629)]


def test_start_ids() -> None:
    assert list(start_ids(Vocab(("a", " ", "\n")))) == [2]
    assert list(start_ids(Vocab(("a", " ", "b")))) == [1]
    assert list(start_ids(Vocab((UNKNOWN, "x", "y"), unknown=0))) == [1]
    assert list(start_ids(Vocab(("\xff", "\xfe"), "byte"))) == [0]


def test_unknown_characters() -> None:
    with pytest.raises(VocabError, match="'Z'"):
        text(prime="aZb")
    assert text(prime="aZb", unknown="skip") == text(prime="ab")
    assert text(prime="éB", unknown="nearest") == text(prime="eb")
    assert text(prime="ZZ", unknown="skip") == text(prime="")
    folded = text(prime="aZb", unknown="fold")
    assert len(folded) == 100 and folded != text(prime="ab")
    with pytest.raises(VocabError, match="no unknown symbol"):
        text(VOCAB, prime="aZb", unknown="fold")


def test_the_unknown_symbol_is_never_written() -> None:
    """Even by a model that thinks of nothing else."""
    m = Model(plain_model(vocab_size=11, hidden=6, layers=1))
    m.parameters["decoder.bias"][10] = 50
    for options in ({"temperature": 0.0}, {"temperature": 5.0}, {"top_k": 1}):
        short, long = (SamplingConfig(length=length, **options) for length in (50, 300))
        written = "".join(generate(trained(m), "a", long))
        assert len(written) == 300 and "�" not in written and "<" not in written
        assert all("�" not in each for each in generate_many(trained(m), 3, "a", short))


@pytest.mark.parametrize("stop", [(), "e", "\n", "ab", "hh"])
def test_many_are_the_single_ones(stop: Any) -> None:
    chosen = SamplingConfig(length=120, stop=stop, seed=2)
    many = generate_many(trained(), 4, "ab", chosen)
    assert many[0] == text(prime="ab", length=120, stop=stop, seed=2)
    assert many[:2] == generate_many(trained(), 2, "ab", chosen, workers=Workers(1))
    unstopped = generate_many(trained(), 4, "ab", replace(chosen, stop=()))
    assert many == [each.split(stop)[0] if stop else each for each in unstopped]
    assert generate_many(trained(), 2, "ab", SamplingConfig(length=0)) == ["", ""]


def test_stops_wherever_the_string_falls() -> None:
    """Across the pieces in which text is written, and where the text ends."""
    whole = text(length=100)
    for start in range(0, 97):
        for size in (1, 3, 20):
            stop = whole[start : start + size]
            assert text(length=100, stop=stop) == whole[: whole.index(stop)]
    assert text(length=100, stop=whole[-3:] + "h" * 9) == whole


@pytest.mark.parametrize("count", [1, 2, 9, 40])
@pytest.mark.parametrize("separator", [None, "e"])
@pytest.mark.parametrize("networks", [1, 2])
def test_a_text_that_has_ended_changes_no_other(
    count: int, separator: str | None, networks: int
) -> None:
    """Texts end one after another; each is what it is alone, and as long as its stop says."""
    corpus_config = CorpusConfig(document_separator=separator)
    members = [
        replace(trained(model(11, L=layers)), corpus_config=corpus_config)
        for layers in range(1, networks + 1)
    ]
    chosen = SamplingConfig(length=90, stop=("bd", "ha"), seed=5, temperature=1.2)
    many = generate_many(members, count, "ab", chosen, workers=Workers(3, processors=3))
    whole = generate_many(members, count, "ab", replace(chosen, stop=()))
    assert many == [min(each.split("bd")[0], each.split("ha")[0], key=len) for each in whole]
    assert count < 40 or 5 < sum(len(each) < 90 for each in many) < 40


@pytest.mark.parametrize("separator", [None, "e", "b+"])
@pytest.mark.parametrize("networks", [1, 2])
def test_a_prime_is_read_once_for_all_texts(
    monkeypatch: pytest.MonkeyPatch, separator: str | None, networks: int
) -> None:
    """However many there are; each is what it is when all of them read it."""
    several = [
        replace(
            trained(model(11, L=layers)), corpus_config=CorpusConfig(document_separator=separator)
        )
        for layers in range(1, networks + 1)
    ]
    prime, chosen = "abecbbda" * 40 + "b", SamplingConfig(length=30, seed=3)
    asked: list[int] = []

    def read(writer: Writer, *arguments: Any) -> None:
        asked.append(writer.streams)
        plain(writer, *arguments)

    plain = Writer.read
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "read", read)
        many = generate_many(several, 50, prime, chosen)
    assert asked == [1] * networks
    documents = [DocumentTrackers(FOLDING, separator, 50) if separator else None for _ in several]
    writers = [
        Writer(each.model, chosen, streams=50, banned=(10,), documents=trackers)
        for each, trackers in zip(several, documents, strict=True)
    ]
    for writer, each in zip(writers, several, strict=True):
        writer.begin(each.opening)
    together = writers[0] if networks == 1 else Ensemble(writers)
    blocks = list(generate_ids(together, FOLDING.encode(prime), 30))
    assert many == [FOLDING.decode(column) for column in np.concatenate(blocks).T]


@pytest.mark.parametrize("prime", ["", "abcab"])
def test_texts_take_their_starts_in_turn(prime: str) -> None:
    state = State(model(11), 3)
    state.h[:] = np.random.default_rng(1).normal(size=(1, 3, 1)) / 2
    several = replace(trained(), starts=StartStates(state, np.array([1, 5, 8], np.int32)))
    chosen = SamplingConfig(length=30, seed=3)
    seven = generate_many(several, 7, prime, chosen)
    assert len(set(seven)) == 7
    for count in (1, 2, 3, 4):
        assert generate_many(several, count, prime, chosen) == seven[:count]
    assert "".join(generate(several, prime, chosen)) == seven[0]


@pytest.mark.parametrize("count", [0, -1, "3"])
def test_no_texts_at_all(count: Any) -> None:
    with pytest.raises(ConfigError, match="`count` must be at least 1"):
        generate_many(trained(), count)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"training": ["text"]},
            "`training` must be a list of Corpus, not one of str; Corpus.read",
        ),
        ({"training": "text"}, "`training` must be a list of Corpus, not str"),
        ({"training": None}, "`training` must .* not NoneType"),
        ({"prime": 5}, "`prime` must be a str, not int"),
        ({"prime": None}, "`prime` must be a str, not NoneType"),
        ({"config": {"length": 5}}, "`config` must be a SamplingConfig, not dict"),
        ({"known_words": "a b"}, "`known_words` must be a Lexicon, not str"),
    ],
)
def test_arguments_of_a_wrong_type(options: dict[str, Any], why: str) -> None:
    for write in (
        lambda: next(generate(trained(), **options)),
        lambda: generate_texts(trained(), 2, **options),
        lambda: ShortTexts(trained(), 2, **options),
    ):
        with pytest.raises(ConfigError, match=why):
            write()


def test_texts_that_have_ended_are_not_written_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer has ever fewer streams, and stops when none is left."""
    asked: list[int] = []

    def write(writer: Writer, length: int) -> Any:
        asked.append(writer.streams)
        return plain(writer, length)

    plain = Writer.write
    monkeypatch.setattr(Writer, "write", write)
    made = generate_many(trained(), 2000, "ab", SamplingConfig(length=4000, stop="e"))
    assert max(map(len, made)) < 4000
    assert asked[0] == 2000 and asked == sorted(asked, reverse=True) and asked[-1] < 200


def test_a_stop_that_cannot_be_written_is_an_error() -> None:
    for stop in ("Z", "abZ", ("a", "aé")):
        for write in (generate, lambda *given: generate_many(given[0], 2, *given[1:])):
            with pytest.raises(VocabError, match=r"`stop` .*[Zé].*no text would end there"):
                list(write(trained(), "a", SamplingConfig(stop=stop)))
    with pytest.raises(VocabError, match="byte 0xac"):
        euro = Vocab(("\xe2", "\x82"), "byte")
        list(generate(trained(model(2), euro), "", SamplingConfig(stop="€")))
    with pytest.raises(VocabError, match="stop"):
        list(generate(trained(), "a", SamplingConfig(stop="<unk>")))


def test_bytes_come_back_from_the_text() -> None:
    every = Vocab(tuple(map(chr, range(256))), "byte")
    chosen = SamplingConfig(length=300, temperature=9.0)
    (first, second) = generate_many(trained(model(256), every), 2, "", chosen)
    assert "".join(generate(trained(model(256), every), "", chosen)) == first
    for made in (first, second):
        data = made.encode("utf-8", "surrogateescape")
        assert len(data) == 300 and not data.isascii() and "\ufffd" not in made
        assert bytes(every.encode(made)) == data
    half = SamplingConfig(length=300, temperature=9.0, stop="\udc80")
    assert (
        "".join(generate(trained(model(256), every), "", half)).encode("utf-8", "surrogateescape")
        == first.encode("utf-8", "surrogateescape").split(b"\x80")[0]
    )


def test_characters_of_several_bytes() -> None:
    """Pieces never end inside a character, and bytes that make none become surrogates."""
    euro = "€".encode()
    vocab = Vocab(tuple(map(chr, sorted(euro))), "byte")
    m = Model(
        plain_model(vocab_size=3, hidden=3, layers=1)
    )  # which writes, after each byte, the next one of the three
    ids = list(vocab.encode(euro))
    for gate, bias in (("i", 30), ("f", -30), ("o", 30)):
        block = "ifgo".index(gate)
        m.parameters["rnn.bias_ih_l0"][block * 16 : block * 16 + 3] = bias
    for before, after in zip(ids, [*ids[1:], ids[0]], strict=True):
        m.parameters["rnn.weight_ih_l0"][before, 2 * 16 + after] = 30
        m.parameters["decoder.weight"][after, after] = 30
    for length in (0, 1, 2, 3, 30, 31, 32):
        chosen = SamplingConfig(length=length, temperature=0.5)
        pieces = list(generate(trained(m, vocab), "€", chosen))
        written = (euro * 11)[:length]
        assert "".join(pieces) == written.decode("utf-8", "surrogateescape")
        assert generate_many(trained(m, vocab), 2, "€", chosen) == ["".join(pieces)] * 2
    assert "".join(generate(trained(m, vocab), "€", SamplingConfig(length=60, stop="€€"))) == ""


@pytest.mark.parametrize(
    ("where", "bad"),
    [
        ("decoder.bias", np.nan),
        ("decoder.bias", np.inf),
        ("decoder.weight", None),
        ("rnn.weight_hh_l0", np.nan),
        ("rnn.weight_hh_l0", np.inf),
    ],
)
@pytest.mark.parametrize("streams", [1, 3])
def test_a_network_whose_logits_overflow_is_an_error(
    bad: float | None, where: str, streams: int
) -> None:
    """It would write, but no text that means anything."""
    broken = Model(model().config)
    broken.parameters.flat[:] = model().parameters.flat
    if where == "decoder.bias":
        broken.parameters[where][3] = bad
    elif bad is None:
        let_overflow(broken.parameters)
    else:
        broken.parameters[where][:] = bad
    both = [trained(), trained(broken)]
    for network in (trained(broken), both):
        with pytest.raises(DivergenceError, match="NaN or infinite"):
            generate_many(network, streams, "abc", SamplingConfig(length=40))
        with pytest.raises(DivergenceError, match="NaN or infinite"):
            list(generate(network, "abc", SamplingConfig(length=40, temperature=0)))


@pytest.mark.parametrize("streams", [1, 3])
def test_it_goes_on_from_before_an_overflow(streams: int) -> None:
    """One network, and several together."""
    for several in (False, True):
        writers = [Writer(model(), config(), streams=streams) for _ in range(1 + several)]
        writer = Ensemble(writers) if several else writers[0]
        writer.read(np.array([1, 2, 3]))
        mark, uniforms = writer.mark(), np.random.default_rng(0).random((20, streams))
        expected = writer.drawn(uniforms)
        for each in writers:
            each.state.h[:] = np.nan
        with pytest.raises(DivergenceError, match="NaN or infinite"):
            writer.drawn(uniforms)
        writer.return_to(mark)
        np.testing.assert_array_equal(writer.drawn(uniforms), expected)


@pytest.mark.parametrize("networks", [1, 2])
def test_it_goes_on_after_an_interrupt(networks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """State, last character and what attention looks back at are those after a whole chunk."""

    def made() -> Writer | Ensemble:
        model = plain_model(vocab_size=11, hidden=6, attention=16)
        writers = [Writer(Model.initialized(model, seed), config()) for seed in range(networks)]
        return writers[0] if networks == 1 else Ensemble(writers)

    writer, whole = made(), made()
    uniforms = np.random.default_rng(0).random((2 * writer.chunk, 1))
    for each in (writer, whole):
        each.read(np.array([1, 2, 3]))
    real = Workers.run

    def run(*arguments: Any) -> None:
        real(*arguments)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Workers, "run", run)
        writer.drawn(uniforms)
    second = whole.drawn(uniforms)[writer.chunk :]
    np.testing.assert_array_equal(writer.drawn(uniforms[writer.chunk :]), second)


def test_a_text_is_written_where_no_thread_can_be_started(monkeypatch):
    """Parts of a divided stream wait for one another; on one thread they would wait forever."""
    model = trained(Model(plain_model(vocab_size=len(FOLDING), hidden=256, layers=1)))
    with contextlib.closing(Workers(1)) as alone:
        expected = "".join(generate(model, "a", SamplingConfig(length=40), workers=alone))

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with contextlib.closing(Workers(2, processors=2)) as workers, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert "".join(generate(model, "a", SamplingConfig(length=40), workers=workers)) == expected
