"""`charrnn data`: texts to train on, listed and fetched."""

import hashlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from charrnn.cli import terminal

EPILOG = """\b
Examples:
  charrnn data list
  charrnn data get tiny-shakespeare
  charrnn data get tiny-shakespeare --to texts
  charrnn data forget
"""


@click.group(epilog=EPILOG)
def data() -> None:
    """List and fetch texts to train on, and forget those that were read."""


@data.command(
    epilog="""\b
Examples:
  charrnn data get tiny-shakespeare
  charrnn data get tiny-shakespeare --to texts
"""
)
@click.argument("name")
@click.option(
    "--to",
    metavar="FOLDER",
    help="Where it goes. [default: data/ if there is one here, else this folder]",
)
@click.option("--url", hidden=True, help="Another place that has the same file.")
def get(name: str, to: str | None, url: str | None) -> None:
    """Fetch the text NAME, check it, and print its path. A file that is there already and right is
    kept.
    """
    from tqdm import tqdm

    from charrnn.text.datasets import fetch

    options = {"unit": "B", "unit_scale": True, "leave": False, "dynamic_ncols": True}
    with tqdm(
        total=0, desc=terminal.one_line(name), disable=None, file=sys.stderr, **options
    ) as bar:
        path = fetch(name, _folder(to), url=url, progress=bar)
    click.echo(str(path))
    terminal.say(f"train on it: charrnn train {shlex.quote(str(path))}")


@data.command(
    "list",
    epilog="""\b
Examples:
  charrnn data list
  charrnn data list --json
""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a text.")
def list_(as_json: bool) -> None:
    """Show the text that ships, and those that can be fetched."""
    texts = [_bundled(), *_known()]
    if as_json:
        for text in texts:
            click.echo(json.dumps(text))
        return
    for text in texts:
        click.echo(f"{text['name']}: {text['size']:,} bytes; {text['about']}")
        click.echo(f"  {terminal.one_line(text['path'] or text['url'])}")
        click.echo(f"  sha256 {text['sha256']}")


@data.command(
    epilog="""\b
Examples:
  charrnn data forget
"""
)
def forget() -> None:
    """Remove what is kept of large texts for the next start: their ids. It is made again when it is
    needed.
    """
    from charrnn.runtime.cache import forget_texts, texts_folder
    from charrnn.text.vocab import counted

    files, size = forget_texts()
    terminal.say(
        f"removed {counted(files, 'file')}, {terminal.size_text(size)}, from {texts_folder()}"
    )


def _bundled() -> dict[str, Any]:
    from charrnn.text.datasets import bundled_corpus

    path = bundled_corpus()
    content = path.read_bytes()
    about = "ships with charrnn: what charrnn train reads without a TEXT"
    found = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {"name": path.stem, **found, "path": str(path), "url": None, "about": about}


def _known() -> list[dict[str, Any]]:
    from charrnn.text.datasets import DATASETS

    texts = []
    for name, known in DATASETS.items():
        path = _folder(None) / known.file_name
        here = path.is_file() and path.stat().st_size == known.size
        about = "fetched" if here else f"not here; charrnn data get {name}"
        found = {
            "size": known.size,
            "sha256": known.sha256,
            "path": str(path) if here else None,
            "url": known.url,
        }
        texts.append({"name": name, **found, "about": about})
    return texts


def _folder(to: str | None) -> Path:
    if to is not None:
        return Path(to)
    return Path("data") if Path("data").is_dir() else Path()
