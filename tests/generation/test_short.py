"""Many short texts: what passes, and what the library says of the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.start_states import StartStates
from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig, ShortConfig
from charrnn.config.settings import CorpusConfig
from charrnn.errors import ConfigError, SamplingError
from charrnn.generation import short
from charrnn.generation.generate import generate, generate_many, generate_texts
from charrnn.generation.short import WINDOW, ShortTexts, folded
from charrnn.network.model import Model, State
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.vocab import Vocab
from tests.reference.small import plain_model

P = {"\n": 0.2, "a": 0.3, "b": 0.25, "A": 0.2, " ": 0.05}


@cache
def independent(separator: str | None = None, unit: Any = "char") -> Trained:
    """A network that draws every character with these probabilities, whatever came before."""
    vocab = Vocab(tuple(P), unit)
    model = Model(plain_model(vocab_size=len(P), hidden=4, layers=1))
    model.parameters.flat[:] = 0
    model.parameters["decoder.bias"][: len(P)] = np.log([*P.values()])
    return Trained(model, vocab, CorpusConfig(unit=unit, document_separator=separator))


def drawn(
    count: int = 50, prime: str = "", separator: str | None = None, seed: int = 3, **short: Any
) -> ShortTexts:
    config = SamplingConfig(temperature=1.0, seed=seed)
    return ShortTexts(independent(separator), count, prime, config, ShortConfig(**short))


@pytest.mark.parametrize("separator", [None, "\n", "\n+"])
@pytest.mark.parametrize("prime", ["", "a", "ab\nb"])
def test_a_batch_equals_its_takes(prime: str, separator: str | None) -> None:
    """The texts that pass are those of the takes, one after another, that pass."""
    texts = drawn(40, prime, separator, min_length=2, max_length=6, unique=True)
    texts.exclude("known", "ab\nba\n\n BB ")
    found, expected = [*texts], list[str]()
    unit = "line" if separator is None else "document"
    config = SamplingConfig(length=texts.config.length, until=unit, temperature=1.0, seed=3)
    for written in generate_many(independent(separator), texts.drawn, prime, config):
        text = (prime[-1:] + written).strip()
        key = folded(text)
        if unit == "document" and not prime and written.startswith("\n"):
            continue  # an empty document
        is_fine = 2 <= len(text) <= 6 and key not in {*map(folded, expected), "ab", "ba", "bb"}
        if is_fine and written.endswith("\n"):
            expected.append(text)
    assert found == expected and len(found) == 40
    assert texts.drawn == 40 + sum(texts.fallen.values())
    assert set(texts.fallen) <= {"empty", "short", "long", "unended", "repeated", "known"}
    assert texts.fallen["repeated"] and texts.fallen["known"] and texts.fallen["short"]


def test_what_passes_keeps_its_probabilities() -> None:
    """Of all texts of at most two characters, each comes as often as the network would write it."""
    texts = Counter(drawn(6_000, max_length=2))
    letters = {letter: P[letter] / (1 - P["\n"]) for letter in "abA"}
    total = sum(texts[one] for one in letters)
    for letter in letters:
        share = P[letter] / sum(P[one] for one in "abA")
        assert abs(texts[letter] - share * total) < 4 * np.sqrt(share * (1 - share) * total)
    pairs = {a + b: P[a] * P[b] for a in "abA" for b in "abA"}
    total = sum(texts[pair] for pair in pairs)
    for pair, p in pairs.items():
        share = p / sum(pairs.values())
        assert abs(texts[pair] - share * total) < 4 * np.sqrt(share * (1 - share) * total)


def test_neither_threads_nor_batches_change_what_passes() -> None:
    whole = [*drawn(60, min_length=3, unique=True)]
    assert [*drawn(20, min_length=3, unique=True)] == whole[:20]
    with_threads = ShortTexts(
        independent(),
        60,
        "",
        SamplingConfig(temperature=1.0, seed=3),
        ShortConfig(min_length=3, unique=True),
        workers=Workers(3, processors=3),
    )
    assert [*with_threads] == whole != [*drawn(60, min_length=3, unique=True, seed=4)]


def test_a_predicate_says_why_a_text_falls() -> None:
    texts = ShortTexts(
        independent(),
        30,
        config=SamplingConfig(seed=1),
        accept=lambda text: "" if text.startswith("b") else "not b",
    )
    assert all(text.startswith("b") for text in texts)
    assert texts.fallen["not b"] and texts.drawn == 30 + sum(texts.fallen.values())


def test_giving_up() -> None:
    texts, found = drawn(10_000, max_length=2, unique=True), list[str]()
    with pytest.raises(SamplingError, match=r"passes: 6 of 2,0\d\d texts.* .*written before"):
        for text in texts:
            found.append(text)
    assert len({*map(folded, found)}) == len(found) > 5 and texts.drawn >= WINDOW
    nothing = drawn(3, max_length=3)
    nothing._accept = lambda text: "wrong"
    with pytest.raises(SamplingError, match="0 of 2,000 texts passed"):
        list(nothing)


def test_texts_that_stand_in_the_training_text_fall() -> None:
    corpus = Corpus.from_text("AB\nba\na b\n" + "aaaaaaaaab\n" * 9)
    for separator in (None, "\n"):
        texts = drawn(300, separator=separator, max_length=3)
        texts.exclude("new", corpus)
        found = {*texts}
        assert not {"ab", "AB", "Ab", "ba", "BA", "bA", "a b", "a  b"} & found
        assert {"a", "b", "aa"} <= found and texts.fallen["new"]


def test_all_texts_of_the_training_text_fall_that_could_be_written() -> None:
    """A text is longer than `length` by what begins in the prime; space in a text counts once."""
    network, lines = separated("<", {"\n": 0.2, "a": 0.3, "b": 0.3, "<": 0.1, " ": 0.1}), "ab\nbb<"
    config = SamplingConfig(temperature=1.0, seed=3, until="line", length=5)
    texts = ShortTexts(network, 30, "b\naaaaaa", config)
    texts.exclude("known", lines + "aaaaaaa\naaaaaab<aaaaaa")
    assert not {"aaaaaa", "aaaaaaa", "aaaaaab"} & {*texts} and texts.fallen["known"]
    network = separated("\n", {"\n": 0.2, "a": 0.3, "b": 0.2, " ": 0.3})
    texts = ShortTexts(network, 100, "", config, ShortConfig(max_length=3))
    texts.exclude("known", "a   b\nb \t a")
    assert not {"a b", "b a"} & {*texts} and texts.fallen["known"]


@pytest.mark.parametrize(("separator", "until"), [("\n\n+", None), ("<+>", "sentence")])
def test_a_text_that_ends_without_its_words_falls(separator: str, until: Any) -> None:
    p = P if "\n" in separator else {"a": 0.25, "b": 0.25, ".": 0.1, " ": 0.1, "<": 0.2, ">": 0.1}
    config = SamplingConfig(temperature=1.0, seed=3, until=until, must=("ab",), length=60)
    few, many = (
        ShortTexts(separated(separator, p), count, "", config, ShortConfig(max_length=40))
        for count in (10, 100)
    )
    found = list(many)
    assert list(few) == found[:10] and few.fallen["lacking"]
    for text in found:
        first, *others = few._endings.units(text)
        assert "ab" in text.lower() and first == text and not any(others)


def test_documents_of_several_lines_and_bytes() -> None:
    text = [*drawn(40, separator="\n\n+", min_length=3)]
    assert any("\n" in each for each in text) and not any("\n\n" in each for each in text)
    network = independent("\n", "byte")
    config = SamplingConfig(temperature=1.0, seed=3)
    bytes_ = [*ShortTexts(network, 20, "", config, ShortConfig(max_length=5))]
    assert bytes_ == [*drawn(20, separator="\n", max_length=5)]


def test_other_units_and_settings() -> None:
    config = SamplingConfig(temperature=1.0, seed=3, lines=2, length=30)
    texts = ShortTexts(independent(), 10, "", config, ShortConfig(min_length=3))
    assert all(text.count("\n") >= 1 for text in texts) and texts.config.length == 30
    with pytest.raises(ConfigError, match="`min_length` 5 is larger than `max_length` 4"):
        ShortConfig(min_length=5, max_length=4)
    with pytest.raises(ConfigError, match="`count`"):
        drawn(0)


@pytest.mark.parametrize("separator", [None, "\n", "a+"])
@pytest.mark.parametrize("until", [None, "sentence", "document"])
@pytest.mark.parametrize("networks", [1, 2])
def test_takes(separator: str | None, until: Any, networks: int) -> None:
    """Take K alone is what it is among others: with documents, whose states are not zeroed where
    texts end, from several start states, and of ensembles.
    """
    if until == "document" and separator is None:
        return
    trained = [forgetful(n, separator) for n in range(networks)]
    config = SamplingConfig(length=40, temperature=1.0, seed=2, until=until)
    takes = generate_texts(trained, 5, "a", config)
    assert [each.take for each in takes] == [1, 2, 3, 4, 5] and len({t.text for t in takes}) == 5
    for each in takes:
        alone = replace(config, take=each.take)
        assert "".join(generate(trained, "a", alone)) == each.text
    assert generate_texts(trained, 2, "a", replace(config, take=4)) == takes[3:]


@cache
def forgetful(number: int, separator: str | None, states: int = 3) -> Trained:
    """A network with start states that remembers a little."""
    rng = np.random.default_rng(number)
    model = Model(plain_model(vocab_size=len(P), hidden=4, layers=1))
    model.parameters.flat[:] = rng.normal(size=model.parameters.flat.size)
    model.hold_zeros()
    state = State(model, states)
    state.h[:, :, :4] = rng.normal(size=(1, states, 4))
    starts = StartStates(state, np.arange(states, dtype=np.int32) % len(P))
    config = CorpusConfig(document_separator=separator)
    return Trained(model, Vocab(tuple(P)), config, starts=starts)


def separated(separator: str, p: dict[str, float], unit: Any = "char") -> Trained:
    """A network that draws these characters, whatever came before."""
    vocab = Vocab(tuple(sorted(p)), unit)
    model = Model(plain_model(vocab_size=len(p), hidden=4, layers=1))
    model.parameters.flat[:] = 0
    model.parameters["decoder.bias"][: len(p)] = np.log([p[symbol] for symbol in vocab.symbols])
    return Trained(model, vocab, CorpusConfig(unit=unit, document_separator=separator))


@pytest.mark.parametrize("until", [None, "sentence"])
def test_a_separator_is_no_part_of_a_text_that_may_be_too_long(until: Any) -> None:
    """What passes depends on the takes alone, however many are written side by side."""
    trained = separated("<+>", {"a": 0.25, "b": 0.25, "<": 0.45, ">": 0.05})
    config = SamplingConfig(temperature=1.0, seed=3, until=until)
    few, many = (
        list(ShortTexts(trained, count, "", config, ShortConfig(max_length=5)))
        for count in (20, 200)
    )
    assert many[:20] == few and max(map(len, many)) == 5
    sizes = Counter(len(text) for text in many)
    for size in (3, 4):
        assert sizes[size + 1] > 0.5 * sizes[size]


def test_a_separator_may_be_long() -> None:
    trained = separated("<{80}>", {"a": 0.015, "<": 0.97, ">": 0.015})
    config = SamplingConfig(temperature=1.0, seed=3)
    texts = list(ShortTexts(trained, 20, "", config, ShortConfig(max_length=30)))
    assert 14 < max(map(len, texts)) <= 30


def test_a_separator_that_looks_ahead_is_no_part_of_a_text() -> None:
    trained = separated("<+(?=a)", {"a": 0.4, "b": 0.3, "<": 0.3})
    config = SamplingConfig(temperature=1.0, seed=3)
    texts = list(ShortTexts(trained, 50, "", config, ShortConfig(max_length=8)))
    assert not any(text.endswith("<") for text in texts) and any("<b" in text for text in texts)


def test_bytes_that_are_no_utf_8_are_excluded() -> None:
    trained = separated("\n", {"\n": 0.3, "a": 0.4, "\xe9": 0.3}, "byte")
    config = SamplingConfig(temperature=1.0, seed=3)
    texts = ShortTexts(trained, 30, "", config, ShortConfig(max_length=3))
    known = Corpus.from_text(b"a\xe9\n\xe9\naa\n", CorpusConfig(unit="byte"))
    texts.exclude("known", known)
    assert not {"a\udce9", "\udce9", "aa"} & {*texts} and texts.fallen["known"]


def test_a_text_of_another_unit_is_excluded() -> None:
    trained = separated("\n", {"\n": 0.4, "a": 0.2, "\xc3": 0.2, "\xa9": 0.2}, "byte")
    config = SamplingConfig(temperature=1.0, seed=3)
    texts = ShortTexts(trained, 30, "", config, ShortConfig(max_length=2))
    texts.exclude("known", Corpus.from_text("é\naa\n\u0416\n"))
    assert not {"é", "aa"} & {*texts} and texts.fallen["known"]


def test_the_length_of_texts_of_bytes_is_that_of_their_characters() -> None:
    letters = "абвг"
    pairs = dict.fromkeys(sorted({chr(byte) for byte in letters.encode()}), 1.0)
    trained = separated("\n", {"\n": 0.4} | pairs, "byte")
    short = ShortConfig(min_length=7, max_length=12)
    config = SamplingConfig(temperature=1.0, seed=3, match="[абвг]{7,12}\n?")
    texts = list(ShortTexts(trained, 10, "", config, short))
    assert len(texts) == 10 and all(7 <= len(text) <= 12 for text in texts)


def test_takes_of_an_ensemble_start_where_they_start_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many start states its networks have together, and whatever was written before."""
    monkeypatch.setattr(short, "MOST", 64)
    networks = [forgetful(n, None, states) for n, states in enumerate((7, 5, 3))]
    config = SamplingConfig(temperature=1.0, seed=3, lines=1, length=30)
    texts = ShortTexts(networks, 150, "", config)
    found = [text for text in texts if text]
    alone = [
        written.text.strip()
        for take in range(texts.drawn)
        for written in generate_texts(networks, 1, "", replace(config, take=take + 1))
        if written.ended
    ]
    assert found == [text for text in alone if text] and texts.drawn > 105


