"""Generate ids from ids: a network that writes."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.start_states import StartStates
from charrnn.compiler.calling import address_of, bind
from charrnn.compiler.simd import padded
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError, VocabError, overflow
from charrnn.generation.partition import by_share, product_of, share_of_panels, shares_of_stream
from charrnn.generation.quantization import rounded
from charrnn.kernels import sampling, writing
from charrnn.kernels.product import product
from charrnn.kernels.sampling import Controls
from charrnn.network.model import Model, Panels, State, check_panels
from charrnn.network.parameters import Floats, aligned
from charrnn.runtime.threads import Workers, ranges
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


class Writer:
    """A network that writes `streams` texts in parallel, step by step; it holds their state.

    Stream n draws its random numbers from (seed, n), so it writes the same text for any number of
    streams and threads. A single stream is divided among the threads by units if that is faster;
    several streams are distributed over them. A `config.precision` other than float32 rounds the
    weights (see `quantization`), which makes one stream faster but not several.

    config: all settings except `length`, `stop` and `unknown`, which concern characters.
    banned: ids of symbols that are never written; at least one symbol must remain.
    documents: trackers; with them, a stream's state is zero before it reads the last character of a
        separator, as in training.
    panels: the packed weights of the model, if available; used in float32 only.
    """

    def __init__(
        self,
        model: Model,
        config: SamplingConfig,
        *,
        streams: int = 1,
        banned: Sequence[int] = (),
        documents: DocumentTrackers | None = None,
        workers: Workers | None = None,
        panels: Panels | None = None,
    ) -> None:
        if streams < 1:
            raise ConfigError(f"`streams` must be at least 1, not {streams}")
        self.controls = controls_of(config, model.config.vocab_size, banned)
        if panels is not None:
            check_panels(panels, model)
        self.model, self.streams = rounded(model, config.precision), streams
        self.workers, self._documents = workers or Workers(1), documents
        self._seed = config.seed
        if panels is None or self.model is not model:
            panels = Panels(self.model, backward=False)
            panels.refresh(self.workers)
        self.panels, self.state = panels, State(self.model, streams)
        self.last: Ids = np.zeros(0, np.int32)
        self._random = _generators(config.seed, streams)
        self._made = partial(_Work, panels, self.controls, config.precision)
        self._turns = _Turns()
        self._make_work()

    def _make_work(self) -> None:
        self._work = self._made(self.streams, self.workers.threads)
        self._alone: _Work | None = None

    def __repr__(self) -> str:
        return f"Writer({self.model.summary}, {self.streams} streams)"

    @property
    def chunk(self) -> int:
        """Characters to write at a time: enough to hide the cost of returning to Python, without a
        visible delay.
        """
        return max(CHUNK, min(MOST, CHUNK_BYTES // (self._work.weights * self.streams)))

    def begin(self, starts: StartStates) -> None:
        """Start every stream from one of these, which the seed chooses (`StartStates.chosen`)."""
        chosen = starts.chosen(self._seed, self.streams)
        self.state.h[:], self.state.c[:] = starts.state.h[:, chosen], starts.state.c[:, chosen]
        self.last = starts.ids[chosen]

    def read(self, ids: Ids, progress: Progress | None = None) -> None:
        """Let every stream read ids (K,), K >= 1: all except the last, which `write` reads
        first.

        `progress(read, total)` is called at intervals. `VocabError` for ids out of range, and for
        none.
        """
        ids = self._checked(ids)
        if not len(ids):
            raise VocabError("there must be at least one id to read")
        resets = set(self._documents.read(ids)) if self._documents is not None else set()
        if len(self.last):  # they precede the ids
            self._run(np.stack([self.last, self.last]), 1, np.zeros((1, self.streams)))
        last = len(ids) - 1
        for a, b in pairwise(sorted({*range(0, last, 256), *resets, last})):
            if a in resets:
                self.state.reset()
            block = np.repeat(ids[a : b + 1, None], self.streams, 1)
            self._run(block, len(block), np.zeros((b - a, self.streams)))
            if progress is not None:
                progress(b, last)
        if last in resets:
            self.state.reset()
        self.last = np.full(self.streams, ids[-1], np.int32)

    def step(self, ids: Ids) -> Floats:
        """Let stream n read ids[n], int32 (streams,); returns the logits after it, (streams, V).

        The next call overwrites the logits.
        """
        ids = self._checked(ids)
        if len(ids) != self.streams:
            raise VocabError(f"{self.streams} streams must read as many ids, not {len(ids)}")
        work = self._run(np.stack([ids, ids]), 1, np.zeros((1, self.streams)))
        return work.logits[:, : self.model.config.vocab_size]

    def write(self, length: int) -> Ids:
        """The next `length` ids of every stream, (length, streams) int32, after `begin` or
        `read`.
        """
        ids, uniforms = np.zeros((length + 1, self.streams), np.int32), self.uniforms(length)
        ids[0], steps, done = self.last, self.chunk, 0
        if self._documents is not None:
            # A call costs more than a step of one stream; but with more streams, a document begins
            # in one of them sooner.
            steps = max(1, min(self.chunk, 4 * CHUNK) // self.streams)
        while done < length:
            done += self._write(ids[done : done + steps + 1], uniforms[done : done + steps])
        self.last = ids[-1].copy()
        return ids[1:]

    def uniforms(self, length: int) -> Uniforms:
        """The next random numbers of every stream, (length, streams), in [0, 1)."""
        return np.array([rng.random(length) for rng in self._random]).T.copy()

    def follow(self, ids: Ids) -> None:
        """Stream n continues with ids[n]; if a separator ends with it, set the state to zero."""
        self.last = ids
        if self._documents is not None:
            self._reset(self._documents.follow(ids))

    def _checked(self, ids: Ids) -> Ids:
        """The ids as the kernel reads them; it does not check bounds."""
        return checked_ids(ids, self.model.config.vocab_size).astype(np.int32)

    def keep(self, streams: Sequence[int]) -> None:
        """Continue with these streams only, in this order; each writes what it would have."""
        self._random = [self._random[stream] for stream in streams]
        self._continue_from(streams)

    def spread(self, streams: int) -> None:
        """Continue as this many streams, before anything is written: stream n from what stream
        n % (their number so far) has read.
        """
        self._random = _generators(self._seed, streams)
        self._continue_from([n % self.streams for n in range(streams)])

    def _continue_from(self, streams: Sequence[int]) -> None:
        before, self.state = self.state, State(self.model, len(streams))
        self.state.h[:], self.state.c[:] = before.h[:, streams], before.c[:, streams]
        self.streams, self.last = len(streams), self.last[streams]
        if self._documents is not None:
            self._documents.keep(streams)
        self._make_work()

    def _reset(self, streams: list[int]) -> None:
        """Set the state of these streams to zero."""
        self.state.h[:, streams] = 0
        self.state.c[:, streams] = 0

    def _write(self, ids: Ids, uniforms: Uniforms) -> int:
        """Write ids[1:] (K, N) after ids[0], up to the first one that a zero state reads; returns
        the number written.
        """
        if self._documents is None:
            self._run(ids, 1, uniforms)
            return len(uniforms)
        before, zero, done = State(self.model, self.streams), list[int](), 0
        before.copy_from(self.state)
        self._run(ids, 1, uniforms)
        while done < len(uniforms) and not zero:
            done += 1
            zero = self._documents.follow(ids[done])
        if done < len(uniforms):  # later ids were written without the reset
            self.state.copy_from(before)
            self._run(ids[: done + 1], done + 1, uniforms[:done])
        self._reset(zero)
        return done

    def _run(self, ids: Ids, given: int, uniforms: Uniforms) -> _Work:
        work = self._work
        # parts wait for one another, so all of them need a thread
        if work.parts > 1 and (
            self.workers.ready(work.parts) < work.parts or self._turns.is_alone()
        ):
            work = self._alone = self._alone or self._made(1, 1)
        work.load(self.state)
        jobs = [(write, ids, given, uniforms) for write in work.own]
        self.workers.run(operator.call, jobs, work.release)
        work.store(self.state, len(uniforms))
        if work.overflows[0]:
            raise overflow()
        if work.parts > 1:
            self._turns.judge(int(work.meeting[1]), len(uniforms))
        return work


def _generators(seed: int, streams: int) -> list[np.random.Generator]:
    return [
        np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, n])))
        for n in range(streams)
    ]


def controls_of(config: SamplingConfig, symbols: int, banned: Sequence[int]) -> Controls:
    """The settings as the kernel takes them."""
    is_banned = np.isin(np.arange(symbols), banned)
    if is_banned.all():
        raise ConfigError("every symbol of the vocabulary is banned: leave at least one to write")
    # Dividing by a temperature below 1e-6 overflows; only the most probable symbol is left anyway.
    temperature = min(config.temperature, 1e30) if config.temperature > 1e-6 else 0
    return Controls(
        banned=is_banned,
        temperature=np.float32(temperature),
        top_k=min(config.top_k, symbols),
        log_min_p=np.float32(math.log(config.min_p) if config.min_p > 0 else -math.inf),
    )


class _Turns:
    """Decides when a divided stream is written on one thread: while other programs use the
    processors.

    A thread then waits long at each barrier, since its partners rarely all have a processor. So
    some calls are made on one thread before the next attempt, and twice as many after each failed
    attempt.
    """

    def __init__(self) -> None:
        self._left, self._next = 0, 8

    def is_alone(self) -> bool:
        """True if the next call should be made on one thread."""
        self._left -= 1
        return self._left >= 0

    def judge(self, sleeps: int, steps: int) -> None:
        """Update the record after a call on several threads, one of which slept `sleeps` times in
        `steps` steps.
        """
        failed = sleeps > steps / 8
        self._left, self._next = (self._next, min(2 * self._next, 256)) if failed else (0, 8)


class _Work:
    """What `kernels.writing.write` reads and overwrites, created and bound once.

    A single stream is divided into shares of the weights, several streams into shards.
    own: the kernel of each thread, bound except for ids, given and uniforms.
    """

    def __init__(
        self,
        panels: Panels,
        controls: Controls,
        precision: str,
        streams: int,
        threads: int,
    ) -> None:
        model, N = panels.model, streams
        config, cell, L, H = model.config, model.cell, model.config.layers, model.width
        V = padded(config.vocab_size)
        if streams == 1:
            shares = shares_of_stream(panels, threads, precision)
            shards = [(0, 1)] * len(shares)
        else:
            shares, shards = [share_of_panels(panels)], ranges(streams, threads)
        self._shares = shares  # the kernel gets addresses
        self.parts, self.weights = len(shares), sum(share.weights.nbytes for share in shares)
        self.h, self.c, self.logits = aligned(L, 2, N * H), aligned(L, 2, N * H), aligned(N, V)
        self.meeting, self.overflows = np.zeros(2, np.int64), np.zeros(1, np.bool_)
        biases = np.stack([model.parameters.bias(layer) for layer in range(L)])
        bias, table = (by_share(each, shares, H) for each in (biases, panels.table))
        p = np.stack([model.vectors(layer).reshape(-1) for layer in range(L)])
        p, m, x = by_share(p, shares, H), aligned(2, N * H), aligned(L, N * H)
        z, q, y = aligned(N * bias.shape[1]), aligned(N * H), aligned(N * H)
        keep_h, keep_c = (
            np.full(N * H if rate > 0 else 0, rate, np.float32)  # the expected value of zoneout
            for rate in (config.zoneout_h, config.zoneout_c if cell.has_memory else 0.0)
        )
        self.own = [
            bind(
                writing.write,
                product=address_of(product),
                vector_product=address_of(product_of(precision)),
                prepare=address_of(cell.prepare),
                step=address_of(cell.step),
                draw=address_of(sampling.draw),
                table=table,
                memory_table=(
                    model.parameters["rnn.memory.weight"] if cell.reads_below else aligned(0, 0)
                ),
                bias=bias,
                out_bias=model.parameters["decoder.bias"],
                p=p,
                activation=model.activation,
                borders=model.borders(),
                h=self.h,
                c=self.c,
                m=m,
                z=z,
                q=q,
                y=y,
                x=x,
                logits=self.logits,
                overflows=self.overflows,
                keep_h=keep_h,
                keep_c=keep_c,
                has_output=cell.has_output,
                is_residual=config.residual,
                first_read=0 if config.skip else L - 1,
                controls=controls,
                counter=self.meeting.ctypes.data,
                parts=self.parts,
                normal=config.hidden if config.layer_norm else 0,
                scratch=aligned(2, V),
                weights=share.weights.ctypes.data,
                places=share.places,
                own_streams=shard,
                own_units=share.units,
                own_logits=share.logits,
            )
            for shard, share in zip(shards, cycle(shares), strict=False)
        ]

    def load(self, state: State) -> None:
        """Start a call from this state."""
        self.h[:, 0], self.c[:, 0] = (each.reshape(len(each), -1) for each in (state.h, state.c))
        self.meeting[:] = 0

    def store(self, state: State, steps: int) -> None:
        """Store the state after this number of steps there."""
        for ours, theirs in ((self.h, state.h), (self.c, state.c)):
            theirs[:] = ours[:, steps % 2].reshape(theirs.shape)

    def release(self) -> None:
        """Let threads that wait for a missing thread run to their end."""
        self.meeting[0] = 1 << 62
