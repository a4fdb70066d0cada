"""A regular expression of Python's in a form that means the same in JavaScript and in Python's
`re`, over the symbols of a vocabulary.

Python's own parser reads it, and Python's own matcher says which symbols stand for a set such as
`[^a-z]`. Those of `\\w`, `\\d` and `\\s` are others in `re` and in JavaScript than in `regex`, by
which charrnn searches; `^` is another place in JavaScript.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from itertools import pairwise
from typing import Any

from charrnn.errors import ExportError
from charrnn.text.vocab import Vocab

# as in generation/expression.py
_parser, _compiler = import_module("re._parser"), import_module("re._compiler")
_WORD = (_parser.IN, [(_parser.CATEGORY, _parser.CATEGORY_WORD)])
_REFUSED = {
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition on a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
}
CLASSES = {
    **{"CATEGORY_WORD": r"\w", "CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s"},
    **{"CATEGORY_NOT_WORD": r"\W", "CATEGORY_NOT_DIGIT": r"\D", "CATEGORY_NOT_SPACE": r"\S"},
}
MULTILINE = _parser.SRE_FLAG_MULTILINE


def javascript_pattern(pattern: str, vocab: Vocab) -> str:
    """The source of a JavaScript regular expression, for the flag u, that matches the same in texts
    of these symbols. `ExportError` for what JavaScript does not have, and for a pattern that may
    match nothing at all, where the two go on in different ways.
    """
    where = f"`document_separator` {pattern!r:.80}"
    tree = _parser.parse(pattern)
    if tree.getwidth()[0] == 0:
        raise ExportError(f"{where} may match nothing, which JavaScript cannot follow")
    return _Writer(vocab, where).sequence(tree, tree.state.flags)


def python_pattern(pattern: str, vocab: Vocab) -> str:
    """A pattern with which Python's `re` matches the same in texts of these symbols: this one, if
    its classes have the same symbols in `re` as in `regex`; else one with these symbols in their
    place. `ExportError` if it then has what JavaScript does not have.
    """
    import regex

    symbols = _symbols(vocab)
    names = {name.lower().replace("b", "w") for name in re.findall(r"\\(.)", pattern, re.DOTALL)}
    classes = ["\\" + name for name in names & set("wds")]
    if all(re.findall(each, symbols) == regex.findall(each, symbols) for each in classes):
        return pattern
    tree = _parser.parse(pattern)
    writer = _Writer(vocab, f"`document_separator` {pattern!r:.80}")
    return writer.sequence(tree, tree.state.flags)


def _symbols(vocab: Vocab) -> str:
    return "".join(map(chr, vocab.codes.tolist()))


class _Writer:
    def __init__(self, vocab: Vocab, where: str) -> None:
        self._symbols, self._where = _symbols(vocab), where

    def sequence(self, items: Iterable[Any], flags: int) -> str:
        return "".join(self._part(op, value, flags) for op, value in items)

    def _part(self, op: Any, value: Any, flags: int) -> str:
        match kind := str(op):
            case "LITERAL" | "NOT_LITERAL" | "ANY" | "IN":
                return self._character(op, value, flags)
            case "BRANCH":
                return f"(?:{'|'.join(self.sequence(items, flags) for items in value[1])})"
            case "SUBPATTERN":
                _, added, removed, items = value
                inside = _compiler._combine_flags(flags, added, removed)
                return f"(?:{self.sequence(items, inside)})"
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, items = value
                last = "" if most == _parser.MAXREPEAT else int(most)
                lazy = "?" if kind == "MIN_REPEAT" else ""
                return f"(?:{self.sequence(items, flags)}){{{int(least)},{last}}}{lazy}"
            case "ASSERT" | "ASSERT_NOT":
                direction, items = value
                sign = ("<" if direction < 0 else "") + ("=" if kind == "ASSERT" else "!")
                return f"(?{sign}{self.sequence(items, flags)})"
            case "AT":
                return self._place(str(value), flags)
            case "FAILURE":
                return "(?!)"
        raise ExportError(
            f"{self._where} has {_REFUSED.get(kind, kind)}, which this export cannot hold"
        )

    def _place(self, name: str, flags: int) -> str:
        if name in ("AT_BOUNDARY", "AT_NON_BOUNDARY"):
            word = self._character(*_WORD, flags)
            same, other = ("!", "=") if name == "AT_BOUNDARY" else ("=", "!")
            return f"(?:(?<={word})(?{same}{word})|(?<!{word})(?{other}{word}))"
        end = r"(?![^\n])" if flags & MULTILINE else r"(?=\n?(?![\s\S]))"
        return {
            "AT_BEGINNING": r"(?<![^\n])" if flags & MULTILINE else r"(?<![\s\S])",
            "AT_BEGINNING_STRING": r"(?<![\s\S])",
            "AT_END": end,
            "AT_END_STRING": r"(?![\s\S])",
        }[name]

    def _character(self, op: Any, value: Any, flags: int) -> str:
        """The symbols that one element of the pattern matches, as a set."""
        if op is _parser.IN:
            value = [each for item in value for each in self._literals(item, flags)]
        state = _parser.State()
        state.flags, state.str = flags, ""
        element = _compiler.compile(_parser.SubPattern(state, [(op, value)]), flags)
        codes = sorted({ord(symbol) for symbol in element.findall(self._symbols)})
        breaks = [n for n, (a, b) in enumerate(pairwise(codes), 1) if b != a + 1]
        runs = [codes[a:b] for a, b in pairwise([0, *breaks, len(codes)]) if codes]
        return f"[{''.join(_range(run[0], run[-1]) for run in runs)}]" if runs else "(?!)"

    def _literals(self, item: tuple[Any, Any], flags: int) -> list[tuple[Any, Any]]:
        """A part of a set; in place of a class, the symbols that `regex` has in it."""
        op, value = item
        if op is not _parser.CATEGORY:
            return [item]
        import regex

        ascii_only = regex.ASCII if flags & re.ASCII else 0
        found = regex.findall(CLASSES[str(value)], self._symbols, ascii_only)
        return [(_parser.LITERAL, ord(symbol)) for symbol in found]


def _range(first: int, last: int) -> str:
    return _escaped(first) + ("" if first == last else f"-{_escaped(last)}")


def _escaped(code: int) -> str:
    """A symbol as both languages write it; above U+FFFF, only itself."""
    return f"\\u{code:04x}" if code < 0x10000 else chr(code)
