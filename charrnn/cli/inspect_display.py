"""Units in the terminal: a text in the colors of a unit, the units that mean something, and what a
prediction hangs on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.cli.styled_text import RESET, in_styles
from charrnn.cli.tables import Column, print_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from charrnn.inspection.attribution import Attribution
    from charrnn.inspection.trace import Trace
    from charrnn.inspection.units import Detector, UnitSearch
    from charrnn.text.graphemes import Graphemes
    from charrnn.text.vocab import Vocab

STYLES = (
    "\x1b[1;38;5;231;48;5;25m",
    "\x1b[38;5;16;48;5;74m",
    "\x1b[38;5;16;48;5;153m",
    "",
    "\x1b[38;5;16;48;5;223m",
    "\x1b[38;5;16;48;5;215m",
    "\x1b[1;38;5;231;48;5;130m",
)
"""The style of each level from -3 to 3: blue below the middle and orange above, which color-blind
eyes tell apart, and darker at both ends. Both colors are set, for dark and light backgrounds.
"""
BARS = "▁▂▃▄▅▆▇"
COLUMNS = 80
"""Columns of a line where there is no terminal."""
LISTED = 10
"""Characters that a prediction hangs on which are listed."""


def print_unit(
    shown: Graphemes, places: NDArray[Any], heading: str, ends: tuple[float, float]
) -> None:
    """Print a text in the colors of a unit, or without colors with bars below its lines.

    places: of each character on the unit's scale, -1 to 1 (G,). ends: of the scale.
    """
    low, high = ends
    terminal.show(heading)
    if terminal.has_color(sys.stdout):
        scale = "".join(f"{style}  {RESET if style else ''}" for style in STYLES)
        print(f"{low:.2f} {scale} {high:.2f}\n")
        for piece in in_styles(_pieces(shown, places)):
            sys.stdout.write(piece)
        print("" if len(shown) and shown[len(shown) - 1].endswith("\n") else "\n", end="")
        return
    print(f"{BARS[0]} {low:.2f}, {BARS[-1]} {high:.2f}; bars stand below their characters\n")
    for line in _with_bars(shown, places):
        print(line)


def _pieces(shown: Graphemes, places: NDArray[Any]) -> Iterator[tuple[str, str]]:
    """The style and the text of each character; a space shows a newline's."""
    from charrnn.inspection.activity import SIDES, levels

    for index, level in enumerate(levels(places).tolist()):
        style, piece = STYLES[level + SIDES], terminal.escaped(shown[index])
        if "\n" in piece:  # a color would fill the rest of the line
            yield style, " " if style else ""
            yield "", "\n"
        else:
            yield style, piece


def _with_bars(shown: Graphemes, places: NDArray[Any]) -> Iterator[str]:
    """The lines of a text, each followed by one of bars."""
    is_terminal = terminal.is_terminal(sys.stdout)
    room = terminal.width_of(sys.stdout) if is_terminal else COLUMNS
    heights = ((places + 1) / 2 * (len(BARS) - 1) + 0.5).astype(int).tolist()
    text, bars, used = "", "", 0
    for index, height in enumerate(heights):
        piece = terminal.one_line(shown[index])
        is_end = "\n" in shown[index]
        piece = " " if is_end else piece
        width = terminal.cells(piece)
        if used + width > room:
            yield text
            yield bars
            text, bars, used = "", "", 0
        text, bars, used = text + piece, bars + BARS[height] * width, used + width
        if is_end:
            yield text.rstrip()
            yield bars
            text, bars, used = "", "", 0
    if text:
        yield text
        yield bars


def unit_json(
    trace: Trace, kind: str, layer: int, unit: int, values: NDArray[Any]
) -> dict[str, Any]:
    """The values of a unit, one for each symbol, as one object."""
    from charrnn.inspection.activity import NAMES

    return {
        "layer": layer + 1,
        "unit": unit + 1,
        "number": kind,
        "shown": NAMES[kind],
        "text": trace.text,
        "values": values.astype(float).round(6).tolist(),
    }


def print_units(found: UnitSearch) -> None:
    """Print the best detector of each feature and how many units mean something."""
    from charrnn.inspection.units import SIGNIFICANT, STRONG

    rows = [(found.best(each.name)[0], n) for n, each in enumerate(found.features)]
    counts = found.is_strong.sum(axis=(1, 2)).tolist()
    columns: list[Column[tuple[Detector, int]]] = [
        (0, "feature", lambda row: terminal.one_line(row[0].feature)),
        (1, "best unit", lambda row: _unit_text(row[0])),
        (2, "AUC", lambda row: f"{row[0].auc:.3f}"),
        (3, "p", lambda row: f"{row[0].p:.3f}"),
        (4, "units", lambda row: str(counts[row[1]] or "none")),
    ]
    untrained = found.untrained
    if untrained is not None:
        columns.append((5, "untrained AUC", lambda row: f"{untrained[row[1]]:.3f}"))
    print_table(rows, columns)
    terminal.show(f"{found.summary}.")
    terminal.show(
        "AUC: how often the unit tells a character with the feature from one without it; 0.5 is "
        "chance. p: of one so high anywhere by chance. units: those that detect it: p at most "
        f"{SIGNIFICANT:g}, AUC at least {STRONG:g}"
        + (
            ""
            if untrained is None
            else ", and half as far from 1 as the best unit's before training"
        )
        + ". A best unit in brackets does not."
    )
    if found.untested:
        terminal.show(
            f"Too rare in this text: {', '.join(map(terminal.one_line, found.untested))}."
        )


