"""Sequential Monte Carlo: what is written under a mask, with the probabilities of the network.

A mask alone distorts (arXiv 2405.21047): a text that begins with what the network would seldom
write goes on as if nothing had happened, since the mask leaves it only what is allowed. So N
particles are written side by side, each with the weight

    w = product over its symbols of the probability that the mask left,

and when the effective sample size (sum w)^2 / sum w^2 falls below N / 2, they are drawn anew in
proportion to w (systematic resampling; Lew et al. 2023, arXiv 2306.03081). The text that is kept is
drawn from the last ones in the same way. For large N its distribution becomes the network's own,
given that the text is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from charrnn.generation.ensemble import Ensemble
from charrnn.generation.stopping import Text, symbols_of
from charrnn.generation.writer import Writer
from charrnn.text.vocab import Vocab

Floats: TypeAlias = NDArray[np.float64]


class Particles:
    """Of one text: its particles, each with the symbols' characters and the log of its weight.

    texts: one for each particle, all of which have read the same.
    """

    def __init__(self, texts: Sequence[Text], random: np.random.Generator) -> None:
        self._texts, self._pieces, self._random = list(texts), [""] * len(texts), random
        self.log_weights: Floats = np.zeros(len(texts))

    @property
    def have_ended(self) -> bool:
        """True if no particle goes on."""
        return all(text.ended for text in self._texts)

    def read(self, symbols: Sequence[str], ends: Sequence[int], mass: Floats, last: bool) -> None:
        """Read the next symbols of each particle, as `Text.read` does; mass: `Writer.mass`."""
        for n, text in enumerate(self._texts):
            if not text.ended:
                self._pieces[n] += text.read(symbols[n], ends[n], last)
                self.log_weights[n] = mass[n]

    def survivors(self) -> list[int]:
        """Which particle goes on in the place of each: itself, unless they are drawn anew."""
        p, N = self._normalized(), len(self._texts)
        if p @ p * N <= 2:
            return list(range(N))
        survivors = _drawn(p, (np.arange(N) + self._random.random()) / N)
        self._texts = [self._texts[n].copy() for n in survivors]
        self._pieces = [self._pieces[n] for n in survivors]
        self.log_weights[:] = 0
        return survivors

    def chosen(self) -> tuple[Text, str]:
        """A particle, drawn by weight: its end and its characters."""
        (n,) = _drawn(self._normalized(), np.array([self._random.random()]))
        return self._texts[n], self._pieces[n]

    def _normalized(self) -> Floats:
        weights: Floats = np.exp(self.log_weights - self.log_weights.max())
        weights /= weights.sum()
        return weights


def _drawn(p: Floats, points: Floats) -> list[int]:
    """The places where the sum of p exceeds these points in [0, 1)."""
    places = np.searchsorted(np.cumsum(p), points, "right")
    drawn: list[int] = places.clip(max=np.flatnonzero(p)[-1]).tolist()
    return drawn


def write_particles(
    writer: Writer | Ensemble,
    vocab: Vocab,
    groups: Sequence[Particles],
    length: int,
    progress: Callable[[int], None] = lambda written: None,
) -> None:
    """Write texts of at most `length` symbols.

    groups: of all texts, in the order of the writer's streams, as many for each. progress: called
        with the number of symbols.
    """
    left, N = list(groups), writer.streams // len(groups)
    for done in range(length):
        symbols = symbols_of(vocab, writer.write(1))
        ends, mass = (writer.ended - done).tolist(), writer.mass.copy()
        for g, group in enumerate(left):
            own = slice(g * N, (g + 1) * N)
            group.read(symbols[own], ends[own], mass[own], done + 1 == length)
        progress(done + 1)
        kept = [g for g, group in enumerate(left) if not group.have_ended]
        if not kept:
            return
        if len(kept) < len(left):
            writer.keep([g * N + n for g in kept for n in range(N)])
        left = [left[g] for g in kept]
        survivors = [g * N + n for g, group in enumerate(left) for n in group.survivors()]
        if survivors != list(range(len(survivors))):
            writer.resample(survivors)
            writer.mass[:] = np.concatenate([group.log_weights for group in left])
