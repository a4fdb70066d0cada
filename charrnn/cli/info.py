"""`charrnn info`: what a checkpoint holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.kernel_loading import load_kernels
from charrnn.cli.options import json_option

if TYPE_CHECKING:
    from rich.table import Table

    from charrnn.checkpoint.format import Metadata

HISTORY_LINES, SYMBOLS_SHOWN = 5, 200

EPILOG = """\b
Examples:
  charrnn info                                    the newest run's best checkpoint
  charrnn info checkpoints/plays/last.safetensors
  charrnn info checkpoints/plays --json
"""


@click.command(epilog=EPILOG)
@click.argument("checkpoint", required=False)
@json_option("Print one JSON object: all metadata, and sizes.")
def info(checkpoint: str | None, as_json: bool) -> None:
    """Show what a checkpoint holds: configuration, size, history, vocabulary, where it came from.

    CHECKPOINT is a .safetensors file or a run's folder, by default the newest run's best. Of a
    folder it also shows where the run went back to an earlier step, or began to overfit, up to its
    last step.
    """
    from rich.text import Text

    from charrnn.checkpoint.paths import find_checkpoint

    path = find_checkpoint(checkpoint)
    load_kernels(training=False)
    from charrnn.checkpoint.trained import describe, load, model_config_of
    from charrnn.training.run_file import describe_run
    from charrnn.training.run_folder import RunFolder

    load_kernels(model_config_of(path).cell, training=False)
    trained, about = load(path), describe(path)
    run = describe_run(path) or {}
    history = run.pop("history", [])
    history = [entry for entry in history if entry["step"] <= trained.origin.step]
    events = _events(
        history if path == Path(checkpoint or "") else RunFolder(path.parent).entries()
    )
    size, parameters = path.stat().st_size, trained.model.count()
    if as_json:
        facts = {"checkpoint": str(path), "bytes": size, "parameters": parameters}
        found = {**facts, **about, "run": run, "history": history, "events": events}
        click.echo(json.dumps(found))
        return
    output = terminal.console()
    output.print(_overview(_facts(path, size, parameters, about, run)))
    validations = [entry for entry in history if "fell_back_from" not in entry]
    if validations:
        output.print()
        output.print(_history(validations[-HISTORY_LINES:]))
    if events:
        output.print()
    for event in events:
        output.print(Text(_event(event)))


def _events(entries: list[Metadata]) -> list[Metadata]:
    """What happened to a run beside its validations: it fell back, or began to overfit."""
    return [
        entry for entry in entries if "fell_back_from" in entry or entry.get("overfitting") is True
    ]


def _event(entry: Metadata) -> str:
    """One line about it; a strange file may have anything in its places but in `step`."""
    step = f"step {entry['step']:,}"
    if "fell_back_from" not in entry:
        return f"{step}: overfitting, the validation loss rose while the training loss fell"
    factor, reason = (
        _number(entry.get("rate_factor"), 3),
        terminal.one_line(str(entry.get("reason"))[:80]),
    )
    return f"step {_number(entry['fell_back_from'], 0)}: {reason}, back to {step}, rate x {factor}"


def _overview(facts: list[tuple[str, str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name), Text(value))
    return table


def _facts(
    path: Path, size: int, parameters: int, about: Metadata, run: Metadata
) -> list[tuple[str, str]]:
    texts = [
        f"{terminal.one_line(t['name'])}, {t['characters']:,} {about['unit']}s"
        + (f", {terminal.one_line(t['part'])}" if t.get("part") else "")
        for t in about["texts"]
    ]
    facts = [
        ("checkpoint", terminal.one_line(str(path))),
        ("size", f"{terminal.size_text(size)}, format version {about['format_version']}"),
        ("parameters", f"{parameters:,}"),
        ("progress", f"step {about['step']:,}, epoch {about['epoch']:.2f}"),
        ("loss", terminal.loss_text(about["loss"])),
        ("model", _settings(about["model"])),
        ("text", _settings(about["corpus"])),
        ("vocabulary", f"{len(about['vocab'])} symbols: {_symbols(about)}"),
        *(("read from", text) for text in texts),
        ("sha256", terminal.one_line(about["sha256"])),
    ]
    if run:
        progress = run["progress"]
        best = terminal.loss_text(progress["best_loss"])
        if progress["best_step"] is not None:
            best += f", at step {progress['best_step']:,}"
        facts[5:5] = [("best loss", best)]
        facts.append(("training", _settings(run["train"])))
        facts += [("path", terminal.one_line(name)) for name in run["paths"]]
        if run["init_from"]:
            facts.append(("weights from", terminal.one_line(run["init_from"])))
    return facts


def _settings(values: Metadata) -> str:
    shown = (
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
        if value is not None
    )
    return terminal.one_line(", ".join(shown))


def _symbols(about: Metadata) -> str:
    """The symbols in a row, those that cannot be seen as escapes; bytes beyond ASCII in
    hexadecimal.
    """
    names, signs = [], {" ": "\N{OPEN BOX}", "\\": "\\\\"}
    for symbol in about["vocab"][:SYMBOLS_SHOWN]:
        plain = symbol.isprintable() and (about["unit"] == "char" or symbol.isascii())
        names.append(signs.get(symbol) or (symbol if plain else ascii(symbol)[1:-1]))
    rest = len(about["vocab"]) - len(names)
    return "".join(names) + (f" ... and {rest} more" if rest > 0 else "")


def _history(entries: list[Metadata]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("step", "epoch", "train (nats)", "validation (nats)", "(bits)"):
        table.add_column(name, justify="right")
    for entry in entries:
        loss = entry.get("validation_loss")
        bits = loss / math.log(2) if isinstance(loss, int | float) else None
        cells = [
            _number(entry.get("epoch"), 2),
            *(_number(x, 4) for x in (entry.get("train_loss"), loss, bits)),
        ]
        table.add_row(f"{entry['step']:,}", *(Text(cell) for cell in cells))
    return table


def _number(value: Any, digits: int) -> str:
    """The number, or a dash for whatever a strange file has in its place."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "-"
