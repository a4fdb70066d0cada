"""Ids from ids: a network that writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.documents import DocumentTrackers
from charrnn.errors import ConfigError
from charrnn.kernels import sampling, writing
from charrnn.kernels.calling import address_of
from charrnn.kernels.product import product
from charrnn.kernels.simd import padded
from charrnn.model import Model, Panels, State
from charrnn.parameters import Floats, aligned
from charrnn.rounding import Precision, rounded
from charrnn.shares import Share, by_share, product_of, share_of_panels, shares_of_stream
from charrnn.vocab import Vocab
from charrnn.workers import Workers, ranges

CHUNK = 16
"""Characters written between two returns to Python, at least."""
CHUNK_BYTES, MOST = 1 << 28, 512
"""Bytes of weights read between two returns to Python, a few milliseconds' worth, and characters written at most."""

Progress = Callable[[int, int], None]


class Writer:
    """A network that writes `streams` texts side by side, one step after another; it holds their state.

    Stream n draws with coins of its own, from (seed, n): it writes the same text whatever the number of streams and threads. One
    stream is divided among the threads by units where that pays, several are dealt out to them. With a `precision` other than
    float32 the weights are rounded (see `rounding`), which makes one stream faster, not several; `panels` are of no use then.
    With a `document_separator`, for which it needs the `vocab`, a stream's state is zero before it reads the first character of a
    document, as in training (see `documents`).
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
            raise ConfigError("a document separator is a pattern of characters: give the writer the vocabulary too")
        self._documents = DocumentTrackers(vocab, document_separator, streams) if document_separator and vocab else None
        self.model, self.streams = rounded(model, precision), streams
        # below this, dividing by the temperature overflows; the most probable symbol is then all that is left
        self.temperature = np.float32(min(temperature, 1e30) if temperature > 1e-6 else 0)
        self.top_k = min(top_k, V)
        self.banned = np.zeros(V, np.bool_)
        self.banned[list(banned)] = True
        self.coins = [np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, n]))) for n in range(streams)]
        self.workers = workers or Workers(1)
        self.panels = panels if panels is not None and self.model is model else Panels(self.model, backward=False)
        if self.panels is not panels:
            self.panels.refresh(self.workers)
        self.state = State(self.model, streams)
        threads = self.workers.threads
        if streams == 1:
            self._shares = shares_of_stream(self.model, threads, precision)
            self._parts, self._shards = len(self._shares), [(0, 1)] * len(self._shares)
        else:
            self._parts, self._shards = 1, ranges(streams, threads)
            self._shares = [share_of_panels(self.model, self.panels)] * len(self._shards)
        kernels = (product, product_of(precision), self.model.cell.prepare, self.model.cell.step, sampling.draw)
        self._functions = [address_of(kernel) for kernel in kernels]
        self._buffers = _Buffers(self.model, streams, self.panels, self._shares[: self._parts], len(self._shares))

    @property
    def chunk(self) -> int:
        """Characters of every stream to write at a time, so that neither going back to Python nor waiting for it is felt."""
        read = sum(share.weights.nbytes for share in self._shares[: self._parts]) * self.streams
        return max(CHUNK, min(MOST, CHUNK_BYTES // read))

    def read(self, ids: NDArray[Any], progress: Progress | None = None) -> None:
        """Let every stream read ids (K,), K >= 1: all but the last, which waits for `write`."""
        ids = np.asarray(ids, np.int32)
        # kernels do not check bounds
        if not len(ids) or ids.min() < 0 or ids.max() >= self.model.config.vocab_size:
            raise ValueError(f"ids to read must be at least one, and 0 to {self.model.config.vocab_size - 1}")
        last = len(ids) - 1
        starts = set(self._documents.read(ids)) if self._documents is not None else set()
        for a, b in pairwise(sorted({*range(0, last, 256), *starts, last})):
            if a in starts:
                self.state.reset()
            block = np.repeat(ids[a : b + 1, None], self.streams, 1)
            self._run(np.ascontiguousarray(block), given=len(block), coins=np.zeros((len(block) - 1, self.streams)))
            if progress is not None:
                progress(b, last)
        if last in starts:
            self.state.reset()
        self._last = np.full(self.streams, ids[-1], np.int32)

    def write(self, length: int) -> NDArray[np.int32]:
        """The next `length` ids of every stream, (length, streams) int32."""
        ids = np.zeros((length + 1, self.streams), np.int32)
        ids[0] = self._last
        coins = np.stack([rng.random(length) for rng in self.coins], 1)
        # A call costs more than a step of one stream; but the more streams, the sooner a document begins in one of them.
        steps = length if self._documents is None else max(1, min(self.chunk, 4 * CHUNK) // self.streams)
        done = 0
        while done < length:
            done += self._write(ids[done : done + steps + 1], coins[done : done + steps])
        self._last = ids[-1].copy()
        return ids[1:]

    def _write(self, ids: NDArray[np.int32], coins: NDArray[np.float64]) -> int:
        """Write ids[1:] (K, N) behind ids[0], up to the first with which a document begins; the number written."""
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

    def _run(self, ids: NDArray[np.int32], given: int, coins: NDArray[np.float64]) -> None:
        model, buffers, state, end = self.model, self._buffers, self.state, (len(ids) - 1) % 2
        buffers.h[:, 0], buffers.c[:, 0] = (each.reshape(len(each), -1) for each in (state.h, state.c))
        buffers.counter[0] = 0
        arguments = (
            *(
                *self._functions,
                self.streams == 1,
                ids,
                given,
                np.ascontiguousarray(coins),
                buffers.table,
                buffers.memory_table,
            ),
            *(
                buffers.bias,
                self.panels.decoder_bias,
                buffers.p,
                model.activation,
                model.borders(),
                buffers.h,
                buffers.c,
            ),
            *(buffers.m, buffers.z, buffers.q, buffers.y, buffers.x, buffers.logits, buffers.keep_h, buffers.keep_c),
            *(model.cell.has_output, model.config.residual, self.banned, self.temperature, self.top_k),
            *(buffers.counter.ctypes.data, self._parts),
        )
        jobs = [
            (*arguments, scratch, share.weights.ctypes.data, share.places, *shard, *share.units, *share.logits)
            for shard, share, scratch in zip(self._shards, self._shares, buffers.scratch, strict=True)
        ]
        self.workers.run(writing.write, jobs, buffers.release)
        for kept, found in ((state.h, buffers.h), (state.c, buffers.c)):
            kept[:] = found[:, end].reshape(kept.shape)


class _Buffers:
    """What `kernels.writing.write` reads and overwrites, made once; `shares` are those of one stream, or the one of several."""

    def __init__(self, model: Model, streams: int, panels: Panels, shares: list[Share], threads: int) -> None:
        config, L, N, H, V = model.config, model.config.layers, streams, model.width, padded(model.config.vocab_size)
        self.bias = by_share(np.stack(panels.bias), shares, H)
        vectors = np.stack([model.vectors(layer).reshape(-1) for layer in range(L)])
        self.p, self.table = by_share(vectors, shares, H), by_share(panels.table, shares, H)
        self.memory_table = model.parameters["rnn.memory.weight"] if model.cell.reads_below else aligned(0, 0)
        self.h, self.c, self.m, self.x = (
            aligned(L, 2, N * H),
            aligned(L, 2, N * H),
            aligned(2, N * H),
            aligned(2, N * H),
        )
        self.z, self.q, self.y = aligned(N * self.bias.shape[1]), aligned(N * H), aligned(N * H)
        self.logits, self.scratch = aligned(N, V), [aligned(2, V) for _ in range(threads)]
        self.keep_h = _constant(config.zoneout_h, N * H)
        self.keep_c = _constant(config.zoneout_c if model.cell.has_memory else 0.0, N * H)
        self.counter = np.zeros(1, np.int64)

    def release(self) -> None:
        """Let threads that wait for one which will not come run to their end."""
        self.counter[0] = 1 << 62


def _constant(rate: float, size: int) -> Floats:
    """Zoneout by its expectation; empty without zoneout."""
    keep = aligned(size if rate > 0 else 0)
    keep[:] = np.float32(rate)
    return keep
