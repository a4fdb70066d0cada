"""A trace as a notebook shows it: what some units do over the first characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from charrnn.inspection.activity import NAMES, activity, kinds_of, positions
from charrnn.pages.charts import Labels, heat_strip, standalone
from charrnn.pages.page import escaped, visible

if TYPE_CHECKING:
    from charrnn.inspection.trace import Trace

CHARACTERS, UNITS = 80, 10
"""Of a strip: the first characters of the text, and the units that change most."""


def trace_html(trace: Trace) -> str:
    """A line about a trace, and a heat strip of its liveliest units."""
    name = NAMES[kinds_of(trace)[0]]
    values = activity(trace).reshape(len(trace), -1)
    chosen = np.sort(np.argsort(-values.std(axis=0), kind="stable")[:UNITS])
    places, units = positions(values[:, chosen])[:CHARACTERS], trace.h.shape[2]
    rows = {
        f"{number // units + 1}.{number % units + 1}": places[:, n]
        for n, number in enumerate(chosen.tolist())
    }
    labels = Labels(
        "trace",
        f"{name} of {len(rows)} units over the first characters",
        "Each row is a unit, named by its layer and number; blue is high and orange is low on its "
        "own scale.",
    )
    shown = [{"\n": "⏎", " ": "·"}.get(c, c) for c in visible(trace.text[:CHARACTERS])]
    chart = standalone(heat_strip(rows, shown, labels))
    return f'<p>{escaped(repr(trace))}</p><div style="max-width:64rem">{chart}</div>'
