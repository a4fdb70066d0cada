"""Generate text from a prime, on top of `writer`."""

from collections.abc import Iterator, Sequence

import numpy as np

from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.ensemble import Ensemble, check_alike
from charrnn.generation.writer import Ids, Progress, Writer
from charrnn.network.model import Panels
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Decoder, Vocab


def start_ids(vocab: Vocab) -> Ids:
    """The id that precedes a text without a prime: a newline, else a space, else the first
    symbol.
    """
    first = next(
        (c for c in "\n " if c in vocab.index), vocab.symbols[0 if vocab.unknown != 0 else 1]
    )
    return vocab.encode(first if vocab.unit == "char" else first.encode("latin-1"))


def generate_ids(
    writer: Writer | Ensemble, prime: Ids, length: int, progress: Progress | None = None
) -> Iterator[Ids]:
    """Yields blocks (k, streams) int32 of ids that follow prime (K,), K >= 1; `length` in total.

    `progress(read, total)` reports the reading of a long prime.
    """
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
    networks = _networks_of(trained)
    vocab = networks[0].vocab
    ids = vocab.encode(prime, config.unknown)
    ids = ids if len(ids) else start_ids(vocab)
    writers = [
        Writer(
            network.model,
            config,
            streams=streams,
            banned=() if vocab.unknown is None else (vocab.unknown,),
            documents=_documents_of(network, streams),
            workers=workers,
            panels=panels if len(networks) == 1 else None,
        )
        for network in networks
    ]
    writer = writers[0] if len(writers) == 1 else Ensemble(writers)
    return vocab, generate_ids(writer, ids, config.length, progress)


def _networks_of(trained: Trained | Sequence[Trained]) -> Sequence[Trained]:
    networks = [trained] if isinstance(trained, Trained) else trained
    if not isinstance(networks, Sequence) or not all(isinstance(n, Trained) for n in networks):
        raise ConfigError(
            f"`trained` must be a Trained or several, not {type(trained).__name__}; a Run's is its "
            "attribute `trained`"
        )
    if not networks:
        raise ConfigError("no network to write with: pass at least one")
    for number, network in enumerate(networks[1:], start=2):
        check_alike(networks[0].vocab, network.vocab, f"network {number}")
    return networks


def _documents_of(network: Trained, streams: int) -> DocumentTrackers | None:
    """What resets the states where documents begin, as in the network's training."""
    pattern = network.corpus_config.document_separator
    return None if pattern is None else DocumentTrackers(network.vocab, pattern, streams)


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
