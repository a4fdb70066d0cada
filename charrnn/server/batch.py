"""Steps of one network, or of several, with any number of texts at once."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import overflow
from charrnn.generation.drawing import controls_of, memory_of
from charrnn.generation.outlook import Outlook, mean_of
from charrnn.generation.partition import Weights
from charrnn.generation.quantization import precision_of, rounded
from charrnn.generation.work import Work
from charrnn.network.model import Panels, State
from charrnn.network.parameters import Floats
from charrnn.runtime.threads import Workers
from charrnn.server.places import LEAST
from charrnn.server.stream import Stream

if TYPE_CHECKING:
    from charrnn.network.network import Network

BLOCK, SHORTEST = 256, 16
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

    def __init__(self, networks: Mixture, workers: Workers) -> None:
        self._mixture = networks
        self.networks = [_Steps(network, workers) for network in networks]

    def read(self, streams: Sequence[Stream]) -> None:
        """Let each text read on in its prompt, by the same number of symbols."""
        most = max(SHORTEST, BLOCK // len(streams))
        steps = min(most, *(stream.next_reset() - stream.place for stream in streams))
        states = self._gathered(streams)
        for n, (network, state) in enumerate(zip(self.networks, states, strict=True)):
            ids = [each.sequences[n][each.place : each.place + steps + 1] for each in streams]
            network.run(state, np.stack(ids, axis=1), has_logits=False)
        for stream in streams:
            stream.go_to(stream.place + steps)
        _scatter(states, streams)

    def write(self, streams: Sequence[Stream], steps: int) -> None:
        """Let each text go on by this number of symbols, or up to its end."""
        states = self._gathered(streams)
        for _ in range(steps):
            outlooks = [
                network.run(
                    state,
                    np.array([[stream.next_of(n) for stream in streams]] * 2, np.int32),
                    has_logits=True,
                )
                for n, (network, state) in enumerate(zip(self.networks, states, strict=True))
            ]
            mean = outlooks[0] if len(outlooks) == 1 else mean_of(outlooks, self._mixture)
            for i, stream in enumerate(streams):
                if stream.advance(mean.of(i)):
                    for state in states:
                        state.reset(i)
            if all(stream.is_full for stream in streams):
                break
        _scatter(states, streams)

    def score(self, stream: Stream) -> None:
        """Score the next symbols of a text of which nothing is written: without its draws, the
        networks read 64 steps at a time, and tell the losses of `charrnn.score`.
        """
        first, steps = stream.place, min(SCORED, len(stream.sequence) - 1 - stream.place)
        states, resets = self._gathered([stream]), stream.resets(steps)[:, None]
        told = [
            network.scores(stream.sequences[n][first : first + steps + 1], state, resets)
            for n, (network, state) in enumerate(zip(self.networks, states, strict=True))
        ]
        losses, p = told[0]
        if len(told) > 1:
            total = np.zeros((steps, len(self._mixture.vocab)))
            for n, (_, own) in enumerate(told):
                total[:, self._mixture.ids_of[n]] += self._mixture.weights[n] * own
            y = stream.sequence[first + 1 : first + steps + 1]
            losses = -np.log(np.maximum(total[np.arange(steps), y], LEAST))
            p = total.astype(np.float32)
        _scatter(states, [stream])
        stream.score(losses, p)

    def _gathered(self, streams: Sequence[Stream]) -> list[State]:
        """For each network the states of these texts."""
        for stream in streams:
            stream.reset()
        states = []
        for n, network in enumerate(self.networks):
            state = State(network.model, len(streams))
            for i, stream in enumerate(streams):
                state.put(slice(i, i + 1), stream.states[n])
            states.append(state)
        return states


def _scatter(states: Sequence[State], streams: Sequence[Stream]) -> None:
    for i, stream in enumerate(streams):
        stream.states = tuple(state.of_streams(i, i + 1) for state in states)


class _Steps:
    """The steps of one network."""

    def __init__(self, network: Trained, workers: Workers) -> None:
        self.model, self._workers = network.model, workers
        precision = precision_of(self.model)
        panels = Panels(rounded(self.model, precision), backward=False)
        panels.refresh(workers)
        self._weights = Weights(panels, precision)
        self._works: dict[int, Work] = {}
        self._network: Network | None = None
        config = SamplingConfig(length=0)
        self._controls = controls_of(config, len(network.vocab))  # the kernel draws nothing
        self._config = config

    def run(self, state: State, ids: NDArray[np.int32], has_logits: bool) -> Outlook:
        """Read ids (K + 1, N), except for the last ones; returns what is expected after them, if
        asked for, which the next call overwrites.
        """
        steps, N = len(ids) - 1, ids.shape[1]
        work = self._work(N)
        work.load(state)
        none, memory = np.zeros((0, N)), memory_of(self._config, N)
        given = 1 if has_logits else steps + 1
        read = state.read_last
        self._workers.run(
            operator.call, [(own, ids, given, none, memory, *read) for own in work.own]
        )
        work.store(state, steps)
        if work.overflows[0]:
            raise overflow()
        return work.outlook

    def scores(
        self, ids: NDArray[np.int32], state: State, resets: NDArray[np.bool_]
    ) -> tuple[Floats, Floats]:
        """The losses (T,) of ids[1:], and the distributions (T, V) at their places."""
        if self._network is None:
            from charrnn.network.network import Network  # its kernels may have to be compiled

            self._network = Network(self.model, SCORED, 1, self._workers)
        x, y = ids[:-1, None], ids[1:, None]
        losses = self._network.evaluate(x, y, state, resets)[:, 0]
        if not np.isfinite(losses).all():
            raise overflow()
        return losses, self._network.probabilities(y, 0, len(x), 0, 1)[:, 0]

    def _work(self, streams: int) -> Work:
        if streams not in self._works:
            weights = self._weights.panels.forward.nbytes
            threads = max(1, min(self._workers.threads, streams, streams * weights // SHARE))
            if streams == 1:
                threads = 1  # a divided text has threads that wait for one another
            self._works[streams] = Work(self._weights, self._controls, streams, threads)
        return self._works[streams]
