"""Texts that follow an automaton: which symbols may come next, and how probable they are
together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import int32, int64, types
from numpy.typing import NDArray

from charrnn.compiler.compiling import inline
from charrnn.compiler.pointwise import ZERO, exp

NEVER = -np.float32(np.inf)
LEAST = 1e-30
"""A sum of exponentials, in which the largest is 1, that a float32 still holds exactly enough."""


class Edges(NamedTuple):
    """An automaton of S states and E edges; without one, all arrays are empty.

    first: int64 (S + 1,): the edges of state s are first[s] .. first[s + 1] - 1.
    symbols: int32 (E,), ascending within a state; targets: int32 (E,), the state after each.
    distance: int32 (S,): the fewest symbols from s to an accepting state, 0 for those.
    """

    first: NDArray[np.int64]
    symbols: NDArray[np.int32]
    targets: NDArray[np.int32]
    distance: NDArray[np.int32]

    @classmethod
    def none(cls) -> Edges:
        """No automaton: every symbol may follow every other."""
        first, others = np.zeros(0, np.int64), np.zeros(0, np.int32)
        return cls(first, others, others, others)


EDGES = types.NamedTuple((int64[::1], int32[::1], int32[::1], int32[::1]), Edges)


@inline
def exponentials(row, largest, temperature):
    """row = e^((row - largest) / temperature), zero where it is -inf: a loop by itself, since the
    sum would not vectorize.
    """
    for v in range(row.size):
        p = exp((row[v] - largest) / temperature)
        row[v] = p if row[v] > NEVER else ZERO


@inline
def largest_of(row):
    """The largest number of a row, -inf if it has none."""
    largest = NEVER
    for v in range(row.size):
        largest = max(largest, row[v])
    return largest


@inline
def edge_of(edges, state, symbol):
    """The edge of a state with this symbol, which it has: by halves."""
    low, high = edges.first[state], edges.first[state + 1] - 1
    while low < high:
        middle = (low + high) // 2
        if edges.symbols[middle] < symbol:
            low = middle + 1
        else:
            high = middle
    return low


@inline
def constrain(row, edges, state, left, allowed):
    """allowed = row for the symbols from which an accepting state is within reach of `left`
    symbols, -inf for the others; returns the number of these symbols, without banned ones (-inf).
    """
    count = 0
    for v in range(row.size):
        allowed[v] = NEVER
    for e in range(edges.first[state], edges.first[state + 1]):
        if edges.distance[edges.targets[e]] < left:
            allowed[edges.symbols[e]] = row[edges.symbols[e]]
            count += row[edges.symbols[e]] > NEVER
    return count


@inline
def log_mass(row, allowed, temperature):
    """The log of the probability of the allowed symbols, softmax(row / temperature) being that of
    all: 0 if all are allowed. row is overwritten.
    """
    largest, total, part = largest_of(row), 0.0, 0.0
    exponentials(row, largest, temperature)
    for v in range(row.size):
        total += np.float64(row[v])
        part += np.float64(row[v]) if allowed[v] > NEVER else 0.0
    if part > LEAST:
        return np.log(part / total)
    most, part = largest_of(allowed), 0.0  # beside this one, the allowed ones do not vanish
    for v in range(row.size):
        if allowed[v] > NEVER:
            part += np.float64(exp((allowed[v] - most) / temperature))
    return np.float64((most - largest) / temperature) + np.log(part / total)
