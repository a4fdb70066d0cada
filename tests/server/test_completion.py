"""What a request may ask for, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import CorpusConfig
from charrnn.config.serving import ServeConfig
from charrnn.generation.lexicon import Lexicon
from charrnn.server import orders
from charrnn.server.answer import token
from charrnn.server.body import json_object
from charrnn.server.completion import Completion, read_completion
from charrnn.server.orders import streams_of
from charrnn.server.reading import Scoring
from charrnn.server.refusal import Refusal
from charrnn.text.vocab import Vocab
from tests.server.hostile import BODIES
from tests.server.networks import network

TRAINED = Mixture([network()])


def read(**values: Any) -> Completion:
    return read_completion(values, TRAINED, "bottles", ServeConfig())


def test_what_is_wrong_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "SECONDS", 0.1)
    assert len(BODIES) > 150
    for name, body in BODIES:
        with pytest.raises(Refusal) as caught:
            completion = read_completion(json_object(body), TRAINED, "bottles", ServeConfig())
            streams_of(completion, TRAINED, None, lambda stream: None)
            pytest.fail(f"not refused: {name}")
        refusal = caught.value
        assert 400 <= refusal.status < 500, name
        assert 10 < len(refusal.message) < 1000 and "\n" not in refusal.message, name
        assert json.dumps(refusal.as_json(), ensure_ascii=False).encode()


def test_a_request_without_anything_is_16_symbols_from_the_start() -> None:
    completion = read()
    assert [prompt.text for prompt in completion.prompts] == [""]
    config = completion.config
    assert (config.length, config.temperature, config.unknown) == (16, 1.0, "nearest")
    assert (completion.n, completion.best_of, completion.texts) == (1, 1, 1)
    assert read().config.seed != read().config.seed
    assert read(temperature=0).config.seed == read(max_tokens=0, echo=True).config.seed == 0


def test_neutral_values_ask_for_nothing() -> None:
    names = ("suffix", "presence_penalty", "frequency_penalty", "user", "logit_bias", "stop")
    completion = read(
        **dict.fromkeys((*names, "n", "best_of", "echo", "logprobs", "seed", "stream_options")),
        prompt=None,
        max_tokens=None,
    )
    assert completion.bias is None and completion.texts == 1
    read(suffix="", presence_penalty=0.0, frequency_penalty=0, user="me", logit_bias={})
    read(stream=False, model="bottles")


def test_prompts_are_texts_or_ids() -> None:
    index = TRAINED.vocab.index
    assert read(prompt="ab").prompts[0].ids.tolist() == [index["a"], index["b"]]
    assert [p.text for p in read(prompt=["a", "bc"]).prompts] == ["a", "bc"]
    assert [p.text for p in read(prompt=[index["a"], index["b"]]).prompts] == ["ab"]
    assert [p.text for p in read(prompt=[[index["a"]], "b"]).prompts] == ["a", "b"]
    assert read(prompt="a\r\nb").prompts[0].ids.tolist() == [index[c] for c in "a\nb"]
    nearest = read(prompt="\u00e4").prompts[0]
    assert nearest.ids.tolist() == [index["a"]] and nearest.text == "\u00e4"
    assert read(prompt="\u0126\u4e00", unknown="skip").prompts[0].ids.tolist() == []


def test_an_end_of_our_own_needs_no_length() -> None:
    assert read(until="sentence").config.length == 10_000
    assert read(match="a+").config.length == 1_000
    assert read(until="sentence", max_tokens=7).config.length == 7
    limits = ServeConfig(max_tokens=500)
    assert read_completion({"until": "line"}, TRAINED, "x", limits).config.length == 500


def test_a_stop_that_the_network_cannot_write_never_comes() -> None:
    assert read(stop=["ab", "\u4e00", "<|endoftext|>"]).config.stop == ("ab",)
    assert read(stop="ab").config.stop == ("ab",)


def test_bias_is_added_by_id() -> None:
    bias = read(logit_bias={"3": -100, "4": 5, "5": 0.5}).bias
    assert bias is not None and bias.dtype == np.float32
    assert bias[3] == -np.inf and bias[4] == 5 and bias[5] == 0.5 and bias[6] == 0


@pytest.mark.parametrize("limit", [{"match": "a+"}, {"known_words": True}])
def test_no_symbol_is_excluded_that_what_has_to_match_may_need(limit: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="'logit_bias' cannot exclude a token") as caught:
        read(logit_bias={"3": 5, "4": -100}, **limit)
    assert caught.value.param == "logit_bias"
    assert read(logit_bias={"4": -99}, **limit).bias is not None


def test_choices_are_takes() -> None:
    completion = read(prompt=["a", "b"], n=2, best_of=3, seed=5, take=4)
    streams = streams_of(completion, TRAINED, None, lambda stream: None)
    assert [s.order.config.take for s in streams] == [4, 5, 6, 7, 8, 9]
    assert {s.order.config.seed for s in streams} == {5}
    assert {s.order.logprobs for s in streams} == {0}, "the best ones are chosen by these"


def test_known_words_follow_the_prompt() -> None:
    words = Lexicon.of_list("abc bad")
    completion = read(prompt="ab", known_words=True, max_tokens=20)
    (stream,) = streams_of(completion, TRAINED, words, lambda stream: None)
    automaton = stream.order.automaton
    assert automaton is not None
    ids = TRAINED.vocab.encode
    assert automaton.accepts(ids("c bad")) and not automaton.accepts(ids("d bad"))


def test_texts_are_read_as_that_of_the_training_was() -> None:
    vocab = Vocab((*TRAINED.vocab.symbols, "\u00e9"))
    trained = replace(network(vocab=vocab), corpus_config=CorpusConfig(normalize="NFC"))
    networks, limits = Mixture([trained]), ServeConfig()
    body = {"prompt": "cab\r\ncafe\u0301", "stop": ["e\u0301\r", "e\u0301"], "known_words": True}
    completion = read_completion(body | {"max_tokens": 20}, networks, "bottles", limits)
    (prompt,), ids = completion.prompts, vocab.encode
    assert prompt.text == body["prompt"] and prompt.ids.tolist() == ids("cab\ncaf\u00e9").tolist()
    assert completion.config.stop == ("\u00e9\n", "\u00e9")
    words = Lexicon.of_list("caf\u00e9s cab")
    (stream,) = streams_of(completion, networks, words, lambda stream: None)
    assert stream.order.automaton is not None
    assert stream.order.automaton.accepts(ids("s cab"))
    assert not stream.order.automaton.accepts(ids(" cab"))
    scoring = Scoring({"text": "a\r\ne\u0301b", "from": 2}, networks, limits)
    assert scoring.order.ids.tolist() == ids("a\n\u00e9b").tolist() and scoring.unknown == []
    places = [SimpleNamespace(logprob=-0.5), SimpleNamespace(logprob=-1.5)]
    answer = {"surprises": [0.5, 1.5], "unknown": []}
    told = SimpleNamespace(places=places)
    assert scoring.answer(told) == answer | {"text": "a\n\u00e9b"}  # type: ignore[arg-type]
    same = Scoring({"text": "a\n\u00e9b", "from": 2}, networks, limits)
    assert same.answer(told) == answer  # type: ignore[arg-type]
    raw = Mixture([network(vocab=Vocab(tuple("\r\nab\xcc\x81e"), "byte"))])
    assert Scoring({"text": "\r\ne\u0301"}, raw, limits).order.ids.tolist() == [0, 1, 6, 4, 5]


def test_a_pattern_with_known_words_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Lexicon.of_list("abc bad")
    completion = read(prompt=["a", "b"], known_words=True, match="[a-z ]{1,40}", max_tokens=50)
    streams = streams_of(completion, TRAINED, words, lambda stream: None)
    edges = [len(s.order.automaton.symbols) for s in streams if s.order.automaton]
    monkeypatch.setattr(orders, "MOST_BOTH", max(edges) // 2)
    with pytest.raises(Refusal, match="too complicated"):
        streams_of(completion, TRAINED, words, lambda stream: None)


def test_the_length_is_called_as_it_was_asked_for() -> None:
    with pytest.raises(Refusal, match="more than 'max_tokens' 3") as caught:
        completion = read(match="[a-z]{5}", max_tokens=3)
        streams_of(completion, TRAINED, None, lambda stream: None)
    assert caught.value.param == "match"


def test_the_best_of_many_long_texts_are_too_many_probabilities() -> None:
    with pytest.raises(Refusal, match="probabilities"):
        read(best_of=64, max_tokens=16_000)
    assert read(n=64, max_tokens=16_000).texts == 64


def test_scores_stand_beside_the_symbols_of_the_text() -> None:
    scoring = Scoring({"text": "a\u4e00\u00e4b", "from": 1}, TRAINED, ServeConfig())
    index = TRAINED.vocab.index
    assert scoring.order.ids.tolist() == [index["a"], index["a"], index["b"]]
    assert scoring.order.scores == 1 and scoring.unknown == ["\u4e00", "\u00e4"]
    for body in ({}, {"text": 1}, {"text": "a", "from": 2}, {"text": "a", "x": 1}):
        with pytest.raises(Refusal):
            Scoring(body, TRAINED, ServeConfig())
    with pytest.raises(Refusal):
        Scoring({"text": "a" * 11}, TRAINED, ServeConfig(max_prompt=10))


def test_a_byte_that_is_no_character_is_named_by_its_number() -> None:
    vocab = Vocab(("a", "\u00e2"), "byte")
    assert [token(vocab, 0), token(vocab, 1)] == ["a", "bytes:\\xe2"]
