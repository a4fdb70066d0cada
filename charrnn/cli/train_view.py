"""What a run looks like at a moment: a bar, a curve of its losses, and what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.cli.live_bar import WIDEST, bar_line
from charrnn.cli.live_block import Looks
from charrnn.cli.loss_curve import TRAINING, VALIDATION, Losses, curve, is_plausible
from charrnn.cli.terminal import duration_text, escaped, folded, wrapped

SAMPLE_LINES = 10
"""Lines of a sample that are shown at the end of a run, and at most before."""
CURVE_ROWS = 8
"""Rows of the curve, if the terminal has room for them."""
INDENT = 2
GROWTH = 60.0
"""Characters per second by which a new sample grows."""
RECENT, SMOOTHING = 400, 0.98


@dataclass(frozen=True)
class View:
    """A run at a moment.

    training: float32 (step,), the losses of the steps from 1 on, NaN where unknown.
    validation: pairs of a step and a loss.
    sample, sample_step: the newest text that it wrote, and after how many steps.
    sample_shown: how many of its characters are shown; None for all.
    details: a line below the losses.
    networks, networks_before: how many the run has, and how many of them have ended.
    """

    step: int
    total_steps: int
    seconds_left: float | None = None
    training: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    validation: Losses = ()
    best_loss: float | None = None
    sample: str | None = None
    sample_step: int = 0
    sample_shown: int | None = None
    details: str = ""
    networks: int = 1
    networks_before: int = 0

    @property
    def done(self) -> float:
        """The share of the whole run that is done."""
        return (self.networks_before + self.step / max(1, self.total_steps)) / self.networks


def picture(
    view: View, columns: int, rows: int, looks: Looks, *, has_bar: bool = True
) -> list[str]:
    """Lines of fewer columns than these, no more than these rows: what a person who has never
    trained a network wants to know, and only as much of it as there is room for.
    """
    width = min(columns - 1, WIDEST)
    left, lines = view.seconds_left, list[str]()
    if has_bar:
        beside = [] if left is None else [(0, f"{duration_text(left)} left")]
        lines.append(bar_line(view.done, beside, columns, looks))
    lines += figures(view, width, looks)
    sample = sample_lines(view, width)
    free = rows - len(lines)
    least = min(len(sample), 5)
    drawn = curve(view.training, view.validation, width, min(CURVE_ROWS, free - least - 2), looks)
    if drawn:
        lines += ["", *drawn]
        free -= len(drawn) + 1
    if free > 3 and sample:
        lines += ["", *sample[: free - 1]]
    return lines[:rows]


def figures(view: View, width: int, looks: Looks) -> list[str]:
    """The losses in words, in the colors of the curve, wrapped at words."""
    marks = ("⠒", "•") if looks.has_dots else (".", "o")
    texts = []
    recent = recent_loss(view.training)
    if recent is not None:
        texts.append((f"{marks[0]} training loss {recent:.3f}", TRAINING))
    if view.validation and is_plausible(view.validation[-1][1]):
        texts.append((f"{marks[1]} validation loss {view.validation[-1][1]:.3f}", VALIDATION))
    if view.best_loss is not None and is_plausible(view.best_loss):
        texts.append((f"best {view.best_loss:.3f}", ""))
    lines, room = [""], 0
    for text, style in texts:
        if room and room + 3 + len(text) > width:
            lines.append("")
            room = 0
        lines[-1] += (" " * 3 if room else "") + (looks.styled(text, style) if style else text)
        room += (3 if room else 0) + len(text)
    lines += wrapped(view.details, width).split("\n") if view.details else []
    return [line for line in lines if line]


def validation_text(entry: Mapping[str, Any], total_steps: int) -> str:
    """An entry of the history in a line."""
    parts = [f"step {entry['step']:,} of {total_steps:,}"]
    for name, words in (("train_loss", "training loss"), ("validation_loss", "validation loss")):
        if entry.get(name) is not None:
            parts.append(f"{words} {entry[name]:.4f}")
    return ", ".join(parts)


def recent_loss(losses: NDArray[np.float32]) -> float | None:
    """The average of the last steps' losses, in which one of 50 steps ago weighs a third of the
    last; None without any.
    """
    recent = losses[-RECENT:]
    weights = SMOOTHING ** np.arange(len(recent))[::-1]
    is_known = is_plausible(recent)
    if not is_known.any():
        return None
    return float(np.average(recent[is_known], weights=weights[is_known]))


def sample_lines(view: View, width: int) -> list[str]:
    """A heading and the first lines of the sample, escaped and folded; nothing without a sample."""
    if not view.sample:
        return []
    steps = f"{view.sample_step:,} step" + ("" if view.sample_step == 1 else "s")
    text = escaped(view.sample).expandtabs(4).strip("\n")
    room = max(10, width - INDENT)
    pieces = [piece for line in text.split("\n") for piece in folded(line, room)][:SAMPLE_LINES]
    left = len(text) if view.sample_shown is None else view.sample_shown
    lines = [f"What it writes after {steps}:"]
    for piece in pieces:
        lines.append((" " * INDENT + piece[: max(0, left)]).rstrip())
        left -= len(piece) + 1
    return lines
