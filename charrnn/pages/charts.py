"""Charts as SVG: axes, bars and heat strips (`lines` and `label_map` have others).

A chart is a string that goes into a page which has the style `charts.css`; `standalone` makes a
file or a notebook's output of it. Colors follow the reader's theme and differ for color-blind eyes,
and no chart tells series apart by color alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.pages.page import FOLDER, escaped
from charrnn.pages.scales import Scale, number, pixels

WIDTH = 760
"""Units of a chart's width; a page scales them."""
LEFT, RIGHT, TOP, BOTTOM = 56, 26, 10, 44
"""Around the frame."""
COLORS = 6
LETTER = 6.4
"""About the width of a letter of a chart's text."""


@dataclass(frozen=True)
class Labels:
    """What a chart is called: a name for its ids, a title, a description in one or two sentences
    for those who do not see it, and what its axes mean.
    """

    name: str
    title: str
    description: str
    x: str = ""
    y: str = ""


@dataclass(frozen=True)
class Frame:
    """Where the axes are, in pixels, and how values become pixels."""

    x: Scale
    y: Scale

    @property
    def edges(self) -> list[float]:
        """Left, top, right and bottom."""
        return [self.x.start, self.y.end, self.x.end, self.y.start]


def axes(frame: Frame, labels: Labels, x_ticks: bool = True) -> str:
    """The axes of a chart, with ticks and labels."""
    left, top, right, bottom = frame.edges
    parts = ['<g data-axis="y">']
    for value, place in _places(frame.y, max(2, round((bottom - top) / 50))):
        parts.append(f'<path class="rule" d="M{left},{place}H{right}"/>')
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{place}" dy="4" text-anchor="end">{value}</text>'
        )
    parts.append('</g><g data-axis="x">')
    for value, place in _places(frame.x, max(2, round((right - left) / 90))) if x_ticks else ():
        parts.append(
            f'<text class="tick" x="{place}" y="{bottom + 17}" text-anchor="middle">{value}</text>'
        )
    parts.append(f'</g><path class="rule" d="M{left},{bottom}H{right}"/>')
    middle = (left + right) / 2
    if labels.x:
        parts.append(
            f'<text class="label" x="{middle}" y="{bottom + 36}" text-anchor="middle">'
            f"{escaped(labels.x)}</text>"
        )
    if labels.y:
        parts.append(
            f'<text class="label" transform="translate(13,{(top + bottom) / 2:.0f}) rotate(-90)" '
            f'text-anchor="middle">{escaped(labels.y)}</text>'
        )
    return "".join(parts)


def _places(scale: Scale, count: int) -> list[tuple[str, str]]:
    ticks = scale.ticks(count)
    return list(zip(map(number, ticks), pixels(scale(np.array(ticks))), strict=True))


def bars(
    values: Mapping[str, float],
    labels: Labels,
    *,
    height: int = 220,
    width: int = WIDTH,
    texts: Sequence[str] | None = None,
    color: int = 0,
) -> str:
    """Bars from zero, one per name, as SVG; `texts` stand above them."""
    numbers = np.array([*values.values()], np.float64)
    bottom = height - BOTTOM
    top = float(numbers.max()) if len(numbers) and numbers.max() > 0 else 1.0
    frame = Frame(
        Scale(0, max(1, len(numbers)), LEFT, width - RIGHT), Scale(0, top, bottom, TOP + 14)
    )
    each = (width - RIGHT - LEFT) / max(1, len(numbers))
    parts = [axes(frame, labels, x_ticks=False)]
    for n, (name, value) in enumerate(values.items()):
        x, y = LEFT + (n + 0.15) * each, float(frame.y(value))
        middle = f'x="{LEFT + (n + 0.5) * each:.1f}" text-anchor="middle"'
        parts.append(
            f'<rect class="f{color}" x="{x:.1f}" y="{y:.1f}" width="{0.7 * each:.1f}" '
            f'height="{bottom - y:.1f}" rx="1.5"/>'
            f'<text class="tick" {middle} y="{bottom + 17}">{escaped(name)}</text>'
        )
        if texts is not None:
            parts.append(f'<text class="tick" {middle} y="{y - 5:.1f}">{escaped(texts[n])}</text>')
    return svg(labels, width, height, "".join(parts))


