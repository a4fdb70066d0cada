"""Generate ids from ids: a network that writes."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.start_states import StartStates
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError, VocabError, overflow
from charrnn.generation.drawing import controls_of, ends_when_full, memory_of
from charrnn.generation.outlook import Outlook
from charrnn.generation.partition import Weights
from charrnn.generation.quantization import precision_of, rounded
from charrnn.generation.work import Turns, Work
from charrnn.kernels.constraint import Edges
from charrnn.kernels.repetition import note_all
from charrnn.kernels.sampling import Controls, Memory
from charrnn.network.arithmetic import FLOAT32
from charrnn.network.model import Model, Panels, State, check_panels
from charrnn.network.parameters import Floats
from charrnn.runtime.interrupts import delayed_interrupt
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import checked_ids

CHUNK = 16
"""Minimum number of characters written between two returns to Python."""
CHUNK_BYTES, MOST = 1 << 28, 512
"""Limits between two returns to Python: bytes of weights read (a few milliseconds), and characters
written.
"""

Progress = Callable[[int, int], None]
Ids = NDArray[Any]
Uniforms = NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """A place in what a `Writer` read and wrote, to which it can return."""

    state: State
    last: Ids
    memory: Memory
    documents: DocumentTrackers | None

    @property
    def nbytes(self) -> int:
        """About how many bytes it takes."""
        memory = self.memory
        arrays = memory.marks, memory.mass, *memory.recent
        return self.state.nbytes + sum(array.nbytes for array in arrays) + 4096


class Writer:
    """A network that writes `streams` texts in parallel, step by step; it holds their state.

    The streams are takes of a seed from `config.take` on. Take n draws its random numbers from
    (seed, n - 1), so it is the same text for any number of streams and threads. A single stream is
    divided among the threads by units if that is faster; several streams are distributed over them.
    A `config.precision` other than float32 rounds the weights (see `quantization`): bf16 makes one
    stream faster, int8 several as well.

    config: all settings except those that concern characters: `until`, `lines`, `after`, `stop` and
        `unknown`. `length` is where `temperature_to` is reached, and limits texts that follow an
        automaton; others go on as long as `write` is called.
    banned: ids of symbols that are never written; at least one symbol must remain.
    inner: ids of the symbols after which `config.inner_temperature` holds.
    edges: an automaton, in ids, that each stream's text follows from its state `start` on. Only
        symbols are drawn after which it can still accept within `length`. If there is none, the
        stream has ended (`ended`), and what `write` returns for it means nothing.
    end: the automaton's state after a symbol that ends a text and is no part of it.
    documents: trackers; with them, a stream's state is zero before it reads the last character of a
        separator, as in training.
    panels: the weights of the model, packed for float32, if available; used in float32 only.
    """

    def __init__(
        self,
        model: Model,
        config: SamplingConfig,
        *,
        streams: int = 1,
        banned: Sequence[int] = (),
        inner: Sequence[int] = (),
        edges: Edges | None = None,
        start: int = 0,
        end: int = -1,
        documents: DocumentTrackers | None = None,
        workers: Workers | None = None,
        panels: Panels | None = None,
    ) -> None:
        if streams < 1:
            raise ConfigError(f"`streams` must be at least 1, not {streams}")
        self.controls = controls_of(config, model.config.vocab_size, banned, inner, edges)
        self.length = config.resolved().length or 0
        """Where `temperature_to` is reached, and the most of a text that follows an automaton."""
        self.memory = memory_of(config, streams, start)
        if panels is not None:
            check_panels(panels, model, arithmetic=FLOAT32)
        self.precision = precision_of(model, config.precision)
        self.model, self.streams = rounded(model, self.precision), streams
        self._end = end
        self.workers, self._documents = workers or Workers(1), documents
        self._seed, self._take, self._starts = config.seed, config.take, 1
        if panels is None or self.model is not model:
            panels = Panels(self.model, backward=False)
            panels.refresh(self.workers)
        self.panels, self.state = panels, State(self.model, streams)
        self.last: Ids = np.zeros(0, np.int32)
        self.random = _generators(config.seed, streams, config.take)
        self._made = partial(Work, Weights(panels, self.precision))
        self._turns = Turns()
        self._make_work()

    def _make_work(self) -> None:
        self._own_work: Work | None = None
        self._alone: Work | None = None

    @property
    def _work(self) -> Work:
        """Made when it is first needed: a copy that only remembers a place never needs it."""
        if self._own_work is None:
            self._own_work = self._made(self.controls, self.streams, self.workers.threads)
        return self._own_work

    @property
    def has_documents(self) -> bool:
        """True if a state becomes zero where a document ends."""
        return self._documents is not None

    @property
    def whole_work(self) -> Work:
        """One in which a single stream is not divided."""
        if self.streams > 1 or self.workers.threads == 1:
            return self._work
        self._alone = self._alone or self._made(self.controls, 1, 1)
        return self._alone

    def __repr__(self) -> str:
        return f"Writer({self.model.summary}, {self.streams} streams)"

    @property
    def ended(self) -> NDArray[np.int64]:
        """How many symbols the text of each stream has if it was ended by the automaton, which left
        none to draw, or none to follow the last of `length`; -1 before that: int64 (streams,).
        """
        return ends_when_full(self.memory, self.controls.edges, self._end)

    @property
    def mass(self) -> NDArray[np.float64]:
        """The sum, over what each stream has drawn, of log(the probability of the symbols that its
        automaton allowed), after the temperature and before other controls: float64 (streams,).
        """
        return self.memory.mass

    @property
    def chunk(self) -> int:
        """Characters to write at a time: enough to hide the cost of returning to Python, without a
        visible delay.
        """
        return chunk_of(self._work)

    def begin(self, starts: StartStates) -> None:
        """Start every stream from one of these, which the seed chooses (`StartStates.chosen`)."""
        starts.check(self.model.config)
        chosen = starts.chosen(self._seed, self.streams, self._take)
        self._starts = len(starts)
        self.state.put(slice(None), starts.state, chosen)
        self.last = starts.ids[chosen]

    def read(self, ids: Ids, progress: Progress | None = None, symbols: Ids | None = None) -> None:
        """Let every stream read ids (K,), K >= 1: all except the last, which `write` reads
        first. symbols (K,): the ids in the vocabulary of the documents, if that is another one.

        `progress(read, total)` is called at intervals. `VocabError` for ids out of range, and for
        none.
        """
        ids = self._checked(ids)
        if not len(ids):
            raise VocabError("there must be at least one id to read")
        resets = set[int]()
        if self._documents is not None:
            resets.update(self._documents.read(ids if symbols is None else symbols))
        if len(self.last):  # they precede the ids
            self._run(np.stack([self.last, self.last]), 1)
        last = len(ids) - 1
        for a, b in pairwise(sorted({*range(0, last, 256), *resets, last})):
            if a in resets:
                self.state.reset()
            block = np.repeat(ids[a : b + 1, None], self.streams, 1)
            self._run(block, len(block))
            if progress is not None:
                progress(b, last)
        if last in resets:
            self.state.reset()
        note_all(self.memory.recent, ids)
        self.last = np.full(self.streams, ids[-1], np.int32)

    def step(self, ids: Ids) -> Floats:
        """Let stream n read ids[n], int32 (streams,); returns the logits after it, (streams, V).

        The next call overwrites the logits.
        """
        return self.outlook(ids).logits

    def outlook(self, ids: Ids) -> Outlook:
        """As `step`; returns what the network says, and what it copies, apart."""
        ids = self._checked(ids)
        if len(ids) != self.streams:
            raise VocabError(f"{self.streams} streams must read as many ids, not {len(ids)}")
        return self._run(np.stack([ids, ids]), 1).outlook

    def write(self, length: int) -> Ids:
        """The next `length` ids of every stream, (length, streams) int32, after `begin` or `read`.
        Ctrl-C takes effect after a `chunk`, from which the writer can go on.
        """
        return self.drawn(self.uniforms(length))

    def drawn(self, uniforms: Uniforms) -> Ids:
        """As `write`, by these random numbers, (length, streams)."""
        length = len(uniforms)
        ids = np.zeros((length + 1, self.streams), np.int32)
        ids[0], steps, done = self.last, self.chunk, 0
        if self._documents is not None:
            # A call costs more than a step of one stream; but with more streams, a document begins
            # in one of them sooner.
            steps = max(1, min(self.chunk, 4 * CHUNK) // self.streams)
        while done < length:
            with delayed_interrupt():
                done += self._write(ids[done : done + steps + 1], uniforms[done : done + steps])
                self.last = ids[done].copy()
        return ids[1:]

    def uniforms(self, length: int) -> Uniforms:
        """The next random numbers of every stream, (length, streams), in [0, 1)."""
        return np.array([rng.random(length) for rng in self.random]).T.copy()

    def follow(self, ids: Ids) -> None:
        """Stream n continues with ids[n], int32 (streams,); if a separator ends with it, set the
        state to zero.
        """
        ids = self._checked(ids)
        if len(ids) != self.streams:
            raise VocabError(f"{self.streams} streams must continue with as many, not {len(ids)}")
        self.last = ids
        self.state.reset(self.ended_by(ids))

    def ended_by(self, ids: Ids) -> list[int]:
        """The streams in which a document ends with ids[n], in the vocabulary of the documents,
        which follow what each has read.
        """
        return [] if self._documents is None else self._documents.follow(ids)

    def control(self, controls: Controls) -> None:
        """Draw by other controls from now on, which have to be of the same symbols."""
        self.controls = controls
        for work in (self._own_work, self._alone):
            if work is not None:
                work.control(controls)

    def mark(self) -> Mark:
        """A place to return to: here."""
        state, everyone, documents = State(self.model, self.streams), range(self.streams), None
        state.copy_from(self.state)
        if self._documents is not None:
            documents = self._documents.chosen(everyone)
        return Mark(state, self.last.copy(), self.memory.of(everyone), documents)

    def return_to(self, mark: Mark) -> None:
        """Continue from a mark of this writer, or of one that differs in the temperature or the
        automaton only.
        """
        everyone = range(self.streams)
        self.state.copy_from(mark.state)
        self.last, self.memory = mark.last.copy(), mark.memory.of(everyone)
        if mark.documents is not None:
            self._documents = mark.documents.chosen(everyone)

    def restart(self, entropy: Sequence[int], start: int = 0) -> None:
        """Begin a text here, in the automaton's state `start`: nothing is counted of what was
        written before. Stream n draws its random numbers from these numbers and n.
        """
        self.memory.begin(start, self.length)
        self.random = [generator(*entropy, n) for n in range(self.streams)]

    def _checked(self, ids: Ids) -> Ids:
        """The ids as the kernel reads them; it does not check bounds."""
        return checked_ids(ids, self.model.config.vocab_size).astype(np.int32)

    def keep(self, streams: Sequence[int]) -> None:
        """Continue with these streams only, in this order; each writes what it would have."""
        self.random = [self.random[stream] for stream in streams]
        self._continue_from(streams)
        self._make_work()

    def resample(self, streams: Sequence[int]) -> None:
        """Continue each stream from what the one named in its place has written; it draws its own
        random numbers on.
        """
        self._continue_from(streams)

    def spread(self, streams: int, take: int, documents: bool = True) -> Self:
        """Another writer with the same weights that writes these takes, from `take` on, after what
        this one has read. Each continues one of this one's streams that started where it would have
        started. Without `documents`, no state is reset.
        """
        other = copy.copy(self)
        other._take, other.random = take, _generators(self._seed, streams, take)
        if not documents:
            other._documents = None
        period = self.streams // self._starts * self._starts or self.streams
        other._continue_from([(take - self._take + n) % period for n in range(streams)])
        other._make_work()
        return other

    def branch(self, streams: Sequence[int]) -> Self:
        """A copy that continues with these streams, while this writer does as well. What it may
        draw can be restricted by itself.
        """
        other = copy.copy(self)
        other.controls = self.controls._replace(banned=self.controls.banned.copy())
        other.keep(streams)
        return other

    def put(self, stream: int, other: Self, its: int) -> None:
        """Let a stream continue as another writer's, by its own random numbers."""
        self.state.put(stream, other.state, its)
        self.last = self.last.copy()
        self.last[stream] = other.last[its]
        self.memory.put(stream, other.memory, its)
        if self._documents is not None and other._documents is not None:
            self._documents.put(stream, other._documents, its)

    def restrict(self, allowed: NDArray[np.bool_]) -> None:
        """Draw only these symbols from now on, bool (V,). Copies of a `branch` are not affected."""
        self.controls.banned[:] = ~allowed

    def _continue_from(self, streams: Sequence[int]) -> None:
        before, self.state = self.state, State(self.model, len(streams))
        self.state.put(slice(None), before, streams)
        self.streams, self.last = len(streams), self.last[streams]
        self.memory = self.memory.of(streams)
        if self._documents is not None:
            self._documents = self._documents.chosen(streams)

    def _write(self, ids: Ids, uniforms: Uniforms) -> int:
        """Write ids[1:] (K, N) after ids[0], up to the first one that a zero state reads; returns
        the number written.
        """
        if self._documents is None:
            self._run(ids, 1, uniforms)
            return len(uniforms)
        may_return, zero, done = len(uniforms) > 1, list[int](), 0
        before = self.state.copy() if may_return else self.state
        remembered = self.memory.of(range(self.streams))
        self._run(ids, 1, uniforms)
        while done < len(uniforms) and not zero:
            done += 1
            zero = self._documents.follow(ids[done])
        if done < len(uniforms):  # later ids were written without the reset
            self.state.copy_from(before)
            self.memory = remembered
            self._run(ids[: done + 1], 1, uniforms[:done])  # draws the same symbols again
        self.state.reset(zero)
        return done

    def _run(self, ids: Ids, given: int, uniforms: Uniforms | None = None) -> Work:
        """Read ids (K + 1, N) except for the last ones, and draw with uniforms (K, N), if any, all
        but the first `given`.
        """
        work, steps = self._work, len(ids) - 1
        if uniforms is None:
            uniforms = np.zeros((0, self.streams))
        # parts wait for one another, so all of them need a thread
        if work.parts > 1 and (
            self.workers.ready(work.parts) < work.parts or self._turns.is_alone()
        ):
            work = self.whole_work
        work.load(self.state)
        memories = work.memories(self.memory)
        jobs = [
            (write, ids, given, uniforms, memory, *self.state.read_last)
            for write, memory in zip(work.own, memories, strict=True)
        ]
        self.workers.run(operator.call, jobs, work.release)
        work.store(self.state, steps)
        if work.overflows[0]:
            raise overflow()
        if work.parts > 1:
            self._turns.judge(int(work.meeting[1]), steps)
        return work


def chunk_of(work: Work) -> int:
    """As `Writer.chunk`."""
    return max(CHUNK, min(MOST, CHUNK_BYTES // (work.weights * work.streams)))


def generator(*entropy: int) -> np.random.Generator:
    """Random numbers that only these numbers determine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def _generators(seed: int, streams: int, take: int) -> list[np.random.Generator]:
    return [generator(seed, n) for n in range(take - 1, take - 1 + streams)]
