"""Labels on a plane, moved apart where they would overlap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.pages.charts import LETTER, WIDTH, Labels, svg
from charrnn.pages.page import escaped
from charrnn.pages.scales import scale_for

ROUNDS = 300
"""Of pushing labels apart, at most."""


@dataclass(frozen=True)
class Glyph:
    """A label on a map: where it belongs, what it says, and its color."""

    x: float
    y: float
    text: str
    color: int = 0


def map_chart(
    glyphs: Sequence[Glyph],
    labels: Labels,
    kinds: Sequence[str] = (),
    *,
    width: int = WIDTH,
    height: int = 520,
) -> str:
    """Labels at places of a plane, as SVG. Those that would overlap move apart, and a thin line
    leads to the place that they belong to. `kinds` says what the colors mean.
    """
    xs, ys = np.array([g.x for g in glyphs]), np.array([g.y for g in glyphs])
    x, y = scale_for([xs], 34, width - 34), scale_for([ys], height - 44, 24)
    wanted = np.stack([x(xs), y(ys)], axis=1)
    sizes = np.array([[_width(g.text), 17.0] for g in glyphs]).reshape(-1, 2)
    places = apart(wanted, sizes, (width, height - 20))
    lines, texts, key = [], [], float(width - 8)
    for n, kind in reversed([*enumerate(kinds)]):
        if any(glyph.color == n for glyph in glyphs):
            texts.append(
                f'<text class="f{n}" x="{key:.0f}" y="{height - 4}" text-anchor="end">'
                f"{escaped(kind)}</text>"
            )
            key -= LETTER * len(kind) + 16
    for glyph, (a, b), (u, v) in zip(glyphs, wanted.tolist(), places.tolist(), strict=True):
        if (a - u) ** 2 + (b - v) ** 2 > 10**2:
            lines.append(
                f'<path class="rule" d="M{a:.1f},{b:.1f}L{u:.1f},{v:.1f}"/>'
                f'<circle class="f{glyph.color}" cx="{a:.1f}" cy="{b:.1f}" r="1.6"/>'
            )
        kind = "glyph" if len(glyph.text) == 1 else "word"
        texts.append(
            f'<text class="{kind} f{glyph.color}" x="{u:.1f}" y="{v + 5:.1f}" '
            f'text-anchor="middle">{escaped(glyph.text)}</text>'
        )
    return svg(labels, width, height, "".join(lines + texts))


def _width(text: str) -> float:
    return 13.0 if len(text) == 1 else 6.0 * len(text) + 6


def apart(
    wanted: NDArray[np.float64], sizes: NDArray[np.float64], area: tuple[int, int]
) -> NDArray[np.float64]:
    """Places (n, 2) near the wanted ones at which boxes of these sizes (n, 2) do not overlap, as
    far as some hundred rounds of pushing pairs apart can do it.
    """
    places = wanted + 1e-3 * np.arange(wanted.size).reshape(wanted.shape)  # none is another's
    half = (sizes[:, None] + sizes[None]) / 2
    others = ~np.eye(len(sizes), dtype=np.bool_)
    for _ in range(ROUNDS):
        gap = places[:, None] - places[None]
        over = half - np.abs(gap)
        touching = (over > 0.01).all(axis=2) & others
        if not touching.any():
            break
        along = over.argmin(axis=2)  # the axis on which less is to be done
        push = np.where(touching, over.min(axis=2), 0) / 2
        side = np.where(gap >= 0, 1.0, -1.0)
        move = side * push[..., None] * (along[..., None] == np.arange(2))
        places = places + 0.5 * move.sum(axis=1)
        places = np.clip(places, sizes / 2, np.array(area) - sizes / 2)
    return places
