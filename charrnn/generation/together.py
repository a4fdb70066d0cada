"""What the compiled loop in which several networks write together is called with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.compiler.calling import FRAME, address_of
from charrnn.compiler.simd import padded
from charrnn.errors import overflow
from charrnn.generation.partition import SHARE
from charrnn.generation.work import Turns, Work
from charrnn.kernels import sampling, together, writing
from charrnn.kernels.sampling import Controls, Memory
from charrnn.network.model import State
from charrnn.runtime.threads import Workers


class Together:
    """What `kernels.together.write_together` reads and overwrites, created once.

    A single text is written by several threads if the networks are large, each with its own ones;
    of several texts, each thread writes its share, as if it were the only one.
    works: of the networks; in none of them is a single stream divided.
    """

    def __init__(self, works: Sequence[Work], mixture: Mixture | None, workers: Workers) -> None:
        self._works, self._workers, self._turns = works, workers, Turns()
        K, N = len(works), works[0].streams
        U = works[0].symbols if mixture is None else len(mixture.vocab)
        same = np.tile(np.arange(U, dtype=np.int32), (K, 1))
        self._read_as, self._columns = (
            (same, same) if mixture is None else (mixture.read_as, mixture.columns)
        )
        self._weights = np.full(K, 1 / K) if mixture is None else np.array(mixture.weights)
        self._read, self._shares = np.zeros((K, 2, N), np.int32), np.zeros((K, N, 2 * U))
        self._own, self._copied = np.zeros((2, N, U), np.float32)
        self._scratch, self._meeting = np.zeros(padded(U), np.float32)[:U], np.zeros(2, np.int64)
        jobs = [(k, part) for k, work in enumerate(works) for part in range(len(work.own))]
        self._frames = np.zeros((len(jobs), FRAME // 8), np.int64)
        self._calls = list(zip(jobs, self._frames, strict=True))
        table = np.array([self._job(*job, frame) for job, frame in self._calls])
        threads = max(1, min(workers.threads, K, sum(work.weights for work in works) // SHARE))
        if N > 1:  # a thread has the same streams of each network
            threads = len(works[0].own)
        self._tables = [
            table[[(part if N > 1 else k) % threads == thread for k, part in jobs]]
            for thread in range(threads)
        ]
        self._alone = [table]
        blend = 0
        if any(len(work.said) for work in works):
            from charrnn.kernels import attention  # which only networks with attention need

            blend = address_of(attention.blend)
        self._fixed = (
            self._read_as, self._columns, self._weights, self._read, self._shares, self._own,
            self._copied, blend, address_of(sampling.draw),
        )  # fmt: skip

    def _job(self, k: int, part: int, frame: NDArray[np.int64]) -> list[int]:
        """What `kernels.together` knows of a network's part."""
        work = self._works[k]
        copied = work.said.ctypes.data if len(work.said) else 0
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
        """Draw ids[1:], (K, N), in the union's symbols, by uniforms (K, N); the states follow. The
        networks read `last` first, each in its own symbols, instead of ids[0].
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
        tables, parts = self._tables, len(self._tables)
        # threads wait for one another, so all of them need a processor
        if parts > 1 and (self._workers.ready(parts) < parts or self._turns.is_alone()):
            tables, parts = self._alone, 1
        write = address_of(writing.write)
        meeting = controls, self._scratch, self._meeting.ctypes.data, parts
        jobs = [
            (write, table, *self._fixed, *meeting, thread == 0, ids, uniforms, memory)
            for thread, table in enumerate(tables)
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
