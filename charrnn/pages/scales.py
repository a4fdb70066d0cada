"""From numbers to places on a chart: ticks, labels, and long series made short."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """From values `low` to `high` to pixels `start` to `end`, linear or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, values: NDArray[np.generic] | float) -> Numbers:
        """The pixels of values, float64."""
        numbers = np.asarray(values, np.float64)
        low, high = self.low, self.high
        if self.is_log:
            numbers = np.log10(np.maximum(numbers, 1e-300))
            low, high = math.log10(low), math.log10(high)
        share = (numbers - low) / (high - low)
        return np.asarray(self.start + share * (self.end - self.start))

    def ticks(self, count: int) -> list[float]:
        """About this many round numbers in the range."""
        if self.is_log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = max(1, math.ceil((last - first + 1) / count))
            return [10.0**n for n in range(last, first - 1, -every)][::-1]
        step = round_step((self.high - self.low) / count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


def scale_for(
    values: Sequence[Numbers], start: float, end: float, is_log: bool = False, margin: float = 0.0
) -> Scale:
    """A scale for all finite values, with this share of the range added at both ends.

    A logarithmic one has whole decades, ten at most; what is less is below its start.
    """
    finite = [part[np.isfinite(part)] for part in values]
    every = np.concatenate([np.zeros(0), *finite])
    if is_log:
        every = every[every > 0]
        last = math.ceil(math.log10(every.max())) if len(every) else 0
        first = math.floor(math.log10(every.min())) if len(every) else -1
        first = max(min(first, last - 1), last - 10)
        return Scale(10.0**first, 10.0**last, start, end, True)
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    more = (high - low) * margin
    return Scale(low - more, high + more, start, end)


def round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below this."""
    power = 10.0 ** math.floor(math.log10(least))
    return float(next(n * power for n in (1, 2, 5, 10) if n * power >= least * (1 - 1e-9)))


def number(value: float) -> str:
    """A number as a tick's label: 25,000, 1.5, 0.01, or a power of ten."""
    if value and not 1e-3 <= abs(value) < 1e9:
        power = math.floor(math.log10(abs(value)) + 1e-9)
        if math.isclose(abs(value), 10.0**power):
            digits = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
            return f"{'−' if value < 0 else ''}10{digits}"
        return f"{value:.2g}"
    text = f"{value:,.4f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def pixels(values: Numbers) -> list[str]:
    """Places on a chart, to a tenth of a pixel."""
    return [f"{value:.1f}".removesuffix(".0") for value in values.tolist()]


@dataclass(frozen=True, eq=False)
class Buckets:
    """A series with its points in groups: the mean of each, and the least and greatest y in it."""

    x: Numbers
    y: Numbers
    low: Numbers
    high: Numbers


def bucketed(x: NDArray[np.generic], y: NDArray[np.generic], most: int) -> Buckets:
    """A series (n,) in at most `most` groups of neighbors, n / most points in each. Values that are
    not finite are left out.
    """
    known = np.isfinite(y)
    xs, ys = np.asarray(x, np.float64)[known], np.asarray(y, np.float64)[known]
    if len(xs) <= most:
        return Buckets(xs, ys, ys, ys)
    firsts = np.arange(0, len(xs), -(-len(xs) // most))
    sizes = np.diff(firsts, append=len(xs))
    return Buckets(
        np.add.reduceat(xs, firsts) / sizes,
        np.add.reduceat(ys, firsts) / sizes,
        np.minimum.reduceat(ys, firsts),
        np.maximum.reduceat(ys, firsts),
    )
