"""What each control, and each pair of them, does to a known distribution."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from charrnn.checkpoint.trained import Trained
from charrnn.config.sampling import SamplingConfig
from charrnn.config.settings import CorpusConfig
from charrnn.generation.drawing import controls_of
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.generate import generate, generate_many
from charrnn.generation.writer import Writer
from charrnn.kernels.repetition import note_all
from charrnn.kernels.sampling import Memory, draw
from charrnn.network.model import Model
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab
from charrnn.text.words import word_symbols
from tests.generation.test_constraint import edges_of
from tests.reference import cells as reference
from tests.reference.small import plain_model

P = np.array([0.3, 0.24, 0.2, 0.1, 0.09, 0.04, 0.02, 0.01])
V, LENGTH = len(P), 40
INNER = (0, 2, 5)
TEXT = [0, 1, 2, 3, 0, 1, 2, 7, 0, 1, 2]  # a run of 3 that was followed by 7, and by 3
EDGES = edges_of([dict.fromkeys((0, 2, 3, 4, 7), 0)], {0})
CONTROLS: dict[str, dict[str, Any]] = {
    "banned": {"banned": (1,)},
    "edges": {"edges": EDGES},
    "dry": {"dry_multiplier": 0.7, "dry_base": 1.5, "dry_allowed_length": 2},
    "top_k": {"top_k": 5},
    "top_p": {"top_p": 0.8},
    "min_p": {"min_p": 0.2},
    "temperature": {"temperature": 0.6},
    "temperature_to": {"temperature_to": 2.5},
    "inner_temperature": {"inner_temperature": 0.4},
}


def longest_runs(text: list[int], last: int) -> dict[int, int]:
    """Of each symbol: the longest run that it would go on repeating, by comparing everything."""
    runs: dict[int, int] = {}
    for d in range(1, min(last, len(text)) + 1):
        length = 0
        while length + d < len(text) and text[-1 - length] == text[-1 - length - d]:
            length += 1
        runs[text[-d]] = max(length, runs.get(text[-d], 0))
    return runs


def expected(
    p: Any, config: SamplingConfig, text: list[int], written: int = 0, **options: Any
) -> np.ndarray:
    """The distribution of the next symbol: the controls in their order, in float64."""
    z = np.log(p)
    z[list(options.get("banned", ()))] = -np.inf
    if "edges" in options:
        z[np.setdiff1d(np.arange(len(z)), options["edges"].symbols)] = -np.inf
    if config.dry_multiplier:
        for v, run in longest_runs(text, config.dry_penalty_last_n).items():
            if run >= config.dry_allowed_length:
                z[v] -= config.dry_multiplier * config.dry_base ** (run - config.dry_allowed_length)
    order = np.argsort(-z, kind="stable")
    if config.top_k:
        z[order[config.top_k :]] = -np.inf
    if config.top_p < 1:
        q = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        before = np.cumsum(q[order]) - q[order]
        z[order[1:][before[1:] >= config.top_p]] = -np.inf
    if config.min_p:
        z[z < z.max() + np.log(config.min_p)] = -np.inf
    temperature = config.temperature
    if config.temperature_to is not None:
        moved = min(written / (config.length - 1), 1)
        temperature += (config.temperature_to - temperature) * moved
    if config.inner_temperature is not None and text[-1] in INNER:
        temperature = config.inner_temperature
    q = np.exp((z - z.max()) / temperature)
    return np.asarray(q / q.sum())


def settings_of(*names: str) -> tuple[SamplingConfig, dict[str, Any]]:
    """The configuration of these controls, and the options of a writer."""
    merged: dict[str, Any] = {"temperature": 1.0, "length": LENGTH, "seed": 2}
    for name in names:
        merged |= CONTROLS[name]
    options = {name: merged.pop(name) for name in ("banned", "edges") if name in merged}
    return SamplingConfig(**merged), options


def counts_of(
    p: Any, config: SamplingConfig, text: list[int], uniforms: Any, written: int = 0, **options: Any
) -> np.ndarray:
    """How often these uniform numbers draw each symbol after the text."""
    logits, counts = np.log(p).astype(np.float32), np.zeros(len(p))
    controls = controls_of(config, len(p), inner=INNER, **options)
    last = config.dry_penalty_last_n if config.dry_multiplier else 0
    before = Memory.new(1, 0, 100, last)
    note_all(before.recent, np.array(text, np.int32))
    before.marks[0, 2] = written
    scratch = np.zeros(len(p), np.float32)
    for uniform in uniforms:
        memory = before.of([0])
        counts[draw(logits.copy(), controls, text[-1], uniform, scratch, memory, 0)] += 1
    return counts


NAMES = [(name,) for name in CONTROLS] + list(combinations(CONTROLS, 2)) + [tuple(CONTROLS)]


@pytest.mark.parametrize("names", NAMES, ids="+".join)
def test_frequencies_of_each_control_and_of_pairs(names: tuple[str, ...]) -> None:
    """An even comb of numbers draws every symbol in proportion, to within a tooth; inside a word
    and outside, at the text's first character and in its middle.
    """
    n = 400
    comb = (np.arange(n) + 0.5) / n
    config, options = settings_of(*names)
    for text in (TEXT, [*TEXT, 3], [*TEXT, 1, 1, 1]):
        for written in (0, 17):
            wanted = expected(P, config, text, written, **options)
            counts = counts_of(P, config, text, comb, written, **options)
            np.testing.assert_allclose(counts, n * wanted, atol=2)
            assert not counts[wanted == 0].any()


def test_all_controls_on_random_distributions() -> None:
    """Also on many symbols, of which many are equally probable."""
    rng = np.random.default_rng(0)
    for trial in range(60):
        size = int(rng.choice([2, 3, 8, 40, 300]))
        p = np.exp(np.round(rng.normal(size=size) * rng.choice([0.1, 1, 4]), int(rng.integers(3))))
        config = SamplingConfig(
            temperature=1.5,
            top_k=int(rng.integers(size + 2)),
            top_p=float(rng.choice([0.0, 0.3, 0.9, 0.999, 1.0])),
            min_p=float(rng.choice([0.0, 0.01])),
        )
        # below the border of the nucleus by more than rounding
        wanted = expected(p.astype(np.float32), config, [0])
        counts = counts_of(p, config, [0], (np.arange(500) + 0.5) / 500)
        np.testing.assert_allclose(counts, 500 * wanted, atol=3, err_msg=str((trial, config)))


# The network's
# --------------------------------------------------------------------------------------------------


@cache
def memoryless() -> Model:
    """A network that always predicts P."""
    made = Model(plain_model(vocab_size=V, hidden=4, layers=1))
    made.parameters.flat[:] = 0
    made.parameters["decoder.bias"][:V] = np.log(P)
    return made


@pytest.mark.parametrize("names", NAMES, ids="+".join)
def test_what_is_written_has_the_known_frequencies(names: tuple[str, ...]) -> None:
    """Of many streams, by the symbols before: chi squared over the symbols that may occur."""
    config, options = settings_of(*names)
    writer = Writer(memoryless(), config, streams=300, inner=INNER, **options)
    writer.read(np.array(TEXT))
    found = writer.write(LENGTH)
    for step in (0, LENGTH - 1):
        wanted, counts = np.zeros(V), np.bincount(found[step], minlength=V)
        variance = np.zeros(V)
        for n in range(writer.streams if step else 1):
            q = expected(P, config, [*TEXT, *found[:step, n].tolist()], step, **options)
            many = 1 if step else writer.streams
            wanted, variance = wanted + many * q, variance + many * q * (1 - q)
        assert not counts[wanted == 0].any()
        deviation = np.abs(counts - wanted)
        assert (deviation <= 4.5 * np.sqrt(variance) + 1e-6).all()


# Bits
# --------------------------------------------------------------------------------------------------


@cache
def model(hidden: int = 6) -> Model:
    made = Model(plain_model(vocab_size=V, hidden=hidden, layers=2))
    made.parameters.from_disk(reference.random_parameters(np.random.default_rng(5), made.config))
    return made


def written(
    names: tuple[str, ...], streams: int, threads: int, hidden: int = 6, separator: str = ""
) -> np.ndarray:
    config, options = settings_of(*names)
    workers = Workers(threads, processors=threads)
    if separator:
        vocab = Vocab(tuple("abcdefgh"))
        options["documents"] = DocumentTrackers(vocab, separator, streams)
    writer = Writer(model(hidden), config, streams=streams, inner=INNER, workers=workers, **options)
    assert (writer._work.parts > 1) == (hidden > 100 and threads > 1)
    writer.read(np.array(TEXT))
    blocks = [writer.write(min(11, LENGTH - k)) for k in range(0, LENGTH, 11)]
    workers.close()
    return np.concatenate(blocks)


@pytest.mark.parametrize("names", [*((name,) for name in CONTROLS), tuple(CONTROLS)], ids="+".join)
def test_the_same_bits_on_any_number_of_threads(names: tuple[str, ...]) -> None:
    """Several streams, one that is divided, and documents, where symbols are drawn again."""
    for separator in ("", "c"):
        one = written(names, 5, 1, separator=separator)
        np.testing.assert_array_equal(one, written(names, 5, 2, separator=separator))
        np.testing.assert_array_equal(one[:, :2], written(names, 2, 1, separator=separator))
        alone = written(names, 1, 1, 256, separator)
        np.testing.assert_array_equal(alone, written(names, 1, 2, 256, separator))


@pytest.mark.parametrize("names", [*((name,) for name in CONTROLS), tuple(CONTROLS)], ids="+".join)
def test_an_ensemble_has_the_same_controls(names: tuple[str, ...]) -> None:
    """Of a network and itself: it writes what the network does alone."""
    config, options = settings_of(*names)
    one, *two = (Writer(model(), config, streams=2, inner=INNER, **options) for _ in range(3))
    for writer in (one, *two):
        writer.read(np.array(TEXT))
    np.testing.assert_array_equal(Ensemble(two).write(LENGTH), one.write(LENGTH))


def test_a_stream_takes_its_memory_along() -> None:
    """Into a branch, and into another writer."""
    config, options = settings_of(*CONTROLS)
    one, other = (Writer(model(), config, streams=3, inner=INNER, **options) for _ in range(2))
    for writer in (one, other):
        writer.read(np.array(TEXT))
    one.write(15)
    branch = one.branch([2, 0])
    other.put(1, one, 2)
    other.random[1] = branch.random[0] = np.random.default_rng(0)
    one.random[2] = np.random.default_rng(0)
    wanted = one.write(20)
    np.testing.assert_array_equal(other.write(20)[:, 1], wanted[:, 2])
    branch.random = [np.random.default_rng(0), np.random.default_rng(1)]
    np.testing.assert_array_equal(branch.write(20)[:, 0], wanted[:, 2])
    for ours, theirs in ((other.memory, one.memory), (branch.memory, one.memory)):
        place = 1 if ours is other.memory else 0
        np.testing.assert_array_equal(ours.marks[place], theirs.marks[2])
        assert ours.mass[place] == theirs.mass[2]
        np.testing.assert_array_equal(ours.recent.runs[place], theirs.recent.runs[2])


def test_settings_that_change_nothing() -> None:
    plain = written((), 3, 1)
    for name, settings in {
        "top_p": {"top_p": 1.0},
        "inner_temperature": {"inner_temperature": 1.0},
        "temperature_to": {"temperature_to": 1.0},
        "dry": {"dry_multiplier": 1.0, "dry_allowed_length": 1000},
    }.items():
        CONTROLS["nothing"] = settings
        try:
            np.testing.assert_array_equal(written(("nothing",), 3, 1), plain, err_msg=name)
        finally:
            del CONTROLS["nothing"]


# Loops
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [1, 2, 5, 30])
def test_runs_are_those_of_a_slow_search(last: int) -> None:
    """While the ring turns many times."""
    rng = np.random.default_rng(last)
    memory = Memory.new(2, 0, 0, last)
    text: list[int] = []
    for _ in range(150):
        symbol = int(rng.integers(2)) if len(text) < 60 or rng.random() < 0.1 else text[-7]
        note_all(memory.recent, np.array([symbol], np.int32))
        text.append(symbol)
        recent = memory.recent
        head, found = recent.heads[0, 0], dict[int, int]()
        for d in range(last):
            follows = int(recent.symbols[0, head + d])
            if follows >= 0:
                found[follows] = max(found.get(follows, 0), int(recent.runs[0, d]))
        assert found == longest_runs(text, last)
        assert recent.heads[0, 1] == max(found.values())
        np.testing.assert_array_equal(recent.runs[0], recent.runs[1])


def test_a_loop_ends() -> None:
    """The most probable text of a network that predicts P is its first symbol for ever."""
    config = SamplingConfig(temperature=0, dry_multiplier=0.8, dry_allowed_length=6, length=300)
    guarded = Writer(memoryless(), config)
    guarded.read(np.array([1]))
    text = guarded.write(300)[:, 0]
    zeros = "".join("0" if v == 0 else " " for v in text).split()
    assert len(zeros) > 5 and max(map(len, zeros)) < 15
    # however long it goes on, and however strong the penalty, what is left to draw is drawn
    config = SamplingConfig(dry_multiplier=1e6, dry_base=100, dry_allowed_length=1, length=300)
    harsh = Writer(memoryless(), config, banned=range(2, V))
    harsh.read(np.array([1]))
    assert set(harsh.write(300)[:, 0].tolist()) == {0, 1}


def test_inside_words() -> None:
    """Letters, marks and digits of any script; of bytes, those of other scripts too."""
    symbols = "aZé\u0301ש\u05b8語5٣ -'’_.\n«"
    vocab = Vocab(tuple(symbols))
    assert "".join(symbols[i] for i in word_symbols(vocab)) == "aZé\u0301ש\u05b8語5٣"
    of_bytes = Vocab(tuple(map(chr, range(256))), "byte")
    assert [chr(i) for i in word_symbols(of_bytes) if i < 128] == [
        chr(i) for i in range(128) if chr(i).isalnum()
    ]
    assert len(word_symbols(of_bytes)) == 62 + 128


def test_the_library_knows_which_symbols_are_inside_words() -> None:
    """At temperature 0 there, a word goes on as its first letter decides; one or several networks,
    one or several texts.
    """
    network = Trained(
        model=memoryless(), vocab=Vocab(tuple(" é-.b\n,k")), corpus_config=CorpusConfig()
    )
    config = SamplingConfig(length=60, temperature=2, inner_temperature=0)
    for trained in (network, [network] * 2):
        texts = generate_many(trained, 3, ".", config)
        assert texts[0] == "".join(generate(trained, ".", config))
        assert all(word[1:] in ("", " ") for text in texts for word in re.findall(r"\w.?", text))
        assert {"é", "b", "k", "-", ","} <= set("".join(texts))
