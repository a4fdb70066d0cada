"""Several takes of a seed, written side by side."""

from collections.abc import Callable, Sequence

from charrnn.generation.original import Original
from charrnn.generation.particles import Particles, write_particles
from charrnn.generation.readers import AnyWriter
from charrnn.generation.stopping import Endings, Text, symbols_of
from charrnn.generation.writer import Ids, Progress, generator
from charrnn.text.vocab import Vocab

MANY, FEW = 64, 8
"""From this many texts on, this few symbols are written at a time: what is written after the end of
a text takes more time than returning to Python.
"""
PARTICLES = 2048
"""Particles written side by side, of one or several texts."""


def write_takes(
    reader: AnyWriter,
    endings: Endings,
    prime: Ids,
    count: int,
    take: int,
    progress: Progress | None = None,
    is_over: Callable[[str], bool] = lambda text: False,
) -> list[tuple[Text, str]]:
    """`count` takes, from `take` on, after what a reader has read: how they ended, and what they
    are. Arguments as for `write_texts`.
    """
    config, N = endings.config, endings.config.particles
    length, documents = config.length or 0, endings.needs_resets
    before = symbols_of(endings.vocab, prime[:, None])[0]
    if N == 1:
        texts = [endings.text(before) for _ in range(count)]
        writer = reader.spread(count, take, documents)
        written = write_texts(writer, endings.vocab, texts, length, progress, is_over)
        return list(zip(texts, written, strict=True))
    groups = list[Particles]()
    for first in range(0, count, at_once := max(1, PARTICLES // N)):
        size, start = min(at_once, count - first), take + first
        writer = reader.spread(N * size, N * (start - 1) + 1, documents)
        groups += (
            Particles([endings.text(before) for _ in range(N)], generator(config.seed, n, N))
            for n in range(start, start + size)
        )

        def report(written: int, first: int = first, size: int = size) -> None:
            if progress is not None:
                progress(first * length + written * size, count * length)

        assert not isinstance(writer, Original), "`original` refuses particles"
        write_particles(writer, endings.vocab, groups[first:], length, report)
    return [group.chosen() for group in groups]


def write_texts(
    writer: AnyWriter,
    vocab: Vocab,
    texts: Sequence[Text],
    length: int,
    progress: Progress | None = None,
    is_over: Callable[[str], bool] = lambda text: False,
) -> list[str]:
    """The text of each of the writer's streams, up to where it ends, at most `length` symbols.

    is_over: called with what a text is so far; if true, the text is not continued.
    """
    pieces: list[list[str]] = [[] for _ in texts]
    left, done = list(range(len(texts))), 0  # the text of each stream
    while left and done < length:
        block = writer.chunk if len(left) < MANY else FEW
        ids = writer.write(min(block, length - done))
        symbols, ends = symbols_of(vocab, ids), (writer.ended - done).tolist()
        done += len(ids)
        kept = []
        for stream, n in enumerate(left):
            pieces[n].append(texts[n].read(symbols[stream], ends[stream], done >= length))
            if not texts[n].ended and not is_over("".join(pieces[n])):
                kept.append(stream)
        if 0 < len(kept) < len(left) and done < length:
            writer.keep(kept)
        left = [left[stream] for stream in kept]
        if progress is not None:
            ended = len(texts) - len(left)
            progress((ended * length + len(left) * done) // len(texts), length)
    return ["".join(each) for each in pieces]