def stacked(
    rows: Mapping[str, Sequence[float]],
    parts: Sequence[str],
    labels: Labels,
    *,
    width: int = WIDTH,
) -> str:
    """Shares of a whole (1 in all), one bar across per name, as SVG. `parts` says what they are;
    the middle one of three is left pale.
    """
    left, high = 24 + LETTER * max(map(len, rows), default=0), 22
    size, tint = width - RIGHT - left, (0.9, 0.15, 0.9)
    found, x = [], left
    for n, part in enumerate(parts):
        found.append(
            f'<rect class="f{n % 2 + (n == 2)}" x="{x:.0f}" y="4" width="12" height="12" '
            f'fill-opacity="{tint[n % 3]}"/>'
            f'<text x="{x + 18:.0f}" y="14">{escaped(part)}</text>'
        )
        x += 36 + LETTER * len(part)
    for row, (name, shares) in enumerate(rows.items()):
        y, x = 30 + row * (high + 8), left
        found.append(
            f'<text class="tick" x="{left - 10:.0f}" y="{y + 15}" text-anchor="end">'
            f"{escaped(name)}</text>"
        )
        for n, share in enumerate(shares):
            wide, middle = share * size, f'y="{y + 15}" text-anchor="middle"'
            found.append(
                f'<rect class="f{n % 2 + (n == 2)}" x="{x:.1f}" y="{y}" width="{wide:.1f}" '
                f'height="{high}" fill-opacity="{tint[n % 3]}"/>'
            )
            if wide > 40:
                look = "tick" if n == 1 else "tick paper"
                found.append(
                    f'<text class="{look}" x="{x + wide / 2:.1f}" {middle}>'
                    f"{100 * share:.0f} %</text>"
                )
            x += wide
    return svg(labels, width, 36 + len(rows) * (high + 8), "".join(found))


def heat_strip(
    rows: Mapping[str, NDArray[Any]], characters: Sequence[str], labels: Labels, *, cell: int = 11
) -> str:
    """Numbers from -1 to 1 for each character of a text, one row per name, (T,) each, as SVG: one
    color for positive ones and another for negative ones, the stronger the further from zero.
    """
    left = 12 + LETTER * max((len(name) for name in rows), default=0)
    width, high = int(left + cell * len(characters) + 4), 15
    parts = []
    for n, (name, values) in enumerate(rows.items()):
        y = 4 + n * (high + 3)
        parts.append(
            f'<text class="tick" x="{left - 8:.0f}" y="{y + 11}" text-anchor="end">'
            f"{escaped(name)}</text>"
        )
        for t, value in enumerate(np.clip(np.nan_to_num(values), -1, 1).tolist()):
            if abs(value) >= 0.02:
                parts.append(
                    f'<rect class="f{0 if value > 0 else 1}" x="{left + t * cell:.1f}" y="{y}" '
                    f'width="{cell - 0.5}" height="{high}" fill-opacity="{abs(value):.2f}"/>'
                )
    y = 4 + len(rows) * (high + 3)
    for t, character in enumerate(characters):
        parts.append(
            f'<text class="cell-text" x="{left + (t + 0.5) * cell:.1f}" y="{y + 12}" '
            f'text-anchor="middle">{escaped(character)}</text>'
        )
    return svg(labels, width, y + 20, "".join(parts))


def svg(labels: Labels, width: float, height: float, content: str) -> str:
    """A chart of this size, named and described for those who do not see it."""
    name = labels.name
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width} {height}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escaped(labels.title)}</title>'
        f'<desc id="{name}-desc">{escaped(labels.description)}</desc>{content}</svg>'
    )


def standalone(chart: str) -> str:
    """A chart with its style and a background: a file, or a cell's output in a notebook."""
    style = (FOLDER / "charts.css").read_text(encoding="utf-8")
    box = chart.split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split()
    paper = f'<rect class="paper" width="{box[0]}" height="{box[1]}"/>'
    end = chart.index("</desc>") + len("</desc>")
    return f"{chart[:end]}<style>{style}</style>{paper}{chart[end:]}"
