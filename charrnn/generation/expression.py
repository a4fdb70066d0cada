"""From a regular expression to an automaton.

Python's own parser reads the pattern, and Python's own matcher says which characters stand for a
set such as `[^\\W\\d]`, or for a letter under `(?i)`: so a pattern means what it means to
`re.fullmatch`. Each place of the pattern that reads a symbol becomes a position (Glushkov 1961),
and sets of positions become states (`subsets`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from importlib import import_module
from typing import Any, NamedTuple

from charrnn.errors import ConfigError
from charrnn.generation.automaton import Automaton, product, with_end
from charrnn.generation.subsets import SECONDS, Positions, TooLarge
from charrnn.generation.utf8_sets import Node, graph_of, writable
from charrnn.text.vocab import Vocab, name_of
from charrnn.text.words import is_inner

LONGEST = 10_000
"""Most characters of a pattern."""

# Not documented, but the same since Python 2; hypothesis relies on them as well.
_parser, _compiler = import_module("re._parser"), import_module("re._compiler")
_STARTS, _ENDS = ("AT_BEGINNING", "AT_BEGINNING_STRING"), ("AT_END", "AT_END_STRING")
_REFUSED = {
    "AT": "a place such as \\b, or ^ or $ inside the pattern",
    "ASSERT": "a lookaround",
    "ASSERT_NOT": "a lookaround",
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}


def matching(pattern: str, vocab: Vocab, seconds: float = SECONDS) -> Automaton:
    """The texts that match a pattern as a whole; its automaton may take this long to build.

    Where a text matches and could go on, it may also end, by a symbol with which it could not go
    on (`Automaton.end`). `ConfigError` for what is not a regular expression, for what an automaton
    cannot do (lookarounds, references to groups, word borders), and for a pattern that is too large
    or that no text in this vocabulary matches.
    """
    where = f"`match` {pattern!r:.80}"
    automaton = _automaton(pattern, vocab, where, seconds)
    return with_end(automaton, len(vocab), vocab.unknown)


def containing(words: Sequence[str], vocab: Vocab, prime: str = "") -> Automaton:
    """The texts that contain all of these words, in any order; there must be at least one.

    A word stands where no letter, mark or digit precedes or follows it, also in the prime; one that
    begins in lower case may begin with a capital. `ConfigError` for one that the vocabulary cannot
    write, and for more than fit into an automaton.
    """
    # \w has no marks
    marks = "".join(c for c in writable(vocab) if not c.isalnum() and is_inner(c))
    automata = (_containing(word, vocab, prime, marks) for word in dict.fromkeys(words))
    return reduce(product, automata)


def longest_match(pattern: str) -> int | None:
    """The most characters of a match; None if that is unknown."""
    try:
        return int(_parser.parse(pattern).getwidth()[1])
    except (re.error, RecursionError, OverflowError, ValueError):  # a pattern of `regex` alone
        return None


def _containing(word: str, vocab: Vocab, prime: str, marks: str) -> Automaton:
    inside, outside = rf"[\w{marks}]", rf"[^\w{marks}]"
    first, before, after = re.escape(word[0]), ".*", ".*"
    if word[0].islower() and len(word[0].upper()) == 1:
        first = f"[{word[0]}{word[0].upper()}]"
    if re.match(inside, word):
        before = f".*{outside}" if re.match(inside, prime[-1:]) else f"(?:.*{outside})?"
    if re.match(inside, word[-1]):
        after = f"(?:{outside}.*)?"
    pattern = f"(?s){before}{first}{re.escape(word[1:])}{after}"
    return _automaton(pattern, vocab, f"`must` {word!r:.80}")


def _automaton(pattern: str, vocab: Vocab, where: str, seconds: float = SECONDS) -> Automaton:
    if len(pattern) > LONGEST:
        raise ConfigError(f"{where}... is longer than {LONGEST:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError, ValueError, Warning) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{where} is not a regular expression: {reason}") from None
    reader = _Reader(vocab, where, seconds)
    try:
        automaton = reader.automaton(tree)
    except (TooLarge, RecursionError):
        raise ConfigError(
            f"{where} is too large for an automaton: use fewer repeats inside repeats, and smaller "
            "numbers in braces"
        ) from None
    if automaton.is_empty:
        lacking = ", ".join(name_of(c) for c in sorted(reader.lacking)[:5])
        why = f"; its vocabulary lacks {lacking}" if lacking else ""
        raise ConfigError(f"{where}: the network cannot write a text like this{why}")
    return automaton


class _Part(NamedTuple):
    """A part of a pattern: whether it may read nothing, and the positions at which it may begin and
    end.
    """

    is_optional: bool
    first: frozenset[int]
    last: frozenset[int]


_NOTHING = _Part(True, frozenset(), frozenset())
_NEVER = _Part(False, frozenset(), frozenset())


class _Reader:
    """Reads the tree of one pattern. lacking: its letters that the vocabulary cannot write."""

    def __init__(self, vocab: Vocab, where: str, seconds: float) -> None:
        self._vocab, self._where, self._positions = vocab, where, Positions(seconds)
        self._graphs: dict[tuple[str, str, int], tuple[list[Node], int]] = {}
        self.lacking = set[str]()

    def automaton(self, tree: Any) -> Automaton:
        """The automaton of a whole pattern."""
        items = list(tree)
        while items and str(items[0][0]) == "AT" and str(items[0][1]) in _STARTS:
            del items[0]
        while items and str(items[-1][0]) == "AT" and str(items[-1][1]) in _ENDS:
            del items[-1]
        whole = self._sequence(items, tree.state.flags)
        return self._positions.automaton(whole.is_optional, whole.first, whole.last)

    def _sequence(self, items: Iterable[Any], flags: int) -> _Part:
        is_optional, first, last = _NOTHING
        for op, value in items:
            part = self._part(op, value, flags)
            self._positions.connect(last, part.first)
            first = first | part.first if is_optional else first
            last = last | part.last if part.is_optional else part.last
            is_optional = is_optional and part.is_optional
        return _Part(is_optional, first, last)

    def _part(self, op: Any, value: Any, flags: int) -> _Part:
        match kind := str(op):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return self._character(op, value, flags)
            case "BRANCH":
                return self._branch([self._sequence(items, flags) for items in value[1]])
            case "SUBPATTERN":
                _, added, removed, items = value
                return self._sequence(items, _compiler._combine_flags(flags, added, removed))
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, items = value
                read = partial(self._sequence, items, flags)
                return self._repeat(read, least, None if most == _parser.MAXREPEAT else most)
            case "FAILURE":
                return _NEVER
        raise ConfigError(
            f"{self._where} has {_REFUSED.get(kind, kind)}, which cannot be followed symbol by "
            "symbol: write the pattern without it"
        )

    def _branch(self, parts: list[_Part]) -> _Part:
        return _Part(
            any(part.is_optional for part in parts),
            frozenset[int]().union(*(part.first for part in parts)),
            frozenset[int]().union(*(part.last for part in parts)),
        )

    def _repeat(self, read: Callable[[], _Part], least: int, most: int | None) -> _Part:
        """As x{2,4} = xx(x(x)?)?, in which each copy is followed by the next one only."""
        if most == 0:
            return _NOTHING
        copy = read()
        first, is_optional = copy.first, least == 0 or copy.is_optional
        if not first:
            return _Part(is_optional, first, first)
        last = set(copy.last) if is_optional or least == 1 else set[int]()
        for n in range(2, (most or max(least, 1)) + 1):
            before, copy = copy, read()
            self._positions.connect(before.last, copy.first)
            if is_optional or n >= least:
                last |= copy.last
        if most is None:
            self._positions.connect(copy.last, copy.first)
        return _Part(is_optional, first, frozenset(last))

    def _character(self, op: Any, value: Any, flags: int) -> _Part:
        """One character of a set: a position for each set of ids on the way."""
        key = (str(op), str(value), flags)
        if key not in self._graphs:
            self._graphs[key] = graph_of(self._matched(op, value, flags), self._vocab)
        graph, root = self._graphs[key]
        return _Part(False, *self._positions.add(graph, root))

    def _matched(self, op: Any, value: Any, flags: int) -> str:
        """The characters that one element of the pattern matches."""
        state = _parser.State()
        state.flags, state.str = flags, ""
        element = _compiler.compile(_parser.SubPattern(state, [(op, value)]), flags)
        matched = "".join(element.findall(writable(self._vocab)))
        if not matched and str(op) == "LITERAL":
            self.lacking.add(chr(value))
        return matched
