"""Texts written with `max_copy` copy nothing, whoever else is written, and are changed only where
they would have copied.
"""

import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from charrnn.checkpoint.trained import Trained
from charrnn.config import CorpusConfig, SamplingConfig
from charrnn.errors import ConfigError, SamplingError
from charrnn.generation.generate import generate, generate_many, generate_texts
from charrnn.generation.original import Original
from charrnn.generation.writer import Writer
from charrnn.network.model import Model
from charrnn.text.copies import Copies
from charrnn.text.corpus import Corpus
from charrnn.text.folding import fold
from tests.reference.small import plain_model

TEXT = (
    "The owl sat in the oak; and the more it saw, the less it spoke.\n"
    "Once upon a time there was a king -- a good king, so they say -- who had no name.\n"
    "And when the rain fell on the roof, the king sat by the fire with the owl.\n"
)


def folded(text):
    """The folded text, and the place of each of its characters."""
    out, places = "", []
    for i, ch in enumerate(text):
        symbol = fold(ch)
        if symbol and not (symbol == " " and out.endswith(" ")):
            out, places = out + symbol, [*places, i]
    return out, places


@cache
def grams(text, size):
    return frozenset(text[i : i + size] for i in range(len(text) - size + 1))


def copies_in(text, size, source=TEXT):
    """Where copies from a source end in a text."""
    (short, places), (short_source, _) = folded(text), folded_source(source)
    ends = [
        i for i in range(size - 1, len(text)) if text[i + 1 - size : i + 1] in grams(source, size)
    ]
    known = grams(short_source, size)
    ends += [places[i] for i in range(size - 1, len(short)) if short[i + 1 - size : i + 1] in known]
    return sorted(set(ends))


folded_source = cache(folded)


def network(text=TEXT, **reading):
    """A network that writes each symbol by the one before it, as often as a text does; the text."""
    corpus = Corpus.from_text(text, CorpusConfig(val_fraction=0.0, **reading))
    V = len(corpus.vocab)
    model = Model(plain_model(vocab_size=V, cell="rnn", layers=1, hidden=V, forget_bias=0.0))
    follows = np.full((V, V), 0.01)
    np.add.at(follows, (corpus.ids[:-1], corpus.ids[1:]), 1.0)
    model.parameters.flat[:] = 0
    model.parameters["rnn.weight_ih_l0"][:V, :V] = 9 * np.eye(V)  # unit v is on after symbol v
    model.parameters["decoder.weight"][:V, :V] = np.log(follows)
    return Trained(model, corpus.vocab, corpus.config), corpus


NETWORK, CORPUS = network()
CONFIG = SamplingConfig(length=60, max_copy=8, temperature=0.9, seed=3)


def texts(count, prime="", config=CONFIG, **options):
    options = {"training": [CORPUS], **options}
    return generate_many(options.pop("trained", NETWORK), count, prime, config, **options)


@pytest.mark.parametrize("size", [5, 12])
def test_copies_are_recognized(size):
    corpora = [Corpus.from_text(part) for part in TEXT.splitlines(keepends=True)]
    vocab, text = CORPUS.vocab, "THE owl,  sat in ITS oak. And more: it saw\n\nthe less it sp"
    known = Copies(corpora, vocab, size)
    ids = vocab.encode(text, "nearest").astype(np.int32)
    text, ends = vocab.decode(ids), []
    place = known.first(ids, 0, len(ids))
    while place >= 0:
        ends.append(place)
        place = known.first(ids, place + 1, len(ids))
    lines = [corpus.vocab.decode(corpus.ids) for corpus in corpora]
    assert ends == sorted({end for line in lines for end in copies_in(text, size, line)})
    assert ends


