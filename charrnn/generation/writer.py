"""Ids from ids: a network that writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.calling import address_of
from charrnn.compiler.simd import padded
from charrnn.errors import ConfigError
from charrnn.generation.partition import (
    Share,
    by_share,
    product_of,
    share_of_panels,
    shares_of_stream,
)
from charrnn.generation.quantization import Precision, rounded
from charrnn.kernels import sampling, writing
from charrnn.kernels.product import product
from charrnn.network.model import Model, Panels, State
from charrnn.network.parameters import Floats, aligned
from charrnn.runtime.threads import Workers, ranges
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab

CHUNK = 16
"""Characters written between two returns to Python, at least."""
CHUNK_BYTES, MOST = 1 << 28, 512
"""Bytes of weights read between two returns to Python, a few milliseconds' worth, and characters
written at most.
"""

Progress = Callable[[int, int], None]


class Writer:
    """A network that writes `streams` texts side by side, one step after another; it holds their
    state.

    Stream n draws with coins of its own, from (seed, n): it writes the same text whatever the
    number of streams and threads. One stream is divided among the threads by units where that pays,
    several are dealt out to them. With a `precision` other than float32 the weights are rounded
    (see `rounding`), which makes one stream faster, not several; `panels` are of no use then. With
    a `document_separator`, for which it needs the `vocab`, a stream's state is zero before it reads
    the first character of a document, as in training (see `documents`).
    """

    def __init__(
        self,
        model: Model,
        streams: int = 1,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        banned: Sequence[int] = (),
        document_separator: str | None = None,
        vocab: Vocab | None = None,
        workers: Workers | None = None,
        panels: Panels | None = None,
        precision: Precision = "float32",
    ) -> None:
        if not temperature >= 0 or not np.isfinite(temperature):
            raise ConfigError(f"--temperature must be 0 or more, not {temperature:g}")
        if top_k < 0:
            raise ConfigError(f"--top-k must be 0 (all symbols) or more, not {top_k}")
        if streams < 1:
            raise ConfigError(f"--count must be at least 1, not {streams}")
        if seed < 0:
            raise ConfigError(f"--seed must be 0 or more, not {seed}")
        V = model.config.vocab_size
        if len(set(banned)) >= V:
            raise ConfigError("every symbol of the vocabulary is banned: nothing is left to write")
        if document_separator is not None and vocab is None:
            raise ConfigError(
                "a document separator is a pattern of characters: give the writer the vocabulary "
                "too"
            )
        self._documents = (
            DocumentTrackers(vocab, document_separator, streams)
            if document_separator and vocab
            else None
        )
        self.model, self.streams = rounded(model, precision), streams
        # below this, dividing by the temperature overflows; the most probable symbol is then all
        # that is left
        self.temperature = np.float32(min(temperature, 1e30) if temperature > 1e-6 else 0)
        self.top_k = min(top_k, V)
        self.banned = np.zeros(V, np.bool_)
        self.banned[list(banned)] = True
        self.coins = [
            np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, n])))
            for n in range(streams)
        ]
        self.workers = workers or Workers(1)
        self.panels = (
            panels
            if panels is not None and self.model is model
            else Panels(self.model, backward=False)
        )
        if self.panels is not panels:
            self.panels.refresh(self.workers)
        self.state = State(self.model, streams)
        kernels = (
            product,
            product_of(precision),
            self.model.cell.prepare,
            self.model.cell.step,
            sampling.draw,
        )
        self._functions, self._precision = [address_of(kernel) for kernel in kernels], precision
        self._work, self._turns = self._divided(self.workers.threads), _Turns()
        self._alone: _Work | None = None

    def _divided(self, threads: int) -> _Work:
        if self.streams == 1:
            shares = shares_of_stream(self.model, threads, self._precision)
            return _Work(self.model, 1, self.panels, shares, [(0, 1)] * len(shares))
        shards = ranges(self.streams, threads)
        return _Work(
            self.model,
            self.streams,
            self.panels,
            [share_of_panels(self.model, self.panels)],
            shards,
        )

    @property
    def chunk(self) -> int:
        """Characters of every stream to write at a time, so that neither going back to Python nor
        waiting for it is felt.
        """
        return max(CHUNK, min(MOST, CHUNK_BYTES // (self._work.weights * self.streams)))

    def read(self, ids: NDArray[Any], progress: Progress | None = None) -> None:
        """Let every stream read ids (K,), K >= 1: all but the last, which waits for `write`."""
        ids = np.asarray(ids, np.int32)
        # kernels do not check bounds
        if not len(ids) or ids.min() < 0 or ids.max() >= self.model.config.vocab_size:
            raise ValueError(
                f"ids to read must be at least one, and 0 to {self.model.config.vocab_size - 1}"
            )
        last = len(ids) - 1
        starts = set(self._documents.read(ids)) if self._documents is not None else set()
        for a, b in pairwise(sorted({*range(0, last, 256), *starts, last})):
            if a in starts:
                self.state.reset()
            block = np.repeat(ids[a : b + 1, None], self.streams, 1)
            self._run(
                np.ascontiguousarray(block),
                given=len(block),
                coins=np.zeros((len(block) - 1, self.streams)),
            )
            if progress is not None:
                progress(b, last)
        if last in starts:
            self.state.reset()
        self._last = np.full(self.streams, ids[-1], np.int32)

    def step(self, ids: NDArray[np.int32]) -> Floats:
        """Let stream n read ids[n], int32 (streams,); the logits behind it, (streams, V),
        overwritten by the next call.
        """
        block = np.stack([ids, ids])
        return self._run(block, given=1, coins=np.zeros((1, self.streams))).logits[
            :, : self.model.config.vocab_size
        ]

    def write(self, length: int) -> NDArray[np.int32]:
        """The next `length` ids of every stream, (length, streams) int32."""
        ids = np.zeros((length + 1, self.streams), np.int32)
        ids[0] = self._last
        coins = np.stack([rng.random(length) for rng in self.coins], 1)
        # A call costs more than a step of one stream; but the more streams, the sooner a document
        # begins in one of them.
        steps = (
            self.chunk
            if self._documents is None
            else max(1, min(self.chunk, 4 * CHUNK) // self.streams)
        )
        done = 0
        while done < length:
            done += self._write(ids[done : done + steps + 1], coins[done : done + steps])
        self._last = ids[-1].copy()
        return ids[1:]

    def _write(self, ids: NDArray[np.int32], coins: NDArray[np.float64]) -> int:
        """Write ids[1:] (K, N) behind ids[0], up to the first with which a document begins; the
        number written.
        """
        if self._documents is None:
            self._run(ids, given=1, coins=coins)
            return len(coins)
        before, begun, done = State(self.model, self.streams), list[int](), 0
        before.copy_from(self.state)
        self._run(ids, given=1, coins=coins)
        while done < len(coins) and not begun:
            done += 1
            begun = self._documents.follow(ids[done])
        if done < len(coins):  # what was written behind it did not know that
            self.state.copy_from(before)
            self._run(ids[: done + 1], given=done + 1, coins=coins[:done])
        self.state.h[:, begun] = 0
        self.state.c[:, begun] = 0
        return done

    def _run(self, ids: NDArray[np.int32], given: int, coins: NDArray[np.float64]) -> _Work:
        work, model, options = self._work, self.model, (self.banned, self.temperature, self.top_k)
        if work.parts > 1 and self._turns.is_alone():
            work = self._alone = self._alone or self._divided(1)
        coins = np.ascontiguousarray(coins)
        decoder_bias, switches = (
            self.panels.decoder_bias,
            (model.cell.has_output, model.config.residual),
        )
        first_read = 0 if model.config.skip else model.config.layers - 1
        norm = model.config.hidden if model.config.layer_norm else 0
        arguments = (
            *(
                *self._functions,
                self.streams == 1,
                ids,
                given,
                coins,
                work.table,
                work.memory_table,
                work.bias,
                decoder_bias,
            ),
            *(
                work.p,
                model.activation,
                model.borders(),
                work.h,
                work.c,
                work.m,
                work.z,
                work.q,
                work.y,
                work.x,
                work.logits,
            ),
            *(
                work.keep_h,
                work.keep_c,
                *switches,
                first_read,
                *options,
                work.meeting.ctypes.data,
                work.parts,
                norm,
            ),
        )
        work.enter(self.state)
        self.workers.run(writing.write, [(*arguments, *own) for own in work.own], work.release)
        work.leave(self.state, len(coins))
        if work.parts > 1:
            self._turns.judge(int(work.meeting[1]), len(coins))
        return work


class _Turns:
    """When one stream is written on one thread although it is divided: while others want the
    processors.

    A thread then waits long at each meeting, since rarely all of them have a processor. So some
    calls are made alone, and then one tries again; each time that it was in vain, twice as many
    are.
    """

    def __init__(self) -> None:
        self._left, self._next = 0, 8

    def is_alone(self) -> bool:
        """What the next call is to be."""
        self._left -= 1
        return self._left >= 0

    def judge(self, sleeps: int, steps: int) -> None:
        """After a call on several threads: how often one of them slept, in so many steps."""
        in_vain = sleeps > steps / 8
        self._left, self._next = (self._next, min(2 * self._next, 256)) if in_vain else (0, 8)


class _Work:
    """What `kernels.writing.write` reads and overwrites, made once. One stream has shares, several
    streams have shards.
    """

    def __init__(
        self,
        model: Model,
        streams: int,
        panels: Panels,
        shares: list[Share],
        shards: list[tuple[int, int]],
    ) -> None:
        config, L, N, H, V = (
            model.config,
            model.config.layers,
            streams,
            model.width,
            padded(model.config.vocab_size),
        )
        self.parts, self.weights = len(shares), sum(share.weights.nbytes for share in shares)
        self.bias = by_share(np.stack(panels.bias), shares, H)
        vectors = np.stack([model.vectors(layer).reshape(-1) for layer in range(L)])
        self.p, self.table = by_share(vectors, shares, H), by_share(panels.table, shares, H)
        self.memory_table = (
            model.parameters["rnn.memory.weight"] if model.cell.reads_below else aligned(0, 0)
        )
        self.h, self.c = aligned(L, 2, N * H), aligned(L, 2, N * H)
        self.m, self.x = aligned(2, N * H), aligned(L, N * H)
        self.z, self.q, self.y = aligned(N * self.bias.shape[1]), aligned(N * H), aligned(N * H)
        self.logits, self.meeting = aligned(N, V), np.zeros(2, np.int64)
        self.keep_h = _constant(config.zoneout_h, N * H)
        self.keep_c = _constant(config.zoneout_c if model.cell.has_memory else 0.0, N * H)
        every = shares if self.parts > 1 else shares * len(shards)
        self._shares = shares  # the kernel is given addresses
        self.own = [
            (
                aligned(2, V),
                share.weights.ctypes.data,
                share.places,
                *shard,
                *share.units,
                *share.logits,
            )
            for shard, share in zip(shards, every, strict=True)
        ]

    def enter(self, state: State) -> None:
        """Begin a call in this state."""
        self.h[:, 0], self.c[:, 0] = (each.reshape(len(each), -1) for each in (state.h, state.c))
        self.meeting[:] = 0

    def leave(self, state: State, steps: int) -> None:
        """The state after so many steps."""
        for kept, found in ((state.h, self.h), (state.c, self.c)):
            kept[:] = found[:, steps % 2].reshape(kept.shape)

    def release(self) -> None:
        """Let threads that wait for one which will not come run to their end."""
        self.meeting[0] = 1 << 62


def _constant(rate: float, size: int) -> Floats:
    """Zoneout by its expectation; empty without zoneout."""
    keep = aligned(size if rate > 0 else 0)
    keep[:] = np.float32(rate)
    return keep
