"""`charrnn inspect --unit`, `--units`, `--at` and `--html`: what units of a network stand for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.inspect_display import (
    attribution_json,
    print_attribution,
    print_unit,
    print_units,
    unit_json,
    units_json,
)
from charrnn.cli.options import PATH

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.cli.score_text import ScoreText
    from charrnn.inspection.trace import Trace
    from charrnn.inspection.units import UnitSearch

Command = Callable[..., Any]
_UNIT = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})([ch]?)")
_PLACE = re.compile(r"([0-9]{1,12})(?::([0-9]{1,12}))?")


@dataclass(frozen=True)
class UnitRequest:
    """What the user wants to see of units, as flags say."""

    unit: str | None = None
    units: bool = False
    at: str | None = None
    html: str | None = None
    pattern: str | None = None

    def check(self) -> None:
        """`UsageError` for flags that make no sense, or not together."""
        asked = [
            flag
            for flag, value in {"--unit": self.unit, "--units": self.units, "--at": self.at}.items()
            if value
        ]
        if len(asked) > 1:
            raise click.UsageError(f"{asked[0]} and {asked[1]} exclude each other; leave one out")
        if self.unit is not None and _UNIT.fullmatch(self.unit) is None:
            raise click.UsageError(
                f"--unit {self.unit!r:.40} is not a unit: write the layer and the unit, such as "
                "1.12, and c or h after them for one of the two"
            )
        if self.at is not None and _PLACE.fullmatch(self.at) is None:
            raise click.UsageError(
                f"--at {self.at!r:.40} is not a place: write a number of characters, such as 120, "
                "or a line and a column, such as 4:7"
            )
        if self.pattern is not None and not (self.units or self.html):
            raise click.UsageError("--pattern needs --units or --html")

    @property
    def is_empty(self) -> bool:
        """True if nothing of units is to be printed."""
        return not (self.unit or self.units or self.at)

    @property
    def needs_trace(self) -> bool:
        """True unless only --at is there."""
        return bool(self.unit or self.units or self.html)


def unit_options(command: Command) -> Command:
    """Adds the flags of a `UnitRequest`."""
    for add in (
        click.option(
            "--pattern",
            metavar="REGEX",
            help="A feature of your own for --units and --html: what this expression matches.",
        ),
        click.option(
            "--html",
            type=PATH,
            metavar="FILE",
            help="Write the text in the colors of any unit as a web page: one file that loads "
            "nothing else.",
        ),
        click.option(
            "--at",
            metavar="N",
            help="What the prediction after the first N characters, or of the character at "
            "LINE:COLUMN, hangs on. Of a network that reads bytes, N and COLUMN count bytes.",
        ),
        click.option(
            "--units",
            is_flag=True,
            help="Find the units that tell where quotes, lines, names and so on are.",
        ),
        click.option(
            "--unit",
            metavar="LAYER.UNIT",
            help="Show the text in the colors of this unit, such as 1.12; 1.12h is its h, not c.",
        ),
    ):
        command = add(command)
    return command


def show_units(
    request: UnitRequest, trained: Trained, text: ScoreText, trace: Trace | None, as_json: bool
) -> None:
    """Do what the request asks for; `trace` is that of the text, if it needs one."""
    if request.at is not None:
        _show_attribution(request.at, trained, text, as_json)
    if trace is None:
        return
    if request.unit is not None:
        _show_unit(request.unit, trace, as_json)
    if not (request.units or request.html):
        return
    found = _found(trained, trace, request.pattern)
    if request.units:
        if as_json:
            click.echo(terminal.json_text(units_json(found)))
        else:
            print_units(found)
    if request.html is not None:
        _write_page(request.html, trace, found, text)


def _show_unit(name: str, trace: Trace, as_json: bool) -> None:
    import numpy as np

    from charrnn.inspection.activity import NAMES, activity, bounds, kinds_of, positions
    from charrnn.text.graphemes import graphemes

    match = _UNIT.fullmatch(name)
    assert match is not None
    layer, unit, kind = int(match[1]) - 1, int(match[2]) - 1, match[3] or kinds_of(trace)[0]
    layers, units = trace.h.shape[1:]
    if not (0 <= layer < layers and 0 <= unit < units):
        raise click.UsageError(
            f"--unit {name}: the network's layers are 1 to {layers} and its units 1 to {units}"
        )
    values = activity(trace, kind)[:, layer, unit]
    if as_json:
        click.echo(terminal.json_text(unit_json(trace, kind, layer, unit, values)))
        return
    shown = graphemes(trace.text, trace.trained.vocab.unit)
    lasts = np.append(shown.firsts[1:], len(trace)) - 1
    low, high = (float(end) for end in bounds(values))
    heading = f"unit {layer + 1}.{unit + 1}, {NAMES[kind]}"
    print_unit(shown, positions(values)[lasts], heading, (low, high))


def _show_attribution(place: str, trained: Trained, text: ScoreText, as_json: bool) -> None:
    from charrnn.inspection.attribution import attribution

    at = _place(place, text)
    with terminal.progress_bar("reading", unit="char") as bar:
        found = attribution(trained, text.ids, at, progress=bar)
    if as_json:
        click.echo(terminal.json_text(attribution_json(found, trained.vocab)))
    else:
        print_attribution(found, trained.vocab)


def _place(place: str, text: ScoreText) -> int:
    """The number of characters that the network reads before a place."""
    import numpy as np

    from charrnn.text.vocab import NOUNS, counted

    match = _PLACE.fullmatch(place)
    assert match is not None
    index = int(match[1])
    if match[2] is not None:
        lines = text.symbols.split("\n")
        line, column = index, int(match[2])
        if not (1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1]) + 1):
            of = " (columns count bytes)" if text.unit == "byte" else ""
            raise click.UsageError(f"--at {place}: no such line and column in the text{of}")
        index = sum(len(each) + 1 for each in lines[: line - 1]) + column - 1
    at = int(np.searchsorted(text.places, index))
    if not (1 <= at <= len(text.ids) and index <= len(text.symbols)):
        size = counted(len(text.symbols), NOUNS[text.unit])
        raise click.UsageError(f"--at {place}: it must be after 1 to {size}, the whole text")
    if match[2] is not None and index < len(text.symbols) and index not in text.places[at : at + 1]:
        raise click.UsageError(f"--at {place}: the network lacks this character and skips it")
    return at


def _found(trained: Trained, trace: Trace, pattern: str | None) -> UnitSearch:
    from charrnn.inspection.trace import trace as trace_of
    from charrnn.inspection.units import find_units, untrained

    with terminal.progress_bar("reading untrained", unit="char") as bar:
        baseline = trace_of(untrained(trained), trace.ids, progress=bar)
    with terminal.progress_bar("scoring units", unit="unit") as bar:
        return find_units(trace, pattern=pattern, baseline=baseline, progress=bar)


def _write_page(path: str, trace: Trace, found: UnitSearch, text: ScoreText) -> None:
    from charrnn.reporting.units_page import units_page
    from charrnn.runtime.files import write_atomically

    names = [source.name for source in text.sources[:3]]
    more = f" and {len(text.sources) - 3} more" if len(text.sources) > 3 else ""
    title = "standard input" if names == ["-"] else ", ".join(names) + more
    write_atomically(Path(path), units_page(trace, found, title=f"Units: {title}").encode())
    terminal.say(f"wrote {terminal.one_line(path)}")
