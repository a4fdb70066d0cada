"""`charrnn info`: show what a checkpoint contains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charrnn.checkpoint.paths import BEST
from charrnn.cli import terminal
from charrnn.cli.checkpoints import load_member
from charrnn.cli.options import PATH, json_option
from charrnn.cli.tables import Column, number_text, print_table
from charrnn.config import CorpusConfig, ModelConfig, TrainConfig
from charrnn.config.files import values_of
from charrnn.errors import shortened

if TYPE_CHECKING:
    from charrnn.checkpoint.header import Metadata

HISTORY_LINES, SYMBOLS_SHOWN, SOURCES_SHOWN = 5, 200, 3


HISTORY: list[Column[Metadata]] = [
    (1, "step", lambda entry: f"{entry['step']:,}"),
    (3, "epoch", lambda entry: number_text(entry.get("epoch"), ".2f")),
    (2, "train (nats)", lambda entry: number_text(entry.get("train_loss"), ".4f")),
    (1, "validation (nats)", lambda entry: number_text(entry.get("validation_loss"), ".4f")),
    (4, "(bits)", lambda entry: number_text(entry.get("validation_loss"), ".4f", math.log(2))),
]

EPILOG = """\b
Examples:
  charrnn info                                    the newest run's best checkpoint
  charrnn info checkpoints/plays/last.safetensors
  charrnn info checkpoints/plays --json
