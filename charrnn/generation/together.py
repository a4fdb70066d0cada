"""What the compiled loop in which several networks write together is called with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.compiler.calling import FRAME, address_of
from charrnn.errors import overflow
from charrnn.generation.partition import SHARE
from charrnn.generation.work import Turns, Work, blending
from charrnn.kernels import sampling, together, writing
from charrnn.kernels.sampling import Controls, Memory
from charrnn.network.model import State
from charrnn.runtime.threads import Workers


class Together:
    """What `kernels.together.write_together` reads and overwrites, created once.

    A single text is written by several threads if the networks are large: each runs some of them.
    Of several texts, each thread writes its own.
    works: of the networks; in none of them is a single stream divided.
    """

    def __init__(self, works: Sequence[Work], mixture: Mixture | None, workers: Workers) -> None:
        self._works, self._workers, self._turns = works, workers, Turns()
        K, N = len(works), works[0].streams
        self._is_divided = N == 1
        U = works[0].symbols if mixture is None else len(mixture.vocab)
        same = np.tile(np.arange(U, dtype=np.int32), (K, 1))
        self._read_as, self._columns = (
            (same, same) if mixture is None else (mixture.read_as, mixture.columns)
        )
        self._weights = np.full(K, 1 / K) if mixture is None else np.array(mixture.weights)
        self._read, self._shares = np.zeros((K, 2, N), np.int32), np.zeros((K, N, 2 * U))
        self._own, self._copied = np.zeros((2, N, U), np.float32)
        self._meeting = np.zeros(2, np.int64)
        jobs = [(k, part) for k, work in enumerate(works) for part in range(len(work.own))]
        self._frames = np.zeros((len(jobs), FRAME // 8), np.int64)
        self._calls = list(zip(jobs, self._frames, strict=True))
        table = np.array([self._job(*job, frame) for job, frame in self._calls])
        if self._is_divided:
            threads = max(1, min(workers.threads, K, sum(work.weights for work in works) // SHARE))
            draws = [(0, 1), *[(0, 0)] * (threads - 1)]
        else:  # a thread has the same streams of each network
            threads, draws = len(works[0].own), works[0].shards
        owners = np.array([k if self._is_divided else part for k, part in jobs]) % threads
        self._threads = [(table[owners == n], draws[n]) for n in range(threads)]
        self._alone = [(table, (0, N))]
        self._scratch = np.zeros((threads, U), np.float32)
        blend = address_of(blending()) if any(len(work.copied) for work in works) else 0
        self._fixed = (
            self._read_as, self._columns, self._weights, self._read, self._shares, self._own,
            self._copied, blend, address_of(sampling.draw),
        )  # fmt: skip

    def _job(self, k: int, part: int, frame: NDArray[np.int64]) -> list[int]:
        """What `kernels.together` knows of a network's part."""
        work = self._works[k]
        copied = work.copied.ctypes.data if len(work.copied) else 0
        h, c, logits = (array.ctypes.data for array in (work.h, work.c, work.logits))
        L, _, width = work.h.shape
        sizes = L, width // work.streams
        rows = logits, copied, work.logits.shape[1], work.symbols
        return [frame.ctypes.data, k, *work.shards[part], h, c, *sizes, *rows]

    def run(
        self,
        states: Sequence[State],
        last: Sequence[NDArray[Any]],
        controls: Controls,
        memory: Memory,
        ids: NDArray[np.int32],
        uniforms: NDArray[np.float64],
    ) -> None:
        """Draw ids[1:], (S, N), in the union's symbols, by uniforms (S, N).

        states: of the networks, changed. last: what each network reads first, (N,) in its own
            symbols, for ids[0]. controls, memory: of the union.
        """
        none = np.zeros((0, ids.shape[1]))
        for (k, part), frame in self._calls:
            call = self._works[k].own[part]
            arguments = (*call.args, self._read[k], 1, none, memory, *states[k].read_last)
            together.keep(frame.ctypes.data, arguments)
        self._read[:, 0] = last
        for work, state in zip(self._works, states, strict=True):
            work.load(state)
        self._meeting[:] = 0
        threads, parts = self._threads, len(self._threads) if self._is_divided else 1
        # threads wait for one another, so all of them need a processor
        if parts > 1 and (self._workers.ready(parts) < parts or self._turns.is_alone()):
            threads, parts = self._alone, 1
        write, meeting = address_of(writing.write), (self._meeting.ctypes.data, parts)
        jobs = [
            (write, table, *self._fixed, controls, *meeting, scratch, draws, ids, uniforms, memory)
            for (table, draws), scratch in zip(threads, self._scratch, strict=False)
        ]
        self._workers.run(together.write_together, jobs, self._release)
        for work, state in zip(self._works, states, strict=True):
            work.store(state, 0)
            if work.overflows[0]:
                raise overflow()
        if parts > 1:
            self._turns.judge(int(self._meeting[1]), len(uniforms))

    def _release(self) -> None:
        """Let threads that wait for a missing thread run to their end."""
        self._meeting[0] = 1 << 62
