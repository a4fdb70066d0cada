"""Generate text from a prime, on top of `writer`."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.generation.allowed import allowed
from charrnn.generation.arguments import check_arguments
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.readers import AnyWriter, endings_of, reader_of, writer_of
from charrnn.generation.stopping import symbols_of
from charrnn.generation.takes import write_takes
from charrnn.generation.writer import Ids, Progress
from charrnn.network.model import Panels
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus


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
    check_arguments(prime, config, known_words, training)
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
    check_arguments(prime, config, known_words, training, count)
    networks, config = Mixture.of(trained), (config or SamplingConfig()).resolved()
    automaton = allowed(networks.vocab, config, known_words, prime)
    endings = endings_of(networks, config, automaton)
    reader, ids = reader_of(networks, count, prime, config, workers, automaton, training)
    texts = write_takes(reader, endings, ids, count, config.take, progress)
    return [Written(text, config.take + n, end.ended) for n, (end, text) in enumerate(texts)]
