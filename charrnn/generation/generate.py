"""Generate text from a prime, on top of `writer`."""

from collections.abc import Iterator, Sequence

from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.ensemble import Ensemble, check_alike
from charrnn.generation.stopping import Text, stop_symbols, symbols_of
from charrnn.generation.writer import Ids, Progress, Writer
from charrnn.network.model import Panels
from charrnn.runtime.threads import Workers
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab
from charrnn.text.words import word_symbols


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

    The text and its prime follow one of the network's start states (`Trained.opening`), which the
    seed chooses. If the network was trained with a document separator, the state is zero before the
    last character of each separator, in the prime too. The text ends before the first of the
    strings `config.stop`, or with it if `config.keep_stop`. `VocabError` if the vocabulary lacks a
    character of a stop string, or of the prime while `config.unknown` is "error".

    A network of bytes writes UTF-8; a byte that is not part of a character becomes a surrogate, so
    that text.encode("utf-8", "surrogateescape") gives the bytes.

    trained: one network, or several with the same vocabulary, which write as an ensemble.
    panels: the packed weights of a single network, if available.
    progress: `progress(read, total)` reports the reading of a long prime.
    """
    config = config or SamplingConfig()
    vocab, writer, ids = _writer(trained, 1, prime, config, workers, panels)
    text = Text(vocab, stop_symbols(vocab, config.stop), config.keep_stop)
    for block in generate_ids(writer, ids, config.length, progress):
        piece = text.feed(symbols_of(vocab, block)[0])
        if piece:
            yield piece
        if text.has_ended:
            return
    rest = text.feed("", last=True)
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
    `generate`. Nothing more is computed for a text that has ended.

    `progress(written, total)` counts the characters of each text.
    """
    config = config or SamplingConfig()
    if count < 1:
        raise ConfigError(f"`count` must be at least 1, not {count}")
    networks = _networks_of(trained)
    # the prime is read once from each state that texts start from
    openings = {len(network.opening) for network in networks}
    readers = min(count, *openings) if len(openings) == 1 else count
    vocab, writer, ids = _writer(networks, readers, prime, config, workers)
    stops, done = stop_symbols(vocab, config.stop), 0
    texts = [Text(vocab, stops, config.keep_stop) for _ in range(count)]
    pieces: list[list[str]] = [[] for _ in texts]
    if len(ids):
        writer.read(ids)
    writer.spread(count)
    left = list(range(count))  # the text of each stream
    while left and done < config.length:
        block = writer.write(min(writer.chunk, config.length - done))
        for n, symbols in zip(left, symbols_of(vocab, block), strict=True):
            pieces[n].append(texts[n].feed(symbols))
        kept = [stream for stream, n in enumerate(left) if not texts[n].has_ended]
        if 0 < len(kept) < len(left):
            writer.keep(kept)
        left, done = [left[stream] for stream in kept], done + len(block)
        if progress is not None:
            progress(done, config.length)
    for n in left:
        pieces[n].append(texts[n].feed("", last=True))
    return ["".join(each) for each in pieces]


def _writer(
    trained: Trained | Sequence[Trained],
    streams: int,
    prime: str,
    config: SamplingConfig,
    workers: Workers | None,
    panels: Panels | None = None,
) -> tuple[Vocab, Writer | Ensemble, Ids]:
    """The vocabulary, a writer that never writes the unknown symbol, and the ids to read first."""
    networks = _networks_of(trained)
    vocab = networks[0].vocab
    ids = vocab.encode(prime, config.unknown)
    writers = [
        Writer(
            network.model,
            config,
            streams=streams,
            banned=() if vocab.unknown is None else (vocab.unknown,),
            inner=word_symbols(vocab),
            documents=_documents_of(network, streams),
            workers=workers,
            panels=panels if len(networks) == 1 else None,
        )
        for network in networks
    ]
    for own, network in zip(writers, networks, strict=True):
        own.begin(network.opening)
    writer = writers[0] if len(writers) == 1 else Ensemble(writers)
    return vocab, writer, ids


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
