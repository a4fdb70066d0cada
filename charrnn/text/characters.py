"""A text that was read but not yet encoded, and the vocabulary that is made of it.

`stored.py` and `counted.py` have the two kinds.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from charrnn.config import CorpusConfig
from charrnn.errors import CorpusError, VocabError
from charrnn.text.vocab import MAX_SYMBOLS, UNKNOWN, TextIds, Unit, Vocab, counted, name_of


class Characters(Protocol):
    """A text that was read, `length` characters long, and is still to be encoded."""

    length: int

    def counts(self) -> dict[str, int]:
        """How often each character occurs, in code point order."""

    def first_positions(self, characters: Collection[str]) -> dict[str, int]:
        """Where each of these characters occurs first."""

    def encode(self, vocab: Vocab) -> Iterator[TextIds]:
        """Turn all into ids of a vocabulary that has all characters, or an unknown symbol; yields
        them part by part.
        """

    def ids(self) -> TextIds:
        """All ids (n,), after `encode`."""


def check(text: Characters, unit: Unit, vocab: Vocab, where: str) -> None:
    """Raise `VocabError` for another unit than the vocabulary's, or for characters that it lacks if
    it has no unknown symbol.
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
    """The characters of the text in code point order; those too rare, and unknown to `extend`, as
    one.
    """
    unit, min_count = config.unit, config.min_count
    known: Iterable[str] = extend.index if extend else ()
    kept = [ch for ch, n in counts.items() if n >= min_count or ch in known]
    folded = len(kept) < len(counts)
    most = max(counts, key=lambda ch: counts[ch])
    often = f"{name_of(most, unit)}, {counted(counts[most], 'time')}"
    if len(counts) < 2 and not extend:
        raise CorpusError(
            f"{where}: the text holds nothing but {often}; at least two different "
            "symbols are needed"
        )
    if not kept:
        raise CorpusError(
            f"{where}: `min_count` {min_count} leaves no symbol; the most frequent is "
            f"{often}: make it that or less"
        )
    if len(kept) + folded > MAX_SYMBOLS:
        raise CorpusError(
            f"{where}: {len(kept) + folded} different symbols, more than {MAX_SYMBOLS}; fold the "
            "rare ones with `min_count` 2 or more, or use `unit` byte"
        )
    own = Vocab((*kept, UNKNOWN) if folded else tuple(kept), unit, len(kept) if folded else None)
    return extend.extended(own) if extend else own
