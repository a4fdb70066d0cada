"""Texts that match: what is written, where it ends, and with which probability."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import product as sequences
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig, ShortConfig
from charrnn.config.settings import CorpusConfig
from charrnn.errors import ConfigError
from charrnn.generation.generate import generate, generate_many, generate_texts
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.short import ShortTexts
from charrnn.generation.writer import Writer
from charrnn.network.model import Model
from charrnn.runtime.threads import Workers
from charrnn.text.vocab import Vocab
from tests.reference import cells as reference
from tests.reference.small import plain_model


@cache
def network(symbols: str, unit: Any = "char", separator: str | None = None) -> Trained:
    """A random network over these symbols."""
    vocab = Vocab(tuple(symbols), unit)
    model = Model(plain_model(vocab_size=len(vocab), hidden=6, layers=2))
    parameters = reference.random_parameters(np.random.default_rng(3), model.config)
    model.parameters.from_disk(parameters)
    return Trained(model, vocab, CorpusConfig(unit=unit, document_separator=separator))


def config(match: str | None = None, **settings: Any) -> SamplingConfig:
    return SamplingConfig(**{"match": match, "temperature": 1.0, "length": 40} | settings)


LETTERS = "abcdE. \n"
BYTES = "".join(map(chr, sorted(set("abcé€ \n".encode()))))


@pytest.mark.parametrize(
    "pattern",
    ["E[a-d]+", "(ab|cd.){2,5}E", r"[^.]*\.", ".*b.*", "(?s).*a.*", "E?", r"(\w+ ){3}\w{2,4}"],
)
def test_every_text_matches(pattern: str) -> None:
    texts = generate_texts(network(LETTERS), 300, "ab", config(pattern))
    assert all(re.fullmatch(pattern, text.text) for text in texts)
    assert len({text.text for text in texts}) > (1 if pattern == "E?" else 20)
    assert {text.ended for text in texts} <= {"match", ""}
    assert all(len(text.text) == 40 for text in texts if not text.ended)


@pytest.mark.parametrize("pattern", ["é+€?", "[^a]{3,9}", "(?s).{5}", r"\w+ (é|€)+"])
def test_every_text_of_a_network_of_bytes_matches(pattern: str) -> None:
    for text in generate_many(network(BYTES, "byte"), 200, "", config(pattern)):
        assert re.fullmatch(pattern, text)


def test_where_it_may_go_on_the_network_decides() -> None:
    """The text is what the network would write, up to where the pattern does not allow more."""
    trained = network(LETTERS)
    for take in range(1, 40):
        free = "".join(generate(trained, "a", config(take=take)))
        text = "".join(generate(trained, "a", config("[^.b]*", take=take)))
        assert text == re.match("[^.b]*", free)[0]  # type: ignore[index]


def test_a_stream_is_its_take_and_threads_change_nothing() -> None:
    trained, words = network(LETTERS), Lexicon.of_list("ab cd a dab")
    for settings in (
        {"match": "(?s).*E.*"},
        {"must": ("ab", "cd")},
        {"match": "[^E]*", "particles": 3},
    ):
        one = config(**settings)  # type: ignore[arg-type]
        many = generate_many(
            trained, 4, "a", one, known_words=words if "E" not in str(settings) else None
        )
        known = words if "E" not in str(settings) else None
        for n, text in enumerate(many):
            take = config(**settings, take=n + 1)  # type: ignore[arg-type]
            assert "".join(generate(trained, "a", take, known_words=known)) == text
        workers = Workers(3)
        assert generate_many(trained, 4, "a", one, workers=workers, known_words=known) == many
        workers.close()


@pytest.mark.parametrize("unit", ["sentence", "line", "paragraph"])
def test_a_text_ends_at_its_ending_only_where_it_matches(unit: Any) -> None:
    texts = generate_texts(
        network(LETTERS), 200, "", config("(?s).*b.*E.*", length=300, until=unit)
    )
    assert all(re.fullmatch("(?s).*b.*E.*", text.text) for text in texts)
    assert sum(text.ended == unit for text in texts) > 100
    assert any(text.text.rstrip("\n").count("\n") for text in texts) or unit == "paragraph"


@pytest.mark.parametrize("keep", [False, True])
def test_a_stop_string_stops_only_where_the_text_matches(keep: bool) -> None:
    settings = config("(?s).*b.*", length=200, stop=("cd", "d."), keep_stop=keep)
    texts = generate_texts(network(LETTERS), 200, "", settings)
    assert sum(text.ended == "stop" for text in texts) > 150
    assert all("b" in text.text for text in texts)
    stopped = [text.text for text in texts if text.ended == "stop"]
    assert all(text.endswith(("cd", "d.")) for text in stopped) or not keep
    assert any("cd" in text[:-2] for text in stopped)


def test_words_that_must_occur_do() -> None:
    settings = config(must=("ab", "d"), length=60, until="sentence")
    texts = generate_texts(network(LETTERS), 200, "d", settings)
    for text in texts:
        assert re.search(r"(?<![\w])[aA]b(?!\w)", text.text) and re.search(
            r"(?<!\w)[dD](?!\w)", text.text
        )
    assert any(text.ended == "sentence" for text in texts)


def test_all_of_it_together() -> None:
    words = Lexicon.of_list("ab cd dab cab bad")
    settings = config(r"[a-d]+( [a-d]+){2,4}\.", must=("bad",))
    texts = generate_many(network(LETTERS), 200, "", settings, known_words=words)
    for text in texts:
        assert re.fullmatch(r"[a-d]+( [a-d]+){2,4}\.", text)
        assert "bad" in text[:-1].split() and set(text[:-1].split()) <= words.words
    assert len(set(texts)) > 20


def test_of_two_networks() -> None:
    pair = [network(LETTERS), network(LETTERS)]
    assert generate_many(pair, 5, "a", config("(ab|cd.){2,5}E")) == generate_many(
        pair[:1], 5, "a", config("(ab|cd.){2,5}E")
    )
    assert re.fullmatch("b.*d", "".join(generate(pair, "", config("b.*d", particles=4))))


@pytest.mark.parametrize("particles", [1, 4])
@pytest.mark.parametrize(("length", "ended"), [(2, ""), (3, "match"), (4, "match")])
def test_what_ends_a_text_to_which_nothing_can_be_added(
    length: int, ended: str, particles: int
) -> None:
    match = "[ab]{3}" if ended else "[ab]{2,3}"
    settings = config(match, length=length, particles=particles)
    for trained in (network(LETTERS), [network(LETTERS)] * 2):
        (written,) = generate_texts(trained, 1, "", settings)
        assert (written.ended, len(written.text)) == (ended, min(length, 3))


def test_short_texts_match() -> None:
    settings = SamplingConfig(match="E[a-d]+", temperature=1.0)
    texts = ShortTexts(network(LETTERS), 50, "", settings, ShortConfig(2, 6, unique=True))
    found = list(texts)
    assert len(set(found)) == 50 and all(re.fullmatch("E[a-d]{1,5}", text) for text in found)


def test_documents_are_reset_as_without_a_pattern() -> None:
    trained = network(LETTERS, separator=r"\n\n")
    for take in range(1, 20):
        free = "".join(generate(trained, "", config(take=take, length=120)))
        match = "".join(generate(trained, "", config("[^E]*", take=take, length=120)))
        assert match == re.match("[^E]*", free)[0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"match": "a{41}"}, "`match`: the shortest such text has 41 characters.*`length` 40"),
        ({"match": "[ab]+", "must": ("cd",)}, "`match` and `must`: no text fulfils all of these"),
        ({"particles": 8}, "add `match`, `must` or"),
        ({"match": "("}, "is not a regular expression"),
        ({"match": ""}, "`match`: no text but the empty one"),
        ({"match": "()|a{0}|z?"}, "`match`: no text but the empty one"),
    ],
)
def test_what_cannot_be_written_is_an_error(settings: dict[str, Any], why: str) -> None:
    for write in (
        lambda: list(generate(network(LETTERS), "", config(**settings))),
        lambda: generate_many(network(LETTERS), 3, "", config(**settings)),
        lambda: list(ShortTexts(network(LETTERS), 3, "", config(**settings))),
    ):
        with pytest.raises(ConfigError, match=why):
            write()


# Probabilities
# --------------------------------------------------------------------------------------------------

LONG = 4
PATTERN = re.compile("a.bc|b[ab]..|ccc.")


def exact() -> tuple[dict[str, float], dict[str, float]]:
    """Of every text that matches: its probability given that, and the one that a mask makes of it,
    by going through all texts of LONG symbols.
    """
    trained, texts = network("abc"), ["".join(text) for text in sequences("abc", repeat=LONG)]
    writer = Writer(trained.model, config(), streams=len(texts))
    writer.begin(trained.opening)
    p, masked, ids = np.ones(len(texts)), np.ones(len(texts)), writer.last
    matching = [text for text in texts if PATTERN.fullmatch(text)]
    for place in range(LONG):
        logits = writer.step(ids).astype(float)
        row = np.exp(logits - logits.max(1, keepdims=True))
        row /= row.sum(1, keepdims=True)
        for n, text in enumerate(texts):
            after = {other[place] for other in matching if other.startswith(text[:place])}
            left = sum(row[n, "abc".index(symbol)] for symbol in after)
            q = row[n, "abc".index(text[place])]
            p[n] *= q
            masked[n] *= q / left if text[place] in after else 0
        ids = np.array(["abc".index(text[place]) for text in texts], np.int32)
    given = {text: p[n] for n, text in enumerate(texts) if text in matching}
    total = sum(given.values())
    return (
        {text: q / total for text, q in given.items()},
        {text: masked[n] for n, text in enumerate(texts) if text in matching},
    )


def distance(p: dict[str, float], q: dict[str, float]) -> float:
    """The total variation distance."""
    return sum(abs(p[text] - q[text]) for text in p) / 2


def frequencies(count: int, particles: int) -> dict[str, float]:
    settings = config(PATTERN.pattern, particles=particles, seed=11)
    counts = Counter(generate_many(network("abc"), count, "", settings))
    return {text: counts[text] / count for text in exact()[0]}


def test_a_mask_distorts_and_particles_do_not() -> None:
    """Frequencies lie within four standard deviations of what they should be."""
    given, masked = exact()
    assert sum(masked.values()) == pytest.approx(1) and distance(given, masked) > 0.1
    for count, particles, wanted, bias in [(4000, 1, masked, 0.0), (800, 24, given, 0.015)]:
        found = frequencies(count, particles)
        assert sum(found.values()) == pytest.approx(1)
        for text, p in wanted.items():
            assert found[text] == pytest.approx(p, abs=4 * (p * (1 - p) / count) ** 0.5 + bias)
        other = given if wanted is masked else masked
        assert distance(found, wanted) < distance(found, other) / 3


def test_the_more_particles_the_closer() -> None:
    given, _ = exact()
    far, near = (distance(frequencies(900, particles), given) for particles in (1, 8))
    assert near < far / 2


@pytest.mark.parametrize("pattern", [None, "(?s).*é.*"])
def test_documents_of_a_network_of_bytes_end_where_they_match(pattern: str | None) -> None:
    trained = network(BYTES, "byte", "\n")
    settings = config(pattern, until="document", length=60)
    texts = generate_texts(trained, 300, "", settings)
    ended = [text for text in texts if text.ended == "document"]
    assert len(ended) > 30 and any(ord(c) > 127 for text in ended for c in text.text)
    for text in ended:
        assert text.text.endswith("\n") and (pattern is None or re.fullmatch(pattern, text.text))
