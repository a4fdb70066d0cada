"""`charrnn inspect`: what a network computes while it reads a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.checkpoint.paths import BEST, LAST
from charrnn.cli import terminal
from charrnn.cli.checkpoints import Member, load_member, say_where_others_are
from charrnn.cli.inspect_units import UnitRequest, show_units, unit_options
from charrnn.cli.options import PATH, check_decoding, decoding_options, json_option
from charrnn.cli.score_text import check_place, check_texts, read_own_text, read_score_text
from charrnn.cli.tables import Column, print_table
from charrnn.text.sources import find

if TYPE_CHECKING:
    from charrnn.cli.score_text import ScoreText
    from charrnn.inspection.trace import Trace

EPILOG = """\b
Examples:
  charrnn inspect page.txt                   by the newest run's network
  charrnn inspect page.txt --run checkpoints/book
  charrnn inspect --units                    the units that mean something
  charrnn inspect page.txt --unit 2.36       the text in the colors of a unit
  charrnn inspect page.txt --at 4:7          what a prediction hangs on
  charrnn inspect --html units.html          the text in the colors of any unit
  charrnn inspect page.txt --npz page.npz    every number, for NumPy
"""
Row = dict[str, Any]


@click.command("inspect", epilog=EPILOG)
@click.argument("texts", nargs=-1, type=PATH, metavar="[TEXT]...")
@click.option(
    "--run",
    type=PATH,
    metavar="RUN",
    help="The network: a .safetensors file or a run's folder. [default: the newest run]",
)
@click.option(
    "--text",
    "own_texts",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="Where the run's own text is now, if it has moved; may be repeated.",
)
@click.option(
    "--npz",
    type=PATH,
    metavar="FILE",
    help="Write every gate and state of every unit, as NumPy arrays (docs/seeing.md).",
)
@unit_options
@json_option()
@decoding_options
def inspect(
    texts: tuple[str, ...],
    run: str | None,
    own_texts: tuple[str, ...],
    npz: str | None,
    unit: str | None,
    units: bool,
    at: str | None,
    html: str | None,
    pattern: str | None,
    as_json: bool,
    encoding: str | None,
    encoding_errors: str | None,
    unknown: str,
) -> None:
    """Show what a network computes while it reads a text.

    TEXT: files, globs, folders; - is standard input; nothing is the validation part of the run's
    own text, up to 20,000 characters. Without --unit, --units, --at or a file to write, a table has
    a row for each gate of each layer.
    """
    if texts and own_texts:
        raise click.UsageError("--text applies to the run's own text: leave out TEXT")
    check_decoding(texts, encoding, encoding_errors, unknown)
    request = UnitRequest(unit, units, at, html, pattern)
    request.check()
    check_texts(texts)
    # reports a missing text before kernels are loaded
    files = find(texts or own_texts).files if texts or own_texts else ()
    for flag, path, begin in (("--npz", npz, b"PK"), ("--html", html, b"<")):
        if path is not None:
            check_place(flag, Path(path), files, begin)
    member = load_member(run)
    if member.path.name in (BEST, LAST):
        say_where_others_are(member.path.parent, "inspect --run")
    decoding = {"encoding": encoding, "encoding_errors": encoding_errors}
    text = (
        read_score_text(member.trained, texts, decoding, unknown)
        if texts
        else read_own_text(member, own_texts)
    )
    wants_summary = request.is_empty and (as_json or not (npz or html))
    needs_trace = wants_summary or npz is not None or request.needs_trace
    result = _traced(member, text) if needs_trace else None
    if npz is not None and result is not None:
        result.save(npz)
        size = terminal.size_text(Path(npz).stat().st_size)
        terminal.say(f"wrote {terminal.one_line(npz)}, {size}")
    show_units(request, member.trained, text, result, as_json)
    if wants_summary and result is not None:
        facts = _facts(member, result)
        click.echo(terminal.json_text(facts)) if as_json else _show(facts)


def _traced(member: Member, text: ScoreText) -> Trace:
    from charrnn.inspection.trace import trace

    with terminal.progress_bar("reading", unit="char") as bar:
        return trace(member.trained, text.ids, progress=bar)


def _facts(member: Member, trace: Trace) -> Row:
    """The summary as one object, for JSON and for the screen."""
    losses = trace.losses
    return {
        "checkpoint": str(member.path),
        "network": member.trained.model.summary,
        "unit": member.trained.vocab.unit,
        "symbols": len(trace),
        "nats_per_char": float(losses.mean(dtype="f8")) if len(losses) else None,
        "gates": list(_rows(trace)),
    }


def _rows(trace: Trace) -> Iterator[Row]:
    """A row for each gate of each layer, layers from 1: means over all units and characters."""
    from charrnn.inspection.saturation import saturation

    saturations = saturation(trace)
    for layer in range(trace.h.shape[1]):
        for name, gate in trace.gates.items():
            found = saturations.get(name)
            yield {
                "layer": layer + 1,
                "gate": name,
                "mean": float(gate[:, layer].mean(dtype="f8")),
                "left_saturated": None if found is None else float(found.left[layer].mean()),
                "right_saturated": None if found is None else float(found.right[layer].mean()),
            }


COLUMNS: list[Column[Row]] = [
    (0, "layer", lambda row: str(row["layer"])),
    (1, "gate", lambda row: row["gate"]),
    (4, "mean", lambda row: f"{row['mean']:.2f}"),
    (2, "closed", lambda row: _percent(row["left_saturated"])),
    (3, "open", lambda row: _percent(row["right_saturated"])),
]


def _show(facts: Row) -> None:
    """Print the summary for people."""
    from charrnn.text.vocab import NOUNS, counted

    noun = NOUNS[facts["unit"]]
    read = counted(facts["symbols"], noun)
    loss = facts["nats_per_char"]
    terminal.show(f"{terminal.one_line(facts['checkpoint'])}: {facts['network']}")
    terminal.show(read if loss is None else f"{read}: {terminal.loss_text(loss, noun)}")
    print_table(facts["gates"], COLUMNS)
    if any(row["left_saturated"] is not None for row in facts["gates"]):
        terminal.show(
            "closed, open: how much of the time a gate is below 0.1 or above 0.9, over all units"
        )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}".replace("%", " %")
