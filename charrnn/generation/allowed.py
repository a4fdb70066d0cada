"""What may be written at all: a pattern, words that have to occur, and known words, as one
automaton.
"""

from __future__ import annotations

from functools import partial, reduce

from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.generation.automaton import MOST_EDGES, Automaton, product
from charrnn.generation.expression import containing, matching
from charrnn.generation.lexicon import Lexicon
from charrnn.generation.subsets import SECONDS
from charrnn.text.vocab import NOUNS, Vocab, counted


def allowed(
    vocab: Vocab,
    config: SamplingConfig,
    lexicon: Lexicon | None = None,
    prime: str = "",
    seconds: float = SECONDS,
    pattern: Automaton | None = None,
    most: int = MOST_EDGES,
) -> Automaton | None:
    """The texts that may follow a prime; None if all may.

    config: `match`, `must`, and the `length` within which a text has to be complete. `ConfigError`
    or `CorpusError` if no text is, or none but the empty one. seconds: for the automaton of
    `match`; it is too large if it takes longer. pattern: that automaton, if it is there already.
    most: edges of the automaton of all together.
    """
    parts = [] if config.match is None else [pattern or matching(config.match, vocab, seconds)]
    if config.must:
        parts.append(containing(config.must, vocab, prime))
    if lexicon is not None:
        parts.append(lexicon.automaton(vocab, prime))
    if not parts:
        if config.particles > 1:
            raise ConfigError(
                "`particles` differ only where something is not allowed: add `match`, `must` or "
                "`known_words`, or leave them out"
            )
        return None
    automaton, names = reduce(partial(product, most=most), parts), _names(config, lexicon)
    if automaton.is_empty:
        raise ConfigError(f"{names}: no text fulfils all of these together")
    least = int(automaton.distance[automaton.start])
    if config.length is not None and least > config.length:
        raise ConfigError(
            f"{names}: the shortest such text has {counted(least, NOUNS[vocab.unit])}, more than "
            f"`length` {config.length}"
        )
    first, stop = automaton.first[automaton.start : automaton.start + 2]
    if (automaton.targets[first:stop] == automaton.end).all():
        raise ConfigError(f"{names}: no text but the empty one fulfils this; allow a longer one")
    return automaton


def _names(config: SamplingConfig, lexicon: Lexicon | None) -> str:
    """What was asked for, in the names of the parameters."""
    asked = {
        "`match`": config.match is not None,
        "`must`": bool(config.must),
        "`known_words`": lexicon is not None,
    }
    return " and ".join(name for name, is_asked in asked.items() if is_asked)
