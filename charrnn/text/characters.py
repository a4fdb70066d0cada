"""A text that was read but not yet encoded, and its vocabulary.

`stored.py` and `counted.py` implement the two kinds.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from charrnn.config import CorpusConfig
from charrnn.errors import CorpusError, VocabError
from charrnn.text.vocab import MAX_SYMBOLS, UNKNOWN, TextIds, Unit, Vocab, counted, name_of


class Characters(Protocol):
    """A text of `length` characters that was read but not yet encoded."""

    length: int

    def counts(self) -> dict[str, int]:
        """How often each character occurs, in code point order."""

    def first_positions(self, characters: Collection[str]) -> dict[str, int]:
        """The position where each of these characters first occurs."""

    def encode(self, vocab: Vocab) -> Iterator[TextIds]:
        """Encode the text in a vocabulary that has all its characters or an unknown symbol; yields
        the ids in parts.
        """

    def ids(self) -> TextIds:
        """All ids (n,), after `encode`."""


def check(text: Characters, unit: Unit, vocab: Vocab, where: str) -> None:
    """`VocabError` if the unit differs from the vocabulary's, or if the vocabulary lacks characters
    and has no unknown symbol.
    """
    if vocab.unit != unit:
        raise VocabError(
            f"{where}: read as {unit}s, but the vocabulary is of {vocab.unit}s; set `unit` "
            f"{vocab.unit}"
        )
    absent = text.counts().keys() - vocab.index.keys() if vocab.unknown is None else set()
    if absent:
        advice = "take it out of the text, or train with `min_count` 2"
        raise vocab.complaint(text.first_positions(absent), advice, f"{where}: ")


def vocabulary_of(
    counts: dict[str, int], config: CorpusConfig, extend: Vocab | None, where: str
) -> Vocab:
    """The characters of the text in code point order; characters that are too rare and not in
    `extend` become one unknown symbol.
    """
    unit, min_count = config.unit, config.min_count
    extended: Iterable[str] = extend.index if extend else ()
    symbols = [ch for ch, n in counts.items() if n >= min_count or ch in extended]
    folded = len(symbols) < len(counts)
    most = max(counts, key=lambda ch: counts[ch])
    often = f"{name_of(most, unit)}, {counted(counts[most], 'time')}"
    if len(counts) < 2 and not extend:
        raise CorpusError(
            f"{where}: the text contains only {often}; use a text with at least two different "
            "symbols"
        )
    if not symbols:
        raise CorpusError(
            f"{where}: `min_count` {min_count} leaves no symbol; the most frequent is {often}: use "
            "that or less"
        )
    if len(symbols) + folded > MAX_SYMBOLS:
        raise CorpusError(
            f"{where}: {len(symbols) + folded} different symbols, more than {MAX_SYMBOLS}; fold "
            "the rare ones with `min_count` 2 or more, or use `unit` byte"
        )
    own = Vocab(
        (*symbols, UNKNOWN) if folded else tuple(symbols), unit, len(symbols) if folded else None
    )
    return extend.extended(own) if extend else own
