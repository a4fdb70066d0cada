"""Several networks that write one text together: each next character is drawn from the mean of
their distributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError, VocabError
from charrnn.generation.writer import CHUNK, Progress, Writer
from charrnn.kernels.sampling import draw
from charrnn.network.model import Model
from charrnn.network.parameters import Floats
from charrnn.text.documents import DocumentTrackers
from charrnn.text.vocab import Vocab


class Ensemble:
    """A `Writer` for several models of the same vocabulary; they may be of different cells and
    sizes. Options as for `Writer`.

    The mean is that of the distributions at temperature 1; banned symbols, temperature and top_k
    are applied to it, and one coin draws. Streams draw with the coins that a single writer's would.
    """

    chunk = CHUNK

    def __init__(
        self,
        models: Sequence[Model],
        streams: int = 1,
        *,
        document_separator: str | None = None,
        vocab: Vocab | None = None,
        **options: Any,
    ) -> None:
        if not models:
            raise ConfigError("an ensemble needs at least one model")
        sizes = sorted({model.config.vocab_size for model in models})
        if len(sizes) > 1:
            raise ConfigError(
                f"the models of an ensemble must have one vocabulary, not some of {sizes[0]} and "
                f"of {sizes[1]} symbols"
            )
        options |= {"document_separator": document_separator, "vocab": vocab}
        self._writers = [Writer(model, streams, **options) for model in models]
        self._documents = (
            DocumentTrackers(vocab, document_separator, streams)
            if document_separator and vocab
            else None
        )
        self._scratch = np.zeros(sizes[0], np.float32)

    def read(self, ids: NDArray[Any], progress: Progress | None = None) -> None:
        """Let every stream of every model read ids (K,), K >= 1: all but the last, which waits for
        `write`.
        """
        for writer in self._writers:
            writer.read(ids, progress)
        if self._documents is not None:
            self._documents.read(np.asarray(ids, np.int32))
        self._last = np.full(self._writers[0].streams, ids[-1], np.int32)

    def write(self, length: int) -> NDArray[np.int32]:
        """The next `length` ids of every stream, (length, streams) int32."""
        ids = np.zeros((length, len(self._last)), np.int32)
        coins = np.stack([rng.random(length) for rng in self._writers[0].coins], 1)
        for step in range(length):
            logits = [writer.step(self._last) for writer in self._writers]
            for n, coin in enumerate(coins[step]):
                ids[step, n] = self._drawn([each[n] for each in logits], coin)
            self._last = ids[step]
            if self._documents is not None:
                self._begin(self._documents.follow(self._last))
        return ids

    def _drawn(self, logits: list[Floats], coin: np.float64) -> int:
        first = self._writers[0]
        mean = log_of_mean(logits)
        return int(draw(mean, first.banned, first.temperature, first.top_k, coin, self._scratch))

    def _begin(self, streams: list[int]) -> None:
        """A document begins in these streams."""
        for writer in self._writers:
            writer.state.h[:, streams] = 0
            writer.state.c[:, streams] = 0


def log_of_mean(logits: Sequence[Floats]) -> Floats:
    """The logarithm of the mean of the distributions that logits (V,) stand for, float32 (V,)."""
    total = np.zeros(len(logits[0]))
    for each in logits:
        p = np.exp(each.astype(np.float64) - each.max())
        total += p / p.sum()
    with np.errstate(divide="ignore"):
        found: Floats = np.log(total / len(logits)).astype(np.float32)
    return found


def check_alike(vocab: Vocab, other: Vocab, where: str) -> None:
    """`VocabError` unless two models read and write the same symbols under the same numbers."""
    if vocab == other:
        return
    if vocab.unit != other.unit:
        found = f"it was trained on {other.unit}s, the first on {vocab.unit}s"
    else:
        missing = [s for s in vocab.symbols if s not in other.index]
        added = [s for s in other.symbols if s not in vocab.index]
        odd = (missing or added or [""])[0]
        what = "lacks" if missing else "has also"
        found = f"it {what} {odd!r}" if odd else "its symbols are in another order"
    raise VocabError(
        f"{where}: an ensemble needs one vocabulary, and this is not that of the first ({found}); "
        "leave it out, or "
        "train it on the same text"
    )
