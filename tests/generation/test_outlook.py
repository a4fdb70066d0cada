"""What a network says and what it copies: how a temperature shapes both, and who draws from it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import CorpusConfig, SamplingConfig
from charrnn.generation import together
from charrnn.generation.drawing import controls_of, memory_of
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.outlook import Outlook, mean_of
from charrnn.generation.writer import Writer
from charrnn.kernels.sampling import WRITTEN, draw
from charrnn.kernels.together import write_together
from charrnn.network.model import Model
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab
from tests.reference.small import plain_model

V, REACH = 17, 32
RNG = np.random.default_rng(4)
IDS = np.tile(RNG.integers(V, size=20), 3)


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits.astype(np.float64) - logits.max())
    return e / e.sum()


def outlook_of(seed: int = 1, copied: float = 0.4) -> Outlook:
    """One in which 3 symbols are never copied, and this share of all is copied."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 3, V).astype(np.float32)
    own -= own.max() + np.float32(0.3)
    said = rng.gamma(0.3, size=V) * (np.arange(V) > 2)
    said *= np.exp(own).sum() * copied / (1 - copied) / said.sum()
    return Outlook(own, said.astype(np.float32))


def drawn_from(outlook: Outlook, temperature: float) -> np.ndarray:
    """How probable each symbol is when it is drawn."""
    config = SamplingConfig(temperature=temperature)
    controls, memory, scratch = controls_of(config, V), memory_of(config, 1), np.zeros(V, "f4")
    copied = None if outlook.copied is None else outlook.copied.copy()
    row = Outlook(outlook.own.copy(), copied).blended(controls, 0, memory, 0, scratch)
    draw(row, controls, 0, 0.5, scratch, memory, 0)
    p = row.astype(np.float64)
    return p / p.sum()


def expected(outlook: Outlook, temperature: float) -> np.ndarray:
    """The equations of `kernels.blending.blend`, in float64."""
    own, copied = np.exp(outlook.own.astype(np.float64)), outlook.copied.astype(np.float64)
    if temperature >= 1:
        return softmax(np.log(own + copied) / temperature)
    parts = []
    for each in (own, copied):
        sharp = (each / max(each.max(), 1e-300)) ** (1 / temperature)
        parts.append(each.sum() * sharp / max(sharp.sum(), 1e-300))
    return sum(parts) / sum(part.sum() for part in parts)


@pytest.mark.parametrize("temperature", [0.05, 0.3, 0.8, 0.999, 1.0, 1.7, 50.0])
@pytest.mark.parametrize("copied", [0.0, 1e-4, 0.4, 0.99])
def test_a_temperature_is_that_of_the_equations(temperature: float, copied: float) -> None:
    outlook = outlook_of(copied=copied)
    found, wanted = drawn_from(outlook, temperature), expected(outlook, temperature)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize("temperature", [1e-4, 0.1, 0.5, 1.0])
def test_a_low_temperature_copies_no_more(temperature: float) -> None:
    """Symbols that only the network says, against those that are only copied."""
    own = np.where(np.arange(V) < 9, RNG.normal(size=V), -80).astype(np.float32)
    copied = np.where(np.arange(V) < 9, 0, RNG.gamma(0.5, size=V) * 9).astype(np.float32)
    share = copied.sum() / (copied.sum() + np.exp(own).sum())
    assert drawn_from(Outlook(own, copied), temperature)[9:].sum() == pytest.approx(share, 1e-4)


def test_at_temperature_0_the_likelier_of_what_is_said_and_copied_is_taken() -> None:
    own, copied = np.full((2, V), -1, np.float32)
    own[3], own[4] = 0, -0.01
    copied[:] = 0.001
    copied[7], copied[8] = 0.9, 0.8
    for factor, wanted in ((0.1, 3), (1.0, 3), (40.0, 7)):
        p = drawn_from(Outlook(own, copied * np.float32(factor)), 0)
        assert p.argmax() == wanted and p.max() == 1


def test_what_is_never_copied_stays_possible_at_any_temperature() -> None:
    """An automaton may leave nothing else."""
    own = np.linspace(0, -60, V).astype(np.float32)
    config = SamplingConfig(temperature=0.01)
    rows = [np.zeros(V, np.float32), np.eye(1, V, 5, np.float32)[0]]
    for copied in rows:
        controls, memory = controls_of(config, V), memory_of(config, 1)
        row = Outlook(own.copy(), copied).blended(controls, 0, memory, 0, np.zeros(V, np.float32))
        assert np.isfinite(row).all()


def test_without_attention_nothing_changes() -> None:
    own = outlook_of().own
    for temperature in (0.3, 1.0):
        np.testing.assert_allclose(
            drawn_from(Outlook(own, None), temperature), softmax(own / temperature), rtol=1e-5
        )


