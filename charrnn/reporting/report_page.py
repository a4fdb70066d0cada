"""The page of a report: the story of a run, for a person."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TypeVar

import numpy as np

from charrnn.evaluation.score import BOUNDS, levels
from charrnn.pages.page import escaped, page
from charrnn.reporting.held_out import HeldOut
from charrnn.reporting.inside import UnitPiece
from charrnn.reporting.plots import zooms_of
from charrnn.reporting.run_facts import RunFacts
from charrnn.reporting.story import LAGS, Story
from charrnn.text.graphemes import Graphemes
from charrnn.text.vocab import NOUNS, counted
from charrnn.training.entries import Entry

T = TypeVar("T")
STYLES = ("surprise.css", "units.css", "charts.css", "report.css")
WHERE = {
    "vowel": "at vowels",
    "upper case": "at capitals",
}
"""Features as they are said of a place, where that differs."""
SAMPLES = 6
"""Samples of the time in between that are shown."""
ROWS = 24
"""Most rows of a chart's table."""


def report_page(story: Story) -> str:
    """A report as HTML, one file that loads no other; it needs no script to be read."""
    sections = [
        (name, title, body)
        for name, title, body in (
            ("learned", "How it learned", _learned(story)),
            ("writes", "What it writes", _writes(story)),
            ("surprise", "What surprises it", _surprises(story)),
            ("lines", "The lines that surprise it most", _lines(story)),
            ("units", "Units that mean something", _units(story)),
            ("gates", "Its gates", _gates(story)),
            ("memory", "How far back it can learn", _memory(story)),
            ("sure", "Does it know what it knows?", _sure(story)),
            ("map", "Characters as it sees them", _map(story)),
            ("settings", "Settings", _settings(story)),
        )
        if body
    ]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    names = ", ".join(run.name for run in story.runs)
    body = (
        f'<header><p class="kicker">The story of a run</p><h1>{escaped(names)}</h1>'
        f'{_lead(story)}{_figures(story)}{_missing(story)}<nav aria-label="Contents"><ol>{links}'
        "</ol></nav></header>\n<main>"
        + "".join(
            f'<section id="{name}" aria-labelledby="{name}-h"><h2 id="{name}-h">{title}</h2>'
            f"{content}</section>\n"
            for name, title, content in sections
        )
        + "</main>\n<footer>Made by <code>charrnn report</code>. This page is one file and loads "
        "nothing else.</footer>\n"
    )
    data = {"zooms": zooms_of(story)}
    return page(f"{names}: a run's story", body, style=STYLES, script="report.js", data=data)


def _lead(story: Story) -> str:
    run, config = story.run, story.run.trained.model.config
    texts = run.trained.origin.texts
    name = texts[0].name if texts else "its text"
    more = f" and {counted(len(texts) - 1, 'more text')}" if len(texts) > 1 else ""
    size = sum(text.characters for text in texts)
    noun = NOUNS[run.trained.vocab.unit]
    passes = run.trained.origin.epoch
    begin = (
        f"{_article(config.cell)} network of {counted(config.layers, 'layer')} of "
        f"{config.hidden:,} units read <em>{escaped(name)}</em>{more}, {counted(size, noun)}, "
        f"{passes:,.1f} times over{_time(run)}."
    )
    symbols = len(run.trained.vocab)
    end = f" At first each of the {symbols:,} {noun}s was as likely as any other to come next."
    loss = story.loss
    if loss is not None:
        end += (
            f" Now it is as unsure as one who has to choose among {math.exp(loss):.1f} equally "
            "likely ones, in text that it has never seen."
            if not story.held_out or story.held_out.part == "validation"
            else f" Now it chooses as if among {math.exp(loss):.1f} equally likely ones."
        )
    return f'<p class="lead">{begin}{end}</p>'


def _article(cell: str) -> str:
    names = {"rnn": "A plain recurrent", "lstm": "An LSTM", "gru": "A GRU"}
    article = "An" if cell[0] in "aeiou" else "A"
    return names.get(cell, f"{article} {cell}")


def _time(run: RunFacts) -> str:
    return "" if run.seconds is None else f", in {_duration(run.seconds)}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return counted(max(1, round(seconds)), "second")
    minutes = round(seconds / 60)
    if minutes < 90:
        return counted(minutes, "minute")
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _figures(story: Story) -> str:
    """Four numbers that tell most."""
    run, read = story.run, story.held_out
    cells = [
        (
            "numbers that it learned",
            f"{run.trained.model.count():,}",
            _shape(run),
        ),
        ("steps", f"{run.trained.origin.step:,}", f"of {run.total_steps:,} in the run"),
    ]
    loss = story.loss
    if loss is not None:
        bits = f"nats per {NOUNS[run.trained.vocab.unit]}, {loss / math.log(2):.3f} bits"
        cells.append(("surprise by unseen text", f"{loss:.3f}", bits))
    if read:
        cells.append(
            ("guessed right", f"{100 * read.accuracy:.0f} %", f"of the next {NOUNS[read.unit]}s")
        )
    return (
        '<dl class="figures">'
        + "".join(
            f"<div><dt>{name}</dt><dd>{figure}<small>{about}</small></dd></div>"
            for name, figure, about in cells
        )
        + "</dl>"
    )


