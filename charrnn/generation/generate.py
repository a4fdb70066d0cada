"""Characters from characters, on top of `writer`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.generation.ensemble import Ensemble
from charrnn.generation.quantization import Precision
from charrnn.generation.writer import Progress, Writer
from charrnn.network.model import Model, Models, Panels
from charrnn.runtime.threads import Workers
from charrnn.text.vocab import Decoder, Unknown, Vocab


def start_ids(vocab: Vocab) -> NDArray[Any]:
    """What a text without a prime starts after, one id: a line's end, else a space, else the first
    symbol.
    """
    first = next(
        (c for c in "\n " if c in vocab.index), vocab.symbols[0 if vocab.unknown != 0 else 1]
    )
    return vocab.encode(first if vocab.unit == "char" else first.encode("latin-1"))


def generate_ids(
    model: Model, prime: NDArray[Any], length: int, **options: Any
) -> Iterator[NDArray[np.int32]]:
    """Blocks (k, streams) int32 of ids that follow prime (K,), K >= 1, `length` in all; options as
    for `Writer`.
    """
    writer = Writer(model, **options)
    writer.read(prime)
    yield from _pieces(writer, length)


def generate(
    model: Models,
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
    precision: Precision = "float32",
    workers: Workers | None = None,
    panels: Panels | None = None,
    progress: Progress | None = None,
) -> Iterator[str]:
    """Text that follows `prime`, at most `length` characters (bytes, with the unit byte), in pieces
    as it is made.

    Symbols are drawn from softmax(logits / temperature), or the most probable is taken at
    temperature 0; top_k > 0 leaves only so many. The text ends before the first occurrence of
    `stop`. `unknown` says what becomes of the prime's characters that the vocabulary lacks, as for
    `Vocab.encode`, which raises `VocabError`. With a `document_separator` the state is zero at the
    start of each document, in the prime too. With a `precision` of bf16 or int8 the weights are
    rounded (see `rounding`). `progress(read, in_all)` follows a long prime. Several models write as
    an ensemble (see `ensemble`), for which `panels` are not.
    """
    ids = vocab.encode(prime, unknown)
    options: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
        "precision": precision,
    }
    writer = _writer(
        model,
        vocab,
        document_separator=document_separator,
        workers=workers,
        panels=panels,
        **options,
    )
    writer.read(ids if len(ids) else start_ids(vocab), progress)
    decoder, until = Decoder(vocab), Stop(stop)
    for block in _pieces(writer, length):
        text = until.feed(decoder.feed(block[:, 0]))
        if text:
            yield text
        if until.reached:
            return
    rest = until.feed(decoder.end()) + until.end()
    if rest:
        yield rest


def generate_many(
    model: Models,
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
    precision: Precision = "float32",
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """`count` texts that follow `prime`, written side by side; the first is what `generate` writes
    with this seed.
    """
    ids = vocab.encode(prime, unknown)
    options: dict[str, Any] = {
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
        "precision": precision,
    }
    writer = _writer(
        model,
        vocab,
        streams=count,
        document_separator=document_separator,
        workers=workers,
        **options,
    )
    writer.read(ids if len(ids) else start_ids(vocab))
    blocks, done = [np.zeros((0, count), np.int32)], 0
    for block in _pieces(writer, length):
        blocks.append(block)
        done += len(block)
        if progress is not None:
            progress(done, length)
    columns = np.concatenate(blocks).T
    return [Stop(stop).feed(vocab.decode(column), last=True) for column in columns]


def _writer(
    model: Models, vocab: Vocab, *, panels: Panels | None = None, **options: Any
) -> Writer | Ensemble:
    """A writer of characters: the symbol for unknown ones is banned."""
    options |= {"vocab": vocab, "banned": () if vocab.unknown is None else (vocab.unknown,)}
    if not isinstance(model, Model) and len(model) != 1:
        return Ensemble(model, **options)
    return Writer(model if isinstance(model, Model) else model[0], panels=panels, **options)


def _pieces(writer: Writer | Ensemble, length: int) -> Iterator[NDArray[np.int32]]:
    for done in range(0, length, writer.chunk):
        yield writer.write(min(writer.chunk, length - done))


class Stop:
    """Text up to a string, as it comes: what may be the beginning of the string is held back."""

    def __init__(self, string: str | None) -> None:
        self._string, self._held, self.reached = string or "", "", False

    def feed(self, text: str, last: bool = False) -> str:
        """The text that is certain not to be, or to follow, the string; with `last`, all that
        stands before it.
        """
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
