"""Curves in a terminal, drawn in braille: a character is two by four dots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Series = tuple[ArrayLike, ArrayLike]
"""The x and the y of a curve's points, as many of each."""
Range = tuple[float, float]
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a character, by row and column."""
_BRAILLE = 0x2800


def braille_lines(
    series: Sequence[Series],
    width: int,
    height: int,
    *,
    log_x: bool = False,
    x_range: Range | None = None,
    y_range: Range | None = None,
) -> list[str]:
    """The curves as `height` lines of `width` characters, the highest y at the top.

    Points that share a column of dots are averaged; gaps between points are bridged; points that
    are not finite are left out, and those above or below `y_range` stand at its edge. The ranges
    are by default those of all points. To draw curves in several colors, draw each alone with the
    same ranges. With `log_x` the x axis is logarithmic, and all x must be positive.
    """
    curves = [_finite(x, y, log_x) for x, y in series]
    curves = [(x, y) for x, y in curves if x.size]
    dots = np.zeros((4 * height, 2 * width), dtype=bool)
    if curves:
        if x_range is None:
            x_ends = _range_of([x for x, _ in curves])
        else:
            x_ends = (float(np.log(x_range[0])), float(np.log(x_range[1]))) if log_x else x_range
        y_ends = _range_of([y for _, y in curves]) if y_range is None else y_range
        for x, y in curves:
            _draw(dots, _scaled(x, x_ends), _scaled(y, y_ends))
    codes = (dots.reshape(height, 4, width, 2) * _DOTS[:, None, :]).sum(axis=(1, 3))
    return ["".join(chr(_BRAILLE + code) if code else " " for code in row) for row in codes]


def column_of(x: float, width: int, x_range: Range, *, log_x: bool = False) -> int | None:
    """The column, from 0, in which `braille_lines` draws this x; None if it is outside."""
    low, high, at = np.log([*x_range, x]) if log_x else (*x_range, x)
    share = float(_scaled(np.array([at]), (low, high))[0])
    return round(share * (2 * width - 1)) // 2 if 0 <= share <= 1 else None


def _finite(x: ArrayLike, y: ArrayLike, log_x: bool) -> tuple[NDArray[np.float64], ...]:
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    xs = np.log(xs) if log_x else xs
    keep = np.isfinite(xs) & np.isfinite(ys)
    return xs[keep], ys[keep]


def _range_of(values: Sequence[NDArray[np.float64]]) -> Range:
    return min(float(v.min()) for v in values), max(float(v.max()) for v in values)


def _scaled(values: NDArray[np.float64], ends: Range) -> NDArray[np.float64]:
    """The values as shares of the range; a range of one value has it in the middle."""
    low, high = ends
    return (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)


def _draw(dots: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Set the dots of a curve whose x and y are shares of the ranges."""
    rows, columns = dots.shape
    inside = (x >= 0) & (x <= 1)
    at = np.rint(x[inside] * (columns - 1)).astype(np.intp)
    if not at.size:
        return
    counts = np.bincount(at, minlength=columns)
    (known,) = np.nonzero(counts)
    means = np.bincount(at, y[inside].clip(0, 1), minlength=columns)[known] / counts[known]
    drawn = np.arange(known[0], known[-1] + 1)
    heights = np.rint((1 - np.interp(drawn, known, means)) * (rows - 1)).astype(np.intp)
    before = heights[0]
    for column, row in zip(drawn, heights, strict=True):
        # from the row below or above that of the column before, so that steep parts have no gaps
        first = row if before == row else before + (1 if row > before else -1)
        dots[min(first, row) : max(first, row) + 1, column] = True
        before = row