def test_the_mean_keeps_both_apart() -> None:
    outlooks = [outlook_of(1, 0.1), outlook_of(2, 0.7), Outlook(outlook_of(3).own, None)]
    mean = mean_of(outlooks)
    parts = []
    for own, copied in outlooks:
        own, copied = np.exp(own.astype(float)), 0 if copied is None else copied.astype(float)
        parts.append((own / (own + copied).sum(), copied / (own + copied).sum()))
    for k, found in enumerate((np.exp(mean.own), mean.copied)):
        np.testing.assert_allclose(
            found, np.mean([part[k] + np.zeros(V) for part in parts], 0), rtol=1e-5
        )
    np.testing.assert_allclose(np.exp(mean.logits).sum(), 1, rtol=1e-6)
    assert mean_of([outlooks[2]] * 2).copied is None


def test_the_mean_of_networks_with_other_symbols() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabs = [Vocab(tuple(letters[:V])), Vocab(tuple(letters[3 : V + 3]))]
    networks = [
        Trained(Model.initialized(plain_model(vocab_size=V, hidden=8), 1), vocab, CorpusConfig())
        for vocab in vocabs
    ]
    mean = mean_of([outlook_of(1), outlook_of(2)], Mixture(networks, [0.25, 0.75]))
    assert len(mean.own) == len(mean.copied) == V + 3
    first = outlook_of(1)
    share = 0.25 / (np.exp(first.own).sum() + first.copied.sum())
    np.testing.assert_allclose(mean.copied[:3], first.copied[:3] * share, rtol=1e-5)
    np.testing.assert_allclose(mean.own[:3], np.log(np.exp(first.own[:3]) * share), rtol=1e-5)


def model_of(seed: int = 1) -> Model:
    """A network that copies a good deal."""
    config = plain_model(vocab_size=V, embedding=6, hidden=20, layers=2, attention=REACH)
    model = Model.initialized(config, seed)
    model.parameters["attention.bias"][:] = -0.2
    return model


@pytest.mark.parametrize("networks", [1, 2])
@pytest.mark.parametrize("config", [{"temperature": 0.4}, {"temperature": 1.5}, {"seed": 3}])
def test_a_text_is_drawn_step_by_step_from_what_is_said_and_copied(
    networks: int, config: dict[str, float]
) -> None:
    models = [model_of(seed) for seed in range(networks)]
    options = SamplingConfig(length=60, precision="float32", **{"temperature": 0.7, **config})

    def writers() -> list[Writer]:
        made = [Writer(model, options, streams=2) for model in models]
        for writer in made:
            writer.read(IDS)
        return made

    whole = writers()
    written = (whole[0] if networks == 1 else Ensemble(whole)).write(60)
    alone, scratch, text = writers(), np.zeros(V, np.float32), []
    controls, memory, uniforms = alone[0].controls, alone[0].memory, alone[0].uniforms(60)
    for row in uniforms:
        outlooks = [writer.outlook(writer.last) for writer in alone]
        mean = outlooks[0] if networks == 1 else mean_of(outlooks)
        assert mean.copied.sum() > 0.01 * np.exp(mean.own).sum()
        ids = np.zeros(2, np.int32)
        for n, uniform in enumerate(row):
            logits = mean.of(n).blended(controls, alone[0].last[n], memory, n, scratch)
            ids[n] = draw(logits, controls, alone[0].last[n], uniform, scratch, memory, n)
        text.append(ids)
        for writer in alone:
            writer.follow(ids)
    np.testing.assert_array_equal(written, text)
    plain = Writer(models[0], options, streams=2)
    plain.read(IDS)
    assert len(np.unique(plain.write(60))) > 3


