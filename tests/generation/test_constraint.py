"""Texts that follow an automaton, against a slow reference: step by step, in float64."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from charrnn.config.sampling import SamplingConfig
from charrnn.generation.drawing import controls_of
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.writer import Writer
from charrnn.kernels.constraint import Edges
from charrnn.kernels.sampling import Memory, draw
from charrnn.network.model import Model
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab
from tests.reference import cells as reference
from tests.reference.small import plain_model

V, LENGTH = 5, 24
VOCAB = Vocab(tuple("abcde"))
Table = list[dict[int, int]]
"""The target of each symbol, for every state."""
WORDS: Table = [{0: 1, 1: 2}, {2: 3, 0: 1, 4: 3}, {3: 4}, {4: 0, 1: 2}, {0: 3}]
ACCEPTING = {3}  # from state 0 two symbols away, three by way of 2


def edges_of(table: Table, accepting: set[int]) -> Edges:
    sizes = [len(row) for row in table]
    distance = np.where([s in accepting for s in range(len(table))], 0, 1000)
    for _ in table:
        for s, row in enumerate(table):
            distance[s] = min([distance[s], *(distance[t] + 1 for t in row.values())])
    pairs = [(symbol, row[symbol]) for row in table for symbol in sorted(row)]
    symbols, targets = np.array(pairs, np.int32).reshape(-1, 2).T
    return Edges(np.cumsum([0, *sizes]), symbols.copy(), targets.copy(), distance.astype(np.int32))


@cache
def model(hidden: int = 6, seed: int = 0) -> Model:
    made = Model(plain_model(vocab_size=V, hidden=hidden, layers=2))
    made.parameters.from_disk(reference.random_parameters(np.random.default_rng(seed), made.config))
    return made


def config(**settings: Any) -> SamplingConfig:
    return SamplingConfig(**{"temperature": 1.3, "seed": 4, "length": LENGTH} | settings)


def writer(streams: int = 1, hidden: int = 6, documents: str | None = None, **options: Any):
    settings = options.pop("settings", {})
    trackers = DocumentTrackers(VOCAB, documents, streams) if documents else None
    made = Writer(model(hidden), config(**settings), streams=streams, documents=trackers, **options)
    made.read(np.array([1, 2]))
    return made


def slowly(own: Writer, table: Table, distance: Any, banned: tuple[int, ...] = ()):
    """What a writer without an automaton writes if this walks the automaton for it: the symbols,
    -1 after the end, how many each stream has, and the mass.
    """
    N, temperature = own.streams, 1.3
    states, ended, mass = [0] * N, [-1] * N, np.zeros(N)
    found = np.full((LENGTH, N), -1)
    for step, uniforms in enumerate(own.uniforms(LENGTH)):
        logits = own.step(own.last).astype(float)
        last = own.last.copy()
        for n in range(N):
            allowed = (
                [v for v, t in table[states[n]].items() if distance[t] < LENGTH - step]
                if ended[n] < 0
                else []
            )
            allowed = sorted(set(allowed) - set(banned))
            if not allowed:
                ended[n] = step if ended[n] < 0 else ended[n]
                continue
            p = np.exp(logits[n] / temperature)
            p[list(banned)] = 0
            p /= p.sum()
            mass[n] += np.log(p[allowed].sum())
            sums = np.cumsum(p[allowed])
            symbol = allowed[int(np.searchsorted(sums, uniforms[n] * sums[-1], side="right"))]
            states[n] = table[states[n]][symbol]
            found[step, n] = last[n] = symbol
        own.follow(last)
    return found, np.array(ended), mass


def check(own: Any, others: Any, table: Table = WORDS, pieces: int = 7, **options: Any) -> None:
    """The writer writes what the reference does with the other."""
    edges = edges_of(table, ACCEPTING)
    found = np.concatenate([own.write(min(pieces, LENGTH - k)) for k in range(0, LENGTH, pieces)])
    wanted, ended, mass = slowly(others, table, edges.distance, **options)
    np.testing.assert_array_equal(np.where(wanted >= 0, found, -1), wanted)
    np.testing.assert_array_equal(own.ended, np.where(ended < 0, -1, ended))
    np.testing.assert_allclose(own.mass, mass, rtol=1e-4, atol=1e-5)
    assert (wanted[:, 0] >= 0).any()


@pytest.mark.parametrize("documents", [None, "a", "[ce]"])
@pytest.mark.parametrize(("streams", "threads"), [(1, 1), (5, 1), (5, 2)])
def test_writes_what_the_reference_does(streams: int, threads: int, documents: Any) -> None:
    """Several streams; and documents, with which the same symbols are drawn twice."""
    workers = Workers(threads, processors=threads)
    edges = edges_of(WORDS, ACCEPTING)
    own = writer(streams, documents=documents, workers=workers, edges=edges)
    check(own, writer(streams, documents=documents))
    workers.close()


def test_a_divided_stream() -> None:
    """Each thread of a stream remembers for itself; a large network, so that it is divided."""
    workers, edges = Workers(2, processors=2), edges_of(WORDS, ACCEPTING)
    own = writer(hidden=256, workers=workers, edges=edges)
    assert own._work.parts == 2
    check(own, writer(hidden=256))
    workers.close()


def test_ends_where_there_is_nowhere_to_go() -> None:
    """Also if what could follow is banned; a text of no symbols is one."""
    table: Table = [{0: 1, 1: 1, 2: 3}, {0: 2}, {4: 3}, {}]
    edges = edges_of(table, ACCEPTING)
    own = writer(9, edges=edges, banned=(2,))
    check(own, writer(9), table, banned=(2,))
    assert (own.ended == 3).all()
    assert (writer(9, edges=edges, start=3).ended == -1).all()
    nothing = writer(2, edges=edges, start=3)
    nothing.write(4)
    assert (nothing.ended == 0).all() and (nothing.mass == 0).all()


@pytest.mark.parametrize("temperature", [0.0, 0.4, 3.0])
def test_accepts_within_the_length(temperature: float) -> None:
    edges = edges_of(WORDS, ACCEPTING)
    for length in range(2, 9):
        own = writer(40, edges=edges, settings={"length": length, "temperature": temperature})
        found = own.write(length + 2)
        for n, end in enumerate(own.ended):
            state = 0
            for symbol in found[:end, n]:
                state = WORDS[state][int(symbol)]
            assert state in ACCEPTING and length - 2 <= end <= length  # a way back takes 3


def test_keeping_and_spreading() -> None:
    edges = edges_of(WORDS, ACCEPTING)
    whole, some = writer(6, edges=edges), writer(2, edges=edges)
    some = some.spread(6, 1)
    np.testing.assert_array_equal(some.write(9), whole.write(9))
    some.keep([4, 1])
    np.testing.assert_array_equal(some.write(LENGTH - 8), whole.write(LENGTH - 8)[:, [4, 1]])
    np.testing.assert_array_equal(some.ended, whole.ended[[4, 1]])
    np.testing.assert_array_equal(some.mass, whole.mass[[4, 1]])


@pytest.mark.parametrize("documents", [None, "a"])
def test_an_ensemble_follows_it_too(documents: str | None) -> None:
    """Of one network twice: it writes what the network does alone."""
    edges = edges_of(WORDS, ACCEPTING)
    both = [writer(3, documents=documents, edges=edges) for _ in range(2)]
    alone = writer(3, documents=documents, edges=edges)
    np.testing.assert_array_equal(Ensemble(both).write(LENGTH), alone.write(LENGTH))
    np.testing.assert_allclose(both[0].mass, alone.mass, rtol=1e-4)


def test_an_automaton_that_allows_everything_changes_nothing() -> None:
    edges = edges_of([dict.fromkeys(range(V), 0)], {0})
    for settings in ({}, {"top_k": 3}, {"min_p": 0.3, "temperature": 0.6}):
        own, free = writer(4, edges=edges, settings=settings), writer(4, settings=settings)
        np.testing.assert_array_equal(own.write(LENGTH), free.write(LENGTH))
        np.testing.assert_allclose(own.mass, 0, atol=1e-6)


@pytest.mark.parametrize("gap", [3.0, 60.0, 150.0])
def test_the_mass_of_what_is_hardly_probable(gap: float) -> None:
    """Beside what is not allowed, it vanishes in a float32; and equal shares stay equal."""
    logits = np.array([gap, 0.0, 0.0, gap, -1.0], np.float32)
    controls = controls_of(
        config(temperature=0.5), V, edges=edges_of([dict.fromkeys((1, 2), 0)], {0})
    )
    memory, scratch, comb = Memory.new(1, 0, 1000), np.zeros(V, np.float32), np.arange(100) / 100
    found = [draw(logits.copy(), controls, 0, u, scratch, memory, 0) for u in comb]
    assert found == [1] * 50 + [2] * 50
    np.testing.assert_allclose(memory.mass[0], 100 * -2 * gap, rtol=1e-2 / gap)
