"""`charrnn export`: a network for another program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import files_of, load_members, mixture_of
from charrnn.cli.export_card import card_of
from charrnn.cli.options import PATH, json_option
from charrnn.cli.sample import bundled_if_no_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charrnn.cli.checkpoints import Member


@dataclass(frozen=True)
class Format:
    """A format: its function (`module:name`), called with a `Mixture`, a path, `force` and the
    flags in `options` that were given, by their names; it returns the paths that it wrote.

    arguments: makes the function's arguments from the networks, their files and these flags.
    """

    function: str
    is_folder: bool = False
    options: tuple[str, ...] = ()
    arguments: Callable[..., dict[str, Any]] | None = None


def _page(
    members: Sequence[Member],
    known_words: str | None = None,
    text: tuple[str, ...] = (),
    **options: Any,
) -> dict[str, Any]:
    """The arguments of a page: its title, and the words of --known-words."""
    from charrnn.cli.known_words import known_words as words_of
    from charrnn.cli.own_corpus import own_corpus
    from charrnn.cli.serve import name_of

    member = members[0]
    if known_words is not None:
        corpus = partial(own_corpus, member, text)
        options["known_words"] = words_of(mixture_of(members), known_words, corpus)
    return {"name": name_of(member.path), **options}


FORMATS = {
    "pytorch": Format(
        "charrnn.export.pytorch:export_pytorch",
        is_folder=True,
        options=("license", "text"),
        arguments=card_of,
    ),
    "onnx": Format("charrnn.export.onnx:export_onnx"),
    "html": Format(
        "charrnn.export.html:export_html",
        options=("precision", "known_words", "text"),
        arguments=_page,
    ),
}
"""What --to may be. A format has one entry here; a flag of its own is one more in `export_`."""

EPILOG = """\b
Examples:
  charrnn export --to pytorch --out plays-pytorch       the newest run
  charrnn export checkpoints/book --to pytorch --out book-pytorch
  charrnn export checkpoints/book --to onnx --out book.onnx
  charrnn export checkpoints/book --to html --out book.html
"""


@click.command("export", epilog=EPILOG)
@click.argument("checkpoint", required=False, type=PATH, metavar="[RUN]")
@click.option(
    "--to",
    "kind",
    type=click.Choice([*FORMATS]),
    required=True,
    help="pytorch: a folder with model.py, weights, vocabulary and a model card. onnx: one file "
    "for onnxruntime. html: a page to write with, in any browser, without a server.",
)
@click.option(
    "--out", required=True, type=PATH, metavar="PATH", help="The file or folder to write."
)
@click.option("--license", metavar="ID", help="pytorch: the license that the model card names.")
@click.option("--force", is_flag=True, help="Replace what an earlier export wrote there.")
@click.option(
    "--precision",
    type=click.Choice(["int8", "bf16"]),
    help="html: the type that weights are rounded to; bf16 takes twice the space. [default: int8]",
)
@click.option(
    "--known-words",
    is_flag=False,
    flag_value="",
    type=PATH,
    metavar="[FILE]",
    help="html: let the page write words of the training text, or of this file, only. The list "
    "stands in the page: leave it out if the author's words may not be shown.",
)
@click.option(
    "--text",
    multiple=True,
    type=PATH,
    metavar="PATH",
    help="pytorch, --known-words: where the run's own text is now, if it has moved; may be "
    "repeated.",
)
@json_option("Print one JSON object: the format and the files.")
def export_(
    checkpoint: str | None,
    kind: str,
    out: str,
    force: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Take a network out of charrnn, for another program.

    RUN is a run's folder or a .safetensors file, by default the newest run or, if there is no run,
    the bundled network. All networks of a run go along, and their probabilities are averaged, as
    in charrnn; RUN/best.safetensors is the first one alone, which is smaller and faster. Nothing
    is left behind: the vocabulary, the states to start from and the separator of documents go
    along; what the format cannot hold is an error.
    """
    made = FORMATS[kind]
    options = {name: value for name, value in flags.items() if value not in (None, ())}
    for name in options:
        if name not in made.options:
            users = " or ".join(each for each, other in FORMATS.items() if name in other.options)
            raise click.UsageError(f"--{name.replace('_', '-')} needs --to {users}")
    if kind == "html" and "text" in options and options.get("known_words") != "":
        raise click.UsageError("--text needs --known-words without a file")
    from charrnn.export.place import check_file, check_folder, check_package

    (check_folder if made.is_folder else check_file)(out, force)  # before kernels are loaded
    if kind == "onnx":
        check_package("onnx", "an ONNX file")
    members = load_members(checkpoint or bundled_if_no_run(), (), training=kind == "pytorch")
    if made.arguments is not None:
        options = made.arguments(members, **options)
    module, _, name = made.function.partition(":")
    paths: list[Path] = getattr(import_module(module), name)(
        mixture_of(members), out, force=force, **options
    )
    _tell(members, kind, out, paths, as_json)


def _tell(members: Sequence[Member], kind: str, out: str, paths: list[Path], as_json: bool) -> None:
    """Say what was written, on stderr; as JSON on stdout."""
    sizes = {path: path.stat().st_size for path in paths}
    if as_json:
        files = [{"path": str(path), "bytes": size} for path, size in sizes.items()]
        about = {**files_of(members), "format": kind, "out": out, "files": files}
        click.echo(terminal.json_text(about))
        return
    where = terminal.one_line(out)
    names = ", ".join(path.name for path in paths)
    inside = f" ({terminal.one_line(names)})" if paths != [Path(out)] else ""
    terminal.say(f"wrote {where}{inside}, {terminal.size_text(sum(sizes.values()))}")
    if len(members) > 1:
        first = terminal.one_line(str(members[0].path))
        terminal.say(f"it holds {len(members)} networks; for the first one alone, export {first}")
