"""Writing text with a network: ids from ids, and on top of that characters from characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.documents import DocumentTrackers
from charrnn.errors import ConfigError
from charrnn.kernels import sampling
from charrnn.kernels.product import product
from charrnn.kernels.recurrent import forward_layer
from charrnn.kernels.simd import padded
from charrnn.model import Model, Panels, State
from charrnn.parameters import Floats, aligned
from charrnn.vocab import Decoder, Unknown, Vocab
from charrnn.workers import Workers, ranges

CHUNK = 16
"""Characters written between two returns to Python."""

Progress = Callable[[int, int], None]


class Writer:
    """A network that writes `streams` texts side by side, one step after another; it holds their state.

    Stream n draws with coins of its own, from (seed, n): it writes the same text whatever the number of streams and threads.
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
        self.model, self.streams = model, streams
        # below this, dividing by the temperature overflows; the most probable symbol is then all that is left
        self.temperature = np.float32(min(temperature, 1e30) if temperature > 1e-6 else 0)
        self.top_k = min(top_k, V)
        self.banned = np.zeros(V, np.bool_)
        self.banned[list(banned)] = True
        self.coins = [np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, n]))) for n in range(streams)]
        self.workers = workers or Workers(1)
        self.panels = panels or Panels(model, backward=False)
        if panels is None:
            self.panels.refresh(self.workers)
        self.state = State(model, streams)
        self._buffers = _Buffers(model, streams, self.panels)

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
        steps = length if self._documents is None else max(1, CHUNK // self.streams)
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
        p, model, buffers, state = self.panels, self.model, self._buffers, self.state
        buffers.h[:, 0], buffers.c[:, 0] = state.h, state.c
        arguments = (
            *(product, forward_layer, model.cell.prepare, model.cell.step, sampling.draw, ids, given),
            *(np.ascontiguousarray(coins), p.table, buffers.memory_table, buffers.bias, p.decoder_bias, buffers.p),
            *(p.forward, model.activation, model.borders(), buffers.h, buffers.c, buffers.m, buffers.z, buffers.q),
            *(
                buffers.y,
                buffers.x,
                buffers.logits,
                buffers.keep_h,
                buffers.keep_c,
                buffers.no_starts,
                p.table.shape[1],
            ),
            *(int(model.cell.has_output), int(model.config.residual), self.banned, self.temperature, self.top_k),
            buffers.scratch,
        )
        self.workers.run(sampling.write, [(*arguments, a, b) for a, b in ranges(self.streams, self.workers.threads)])
        state.h[:], state.c[:] = buffers.h[:, 0], buffers.c[:, 0]


class _Buffers:
    """What `kernels.sampling.write` reads and overwrites, made once."""

    def __init__(self, model: Model, streams: int, panels: Panels) -> None:
        config, L, N, H, V = model.config, model.config.layers, streams, model.width, model.config.vocab_size
        self.bias = aligned(L, panels.bias[0].size)
        self.p = aligned(L, *model.vectors(0).shape)
        for layer, bias in enumerate(panels.bias):
            self.bias[layer], self.p[layer] = bias, model.vectors(layer)
        below = model.cell.reads_below
        self.memory_table = model.parameters["rnn.memory.weight"] if below else aligned(0, 0)
        self.h, self.c, self.m = aligned(L, 2, N, H), aligned(L, 2, N, H), aligned(2, 1, N, H)
        self.z, self.q, self.y, self.x = (
            aligned(1, N, self.bias.shape[1]),
            aligned(1, N, H),
            aligned(1, N, H),
            aligned(N, H),
        )
        self.logits, self.scratch = aligned(N, padded(V)), aligned(N * V)
        self.keep_h = _constant(config.zoneout_h, N, H)
        self.keep_c = _constant(config.zoneout_c if model.cell.has_memory else 0.0, N, H)
        self.no_starts = np.zeros((0, N), np.bool_)


def _constant(rate: float, N: int, H: int) -> Floats:
    """Zoneout by its expectation (1, N, H); empty without zoneout."""
    keep = aligned(1 if rate > 0 else 0, N, H)
    keep[:] = np.float32(rate)
    return keep


def start_ids(vocab: Vocab) -> NDArray[Any]:
    """What a text without a prime starts after, one id: a line's end, else a space, else the first symbol."""
    first = next((c for c in "\n " if c in vocab.index), vocab.symbols[0 if vocab.unknown != 0 else 1])
    return vocab.encode(first if vocab.unit == "char" else first.encode("latin-1"))


def generate_ids(model: Model, prime: NDArray[Any], length: int, **options: Any) -> Iterator[NDArray[np.int32]]:
    """Blocks (k, streams) int32 of ids that follow prime (K,), K >= 1, `length` in all; options as for `Writer`."""
    writer = Writer(model, **options)
    writer.read(prime)
    for done in range(0, length, CHUNK):
        yield writer.write(min(CHUNK, length - done))


def generate(
    model: Model,
    vocab: Vocab,
    prime: str = "",
    length: int = 500,
    *,
    temperature: float = 0.8,
    top_k: int = 0,
    seed: int = 0,
    stop: str | None = None,
    unknown: Unknown = "error",
    document_separator: str | None = None,
    panels: Panels | None = None,
    progress: Progress | None = None,
) -> Iterator[str]:
    """Text that follows `prime`, at most `length` characters (bytes, with the unit byte), in pieces as it is made.

    Symbols are drawn from softmax(logits / temperature), or the most probable is taken at temperature 0; top_k > 0 leaves only
    so many. The text ends before the first occurrence of `stop`. `unknown` says what becomes of the prime's characters that
    the vocabulary lacks, as for `Vocab.encode`, which raises `VocabError`. With a `document_separator` the state is zero at the
    start of each document, in the prime too. `progress(read, in_all)` follows a long prime.
    """
    ids = vocab.encode(prime, unknown)
    options: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
        "banned": _never_written(vocab),
    }
    writer = Writer(model, document_separator=document_separator, vocab=vocab, panels=panels, **options)
    writer.read(ids if len(ids) else start_ids(vocab), progress)
    decoder, until = Decoder(vocab), Stop(stop)
    for done in range(0, length, CHUNK):
        text = until.feed(decoder.feed(writer.write(min(CHUNK, length - done))[:, 0]))
        if text:
            yield text
        if until.reached:
            return
    rest = until.feed(decoder.end()) + until.end()
    if rest:
        yield rest


