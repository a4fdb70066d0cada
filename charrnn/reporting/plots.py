"""The pictures of a report, each as SVG by its name."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

import numpy as np

from charrnn.inspection.features import is_vowel
from charrnn.pages.charts import Labels, bars, stacked
from charrnn.pages.label_map import Glyph, map_chart
from charrnn.pages.lines import Series, line_chart, zoom_data
from charrnn.reporting.held_out import HeldOut
from charrnn.reporting.inside import Inside
from charrnn.reporting.run_facts import RunFacts
from charrnn.reporting.story import Story
from charrnn.text.vocab import NOUNS, Unit, Vocab
from charrnn.training.curves import LABELS, learning_curves

POINTS = 12_000
"""Most points of a curve that the page holds for zooming."""
ON_MAP = 110
"""Most characters on the map: the most frequent."""
PLACES = 300
"""Points of the curve of surprise over the text."""
GATES = {"i": "input gate", "f": "forget gate", "o": "output gate"}
"""Gates by their names in the equations."""
KINDS = ("vowels", "other letters", "capitals", "digits", "punctuation", "spaces and others")
"""What characters are colored by on the map."""


def charts_of(story: Story) -> dict[str, str]:
    """Every picture that there is something for."""
    charts = {}
    if curves := curves_of(story.runs):
        charts["learning"] = line_chart(curves, _learning(story), settles=True)
    if rates := learning_rates(story.runs):
        charts["rate"] = line_chart(rates, RATE, height=150)
    if story.held_out is not None:
        charts["surprise"] = _surprise(story.held_out)
        if means := story.held_out.by_letter():
            charts["letters"] = _letters(means)
        charts["calibration"] = _calibration(story.held_out)
        charts["confidence"] = _confidence(story.held_out)
    if story.inside is not None and story.inside.gates:
        charts["gates"] = _gates(story.inside)
    if story.reach:
        charts["reach"] = _reach(story)
    charts["map"] = _map(story)
    return charts


def zooms_of(story: Story) -> dict[str, Any]:
    """What the page's script needs to zoom into pictures, by their names."""
    zooms = {}
    if curves := curves_of(story.runs):
        zooms["learning"] = zoom_data(curves, _learning(story), most=POINTS, settles=True)
    if rates := learning_rates(story.runs):
        zooms["rate"] = zoom_data(rates, RATE, most=POINTS // 10, height=150)
    return zooms


RATE = Labels(
    "rate",
    "The learning rate",
    "The size of the steps: the learning rate over the steps of training.",
    "step",
    "rate",
)


def curves_of(runs: tuple[RunFacts, ...]) -> list[Series]:
    """The losses of each run; with one run they differ in color, with several each run has one."""
    if len(runs) == 1:
        return learning_curves(runs[0].validations, runs[0].losses)
    return [
        curve
        for n, run in enumerate(runs)
        for curve in learning_curves(run.validations, run.losses, name=run.name, colors=(n, n))
    ]


def learning_rates(runs: tuple[RunFacts, ...]) -> list[Series]:
    """The learning rate of each run that has a record of its steps."""
    return [
        Series(run.name, np.arange(1, len(run.steps) + 1), run.steps["learning_rate"], n)
        for n, run in enumerate(runs)
        if len(run.losses)
    ]


def _surprise(read: HeldOut) -> str:
    size = len(read.shown)
    every = max(1, -(-size // PLACES))
    firsts = np.arange(0, size, every)
    means = np.add.reduceat(read.nats, firsts) / np.diff(firsts, append=size)
    series = [
        Series(f"mean of {every:,} characters", firsts + every / 2, means, 0),
        Series("mean of all", np.array([0, size]), np.full(2, read.nats.mean()), 5, "dashed"),
    ]
    labels = Labels(
        "surprise",
        f"Surprise over the {read.where}",
        f"The mean surprise of neighboring characters, from the beginning of the {read.where} to "
        "its end. High places are passages that the network did not expect.",
        "character",
        "nats",
    )
    return line_chart(series, labels, height=200, x_range=(0, size))


def _letters(means: dict[str, float]) -> str:
    labels = Labels(
        "letters",
        "Surprise within a word",
        "The mean surprise of the first, second and later letters of words, and of what follows a "
        "word: " + ", ".join(f"{name} {nats:.2f}" for name, nats in means.items()),
        "letter of the word",
        "nats",
    )
    return bars(means, labels, texts=[f"{nats:.2f}" for nats in means.values()])


def _calibration(read: HeldOut) -> str:
    found = read.calibration
    some = found.counts > 0
    share = found.counts[some] / found.counts.sum()
    series = [
        Series("as sure as it may be", np.array([0, 1]), np.array([0, 1]), 5, "dashed"),
        Series(
            "this network",
            found.confidence[some],
            found.accuracy[some],
            0,
            "points",
            sizes=2.5 + 12 * np.sqrt(share),
        ),
    ]
    labels = Labels(
        "calibration",
        "Does it know what it knows?",
        "Reliability diagram: how often the most probable character came, over the probability "
        "that the network gave it. On the diagonal both are the same. The area of a point is the "
        f"share of predictions. Expected calibration error {found.error:.4f}.",
        "probability that it gave",
        "share that came true",
    )
    return line_chart(series, labels, width=440, height=400, x_range=(0, 1), y_range=(0, 1))


def _confidence(read: HeldOut) -> str:
    counts = read.calibration.counts
    edges = np.linspace(0, 1, len(counts) + 1)
    shares = {
        f"{100 * edge:.0f}": 100 * n / counts.sum() for edge, n in zip(edges, counts, strict=False)
    }
    labels = Labels(
        "confidence",
        "How sure it is",
        "The share of predictions, in percent, by the probability of the most probable character.",
        "probability from, in percent",
        "% of predictions",
    )
    return bars(shares, labels, width=440, height=400)


def _gates(within: Inside) -> str:
    rows = {}
    for name, gate in within.gates.items():
        for layer, (left, right) in enumerate(zip(gate.left, gate.right, strict=True), 1):
            closed, opened = float(left.mean()), float(right.mean())
            title = f"{GATES.get(name, name)}, layer {layer}"
            rows[title] = (closed, 1 - closed - opened, opened)
    labels = Labels(
        "gates",
        "How much of the time gates stand open or closed",
        "Of each gate and layer, the share of units and characters at which it is closed, below "
        "0.1; in between; and open, above 0.9: "
        + "; ".join(f"{name} {a:.0%}, {b:.0%}, {c:.0%}" for name, (a, b, c) in rows.items()),
    )
    return stacked(rows, ("closed", "in between", "open"), labels)


def _reach(story: Story) -> str:
    styles: tuple[Any, ...] = ("line", "dashed", "dotted")
    colors = (0, 0, 1)
    series = [
        Series(name, np.arange(len(norms)), norms, color, style)
        for (name, norms), color, style in zip(story.reach.items(), colors, styles, strict=False)
    ]
    labels = Labels(
        "reach",
        "How far back gradients reach",
        "The norm of the derivative of the loss by the state of earlier characters, on a "
        "logarithmic scale. The further a curve stays up, the further back the network can learn.",
        "characters back",
        "norm of the gradient",
    )
    return line_chart(series, labels, height=320, log_y=True)


def _learning(story: Story) -> Labels:
    return replace(LABELS, y=f"nats per {NOUNS[story.run.trained.vocab.unit]}")


def _map(story: Story) -> str:
    vocab, found = story.run.trained.vocab, story.map
    order = np.argsort(-found.weights, kind="stable")[:ON_MAP]
    glyphs = [
        Glyph(x, y, symbol_name(vocab, i), kind_of(vocab.symbols[i], vocab.unit))
        for i, (x, y) in zip(order.tolist(), found.places[order].tolist(), strict=True)
    ]
    labels = Labels(
        "map",
        "Characters as the network sees them",
        "A map of the characters: near one another are those that the network expects in like "
        f"places. The two axes show {100 * found.shares.sum():.0f} % of the differences.",
    )
    return map_chart(glyphs, labels, KINDS)


def symbol_name(vocab: Vocab, index: int) -> str:
    """A symbol as a label: invisible ones by name."""
    symbol = vocab.symbols[index]
    if index == vocab.unknown:
        return "unknown"
    if vocab.unit == "byte" and not symbol.isascii():
        return f"0x{ord(symbol):02x}"
    names = {" ": "space", "\n": "newline", "\t": "tab", "\r": "return", "\xa0": "nbsp"}
    return names.get(symbol) or (symbol if symbol.isprintable() else f"U+{ord(symbol):04X}")


def kind_of(symbol: str, unit: Unit = "char") -> int:
    """The number of its kind in `KINDS`."""
    if len(symbol) > 1 or (unit == "byte" and not symbol.isascii()):  # the unknown one
        return 5
    if symbol.isalpha():
        if symbol.isupper():
            return 2
        return 0 if is_vowel(symbol) else 1
    if symbol.isdigit():
        return 3
    return 4 if unicodedata.category(symbol)[0] in "PS" else 5
