"""A source whose entropy is known: nothing that we call a loss may go below it, and what is trained
comes near.

The source is a Markov chain. Its entropy rate is H = -sum_i pi_i sum_j P_ij log P_ij, with pi its
stationary distribution. On a text of it, the mean of -log P of what came is H but for chance, and
no predictor is better in the long run.
"""

from __future__ import annotations

import lzma
from functools import cache

import numpy as np
import pytest

from charrnn.config.settings import CorpusConfig, DynamicConfig
from charrnn.evaluation.compression import evaluate_xz
from charrnn.evaluation.dynamic import evaluate_dynamic
from charrnn.evaluation.evaluate import evaluate, evaluate_windows
from charrnn.network.model import Model
from charrnn.text.corpus import Corpus
from charrnn.training.loop import train
from charrnn.training.run import Run
from tests.reference.small import adam, plain_model

V, LENGTH = 6, 40_000
P = np.random.default_rng(5).dirichlet(np.full(V, 0.5), V)


def entropy_rate() -> float:
    """In nats a character."""
    values, vectors = np.linalg.eig(P.T)
    pi = np.real(vectors[:, np.argmax(np.real(values))])
    pi /= pi.sum()
    return float(-(pi[:, None] * P * np.log(P)).sum())


@cache
def source() -> str:
    coins, limits, state, found = np.random.default_rng(0).random(LENGTH), P.cumsum(1), 0, []
    for coin in coins:
        state = min(int(np.searchsorted(limits[state], coin, side="right")), V - 1)
        found.append("abcdef"[state])
    return "".join(found)


@cache
def trained() -> tuple[Run, Corpus]:
    """A small network that has seen three quarters of a text from the source."""
    corpus = Corpus.from_text(source(), CorpusConfig(val_fraction=0.25))
    settings = adam(
        batch_size=16,
        seq_length=32,
        steps=400,
        learning_rate=0.02,
        schedule="cosine",
        eval_every=400,
    )
    run = Run.new(corpus, plain_model(cell="gru", hidden=32, layers=1, dropout=0.0), settings)
    for _ in train(run, corpus, threads=1):
        pass
    return run, corpus


def oracle() -> np.ndarray:
    """-log P of each character of the validation part but the first, by the source itself."""
    ids = trained()[1].validation.astype(int)
    return -np.log(P[ids[:-1], ids[1:]])


def never_below(losses: np.ndarray) -> float:
    """How far losses are above the source's own on the same text; no less than chance allows (3
    standard errors).
    """
    excess = losses.astype(np.float64) - oracle()
    assert excess.mean() > -3 * excess.std() / np.sqrt(len(excess))
    return float(excess.mean())


def test_the_oracle_is_at_the_entropy_rate() -> None:
    losses = oracle()
    assert losses.mean() == pytest.approx(
        entropy_rate(), abs=4 * losses.std() / np.sqrt(len(losses))
    )


def test_a_trained_network_comes_near_and_not_below() -> None:
    run, corpus = trained()
    assert never_below(evaluate(run.model, corpus.validation).losses) < 0.02 * entropy_rate()
    # a cold window's first character is predicted without the one before it, which is all there is
    # to know
    carried, cold = (
        f(run.model, corpus.validation).nats_per_char for f in (evaluate, evaluate_windows)
    )
    assert carried - 1e-3 < cold < 1.02 * carried


@pytest.mark.parametrize("segment", [1, 20])
@pytest.mark.parametrize("streams", [1, 2])
def test_dynamic_evaluation_gains_nothing_where_there_is_nothing_to_gain(
    segment: int, streams: int
) -> None:
    """If weights saw a character before it is scored, this loss would fall below the source's."""
    run, corpus = trained()
    config = DynamicConfig(2e-3, 1e-3, segment, streams)
    losses = evaluate_dynamic(
        run.model,
        corpus.validation,
        config,
        before=(corpus.train, None),
        squares=[run.trained.squares],
    ).losses
    never_below(losses)
    assert losses.mean() < 1.2 * entropy_rate()


def test_learning_from_nothing_ends_near_the_entropy_too() -> None:
    """The other way round: an untrained network learns the source by dynamic evaluation alone."""
    _, corpus = trained()
    model = Model.initialized(plain_model(cell="gru", vocab_size=V, hidden=32, layers=1), 0)
    config = DynamicConfig(5e-3, 0.0, 20)
    losses = evaluate_dynamic(model, corpus.validation, config, counting=False).losses
    never_below(losses)
    assert losses[-3000:].mean() < 1.1 * entropy_rate() < 0.9 * losses[:100].mean()


def test_an_ensemble_is_not_below_either() -> None:
    run, corpus = trained()
    other = Model.initialized(plain_model(cell="lstm", vocab_size=V, hidden=8, layers=1), 0)
    never_below(evaluate([run.model, other], corpus.validation).losses)


@pytest.mark.parametrize("unit", ["char", "byte"])
def test_xz_is_what_xz_says(unit: str) -> None:
    text = "One caf\u00e9 \u2603, two caf\u00e9s.\n" * 50 + source()[:500]
    corpus = Corpus.from_text(text, CorpusConfig(unit=unit, val_fraction=0.0))
    bits = 8 * len(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    found = evaluate_xz(corpus.ids, corpus.vocab)
    assert found.bits_per_char * len(corpus.ids) == pytest.approx(bits, abs=64)
    assert found.characters == len(text if unit == "char" else text.encode())


def test_xz_is_a_floor_that_the_network_is_under() -> None:
    run, corpus = trained()
    found = evaluate_xz(corpus.validation, corpus.vocab)
    assert found.characters == len(corpus.validation)
    assert (
        evaluate(run.model, corpus.validation).nats_per_char
        < 0.9 * found.nats_per_char
        < np.log(256)
    )
    assert found.nats_per_char > entropy_rate()