def _shape(run: RunFacts) -> str:
    config = run.trained.model.config
    return f"{config.cell} {config.layers} × {config.hidden}"


def _missing(story: Story) -> str:
    if story.missing is None:
        return ""
    why = re.split("[;:] pass ", story.missing)[0]
    return (
        '<p class="note">The text that it was trained on is not here, so this report has no '
        f"pictures of how the network reads it ({escaped(why)}).</p>"
    )


def _figure(
    story: Story, name: str, caption: str = "", table: str = "", *, zoom: str = "", kind: str = ""
) -> str:
    """A picture with its caption; `zoom` is what its x counts if the script can zoom into it."""
    if name not in story.charts:
        return ""
    tools = label = ""
    if zoom:
        buttons = (
            ("in", "+", "closer"),
            ("out", "−", "further away"),
            ("left", "←", "earlier"),
            ("right", "→", "later"),
            ("all", "all", "the whole run"),
        )
        tools = "".join(
            f'<button type="button" data-do="{do}" aria-label="{about}" title="{about}">{sign}'
            "</button>"
            for do, sign, about in buttons
        )
        tools = f'<div class="controls" hidden>{tools}<output></output></div>'
        label = (
            f' data-zoom="{name}" tabindex="0" role="group" aria-label="Chart: plus and minus '
            'zoom, arrow keys move, 0 shows all"'
        )
    more = f"<details><summary>As a table</summary>{table}</details>" if table else ""
    text = f"<figcaption>{caption}</figcaption>" if caption else ""
    chart = f'<div class="scroll">{story.charts[name]}</div>'
    return f'<figure class="{kind}"{label}>{chart}{tools}{text}{more}</figure>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every cell is escaped, and cells that look like numbers stand at the right."""
    body = [[escaped(cell) for cell in row] for row in rows]
    is_number = [
        all(row[n][:1] in "0123456789.−-" for row in body if row[n]) for n in range(len(head))
    ]
    kinds = [' class="number"' if number else "" for number in is_number]
    top = "".join(
        f'<th scope="col"{kind}>{escaped(name)}</th>'
        for name, kind in zip(head, kinds, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in body
    )
    whole = f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="scroll">{whole}</div>'


def _learned(story: Story) -> str:
    run = story.run
    best, validations = run.best, run.validations
    if best is None and not len(run.steps):
        return ""
    words = (
        "<p>After every step the network is told which character came, and changes its numbers a "
        "little so that it would have been less surprised. The loss is that surprise, in nats: "
        "0.7 is a coin's toss, 2.3 one of ten. What counts is the loss on the validation text, "
        "from which it does not learn.</p>"
    )
    if best is not None:
        words += f"<p>{_best(best['step'], best['validation_loss'], run)}</p>"
    words += "".join(
        f'<p class="note"><b>{escaped(one.kind.capitalize())}:</b> {_with_flags(one.text)}</p>'
        for one in run.advice
    )
    rows = [
        (
            f"{e['step']:,}",
            "" if e.get("train_loss") is None else f"{e['train_loss']:.4f}",
            f"{e['validation_loss']:.4f}",
        )
        for e in _spread(validations, ROWS)
    ]
    figures = _figure(
        story,
        "learning",
        '<span class="screen">Drag over a part of the curves to look closer, or use the buttons, '
        "or the keys +, −, ← and →.</span>"
        + (" The band is what single steps had; the line is their mean." if len(run.steps) else ""),
        table(("step", "training loss", "validation loss"), rows) if rows else "",
        zoom="step",
    )
    figures += _figure(story, "rate", "The learning rate: how large each change was.", zoom="step")
    return words + figures + (_runs_table(story.runs) if len(story.runs) > 1 else "")


def _with_flags(text: str) -> str:
    """A message as HTML, with the parameters in backticks as flags."""
    return re.sub(
        "`([a-z][a-z0-9_]*)`",
        lambda match: f"<code>--{match[1].replace('_', '-')}</code>",
        escaped(text),
    )


def _best(step: int, loss: float, run: RunFacts) -> str:
    last = run.validations[-1]
    if last["step"] == step:
        rest = "" if run.step >= run.total_steps else ", and it has not ended yet"
        return f"It was best at the end, at step {step:,}: {loss:.3f} nats{rest}."
    worse = last["validation_loss"] - loss
    text = f"It was best at step {step:,}: {loss:.3f} nats."
    if worse > 0.01:
        text += (
            f" By step {last['step']:,} it was {worse:.3f} nats worse: from then on it learned its "
            "text by heart. The network of the best step is the one that was kept."
        )
    return text


def _runs_table(runs: Sequence[RunFacts]) -> str:
    head = ("run", "network", "parameters", "steps", "passes", "time", "best loss", "at step")
    rows = []
    for run in runs:
        best = run.best
        rows.append(
            (
                run.name,
                _shape(run),
                f"{run.trained.model.count():,}",
                f"{run.step:,}",
                f"{run.step / run.steps_per_epoch:.1f}",
                "" if run.seconds is None else _duration(run.seconds),
                "" if best is None else f"{best['validation_loss']:.4f}",
                "" if best is None else f"{best['step']:,}",
            )
        )
    note = "The rest of this report is about the first one."
    return f"<h3>The runs</h3><p>{note}</p>{table(head, rows)}"


def _spread(items: Sequence[T], most: int) -> list[T]:
    """At most this many, evenly spread, with the first and the last."""
    if len(items) <= most:
        return [*items]
    return [items[round(n * (len(items) - 1) / (most - 1))] for n in range(most)]


def _writes(story: Story) -> str:
    run, parts = story.run, []
    if story.before:
        parts.append(_sample("Before the first step", "its numbers drawn by chance", story.before))
    earlier = [each for each in run.samples if each["step"] != run.trained.origin.step]
    for sample in _spread_by_ratio(earlier, SAMPLES):
        passes = sample.get("epoch") or 0.0
        about = f"after {passes:.{1 if passes >= 0.1 else 3}f} passes over the text"
        parts.append(_sample(f"Step {sample['step']:,}", about, sample["text"]))
    now = f"step {run.trained.origin.step:,}, the network that was kept"
    parts.append(_sample("Now", now, story.now, "now"))
    return (
        "<p>It begins with nothing and draws one character after another, each by the "
        "probabilities that it gives them after all that it has written.</p>" + "".join(parts)
    )


def _sample(when: str, about: str, text: str, kind: str = "") -> str:
    return (
        f'<p class="time"><b>{when}</b>, {about}</p>'
        f'<div class="written {kind}" dir="auto">{escaped(text.strip(chr(10)))}</div>'
    )


def _spread_by_ratio(samples: Sequence[Entry], most: int) -> list[Entry]:
    """At most this many samples, close to each other at first: most happens then."""
    if len(samples) <= most:
        return [*samples]
    steps = np.array([sample["step"] for sample in samples], np.float64)
    wanted = np.geomspace(max(1.0, steps[0]), steps[-1], most)
    return [samples[n] for n in sorted({int(np.abs(steps - step).argmin()) for step in wanted})]


def _surprises(story: Story) -> str:
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
    letters = _figure(
        story,
        "letters",
        "Which word comes is hard to guess; once it has begun, the rest is easier.",
        kind="",
    )
    return (
        f"<p>The network reads on in {some}, and at each place says how probable every {noun} is. "
        "The colors show what it thought of the one that came.</p>"
        f'{_legend()}<div class="written" dir="auto">{colored(read, start, end)}</div>'
        + _figure(story, "surprise", "Where in the text it is surprised.")
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


def _lines(story: Story) -> str:
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


def _units(story: Story) -> str:
    within = story.inside
    if within is None or within.units is None:
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
        f"{within.characters:,} characters of held-out text.</p>"
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


def _gates(story: Story) -> str:
    if "gates" not in story.charts:
        return ""
    return (
        "<p>A gate is a number from 0 to 1 for each unit: how much of something is let through. "
        "One that stands open or closed nearly always is a switch that is no longer used; a forget "
        "gate that stays open keeps its unit's memory for long.</p>"
        + _figure(story, "gates", "Below 0.1 a gate counts as closed, above 0.9 as open.")
    )


def _memory(story: Story) -> str:
    if not story.reach:
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
        + _figure(
            story,
            "reach",
            "The scale is logarithmic. Means of 16 places in the held-out text.",
            table(("network", *(f"{k} back" for k in places)), rows),
        )
    )


def _sure(story: Story) -> str:
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
        + _figure(
            story,
            "calibration",
            "Below the line it is too sure, above it not sure enough.",
            table(("probability", "came true", "predictions"), rows),
            kind="small",
        )
        + _figure(story, "confidence", "How sure it is of its best guess.", kind="small")
        + "</div>"
    )


def _map(story: Story) -> str:
    vocab = story.run.trained.vocab
    symbols = f"The {len(vocab):,} {NOUNS[vocab.unit]}s"
    return (
        f"<p>{symbols} of its text, so placed that those are near one another that it expects in "
        "like places. Nobody told it what vowels, capitals and punctuation are."
        "</p>" + _figure(story, "map")
    )


def _settings(story: Story) -> str:
    run = story.run
    rows = [(name, _value(value)) for name, value in asdict(run.trained.model.config).items()]
    rows += (
        [] if run.training is None else [(n, _value(v)) for n, v in asdict(run.training).items()]
    )
    texts = [(text.name, f"{text.characters:,}") for text in run.trained.origin.texts[:20]]
    return (
        f"{table(('text', 'characters'), texts)}"
        f"<details><summary>All settings</summary>{table(('setting', 'value'), rows)}</details>"
    )


def _value(value: object) -> str:
    if value is None:
        return "none"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else text[:200] + "…"