"""


@click.command(epilog=EPILOG)
@click.argument("checkpoint", required=False, type=PATH)
@json_option("Print one JSON object: all metadata, and sizes.")
def info(checkpoint: str | None, as_json: bool) -> None:
    """Show what a checkpoint contains: configuration, size, history, vocabulary, and origin.

    CHECKPOINT is a .safetensors file or a run's folder, by default the newest run's best. For a
    folder, it also lists every step at which the run went back to an earlier one or began to
    overfit.
    """
    member = load_member(checkpoint, training=False)
    path, trained = member.path, member.trained
    from charrnn.checkpoint.header import describe
    from charrnn.generation.quantization import precision_of
    from charrnn.training.run_file import describe_run
    from charrnn.training.run_folder import RunFolder

    sizes = {"bytes": path.stat().st_size, "parameters": trained.model.count()}
    about = {"checkpoint": str(path), **sizes, **describe(path)}
    about["model"] = asdict(trained.model.config)  # an older file lacks some
    about["sampling_precision"] = precision_of(trained.model)
    # beside other files there may be another run, or the first of several networks
    is_known = path.name == BEST or "run" in about
    run, networks = (describe_run(path) or {}) if is_known else {}, _networks(checkpoint)
    history = run.pop("history", [])
    history = [entry for entry in history if entry["step"] <= trained.origin.step]
    events = events_of(
        history if path == Path(checkpoint or "") else RunFolder(path.parent).entries()
    )
    if as_json:
        told = {"networks": networks} if len(networks) > 1 else {}
        about |= {**told, "run": run, "history": history, "events": events}
        click.echo(terminal.json_text(about))
        return
    facts = _facts(about, run)
    if path != Path(checkpoint or ""):
        facts[1:1] = _networks_facts(networks, run)
    _print_facts(facts)
    validations = [entry for entry in history if "fell_back_from" not in entry]
    if validations:
        click.echo()
        print_table(validations[-HISTORY_LINES:], HISTORY)
    if events:
        click.echo()
    for event in events:
        terminal.show(event_text(event))


def _networks(checkpoint: str | None) -> list[Metadata]:
    """The networks of a run, or the one in a file: the checkpoint, step and loss of each."""
    from charrnn.checkpoint.header import describe
    from charrnn.checkpoint.paths import find_checkpoints

    networks = []
    for path in find_checkpoints(checkpoint):
        about = describe(path)
        networks.append({"checkpoint": str(path), "step": about["step"], "loss": about["loss"]})
    return networks


def _networks_facts(networks: Sequence[Metadata], run: Metadata) -> list[tuple[str, str]]:
    """How many networks there are, if there are to be several, and the loss of each."""
    count = run.get("train", {}).get("networks") or 1
    if max(count, len(networks)) == 1:
        return []
    number = f"{len(networks)} of {count} so far" if count > len(networks) else f"{len(networks)}"
    losses = ", ".join(number_text(network["loss"], ".4f") or "-" for network in networks)
    return [("networks", f"{number}, used together; losses {losses}; the first is shown here")]


def events_of(entries: Sequence[Metadata]) -> list[Metadata]:
    """The events of a run other than plain validations: it fell back, or began to overfit."""
    return [
        entry for entry in entries if "fell_back_from" in entry or entry.get("overfitting") is True
    ]


def event_text(entry: Metadata) -> str:
    """One line about it; in a damaged file any value except `step` may have another type."""
    step = f"step {entry['step']:,}"
    if "fell_back_from" not in entry:
        return f"{step}: overfitting, the validation loss rose while the training loss fell"
    factor = number_text(entry.get("rate_factor"), ".3f")
    reason = terminal.one_line(str(entry.get("reason"))[:80])
    lost = number_text(entry["fell_back_from"], ".0f")
    return f"step {lost}: {reason}, back to {step}, rate x {factor}"


def _print_facts(facts: list[tuple[str, str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact in facts:
        table.add_row(*(Text(shortened(terminal.one_line(text))) for text in fact))
    terminal.console().print(table)


def _facts(about: Metadata, run: Metadata) -> list[tuple[str, str]]:
    from charrnn.text.vocab import NOUNS, counted

    size, model = terminal.size_text(about["bytes"]), about["model"]
    reach = model["attention"]
    noun = NOUNS[about["unit"]]
    looks_back = f", looks back {counted(reach, noun)}" if reach else ""
    units = f"{model['cell']} of {model['layers']} x {model['hidden']:,} units"
    facts = [
        ("checkpoint", about["checkpoint"]),
        ("size", f"{size}, format version {about['format_version']}"),
        ("network", f"{units}, {about['parameters']:,} parameters{looks_back}"),
        ("progress", f"step {about['step']:,}, epoch {about['epoch']:.2f}"),
        ("loss", terminal.loss_text(about["loss"], noun)),
        ("samples", f"with weights in {about['sampling_precision']} (--precision auto)"),
        ("settings", _settings(about, run)),
        ("vocabulary", f"{len(about['vocab'])} symbols: {_symbols(about)}"),
        *_texts(about),
        ("sha256", about["sha256"]),
    ]
    if run:
        progress = run["progress"]
        best = terminal.loss_text(progress["best_loss"], noun)
        if progress["best_step"] is not None:
            best += f", at step {progress['best_step']:,}"
        facts.insert(5, ("best loss", best))
        paths = run["paths"]
        facts += [("path", path) for path in (paths if len(paths) <= SOURCES_SHOWN else paths[:1])]
        if len(paths) > SOURCES_SHOWN:
            facts.append(("", f"and {len(paths) - 1:,} more"))
        if run["init_from"]:
            facts.append(("weights from", run["init_from"]))
    return facts


def _settings(about: Metadata, run: Metadata) -> str:
    """The settings that are not the recipe's; if the run is unknown, those of the network that are
    not fixed defaults.
    """
    from charrnn.training.recipe import departures

    corpus, usual = about["corpus"], values_of(CorpusConfig())
    changes = {name: value for name, value in corpus.items() if value != usual.get(name)}
    if not run:
        usual = values_of(ModelConfig())
        network = {name: value for name, value in about["model"].items() if name in usual}
        own = {name: value for name, value in network.items() if value != usual[name]}
        return terminal.settings_text(own | changes)
    parts = {text.get("part") for text in about["texts"]}
    share = 1.0
    for part, name in (("validation", "val_fraction"), ("test", "test_fraction")):
        share -= 0 if part in parts else corpus.get(name, usual[name])
    characters = sum(text["characters"] for text in about["texts"] if not text.get("part"))
    changes |= departures(
        ModelConfig.of(about["model"]),
        TrainConfig.of(run["train"]),
        max(2, round(share * characters)),
        run["steps_per_epoch"],
        has_documents=corpus.get("document_separator") is not None,
        is_fine_tuning=run["init_from"] is not None,
    )
    return f"the recipe's, except {terminal.settings_text(changes)}" if changes else "the recipe's"


def _texts(about: Metadata) -> list[tuple[str, str]]:
    """What the network was trained on: for each part a line for each text, or one for many."""
    unit = "bytes" if about["unit"] == "byte" else "characters"
    parts: dict[str, list[Metadata]] = {}
    for text in about["texts"]:
        parts.setdefault(text.get("part") or "read", []).append(text)
    lines = []
    for part, texts in parts.items():
        names = [(text["name"], text["characters"]) for text in texts]
        if len(texts) > SOURCES_SHOWN:
            whole = f"{len(texts):,} texts, {names[0][0]} to {names[-1][0]}"
            names = [(whole, sum(size for _, size in names))]
        lines += [(f"{part} from", f"{name}, {size:,} {unit}") for name, size in names]
    return lines


def _symbols(about: Metadata) -> str:
    """The symbols in a row; invisible ones as escapes, bytes beyond ASCII in hexadecimal."""
    names, signs = [], {" ": "\N{OPEN BOX}", "\\": "\\\\"}
    for symbol in about["vocab"][:SYMBOLS_SHOWN]:
        plain = symbol.isprintable() and (about["unit"] == "char" or symbol.isascii())
        names.append(signs.get(symbol) or (symbol if plain else ascii(symbol)[1:-1]))
    rest = len(about["vocab"]) - len(names)
    return "".join(names) + (f" ... and {rest} more" if rest > 0 else "")
