"""Steps of the network with any number of texts at once."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import overflow
from charrnn.generation.quantization import precision_of, rounded
from charrnn.generation.work import Work
from charrnn.generation.writer import controls_of, memory_of
from charrnn.network.model import Panels, State
from charrnn.network.parameters import Floats
from charrnn.runtime.threads import Workers
from charrnn.server.stream import Stream

if TYPE_CHECKING:
    from charrnn.network.network import Network

BLOCK, LEAST = 256, 16
"""Symbols of prompts that are read at a time: of all together at most, of each at least. The texts
that are written meanwhile wait for 2 to 5 milliseconds (LSTM 2x160).
"""
SCORED = 64
"""Symbols that are scored at a time."""
SHARE = 1 << 26
"""Bytes of weights to multiply by in a step, those of each text counted, for each thread: two take
11 texts of an LSTM 2x512. With 64 texts of one of 2x160 (0.4 ms) two took longer than one while
other programs, such as the clients, used the processors.
"""


class Batch:
    """Lets texts read and write together. Each gets the bits that it would get alone."""

    def __init__(self, network: Trained, workers: Workers) -> None:
        self._model, self._workers = network.model, workers
        self._precision = precision_of(self._model)
        self._panels = Panels(rounded(self._model, self._precision), backward=False)
        self._panels.refresh(workers)
        self._works: dict[int, Work] = {}
        self._network: Network | None = None
        config = SamplingConfig(length=0)
        self._controls = controls_of(config, len(network.vocab))  # the kernel draws nothing
        self._config, self._symbols = config, len(network.vocab)

    def read(self, streams: Sequence[Stream]) -> None:
        """Let each text read on in its prompt, by the same number of symbols."""
        most = max(LEAST, BLOCK // len(streams))
        steps = min(most, *(stream.next_reset() - stream.place for stream in streams))
        ids = [stream.sequence[stream.place : stream.place + steps + 1] for stream in streams]
        state = self._gathered(streams)
        self._run(state, np.stack(ids, axis=1), has_logits=False)
        for stream in streams:
            stream.go_to(stream.place + steps)
        self._scatter(state, streams)

    def write(self, streams: Sequence[Stream], steps: int) -> None:
        """Let each text go on by this number of symbols, or up to its end."""
        state = self._gathered(streams)
        for _ in range(steps):
            ids = np.array([[stream.last for stream in streams]] * 2, np.int32)
            logits = self._run(state, ids, has_logits=True)
            for n, stream in enumerate(streams):
                if stream.advance(logits[n, : self._symbols]):
                    state.h[:, n], state.c[:, n] = 0, 0
            if all(stream.is_full for stream in streams):
                break
        self._scatter(state, streams)

    def score(self, stream: Stream) -> None:
        """Score the next symbols of a text of which nothing is written: without its draws, the
        network reads 64 steps at a time, and tells the losses of `charrnn.score`.
        """
        if self._network is None:
            from charrnn.network.network import Network  # its kernels may have to be compiled

            self._network = Network(self._model, SCORED, 1, self._workers)
        first, steps = stream.place, min(SCORED, len(stream.sequence) - 1 - stream.place)
        state = self._gathered([stream])
        x, y = (stream.sequence[n : n + steps, None] for n in (first, first + 1))
        losses = self._network.evaluate(x, y, state, stream.resets(steps)[:, None])[:, 0]
        if not np.isfinite(losses).all():
            raise overflow()
        stream.h, stream.c = state.h, state.c
        stream.score(losses, self._network.probabilities(y, 0, steps, 0, 1)[:, 0])

    def _gathered(self, streams: Sequence[Stream]) -> State:
        for stream in streams:
            stream.reset()
        state = State(self._model, len(streams))
        np.concatenate([stream.h for stream in streams], axis=1, out=state.h)
        np.concatenate([stream.c for stream in streams], axis=1, out=state.c)
        return state

    def _scatter(self, state: State, streams: Sequence[Stream]) -> None:
        for n, stream in enumerate(streams):
            stream.h, stream.c = state.h[:, n : n + 1], state.c[:, n : n + 1]

    def _run(self, state: State, ids: np.ndarray, has_logits: bool) -> Floats:
        """Read ids (K + 1, N), except for the last ones; returns the logits after them, which the
        next call overwrites, if asked for.
        """
        steps, N = len(ids) - 1, ids.shape[1]
        work = self._work(N)
        work.load(state)
        none, memory = np.zeros((0, N)), memory_of(self._config, N)
        given = 1 if has_logits else steps + 1
        self._workers.run(operator.call, [(own, ids, given, none, memory) for own in work.own])
        work.store(state, steps)
        if work.overflows[0]:
            work.overflows[0] = False
            raise overflow()
        return work.logits

    def _work(self, streams: int) -> Work:
        if streams not in self._works:
            weights = self._panels.forward.nbytes
            threads = max(1, min(self._workers.threads, streams, streams * weights // SHARE))
            if streams == 1:
                threads = 1  # a divided text has threads that wait for one another
            self._works[streams] = Work(
                self._panels, self._controls, streams, threads, self._precision
            )
        return self._works[streams]