def generate_many(
    model: Model,
    vocab: Vocab,
    count: int,
    prime: str = "",
    length: int = 500,
    *,
    temperature: float = 0.8,
    top_k: int = 0,
    seed: int = 0,
    stop: str | None = None,
    unknown: Unknown = "error",
    document_separator: str | None = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """`count` texts that follow `prime`, written side by side; the first is what `generate` writes with this seed."""
    ids = vocab.encode(prime, unknown)
    options: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
        "banned": _never_written(vocab),
    }
    writer = Writer(model, count, document_separator=document_separator, vocab=vocab, workers=workers, **options)
    writer.read(ids if len(ids) else start_ids(vocab))
    blocks = [np.zeros((0, count), np.int32)]
    for done in range(0, length, CHUNK):
        blocks.append(writer.write(min(CHUNK, length - done)))
        if progress is not None:
            progress(min(length, done + CHUNK), length)
    columns = np.concatenate(blocks).T
    return [Stop(stop).feed(vocab.decode(column), last=True) for column in columns]


def _never_written(vocab: Vocab) -> tuple[int, ...]:
    return () if vocab.unknown is None else (vocab.unknown,)


class Stop:
    """Text up to a string, as it comes: what may be the beginning of the string is held back."""

    def __init__(self, string: str | None) -> None:
        self._string, self._held, self.reached = string or "", "", False

    def feed(self, text: str, last: bool = False) -> str:
        """The text that is certain not to be, or to follow, the string; with `last`, all that stands before it."""
        if not self._string:
            return text
        text = self._held + text
        place = text.find(self._string)
        if place >= 0:
            self.reached, self._held = True, ""
            return text[:place]
        sizes = range(min(len(self._string) - 1, len(text)), 0, -1)
        held = 0 if last else next((k for k in sizes if text.endswith(self._string[:k])), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def end(self) -> str:
        """What was held back, when the text ends without the string."""
        held, self._held = self._held, ""
        return held
