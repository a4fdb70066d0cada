"""Learning curves as a picture, and a run as a notebook shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.pages.charts import Labels, standalone
from charrnn.pages.lines import Series, line_chart
from charrnn.pages.page import escaped
from charrnn.text.vocab import NOUNS, Unit

LABELS = Labels(
    "learning",
    "How the loss fell",
    "Learning curves: the loss on the training text and on the validation text over the steps of "
    "training. Lower is better.",
    "step",
    "nats per character",
)


def learning_curves(
    validations: Sequence[Mapping[str, Any]],
    losses: NDArray[Any],
    *,
    name: str = "",
    colors: tuple[int, int] = (0, 1),
) -> list[Series]:
    """The training and the validation losses of a run, as lines of a chart.

    validations: entries of its history. losses: of every step, (steps,); without them, the training
        losses are the means in the history.
    """
    of, curves = f"{name}: " if name else "", []
    known = [entry for entry in validations if entry.get("train_loss") is not None]
    if np.isfinite(losses).any():
        steps = np.arange(1, len(losses) + 1)
        curves.append(Series(f"{of}training", steps, losses, colors[0], "thin"))
    elif known:
        curves.append(Series(f"{of}training", *_column(known, "train_loss"), colors[0], "dashed"))
    if validations:
        points = _column(validations, "validation_loss")
        curves.append(Series(f"{of}validation", *points, colors[1], "points"))
    return curves


def _column(entries: Sequence[Mapping[str, Any]], key: str) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.array([e["step"] for e in entries]), np.array([e[key] for e in entries])


def run_html(
    summary: str, validations: Sequence[Mapping[str, Any]], losses: NDArray[Any], unit: Unit
) -> str:
    """A run in a notebook: a line about it, and its learning curves."""
    known = [entry for entry in validations if entry.get("validation_loss") is not None]
    curves = learning_curves(known, losses)
    if not curves:
        return f"<p>{escaped(summary)}: no losses to draw yet</p>"
    labels = replace(LABELS, y=f"nats per {NOUNS[unit]}")
    chart = standalone(line_chart(curves, labels, settles=True))
    return f'<p>{escaped(summary)}</p><div style="max-width:48rem">{chart}</div>'
