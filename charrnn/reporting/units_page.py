"""The page that colors a text by what a unit does, for every unit of a network.

The text is in the page's HTML, and so are the units that mean something. The script colors it by a
unit from that list or by any other. The numbers of all units are in the page, each in one of 31
steps and compressed: about a megabyte for 640 numbers and 3,000 characters.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from charrnn.errors import ConfigError
from charrnn.inspection.activity import NAMES, activity, bounds, kinds_of, positions
from charrnn.inspection.units import SIGNIFICANT, STRONG
from charrnn.pages.page import escaped, page, visible
from charrnn.reporting.surprise import DIGITS
from charrnn.text.graphemes import Graphemes, graphemes

if TYPE_CHECKING:
    from charrnn.inspection.trace import Trace
    from charrnn.inspection.units import Detector, UnitSearch

STEPS = 30
"""The highest step of a number on its unit's scale; an even number, so that the middle is one."""
CHARACTERS = 3000
"""Characters of a page, by default."""
BLOCK = 1000
"""Characters of a block; it ends at the next newline, or at twice as many."""
LISTED = 5
"""Units of a feature that the page lists."""
PANEL = (
    '<div id="panel" role="region" aria-label="Character"><div>'
    '<output id="detail" aria-live="polite">No character chosen.</output>'
    '<button type="button" id="previous">Previous unit</button>'
    '<button type="button" id="next">Next unit</button></div></div>\n'
)
CLASSES = ("n3", "n2", "n1", "", "p1", "p2", "p3")
"""Of the levels of color."""


def units_page(
    trace: Trace,
    found: UnitSearch | None = None,
    *,
    title: str = "Units",
    characters: int = CHARACTERS,
) -> str:
    """A page in one file, as HTML: the text of a trace in the colors of a unit, which the reader
    chooses from those that mean something, or by number.

    found: the result of `find_units`, which may be of a longer text; None for no list.
    characters: how many of the text's first ones are shown.
    """
    if characters < 1:
        raise ConfigError(f"`characters` must be at least 1, not {characters}")
    kinds, (layers, units) = kinds_of(trace), (int(size) for size in trace.h.shape[1:])
    shown = graphemes(trace.text, trace.trained.vocab.unit)
    count = min(len(shown), characters)
    ends, steps = _steps(trace, shown, count)
    strong = [] if found is None else found.detectors

    def row_of(one: Detector) -> int:
        return (kinds.index(one.kind) * layers + one.layer) * units + one.unit

    blocks = list(_blocks(shown, count))
    body = (
        f"<h1>{escaped(title)}</h1>\n{'' if found is None else _found_part(found, strong, row_of)}"
        f"{_controls(kinds, layers, units)}{_text_part(shown, blocks)}{PANEL}"
    )
    data = {
        "characters": count,
        "layers": layers,
        "units": units,
        "kinds": [NAMES[kind] for kind in kinds],
        "steps": STEPS,
        "first": row_of(strong[0]) if strong else 0,
        "searched": found is not None,
        "found": [{"row": row_of(one), "tells": _tells(one)} for one in strong],
        "ends": np.round(ends, 4).tolist(),
        "widths": [_widths(shown, a, b) for a, b in blocks],
        "values": base64.b64encode(zlib.compress(steps.tobytes(), 9)).decode(),
    }
    return page(title, body, style="units.css", script="units.js", data=data)


