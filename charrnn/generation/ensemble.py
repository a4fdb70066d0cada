"""Several networks that write one text together: each next character is drawn from the mean of
their distributions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError, VocabError
from charrnn.generation.writer import CHUNK, Ids, Progress, Uniforms, Writer
from charrnn.kernels.sampling import Controls, Memory, draw
from charrnn.network.parameters import Floats
from charrnn.text.vocab import Vocab


class Ensemble:
    """Writes like a `Writer`, with the writers of several models that share a vocabulary.

    The models may have any cells and sizes; the writers have the same settings. The distributions
    are averaged at temperature 1; the first writer applies its controls to the mean and samples
    from it.
    """

    chunk = CHUNK

    def __init__(self, writers: Sequence[Writer]) -> None:
        sizes = sorted({writer.model.config.vocab_size for writer in writers})
        if len(sizes) != 1:
            raise ConfigError(
                f"an ensemble needs at least one model, all with the same vocabulary, not "
                f"with {sizes} symbols"
            )
        self._writers, self._scratch = writers, np.zeros(sizes[0], np.float32)

    def __repr__(self) -> str:
        return f"Ensemble({len(self._writers)} writers)"

    @property
    def streams(self) -> int:
        """The number of texts."""
        return self._writers[0].streams

    @property
    def controls(self) -> Controls:
        """What the draws are controlled by."""
        return self._writers[0].controls

    @property
    def memory(self) -> Memory:
        """What the draws remember."""
        return self._writers[0].memory

    @property
    def random(self) -> list[np.random.Generator]:
        """As of a `Writer`: the source of each stream's random numbers."""
        return self._writers[0].random

    @property
    def ended(self) -> NDArray[np.int64]:
        """As `Writer.ended`."""
        return self._writers[0].ended

    @property
    def mass(self) -> NDArray[np.float64]:
        """As `Writer.mass`."""
        return self._writers[0].mass

    def read(self, ids: Ids, progress: Progress | None = None) -> None:
        """Let every stream of every model read ids (K,), K >= 1: all except the last, which `write`
        reads first.
        """
        for writer in self._writers:
            writer.read(ids, progress)

    def keep(self, streams: Sequence[int]) -> None:
        """Continue with these streams only, in this order; each writes what it would have."""
        for writer in self._writers:
            writer.keep(streams)

    def resample(self, streams: Sequence[int]) -> None:
        """As `Writer.resample`."""
        for writer in self._writers:
            writer.resample(streams)

    def spread(self, streams: int, take: int, documents: bool = True) -> "Ensemble":
        """As `Writer.spread`."""
        return Ensemble([each.spread(streams, take, documents) for each in self._writers])

    def branch(self, streams: Sequence[int]) -> "Ensemble":
        """As `Writer.branch`."""
        return Ensemble([each.branch(streams) for each in self._writers])

    def put(self, stream: int, other: "Ensemble", its: int) -> None:
        """As `Writer.put`."""
        for ours, theirs in zip(self._writers, other._writers, strict=True):
            ours.put(stream, theirs, its)

    def restrict(self, allowed: NDArray[np.bool_]) -> None:
        """As `Writer.restrict`."""
        self._writers[0].restrict(allowed)

    def write(self, length: int) -> Ids:
        """The next `length` ids of every stream, (length, streams) int32."""
        return self.drawn(self._writers[0].uniforms(length))

    def drawn(self, uniforms: Uniforms) -> Ids:
        """As `Writer.drawn`."""
        first = self._writers[0]
        ids = np.zeros((len(uniforms), first.streams), np.int32)
        for step, row in enumerate(uniforms):
            logits = [writer.step(writer.last) for writer in self._writers]
            for n, uniform in enumerate(row):
                mean = log_of_mean([each[n] for each in logits])
                ids[step, n] = draw(
                    mean, first.controls, first.last[n], uniform, self._scratch, first.memory, n
                )
            for writer in self._writers:
                writer.follow(ids[step])
        return ids


def log_of_mean(logits: Sequence[Floats]) -> Floats:
    """The log of the mean of the softmax distributions of several logits (V,); float32 (V,)."""
    total = np.zeros(len(logits[0]))
    for each in logits:
        p = np.exp(each.astype(np.float64) - each.max())
        total += p / p.sum()
    logarithm: Floats = np.log(np.maximum(total / len(logits), 1e-300)).astype(np.float32)
    return logarithm


def check_alike(vocab: Vocab, other: Vocab, where: str) -> None:
    """`VocabError` unless two vocabularies have the same symbols with the same ids."""
    if vocab == other:
        return
    if vocab.unit != other.unit:
        difference = f"it was trained on {other.unit}s, the first on {vocab.unit}s"
    else:
        missing = [s for s in vocab.symbols if s not in other.index]
        added = [s for s in other.symbols if s not in vocab.index]
        odd = (missing or added or [""])[0]
        what = "lacks" if missing else "has also"
        difference = f"it {what} {odd!r}" if odd else "its symbols are in a different order"
    raise VocabError(
        f"{where}: its vocabulary differs from the first network's ({difference}); leave it out, "
        "or train it on the same text"
    )
