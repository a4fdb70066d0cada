"""Generate text from a prime, on top of `writer`."""

from collections.abc import Iterator, Sequence

import numpy as np

from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.writer import Ids, Progress, Writer
from charrnn.network.model import Panels
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Decoder, Vocab


def generate_ids(
    writer: Writer | Ensemble, prime: Ids, length: int, progress: Progress | None = None
) -> Iterator[Ids]:
    """Yields blocks (k, streams) int32 of ids that follow prime (K,); `length` in total. The prime
    may be empty after `Writer.begin`.

    `progress(read, total)` reports the reading of a long prime.
    """
    if len(prime):
        writer.read(prime, progress)
    for done in range(0, length, writer.chunk):
        yield writer.write(min(writer.chunk, length - done))


def generate(
    trained: Trained | Sequence[Trained],
    prime: str = "",
    config: SamplingConfig | None = None,
    *,
    workers: Workers | None = None,
    panels: Panels | None = None,
    progress: Progress | None = None,
) -> Iterator[str]:
    """Yields the text that follows `prime`, in pieces as it is generated.

    If the network was trained with a document separator, the state is zero at the start of each
    document, in the prime too. The text ends before the first occurrence of `config.stop`.
    `VocabError` if the vocabulary lacks characters of the prime and `config.unknown` is "error".

    trained: one network, or several with the same vocabulary, which write as an ensemble.
    panels: the packed weights of a single network, if available.
    progress: `progress(read, total)` reports the reading of a long prime.
    """
    config = config or SamplingConfig()
    vocab, blocks = _blocks(trained, 1, prime, config, workers, panels, progress)
    decoder, until = Decoder(vocab), Stop(config.stop)
    for block in blocks:
        text = until.feed(decoder.feed(block[:, 0]))
        if text:
            yield text
        if until.reached:
            return
    rest = until.feed(decoder.end(), last=True)
    if rest:
        yield rest


def generate_many(
    trained: Trained | Sequence[Trained],
    count: int,
    prime: str = "",
    config: SamplingConfig | None = None,
    *,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """`count` texts that follow `prime`, generated in parallel; the first is the text of
    `generate`.

    `progress(written, total)` counts the characters of each text.
    """
    config = config or SamplingConfig()
    vocab, blocks = _blocks(trained, count, prime, config, workers)
    written, done = [np.zeros((0, count), np.int32)], 0
    for block in blocks:
        written.append(block)
        done += len(block)
        if progress is not None:
            progress(done, config.length)
    columns = np.concatenate(written).T
    return [Stop(config.stop).feed(vocab.decode(column), last=True) for column in columns]


def _blocks(
    trained: Trained | Sequence[Trained],
    streams: int,
    prime: str,
    config: SamplingConfig,
    workers: Workers | None,
    panels: Panels | None = None,
    progress: Progress | None = None,
) -> tuple[Vocab, Iterator[Ids]]:
    """The vocabulary, and ids as from `generate_ids`, which never include the unknown symbol."""
    networks = [trained] if isinstance(trained, Trained) else trained
    if not networks:
        raise ConfigError("no network to write with: pass at least one")
    vocab, separator = networks[0].vocab, networks[0].corpus_config.document_separator
    ids = vocab.encode(prime, config.unknown)
    writers = [
        Writer(
            network.model,
            config,
            streams=streams,
            banned=() if vocab.unknown is None else (vocab.unknown,),
            documents=DocumentTrackers(vocab, separator, streams) if separator else None,
            workers=workers,
            panels=panels if len(networks) == 1 else None,
        )
        for network in networks
    ]
    for own, network in zip(writers, networks, strict=True):
        own.begin(network.opening)
    writer = writers[0] if len(writers) == 1 else Ensemble(writers)
    return vocab, generate_ids(writer, ids, config.length, progress)


class Stop:
    """Passes text through up to a stop string; text that may begin the string is held back."""

    def __init__(self, string: str | None) -> None:
        self._string, self._held, self.reached = string or "", "", False

    def feed(self, text: str, last: bool = False) -> str:
        """The text that is certain not to belong to the string or follow it; with `last`, all text
        before it.
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
