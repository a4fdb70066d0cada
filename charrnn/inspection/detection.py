"""How well numbers detect features of a text, and how likely they would do as well by chance.

**The score** of a row of numbers v (T,) and a feature f (T,) is the area under the receiver
operating characteristic: the share of pairs, one character with the feature and one without, in
which the one with it has the greater number; equal numbers count half (Mann & Whitney 1947; Hanley
& McNeil 1982). With ranks r of v, from 1, the mean rank where numbers are equal,

    AUC = (sum of r where f - n1 (n1 + 1) / 2) / (n1 n0),   n1 with the feature and n0 without it.

**The test.** Numbers and features both change slowly along a text, so neighbors are no independent
samples: tests that shuffle the characters find a high or a low AUC significant in numbers that have
nothing to do with the text (the "nonsense correlations" of Yule 1926; Harris 2020, bioRxiv
2020.11.29.402719). Here the feature is moved along the text instead, and what passes the end goes
on at the beginning: this keeps how slowly each changes, and breaks what ties them together. The
moves are all multiples of one number of characters, so they are a group, and of numbers without a
tie the true place is as likely as any other to be the best: the test is exact if both are
stationary. It is not if both drift through the whole text (Harris), so features count only if they
begin often.

**Many at once.** One of thousands of pairs of a row and a feature is always high by chance. Each
pair's deviation from 1/2 is divided by its own standard deviation over all moves; the p of a pair
is the share of moves in which the greatest deviation of all pairs that are not better than it
reaches its own (step-down maxT, Westfall & Young 1993, algorithm 4.1). So if p <= 0.05 is called a
discovery, a network without any tie to the text has one in at most 5 % of texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
MOVES = 1000
"""About how many places the features are moved to; the least p is 1 / MOVES."""
NUMBERS = 1 << 21
"""Numbers whose ranks and transforms are in memory together, 48 bytes each."""
Progress = Callable[[int, int], None]


def detection(
    values: NDArray[Any], features: NDArray[np.bool_], progress: Progress | None = None
) -> tuple[Doubles, Doubles]:
    """The AUC of every row of numbers for every feature and its p (see above), float64 (F, U).

    values: (U, T), read. features: bool (F, T), each neither always true nor never. Up to T / MOVES
    characters at the beginning are left out, so that the moves divide the rest.
    """
    stride = -(-features.shape[1] // MOVES)
    moves = features.shape[1] // stride
    size = moves * stride
    flags = features[:, -size:].astype(np.float64)
    pairs = flags.sum(axis=1) * (size - flags.sum(axis=1))
    areas = np.empty((len(features), len(values)))
    deviations = np.empty((len(features), len(values), moves), np.float32)
    spectra = _spectra(flags, stride).conj().transpose(0, 2, 1)
    count = max(1, NUMBERS // size)
    for first in range(0, len(values), count):
        rows = slice(first, first + count)
        ranks = centered_ranks(values[rows, -size:])
        # exact, in any order: sums of halves below 2^53
        areas[:, rows] = 0.5 + (flags @ ranks.T) / pairs[:, None]
        # moved by every multiple of the stride: products of spectra of every stride-th character
        products = _spectra(ranks, stride) @ spectra
        moved = np.fft.irfft(products.transpose(2, 1, 0), moves)
        spread = np.maximum(moved.std(axis=2), 1e-9 * size)
        deviations[:, rows] = np.abs(moved) / spread[..., None]
        if progress is not None:
            progress(min(first + count, len(values)), len(values))
    return areas, _step_down(deviations.reshape(-1, moves)).reshape(areas.shape)


def areas_under(values: NDArray[Any], features: NDArray[np.bool_]) -> Doubles:
    """The AUC of every row for every feature, as in `detection`, of all characters: (F, U)."""
    flags, count = features.astype(np.float64), features.shape[1]
    pairs = flags.sum(axis=1) * (count - flags.sum(axis=1))
    rows = max(1, NUMBERS // count)
    sums = [
        flags @ centered_ranks(values[first : first + rows]).T
        for first in range(0, len(values), rows)
    ]
    areas: Doubles = 0.5 + np.concatenate(sums, axis=1) / pairs[:, None]
    return areas


def centered_ranks(values: NDArray[Any]) -> Doubles:
    """The rank of each number in its row (U, T), less the mean rank; equal numbers share the mean
    of theirs.
    """
    count = values.shape[1]
    places = np.arange(count) - (count - 1) / 2
    ranks = np.empty(values.shape)
    for own, row in zip(ranks, np.ascontiguousarray(values), strict=True):
        order = np.argsort(row)
        ordered = row[order]
        borders = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
        if len(borders) == count - 1:
            own[order] = places
        else:
            firsts = np.append(0, borders)
            sizes = np.diff(firsts, append=count)
            own[order] = np.repeat(places[firsts] + (sizes - 1) / 2, sizes)
    return ranks


def _spectra(rows: Doubles, stride: int) -> NDArray[np.complex128]:
    """The transforms of every stride-th number, from each of the first ones, (K, U, stride), of
    rows (U, T).
    """
    phases = rows.reshape(len(rows), -1, stride)
    result: NDArray[np.complex128] = np.fft.rfft(phases, axis=1).transpose(1, 0, 2)
    return result


def _step_down(deviations: NDArray[np.float32]) -> Doubles:
    """p of each pair, float64 (P,), from its deviations (P, moves), the first of which is the true
    one.
    """
    order = np.argsort(deviations[:, 0], kind="stable")
    greatest, own = deviations[order], deviations[order, :1]
    np.maximum.accumulate(greatest, axis=0, out=greatest)
    reached = greatest >= own
    p = np.empty(len(order))
    p[order[::-1]] = np.maximum.accumulate(reached.mean(axis=1)[::-1])
    return p
