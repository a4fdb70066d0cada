"""`charrnn inspect`: what a network computes while it reads a text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import Member, load_members
from charrnn.cli.options import decoding_options, json_option
from charrnn.cli.score_text import check_place, check_texts, read_score_text
from charrnn.cli.tables import Column, print_table
from charrnn.text.sources import find

if TYPE_CHECKING:
    from charrnn.cli.score_text import ScoreText
    from charrnn.inspection.trace import Trace

EPILOG = """\b
Examples:
  charrnn inspect page.txt                            by the newest run's network
  charrnn inspect page.txt --run checkpoints/plays
  charrnn inspect page.txt --npz page.npz             every number, for NumPy
"""
Row = dict[str, Any]


@click.command("inspect", epilog=EPILOG)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--run",
    metavar="RUN",
    help="The network: a .safetensors file or a run's folder. [default: the newest run]",
)
@click.option(
    "--npz",
    metavar="FILE",
    help="Write every gate and state of every unit, as NumPy arrays (docs/seeing.md).",
)
@json_option()
@decoding_options
def inspect(
    texts: tuple[str, ...],
    run: str | None,
    npz: str | None,
    as_json: bool,
    encoding: str | None,
    encoding_errors: str | None,
    unknown: str,
) -> None:
    """Show what a network computes while it reads a text.

    TEXT: files, globs, folders; - or nothing is standard input. The table has a row for each gate
    of each layer.
    """
    texts = texts or ("-",)
    check_texts(texts)
    inputs = find(texts)  # reports a missing text before kernels are loaded or compiled
    if npz is not None:
        check_place("--npz", Path(npz), inputs.files)
    [member] = load_members(run, ())
    decoding = {"encoding": encoding, "encoding_errors": encoding_errors}
    text = read_score_text(member.trained, texts, decoding, unknown)
    result = _traced(member, text)
    if npz is not None:
        result.save(npz)
        size = terminal.size_text(Path(npz).stat().st_size)
        terminal.say(f"wrote {terminal.one_line(npz)}, {size}")
    if as_json:
        click.echo(terminal.json_text(_facts(member, result)))
    elif npz is None:
        _show(_facts(member, result))


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
    """A row for each gate of each layer, layers from 1."""
    for layer in range(trace.h.shape[1]):
        for name, gate in trace.gates.items():
            yield {
                "layer": layer + 1,
                "gate": name,
                "mean": float(gate[:, layer].mean(dtype="f8")),
            }


COLUMNS: list[Column[Row]] = [
    (0, "layer", lambda row: str(row["layer"])),
    (1, "gate", lambda row: row["gate"]),
    (2, "mean", lambda row: f"{row['mean']:.3f}"),
]


def _show(facts: Row) -> None:
    """Print the summary for people."""
    from charrnn.text.vocab import NOUNS, counted

    read = counted(facts["symbols"], NOUNS[facts["unit"]])
    loss = facts["nats_per_char"]
    terminal.show(f"{terminal.one_line(facts['checkpoint'])}: {facts['network']}")
    terminal.show(read if loss is None else f"{read}: {terminal.loss_text(loss)}")
    print_table(facts["gates"], COLUMNS)
