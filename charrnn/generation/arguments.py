"""The arguments of `generate` and its like, checked before anything is done with them."""

from __future__ import annotations

import numpy as np

from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.lexicon import Lexicon
from charrnn.text.corpus import Corpus


def check_arguments(
    prime: object, config: object, known_words: object, training: object, count: object = 1
) -> None:
    """`ConfigError` for one of another type than `generate` takes, and for a `count` below 1."""
    for name, value, kind, is_needed in (
        ("prime", prime, str, True),
        ("config", config, SamplingConfig, False),
        ("known_words", known_words, Lexicon, False),
    ):
        if not isinstance(value, kind) and (is_needed or value is not None):
            raise ConfigError(f"`{name}` must be a {kind.__name__}, not {type(value).__name__}")
    if not isinstance(count, int | np.integer) or count < 1:
        raise ConfigError(f"`count` must be at least 1, not {count!r}")
    if not isinstance(training, list | tuple):
        raise _no_corpora(type(training).__name__)
    for each in training:
        if not isinstance(each, Corpus):
            raise _no_corpora(f"one of {type(each).__name__}")


def _no_corpora(what: str) -> ConfigError:
    return ConfigError(
        f"`training` must be a list of Corpus, not {what}; Corpus.read and Corpus.from_text make "
        "them"
    )