def _unit_text(detector: Detector) -> str:
    """Such as "1.38 c on"; in brackets if it means nothing."""
    text = f"{detector.name} {detector.kind} {'on' if detector.is_on else 'off'}"
    return text if detector.is_strong else f"({text})"


def units_json(found: UnitSearch) -> dict[str, Any]:
    """The same as one object."""
    counts = found.is_strong.sum(axis=(1, 2)).tolist()
    return {
        "features": [
            {
                "feature": each.name,
                "share": float(each.values.mean()),
                "places": each.places,
                "units": counts[n],
                "untrained_auc": None if found.untrained is None else float(found.untrained[n]),
                "best": [_detector_json(one) for one in found.best(each.name, max(1, counts[n]))],
            }
            for n, each in enumerate(found.features)
        ],
        "too_rare": list(found.untested),
        "summary": found.summary,
    }


def _detector_json(detector: Detector) -> dict[str, Any]:
    return {
        "layer": detector.layer + 1,
        "unit": detector.unit + 1,
        "number": detector.kind,
        "auc": detector.auc,
        "on": detector.is_on,
        "p": detector.p,
        "means_something": detector.is_strong,
    }


def print_attribution(found: Attribution, vocab: Vocab) -> None:
    """Print the characters that a prediction hangs on, in their colors, and the strongest."""
    import numpy as np

    from charrnn.text.graphemes import graphemes
    from charrnn.text.vocab import NOUNS, counted

    noun = NOUNS[vocab.unit]
    names = [_quoted(symbol, vocab) for symbol in vocab.symbols]
    likely = np.argsort(-found.probabilities, kind="stable")[:3].tolist()
    p = float(np.exp(found.logprob))
    best = ", ".join(f"{names[i]} {100 * found.probabilities[i]:.0f} %" for i in likely)
    terminal.show(
        f"after {counted(found.at, noun)}: {names[found.target]} has p {p:.3g}, ln p "
        f"{found.logprob:.3f}; most probable {best}"
    )
    symbols = vocab.codes[found.ids[found.first : found.at]].tobytes().decode("utf-32-le")
    falls = ["-" if np.isnan(change) else f"{change:+.3f}" for change in found.changes]
    changes = np.nan_to_num(found.changes)
    shown = graphemes(symbols, vocab.unit)
    greatest = max(float(np.abs(changes).max()), 1e-6)
    places = shown.sums(changes.astype(np.float64)).clip(-greatest, greatest) / greatest
    print_unit(
        shown,
        places,
        f"How much ln p of {names[found.target]} falls without each {noun} before it:",
        (-greatest, greatest),
    )
    order = np.argsort(-np.abs(changes), kind="stable")[:LISTED].tolist()
    rows = [(n, names[found.ids[found.first + n]]) for n in order]
    columns: list[Column[tuple[int, str]]] = [
        (0, noun, lambda row: row[1]),
        (1, "back", lambda row: str(len(changes) - row[0])),
        (2, "ln p falls by", lambda row: falls[row[0]]),
        (3, "derivative", lambda row: f"{found.gradients[row[0]]:.3g}"),
    ]
    print_table(rows, columns)
    terminal.show(
        f"back: how many {noun}s before the prediction. ln p falls by: if the {noun} is left out. "
        "derivative: the norm of that of ln p by the input there."
    )


def attribution_json(found: Attribution, vocab: Vocab) -> dict[str, Any]:
    """The same as one object."""
    return {
        "at": found.at,
        "character": vocab.symbols[found.target],
        "logprob": found.logprob,
        "past": [
            {
                "offset": found.first + n,
                "char": vocab.symbols[symbol],
                "derivative": float(found.gradients[n]),
                "logprob_without": float(found.without[n]),
            }
            for n, symbol in enumerate(found.ids[found.first : found.at].tolist())
        ],
    }


def _quoted(symbol: str, vocab: Vocab) -> str:
    """A symbol in a sentence or a table."""
    if vocab.unit == "byte" and not symbol.isascii():
        return f"0x{ord(symbol):02x}"
    return {" ": "space", "\n": "newline", "\t": "tab"}.get(
        symbol, f"“{terminal.one_line(symbol)}”"
    )
