"""Line charts as SVG, and what a page's script needs to zoom into them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from charrnn.pages.charts import (
    BOTTOM,
    COLORS,
    LEFT,
    LETTER,
    RIGHT,
    TOP,
    WIDTH,
    Frame,
    Labels,
    axes,
    svg,
)
from charrnn.pages.page import escaped
from charrnn.pages.scales import Buckets, Scale, bucketed, pixels, scale_for

COLUMNS = 340
"""Most points of a line as it is drawn."""
TURNS = 3
"""Patterns of dashes in `charts.css` for lines whose colors are used again."""
LEGEND = 3
"""Rows of a legend for which a chart has room."""
SETTLED = 0.04
"""Share of the range of x after which falling lines have settled; the script has the same."""


@dataclass(frozen=True, eq=False)
class Series:
    """A line: y over x, float (n,). `sizes` are radii of points, (n,). Colors from `COLORS` on are
    the same again, with dashes that tell them apart.
    """

    name: str
    x: NDArray[Any]
    y: NDArray[Any]
    color: int = 0
    style: Literal["line", "thin", "dashed", "dotted", "points"] = "line"
    sizes: NDArray[Any] | None = None

    @property
    def drawn(self) -> Buckets:
        """The points that are drawn."""
        return bucketed(self.x, self.y, COLUMNS)


def line_chart(
    series: Sequence[Series],
    labels: Labels,
    *,
    height: int = 300,
    width: int = WIDTH,
    log_x: bool = False,
    log_y: bool = False,
    settles: bool = False,
    y_range: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
) -> str:
    """Lines over a common x, as SVG. A series of many points is drawn as the mean of neighbors,
    within a band from the least to the greatest. If lines fall steeply at first and then settle
    (`settles`), the range of y is that of all but the first 4 %.
    """
    are_log = log_x, log_y
    ranges = x_range, y_range
    frame, legend, height = _frame(series, labels, (width, height), are_log, settles, ranges)
    clip = f"{labels.name}-clip"
    left, top, right, bottom = frame.edges
    parts = [
        legend,
        axes(frame, labels),
        f'<clipPath id="{clip}"><rect x="{left - 5}" y="{top - 5}" width="{right - left + 10}" '
        f'height="{bottom - top + 6}"/></clipPath><g clip-path="url(#{clip})">',
        *(_line(each, frame, n) for n, each in enumerate(series)),
        "</g>",
    ]
    return svg(labels, width, height, "".join(parts))


def _frame(
    series: Sequence[Series],
    labels: Labels,
    size: tuple[int, int],
    are_log: tuple[bool, bool],
    settles: bool,
    ranges: tuple[tuple[float, float] | None, tuple[float, float] | None],
) -> tuple[Frame, str, int]:
    """The frame of a line chart, its legend above it, and its height, in which a long legend does
    not count. Of the pairs, the first is for x.
    """
    legend, rows = "", 0
    if len(series) > 1:
        legend, rows = _legend(series, size[0])
    height = size[1] + 20 * max(0, rows - LEGEND)
    end, bottom = size[0] - RIGHT, height - (BOTTOM if labels.x else BOTTOM - 16)
    drawn = [each.drawn for each in series]
    x = scale_for([np.asarray(each.x, np.float64) for each in series], LEFT, end, are_log[0])
    first = x.low + SETTLED * (x.high - x.low) if settles else x.low
    settled = [each.y[each.x >= first] for each in drawn]
    y = scale_for(settled, bottom, TOP + 20 * rows, are_log[1], 0.03)
    if ranges[0] is not None:
        x = Scale(*ranges[0], LEFT, end, are_log[0])
    if ranges[1] is not None:
        y = Scale(*ranges[1], bottom, TOP + 20 * rows, are_log[1])
    return Frame(x, y), legend, height


def zoom_data(
    series: Sequence[Series],
    labels: Labels,
    *,
    most: int,
    height: int = 300,
    settles: bool = False,
) -> dict[str, Any]:
    """What the page's script needs to draw a line chart's window anew: the frame, and each series
    with at most `most` points, rounded to a 65,535th of its range.
    """
    linear = False, False
    frame, *_ = _frame(series, labels, (WIDTH, height), linear, settles, (None, None))
    found = []
    for each in series:
        points = bucketed(each.x, each.y, most)
        low, high = (
            (float(points.low.min()), float(points.high.max())) if len(points.y) else (0.0, 1.0)
        )
        size = (high - low) or 1.0
        rows = [points.y]
        if len(points.y) < int(np.isfinite(each.y).sum()):
            rows += [points.low, points.high]
        found.append(
            {
                "name": each.name,
                "x": _steps(points.x),
                "low": low,
                "size": size,
                "rows": [_packed((row - low) / size) for row in rows],
            }
        )
    return {
        "frame": [round(edge, 1) for edge in frame.edges],
        "range": [frame.x.low, frame.x.high],
        "x": labels.x,
        "settles": settles,
        "series": found,
    }


def _steps(x: NDArray[np.float64]) -> list[Any]:
    """Numbers as they are, or as first, difference and count if they are equally far apart, except
    that the last group of points may be smaller.
    """
    if len(x) > 3 and np.allclose(np.diff(x[:-1]), x[1] - x[0]):
        return ["even", float(x[0]), float(x[1] - x[0]), len(x), float(x[-1])]
    return [float(f"{value:.7g}") for value in x.tolist()]


def _packed(shares: NDArray[np.float64]) -> str:
    """Numbers from 0 to 1 as two bytes each, little-endian, in base64."""
    return base64.b64encode(np.rint(65535 * shares).astype("<u2").tobytes()).decode()


def _line(series: Series, frame: Frame, index: int) -> str:
    points, color = series.drawn, series.color % COLORS
    x, y = pixels(frame.x(points.x)), pixels(frame.y(points.y))
    path = _path(x, y)
    parts = []
    if len(points.y) and bool((points.high > points.low).any()):
        above, below = pixels(frame.y(points.high)), pixels(frame.y(points.low))
        band = f"{_path(x, above)}L{_path(x[::-1], below[::-1])[1:]}Z"
        parts.append(f'<path class="band f{color}" data-band="{index}" d="{band}"/>')
    elif series.style != "points":
        parts.append(f'<path class="band f{color}" data-band="{index}" d=""/>')
    parts.append(f'<path class="{_classes(series)}" data-line="{index}" d="{path}"/>')
    if series.style == "points":
        sizes = np.full(len(x), 3.2) if series.sizes is None else series.sizes
        parts += [
            f'<circle class="point f{color}" cx="{a}" cy="{b}" r="{r:.1f}"/>'
            for a, b, r in zip(x, y, sizes, strict=True)
        ]
        parts = [f'<g data-points="{index}">', *parts, "</g>"]
    return "".join(parts)


def _classes(series: Series) -> str:
    """What a line looks like, for the style sheet."""
    turn, color = divmod(series.color, COLORS)
    names = ["line"]
    if series.style not in ("line", "points"):
        names.append(series.style)
    names.append(f"s{color}")
    if turn:
        names.append(f"turn{1 + (turn - 1) % TURNS}")
    return " ".join(names)


def _path(x: Sequence[str], y: Sequence[str]) -> str:
    return "M" + "L".join(f"{a},{b}" for a, b in zip(x, y, strict=True)) if x else ""


def _legend(series: Sequence[Series], width: int) -> tuple[str, int]:
    """Names beside a piece of their lines, in rows; and the number of rows."""
    parts, x, row = [], float(LEFT), 0
    for each in series:
        name = each.name if len(each.name) <= 60 else each.name[:59] + "…"
        size = 34 + LETTER * len(name) + 18
        if x > LEFT and x + size > width:
            x, row = float(LEFT), row + 1
        y, color = 10 + 20 * row, each.color % COLORS
        parts.append(f'<path class="{_classes(each)}" d="M{x:.0f},{y}h26"/>')
        if each.style == "points":
            parts.append(f'<circle class="point f{color}" cx="{x + 13:.0f}" cy="{y}" r="3.2"/>')
        parts.append(f'<text x="{x + 34:.0f}" y="{y + 4}">{escaped(name)}</text>')
        x += size
    return "".join(parts), row + 1
