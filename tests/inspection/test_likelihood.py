"""How likely a network finds what it wrote, and the likeliest of several takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.evaluate import evaluate
from charrnn.generation.generate import Written, generate_texts
from charrnn.inspection.likelihood import best_of, with_logprobs
from charrnn.text.documents import resets
from tests.generation.test_ensemble import starts_of
from tests.generation.test_mixture import network

NETWORK = network("\n abcdefg")


@pytest.mark.parametrize("separator", [None, "\n"])
def test_the_probabilities_are_those_of_evaluation(separator: str | None) -> None:
    """From the state that the take began in, and after the prime; controls play no part."""
    config = replace(NETWORK.corpus_config, document_separator=separator)
    trained = replace(NETWORK, corpus_config=config)
    settings = SamplingConfig(length=30, seed=3, temperature=0.5, top_k=3, take=2)
    texts = generate_texts(trained, 3, "ab", settings)
    ids = trained.vocab.encode("ab")
    for written, found in zip(texts, with_logprobs(trained, texts, "ab", settings), strict=True):
        assert found == written and found.logprobs is not None
        text = np.append(ids, trained.vocab.encode(written.text))
        starts = None if separator is None else resets(text, trained.vocab, separator)
        opening = trained.opening
        losses = evaluate(trained.model, text, starts=starts, openings=[opening]).losses
        np.testing.assert_allclose(found.logprobs, -losses[2:], rtol=1e-5)
        assert found.nats_per_char == pytest.approx(losses[2:].mean(), rel=1e-5)


def test_each_take_has_its_own_start() -> None:
    starts = starts_of(NETWORK.model, 1)
    trained = replace(NETWORK, starts=starts)
    settings = SamplingConfig(length=20, seed=3)
    texts = [Written("abc", take, "") for take in (1, 2, 3, 4)]
    found = [tuple(text.logprobs) for text in with_logprobs(trained, texts, "", settings)]  # type: ignore[arg-type]
    assert len(set(found)) == 3 and found[0] == found[3]
    for take in (1, 2, 3):
        (chosen,) = starts.chosen(3, 1, take)
        single = replace(starts, state=_only(trained, int(chosen)), ids=starts.ids[:1])
        alone = replace(NETWORK, starts=single)
        (one,) = with_logprobs(alone, [Written("abc", 1, "")], "", settings)
        assert tuple(one.logprobs) == found[take - 1]  # type: ignore[arg-type]


def _only(trained: Trained, n: int):  # type: ignore[no-untyped-def]
    from charrnn.network.model import State

    assert trained.starts is not None
    state = State(trained.model, 1)
    state.h[:], state.c[:] = trained.starts.state.h[:, [n]], trained.starts.state.c[:, [n]]
    return state


def test_the_best_is_the_likeliest() -> None:
    settings = SamplingConfig(length=40, seed=3, take=2, until="line")
    texts = generate_texts(NETWORK, 12, "a", settings)
    judged = with_logprobs(NETWORK, texts, "a", settings)
    for trained in (NETWORK, Mixture([NETWORK])):
        found = best_of(trained, 4, "a", settings, count=3)
        for n, text in enumerate(found):
            group = judged[4 * n : 4 * n + 4]
            assert text == min(group, key=lambda each: each.nats_per_char or np.inf)
    assert best_of(NETWORK, 1, "a", settings) == texts[:1]
    with pytest.raises(ConfigError, match="best_of"):
        best_of(NETWORK, 0)


def test_empty_texts_are_never_the_best() -> None:
    texts = [Written("", 1, "stop"), Written("ab", 2, ""), Written("", 3, "stop")]
    found = with_logprobs(NETWORK, texts)
    assert [text.nats_per_char is None for text in found] == [True, False, True]
    assert with_logprobs(NETWORK, []) == []
    length = SamplingConfig(length=0)
    assert [text.text for text in best_of(NETWORK, 3, "", length)] == [""]


def test_bytes_that_are_no_characters_have_probabilities_too() -> None:
    trained = network("\na\xc3\xa9\xff", unit="byte")
    settings = SamplingConfig(length=40, seed=1)
    (written,) = with_logprobs(trained, generate_texts(trained, 1, "a", settings), "a", settings)
    data = written.text.encode("utf-8", "surrogateescape")
    assert written.logprobs is not None and len(written.logprobs) == len(data) == 40
