"""Several networks that write one text together: each next character is drawn from the weighted
mean of their distributions.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.errors import ConfigError
from charrnn.generation.drawing import ends_when_full
from charrnn.generation.writer import CHUNK, Ids, Mark, Progress, Uniforms, Writer, chunk_of
from charrnn.kernels.repetition import note_all
from charrnn.kernels.sampling import Controls, Memory
from charrnn.runtime.interrupts import delayed_interrupt

if TYPE_CHECKING:
    from charrnn.generation.together import Together


@dataclass(frozen=True)
class Marks:
    """A place in what an `Ensemble` read and wrote, to which it can return."""

    marks: tuple[Mark, ...]
    last: Ids
    memory: Memory

    @property
    def nbytes(self) -> int:
        """As `Mark.nbytes`."""
        return sum(mark.nbytes for mark in self.marks)


class Ensemble:
    """Writes like a `Writer`, with the writers of several models, in the ids of a `Mixture`.

    The models may have any cells and sizes; the writers have the same settings. The distributions
    are averaged at temperature 1; the controls apply to the mean, which is drawn from. (What the
    networks say and what they copy is averaged apart, since a low temperature sharpens each.)

    mixture: the networks, in the order of the writers; without it, all have the same vocabulary and
        weight. controls, memory: for the mixture's vocabulary; by default the first writer's. end:
        as for `Writer`.
    """

    def __init__(
        self,
        writers: Sequence[Writer],
        mixture: Mixture | None = None,
        controls: Controls | None = None,
        memory: Memory | None = None,
        end: int = -1,
    ) -> None:
        sizes = sorted({writer.model.config.vocab_size for writer in writers})
        if not sizes or (mixture is None and len(sizes) > 1):
            raise ConfigError(
                f"an ensemble needs at least one model, all with the same vocabulary, not "
                f"with {sizes} symbols"
            )
        self._writers, self._mixture, self._end = writers, mixture, end
        self.controls = controls or writers[0].controls
        self.memory = memory or writers[0].memory
        self._last: Ids | None = None  # in the union's symbols, once something is read
        self._together: Together | None = None

    def __repr__(self) -> str:
        return f"Ensemble({len(self._writers)} writers)"

    @property
    def streams(self) -> int:
        """The number of texts."""
        return self._writers[0].streams

    @property
    def chunk(self) -> int:
        """As `Writer.chunk`."""
        shortest = min(chunk_of(writer.whole_work) for writer in self._writers)
        return max(CHUNK, shortest // len(self._writers))

    @property
    def last(self) -> Ids:
        """What each stream reads next, (streams,) in the mixture's symbols."""
        return self._writers[0].last if self._last is None else self._last

    @property
    def _has_documents(self) -> bool:
        return any(writer.has_documents for writer in self._writers)

    @property
    def random(self) -> list[np.random.Generator]:
        """As of a `Writer`: the source of each stream's random numbers."""
        return self._writers[0].random

    @property
    def ended(self) -> NDArray[np.int64]:
        """As `Writer.ended`."""
        return ends_when_full(self.memory, self.controls.edges, self._end)

    @property
    def mass(self) -> NDArray[np.float64]:
        """As `Writer.mass`."""
        return self.memory.mass

    def read(self, ids: Ids, progress: Progress | None = None) -> None:
        """Let every stream of every model read ids (K,), K >= 1: all except the last, which `write`
        reads first.
        """
        for n, writer in enumerate(self._writers):
            writer.read(self._read_by(n, ids), progress, ids)
        if self.memory is not self._writers[0].memory:
            note_all(self.memory.recent, ids.astype(np.int32))
        self._last = np.full(self.streams, ids[-1], np.int32)

    def keep(self, streams: Sequence[int]) -> None:
        """Continue with these streams only, in this order; each writes what it would have."""
        for writer in self._writers:
            writer.keep(streams)
        self._together = None
        self._follow(streams)

    def resample(self, streams: Sequence[int]) -> None:
        """As `Writer.resample`."""
        for writer in self._writers:
            writer.resample(streams)
        self._follow(streams)

    def _follow(self, streams: Sequence[int]) -> None:
        """Remember what these streams do, in this order."""
        self.memory = self.memory.of(streams)
        if self._last is not None:
            self._last = self._last[list(streams)]

    def spread(self, streams: int, take: int, documents: bool = True) -> Ensemble:
        """As `Writer.spread`."""
        writers = [each.spread(streams, take, documents) for each in self._writers]
        return self._with(writers, [0] * streams)  # nothing was written yet

    def branch(self, streams: Sequence[int]) -> Ensemble:
        """As `Writer.branch`."""
        writers = [each.branch(streams) for each in self._writers]
        other = self._with(writers, streams)
        other.controls = self.controls._replace(banned=self.controls.banned.copy())
        return other

    def _with(self, writers: Sequence[Writer], streams: Sequence[int]) -> Ensemble:
        other = copy.copy(self)
        other._writers, other._together = writers, None
        other._follow(streams)
        return other

    def put(self, stream: int, other: Ensemble, its: int) -> None:
        """As `Writer.put`."""
        for ours, theirs in zip(self._writers, other._writers, strict=True):
            ours.put(stream, theirs, its)
        self.memory.put(stream, other.memory, its)
        self._last = self.last.copy()
        self._last[stream] = other.last[its]

    def control(self, controls: Controls) -> None:
        """As `Writer.control`; the symbols are the mixture's."""
        self.controls = controls

    def mark(self) -> Marks:
        """As `Writer.mark`."""
        marks = tuple(writer.mark() for writer in self._writers)
        return Marks(marks, self.last.copy(), self.memory.of(range(self.streams)))

    def return_to(self, marks: Marks) -> None:
        """As `Writer.return_to`."""
        for writer, mark in zip(self._writers, marks.marks, strict=True):
            writer.return_to(mark)
        self._last, self.memory = marks.last.copy(), marks.memory.of(range(self.streams))

    def restart(self, entropy: Sequence[int], start: int = 0) -> None:
        """As `Writer.restart`."""
        for writer in self._writers:
            writer.restart(entropy)
        self.memory.begin(start, self._writers[0].length)

    def restrict(self, allowed: NDArray[np.bool_]) -> None:
        """As `Writer.restrict`."""
        self.controls.banned[:] = ~allowed

    def write(self, length: int) -> Ids:
        """The next `length` ids of every stream, (length, streams) int32."""
        return self.drawn(self._writers[0].uniforms(length))

    def drawn(self, uniforms: Uniforms) -> Ids:
        """As `Writer.drawn`."""
        ids = np.zeros((len(uniforms) + 1, self.streams), np.int32)
        ids[0], steps, done = self.last, self.chunk, 0
        if self._has_documents:  # as in `Writer.drawn`
            steps = max(1, min(steps, 4 * CHUNK) // self.streams)
        while done < len(uniforms):
            with delayed_interrupt():
                done += self._write(ids[done : done + steps + 1], uniforms[done : done + steps])
                for n, writer in enumerate(self._writers):
                    writer.last = self._read_by(n, ids[done]).astype(np.int32)
                self._last = ids[done].copy()
        return ids[1:]

    def _write(self, ids: Ids, uniforms: Uniforms) -> int:
        """As `Writer._write`."""
        if not self._has_documents:
            self._run(ids, uniforms)
            return len(uniforms)
        may_return = len(uniforms) > 1
        states = [writer.state.copy() for writer in self._writers] if may_return else []
        remembered = self.memory.of(range(self.streams))
        self._run(ids, uniforms)
        zero, done = list[list[int]](), 0
        while done < len(uniforms) and not any(zero):
            done += 1
            zero = [writer.ended_by(ids[done]) for writer in self._writers]
        if done < len(uniforms):  # later ids were written without the reset
            for writer, state in zip(self._writers, states, strict=True):
                writer.state.copy_from(state)
            for stream in range(self.streams):
                self.memory.put(stream, remembered, stream)
            self._run(ids[: done + 1], uniforms[:done])  # draws the same symbols again
        for writer, streams in zip(self._writers, zero, strict=True):
            writer.state.reset(streams)
        return done

    def _run(self, ids: Ids, uniforms: Uniforms) -> None:
        """Write ids[1:], (S, N), after ids[0]."""
        if self._together is None:
            from charrnn.generation.together import Together  # its kernels may have to be compiled

            works = [writer.whole_work for writer in self._writers]
            self._together = Together(works, self._mixture, self._writers[0].workers)
        states, last = zip(*((writer.state, writer.last) for writer in self._writers), strict=True)
        self._together.run(states, last, self.controls, self.memory, ids, uniforms)

    def _read_by(self, n: int, ids: Ids) -> Ids:
        """The ids as network n reads them."""
        return ids if self._mixture is None else self._mixture.read_by(n, ids)
