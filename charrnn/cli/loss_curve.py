"""A curve of a run's losses, drawn in a terminal with braille dots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.cli.live_block import Looks
from charrnn.training.records import MOST_LOSS

START = 0.03
"""The curve may leave the picture at its top in this first share of the steps: the loss falls so
fast there that nothing else would be seen.
"""
LABEL = 6
"""Columns for the figures at the left."""
BLANK = 0x2800
BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a character, from the top row to the bottom one (Unicode 2800 to 28FF)."""
TRAINING, VALIDATION = "36", "33"
"""Styles of the two losses: cyan and yellow."""
Losses = Sequence[tuple[int, float]]


def curve(
    training: NDArray[np.float32], validation: Losses, columns: int, rows: int, looks: Looks
) -> list[str]:
    """The losses of the steps from 1 on, as a line of averages, and the validation losses, pairs
    of a step and a loss, as points. Values that are not finite or too large (`MOST_LOSS`) are left
    out. No line is returned if there are fewer than two losses of steps.
    """
    seen = np.flatnonzero(is_plausible(training))
    validation = [(step, loss) for step, loss in validation if is_plausible(loss)]
    width = columns - LABEL
    if len(seen) < 2 or width < 4 or rows < 2:
        return []
    across, down = (2, 4) if looks.has_dots else (1, 2)
    steps, losses = (seen + 1).astype(np.float64), training[seen].astype(np.float64)
    at, means = _averages(steps, losses, width)
    last = max(float(at[-1]), *(float(step) for step, _ in validation), 2.0)
    low, high = _limits(at, means, validation, last)
    dots = np.zeros((rows * down, width * across), np.bool_)

    def height(loss: NDArray[np.float64]) -> NDArray[np.int64]:
        y = (high - loss) / (high - low) * (len(dots) - 1)
        return np.clip(np.rint(y), 0, len(dots) - 1).astype(np.int64)

    first = int((at[0] - 1) / last * dots.shape[1])
    places = (np.arange(first, dots.shape[1]) + 0.5) / dots.shape[1] * last
    before = None
    for x, y in enumerate(height(np.interp(places, at, means)).tolist(), first):
        # the line goes straight up or down to the next dot
        top, bottom = sorted((y, y if before is None else before + (y > before) - (y < before)))
        dots[top : bottom + 1, x] = True
        before = y
    points = {
        (int(height(np.array([loss]))[0]) // down, min(width - 1, int((step - 0.5) / last * width)))
        for step, loss in validation
    }
    return _lines(dots, points, (low, high), looks)


def is_plausible(losses: Any) -> Any:
    """Which of the losses are shown."""
    return np.abs(losses) <= MOST_LOSS


def _averages(
    steps: NDArray[np.float64], losses: NDArray[np.float64], most: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most this many means of neighbouring steps and of their losses."""
    count = min(most, len(losses))
    begins = np.linspace(0, len(losses), count, endpoint=False).astype(np.int64)
    sizes = np.diff(begins, append=len(losses))
    return np.add.reduceat(steps, begins) / sizes, np.add.reduceat(losses, begins) / sizes


def _limits(
    at: NDArray[np.float64], means: NDArray[np.float64], validation: Losses, last: float
) -> tuple[float, float]:
    """The lowest and the highest loss in the picture."""
    later = means[at > START * last]
    values = [*(later if len(later) else means), *(loss for _, loss in validation)]
    low, high = float(min(*means, *values)), float(max(values))
    return (low, high) if high - low >= 0.01 else (low - 0.005, high + 0.005)


def _lines(
    dots: NDArray[np.bool_],
    points: set[tuple[int, int]],
    limits: tuple[float, float],
    looks: Looks,
) -> list[str]:
    across, down = (2, 4) if looks.has_dots else (1, 2)
    rows, width = dots.shape[0] // down, dots.shape[1] // across
    cells = dots.reshape(rows, down, width, across)
    low, high = limits
    labels = {0: _label(high), rows - 1: _label(low)}
    lines = []
    for row in range(rows):
        marks = sorted(column for place, column in points if place == row)
        text, parts, start = _characters(cells[row], looks.has_dots), [], 0
        for column in marks:
            parts.append(looks.styled(text[start:column], TRAINING))
            parts.append(looks.styled("•" if looks.has_dots else "o", VALIDATION))
            start = column + 1
        parts.append(looks.styled(text[start:].rstrip(), TRAINING))
        label = " " * (LABEL - 1)
        if row in labels:
            label = looks.styled(labels[row].rjust(LABEL - 1), "2")
        lines.append(f"{label} {''.join(parts)}".rstrip())
    return lines


def _label(loss: float) -> str:
    """A loss in the columns that there are for it."""
    texts = (f"{loss:.{digits}f}" for digits in (2, 1, 0))
    return next((text for text in texts if len(text) < LABEL), f"{loss:.0e}")


def _characters(cells: NDArray[np.bool_], has_dots: bool) -> str:
    """The characters for the dots (rows of dots, width, columns of dots) of one row."""
    if has_dots:
        codes = np.einsum("ywx,yx->w", cells.astype(np.int64), np.array(BRAILLE))
        return "".join(chr(BLANK + code) if code else " " for code in codes.tolist())
    return "".join(" '.:"[top + 2 * bottom] for top, bottom in cells[:, :, 0].T.tolist())
