"""How all evaluations read a text: streams in parallel, one block of steps at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.network.layer import Ids
from charrnn.text.documents import Positions, starts_in_batch


@dataclass(frozen=True, eq=False)
class Block:
    """The next T characters of each of N streams.

    places: positions in the text of the characters of x, int64 (T, N).
    x, y: the characters to read and to predict, int32 (T, N), C-contiguous. Past the end of the
        text, its last character is repeated.
    starts: True where the state is set to zero before a character is read, bool (T, N); None if the
        text has no documents.
    read: how many characters each stream has read by the end of this block.
    """

    places: NDArray[np.int64]
    x: Ids
    y: Ids
    starts: NDArray[np.bool_] | None
    read: int


def walk(
    ids: NDArray[Any], starts: Positions | None, firsts: NDArray[np.int64], length: int, steps: int
) -> Iterator[Block]:
    """Read `length` characters from each of the positions firsts (N,), at most `steps` at a time.

    ids (K,), any integer type; `starts` are the positions before whose characters the state
    is set to zero, int64, sorted.
    """
    for done in range(0, length, steps):
        count = min(steps, length - done)
        places = firsts + done + np.arange(count + 1)[:, None]
        block = np.ascontiguousarray(ids[np.minimum(places, len(ids) - 1)], np.int32)
        resets = None if starts is None else starts_in_batch(starts, firsts + done, count)
        yield Block(places[:-1], block[:-1], block[1:], resets, done + count)
