"""Texts that copy no long passage of the training text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
from numpy.typing import NDArray

from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError, SamplingError
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.writer import Ids, Progress, Uniforms, Writer
from charrnn.kernels.sampling import ENDED
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.vocab import Vocab, counted

if TYPE_CHECKING:
    from charrnn.text.copies import Copies

HOLD = 64
"""Symbols that are held back, since the text may go back as far."""
CHUNK = 64
"""Most symbols that are written before they are searched for copies."""
PIECE = 16
"""Symbols of another way that are written before they are searched."""
WORD = 24
"""A longer word is taken back from here only: in scripts without spaces, most."""
WAYS, TRIES = 3, 60
"""A word is begun anew in this many ways, then the word before it; after this many tries without
getting further, single symbols are replaced.
"""
MOST_TRIES, EACH = 1000, 10
"""A text is given up after this many tries, and this many more for each symbol."""
_DEAD = -1
_LETTER = regex.compile(r"[\p{L}\p{M}\p{N}'’]")
_SINGLE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")


@dataclass
class _Stream:
    """One text: ids (capacity,), the prime included; the symbols that must not be drawn at a place;
    the last place where a copy ended, how often it was tried to get past it, and all tries.
    """

    random: np.random.Generator
    ids: NDArray[np.int32]
    banned: dict[int, set[int]] = field(default_factory=dict)
    furthest: int = -1
    tries: int = 0
    all_tries: int = 0

    def copied(self) -> _Stream:
        return replace(self, random=self.random.spawn(1)[0], ids=self.ids.copy())


@dataclass
class _Block:
    """What all streams drew from a place on: how they were there, and the random numbers (K, N)."""

    place: int
    before: Any
    uniforms: Uniforms


def original(
    writer: Writer | Ensemble,
    vocab: Vocab,
    config: SamplingConfig,
    training: Sequence[Corpus],
    workers: Workers | None = None,
) -> Writer | Ensemble | Original:
    """The writer, or if `config.max_copy` is set one that copies nothing from the training texts;
    `ConfigError` if there is none, or with `config.particles`.
    """
    if not config.max_copy:
        return writer
    if not training:
        raise ConfigError("`max_copy` needs the text that the network was trained on: `training`")
    if config.particles > 1:
        raise ConfigError("`max_copy` and `particles` exclude each other; leave one of them out")
    copies = _copies(tuple(training), vocab, config.max_copy, workers)
    return Original(writer, copies, vocab, config.resolved().length or 0)


@lru_cache(maxsize=1)
def _copies(
    training: tuple[Corpus, ...], vocab: Vocab, size: int, workers: Workers | None
) -> Copies:
    """Made once for one text after another."""
    from charrnn.text.copies import Copies  # which loads kernels

    return Copies(training, vocab, size, workers)


class Original:
    """Writes like a `Writer`, but no passage of `copies.size` symbols that ends in what is written,
    the prime before it included, is a copy.

    Where a copy ends, the text goes back to the beginning of the word, and draws another symbol
    there, and what follows by new random numbers. After some attempts it goes back one more word,
    at most HOLD symbols in all. So a text is another one only from where it would have begun to
    copy. It depends on its seed and take alone, not on other texts or the number of threads.

    `write` raises `SamplingError` where every way copies. length: symbols of a text, at most.
    """

    def __init__(
        self, writer: Writer | Ensemble, copies: Copies, vocab: Vocab, length: int
    ) -> None:
        self._writer: Any = writer
        self._copies, self._vocab, self._length = copies, vocab, length
        names = ["" if i == vocab.unknown else s for i, s in enumerate(vocab.symbols)]
        is_byte = vocab.unit == "byte"
        self._is_letter = np.array(
            [bool(_LETTER.match(s)) or (is_byte and s > "\x7f") for s in names]
        )
        self._is_single = np.array([not is_byte and bool(_SINGLE.match(s)) for s in names])
        self._allowed = ~writer.controls.banned
        self._begin(np.zeros(0, np.int32))

    def _begin(self, prime: Ids) -> None:
        """Begin a text with each of the writer's streams after a prime."""
        self._prime = prime.astype(np.int32)
        self._start = self._end = self._out = len(prime)
        self._blocks: list[_Block] = []
        self._scout: Any = None
        self._streams = [_Stream(each, self._prime.copy()) for each in self._writer.random]

    def __repr__(self) -> str:
        return f"Original({self._writer!r}, {self._copies!r})"

    @property
    def chunk(self) -> int:
        """As of a `Writer`."""
        return min(CHUNK, int(self._writer.chunk))

    @property
    def ended(self) -> NDArray[np.int64]:
        """As of a `Writer`, of what `write` has returned."""
        ended = self._writer.ended
        return np.where(ended <= self._out - self._start, ended, -1)

    def read(self, ids: Ids, progress: Progress | None = None) -> None:
        """As of a `Writer`."""
        self._writer.read(ids, progress)
        self._begin(np.concatenate([self._prime, ids]))

    def spread(self, streams: int, take: int, documents: bool = True) -> Original:
        """As of a `Writer`."""
        writer = self._writer.spread(streams, take, documents)
        other = Original(writer, self._copies, self._vocab, self._length)
        other._begin(self._prime)
        return other

    def keep(self, streams: Sequence[int]) -> None:
        """As of a `Writer`; a stream that is kept twice goes on in different ways."""
        first = {stream: place for place, stream in reversed([*enumerate(streams)])}
        self._streams = [
            self._streams[stream] if first[stream] == place else self._streams[stream].copied()
            for place, stream in enumerate(streams)
        ]
        self._writer.keep(streams)
        for block in self._blocks:
            block.before.keep(streams)
            block.uniforms = block.uniforms[:, streams]

    def write(self, length: int) -> Ids:
        """As of a `Writer`."""
        place = self._out + length
        last = max(self._start + self._length, place)
        while self._end < min(place + HOLD, last):
            self._advance(min(max(length, PIECE), self.chunk, last - self._end))
        ids = np.stack([stream.ids[self._out : place] for stream in self._streams], 1)
        self._out = place
        while len(self._blocks) > 1 and self._blocks[1].place <= self._end - HOLD:
            del self._blocks[0]
        return ids

    def _advance(self, count: int) -> None:
        """Write more symbols, searched for copies."""
        uniforms = np.stack([stream.random.random(count) for stream in self._streams], 1)
        before = self._writer.branch(range(len(self._streams)))
        ids = self._writer.drawn(uniforms)
        self._blocks.append(_Block(self._end, before, uniforms))
        begin, self._end = self._end, self._end + count
        # symbols after the end that an automaton makes are none
        ends = np.where(self._writer.ended < 0, self._end, self._start + self._writer.ended)
        for n, stream in enumerate(self._streams):
            if len(stream.ids) < self._end:
                stream.ids = np.resize(stream.ids, 2 * self._end)
            stream.ids[begin : self._end] = ids[:, n]
            copy = self._copies.first(stream.ids, begin, min(self._end, int(ends[n])))
            while copy >= 0:
                place = self._taken_back(stream, copy)
                stream.random = stream.random.spawn(1)[0]
                copy = self._rewritten(n, place)

    def _taken_back(self, stream: _Stream, copy: int) -> int:
        """Where to write on after a copy that ends there; what stands at that place is banned."""
        if copy > stream.furthest:
            stream.furthest, stream.tries = copy, 0
        stream.tries, stream.all_tries = stream.tries + 1, stream.all_tries + 1
        least = max(self._start, stream.furthest - HOLD)
        places = self._words(stream.ids, copy, least) if stream.tries <= TRIES else ()
        for place in places:
            if self._ban(stream, place, WAYS):
                return place
        if stream.all_tries <= MOST_TRIES + EACH * (copy - self._start):
            for place in range(copy, least - 1, -1):
                if self._ban(stream, place, len(self._allowed)):
                    return place
        text = self._vocab.decode(stream.ids[max(0, copy - 40) : copy])
        size = counted(self._copies.size, "character")
        raise SamplingError(
            f"no way on without a copy of {size} after {text!r}; use a larger `max_copy`, or "
            "another prime or seed"
        )

    def _words(self, ids: NDArray[np.int32], place: int, least: int) -> Iterator[int]:
        """Where the word at or before a place begins, and those before it."""
        while place >= least:
            first = max(least, place - WORD)
            while place > first and not self._begins(ids, place):
                place -= 1
            yield place
            place -= 1

    def _begins(self, ids: NDArray[np.int32], place: int) -> bool:
        """True if a word begins at a place."""
        symbol, before = ids[place], ids[place - 1]
        is_first = self._is_letter[symbol] and not self._is_letter[before]
        return bool(is_first or self._is_single[symbol])

    def _ban(self, stream: _Stream, place: int, ways: int) -> bool:
        """Ban the symbol at a place, and nothing after it; False if this many ways to go on from
        there have been tried.
        """
        symbol = int(stream.ids[place])
        banned = stream.banned.get(place, set()) | {symbol}
        if symbol == _DEAD or len(banned) > ways or len(banned) >= self._allowed.sum():
            return False
        stream.banned = {p: ids for p, ids in stream.banned.items() if p < place} | {place: banned}
        return True

    def _rewritten(self, n: int, place: int) -> int:
        """Write a stream anew from a place on, to where all are; returns where the next copy ends,
        or -1.
        """
        stream, at = self._streams[n], 0
        self._scout = scout = self._scout or self._writer.branch([n])
        first = max(i for i, block in enumerate(self._blocks) if block.place <= place)
        scout.put(0, self._blocks[first].before, n)
        for block in self._blocks[first:]:
            at, uniforms = block.place, block.uniforms[:, n]
            if at > place:
                block.before.put(n, scout, 0)
            new = max(place - at, 0)
            uniforms[new:] = stream.random.random(len(uniforms) - new)
            stop = at + len(uniforms)
            while at < stop:
                banned = stream.banned.get(at)
                later = (p for p in stream.banned if p > at)
                end = at + 1 if banned else min(at + PIECE, stop, *later)
                scout.restrict(self._without(banned))
                ids = scout.drawn(uniforms[at - block.place : end - block.place, None].copy())
                stream.ids[at:end] = ids[:, 0]
                if banned and scout.memory.marks[0, ENDED] >= 0:
                    stream.ids[at] = _DEAD
                    return at
                ended = self._start + int(scout.ended[0])
                written = end if ended < self._start else min(end, ended)
                copy: int = self._copies.first(stream.ids, max(at, place), written)
                if copy >= 0:
                    return copy
                at = end
        self._writer.put(n, scout, 0)
        return -1

    def _without(self, banned: set[int] | None) -> NDArray[np.bool_]:
        allowed = self._allowed.copy()
        allowed[list(banned or ())] = False
        return allowed
