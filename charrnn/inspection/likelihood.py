"""How likely a network finds what it wrote, and which of several texts it finds likeliest."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from charrnn.checkpoint.mixture import Mixture
from charrnn.checkpoint.trained import Trained
from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.texts import evaluate_texts
from charrnn.generation.generate import Written, generate_texts
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.writer import Progress
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.documents import resets


def with_logprobs(
    trained: Trained | Sequence[Trained],
    texts: Sequence[Written],
    prime: str = "",
    config: SamplingConfig | None = None,
    *,
    workers: Workers | None = None,
) -> list[Written]:
    """The texts that `generate_texts` wrote after a prime, with `Written.logprobs`: ln p of each
    symbol, given what stands before it, by the network's own distribution: at temperature 1, before
    all controls, with weights in float32.

    trained, prime, config: as they were for `generate_texts`. With `config.particles`, which start
    from states of their own, the state before a text is that of the first one.
    """
    mixture, config = Mixture.of(trained), config or SamplingConfig()
    vocab, pattern = mixture.vocab, mixture.corpus_config.document_separator
    before = vocab.encode(prime, config.unknown)
    sizes = [len(vocab.in_symbols(text.text)) for text in texts]
    full = [n for n, size in enumerate(sizes) if size]
    ids = [np.append(before, vocab.encode(texts[n].text)) for n in full]
    first = [config.particles * (text.take - 1) + 1 for text in texts]
    chosen = [
        np.concatenate([each.opening.chosen(config.seed, 1, first[n]) for n in full])
        for each in (mixture if full else ())
    ]
    losses = evaluate_texts(
        mixture,
        ids,
        [network.opening for network in mixture],
        starts=None if pattern is None else [resets(text, vocab, pattern) for text in ids],
        chosen=chosen,
        workers=workers,
    )
    found = {n: -each.losses[-sizes[n] :] for n, each in zip(full, losses, strict=True)}
    nothing = np.empty(0, np.float32)
    return [replace(text, logprobs=found.get(n, nothing)) for n, text in enumerate(texts)]


def best_of(
    trained: Trained | Sequence[Trained],
    takes: int,
    prime: str = "",
    config: SamplingConfig | None = None,
    *,
    count: int = 1,
    workers: Workers | None = None,
    known_words: Lexicon | None = None,
    progress: Progress | None = None,
    training: Sequence[Corpus] = (),
) -> list[Written]:
    """`count` texts, each of which is the likeliest of this many takes, of equals the first, by
    `Written.nats_per_char`. The takes are those from `config.take` on; an empty text is the least
    likely one.

    Other arguments as for `generate_texts`.
    """
    if takes < 1:
        raise ConfigError(f"`best_of` must be at least 1, not {takes}")
    texts = generate_texts(
        trained,
        count * takes,
        prime,
        config,
        workers=workers,
        known_words=known_words,
        progress=progress,
        training=training,
    )
    return likeliest(with_logprobs(trained, texts, prime, config, workers=workers), takes)


def likeliest(texts: Sequence[Written], takes: int) -> list[Written]:
    """Of each `takes` of the texts, which have `logprobs`, the likeliest, as of `best_of`."""
    groups = (texts[n : n + takes] for n in range(0, len(texts), takes))
    return [min(group, key=_nats) for group in groups]


def _nats(text: Written) -> float:
    return math.inf if text.nats_per_char is None else text.nats_per_char
