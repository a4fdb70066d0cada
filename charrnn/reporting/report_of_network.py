"""The sections of a report about a network: what surprises it, and what goes on inside."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from charrnn.evaluation.score import BOUNDS, levels
from charrnn.pages.page import escaped
from charrnn.reporting.held_out import HeldOut
from charrnn.reporting.inside import UnitPiece
from charrnn.reporting.report_parts import figure, table
from charrnn.reporting.story import LAGS, Story
from charrnn.text.graphemes import Graphemes
from charrnn.text.vocab import NOUNS, counted

WHERE = {
    "vowel": "at vowels",
    "upper case": "at capitals",
}
"""Features as they are said of a place, where that differs."""


def surprises(story: Story) -> str:
    """Held-out text in the colors of its surprise."""
    read = story.held_out
    if read is None:
        return ""
    start, end = read.excerpt()
    noun = NOUNS[read.unit]
    where = "the validation text" if read.part == "validation" else "its training text"
    some = f"all {counted(read.whole, noun)} of {where}"
    if len(read.ids) < read.whole:
        place = "first" if read.part == "validation" else "last"
        some = f"the {place} {counted(len(read.ids), noun)} of {where}"
    letters = figure(
        story,
        "letters",
        "Which word comes is hard to guess; once it has begun, the rest is easier.",
        kind="",
    )
    return (
        f"<p>The network reads on in {some}, and at each place says how probable every {noun} is. "
        "The colors show what it thought of the one that came.</p>"
        f'{_legend()}<div class="written" dir="auto">{colored(read, start, end)}</div>'
        + figure(story, "surprise", "Where in the text it is surprised.")
        + letters
    )


def _legend() -> str:
    shares = [f"above 1 in {BOUNDS[0]}"]
    shares += [f"down to 1 in {bound:,}" for bound in BOUNDS[1:]] + ["rarer"]
    items = (f'<li><span class="l{n}">{share}</span></li>' for n, share in enumerate(shares))
    return f'<ul class="legend" aria-label="Probability">{"".join(items)}</ul>'


def colored(read: HeldOut, start: int, end: int) -> str:
    """A piece of the text as HTML, in the colors of its surprise."""
    shown: Graphemes = read.shown
    numbers = levels(read.nats[start:end])
    borders = np.flatnonzero(np.diff(numbers)) + 1
    parts = []
    for a, b in zip([0, *borders.tolist()], [*borders.tolist(), end - start], strict=True):
        text = escaped(shown.text[shown.places[start + a] : shown.places[start + b]])
        level = int(numbers[a])
        parts.append(f'<span class="l{level}">{text}</span>' if level > 0 else text)
    return "".join(parts)


def surprising_lines(story: Story) -> str:
    """The lines that were the least expected."""
    read = story.held_out
    if read is None:
        return ""
    items = (
        f'<li><span class="nats">{line.nats:.2f}</span><span class="line" dir="auto">'
        f"{colored(read, line.start, line.end)}</span></li>"
        for line in read.surprising_lines()
    )
    return (
        f"<p>Of the text that it read. The number is the mean surprise in nats; that of all lines "
        f'is {read.mean:.2f}.</p><ol class="lines">{"".join(items)}</ol>'
    )


def units(story: Story) -> str:
    """Units that detect a feature of the text, over pieces of it."""
    within, read = story.inside, story.held_out
    if within is None or within.units is None or read is None:
        return ""
    found, rows = within.units, []
    for feature in found.features:
        best = found.best(feature.name)[0]
        name = f"{best.name} {best.kind}"
        verdict = "yes" if best.is_strong else "no"
        rows.append((feature.name, name, f"{best.auc:.3f}", f"{best.p:.3f}", verdict))
    head = ("feature", "best unit", "AUC", "p", "means something")
    key = '<p><span class="p2">Orange is high</span>, <span class="n2">blue is low</span>.</p>'
    return (
        "<p>Each unit is a number that the network keeps up to date as it reads. Nobody told it "
        "what to use them for. Here each was tried as a detector: does it tell characters inside "
        f"a word from those between words, and so on? {escaped(found.summary)}.</p>"
        + (key if within.pieces else "")
        + "".join(_piece(piece) for piece in within.pieces)
        + table(head, rows)
        + '<p class="note">A unit is named by its layer and its number. AUC: how often it tells a '
        "character with the feature from one without it; 0.5 is chance. p: how likely the best of "
        "all would do as well by chance. It means something if its AUC is at least 0.9 and half as "
        "far from 1 as that of the best unit of the same network before training. Most units mean "
        "nothing by themselves. Measured on "
        f"{counted(within.characters, NOUNS[read.unit])} of {read.where}.</p>"
    )


def _piece(piece: UnitPiece) -> str:
    """A text in the colors of a unit."""
    one, parts = piece.detector, []
    for level, group in groupby(
        zip(piece.levels.tolist(), piece.characters, strict=True), key=lambda pair: pair[0]
    ):
        text = escaped("".join(character for _, character in group))
        kind = f"{'p' if level > 0 else 'n'}{abs(level)}"
        parts.append(f'<span class="{kind}">{text}</span>' if level else text)
    side = "high" if one.is_on else "low"
    return (
        f'<p class="time"><b>Unit {one.name}</b> is {side} '
        f"{escaped(WHERE.get(one.feature, one.feature))} (AUC {one.auc:.3f})</p>"
        f'<div class="written" dir="auto">{"".join(parts)}</div>'
    )


def gates(story: Story) -> str:
    """How much of the time gates are closed and open."""
    if "gates" not in story.charts:
        return ""
    return (
        "<p>A gate is a number from 0 to 1 for each unit: how much of something is let through. "
        "One that stands open or closed nearly always is a switch that is no longer used; a forget "
        "gate that stays open keeps its unit's memory for long.</p>"
        + figure(story, "gates", "Below 0.1 a gate counts as closed, above 0.9 as open.")
    )


def reach(story: Story) -> str:
    """How far back gradients reach, beside a plain recurrent net."""
    read = story.held_out
    if not story.reach or read is None:
        return ""
    places = (1, 10, 25, 50, LAGS)
    rows = [
        (name, *(f"{norms[k]:.2g}" if k < len(norms) else "" for k in places))
        for name, norms in story.reach.items()
    ]
    plain = (
        " Beside it is a plain recurrent network of the same size, with the first weights that it "
        "would have in such a run; it was not trained."
        if any("plain" in name for name in story.reach)
        else ""
    )
    return (
        "<p>A network can learn that a character matters for a later one only if the later one's "
        "loss has a gradient at the earlier. In a plain recurrent network this gradient shrinks by "
        "the same factor with each character, and soon nothing is left. The gates of others are "
        f"there to keep it.{plain}</p>"
        + figure(
            story,
            "reach",
            f"The scale is logarithmic. Means of 16 places in the {read.where}.",
            table(("network", *(f"{k} back" for k in places)), rows),
        )
    )


def calibration(story: Story) -> str:
    """How often what the network expects comes true."""
    read = story.held_out
    if read is None:
        return ""
    found = read.calibration
    over = np.nansum(found.counts * (found.confidence - found.accuracy)) / found.counts.sum()
    verdict = "It knows well how sure it can be."
    if found.error > 0.02:
        verdict = "It is too sure of itself." if over > 0 else "It could be surer of itself."
    rows = [
        (f"{c:.3f}", f"{a:.3f}", f"{n:,}")
        for c, a, n in zip(found.confidence, found.accuracy, found.counts, strict=True)
        if n
    ]
    return (
        "<p>Of the characters that it gave a probability of 70 %, about 70 % should come. "
        f"{verdict} On average, what it says and what comes differ by {100 * found.error:.1f} "
        "percentage points (the expected calibration error).</p>"
        '<div class="pair">'
        + figure(
            story,
            "calibration",
            "Below the line it is too sure, above it not sure enough.",
            table(("probability", "came true", "predictions"), rows),
            kind="small",
        )
        + figure(story, "confidence", "How sure it is of its best guess.", kind="small")
        + "</div>"
    )


def characters(story: Story) -> str:
    """Which characters the network takes for similar."""
    vocab = story.run.trained.vocab
    symbols = f"The {len(vocab):,} {NOUNS[vocab.unit]}s"
    return (
        f"<p>{symbols} of its text, so placed that those are near one another that it expects in "
        "like places. Nobody told it what vowels, capitals and punctuation are."
        "</p>" + figure(story, "map")
    )