def test_a_short_text_begins_where_a_long_prime_does() -> None:
    found = [*drawn(3, "A" * 1500)]
    assert all(text.startswith("A" * 1500) for text in found)
    assert len(next(iter(drawn(1, "ab\n" + "A" * 1500)))) >= 1500


def test_lines_end_with_documents_whose_separator_is_in_a_line() -> None:
    """Also where words must stand in them, and where there is a longest length."""
    p = {"a": 0.3, "b": 0.3, "\n": 0.1, "|": 0.3}
    config = SamplingConfig(temperature=1.0, seed=3, until="line", must=("ab",), length=60)
    texts = ShortTexts(separated(r"\|", p), 50, "", config, ShortConfig(max_length=40))
    assert not any("|" in text for text in texts)
    config = SamplingConfig(temperature=1.0, seed=3, until="line")
    texts = ShortTexts(separated("<end>", p), 1, "", config, ShortConfig(max_length=5))
    assert texts.config.length is not None and texts.config.length > 6 + len("<end>")
    config = replace(config, must=("ab",))
    for separator in (r"\n", r"\n\n+", "\n---\n", r"\n{2,}", r"\n{2}"):  # lines end at these
        texts = ShortTexts(separated(separator, p), 1, "", config, ShortConfig(max_length=5))
        assert (texts.config.length, texts.config.match) == (6, ".*")


@pytest.mark.parametrize("separator", [r"\n*x", r"\n|x", r"\n?x", r"\n{0,2}x", "x\n"])
def test_separators_that_may_stand_in_a_line(separator: str) -> None:
    p = {"a": 0.3, "\n": 0.1, "x": 0.6}
    config = SamplingConfig(temperature=1.0, seed=3, until="line")
    texts = ShortTexts(separated(separator, p), 1, "", config, ShortConfig(max_length=5))
    assert texts.config.length is not None and texts.config.length > 6
