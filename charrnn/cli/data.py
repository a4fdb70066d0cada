"""`charrnn data`: list and download texts to train on."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from charrnn.cli import terminal
from charrnn.cli.options import json_option, offer
from charrnn.runtime.shell import quoted

EPILOG = """\b
Examples:
  charrnn data list
  charrnn data get tiny-shakespeare
  charrnn data get tiny-shakespeare --to texts
  charrnn data forget
"""


def _folder() -> Path:
    """Where downloaded texts go."""
    return Path("data") if Path("data").is_dir() else Path()


def _names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from charrnn.text.datasets import DATASETS

    return offer(sorted(DATASETS))(ctx, parameter, incomplete)


@click.group(epilog=EPILOG)
def data() -> None:
    """List and download texts to train on, and clear the text cache."""


@data.command(
    epilog="""\b
Examples:
  charrnn data get tiny-shakespeare
  charrnn data get tiny-shakespeare --to texts
"""
)
@click.argument("name", shell_complete=_names)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    default=_folder,
    metavar="FOLDER",
    help="Where to save it. [default: ./data if it exists, else the current folder]",
)
@click.option("--url", hidden=True, help="Another URL of the same file.")
def get(name: str, to: Path, url: str | None) -> None:
    """Download the text NAME, check it, and print its path. A correct file that is already there is
    kept.
    """
    from charrnn.text.datasets import fetch

    label = terminal.one_line(name)
    with terminal.new_bar(0, desc=label, disable=None, unit="B", unit_scale=True) as bar:
        path = fetch(name, to, url=url, progress=bar)
    click.echo(str(path))
    terminal.say(f"train on it: charrnn train {quoted(path)}")


@data.command(
    "list",
    epilog="""\b
Examples:
  charrnn data list
  charrnn data list --json
""",
)
@json_option("Print one JSON object per text.")
def list_(as_json: bool) -> None:
    """Show the bundled text and those that can be downloaded."""
    for text in _texts():
        if as_json:
            click.echo(terminal.json_text(text))
        else:
            terminal.show(f"{text['name']}: {text['size']:,} bytes; {text['about']}")
            terminal.show(f"  {terminal.one_line(text['path'] or text['url'])}")
            terminal.show(f"  sha256 {text['sha256']}")


@data.command(
    epilog="""\b
Examples:
  charrnn data forget
"""
)
def forget() -> None:
    """Delete the cached ids of large texts. They are rebuilt when needed."""
    from charrnn.runtime.cache import forget_texts, texts_folder
    from charrnn.text.vocab import counted

    files, size = forget_texts()
    terminal.say(
        f"removed {counted(files, 'file')}, {terminal.size_text(size)}, from "
        f"{texts_folder() or 'the cache'}"
    )


def _texts() -> Iterator[dict[str, Any]]:
    """The description of each text."""
    from charrnn.text.datasets import DATASETS, bundled_corpus

    plays = bundled_corpus()
    content = plays.read_bytes()
    yield {
        "name": plays.stem,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "path": str(plays),
        "url": None,
        "about": "bundled with charrnn: what charrnn train reads without a TEXT",
    }
    for name, text in DATASETS.items():
        path = _folder() / text.file_name
        here = path.is_file() and path.stat().st_size == text.size
        about = "downloaded" if here else f"not downloaded; charrnn data get {name}"
        yield {**asdict(text), "path": str(path) if here else None, "about": about}
