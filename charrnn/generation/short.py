"""Many short texts, such as names: a network writes until enough of them pass."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace

from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig, ShortConfig
from charrnn.errors import ConfigError, SamplingError
from charrnn.generation.generate import endings_of, networks_of, reader_of, write_texts
from charrnn.generation.stopping import symbols_of
from charrnn.generation.writer import Progress
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus

LENGTH = 500
"""Characters after which a short text without an end is given up, if no length is set."""
MOST = 2048
"""Texts written side by side."""
WINDOW, FEWEST = 2000, 2
"""`ShortTexts` gives up when fewer than FEWEST of the last WINDOW texts have passed."""

Check = Callable[[str], str]


class ShortTexts:
    """Iterates over `count` short texts that pass, in the order of their takes: lines, or documents
    if the network was trained with a separator, or what `config.until` says.

    A short text is whole: it begins where the last line (or document) of the prime does, and ends
    without its newline or separator and the space around. It falls for the first of these reasons:
    "unended" (no end within `config.length`, by default 500), "empty", "short", "long" (`short`),
    "repeated" (`short.unique`), one of the names in `excluded`, or what `accept` returns.

    The iteration raises `SamplingError` when fewer than 2 of the last 2,000 texts have passed.
    What passes depends on the seed and settings alone, not on the number of threads.

    excluded: by name, folded texts (`folded`) that do not pass.
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
        excluded: Mapping[str, Container[str]] | None = None,
        accept: Check = lambda text: "",
        workers: Workers | None = None,
        progress: Progress | None = None,
        training: Sequence[Corpus] = (),
    ) -> None:
        if count < 1:
            raise ConfigError(f"`count` must be at least 1, not {count}")
        self._networks, self.count, self._prime = networks_of(trained), count, prime
        self.short, self._excluded = short or ShortConfig(), excluded or {}
        self.config = self._resolved(config or SamplingConfig())
        self._endings = endings_of(self._networks, self.config)
        self._accept, self._workers, self._progress = accept, workers, progress
        self._training = training
        self.drawn, self.fallen = 0, Counter[str]()

    def __repr__(self) -> str:
        return f"ShortTexts({self.count} texts, {self.drawn} drawn)"

    def _resolved(self, config: SamplingConfig) -> SamplingConfig:
        """The settings with an end and a length."""
        most, length = self.short.max_length, config.length
        if config.until is None and config.lines is None:
            separator = self._networks[0].corpus_config.document_separator
            config = replace(config, until="line" if separator is None else "document")
        if length is None:
            # a line needs its newline, a separator may be longer
            length = LENGTH if most is None else most + (1 if config.until == "line" else 64)
        return replace(config, length=length)

    def __iter__(self) -> Iterator[str]:
        config, endings, most = self.config, self._endings, self.short.max_length
        reader, ids = reader_of(
            self._networks, MOST, self._prime, config, self._workers, self._training
        )
        before = symbols_of(endings.vocab, ids[:, None])[0]
        begun, seen, take, passed = endings.begun(before), set[str](), config.take, 0
        recent: deque[bool] = deque(maxlen=WINDOW)

        def is_too_long(text: str) -> bool:
            return most is not None and len((begun + text).strip()) > most

        while passed < self.count:
            streams = self._batch(passed)
            writer = reader.spread(streams, take, not endings.at_separator)
            texts = [endings.text(before) for _ in range(streams)]
            written = write_texts(
                writer, endings.vocab, texts, config.length or 0, is_over=is_too_long
            )
            take += streams
            for text, whole in zip(texts, written, strict=True):
                found = endings.bare(begun + whole, text.ended)
                reason = self._reason(found, bool(text.ended), seen)
                self.drawn += 1
                recent.append(not reason)
                if not reason:
                    seen.add(folded(found))
                    passed += 1
                    yield found
                    if passed == self.count:
                        return
                else:
                    self.fallen[reason] += 1
                if len(recent) == WINDOW and sum(recent) < FEWEST:
                    raise SamplingError(self._complaint(passed))
            if self._progress is not None:
                self._progress(passed, self.count)

    def _batch(self, passed: int) -> int:
        """How many texts to write next: about as many as will do, at the rate so far."""
        rate = max(passed, 1) / max(self.drawn, 1)
        return int(min(MOST, 1.1 * (self.count - passed) / rate + 8))

    def _reason(self, text: str, has_ended: bool, seen: set[str]) -> str:
        """Why a text falls, or an empty string."""
        key, size = folded(text), len(text)
        if self.short.max_length is not None and size > self.short.max_length:
            return "long"
        if not has_ended:
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

    def _complaint(self, passed: int) -> str:
        reason, times = self.fallen.most_common(1)[0]
        return (
            f"next to no text passes: {passed:,} of {self.drawn:,}, and fewer than {FEWEST} of the "
            f"last {WINDOW:,}; most fall because they are {reason} ({times:,})"
        )


def folded(text: str) -> str:
    """What two short texts are compared by: small letters, and single spaces."""
    return " ".join(text.casefold().split())
