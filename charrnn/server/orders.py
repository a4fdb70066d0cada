"""From a request to the texts that are written for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from charrnn.checkpoint.mixture import Mixture
from charrnn.config import SamplingConfig
from charrnn.errors import CharrnnError
from charrnn.generation.allowed import allowed
from charrnn.generation.automaton import Automaton
from charrnn.generation.lexicon import Lexicon
from charrnn.server.completion import Completion
from charrnn.server.refusal import Refusal
from charrnn.server.stream import Order, Stream
from charrnn.text.vocab import Vocab

MOST_EDGES = 500_000
"""Of the automaton of a pattern: 4 MB."""
MOST_BOTH = 2_000_000
"""Of those of a pattern with known words, for all prompts of a request."""
SECONDS = 1.0
"""In which it has to be built: others wait for it."""


def streams_of(
    completion: Completion,
    networks: Mixture,
    known_words: Lexicon | None,
    report: Callable[[Stream], None],
    tells_chances: bool = False,
) -> list[Stream]:
    """The texts of a request: `best_of` for each prompt. `Refusal` if what they have to match
    cannot be written.

    tells_chances: as for an `Order`.
    """
    config, size, owner = completion.config, completion.best_of, object()
    logprobs = completion.logprobs
    if size > completion.n:  # the best ones are chosen by them
        logprobs = logprobs or 0
    scores = 0 if completion.echo and completion.logprobs is not None else None
    streams = []
    for number, prompt in enumerate(completion.prompts):
        try:
            automaton = _automaton(completion, networks.vocab, known_words, prompt.read)
            for n in range(size):
                order = Order(
                    ids=prompt.ids,
                    config=replace(config, take=config.take + number * size + n),
                    automaton=automaton,
                    bias=completion.bias,
                    logprobs=logprobs,
                    tells_chances=tells_chances,
                    scores=scores,
                    start=completion.start,
                    owner=owner,
                )
                streams.append(Stream(networks, order, report))
        except CharrnnError as error:
            raise Refusal.of(error) from None
    return streams


def _automaton(
    completion: Completion, vocab: Vocab, known_words: Lexicon | None, prompt: str
) -> Automaton | None:
    if completion.known_words and known_words is None:
        raise Refusal(
            "this server has no list of known words: start it with --known-words",
            "known_words",
            "unsupported_parameter",
        )
    config = completion.config
    pattern = None if config.match is None else _matching(vocab, config.match, config.length)
    if not completion.known_words:
        return pattern
    most = MOST_BOTH // len(completion.prompts)
    return allowed(vocab, config, known_words, prompt, pattern=pattern, most=most)


@lru_cache(maxsize=16)
def _matching(vocab: Vocab, match: str, length: int | None) -> Automaton | None:
    automaton = allowed(vocab, SamplingConfig(match=match, length=length), seconds=SECONDS)
    if automaton is not None and len(automaton.symbols) > MOST_EDGES:
        raise Refusal(
            "'match' is too large for this server: use fewer repeats inside repeats, and smaller "
            "numbers in braces",
            "match",
            "invalid_value",
        )
    return automaton
