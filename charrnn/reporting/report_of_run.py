"""The sections of a report about a run: what was read, how it was learned, what is written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TypeVar

import numpy as np

from charrnn.pages.page import escaped
from charrnn.reporting.report_parts import figure, table
from charrnn.reporting.run_facts import RunFacts
from charrnn.reporting.story import Story
from charrnn.text.vocab import NOUNS, counted
from charrnn.training.entries import Entry

T = TypeVar("T")
SAMPLES = 6
"""Samples of the time in between that are shown."""
ROWS = 24
"""Most rows of a chart's table."""


def lead(story: Story) -> str:
    """What happened, in a paragraph."""
    run, config = story.run, story.run.trained.model.config
    texts = run.trained.origin.texts
    name = texts[0].name if texts else "its text"
    more = f" and {counted(len(texts) - 1, 'more text')}" if len(texts) > 1 else ""
    size = sum(text.characters for text in texts)
    noun = NOUNS[run.trained.vocab.unit]
    passes = run.trained.origin.epoch
    times = f"{passes:,.1f} times over" if passes >= 0.05 else "less than a tenth of it"
    begin = (
        f"{_article(config.cell)} network of {counted(config.layers, 'layer')} of "
        f"{counted(config.hidden, 'unit')} read <em>{escaped(name)}</em>{more}, "
        f"{counted(size, noun)}, {times}{_time(run)}."
    )
    symbols = len(run.trained.vocab)
    end = ""
    if not run.is_fine_tuned:
        end = f" At first each of the {symbols:,} {noun}s was as likely as any other to come next."
    loss = story.loss
    if loss is not None:
        choices = f"{math.exp(min(loss, 700)):.1f} equally likely ones"
        end += (
            f" Now it is as unsure as one who has to choose among {choices}, in text that it has "
            "never seen."
            if story.is_unseen
            else f" Now it chooses as if among {choices}."
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


def figures(story: Story) -> str:
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
        text = "unseen text" if story.is_unseen else "what it learned"
        cells.append((f"surprise by {text}", f"{loss:.3f}", bits))
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


def learned(story: Story) -> str:
    """The losses over the steps, and advice."""
    run = story.run
    best, validations = run.best, run.validations
    if best is None and not len(run.steps):
        return ""
    words = (
        "<p>After every step the network sees which character came, and changes its numbers a "
        "little so that it would have been less surprised. The loss is that surprise, in nats: "
        "0.7 is a coin's toss, 2.3 one of ten."
    )
    if validations:
        words += " What counts is the loss on the validation text, from which it does not learn."
    words += "</p>"
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
    figures = figure(
        story,
        "learning",
        '<span class="screen">Drag over a part of the curves to look closer, or use the buttons, '
        "or the keys +, −, ← and →.</span>"
        + (" The band is what single steps had; the line is their mean." if len(run.steps) else ""),
        table(("step", "training loss", "validation loss"), rows) if rows else "",
        zoom="step",
    )
    figures += figure(story, "rate", "The learning rate: how large each change was.", zoom="step")
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
        rest = "" if run.is_over else ", and it has not ended yet"
        return f"It was best at the end, at step {step:,}: {loss:.3f} nats{rest}."
    worse = last["validation_loss"] - loss
    text = f"It was best at step {step:,}: {loss:.3f} nats."
    if worse > 0.01:
        text += (
            f" By step {last['step']:,} it was {worse:.3f} nats worse: from then on it memorized "
            "its text. The network of the best step is the one that was kept."
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
                f"{run.passes:.2f}",
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


def writes(story: Story) -> str:
    """Samples, from before the first step until now."""
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
    wanted = np.geomspace(max(1.0, steps[0]), max(1.0, steps[-1]), most)
    return [samples[n] for n in sorted({int(np.abs(steps - step).argmin()) for step in wanted})]


def settings(story: Story) -> str:
    """Every setting of the run."""
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
