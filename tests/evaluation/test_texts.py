"""Many short texts, each scored by itself."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.checkpoint.start_states import StartStates
from charrnn.errors import CorpusError, DivergenceError, VocabError
from charrnn.evaluation.evaluate import evaluate
from charrnn.evaluation.texts import evaluate_texts
from charrnn.network.model import Model, State
from charrnn.runtime.threads import Workers
from tests.reference import cells as reference
from tests.reference.small import let_overflow, plain_model


def small(cell: str, seed: int) -> Model:
    made = Model(plain_model(cell=cell, vocab_size=9, hidden=7, layers=2))
    made.parameters.from_disk(reference.random_parameters(np.random.default_rng(seed), made.config))
    return made


def opening(model: Model, seed: int) -> StartStates:
    """A start state that is not zero."""
    state, rng = State(model, 2), np.random.default_rng(seed)
    state.h[:, :, :7] = rng.normal(size=(2, 2, 7)) / 3
    return StartStates(state, np.array([4, 2], np.int32))


MODELS = [small("lstm", 1), small("gru", 2)]
OPENINGS = [opening(model, seed) for seed, model in enumerate(MODELS)]
RNG = np.random.default_rng(0)
TEXTS = [RNG.integers(9, size=size, dtype=np.uint8) for size in (1, 2, 3, 63, 64, 65, 150, 1, 9)]


@pytest.mark.parametrize("members", [1, 2])
def test_each_text_is_scored_as_if_it_were_the_only_one(members: int) -> None:
    models, openings = MODELS[:members], OPENINGS[:members]
    found = evaluate_texts(models, TEXTS * 9, openings, workers=Workers(3, processors=3))
    assert len(found) == 81
    for n, text in enumerate(TEXTS):
        alone = evaluate_texts(models, [text], openings)[0]
        plain = evaluate(models, text, openings=openings)
        assert found[n].characters == len(text) == plain.characters
        np.testing.assert_allclose(found[n].losses, plain.losses, atol=1e-6)
        for each in (alone, found[n + 9], found[n + 72]):
            np.testing.assert_array_equal(each.losses, found[n].losses)


def test_documents_within_a_text_begin_from_zero() -> None:
    model, first = MODELS[0], OPENINGS[0]
    starts = [np.array([-1, *([1] if len(text) > 1 else [])], np.int64) for text in TEXTS]
    found = evaluate_texts(model, TEXTS, [first], starts=starts)
    for one, text, own in zip(found, TEXTS, starts, strict=True):
        plain = evaluate(model, text, starts=own, openings=[first])
        np.testing.assert_allclose(one.losses, plain.losses, atol=1e-6)


def test_a_reset_at_the_end_of_a_text_is_not_in_the_next() -> None:
    ends = [np.array([len(text)], np.int64) for text in TEXTS]
    found = evaluate_texts(MODELS[0], TEXTS, OPENINGS[:1], starts=ends)
    plain = evaluate_texts(MODELS[0], TEXTS, OPENINGS[:1])
    for one, same in zip(found, plain, strict=True):
        np.testing.assert_array_equal(one.losses, same.losses)


def test_texts_that_cannot_be_scored() -> None:
    assert evaluate_texts(MODELS[0], [], OPENINGS[:1]) == []
    with pytest.raises(CorpusError, match="at least 1 character"):
        evaluate_texts(MODELS[0], [TEXTS[0], TEXTS[0][:0]], OPENINGS[:1])
    for wrong in (np.array([9]), np.array([2**32]), np.array([-1]), np.array([1.0])):
        with pytest.raises(VocabError, match="ids must be"):
            evaluate_texts(MODELS[0], [TEXTS[0], wrong], OPENINGS[:1])
    broken = small("lstm", 1)
    let_overflow(broken.parameters)
    for models, member in (([broken], "the network's"), ([MODELS[1], broken], "network 2's")):
        with pytest.raises(DivergenceError, match=f"{member} outputs are NaN or infinite"):
            evaluate_texts(models, TEXTS, OPENINGS[: len(models)])
        with pytest.raises(DivergenceError, match=f"{member} outputs are NaN or infinite"):
            evaluate(models, TEXTS[6])
