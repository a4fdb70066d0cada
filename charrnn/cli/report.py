"""`charrnn report`: the story of a run as a web page."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from charrnn.checkpoint.paths import BEST, LAST, find_checkpoint
from charrnn.cli import terminal
from charrnn.cli.checkpoints import say_where_others_are
from charrnn.cli.kernel_loading import load_kernels, network_kernels
from charrnn.cli.options import PATH, threads_option
from charrnn.cli.score_text import check_place
from charrnn.runtime.files import write_atomically
from charrnn.runtime.threads import Workers
from charrnn.text.sources import find

EPILOG = """\b
Examples:
  charrnn report                            the newest run, into report.html
  charrnn report checkpoints/book --out book.html
  charrnn report checkpoints/a checkpoints/b    their curves side by side
"""


@click.command("report", epilog=EPILOG)
@click.argument("runs", nargs=-1, type=PATH, metavar="[RUN]...")
@click.option(
    "--out",
    default="report.html",
    show_default=True,
    type=PATH,
    metavar="FILE",
    help="The file to write; - is standard output.",
)
@click.option(
    "--text",
    "own_texts",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="Where the first run's text is now, if it has moved; may be repeated.",
)
@click.option(
    "--svg",
    type=PATH,
    metavar="FOLDER",
    help="Also write each picture as a file into this folder.",
)
@threads_option
def report_(
    runs: tuple[str, ...],
    out: str,
    own_texts: tuple[str, ...],
    svg: str | None,
    threads: int | None,
) -> None:
    """Tell the story of a run as a web page: what it read, how it learned, what it writes now.

    RUN is a run's folder or a .safetensors file, by default the newest run. It is about
    the first one; others stand beside it in the learning curves and in a table. The page is one
    file, which loads nothing else and opens from disk.
    """
    # reports a missing text before kernels are loaded or compiled
    files = find(own_texts).files if own_texts else ()
    if out != "-":
        check_place("--out", Path(out), files)
    paths = [find_checkpoint(run) for run in runs or (None,)]
    from charrnn.checkpoint.header import model_config_of

    if paths[0].name in (BEST, LAST):
        say_where_others_are(paths[0].parent, "report")
    models = [model_config_of(path) for path in paths]
    if svg is not None:
        _make_folder(Path(svg))
    load_kernels(*network_kernels(models[0]), "rnn")
    from charrnn.reporting.story import report

    with closing(Workers(threads)) as workers, terminal.progress_bar("reading", unit="‰") as bar:
        story = report(paths, own_texts=own_texts, workers=workers, progress=bar)
    if story.missing is not None:
        from charrnn.cli.main import with_flags

        terminal.say(f"without the parts that need the text: {with_flags(story.missing, 'report')}")
    if svg is not None:
        for name, plot in story.plots.items():
            write_atomically(Path(svg) / f"{name}.svg", plot.encode())
        terminal.say(f"wrote {len(story.plots)} pictures into {terminal.one_line(svg)}")
    if out == "-":
        click.echo(story.page, nl=False)
        return
    story.save(out)
    size = terminal.size_text(len(story.page.encode()))
    terminal.say(f"wrote {terminal.one_line(out)}, {size}: open it in a browser")


def _make_folder(path: Path) -> None:
    """Make a folder unless it is there; `UsageError` if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(
            f"--svg {path}: cannot make this folder: {error.strerror or error}; choose another"
        ) from None
