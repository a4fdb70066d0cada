"""Where one document of a text may end and the next begin, as a guess from its lines."""

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from charrnn.text.documents import Positions
from charrnn.text.vocab import TextIds, Vocab

EXAMINED = 20_000
"""Lines at the beginning of a text that are examined."""
LEAST = 50
"""Documents of a text that is a collection of them."""
ITEM, LONG_ITEM = 60, 120
"""Characters of a line in a list: half of the lines have no more, and all but a few no more."""
FEW, SOME, MANY = 0.02, 0.2, 0.5
"""Fractions of the lines of a list that may be blank or indented; that may end with a comma or
begin with a name and a colon, as lines of verse and of a conversation do; that must differ.
"""
IN_ORDER = 0.9
"""Fraction of the lines of a sorted list that are in order."""
DOCUMENT = 5000
"""Characters of a document, on average at most; chapters of a novel are longer."""
_RULE = re.compile(r"[*\-=_~%+·•§ ]*[*\-=_~%+·•§]|<\|?\w{1,30}\|?>")


@dataclass(frozen=True)
class Separator:
    """A separator of documents: the regular expression, about how many documents it makes, and what
    it is: "line", "blank lines" or "rule", which looks like `shown`. is_sorted: True for lines in
    alphabetical order, as far as capitals and accents allow.
    """

    pattern: str
    documents: int
    kind: Literal["line", "blank lines", "rule"]
    shown: str = ""
    is_sorted: bool = False


def likely_separator(ids: TextIds, vocab: Vocab, ends: Positions) -> Separator | None:
    """The separator that a text ids (n,) seems to have; None if it seems to be one document. `ends`
    are the positions of all newlines, sorted.
    """
    if vocab.unit == "byte" or len(ends) < LEAST - 1:
        return None
    stop = int(ends[EXAMINED]) if len(ends) > EXAMINED else len(ids)
    lines = vocab.decode(ids[:stop]).split("\n")
    if len(ends) <= EXAMINED and not lines[-1]:
        lines.pop()
    scale = len(ids) / max(1, stop)
    if _is_list(lines):
        small = [line.casefold() for line in lines]
        rising = sum(one <= other for one, other in pairwise(small))
        count = len(ends) + int(ends[-1] + 1 < len(ids))
        return Separator(r"\n", count, "line", is_sorted=rising > IN_ORDER * len(lines))
    rule, times = _commonest_rule(lines)
    if times * scale >= LEAST and stop <= DOCUMENT * times:
        pattern = rf"\n{re.escape(rule)}\n+"
        return Separator(pattern, round(times * scale) + 1, "rule", rule)
    gaps = _blank_runs(ends)
    if gaps >= LEAST and len(ids) <= DOCUMENT * gaps:
        return Separator(r"\n\n\n+", gaps + 1, "blank lines")
    return None


def _is_list(lines: list[str]) -> bool:
    """True if each line seems to be an item by itself: a name, a title, a short message."""
    lengths = np.array([*map(len, lines)])
    if len(lines) < LEAST or np.median(lengths) > ITEM or np.quantile(lengths, 0.95) > LONG_ITEM:
        return False
    odd = sum(not line.strip() or line[0].isspace() for line in lines)
    bound = sum(
        line.endswith((",", ";", ":", "-", "—")) or bool(re.match(r"[^:>]{1,30}[:>]\s", line))
        for line in lines
    )
    distinct = len(set(lines))
    return odd <= FEW * len(lines) and bound <= SOME * len(lines) and distinct >= MANY * len(lines)


def _commonest_rule(lines: list[str]) -> tuple[str, int]:
    """The line without letters, such as ***, that occurs most often, and how often."""
    rules = Counter(line for line in lines if len(line) <= 80 and _RULE.fullmatch(line))
    return rules.most_common(1)[0] if rules else ("", 0)


def _blank_runs(ends: Positions) -> int:
    """How many runs of two blank lines or more there are."""
    is_blank: npt.NDArray[np.bool_] = np.diff(ends) == 1
    is_wide = is_blank[1:] & is_blank[:-1]
    return int(np.count_nonzero(is_wide[1:] & ~is_wide[:-1])) + int(is_wide[:1].sum())