class Counted(Workers):
    """Threads that count how many write together; no more than `most` can at a time."""

    def __init__(self, threads: int, most: int) -> None:
        super().__init__(threads, processors=threads)
        self.used, self.most = 0, most

    def ready(self, count: int) -> int:
        return min(self.most, super().ready(count))

    def run(self, function: Any, jobs: Any, release: Any = None) -> None:
        if function is write_together:
            self.used = max(self.used, len(jobs))
        super().run(function, jobs, release)


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("count", [2, 3])
def test_networks_write_the_same_on_any_number_of_threads(
    count: int, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the system gives no more than one, and in pieces of any length."""
    monkeypatch.setattr(together, "SHARE", 1)  # small networks would have one thread
    texts, cut = [], [1, 64, 25]
    for threads, pieces, most in ((1, [90], 1), (2, [90], 2), (3, cut, 3), (2, [90], 1)):
        with closing(Counted(threads, most)) as workers:
            config = SamplingConfig(length=90, temperature=0.7, precision="int8", seed=5)
            several = Ensemble(
                [
                    Writer(model_of(seed), config, streams=streams, workers=workers)
                    for seed in range(count)
                ]
            )
            several.read(IDS)
            texts.append(np.concatenate([several.write(piece) for piece in pieces]))
            if most == threads:
                assert workers.used == min(threads, count if streams == 1 else streams)
    assert len(np.unique(texts[0])) > 3
    for text in texts[1:]:
        np.testing.assert_array_equal(text, texts[0])


def test_the_temperature_is_that_of_the_draw_at_any_place() -> None:
    """Inside words, and while it moves: as one that stands still there."""
    outlook = outlook_of()
    config = SamplingConfig(length=5, temperature=0.9, temperature_to=0.1, inner_temperature=0.3)
    controls, memory = controls_of(config, V, inner=[4]), memory_of(config, 1)
    for previous, written, temperature in ((4, 2, 0.3), (5, 0, 0.9), (5, 2, 0.5), (5, 4, 0.1)):
        memory.marks[0, WRITTEN] = written
        own, scratch = Outlook(*(each.copy() for each in outlook)), np.zeros(V, np.float32)
        row = own.blended(controls, previous, memory, 0, scratch)
        wanted = expected(outlook, temperature)
        np.testing.assert_allclose(softmax(row / temperature), wanted, rtol=5e-4, atol=1e-7)


@pytest.mark.parametrize("temperature", [0, 0.003, 0.3])
def test_the_second_best_stays_the_second_best(temperature: float) -> None:
    """An automaton, or a guard against loops, may take the best one away."""
    own = np.array([0, -1, -12, -12.5, -30], np.float32)
    for copied in ([0, 0, 1.8, 1.2, 0], [0, 0, 0, 0, 1e-3]):
        config = SamplingConfig(temperature=temperature)
        outlook = Outlook(own.copy(), np.array(copied, np.float32))
        controls, memory = controls_of(config, 5), memory_of(config, 1)
        row = outlook.blended(controls, 0, memory, 0, np.zeros(5, np.float32))
        T = max(temperature, 1e-6)
        parts = []
        for logs in (own.astype(float), np.log(np.maximum(copied, 1e-300))):
            powers = logs / T
            sharp = np.log(np.exp(powers - powers.max()).sum()) + powers.max()
            parts.append(powers + np.log(np.exp(logs).sum()) - sharp)
        wanted = T * np.logaddexp(*parts)
        np.testing.assert_allclose(row, wanted, atol=2e-4)


def test_where_any_network_has_documents_its_state_begins_anew() -> None:
    """Also if it is not the first: it writes what it wrote step by step."""
    config = SamplingConfig(length=60, temperature=1.0, precision="float32")
    vocab = Vocab(tuple("abcdefghijklmnopq"))

    def writers() -> list[Writer]:
        documents = DocumentTrackers(vocab, "[a-f]", 1)
        made = [Writer(model_of(1), config), Writer(model_of(2), config, documents=documents)]
        for writer in made:
            writer.read(IDS)
        return made

    written = Ensemble(writers()).write(60)[:, 0]
    alone, scratch, text = writers(), np.zeros(V, np.float32), []
    controls, memory = alone[0].controls, alone[0].memory
    for (uniform,) in alone[0].uniforms(60):
        mean = mean_of([writer.outlook(writer.last) for writer in alone]).of(0)
        last = int(alone[0].last[0])
        logits = mean.blended(controls, last, memory, 0, scratch)
        text.append(draw(logits, controls, last, uniform, scratch, memory, 0))
        for writer in alone:
            writer.follow(np.array(text[-1:], np.int32))
    assert written.tolist() == text


def test_a_symbol_that_the_first_network_lacks_is_remembered_as_it_was() -> None:
    """It decides the temperature of the next one, wherever a text is cut."""
    vocabs = [Vocab(tuple("\n .abcdefghijklm")), Vocab(tuple("\n .abcdefghijklmnopq"))]
    networks = []
    for seed, vocab in enumerate(vocabs):
        model = Model.initialized(plain_model(vocab_size=len(vocab), hidden=8), seed)
        if seed:
            model.parameters["decoder.bias"][-6:] = (
                4  # letters that the first one reads as a line's end
            )
        networks.append(Trained(model, vocab, CorpusConfig()))
    mixture = Mixture(networks)
    config = SamplingConfig(length=80, temperature=2.0, inner_temperature=0.2, seed=3)
    texts = []
    for pieces in ([80], [1] * 80, [7, 33, 40]):
        writers = [Writer(each.model, config) for each in networks]
        inner = [mixture.vocab.index[letter] for letter in "abcdefghijklmnopq"]
        controls = controls_of(config, len(mixture.vocab), inner=inner)
        several = Ensemble(writers, mixture, controls, memory_of(config, 1))
        several.read(mixture.vocab.encode("abc"))
        texts.append(np.concatenate([several.write(piece) for piece in pieces])[:, 0].tolist())
    assert texts[0] == texts[1] == texts[2]
    assert any(n >= len(vocabs[0]) for n in texts[0])


def test_the_logits_of_a_step_hold_what_is_copied() -> None:
    writer = Writer(model_of(), SamplingConfig(precision="float32"))
    writer.read(IDS)
    other = writer.branch([0])
    outlook = other.outlook(other.last)
    p = softmax(writer.step(writer.last)[0])
    total = np.exp(outlook.own[0].astype(float)) + outlook.copied[0]
    np.testing.assert_allclose(p, total / total.sum(), rtol=1e-5)
