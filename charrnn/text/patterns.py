"""Regular expressions from users and from checkpoints, which are not trusted: searched in bounded
time.

Python's `re` backtracks and cannot be stopped: a pattern such as (a+)+b may run forever. The regex
package searches for the same patterns and stops after a time. It takes four to eight times as long
for the short texts of sampling, so there `re` searches for patterns with at most one choice, but
not for those whose meaning is another in regex, with its newer Unicode: \\w and \\b count combining
accents as parts of words, and \\d and \\s differ in a few characters.
"""

import re
import time
from typing import Any

from charrnn.errors import ConfigError

SECONDS = 10.0
"""Time that a pattern may take, in addition to that of each search and of each character in it,
which is ten times what is usual.
"""
_PER_SEARCH, _PER_CHARACTER = 1e-4, 1e-6
_SHORT = 4096  # characters; `re` takes a tenth of a second at most for a pattern with one choice
_SET = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_EXTENSION = re.compile(r"\(\?(?:<?[=!]|[a-z]*[:)]|P<\w+>|>)")
_CLASS = re.compile(r"\\[bBdDsSwW]")
# In regex, though not in re, {e<=1} allows errors.
_ERRORS = re.compile(r"(\\.)|\{(?=[0-9<= ]*[eisd])", re.DOTALL)


class Pattern:
    """A separator of documents, or the value of another parameter. All searches raise `ConfigError`
    that names it once they have taken too long together.
    """

    def __init__(self, pattern: str, parameter: str = "document_separator") -> None:
        import regex  # takes 16 ms, and few texts need it

        self._source, self._parameter = pattern, parameter
        same = _ERRORS.sub(lambda match: match[1] or r"\{", pattern)
        self._compiled = regex.compile(same, cache_pattern=False)
        is_simple = _choices(pattern) <= 1 and not _CLASS.search(pattern)
        self._simple = re.compile(pattern) if is_simple else None
        self._left = SECONDS

    def finditer(self, text: str, pos: int = 0) -> list[Any]:
        """All matches from a position, in order."""
        if self._simple and len(text) - pos <= _SHORT:
            return [*self._simple.finditer(text, pos)]
        matches: list[Any] = self._timed(
            len(text) - pos, lambda timeout: [*self._compiled.finditer(text, pos, timeout=timeout)]
        )
        return matches

    def match(self, text: str, pos: int, endpos: int) -> Any:
        """The match that begins at a position in text[:endpos], or None."""
        if self._simple and endpos - pos <= _SHORT:
            return self._simple.match(text, pos, endpos)
        return self._timed(
            endpos - pos, lambda timeout: self._compiled.match(text, pos, endpos, timeout=timeout)
        )

    def _timed(self, characters: int, search: Any) -> Any:
        start = time.thread_time()
        allowed = self._left + _PER_SEARCH + characters * _PER_CHARACTER
        try:
            result = search(allowed)
        except (TimeoutError, MemoryError):
            allowed = 0.0
        self._left = min(SECONDS, allowed - (time.thread_time() - start))
        if self._left > 0:
            return result
        raise ConfigError(
            f"`{self._parameter}` {self._source!r:.80} takes too long to search for; write it "
            "without repeats inside repeats, such as a+b instead of (a+)+b"
        )


def _choices(pattern: str) -> int:
    """How many repeats and alternatives a pattern contains; a repeat of a group counts twice."""
    rest = _EXTENSION.sub("(", _SET.sub("x", pattern))
    return len(re.findall(r"[*+?{|]", rest)) + len(re.findall(r"\)[*+?{]", rest))
