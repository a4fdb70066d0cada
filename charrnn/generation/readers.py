"""Writers that have read a prime, and where their texts end."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import SamplingConfig
from charrnn.generation.automaton import Automaton
from charrnn.generation.drawing import controls_of, memory_of
from charrnn.generation.ensemble import Ensemble
from charrnn.generation.original import Original, original
from charrnn.generation.stopping import Endings
from charrnn.generation.writer import Ids, Writer
from charrnn.kernels.constraint import Edges
from charrnn.network.model import Panels
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.documents import DocumentTrackers
from charrnn.text.words import word_symbols

AnyWriter: TypeAlias = Writer | Ensemble | Original


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
            documents=_documents_of(networks, streams),
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
            documents=_documents_of(networks, streams),
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


def _documents_of(networks: Mixture, streams: int) -> DocumentTrackers | None:
    """What resets the states where documents begin, as in training. It reads the mixture's symbols:
    what stands for one that a network lacks may be a separator.
    """
    pattern = networks.corpus_config.document_separator
    return None if pattern is None else DocumentTrackers(networks.vocab, pattern, streams)
