"""Many short texts, such as names: a network writes until enough of them pass."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from string import whitespace

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig, ShortConfig
from charrnn.errors import SamplingError
from charrnn.generation.allowed import allowed
from charrnn.generation.arguments import check_arguments
from charrnn.generation.expression import longest_match
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.readers import endings_of, reader_of
from charrnn.generation.stopping import symbols_of
from charrnn.generation.takes import write_takes
from charrnn.generation.writer import Progress
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.documents import TAIL
from charrnn.text.endings import NEWLINE

LENGTH = 500
"""Characters, beyond `min_length`, after which a short text is given up, if no length is set."""
ONE_LINE = ".*"
"""The pattern of lines that must contain words: else a line without them would be gone on after."""
MOST = 2048
"""Texts written side by side."""
SEPARATOR = 64
"""Characters that a separator of documents may have, unless its pattern sets a higher limit."""
WINDOW, FEWEST = 2000, 2
"""`ShortTexts` gives up when fewer than FEWEST of the last WINDOW texts have passed."""

LACKING = "lacking"
REASONS = {
    "unended": "without an end",
    LACKING: "without what they must contain",
    "short": "too short",
    "long": "too long",
    "repeated": "written before",
}
"""Why texts fall, for people."""


class ShortTexts:
    """Iterates over `count` short texts that pass, in the order of their takes: lines, or documents
    if the network was trained with a separator, or what `config.until` says.

    A short text is whole: it begins where the last line (or document) of the prime does, and ends
    without its newline or separator and the space around. It falls for the first of these reasons:
    "lacking" (it ended without `config.must`), "long" (`short`), "unended" (no end within
    `config.length`; by default that is enough for `max_length`, or `min_length` + 500), "empty",
    "short", "repeated" (`short.unique`), the name of an `exclude`, what `accept` returns. The
    iteration raises `SamplingError` when fewer than 2 of the last 2,000 texts have passed. What
    passes depends on the seed and settings alone, not on the number of threads.

    accept: called with each text that passes all else; returns why it falls, or an empty string.
    progress: `progress(passed, count)`.
    training: as of `generate`.
    drawn: the number of texts so far, up to the last one that passed. fallen: how many of them fell
    for each reason.
    """

    def __init__(
        self,
        trained: Trained | Sequence[Trained],
        count: int,
        prime: str = "",
        config: SamplingConfig | None = None,
        short: ShortConfig | None = None,
        *,
        accept: Callable[[str], str] = lambda text: "",
        workers: Workers | None = None,
        known_words: Lexicon | None = None,
        progress: Progress | None = None,
        training: Sequence[Corpus] = (),
    ) -> None:
        check_arguments(prime, config, known_words, training, count)
        self._networks, self.count, self._prime = Mixture.of(trained), count, prime
        self.short, self._excluded = short or ShortConfig(), dict[str, set[str]]()
        self.config = self._resolved(config or SamplingConfig())
        automaton = allowed(self._networks.vocab, self.config, known_words, prime)
        self._endings = endings_of(self._networks, self.config, automaton, is_short=True)
        self._accept, self._workers, self._progress = accept, workers, progress
        self._training = training
        self.drawn, self.fallen = 0, Counter[str]()

    def __repr__(self) -> str:
        return f"ShortTexts({self.count} texts, {self.drawn} drawn)"

    def _resolved(self, config: SamplingConfig) -> SamplingConfig:
        """The settings with an end and a length."""
        most, length = self.short.max_length, config.length
        separator = self._networks.corpus_config.document_separator
        if config.until is None and config.lines is None:
            config = replace(config, until="line" if separator is None else "document")
        is_line = separator in NEWLINE
        is_line |= config.until == "line" and (separator is None or _breaks_line(separator))
        if config.must and config.match is None and is_line and config.until is not None:
            config = replace(config, match=ONE_LINE)
        if length is None:
            # a line needs its newline, a separator may be longer
            longest = self.short.min_length + LENGTH
            length = longest if most is None else most + (1 if is_line else _most(separator))
            vocab, is_steady = self._networks.vocab, config.temperature_to is None
            if vocab.unit == "byte" and is_steady and max(vocab.codes) > 127:
                length *= 4  # bytes that a character may have
        return replace(config, length=length)

    @property
    def _separator(self) -> int:
        """How many characters of a separator may follow a text, at most, apart from white space."""
        separator = self._networks.corpus_config.document_separator or ""
        is_visible = bool(set(separator) - set("\\nrt+*" + whitespace))
        return _most(separator) if is_visible and self._endings.document is not None else 0

    def exclude(self, name: str, text: Corpus | str) -> None:
        """Let no text pass that is a whole line or document of this one (or what `config.until`
        says), in small or capital letters. `name` is the reason for which it falls.
        """
        texts = self._excluded.setdefault(name, set())
        most = self.short.max_length or len(self._prime) + (self.config.length or 0)
        keys = map(folded, self._endings.units(text))
        texts |= {key for key in keys if len(key) <= 3 * most}  # one character folds to three

    def __iter__(self) -> Iterator[str]:
        seen, recent = set[str](), deque[bool](maxlen=WINDOW)
        passed, passed_lately, self.drawn, self.fallen = 0, 0, 0, Counter[str]()
        for text, ended in self._takes():
            reason = self._reason(text, ended, seen)
            self.drawn += 1
            passed_lately += (not reason) - (recent[0] if len(recent) == WINDOW else False)
            recent.append(not reason)
            if reason:
                self.fallen[reason] += 1
            else:
                passed += 1
                seen.add(folded(text))
                if self._progress is not None:
                    self._progress(passed, self.count)
                yield text
            if passed == self.count:
                return
            if len(recent) == WINDOW and passed_lately < FEWEST:
                raise SamplingError(
                    f"next to no text passes: {self.summary}; ask for fewer, or loosen what they "
                    "must be"
                )

    def _takes(self) -> Iterator[tuple[str, str]]:
        """The whole short text of one take after another, and what ended it, without an end."""
        config, endings, most = self.config, self._endings, self.short.max_length
        reader, ids = reader_of(
            self._networks,
            MOST,
            self._prime,
            config,
            self._workers,
            endings.automaton,
            self._training,
        )
        separator = self._separator  # a text that is not yet over may contain a part of it
        begun, take = endings.begun(symbols_of(endings.vocab, ids[:, None])[0]), config.take

        def is_over(text: str) -> bool:
            is_long = most is not None and len((begun + text).strip()) > most + separator
            return is_long or self._went_on(begun + text)

        while True:
            # about as many as will do, at the rate so far
            passed = self.drawn - self.fallen.total()
            rate = max(passed, 1) / max(self.drawn, 1)
            streams = int(min(MOST, 1.1 * (self.count - passed) / rate + 8))
            for text, written in write_takes(reader, endings, ids, streams, take, is_over=is_over):
                whole = begun + written
                ended = LACKING if self._went_on(whole) else text.ended
                yield endings.bare(whole, text.tail), ended
            take += streams

    def _went_on(self, text: str) -> bool:
        """True if a text goes on after an end where it lacked words that it must contain."""
        config = self.config
        if not config.must or config.match is not None or config.until is None or config.after:
            return False
        return any(islice(self._endings.units(text), 1, None))

    def _reason(self, text: str, ended: str, seen: set[str]) -> str:
        """Why a text falls, or an empty string."""
        key, size = folded(text), len(text)
        if ended == LACKING:
            return LACKING
        if self.short.max_length is not None and size > self.short.max_length:
            return "long"
        if not ended:
            return "unended"
        if not text:
            return "empty"
        if size < self.short.min_length:
            return "short"
        if self.short.unique and key in seen:
            return "repeated"
        for name, texts in self._excluded.items():
            if key in texts:
                return name
        return self._accept(text)

    @property
    def summary(self) -> str:
        """How many texts have passed, and why the others fell, for people."""
        reasons = [
            f"{times:,} {REASONS.get(name, name)}" for name, times in self.fallen.most_common()
        ]
        others = f": {', '.join(reasons)}" if reasons else ""
        return f"{self.drawn - self.fallen.total():,} of {self.drawn:,} texts passed{others}"


def folded(text: str) -> str:
    """What two short texts are compared by: small letters, and single spaces."""
    return " ".join(text.casefold().split())


def _breaks_line(separator: str) -> bool:
    """True if what matches begins with a newline, so that a line ends with or before it."""
    begin = next((each for each in NEWLINE if separator.startswith(each)), None)
    if begin is None or "|" in separator:
        return False
    return re.match(r"[*?]|\{0*[,}]", separator[len(begin) :]) is None


def _most(separator: str | None) -> int:
    """The most characters of a separator of documents."""
    width = longest_match(separator or "")
    return max(SEPARATOR, width) if width is not None and width <= TAIL else SEPARATOR
