"""The page of a report: the story of a run, for a person."""

from __future__ import annotations

import re

from charrnn.pages.page import escaped, page
from charrnn.reporting.plots import zooms_of
from charrnn.reporting.report_of_network import (
    calibration,
    characters,
    gates,
    reach,
    surprises,
    surprising_lines,
    units,
)
from charrnn.reporting.report_of_run import figures, lead, learned, settings, writes
from charrnn.reporting.story import Story

STYLES = ("surprise.css", "units.css", "charts.css", "report.css")


def report_page(story: Story) -> str:
    """A report as HTML, one file that loads no other; it needs no script to be read."""
    sections = [
        (name, title, body)
        for name, title, body in (
            ("learned", "How it learned", learned(story)),
            ("writes", "What it writes", writes(story)),
            ("surprise", "What surprises it", surprises(story)),
            ("lines", "The lines that surprise it most", surprising_lines(story)),
            ("units", "Units that mean something", units(story)),
            ("gates", "Its gates", gates(story)),
            ("memory", "How far back it can learn", reach(story)),
            ("sure", "Does it know what it knows?", calibration(story)),
            ("map", "Characters as it sees them", characters(story)),
            ("settings", "Settings", settings(story)),
        )
        if body
    ]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    names = ", ".join(run.name for run in story.runs)
    body = (
        f'<header><p class="kicker">The story of a run</p><h1>{escaped(names)}</h1>'
        f'{lead(story)}{figures(story)}{_missing(story)}<nav aria-label="Contents"><ol>{links}'
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


def _missing(story: Story) -> str:
    if story.missing is None:
        return ""
    why = re.split("[;:] pass ", story.missing)[0]
    return (
        '<p class="note">The text that it was trained on is not here, so this report has no '
        f"pictures of how the network reads it ({escaped(why)}).</p>"
    )
