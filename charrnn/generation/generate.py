"""Generate text from a prime, on top of `writer`."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.allowed import allowed
from charrnn.generation.automaton import Automaton
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.original import Original, original
from charrnn.generation.particles import Particles, write_particles
from charrnn.generation.stopping import Endings, Text, symbols_of
from charrnn.generation.writer import Ids, Progress, Writer, controls_of, generator, memory_of
from charrnn.kernels.constraint import Edges
from charrnn.network.model import Panels
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab
from charrnn.text.words import word_symbols

AnyWriter = Writer | Ensemble | Original
MANY, FEW = 64, 8
"""So many texts are written so few symbols at a time: what is written after the end of a text takes
more time than returning to Python.
"""
PARTICLES = 2048
"""Particles written side by side, of one or several texts."""


def generate_ids(
    writer: AnyWriter, prime: Ids, length: int, progress: Progress | None = None
) -> Iterator[Ids]:
    """Yields blocks (k, streams) int32 of ids that follow prime (K,); `length` in total. The prime
    may be empty after `Writer.begin`.

    `progress(read, total)` reports the reading of a long prime.
    """
    if len(prime):
        writer.read(prime, progress)
    for done in range(0, length, writer.chunk):
        yield writer.write(min(writer.chunk, length - done))


@dataclass(frozen=True)
class Written:
    """A text that a network wrote: which take of the seed it is, and what ended it.

    ended: "sentence", "line", "paragraph", "document", "stop" or "match"; empty if only `length`
        did.
    logprobs: ln p of each symbol, float32 (K,), if it was asked for (`with_logprobs`).
    """

    text: str
    take: int
    ended: str
    logprobs: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    @property
    def nats_per_char(self) -> float | None:
        """The mean of -ln p; None if it was not asked for, or if the text is empty."""
        if self.logprobs is None or not len(self.logprobs):
            return None
        return -float(self.logprobs.mean(dtype=np.float64))


def generate(
    trained: Trained | Sequence[Trained],
    prime: str = "",
    config: SamplingConfig | None = None,
    *,
    workers: Workers | None = None,
    panels: Panels | None = None,
    known_words: Lexicon | None = None,
    progress: Progress | None = None,
    training: Sequence[Corpus] = (),
) -> Generator[str, None, str]:
    """Yields the text that follows `prime`, in pieces as it is generated; returns what ended it
    (`Written.ended`).

    The text and its prime follow one of the network's start states (`Trained.opening`), which the
    seed and `config.take` choose. If the network was trained with a document separator, the state
    is zero before the last character of each separator, in the prime too. The text ends before the
    first of the strings `config.stop`, or with it if `config.keep_stop`; or after the first end of
    `config.until`, or at `config.length` (`SamplingConfig.resolved`). `VocabError` if the
    vocabulary lacks a character of a stop string, or of the prime while `config.unknown` is
    "error".

    A network of bytes writes UTF-8; a byte that is not part of a character becomes a surrogate, so
    that text.encode("utf-8", "surrogateescape") gives the bytes.

    With `config.match`, `must` or `known_words`, the whole text after the prime is one that these
    allow: it ends where nothing can follow, at an end or a stop string where it may, or at
    `length`. `ConfigError` if no such text is that short. With more than one of `config.particles`,
    it comes in one piece.

    trained: one network, or several, which write as an ensemble (`Mixture`).
    panels: the packed weights of a single network, if available.
    known_words: the only words that are written.
    progress: `progress(read, total)` reports the reading of a long prime.
    training: what the networks were trained on, for `config.max_copy`.
    """
    networks, config = Mixture.of(trained), (config or SamplingConfig()).resolved()
    if config.particles > 1:
        (written,) = generate_texts(
            networks,
            1,
            prime,
            config,
            workers=workers,
            known_words=known_words,
            training=training,
        )
        yield written.text
        return written.ended
    automaton = allowed(networks.vocab, config, known_words, prime)
    endings = endings_of(networks, config, automaton)
    writer, ids = writer_of(networks, 1, prime, config, workers, panels, automaton, training)
    text = endings.text(symbols_of(endings.vocab, ids[:, None])[0])
    done = 0
    for block in generate_ids(writer, ids, config.length or 0, progress):
        piece = text.read(symbols_of(endings.vocab, block)[0], int(writer.ended[0]) - done)
        if piece:
            yield piece
        if text.ended:
            return text.ended
        done += len(block)
    rest = text.feed("", last=True)
    if rest:
        yield rest
    return text.ended


def generate_many(
    trained: Trained | Sequence[Trained],
    count: int,
    prime: str = "",
    config: SamplingConfig | None = None,
    *,
    workers: Workers | None = None,
    known_words: Lexicon | None = None,
    progress: Progress | None = None,
    training: Sequence[Corpus] = (),
) -> list[str]:
    """`count` texts that follow `prime`, generated in parallel: takes of the seed from
    `config.take` on. Each is the text that `generate` yields for its take.

    Arguments as for `generate_texts`.
    """
    texts = generate_texts(
        trained,
        count,
        prime,
        config,
        workers=workers,
        known_words=known_words,
        progress=progress,
        training=training,
    )
    return [each.text for each in texts]


def generate_texts(
    trained: Trained | Sequence[Trained],
    count: int,
    prime: str = "",
    config: SamplingConfig | None = None,
    *,
    workers: Workers | None = None,
    known_words: Lexicon | None = None,
    progress: Progress | None = None,
    training: Sequence[Corpus] = (),
) -> list[Written]:
    """As `generate_many`, with what ended each text. Nothing more is computed for a text that has
    ended.

    `progress(written, length)` counts the characters of each text; one that has ended counts as
    whole. training: as of `generate`.
    """
    if count < 1:
        raise ConfigError(f"`count` must be at least 1, not {count}")
    networks, config = Mixture.of(trained), (config or SamplingConfig()).resolved()
    automaton = allowed(networks.vocab, config, known_words, prime)
    endings = endings_of(networks, config, automaton)
    reader, ids = reader_of(networks, count, prime, config, workers, automaton, training)
    texts = write_takes(reader, endings, ids, count, config.take, progress)
    return [Written(text, config.take + n, end.ended) for n, (end, text) in enumerate(texts)]


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


def reader_of(
    networks: Mixture,
    count: int,
    prime: str,
    config: SamplingConfig,
    workers: Workers | None,
    automaton: Automaton | None = None,
    training: Sequence[Corpus] = (),
) -> tuple[AnyWriter, Ids]:
    """A writer that has read the prime once from each state that `count` texts start from, and the
    ids of the prime.
    """
    openings, N = math.lcm(*(len(network.opening) for network in networks)), config.particles
    config = replace(config, take=N * (config.take - 1) + 1)
    streams = min(count * N, openings)
    reader, ids = writer_of(networks, streams, prime, config, workers, None, automaton, training)
    if len(ids):
        reader.read(ids)
    return reader, ids


def writer_of(
    networks: Mixture,
    streams: int,
    prime: str,
    config: SamplingConfig,
    workers: Workers | None,
    panels: Panels | None = None,
    automaton: Automaton | None = None,
    training: Sequence[Corpus] = (),
) -> tuple[AnyWriter, Ids]:
    """A writer that never writes the unknown symbol, and the ids to read first. With
    `config.max_copy` it copies nothing from the training texts.
    """
    start, end, edges = 0, -1, None
    if automaton is not None:
        start, end = automaton.start, automaton.end
        edges = Edges(automaton.first, automaton.symbols, automaton.targets, automaton.distance)
    vocab = networks.vocab
    ids = vocab.encode(prime, config.unknown)
    banned = () if vocab.unknown is None else (vocab.unknown,)
    inner = word_symbols(vocab)
    if len(networks) == 1:
        (network,) = networks
        writer = Writer(
            network.model,
            config,
            streams=streams,
            banned=banned,
            inner=inner,
            edges=edges,
            start=start,
            end=end,
            documents=_documents_of(network, streams),
            workers=workers,
            panels=panels,
        )
        writer.begin(network.opening)
        return original(writer, vocab, config, training, workers), ids
    writers = [
        Writer(
            network.model,
            config,
            streams=streams,
            documents=_documents_of(network, streams),
            workers=workers,
        )
        for network in networks
    ]
    for own, network in zip(writers, networks, strict=True):
        own.begin(network.opening)
    controls = controls_of(config, len(vocab), banned, inner, edges)
    memory = memory_of(config, streams, start)
    ensemble = Ensemble(writers, networks, controls, memory, end)
    return original(ensemble, vocab, config, training, workers), ids


def endings_of(
    networks: Mixture,
    config: SamplingConfig,
    automaton: Automaton | None = None,
    is_short: bool = False,
) -> Endings:
    """Where the texts of these networks end."""
    separator = networks.corpus_config.document_separator
    return Endings(networks.vocab, config, separator, automaton, is_short)


def _documents_of(network: Trained, streams: int) -> DocumentTrackers | None:
    """What resets the states where documents begin, as in the network's training."""
    pattern = network.corpus_config.document_separator
    return None if pattern is None else DocumentTrackers(network.vocab, pattern, streams)