def test_ten_thousand_texts_copy_nothing():
    config = replace(CONFIG, length=20, max_copy=7)
    free, written = texts(10_000, config=replace(config, max_copy=0)), texts(10_000, config=config)
    assert sum(bool(copies_in(text, 7)) for text in free) > 500
    assert not any(copies_in(text, 7) for text in written)
    for before, after in zip(free, written, strict=True):
        assert before == after or copies_in(before, 7)


def test_a_text_goes_back_to_the_beginning_of_a_word():
    free, written = texts(300, config=replace(CONFIG, max_copy=0)), texts(300)
    places = []
    for before, after in zip(free, written, strict=True):
        if before != after:
            first = copies_in(before, 8)[0]
            same = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
            places.append((same, first, before[same - 1 : same + 1]))
    assert len(places) > 40
    assert all(same <= first for same, first, _ in places)
    at_word = [pair for _, _, pair in places if not pair[0].isalpha() and pair[1].isalpha()]
    assert len(at_word) > 0.9 * len(places)


def test_the_prime_counts():
    prime = "so they say -- who had no nam"
    config = replace(CONFIG, max_copy=len(prime) + 1, length=1, temperature=0)
    assert texts(1, prime, replace(config, max_copy=0)) == ["e"]
    assert texts(1, prime, config) != ["e"]
    assert texts(1, prime.replace(" ", ", "), replace(config, max_copy=27)) != ["e"]


def test_a_text_is_the_same_alone_and_among_others():
    many = texts(20)
    for take in (1, 8, 20):
        alone = "".join(generate(NETWORK, "", replace(CONFIG, take=take), training=[CORPUS]))
        assert alone == many[take - 1]
    assert texts(3, config=replace(CONFIG, take=8)) == many[7:10]


@pytest.mark.parametrize("size", [5, 8])
def test_a_text_does_not_depend_on_how_it_is_asked_for(size):
    copies, config = Copies([CORPUS], CORPUS.vocab, size), replace(CONFIG, max_copy=size)

    def written(*lengths, streams=4, keep=None):
        writer = Writer(NETWORK.model, config, streams=streams)
        original = Original(writer, copies, CORPUS.vocab, 60)
        original.read(CORPUS.ids[:3])
        blocks = []
        for length in lengths:
            if keep and sum(map(len, blocks)) >= 20:
                original.keep(keep)
                blocks, keep = [block[:, keep] for block in blocks], None
            blocks.append(original.write(length))
        return np.concatenate(blocks).T.tolist()

    whole = written(60)
    assert written(*[1] * 60) == written(7, 20, 33) == whole
    assert written(60, streams=2) == whole[:2]
    assert written(*[5] * 12, keep=[3, 1]) == [whole[3], whole[1]]


def test_ensembles_documents_bytes_and_automata():
    written = texts(6, trained=[NETWORK, NETWORK])
    assert not any(copies_in(text, 8) for text in written)
    separated, corpus = network(document_separator="\n")
    written = texts(6, trained=separated, training=[corpus])
    assert written[2] == "".join(
        generate(separated, "", replace(CONFIG, take=3), training=[corpus])
    )
    assert not any(copies_in(text, 8) for text in written)
    in_bytes, corpus = network(TEXT.encode(), unit="byte")
    assert not any(copies_in(t, 8) for t in texts(6, trained=in_bytes, training=[corpus]))
    config = replace(CONFIG, match="[a-m ]*x?[n-z ]*", length=30)
    for text in generate_texts(NETWORK, 20, "", config, training=[CORPUS]):
        assert not copies_in(text.text, 8)
        assert re.fullmatch("[a-m ]*x?[n-z ]*", text.text)


def test_what_cannot_be_done_is_an_error():
    with pytest.raises(SamplingError, match="no way on without a copy of 1 character "):
        texts(1, config=replace(CONFIG, max_copy=1))
    with pytest.raises(ConfigError, match="training"):
        texts(1, training=())
    with pytest.raises(ConfigError, match="particles"):
        texts(1, config=replace(CONFIG, particles=2, match="a*"))
