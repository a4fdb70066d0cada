"""A curve in a terminal, drawn in braille: a character is two by four dots."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a character, by row and column."""
_BRAILLE = 0x2800


def braille_lines(x: ArrayLike, y: ArrayLike, width: int, height: int) -> list[str]:
    """The curve through points (n,) as `height` lines of `width` characters, from the least x and
    the greatest y in the first character.

    Points that share a column of dots are averaged, gaps between points are bridged, and points
    that are not finite are left out.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    is_seen = np.isfinite(xs) & np.isfinite(ys)
    dots = np.zeros((4 * height, 2 * width), dtype=bool)
    if is_seen.any():
        _draw(dots, _shares(xs[is_seen]), _shares(ys[is_seen]))
    codes = (dots.reshape(height, 4, width, 2) * _DOTS[:, None, :]).sum(axis=(1, 3))
    return ["".join(chr(_BRAILLE + code) if code else " " for code in row) for row in codes]


def column_of(x: float, low: float, high: float, width: int) -> int | None:
    """The column, from 0, in which a curve from x `low` to `high` has this x; None outside."""
    share = (x - low) / (high - low)
    return round(share * (2 * width - 1)) // 2 if 0 <= share <= 1 else None


def _shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values as shares of their range, which has a single value in the middle."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)


def _draw(dots: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Set the dots of a curve whose x and y are shares of their ranges."""
    rows, columns = dots.shape
    at = np.rint(x * (columns - 1)).astype(np.intp)
    counts = np.bincount(at, minlength=columns)
    (known,) = np.nonzero(counts)
    means = np.bincount(at, y, minlength=columns)[known] / counts[known]
    drawn = np.arange(known[0], known[-1] + 1)
    heights = np.rint((1 - np.interp(drawn, known, means)) * (rows - 1)).astype(np.intp)
    before = heights[0]
    for column, row in zip(drawn, heights, strict=True):
        # from beside the dot of the column before, so that steep parts have no gaps
        first = row if before == row else before + (1 if row > before else -1)
        dots[min(first, row) : max(first, row) + 1, column] = True
        before = row