def _steps(
    trace: Trace, shown: Graphemes, count: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """The ends of all numbers' scales, float64 (K L H, 2), and the step of each after each of the
    first characters, uint8 (K L H, count).
    """
    lasts = np.append(shown.firsts[1:], len(trace.ids))[:count] - 1
    ends, steps = [], []
    for kind in kinds_of(trace):
        numbers = activity(trace, kind)[: lasts[-1] + 1].reshape(lasts[-1] + 1, -1)
        ends.append(np.stack(bounds(numbers), axis=1))
        places = positions(numbers)[lasts]
        steps.append(np.rint((places + 1) / 2 * STEPS).astype(np.uint8).T)
    return np.concatenate(ends), np.concatenate(steps)


def _text_part(shown: Graphemes, blocks: Sequence[tuple[int, int]]) -> str:
    """The text, in blocks."""
    texts = (visible(shown.text[shown.places[a] : shown.places[b]]) for a, b in blocks)
    parts = (
        f'<p class="block" dir="auto" data-first="{a}">{escaped(text)}</p>'
        for (a, _), text in zip(blocks, texts, strict=True)
    )
    return (
        '<div id="text" tabindex="0" role="group" aria-labelledby="heading">\n'
        f"{''.join(parts)}\n</div>\n"
    )


def _blocks(shown: Graphemes, count: int) -> Iterator[tuple[int, int]]:
    """Where each block of the first characters begins and ends."""
    bases, a = shown.bases, 0
    while a < count:
        b = bases.find("\n", a + BLOCK, a + 2 * BLOCK) + 1 or a + 2 * BLOCK
        yield a, min(b, count)
        a = b


def _widths(shown: Graphemes, a: int, b: int) -> str:
    """The width of each character in UTF-16 units; empty if all are 1."""
    if int(shown.places[b] - shown.places[a]) == b - a and shown.text.isascii():
        return ""
    return "".join(
        DIGITS[len(shown[n].encode("utf-16-le", "surrogatepass")) // 2] for n in range(a, b)
    )


def _tells(one: Detector) -> str:
    """What a unit detects."""
    side = "high" if one.is_on else "low"
    return visible(f"{side} for \u201c{one.feature}\u201d (AUC {one.auc:.3f})")


def _found_part(
    found: UnitSearch, strong: Sequence[Detector], row_of: Callable[[Detector], int]
) -> str:
    """The features, each with the units that detect it, as buttons."""
    rows = []
    for index, feature in enumerate(found.features):
        own = [one for one in strong if one.feature == feature.name]
        best = own[0] if own else found.best(feature.name)[0]
        buttons = " ".join(
            f'<button type="button" data-row="{row_of(one)}" aria-pressed="false">'
            f"{one.name} {one.kind}</button>"
            for one in own[:LISTED]
        )
        more = f" and {len(own) - LISTED:,} more" if len(own) > LISTED else ""
        cells = [f"{best.auc:.3f}", f"{best.p:.3f}"]
        if found.untrained is not None:
            cells.append(f"{found.untrained[index]:.3f}")
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        look = "" if own else ' class="weak"'
        rows.append(
            f"<tr{look}><td>{escaped(feature.name)}</td><td>{buttons or 'none'}{more}</td>"
            f"{numbers}</tr>\n"
        )
    heads = ["best AUC", "p", "untrained"][: 2 + (found.untrained is not None)]
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in heads)
    rare = ""
    if found.untested:
        rare = f" Too rare in this text to be tested: {escaped(', '.join(found.untested))}."
    untrained = (
        ", and half as far from 1 as that of the best unit of the same network before training "
        "(untrained)"
        if found.untrained is not None
        else ""
    )
    return (
        f"<h2>Units that detect something</h2>\n<p>{escaped(found.summary)}.</p>\n"
        '<div class="scroll"><table class="found">\n<thead><tr><th scope="col">feature</th>'
        f'<th scope="col">units</th>{head}</tr></thead>\n<tbody>\n{"".join(rows)}</tbody>\n'
        '</table></div>\n<p class="note">AUC: how often the unit tells a character with the '
        "feature from one without it; 0.5 is chance. p: of one so high anywhere by chance. A unit "
        f"detects a feature if p is at most {SIGNIFICANT:g} and its AUC at least {STRONG:g}"
        f"{untrained}.{rare} A unit that detects none of these may still mean something else, or "
        "something together with others.</p>\n"
    )


def _controls(kinds: Sequence[str], layers: int, units: int) -> str:
    """What chooses a unit by number, and the legend."""
    options = "".join(f'<option value="{n}">{NAMES[kind]}</option>' for n, kind in enumerate(kinds))
    swatches = "".join(f'<i class="{name}"></i>' for name in CLASSES)
    return (
        '<h2 id="heading">Text</h2>\n<div class="choice">'
        f'<label>Layer <input type="number" id="layer" min="1" max="{layers}" value="1"></label>'
        f'<label>Unit <input type="number" id="number" min="1" max="{units}" value="1"></label>'
        f'<label>Number <select id="kind">{options}</select></label></div>\n'
        '<p id="unit" role="status">No unit chosen.</p>\n'
        f'<div class="legend"><span id="low"></span>{swatches}<span id="high"></span>'
        '<span class="note">the middle is <span id="middle"></span></span></div>\n'
        '<p class="note">Point at a character, or click on it and move with the left and right '
        "arrow keys; n and p go to the next and the previous unit of the table.</p>\n"
    )
