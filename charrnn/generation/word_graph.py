"""An automaton of known words, from the graphs of the words and of what stands between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from charrnn.generation.automaton import Automaton, Ints, Mask, from_edges
from charrnn.generation.utf8_sets import in_ids, writable
from charrnn.runtime.progress import Progress
from charrnn.text.vocab import Vocab
from charrnn.text.words import is_inner

NOTHING, PLAIN, OPENING = range(3)
"""What ends at a node of a graph of strings: nothing; a word, or what stands within a sentence;
what stands before a sentence.
"""
Node = tuple[int, tuple[tuple[str, int], ...]]
"""What ends here; and the next nodes, by their characters."""
Next = dict[str, int]


@dataclass(frozen=True)
class Gaps:
    """A graph of what stands between words, with the nodes that it begins with: after a word, and
    elsewhere.
    """

    nodes: list[Node]
    after_word: Next
    elsewhere: Next


def exactly(strings: Iterable[tuple[str, bool]]) -> Gaps:
    """These strings, ascending, each with whether a sentence may begin after it."""
    graph = dict[Node, int]()
    root = _add(((string, OPENING if opens else PLAIN) for string, opens in strings), graph)
    nodes = list(graph)
    return Gaps(nodes, dict(nodes[root][1]), dict(nodes[root][1]))


def anything(characters: set[str], opening: set[str], joiners: str) -> Gaps:
    """Any string of some characters; a sentence may begin after some of them. A single joiner does
    not stand between two words: it would make one word of them.
    """
    nexts = {c: int(c not in opening) for c in sorted(characters)}
    opened = tuple((c, 0) for c in nexts)
    nodes: list[Node] = [
        (OPENING, opened),
        (PLAIN, tuple(nexts.items())),
        (NOTHING, opened),  # after a single joiner
        (NOTHING, tuple(nexts.items())),
    ]
    return Gaps(nodes, nexts | {c: 2 + nexts[c] for c in nexts if c in joiners}, nexts)


class WordGraph:
    """Words, ascending; what stands between them; and characters that may stand anywhere except
    inside a word.

    vocab: in whose ids the automaton is; it can write all the words.
    """

    def __init__(
        self,
        words: Sequence[str],
        gaps: Gaps,
        free: Iterable[str],
        vocab: Vocab,
        progress: Progress | None = None,
    ) -> None:
        characters = set(writable(vocab))
        capitals = {c for word in words if (c := _capital(word)) and characters.issuperset(c)}
        large = {word[0] for word in capitals}
        capitals.update(word for word in words if word[0] in large)
        graph, total = dict[Node, int](), len(words) + len(capitals)
        reported = partial(_reported, total=total, progress=progress)
        root = _add(reported(words, 0), graph)
        opening = _add(reported(sorted(capitals), len(words)), graph)
        self._nodes, self._gaps, self._free = list(graph), gaps, sorted(free)
        self._vocab = vocab
        self._plain = dict(self._nodes[root][1])
        self._opening = self._plain | dict(self._nodes[opening][1])

    def automaton(self, tokens: Sequence[str]) -> Automaton:
        """The automaton of what may follow these last words of a text and what stands between them;
        the last word may go on.
        """
        whole, index = self._automaton, self._vocab.index
        state = whole.start
        for token in tokens:
            for symbol in self._vocab.in_symbols(token):
                state = whole.follow(state, index.get(symbol, -1))
            if state < 0:  # not known: after another word, or as at the start
                state = whole.start + is_of_word(token[0])
        return replace(whole, start=state)

    @cached_property
    def _automaton(self) -> Automaton:
        """That of a text from its start on. The state that follows is the one after a word that is
        not known.
        """
        edges, accepting, start = self._edges()
        sources, symbols, targets, S = in_ids(edges, len(accepting), self._vocab)
        accepting = np.pad(accepting, (0, S - len(accepting)))
        return from_edges(sources, symbols, targets, accepting, start, others=[start + 1])

    def _edges(self) -> tuple[Ints, Mask, int]:
        """The edges (E, 3): states, code points and states after them; which states accept; and the
        state at the start.

        The states are the words' nodes, the gaps' nodes, the start, the state after another word
        and that after a free character, and those after the joiners at which a word may go on or
        end.
        """
        words, gaps, W = self._nodes, self._gaps.nodes, len(self._nodes)
        start, after_other, after_free = range(W + len(gaps), W + len(gaps) + 3)
        free = dict.fromkeys(self._free, after_free)
        after_word, elsewhere = (
            {c: W + node for c, node in nexts.items()}
            for nexts in (self._gaps.after_word, self._gaps.elsewhere)
        )
        own = [(node, c, after) for node, (_, nexts) in enumerate(words) for c, after in nexts]
        forks = {  # after a joiner that may go on with a word, or with what stands between two
            (node, c): (after, after_word[c])
            for node, c, after in own
            if words[node][0] and c in after_word
        }
        states = {fork: after_free + 1 + n for n, fork in enumerate(dict.fromkeys(forks.values()))}
        own = [
            (node, c, states[forks[node, c]] if (node, c) in forks else after)
            for node, c, after in own
        ]
        for (word, gap), state in states.items():
            own += [(state, c, after) for c, after in words[word][1]]
            own += [(state, c, W + after) for c, after in gaps[gap - W][1]]
        for node, (_, nexts) in enumerate(gaps):
            own += [(W + node, c, W + after) for c, after in nexts]
        ends = [node for node, (value, _) in enumerate(words) if value]
        blocks = [
            _block([start], elsewhere | self._opening | free),
            _block([after_free], elsewhere | self._plain | free),
            _block([*ends, after_other], after_word | free),
        ]
        is_fork = np.array(
            [(node, chr(c)) in forks for node, c, _ in blocks[-1].tolist()], np.bool_
        )
        blocks[-1] = blocks[-1][~is_fork]
        for value, begun in ((PLAIN, self._plain), (OPENING, self._opening)):
            nodes = [W + node for node, (ends_here, _) in enumerate(gaps) if ends_here == value]
            blocks.append(_block(nodes, begun | free))
        coded = np.array([(s, ord(c), t) for s, c, t in own], np.int64).reshape(-1, 3)
        edges = np.concatenate([coded, *blocks])
        accepting = np.ones(after_free + 1 + len(states), np.bool_)
        accepting[:W] = False
        accepting[ends] = True
        return edges, accepting, start


def _block(states: Sequence[int], nexts: Next) -> Ints:
    """The edges (E, 3) from each of these states to the same others."""
    sources = np.repeat(np.array(states, np.int64), len(nexts))
    codes = np.tile(np.array([ord(c) for c in nexts], np.int64), len(states))
    targets = np.tile(np.array(list(nexts.values()), np.int64), len(states))
    return np.stack([sources, codes, targets], 1)


def _capital(word: str) -> str | None:
    """A word in lower case with a capital, if that is one character."""
    capital = word[0].upper()
    return capital + word[1:] if word[0].islower() and len(capital) == 1 else None


def _reported(
    words: Sequence[str], done: int, total: int, progress: Progress | None
) -> Iterator[tuple[str, int]]:
    for n, word in enumerate(words):
        if progress is not None and n % 4096 == 0:
            progress(done + n, total)
        yield word, PLAIN


def _add(strings: Iterable[tuple[str, int]], graph: dict[Node, int]) -> int:
    """The root of the smallest graph of ascending strings, each with what ends there (Daciuk et al.
    2000). Its nodes are added to a graph, with their numbers, unless it has them.
    """
    path: list[tuple[int, list[tuple[str, int]]]] = [(NOTHING, [])]
    before = ""

    def close(depth: int) -> int:
        """Finish the nodes from this depth on; returns the first of them."""
        node = -1
        while len(path) > depth:
            value, edges = path.pop()
            node = graph.setdefault((value, tuple(edges)), len(graph))
            if path:
                path[-1][1].append((before[len(path) - 1], node))
        return node

    for string, value in strings:
        common = next(
            (n for n in range(len(before)) if before[n] != string[n : n + 1]), len(before)
        )
        close(common + 1)
        path.extend((NOTHING, []) for _ in string[common:])
        path[-1] = (value, path[-1][1])
        before = string
    return close(0)


def is_of_word(character: str) -> bool:
    """Whether words are made of it, or it stands in one for what a network cannot write."""
    return character == "\ufffd" or is_inner(character)
