"""`charrnn write`: a network writes along with a person, in the terminal."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import load_members
from charrnn.cli.options import GroupedCommand, help_all_option, options_for, threads_option
from charrnn.cli.sample import bundled_if_no_run
from charrnn.config import SamplingConfig
from charrnn.errors import CorpusError

if TYPE_CHECKING:
    from charrnn.generation.manuscript import Manuscript
    from charrnn.generation.manuscript_file import ManuscriptFile

EXAMPLES = """\b
Examples:
  charrnn write story.txt                  write on with the newest run's network
  charrnn write --run checkpoints/plays    a new text, untitled.txt
  charrnn write story.txt --temperature 0.5 --ahead word
\b
Keys:
  Tab  take a word of the grey text      ^L  take its line
  ^N   the next alternative              ^P  the one before
  ^R   another one of what you took      ^Z  undo    ^Y  redo
  ^T   warmer    ^G  cooler              ^S  save    ^Q  quit
"""
BRIEF = {
    "--run": "A checkpoint or run. [default: the newest]",
    "--temperature": "Randomness: 0 safest, 1 as learned. [default: 0.8]",
    "--ahead": "How much grey text: word or line. [default: line]",
    "--seed": "The same seed writes the same takes. [default: random]",
    "--threads": "Threads to use. [default: all]",
}
"""The options that --help shows."""
ELSEWHERE = (
    *("length", "until", "lines", "after", "stop", "keep_stop", "take", "seed", "unknown"),
    "temperature_to",
)
"""Settings of sampling that a session decides."""
UNTITLED = "untitled.txt"


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("file", required=False, type=click.Path(readable=False), default=UNTITLED)
@click.option("--run", metavar="RUN", help="A checkpoint or a run's folder. [default: the newest]")
@click.option(
    "--ahead",
    type=click.Choice(["word", "line"]),
    default="line",
    show_default=True,
    help="How much of the continuation is shown.",
)
@options_for(SamplingConfig, without=ELSEWHERE)
@click.option("--seed", type=int, help="The same seed writes the same takes. [default: random]")
@threads_option
@help_all_option
def write(
    file: str, run: str | None, ahead: Any, seed: int | None, threads: int | None, **settings: Any
) -> None:
    """Write a text together with a network: what it would write next stands behind the cursor in
    grey, and keys take it.

    FILE is plain text, created if there is none. It is saved as you write. FILE.charrnn.json beside
    it says which parts the network wrote.
    """
    _check_terminal()
    from charrnn.generation.manuscript_file import ManuscriptFile

    opened, manuscript = ManuscriptFile.opened(file)
    members = load_members(run or bundled_if_no_run(), (), training=False)
    from charrnn.cli.write_screen import HUNG_UP, Screen
    from charrnn.generation.cowriter import Cowriter
    from charrnn.runtime.threads import Workers

    given = {name: value for name, value in settings.items() if value is not None}
    config = SamplingConfig(seed=secrets.randbits(53) if seed is None else seed, **given)
    with contextlib.closing(Workers(threads)) as workers:
        session = Cowriter(members[0].trained, manuscript, config, ahead=ahead, workers=workers)

        def described() -> dict[str, Any]:
            used = {k: v for k, v in asdict(session.config).items() if k not in ELSEWHERE}
            return {
                "seed": session.config.seed,
                "run": str(members[0].path),
                "settings": used,
            }

        screen = Screen(session, opened, described, terminal.has_color(sys.stdout))
        status = screen.run()
    if status != HUNG_UP:
        _say_where(Path(file), screen.file, manuscript)
    if status:
        sys.exit(status)


def _say_where(file: Path, stored: ManuscriptFile, manuscript: Manuscript) -> None:
    """Where the text is now, and whose it is."""
    if stored.note:
        terminal.say(stored.note)
    if stored.path.exists():
        terminal.say(
            f"{file.with_name(stored.path.name)}: {len(manuscript.text):,} characters, "
            f"{manuscript.share:.0%} by the network"
        )


def _check_terminal() -> None:
    """An error unless there is a terminal to write in, and what shows it."""
    if not (terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stdout)):
        raise click.UsageError(
            "charrnn write needs a terminal for input and output; in a pipe: charrnn sample"
        )
    if os.environ.get("TERM") == "dumb":
        raise click.UsageError("this terminal (TERM=dumb) cannot move its cursor; try another one")
    if find_spec("prompt_toolkit") is None:
        raise CorpusError(
            "charrnn write needs one more package: pip install 'charrnn-numba[write]'"
        )
