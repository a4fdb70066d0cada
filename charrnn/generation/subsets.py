"""From the positions of a pattern to states: sets of positions (Rabin and Scott 1959)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from charrnn.generation.automaton import MOST_EDGES, Automaton, from_edges
from charrnn.generation.utf8_sets import Node

SECONDS, MOST_POSITIONS, MOST_STATES = 5.0, 60_000, 300_000
"""Limits of one pattern: the time to build its automaton, its positions and its states."""

State = tuple[frozenset[int], bool]
"""The positions that may come next, and whether the text may end here."""


class TooLarge(Exception):
    """A pattern is beyond the limits."""


class Positions:
    """The places of a pattern that read a symbol.

    labels: the number of the set of ids that each position reads. follow: which may come next.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._deadline = time.thread_time() + seconds
        self._labels, self._follow = list[int](), list[set[int]]()
        self._sets: dict[frozenset[int], int] = {}

    def connect(self, before: Iterable[int], after: Iterable[int]) -> None:
        """Let each of the second positions follow each of the first."""
        for position in before:
            self._follow[position].update(after)

    def add(self, graph: list[Node], root: int) -> tuple[frozenset[int], frozenset[int]]:
        """Add positions for the edges of a graph; returns those it may begin and end with."""
        own, last = dict[int, list[int]](), list[int]()

        def positions_of(number: int) -> list[int]:
            if number not in own:
                own[number] = [self._position(ids) for ids, _ in graph[number]]
                for position, (_, after) in zip(own[number], graph[number], strict=True):
                    if after is None:
                        last.append(position)
                    else:
                        self._follow[position].update(positions_of(after))
            return own[number]

        return frozenset(positions_of(root)), frozenset(last)

    def automaton(
        self, is_optional: bool, first: frozenset[int], last: frozenset[int]
    ) -> Automaton:
        """The automaton of a pattern that may begin and end with these positions."""
        classes, members = self._classes()
        start: State = (first, is_optional)
        numbers, waiting = {start: 0}, [start]
        edges = list[tuple[int, int, int]]()
        while waiting:
            state = waiting.pop()
            if len(numbers) > MOST_STATES or time.thread_time() > self._deadline:
                raise TooLarge
            for matched, reads in self._matched(state[0], classes):
                after = frozenset[int]().union(*(self._follow[position] for position in matched))
                target = (after, not last.isdisjoint(matched))
                if target not in numbers:
                    numbers[target] = len(numbers)
                    waiting.append(target)
                edges += [(numbers[state], number, numbers[target]) for number in reads]
        sources, read, targets = np.array(edges, np.int64).reshape(-1, 3).T
        sizes = np.array([len(ids) for ids in members], np.int64)[read]
        if sizes.sum() > MOST_EDGES:
            raise TooLarge
        symbols = np.concatenate([np.zeros(0, np.int64), *(members[number] for number in read)])
        accepting = np.array([may_end for _, may_end in numbers])
        sources, targets = np.repeat(sources, sizes), np.repeat(targets, sizes)
        return from_edges(sources, symbols, targets, accepting, 0)

    def _position(self, ids: frozenset[int]) -> int:
        if len(self._labels) >= MOST_POSITIONS or time.thread_time() > self._deadline:
            raise TooLarge
        self._labels.append(self._sets.setdefault(ids, len(self._sets)))
        self._follow.append(set())
        return len(self._labels) - 1

    def _matched(
        self, positions: frozenset[int], classes: list[list[int]]
    ) -> Iterable[tuple[list[int], list[int]]]:
        """Positions that read the same symbols, and the numbers of the classes of these."""
        by_label = defaultdict[int, list[int]](list)
        for position in positions:
            by_label[self._labels[position]].append(position)
        labels_of = defaultdict[int, list[int]](list)
        for label in by_label:
            for number in classes[label]:
                labels_of[number].append(label)
        together = defaultdict[tuple[int, ...], list[int]](list)
        for number, labels in labels_of.items():
            together[tuple(labels)].append(number)
        for same, numbers in together.items():
            yield [position for label in same for position in by_label[label]], numbers

    def _classes(self) -> tuple[list[list[int]], list[list[int]]]:
        """Ids that no set tells apart are one class. The classes of each set; the ids of each."""
        labels_of = defaultdict[int, list[int]](list)
        for ids, label in self._sets.items():
            for i in ids:
                labels_of[i].append(label)
        members = defaultdict[tuple[int, ...], list[int]](list)
        for i in sorted(labels_of):
            members[tuple(labels_of[i])].append(i)
        classes = [list[int]() for _ in self._sets]
        for number, labels in enumerate(members):
            for label in labels:
                classes[label].append(number)
        return classes, list(members.values())
