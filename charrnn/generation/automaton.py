"""Deterministic finite automata over the ids of a vocabulary: which texts may be written.

A text is allowed if its ids lead from `start` to an accepting state. The sampling kernel follows
one state per stream and draws only symbols from which acceptance can still be reached in time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError

MOST_EDGES, MOST_PAIRS = 20_000_000, 1 << 31
"""Limits of an automaton, for memory: edges, and pairs of states of which a product is made."""
NEVER = int(np.iinfo(np.int32).max)

Ints: TypeAlias = NDArray[Any]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Automaton:
    """The edges of S states, sorted by state and symbol; every state can reach an accepting one.

    first: (S + 1,) int64; state s has the edges first[s] to first[s + 1] - 1.
    symbols, targets: (E,) int32; the id that an edge reads, and the state after it.
    distance: (S,) int32; the fewest symbols from a state to an accepting one, 0 if it accepts. An
        automaton that accepts nothing has no states.
    end: the state after a symbol that ended the text and is no part of it; -1 if there is none.
    """

    start: int
    first: NDArray[np.int64]
    symbols: NDArray[np.int32]
    targets: NDArray[np.int32]
    distance: NDArray[np.int32]
    end: int = -1

    def __repr__(self) -> str:
        return f"Automaton({len(self.distance):,} states, {len(self.symbols):,} edges)"

    @property
    def is_empty(self) -> bool:
        """True if it accepts no text."""
        return len(self.distance) == 0

    def after(self, states: Ints, symbols: Ints) -> Ints:
        """The state after each state (K,) and symbol (K,), -1 where there is no such edge."""
        keys = states.astype(np.int64) * self._width + symbols
        places = np.searchsorted(self._keys, keys)
        places[places == len(self._keys)] = 0
        is_edge = (symbols < self._width) & (states >= 0)
        if len(self._keys):
            is_edge &= self._keys[places] == keys
            return np.where(is_edge, self.targets[places], -1)
        return np.full(len(states), -1, np.int32)

    def follow(self, state: int, symbol: int) -> int:
        """The state after a state and a symbol, -1 if there is no such edge."""
        if state < 0 or self.is_empty:
            return -1
        high = int(self.first[state + 1])
        place = bisect_left(self.symbols, symbol, int(self.first[state]), high)
        is_edge = place < high and self.symbols[place] == symbol
        return int(self.targets[place]) if is_edge else -1

    def is_accepting(self, state: int) -> bool:
        """True if a text may end in this state, as a whole."""
        return state >= 0 and state != self.end and int(self.distance[state]) == 0

    def accepts(self, ids: Iterable[int]) -> bool:
        """True if this is an allowed text."""
        state = -1 if self.is_empty else self.start
        for symbol in ids:
            state = self.follow(state, symbol)
        return self.is_accepting(state)

    @cached_property
    def _width(self) -> int:
        return int(self.symbols.max(initial=0)) + 1

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        """One number for the state and the symbol of each edge, ascending."""
        states = np.repeat(np.arange(len(self.distance)), np.diff(self.first))
        return states * self._width + self.symbols

    def edges_of(self, states: Ints) -> tuple[Ints, Ints]:
        """The edges of these states: the place in `states` that each belongs to, and its number."""
        return _ranges(self.first[states], self.first[states + 1])


def from_edges(
    sources: Ints,
    symbols: Ints,
    targets: Ints,
    accepting: Mask,
    start: int,
    end: int = -1,
    others: Sequence[int] = (),
) -> Automaton:
    """The automaton with these edges (E,), in any order; no two may have the same source and
    symbol. accepting: (S,).

    States are left out if neither the start nor `others` reach them, or if they reach no accepting
    one. Those that are left keep their order.
    """
    if len(symbols) > MOST_EDGES:
        raise too_large()
    S = len(accepting)
    distance = _steps(S, targets, sources, np.flatnonzero(accepting))
    is_useful = distance[targets] < NEVER
    sources, symbols, targets = sources[is_useful], symbols[is_useful], targets[is_useful]
    is_kept = _steps(S, sources, targets, np.array([start, *others])) < NEVER
    is_kept &= distance[start] < NEVER
    is_used = is_kept[sources]
    sources, symbols, targets = sources[is_used], symbols[is_used], targets[is_used]
    number = np.cumsum(is_kept) - 1
    order = np.argsort(sources * (1 + int(symbols.max(initial=0))) + symbols)
    counts = np.bincount(number[sources], minlength=int(is_kept.sum()))
    return Automaton(
        max(0, int(number[start])),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        symbols[order].astype(np.int32),
        number[targets[order]].astype(np.int32),
        distance[is_kept].astype(np.int32),
        int(number[end]) if end >= 0 and is_kept[end] else -1,
    )


def product(a: Automaton, b: Automaton, most: int = MOST_EDGES) -> Automaton:
    """The automaton of the texts that both accept, with at most `most` edges. At most one of them
    may have an `end`: a text ends there if the other accepts.
    """
    if a.is_empty or b.is_empty:
        return a if a.is_empty else b
    if b.end >= 0:
        a, b = b, a
    B, size = len(b.distance), 0
    if len(a.distance) * B > most * MOST_PAIRS // MOST_EDGES:
        raise too_large()
    seen = np.zeros(len(a.distance) * B, np.bool_)
    frontier = np.array([a.start * B + b.start])
    parts, all_pairs = list[tuple[Ints, Ints, Ints]](), [frontier]
    seen[frontier] = True
    while len(frontier):
        owner, symbols, targets = _common(a, b, frontier // B, frontier % B)
        parts.append((frontier[owner], symbols, targets))
        size += len(symbols)
        if size > most:
            raise too_large()
        frontier = _distinct(targets[~seen[targets]])
        seen[frontier] = True
        all_pairs.append(frontier)
    pairs = np.sort(np.concatenate(all_pairs))
    sources, symbols, targets = (np.concatenate(each) for each in zip(*parts, strict=True))
    sources, targets = np.searchsorted(pairs, sources), np.searchsorted(pairs, targets)
    accepting = (a.distance[pairs // B] == 0) & (b.distance[pairs % B] == 0)
    if a.end >= 0:
        owner, edges = a.edges_of(pairs[accepting] // B)
        is_end = a.targets[edges] == a.end
        places = np.flatnonzero(accepting)[owner[is_end]]
        sources = np.concatenate([sources, places])
        symbols = np.concatenate([symbols, a.symbols[edges[is_end]]])
        targets = np.concatenate([targets, np.full(len(places), len(pairs))])
        accepting = np.append(accepting, True)
    end = len(pairs) if a.end >= 0 else -1
    return from_edges(
        sources,
        symbols,
        targets,
        accepting,
        int(np.searchsorted(pairs, a.start * B + b.start)),
        end,
    )


def with_end(automaton: Automaton, symbols: int, banned: int | None = None) -> Automaton:
    """The same texts; where one may end or go on, each of the other symbols ends it.

    symbols: the size of the vocabulary. banned: an id that is never written.
    """
    if automaton.is_empty:
        return automaton
    is_choice = (automaton.distance == 0) & (np.diff(automaton.first) > 0)
    states, end = np.flatnonzero(is_choice), len(automaton.distance)
    if len(states) * symbols + len(automaton.symbols) > MOST_EDGES:
        raise too_large()
    ends = np.ones((len(states), symbols), np.bool_)
    owner, edges = automaton.edges_of(states)
    ends[owner, automaton.symbols[edges]] = False
    if banned is not None:
        ends[:, banned] = False
    owner, read = np.nonzero(ends)
    sources, _ = automaton.edges_of(np.arange(end))
    return from_edges(
        np.concatenate([sources, states[owner]]),
        np.concatenate([automaton.symbols, read]),
        np.concatenate([automaton.targets, np.full(len(read), end)]),
        np.append(automaton.distance == 0, True),
        automaton.start,
        end,
    )


def _common(a: Automaton, b: Automaton, in_a: Ints, in_b: Ints) -> tuple[Ints, Ints, Ints]:
    """The edges of pairs of states (K,), except to the end: the place of each edge's pair, its
    symbol, and the pair after it as a number.
    """
    B = len(b.distance)
    if len(a.symbols) * B <= len(b.symbols) * len(a.distance):  # follow the fewer edges
        owner, edges = a.edges_of(in_a)
        symbols, after_a = a.symbols[edges], a.targets[edges]
        after_b = b.after(in_b[owner], symbols)
    else:
        owner, edges = b.edges_of(in_b)
        symbols, after_b = b.symbols[edges], b.targets[edges]
        after_a = a.after(in_a[owner], symbols)
    is_common = (after_a >= 0) & (after_b >= 0) & ((after_a != a.end) | (a.end < 0))
    targets = after_a[is_common].astype(np.int64) * B + after_b[is_common]
    return owner[is_common], symbols[is_common], targets


def _steps(S: int, tails: Ints, heads: Ints, seeds: Ints) -> Ints:
    """The fewest edges from one of the seeds to each of S states, NEVER if none leads there."""
    order = np.argsort(tails, kind="stable")
    heads, first = heads[order], np.searchsorted(tails[order], np.arange(S + 1))
    steps, frontier, step = np.full(S, NEVER, np.int64), seeds, 0
    while len(frontier):
        steps[frontier] = step
        _, edges = _ranges(first[frontier], first[frontier + 1])
        reached = heads[edges]
        frontier, step = _distinct(reached[steps[reached] == NEVER]), step + 1
    return steps


def _distinct(numbers: Ints) -> Ints:
    """The different ones of some numbers, ascending: `np.unique` takes three times as long."""
    numbers = np.sort(numbers)
    return numbers[np.flatnonzero(np.diff(numbers, prepend=-1))]


def _ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """All numbers of some ranges (K,), and the place of the range that each belongs to."""
    counts = high - low
    owner = np.repeat(np.arange(len(low)), counts)
    return owner, np.arange(len(owner)) + np.repeat(high - np.cumsum(counts), counts)


def too_large() -> ConfigError:
    """The error for an automaton that would not fit into memory."""
    return ConfigError(
        "what may be written is too complicated: use a simpler `match`, fewer `must` or fewer "
        "`known_words`"
    )
