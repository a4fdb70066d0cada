"""What a network makes of text that it has not learned from: how surprising it is, where, and
whether the network knows how sure it can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.trained import Trained
from charrnn.evaluation.calibration import Calibration, calibration
from charrnn.evaluation.evaluate import Progress
from charrnn.evaluation.score import Score, score
from charrnn.runtime.threads import Workers
from charrnn.text.corpus import Corpus
from charrnn.text.graphemes import Graphemes, graphemes
from charrnn.text.vocab import TextIds, Unit

LINE = 160
"""Characters of a line; a longer one is several."""
LETTERS = 8
"""Letters of a word that are told apart; the rest count as the last."""


@dataclass(frozen=True)
class Line:
    """Characters `start` to `end` of the text, and their mean loss in nats."""

    start: int
    end: int
    nats: float


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A part of a run's text that was held out, or its beginning, and the network's score of it.

    part: "validation", or "training" if the run held nothing out. whole: how many symbols that part
        has. ids: of the scored ones (K,). symbols: the same as a string, one character each.
    """

    part: str
    whole: int
    ids: TextIds
    symbols: str
    unit: Unit
    score: Score

    def __repr__(self) -> str:
        return f"HeldOut({len(self.ids):,} of {self.whole:,} symbols, {self.mean:.4f} nats each)"

    @property
    def where(self) -> str:
        """What its text is called."""
        return "held-out text" if self.part == "validation" else "training text"

    @property
    def mean(self) -> float:
        """Nats per symbol."""
        return float(self.score.nats.mean(dtype=np.float64))

    @cached_property
    def shown(self) -> Graphemes:
        """The text as people see it."""
        return graphemes(self.symbols, self.unit)

    @cached_property
    def nats(self) -> NDArray[np.floating]:
        """The loss of each character that people see (G,)."""
        return self.shown.sums(self.score.nats)

    @property
    def calibration(self) -> Calibration:
        """Of the most probable character at each place."""
        came = self.score.top[:, 0] == self.ids
        return calibration(self.score.probabilities[:, 0], came)

    @property
    def accuracy(self) -> float:
        """How often the character that came was the most probable one."""
        return float((self.score.top[:, 0] == self.ids).mean())

    def excerpt(self, characters: int = 1500, after: int = 300) -> tuple[int, int]:
        """Where a piece begins and ends, whole lines if they are not long: the network has read at
        least `after` characters before it.
        """
        bases, size = self.shown.bases, len(self.shown)
        start = min(after, max(0, size - characters))
        start = bases.find("\n", start, start + LINE) + 1 or start
        while start + 1 < size and bases[start] == "\n":
            start += 1
        end = min(size, start + characters)
        end = bases.rfind("\n", max(start, end - LINE), end) + 1 or end
        return (start, end) if start < end else (0, size)

    def surprising_lines(self, count: int = 10) -> list[Line]:
        """The lines with the greatest mean loss, that first, among those that are not much shorter
        than most.
        """
        lines = [*self._lines()]
        sizes = [line.end - line.start for line in lines]
        least = min(20.0, 0.5 * float(np.median(sizes))) if sizes else 0.0
        long = [line for line in lines if line.end - line.start >= least]
        return sorted(long, key=lambda line: -line.nats)[:count]

    def _lines(self) -> Iterator[Line]:
        bases, start = self.shown.bases, 0
        while start < len(bases):
            newline = bases.find("\n", start, start + LINE)
            end = newline if newline >= 0 else min(len(bases), start + LINE)
            if bases[start:end].strip():
                yield Line(start, end, float(self.nats[start:end].mean()))
            start = end + (newline >= 0)

    def by_letter(self) -> dict[str, float] | None:
        """The mean loss of the first, second, ... letter of words, and of what follows a word; None
        for a text without words between spaces.
        """
        bases = self.shown.bases
        is_letter = np.array([character.isalpha() for character in bases])
        begins = is_letter & ~np.append(False, is_letter[:-1])
        words = int(begins.sum())
        if words < 50 or not 1.5 <= is_letter.sum() / words <= 15 or is_letter.mean() < 0.3:
            return None
        index = np.arange(len(bases))
        first = np.maximum.accumulate(np.where(begins, index, 0))
        number = np.minimum(index - first, LETTERS - 1)
        means = {}
        for n in range(LETTERS):
            here = is_letter & (number == n)
            if here.sum() >= 20:
                name = f"{n + 1}{['st', 'nd', 'rd'][n] if n < 3 else 'th'}"
                means[name + (" on" if n == LETTERS - 1 else "")] = float(self.nats[here].mean())
        ends = ~is_letter & np.append(False, is_letter[:-1])
        return {**means, "after it": float(self.nats[ends].mean())} if ends.any() else means


def held_out(
    trained: Trained,
    corpus: Corpus,
    characters: int = 100_000,
    *,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> HeldOut:
    """The network's score of the beginning of the text's validation part, this many symbols at
    most; of the end of the training part if nothing was held out.
    """
    part, ids = "validation", corpus.validation
    if len(ids) < 2:
        part, ids = "training", corpus.train
    whole = len(ids)
    ids = ids[:characters] if part == "validation" else ids[-characters:]
    result = score(trained, ids, top=1, workers=workers, progress=progress)
    symbols = "".join(map(chr, corpus.vocab.codes[ids].tolist()))
    return HeldOut(part, whole, ids, symbols, corpus.vocab.unit, result)
