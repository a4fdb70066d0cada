"""One text that is being written, among others."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import SamplingConfig
from charrnn.generation.automaton import Automaton
from charrnn.generation.drawing import controls_of, ends_of, is_complete, memory_of
from charrnn.generation.outlook import Outlook
from charrnn.generation.stopping import Endings, symbols_of
from charrnn.generation.writer import generator
from charrnn.kernels.constraint import Edges
from charrnn.kernels.repetition import note_all
from charrnn.kernels.sampling import STATE, draw
from charrnn.network.parameters import Floats
from charrnn.server.places import LEAST, Place, log_softmax
from charrnn.server.states import Own
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab
from charrnn.text.words import word_symbols


@dataclass(frozen=True, eq=False)
class Order:
    """A text to write: after which ids, (K,), by which settings, and what to tell of it.

    config: with a `length` and one `take`; of `generate`'s settings not `particles`, `max_copy` and
        `precision`. automaton: what may be written (`generation.allowed`). bias: added to the
        logits, float32 (V,). logprobs: how many of the most probable symbols to tell at each place;
        None for nothing, not even the probability of the symbol there. tells_chances: draw a single
        symbol, and keep how probable each was. scores: from which of the ids on these are told of
        the prompt, too; None: not at all. start: number of each network's start state to begin
        from; None: those that the seed and the take choose. owner: who asked for it.
    """

    ids: NDArray[np.int32]
    config: SamplingConfig
    automaton: Automaton | None = None
    bias: Floats | None = None
    logprobs: int | None = None
    tells_chances: bool = False
    scores: int | None = None
    start: int | None = None
    owner: object = None


class Stream:
    """An order while it is carried out.

    sequence: int32 (K + 1,): what is read first: the start's symbol, then the order's ids.
    sequences: the same as each network reads it; each may begin with another symbol.
    states: those of the networks, none once it is over. place: how many symbols of the sequence
        they have read. last: what is read next.
    starts: the start state of each network. key: the same for all that read the same from them.
    unscored: how many of the prompt's symbols come before the first one that is scored.
    chances: how probable each symbol was when one was drawn, float64 (V,), all 0 if there was none
        to draw; of an order that asks for them.
    is_full: nothing is left to draw. is_over: all of the text is in `pieces`.
    report: called with the stream when its text has grown, and at its end.
    """

    def __init__(
        self, networks: Mixture, order: Order, report: Callable[[Stream], None] = lambda _: None
    ) -> None:
        self.order, self.report, self.networks = order, report, networks
        config, states, starts, self.sequences = order.config, [], [], []
        for n, network in enumerate(networks):
            opening = network.opening
            chosen = opening.chosen(config.seed, 1, config.take)[0]
            start = int(chosen if order.start is None else order.start % len(opening))
            one = np.s_[start : start + 1]
            states.append(opening.state.of_streams(start, start + 1))
            ids = networks.read_by(n, order.ids)
            self.sequences.append(np.concatenate([opening.ids[one], ids], dtype=np.int32))
            starts.append(start)
        self.states: Own = tuple(states)
        self.starts, self.sequence = tuple(starts), self.sequences[0]
        if not networks.is_whole[0]:
            self.sequence = np.concatenate([self.sequence[:1], order.ids])
        self.place, self.last = 0, int(self.sequence[0])
        self.written, self.places = list[int](), list[Place]()
        self.chances = np.zeros(len(networks.vocab))
        self.pieces, self.error = list[str](), ""
        self.is_cancelled = self.is_over = False
        self.vocab, self._fed = networks.vocab, 0
        self.unscored = len(order.ids) if order.scores is None else order.scores
        self.length = config.length or 0
        if order.tells_chances:
            self.length = min(self.length, 1)
        self.only_scores = order.scores is not None and self.length == 0
        self.key = self.starts, self.unscored, self.sequence.tobytes()
        self._documents, self._resets = None, tuple[int, ...]()
        pattern = networks.corpus_config.document_separator
        if pattern is not None:
            documents, self._resets = _documents(self.vocab, pattern, order.ids.tobytes())
            self._documents = documents.chosen([0])
        automaton, edges, start = order.automaton, None, 0
        if automaton is not None:
            start = automaton.start
            edges = Edges(automaton.first, automaton.symbols, automaton.targets, automaton.distance)
        self._end = -1 if automaton is None else automaton.end
        self._memory = memory_of(config, 1, start)
        note_all(self._memory.recent, order.ids)
        banned = () if self.vocab.unknown is None else (self.vocab.unknown,)
        inner = () if config.inner_temperature is None else word_symbols(self.vocab)
        self._controls = controls_of(config, len(self.vocab), banned, inner, edges)
        self._random = generator(config.seed, config.take - 1)
        self._scratch = np.zeros(len(self.vocab), np.float32)
        endings = Endings(self.vocab, config, pattern, automaton)
        self._text = endings.text(symbols_of(self.vocab, order.ids[:, None])[0])
        self.is_full = self._is_full()
        self._skip()

    def detach(self) -> None:
        """Have the states in memory of their own, not in that of all texts of a step."""
        self.states = tuple(state.copy() for state in self.states)

    def end(self, error: str = "") -> None:
        """Nothing follows, because of an error if there is one."""
        self.states, self.error = (), error
        self.is_over = True  # last: another thread waits for it

    def next_of(self, n: int) -> int:
        """What network n reads next."""
        if self.place < len(self.sequence):
            return int(self.sequences[n][self.place])
        return int(self.networks.read_by(n, np.array([self.last]))[0])

    def go_to(self, place: int) -> None:
        """The state is that at this place of the sequence from now on."""
        self.place, self.last = place, int(self.sequence[place])
        self.is_full = self._is_full()

    def _is_full(self) -> bool:
        has_read = self.place >= len(self.sequence) - 1
        return has_read and (len(self.written) >= self.length or self._ended >= 0)

    def _skip(self) -> None:
        """Begin where the last document before the scored symbols does: the state is zero."""
        count = bisect_right(self._resets, self.unscored)
        if count:
            self.go_to(self._resets[count - 1])

    @property
    def is_reading(self) -> bool:
        """True while there is something to read that is not scored; a text of which nothing is
        written is read as it is scored.
        """
        return self.place < self.unscored and not self.only_scores

    @property
    def finish_reason(self) -> str:
        """As OpenAI calls it: "length" if the text could go on where it ends, else "stop"."""
        return "stop" if self._text.ended or self._is_complete else "length"

    @property
    def _is_complete(self) -> bool:
        """True if nothing that is allowed can follow what is written."""
        state = int(self._memory.marks[0, STATE])
        return self.order.automaton is not None and is_complete(
            self._controls.edges, state, self._end
        )

    @property
    def drawn(self) -> list[Place]:
        """The places of the text's symbols, if they are told; none after its end."""
        count = len(self.vocab.in_symbols("".join(self.pieces)))
        return self.places[self.scored : self.scored + count]

    @property
    def scored(self) -> int:
        """How many of the prompt's symbols are among `places`."""
        return len(self.order.ids) - self.unscored

    @property
    def _ended(self) -> int:
        return int(ends_of(self._memory, self._end)[0]) if self.order.automaton is not None else -1

    @property
    def is_scoring(self) -> bool:
        """True while symbols of the prompt are left to read or to score, and nothing is to be
        written.
        """
        return self.only_scores and self.place < len(self.sequence) - 1

    def score(self, losses: Floats, p: Floats) -> None:
        """Go on in the prompt by T symbols of these losses, (T,), of which those from `unscored` on
        are told. p: the distributions, (T, V), if `logprobs` of the order are above 0.
        """
        end, told = self.place + len(losses), max(self.place, self.unscored)
        symbols, of_told = self.sequence[told + 1 : end + 1], np.s_[told - self.place :]
        losses, p = losses[of_told], p[of_told]
        count = self.order.logprobs or 0
        logs = np.log(np.maximum(p, LEAST), dtype=np.float64) if count else p
        self.places += (
            Place.of(symbol, -loss, each, count)
            for symbol, loss, each in zip(symbols.tolist(), losses.tolist(), logs, strict=True)
        )
        self.go_to(end)

    def resets(self, steps: int) -> NDArray[np.bool_]:
        """Which of the next symbols of the prompt are read by a state of zero, bool (steps,)."""
        places = np.arange(self.place, self.place + steps)
        return np.isin(places, self._resets)

    def next_reset(self) -> int:
        """Up to which place of the sequence it can be read without a state of zero on the way."""
        following = bisect_right(self._resets, self.place)
        return min([self.unscored, *self._resets[following : following + 1]])

    def reset(self) -> None:
        """Set the states to zero if the next symbol of the prompt is read by such ones."""
        if self._resets_here():
            self.detach()
            for state in self.states:
                state.reset()

    def _resets_here(self) -> bool:
        place = bisect_right(self._resets, self.place)
        return place > 0 and self._resets[place - 1] == self.place

    def advance(self, outlook: Outlook) -> bool:
        """Go on by a symbol after the network has read `last`: the next of the prompt, or one that
        is drawn from what is expected, which is overwritten. True if the state is zero before it is
        read.
        """
        if self.is_full:
            return False
        self.place += 1
        at_1 = outlook.logits.copy() if self.order.logprobs is not None else None
        if self.place < len(self.sequence):
            chosen = int(self.sequence[self.place])
            is_reset = self._resets_here()
        else:
            previous, controls, memory = self.last, self._controls, self._memory
            logits = outlook.blended(controls, previous, memory, 0, self._scratch)
            if self.order.bias is not None:
                logits += self.order.bias
            uniform = self._random.random()
            chosen = draw(logits, controls, previous, uniform, self._scratch, memory, 0)
            self.written.append(chosen)
            if self.order.tells_chances:
                weights = logits.astype(np.float64)
                self.chances = (
                    weights / weights.sum() if self._ended < 0 else np.zeros_like(weights)
                )
            is_reset = self._documents is not None and bool(
                self._documents.follow(np.array([chosen]))
            )
        if at_1 is not None:
            logs = log_softmax(at_1)
            place = Place.of(chosen, float(logs[chosen]), logs, self.order.logprobs or 0)
            self.places.append(place)
        self.last = chosen
        self.is_full = self._is_full()
        return is_reset

    def feed(self) -> None:
        """Make characters of the symbols drawn since the last time; `is_over` at the end."""
        new = np.array(self.written[self._fed :], np.int32)
        ended, is_full = self._ended, self.is_full
        piece = self._text.read(
            symbols_of(self.vocab, new[:, None])[0],
            ended - self._fed if ended >= 0 else -1,
            is_full,
        )
        self._fed = len(self.written)
        if piece:
            self.pieces.append(piece)
        if is_full or self._text.ended:
            self.end()
        if piece or self.is_over:
            self.report(self)


@lru_cache(maxsize=4)
def _documents(vocab: Vocab, pattern: str, ids: bytes) -> tuple[DocumentTrackers, tuple[int, ...]]:
    """What follows the documents of a text after a prompt, and where the state is zero in it: once
    for all texts of the prompt.
    """
    documents = DocumentTrackers(vocab, pattern, 1)
    places = documents.read(np.frombuffer(ids, np.int32))
    return documents, tuple(place + 1 for place in places)
