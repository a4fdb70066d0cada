"""Automata, against their definition on all short texts."""

from __future__ import annotations

from itertools import product as sequences
from typing import Any

import numpy as np
import pytest

from charrnn.errors import ConfigError
from charrnn.generation import automaton
from charrnn.generation.automaton import NEVER, Automaton, from_edges, product, with_end

V = 3
TEXTS = [text for n in range(6) for text in sequences(range(V), repeat=n)]


def any_automaton(rng: np.random.Generator, states: int) -> tuple[Automaton, Any, Any]:
    """An automaton, and the table of its targets (-1 for none) and accepting states."""
    table = np.where(rng.random((states, V)) < 0.6, rng.integers(0, states, (states, V)), -1)
    accepting = rng.random(states) < 0.4
    sources, symbols = np.nonzero(table >= 0)
    made = from_edges(sources, symbols, table[sources, symbols], accepting, 0)
    return made, table, accepting


def accepts(table: Any, accepting: Any, text: tuple[int, ...]) -> bool:
    state = 0
    for symbol in text:
        state = table[state, symbol] if state >= 0 else -1
    return state >= 0 and bool(accepting[state])


def test_accepts_what_its_edges_say_and_no_state_is_useless() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        made, table, accepting = any_automaton(rng, 5)
        accepted = [text for text in TEXTS if accepts(table, accepting, text)]
        assert [text for text in TEXTS if made.accepts(text)] == accepted
        assert made.is_empty == (not accepted)
        assert (made.distance < NEVER).all()
        if accepted:
            assert made.distance[made.start] == min(map(len, accepted))
        for state in range(len(made.distance)):
            row = made.symbols[made.first[state] : made.first[state + 1]].tolist()
            assert row == sorted(set(row))
            targets = made.targets[made.first[state] : made.first[state + 1]]
            nearest = min(made.distance[targets], default=NEVER)
            assert made.distance[state] in (0, nearest + 1)


def test_a_product_accepts_what_both_accept() -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        a, b = any_automaton(rng, 5)[0], any_automaton(rng, 4)[0]
        both = product(a, b)
        for text in TEXTS:
            assert both.accepts(text) == (a.accepts(text) and b.accepts(text))


def test_a_symbol_that_cannot_go_on_ends_a_text_where_all_accept() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        a, b = any_automaton(rng, 4)[0], any_automaton(rng, 4)[0]
        ended = with_end(a, V)
        for first, second in ((ended, b), (b, ended)):
            both = product(first, second)
            for text in TEXTS[:40]:
                assert both.accepts(text) == (a.accepts(text) and b.accepts(text))
                if not both.accepts(text):
                    continue
                state, state_a = both.start, a.start
                for symbol in text:
                    state, state_a = both.follow(state, symbol), a.follow(state_a, symbol)
                may_go_on = a.first[state_a + 1] > a.first[state_a]
                for symbol in range(V):
                    is_end = both.end >= 0 and both.follow(state, symbol) == both.end
                    assert is_end == (may_go_on and a.follow(state_a, symbol) < 0)


def test_the_unknown_symbol_ends_nothing() -> None:
    only_zeros = from_edges(np.array([0]), np.array([0]), np.array([0]), np.array([True]), 0)
    ended = with_end(only_zeros, V, banned=2)
    assert [ended.follow(ended.start, symbol) == ended.end for symbol in range(V)] == [
        False,
        True,
        False,
    ]


def test_what_would_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    a = from_edges(np.arange(3), np.zeros(3), np.array([1, 2, 0]), np.array([True] * 3), 0)
    monkeypatch.setattr(automaton, "MOST_EDGES", 2)
    for make in (
        lambda: product(a, a),
        lambda: with_end(a, V),
        lambda: from_edges(np.arange(3), np.zeros(3), np.arange(3), np.array([True] * 3), 0),
    ):
        with pytest.raises(ConfigError, match="simpler `match`"):
            make()
