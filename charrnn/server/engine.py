"""Writes many texts at once: those that come while others are written join them."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.errors import CharrnnError, one_line
from charrnn.runtime.threads import Workers
from charrnn.server.batch import Batch
from charrnn.server.states import States
from charrnn.server.stream import Stream

STEPS = 8
"""Symbols that each text goes on by before others may join or leave."""
TURN = 16
"""Rounds of a text in its place, after which one that waits may have it, if there are no others."""
SCORED = 4
"""Texts that are scored between two such rounds, each by as many symbols as `Batch.score` takes."""
EVERY = 512
"""Symbols of a prompt between two states that are stored."""


class Engine:
    """A thread that reads and writes for all texts that it is given, up to `most` at once; others
    wait for their turn. Nobody waits for the end of a long text: the requests share the places, and
    a text that had to leave its place goes on later from where it was. Several networks write each
    text together, as a `Mixture`.
    """

    def __init__(
        self,
        network: Trained | Sequence[Trained],
        workers: Workers | None = None,
        most: int = 64,
    ) -> None:
        self.networks, self._most = Mixture.of(network), most
        self._batch, self._states = Batch(self.networks, workers or Workers(1)), States()
        self._waiting, self._active = deque[Stream](), list[Stream]()
        self._rounds = dict[Stream, int]()
        self._change, self._is_closed = threading.Condition(), False
        self._thread: threading.Thread | None = None

    @property
    def texts(self) -> int:
        """How many texts are written or wait."""
        return len(self._waiting) + len(self._active)

    def add(self, streams: Iterable[Stream]) -> None:
        """Write these. The thread begins with the first ones, and anew in a child after a fork."""
        with self._change:
            self._waiting.extend(streams)
            self._change.notify()
            if self._thread is None or not self._thread.is_alive():
                self._is_closed = False
                self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
                self._thread.start()

    def cancel(self, streams: Iterable[Stream]) -> None:
        """Do not go on with these; their places are free after a few steps."""
        with self._change:
            for stream in streams:
                stream.is_cancelled = True
            self._waiting = deque(each for each in self._waiting if not each.is_cancelled)

    def close(self) -> None:
        """End the thread."""
        with self._change:
            self._is_closed = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._admit():
            try:
                self._round()
            except CharrnnError as error:
                self._fail(one_line(error))
            except Exception:  # a mistake in here must not end the server
                logging.getLogger(__name__).exception("the engine failed")
                self._fail("the server failed to write this text")

    def _fail(self, reason: str) -> None:
        for stream in self._active:
            stream.end(reason)
            stream.report(stream)

    def _admit(self) -> bool:
        """Wait until there is something to do; False if it is closed."""
        with self._change:
            self._active = [s for s in self._active if not (s.is_over or s.is_cancelled)]
            self._rounds = {stream: self._rounds[stream] + 1 for stream in self._active}
            while True:
                while self._waiting and (len(self._active) < self._most or self._make_room()):
                    stream = self._next()
                    if stream is None:
                        break
                    self._active.append(self._begun(stream))
                    self._rounds[stream] = 0
                if self._active or self._is_closed:
                    return not self._is_closed
                self._change.wait()

    def _counts(self) -> Counter[int]:
        return Counter(id(stream.order.owner) for stream in self._active)

    def _first(self, counts: Counter[int]) -> Stream:
        """The first that waits, of the request that has the fewest at work."""
        return min(self._waiting, key=lambda each: counts[id(each.order.owner)])

    def _make_room(self) -> bool:
        """Let a text leave its place for one whose request has fewer: by two, or by one if it has
        had its turn.
        """
        counts = self._counts()
        least = counts[id(self._first(counts).order.owner)]

        def claim(stream: Stream) -> tuple[int, int]:
            return counts[id(stream.order.owner)], self._rounds[stream]

        stream = max(self._active, key=claim)
        most, rounds = claim(stream)
        if most - least < (1 if rounds >= TURN else 2):
            return False
        self._active.remove(stream)
        stream.detach()
        self._waiting.append(stream)
        return True

    def _next(self) -> Stream | None:
        """The text to begin with, if its request has less than half of all places."""
        counts = self._counts()
        stream = self._first(counts)
        if counts[id(stream.order.owner)] >= max(1, self._most // 2):
            return None
        self._waiting.remove(stream)
        return stream

    def _begun(self, stream: Stream) -> Stream:
        """The stream, at the last place of its prompt that has a stored state."""
        if stream.place < stream.unscored:
            known = self._states.longest(_kind(stream), stream.sequence[: stream.unscored])
            if known is not None and known[0] > stream.place:
                place, stream.states = known
                stream.go_to(place)
        return stream

    def _round(self) -> None:
        reading = [stream for stream in self._active if stream.is_reading]
        if reading:
            self._read(reading)
        scored = [stream for stream in self._active if stream.is_scoring]
        for stream in scored[:SCORED]:
            before = stream.place
            self._batch.score(stream)
            if not stream.is_scoring or stream.place // EVERY > before // EVERY:
                self._store(stream)
            if not stream.is_scoring:
                stream.feed()
        if len(scored) > SCORED:  # the others come first the next time
            self._active.sort(key=scored[:SCORED].__contains__)
        writers = [
            stream
            for stream in self._active
            if not (stream.is_reading or stream.is_scoring or stream.is_over)
        ]
        if writers:
            self._batch.write(writers, STEPS)
            for stream in writers:
                stream.feed()

    def _read(self, streams: list[Stream]) -> None:
        """Let these read on. Of texts with the same prompt the first one reads it for all."""
        readers = list({stream.key: stream for stream in reversed(streams)}.values())
        before = [stream.place for stream in readers]
        self._batch.read(readers)
        for stream, place in zip(readers, before, strict=True):
            if not stream.is_reading or stream.place // EVERY > place // EVERY:
                self._store(stream)
        read = {stream.key for stream in readers if not stream.is_reading}
        for stream in streams:
            if stream.is_reading and stream.key in read:
                self._begun(stream)

    def _store(self, stream: Stream) -> None:
        """Remember the state of a prompt."""
        self._states.store(_kind(stream), stream.sequence[: stream.place], stream.states)


def _kind(stream: Stream) -> tuple[int, ...]:
    """What the states of a stream depend on beside its symbols: where it began, and with which
    weights it is read. Texts are scored with those that are not rounded.
    """
    return (*stream.starts, -1) if stream.only_scores else stream.starts
