"""A text cut into batches: parallel streams, each continuing directly from one batch to the
next.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charrnn.errors import CorpusError
from charrnn.text.documents import Positions, starts_in_batch
from charrnn.text.vocab import TextIds, counted


def fit_batch_shape(
    characters: int, batch_size: int, seq_length: int, parts: int = 1
) -> tuple[int, int]:
    """The largest (batch_size, seq_length) up to these values for which every stream has a full
    window of targets, and the streams can be divided into `parts` equal parts.

    The batch shrinks first, then the sequence. `CorpusError` for fewer than 2 characters, or if
    there is not one to predict for each part.
    """
    if characters < 2:
        have = counted(characters, "character")
        raise CorpusError(
            f"the text has only {have}; at least 2 are needed, one to read and one to predict"
        )
    if characters - 1 < parts:
        raise CorpusError(
            f"the text has only {counted(characters, 'character')}, which cannot be divided into "
            f"{parts} `parts`; use fewer"
        )
    seq_length = min(seq_length, (characters - 1) // parts)
    streams = min(batch_size, (characters - 1) // seq_length)
    return streams - streams % parts, seq_length


@dataclass(frozen=True, eq=False)
class Streams:
    """N parallel streams through a text, each continuing directly from one batch to the next.

    Each stream has S = (len(ids) - 1) // N targets; stream n reads ids[n*S : (n+1)*S] and predicts
    ids[n*S+1 : (n+1)*S+1]. With `before`, the id of a character that is imagined before the text,
    all of this moves back by one, so that the first character is a target too. The S targets are
    divided over the steps in nearly equal lengths of at most `seq_length`, so that only the
    remainder of the division is left out. `CorpusError` if the text is too short for N streams.

    The state of a stream is zero before it reads ids[k] for k in `resets` (`documents.resets`), if
    there are any, and every `reset_every` characters of the stream, if that is not 0.
    """

    ids: TextIds
    batch_size: int
    seq_length: int
    resets: Positions | None = None
    reset_every: int = 0
    before: int | None = None

    def __post_init__(self) -> None:
        if self.targets < 1:
            raise CorpusError(
                f"{counted(len(self.ids), 'character')} cannot be divided into {self.batch_size} "
                "streams"
            )

    @property
    def targets(self) -> int:
        """Targets per stream, S."""
        return (len(self.ids) - 1) // self.batch_size

    @property
    def steps(self) -> int:
        """Batches in one pass over the text."""
        return -(-self.targets // self.seq_length)

    def batch(self, step: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Inputs x and targets y of a step, (T, N) int32, C-contiguous, new arrays; y is x shifted
        by one character.
        """
        n, s, first = self.batch_size, self.targets, self._first
        a, b = self._borders(step)
        targets = self.ids[first : first + n * s].reshape(n, s)[:, a:b]
        y = np.ascontiguousarray(targets.T, np.int32)
        x = np.concatenate([self.ids[None, self._firsts(a)].astype(np.int32), y[:-1]])
        if self.before is not None and a == 0:
            x[0, 0] = self.before
        return x, y

    def starts(self, step: int) -> npt.NDArray[np.bool_] | None:
        """Where the state is set to zero before an input of a step, bool (T, N), C-contiguous; None
        without documents and `reset_every`.
        """
        if self.resets is None and not self.reset_every:
            return None
        a, b = self._borders(step)
        is_start = np.zeros((b - a, self.batch_size), np.bool_)
        if self.resets is not None:
            is_start = starts_in_batch(self.resets, self._firsts(a), b - a)
        if self.reset_every:
            is_start[-a % self.reset_every :: self.reset_every] = True
        return is_start

    @property
    def _first(self) -> int:
        """The position of the first target."""
        return 1 if self.before is None else 0

    def _firsts(self, place: int) -> npt.NDArray[np.int64]:
        """The position in ids of each stream's input `place`; -1 is the character before them."""
        return np.arange(self.batch_size, dtype=np.int64) * self.targets + (place + self._first - 1)

    def _borders(self, step: int) -> tuple[int, int]:
        """Where in each stream the targets of a step begin and end."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        return self.targets * step // self.steps, self.targets * (step + 1) // self.steps
