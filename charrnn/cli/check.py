"""`charrnn check`: what is wrong with a text, before a network is trained on it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.options import (
    check_parts,
    flag_of,
    json_option,
    options_for,
    part_option,
    with_own_flags,
)
from charrnn.config import CorpusConfig
from charrnn.runtime.shell import argument, joined

if TYPE_CHECKING:
    from charrnn.text.findings import Finding
    from charrnn.training.check import TextCheck

EPILOG = """\b
Examples:
  charrnn check book.txt
  charrnn check novels/ --json
  charrnn check old.txt --encoding cp1252
  zcat huge.gz | charrnn check -
"""
INDENT = 6
"""Columns of the level before a finding."""
COLORS = {"ok": 32, "note": 33, "fix": 31}


@click.command(epilog=EPILOG)
@click.argument("text", nargs=-1, required=True, type=click.Path())
@options_for(CorpusConfig)
@part_option("test", "test text, instead of --test-fraction.")
@part_option("validation", "validation text, instead of --val-fraction.")
@json_option()
def check(
    text: tuple[str, ...],
    validation: tuple[str, ...],
    test: tuple[str, ...],
    as_json: bool,
    **settings: Any,
) -> None:
    """Say what is wrong with TEXT before a network is trained on it, and what to type: files,
    globs, folders, or - for standard input.

    It looks at the encoding, line ends, invisible characters, rare symbols, repeated passages,
    documents and size. Each line begins with ok, note (worth knowing) or fix (it would make a worse
    network). The exit status is 0 unless the text cannot be read.
    """
    check_parts({"validation": validation, "test": test}, settings)
    config = CorpusConfig.of({k: value for k, value in settings.items() if value is not None})
    from charrnn.text.sources import find, summary
    from charrnn.training.check import check as examine

    find(text, validation, test)  # reports a missing file before the library is loaded
    sources = text[0] if len(text) == 1 else text
    with terminal.progress_bar("checking") as bar:
        found = examine(sources, config, validation=validation, test=test, progress=bar)
    if found.corpus.skipped:
        terminal.say(f"left out: {terminal.one_line(summary(found.corpus.skipped))}")
    parts = {"validation": validation, "test": test}
    command = _command(found, text, parts)
    if as_json:
        click.echo(terminal.json_text(_as_json(found, command)))
        return
    _show(found, command)


def _command(found: TextCheck, text: tuple[str, ...], parts: dict[str, tuple[str, ...]]) -> str:
    """What to type to train on the text."""
    from charrnn.text.findings import MENDED, free_name

    if any(finding.level == "fix" and finding.command for finding in found.findings):
        text = (free_name(found.corpus, MENDED),) if len(found.corpus.sources) == 1 else text
    words = ["charrnn", "train", *map(argument, text)]
    for part, paths in parts.items():
        words += [word for path in paths for word in (f"--{part}", path)]
    for name, value in found.settings.items():
        words += [flag_of(name), str(value)]
    return joined(words)


def _show(found: TextCheck, command: str) -> None:
    """Print the findings, the recipe and the command."""
    from charrnn.text.vocab import counted

    corpus, model = found.corpus, found.model
    unit = "bytes" if corpus.vocab.unit == "byte" else "characters"
    first, *others = corpus.sources
    name = "standard input" if first.path == "-" else first.name
    more = f" and {len(others)} more" if others else ""
    terminal.show(f"{terminal.one_line(name)}{more}: {len(corpus):,} {unit}")
    for finding in found.findings:
        _show_finding(finding)
    terminal.show(
        f"network: at most {counted(model.layers, 'layer')} of {model.hidden:,} units "
        f"({found.parameters:,} parameters) and {found.passes:.0f} passes over the text; more "
        "would gain little. Training takes ten minutes at most, unless you say --for"
    )
    is_mended = any(
        finding.level == "fix" and (finding.command or not finding.settings)
        for finding in found.findings
    )
    terminal.show("then type:" if is_mended else "type:")
    click.echo(f"  {terminal.one_line(command)}")


def _show_finding(finding: Finding) -> None:
    """Print a finding beside its level, and the command that it advises on a line of its own, which
    can be copied.
    """
    text = with_own_flags(f"{finding.kind}: {finding.text}")
    room = max(20, terminal.width_of(sys.stdout) - INDENT)
    lines = terminal.wrapped(terminal.one_line(text), room)
    level = f"{finding.level:<{INDENT}}"
    if terminal.has_color(sys.stdout):
        level = f"\x1b[{COLORS[finding.level]}m{level}\x1b[0m"
    click.echo(level + lines.replace("\n", "\n" + " " * INDENT))
    if finding.command:
        click.echo(f"{'':{INDENT}}{terminal.one_line(finding.command)}")


def _as_json(found: TextCheck, command: str) -> dict[str, Any]:
    corpus, network = found.corpus, asdict(found.model)
    return {
        "characters": len(corpus),
        "symbols": len(corpus.vocab),
        "train": len(corpus.train),
        "validation": len(corpus.validation),
        "test": len(corpus.test),
        "findings": [asdict(finding) for finding in found.findings],
        "network": {name: network[name] for name in ("cell", "layers", "hidden")}
        | {"parameters": found.parameters, "passes": found.passes},
        "settings": found.settings,
        "command": command,
    }
