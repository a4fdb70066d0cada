"""A bar as a line of text, and figures that fit beside it."""

from __future__ import annotations

from charrnn.cli.live_block import Looks
from charrnn.cli.terminal import cells

Fields = list[tuple[int, str]]
"""Pairs of an importance (0 is the highest) and a text."""
WIDEST = 100
"""Columns of a bar with what stands beside it; more would not be read at a glance."""
LEAST_BAR = 10


def bar_line(share: float, beside: Fields, columns: int, looks: Looks) -> str:
    """A percentage, a bar, and beside it as many fields as fit into fewer than these columns."""
    share = min(1.0, max(0.0, share))
    room = min(columns - 1, WIDEST)
    percent = f"{int(100 * share):3d} % "
    text = fitted(beside, room - len(percent) - LEAST_BAR - 2)
    if len(percent) + LEAST_BAR + 2 + cells(text) > room:
        text = ""
    length = max(1, room - len(percent) - (cells(text) + 2 if text else 0))
    full, rest = ("━", "─") if looks.has_dots else ("#", "-")
    done = round(share * length)
    bar = looks.styled(full * done, "32") + looks.styled(rest * (length - done), "2")
    return percent + bar + (f"  {text}" if text else "")


def fitted(fields: Fields, width: int, gap: str = "  ") -> str:
    """The texts side by side; the least important are dropped until the rest fits the width."""
    remaining = list(fields)
    while len(remaining) > 1 and len(gap.join(text for _, text in remaining)) > width:
        remaining.remove(max(reversed(remaining), key=lambda field: field[0]))
    return gap.join(text for _, text in remaining)


def speed_text(characters_per_second: float) -> str:
    """Three digits: 950, 9.5k, 187k, 1.2M chars/s."""
    for letter, scale in (("M", 1e6), ("k", 1e3)):
        if characters_per_second >= scale:
            value = characters_per_second / scale
            return f"{value:.{1 if value < 10 else 0}f}{letter} chars/s"
    return f"{characters_per_second:.0f} chars/s"
