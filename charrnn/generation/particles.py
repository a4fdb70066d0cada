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


def write_particles(
    writer: Writer | Ensemble,
    vocab: Vocab,
    texts: Sequence[Text],
    length: int,
    random: np.random.Generator,
    progress: Callable[[int], None] = lambda written: None,
) -> tuple[Text, str]:
    """A text of at most `length` symbols: where it ended, and its characters.

    texts: one for each of the writer's streams, all of which have read the same. progress: called
        with the number of symbols.
    """
    texts, pieces, mass = list(texts), [""] * len(texts), np.zeros(len(texts))
    for done in range(length):
        symbols, ends = symbols_of(vocab, writer.write(1)), (writer.ended - done).tolist()
        for n, text in enumerate(texts):
            if not text.ended:
                pieces[n] += text.read(symbols[n], ends[n], done + 1 == length)
                mass[n] = writer.mass[n]
        progress(done + 1)
        if all(text.ended for text in texts):
            break
        p = _normalized(mass)
        if 2 / (p @ p) < len(p):
            points = (np.arange(len(p)) + random.random()) / len(p)
            survivors = _drawn(p, points).tolist()
            writer.resample(survivors)
            texts, pieces = [texts[n].copy() for n in survivors], [pieces[n] for n in survivors]
            mass[:] = writer.mass[:] = 0
    chosen = int(_drawn(_normalized(mass), np.array([random.random()]))[0])
    return texts[chosen], pieces[chosen]


def _normalized(log_weights: Floats) -> Floats:
    weights: Floats = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return weights


def _drawn(p: Floats, points: Floats) -> NDArray[np.int64]:
    """The places where the sum of p exceeds these points in [0, 1)."""
    places: NDArray[np.int64] = np.searchsorted(np.cumsum(p), points, "right")
    return places.clip(max=np.flatnonzero(p)[-1])
