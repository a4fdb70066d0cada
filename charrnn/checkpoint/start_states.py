"""States that a text may start from, so that its first character is written by a network that knows
where it is.

With documents there is one: the zero state, and the separator's last character. Without, the states
are carried ones, from places in the training text where a paragraph begins
(`training.start_states`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.checkpoint.format import Arrays, File, arrays_of_state
from charrnn.config import ModelConfig
from charrnn.errors import CheckpointError, ConfigError
from charrnn.network.arithmetic import from_bf16, to_bf16
from charrnn.network.model import Model, State
from charrnn.network.parameters import Floats
from charrnn.text.vocab import checked_ids

PREFIX, IDS = "start.", "start_ids"


@dataclass(frozen=True, eq=False)
class StartStates:
    """N states to start a text from, and the id that the network reads first from each of them.

    state: h and c (L, N, H padded), numbers of bfloat16. ids: int32 (N,).
    """

    state: State
    ids: NDArray[np.int32]

    @classmethod
    def rounded(cls, state: State, ids: NDArray[np.int32]) -> StartStates:
        """These states rounded to bfloat16, in place, as they are stored: without what attention
        would look back at.
        """
        for array in (state.h, state.c):
            array[:] = _nearest(array)
        state.ids[:], state.places[:] = -1, 0
        return cls(state, ids)

    @classmethod
    def zero(cls, model: Model, before: int) -> StartStates:
        """The zero state, and the id of the character that it reads."""
        return cls(State(model, 1), np.array([before], np.int32))

    def __len__(self) -> int:
        return len(self.ids)

    def check(self, config: ModelConfig) -> None:
        """`ConfigError` unless a network with this configuration may start from these states, and
        `VocabError` unless it has their ids.
        """
        ids = checked_ids(self.ids, config.vocab_size)
        shapes = tuple(State.shapes(config, len(ids)).values())
        if tuple(array.shape for array in self.state.arrays) != shapes:
            raise ConfigError("`starts` or `openings` are states of a network of another shape")

    def chosen(self, seed: int, streams: int, take: int = 1) -> NDArray[np.int64]:
        """The start of each of `streams` takes of a seed, from `take` on, int64 (streams,): the
        seed chooses that of take 1, and the others have the next ones in turn.
        """
        first = int(np.random.SeedSequence([seed, 0x57A7]).generate_state(1)[0])
        return ((first + take - 1) % len(self) + np.arange(streams, dtype=np.int64)) % len(self)

    def put(self, state: State, streams: NDArray[np.bool_]) -> None:
        """Set these streams, bool (N of `state`,), to the first start's state."""
        state.put(streams, self.state, slice(1))

    def in_file(self, model: Model) -> Arrays:
        """The tensors start.h and start.c (L, N, H), bfloat16 as U16."""
        arrays = arrays_of_state(self.state, model.config, PREFIX)
        return {name: to_bf16(array) for name, array in arrays.items()}


def read_start_states(file: File, model: Model) -> StartStates | None:
    """The start states in a checkpoint, if there are any."""
    if f"{PREFIX}h" not in file.names:
        return None
    state, ids = file.state(model, PREFIX), file.about.get(IDS)
    symbols = range(model.config.vocab_size)
    if (
        not isinstance(ids, list)
        or len(ids) != state.h.shape[1]
        or not all(type(i) is int and i in symbols for i in ids)
    ):
        raise CheckpointError(
            f"the metadata's {IDS!r} is not a list of {state.h.shape[1]} symbols; the file is "
            "damaged"
        )
    return StartStates(state, np.array(ids, np.int32))


def _nearest(array: Floats) -> Floats:
    return from_bf16(to_bf16(array))
