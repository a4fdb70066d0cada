"""How symbols are drawn, and what the draws remember, as the kernels take it: from the settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charrnn.config import SamplingConfig
from charrnn.errors import ConfigError
from charrnn.kernels.constraint import Edges
from charrnn.kernels.repetition import Penalty
from charrnn.kernels.sampling import ENDED, LEFT, STATE, WRITTEN, Controls, Memory, Temperatures

HOT = 1e30
"""Largest temperature that is a float32, with room for the logits."""


def memory_of(config: SamplingConfig, streams: int, start: int = 0) -> Memory:
    """What the draws of streams that have written nothing remember; `start` as for `Writer`."""
    recent = config.dry_penalty_last_n if config.dry_multiplier > 0 else 0
    return Memory.new(streams, start, config.resolved().length or 0, recent)


def is_complete(edges: Edges, state: int, end: int) -> bool:
    """True if nothing that is allowed can follow in a state of an automaton; `end` is its own."""
    first, stop = edges.first[state : state + 2]
    return bool((edges.targets[first:stop] == end).all())


def ends_when_full(memory: Memory, edges: Edges, end: int) -> NDArray[np.int64]:
    """As `ends_of`; a text that has all its symbols has ended, too, if nothing could follow."""
    ended, marks = ends_of(memory, end), memory.marks
    if edges.first.size:
        for n in np.flatnonzero((ended < 0) & (marks[:, LEFT] == 0)):
            if is_complete(edges, marks[n, STATE], end):
                ended[n] = marks[n, WRITTEN]
    return ended


def ends_of(memory: Memory, end: int) -> NDArray[np.int64]:
    """As `Writer.ended`, by what the draws remember and the automaton's state `end`."""
    marks = memory.marks
    return np.where(marks[:, STATE] == end, marks[:, WRITTEN] - 1, marks[:, ENDED])


def controls_of(
    config: SamplingConfig,
    symbols: int,
    banned: Sequence[int] = (),
    inner: Sequence[int] = (),
    edges: Edges | None = None,
) -> Controls:
    """The settings as the kernel takes them; the arguments are those of `Writer`."""
    is_banned = np.isin(np.arange(symbols), banned)
    if is_banned.all():
        raise ConfigError("every symbol of the vocabulary is banned: leave at least one to write")
    first, span = min(config.temperature, HOT), max(1, (config.resolved().length or 0) - 1)
    last = first if config.temperature_to is None else min(config.temperature_to, HOT)
    inside = config.inner_temperature
    return Controls(
        banned=is_banned,
        edges=edges or Edges.none(),
        penalty=Penalty(
            config.dry_multiplier, math.log(config.dry_base), config.dry_allowed_length
        ),
        top_k=min(config.top_k, symbols),
        top_p=config.top_p,
        log_min_p=np.float32(math.log(config.min_p) if config.min_p > 0 else -math.inf),
        temperature=Temperatures(
            first=first,
            slope=(last - first) / span,
            span=span,
            is_inner=np.isin(np.arange(0 if inside is None else symbols), inner),
            inner=np.float32(min(inside or 0.0, HOT)),
        ),
    )
