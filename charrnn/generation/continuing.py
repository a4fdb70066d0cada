"""Networks that continue a text at any place, quickly, while the text changes.

Their states at places that they have read are kept, by the text before them. So nothing has to be
thrown away when the text changes, and what was undone or stands after an old change is not read
again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import regex

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.generation.drawing import controls_of
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.readers import writer_of
from charrnn.generation.stopping import Endings, Text, symbols_of
from charrnn.generation.writer import Progress, Writer
from charrnn.kernels.constraint import Edges
from charrnn.runtime.threads import Workers
from charrnn.text.decoding import tidy
from charrnn.text.words import word_symbols

AnyWriter: TypeAlias = Writer | Ensemble
AnyMark: TypeAlias = Any  # a Mark of a Writer, or the Marks of an Ensemble
EVERY = 16
"""Characters between two stored states: at most as many are read again."""
CONTEXT = 1024
"""A state is that of any place that has the same characters before it: this many, or as many as
attention reaches if that is more (`READ` at most).
"""
READ = 3072
"""Where no state is stored, the network reads this many characters before the place."""
MOST_BYTES = 1 << 28
"""Of stored states; those not used for the longest time go first."""
STEP = 4
"""Characters written at a time."""
LONGEST = 120
"""A continuation ends here, after a word, if its line does not end before."""
_LINE, _SURROGATE = regex.compile(r"\n*[^\n]+\n"), regex.compile(r"[\ud800-\udfff]")
_SINGLE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_WORD = regex.compile(rf"\s*(?:(?P<single>[{_SINGLE}]\p{{M}}*)|[^\s{_SINGLE}]+)")


@dataclass(frozen=True)
class Request:
    """What a continuation depends on: the text before it, the take, from 1, the settings, and
    whether only known words are written.
    """

    before: str
    take: int
    config: SamplingConfig
    only_known: bool = False


def never() -> bool:
    """For what is not to be cancelled."""
    return False


class Continuer:
    """Continues texts by one network, or by several as one. One call at a time, from any thread.

    known_words: for requests of `only_known`; may be set later.
    """

    def __init__(
        self,
        trained: Trained | Sequence[Trained],
        workers: Workers | None = None,
        known_words: Lexicon | None = None,
    ) -> None:
        self.networks, self.known_words = Mixture.of(trained), known_words
        reach = max(network.model.config.attention for network in self.networks)
        self._context = min(max(CONTEXT, reach), READ)
        self._workers = workers or Workers(1)
        self._writers: dict[SamplingConfig, tuple[AnyWriter, AnyMark]] = {}
        self._marks: OrderedDict[str, AnyMark] = OrderedDict()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"Continuer({self.networks!r}, {len(self._marks)} states)"

    def continued(
        self,
        request: Request,
        is_cancelled: Callable[[], bool] = never,
        progress: Progress | None = None,
    ) -> Iterator[str]:
        """Yields the continuation as it grows, each time from its beginning, up to the end of a
        word; at last up to the end of the line, or after at most 120 characters.

        Random numbers are those of (seed, take, place). The network reads at most the last 3,072
        characters before the place, in its nearest characters; `progress(read, total)` reports it.
        Ends early, without a last word, once `is_cancelled` is true.
        """
        (writer, begin), before = self._writer(request.config), self._tidied(request.before)
        if not self._read(writer, begin, before, is_cancelled, progress):
            return
        start = self._control(writer, request, before)
        place = len(request.before)
        writer.restart((request.config.seed, request.take, place), start)
        vocab, text, count, ended = self.networks.vocab, "", 0, -1
        decoder = Text(Endings(vocab, SamplingConfig(), None))
        while (end := _end(text)) is None and count < LONGEST and ended < 0:
            if is_cancelled():
                return
            symbols = symbols_of(vocab, writer.write(STEP))[0]
            count += STEP
            if (ended := int(writer.ended[0])) >= 0:
                symbols = symbols[: STEP + ended - count]
            text += decoder.feed(symbols)
            if ended < 0 and len(vocab.in_symbols(text)) == count:  # no character is half written
                whole = before + text
                self._store(self._key(whole, len(whole)), writer.mark())
            if words := _whole_words(text):
                yield words
        yield text if ended >= 0 else text[:end] if end is not None else _whole_words(text) or text

    def _writer(self, config: SamplingConfig) -> tuple[AnyWriter, AnyMark]:
        """The writer for these settings, apart from the temperature, and where it begins."""
        config = replace(config, temperature=1.0, length=LONGEST)
        if config not in self._writers:
            writer, _ = writer_of(self.networks, 1, "", config, self._workers)
            assert isinstance(writer, AnyWriter)
            self._writers = {config: (writer, writer.mark())}
            self._marks.clear()  # their writer may have remembered less
            self._bytes = 0
        return self._writers[config]

    def _control(self, writer: AnyWriter, request: Request, before: str) -> int:
        """Let the writer draw as asked for; returns the state in which known words begin."""
        vocab, edges, start = self.networks.vocab, None, 0
        if request.only_known and self.known_words is not None:
            known = self.known_words.automaton(vocab, before[-CONTEXT:])
            edges = Edges(known.first, known.symbols, known.targets, known.distance)
            start = known.start
        config = replace(request.config, length=LONGEST)
        banned = () if vocab.unknown is None else (vocab.unknown,)
        writer.control(controls_of(config, len(vocab), banned, word_symbols(vocab), edges))
        return start

    def _read(
        self,
        writer: AnyWriter,
        begin: AnyMark,
        text: str,
        is_cancelled: Callable[[], bool],
        progress: Progress | None,
    ) -> bool:
        """Bring the writer to the end of the text; False if it was cancelled on the way."""
        start = place = self._begin(writer, begin, text)
        knows_enough = start == 0 or self._key(text, start) in self._marks
        while place < len(text):
            if is_cancelled():
                return False
            stop = min(len(text), place + EVERY)
            ids = self.networks.vocab.encode(text[place:stop], "nearest")
            if len(ids):
                writer.read(ids)
            place = stop
            if knows_enough or place - start >= self._context:
                self._store(self._key(text, place), writer.mark())
            if progress is not None:
                progress(place - start, len(text) - start)
        return True

    def _begin(self, writer: AnyWriter, begin: AnyMark, text: str) -> int:
        """Bring the writer to the last place with a stored state, or to where reading begins;
        returns the place.
        """
        first = max(0, len(text) - READ)
        for place in range(len(text), first, -1):
            key = self._key(text, place)
            if key in self._marks:
                self._marks.move_to_end(key)
                writer.return_to(self._marks[key])
                return place
        writer.return_to(begin)
        if first == 0:
            return 0
        line = text.find("\n", first, first + READ // 4)
        return line + 1 if line >= 0 else first

    def _tidied(self, text: str) -> str:
        """The end of a text, at least what is read of it, as the network's text was read."""
        config, end = self.networks.corpus_config, text[-4 * READ :]
        if self.networks.vocab.unit == "byte":
            return end
        return "".join(tidy(iter([end]), config.newlines, config.normalize))

    def _key(self, text: str, place: int) -> str:
        """What the state at a place of a text is stored under."""
        return text[max(0, place - self._context) : place]

    def _store(self, key: str, mark: AnyMark) -> None:
        self._bytes += mark.nbytes - (self._marks[key].nbytes if key in self._marks else 0)
        self._marks[key] = mark
        self._marks.move_to_end(key)
        while self._bytes > MOST_BYTES:
            self._bytes -= self._marks.popitem(last=False)[1].nbytes


def first_word(text: str) -> str:
    """The first word, with the space before it and the punctuation after it. In scripts that
    separate no words, such as Chinese or Thai, it is one character.
    """
    match = _WORD.match(text)
    return match[0] if match else text


def _whole_words(text: str) -> str:
    """The text up to the end of its last word that is certain to be whole."""
    matches = list(_WORD.finditer(text))
    if not matches:
        return ""
    last = matches[-1]
    is_whole = last.end() < len(text) or last["single"]
    return text[: last.end() if is_whole else last.start()]


def _end(text: str) -> int | None:
    """Where the continuation ends: after its line, before a word that is too far, or before a byte
    that belongs to no character; None if it goes on.
    """
    if bad := _SURROGATE.search(text):
        text = text[: bad.start()]
    if match := _LINE.match(text):
        return int(match.end())
    if bad:
        return len(text)
    if len(text) >= LONGEST:
        return len(_whole_words(text)) or LONGEST
    return None
