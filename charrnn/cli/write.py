"""`charrnn write`: a network writes along with a person, in the terminal."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import Member, load_members, mixture_of
from charrnn.cli.options import (
    PATH,
    GroupedCommand,
    help_all_option,
    option,
    options_for,
    threads_option,
)
from charrnn.cli.sample import bundled_if_no_run
from charrnn.cli.terminal import has_color
from charrnn.config import SamplingConfig
from charrnn.config.fields import settings_of
from charrnn.errors import ConfigError, CorpusError

if TYPE_CHECKING:
    from charrnn.generation.lexicon import Lexicon
    from charrnn.generation.manuscript import Manuscript
    from charrnn.generation.manuscript_file import ManuscriptFile
    from charrnn.text.corpus import Corpus

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
  ^T   warmer    ^G  cooler              ^O  known words only, or any again
  ^S   save      ^Q  quit                (it is saved by itself, too)
"""
BRIEF = {
    "--run": "A checkpoint or run. [default: the newest]",
    "--temperature": "Randomness: 0 safest, 1 as learned. [default: 0.8]",
    "--ahead": "How much grey text: word or line. [default: line]",
    "--known-words": "Only words of the training text, or of this file.",
    "--seed": "The same seed writes the same takes. [default: random]",
    "--threads": "Threads to use. [default: all]",
}
"""The options that --help shows."""
ELSEWHERE = (
    *("length", "until", "lines", "after", "stop", "keep_stop", "take", "seed", "unknown"),
    *("temperature_to", "match", "must", "particles", "max_copy"),
)
"""Settings of sampling that a session decides, or has no use for."""
UNTITLED = "untitled.txt"


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("file", required=False, type=click.Path(readable=False), default=UNTITLED)
@click.option(
    "--run",
    type=PATH,
    metavar="RUN",
    help="A checkpoint or a run's folder. [default: the newest]",
)
@click.option(
    "--ahead",
    type=click.Choice(["word", "line"]),
    default="line",
    show_default=True,
    help="How much of the continuation is shown.",
)
@options_for(SamplingConfig, without=ELSEWHERE)
@click.option("--seed", type=int, help="The same seed writes the same takes. [default: random]")
@option(
    "--known-words",
    "Write only words of the training text, or of this file, until ^O turns that off.",
    group=settings_of(SamplingConfig)["temperature"].group,
    is_flag=False,
    flag_value="",
    type=PATH,
    metavar="[FILE]",
)
@click.option(
    "--text",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="The text that the network was trained on, if it has moved; may be repeated.",
)
@threads_option
@help_all_option
@terminal.without_echo()
def write(
    file: str,
    run: str | None,
    ahead: Any,
    seed: int | None,
    known_words: str | None,
    text: tuple[str, ...],
    threads: int | None,
    **settings: Any,
) -> None:
    """Write a text together with a network: what it would write next stands behind the cursor in
    grey, and keys take it.

    FILE is plain text, created if there is none. It is saved as you write. FILE.charrnn.json beside
    it says which parts the network wrote; the next session goes on with its run, seed and settings.
    """
    _check_terminal()
    terminal.say("loading the network ...")
    from charrnn.generation.manuscript_file import ManuscriptFile

    opened, manuscript = ManuscriptFile.opened(file)
    earlier = _earlier(opened.about)
    given = {name: value for name, value in settings.items() if value is not None}
    seeds = (seed, earlier.get("seed"), secrets.randbits(53))
    config = SamplingConfig.of(
        {**earlier, **given, "seed": next(each for each in seeds if each is not None)}
    )
    kernels = ["bf16"] if config.precision == "bf16" else []
    members = load_members(run or _run_of(opened.about), (), *kernels, training=False, writes=True)
    member = members[0]
    from charrnn.cli.write_saving import Saver
    from charrnn.cli.write_screen import HUNG_UP, Screen
    from charrnn.generation.cowriter import Cowriter
    from charrnn.runtime.threads import Workers

    words = Words(members, known_words or "", text)
    with contextlib.closing(Workers(threads)) as workers:
        session = Cowriter(
            mixture_of(members),
            manuscript,
            config,
            ahead=ahead,
            known_words=None if known_words is None else words.read(quiet=False),
            workers=workers,
        )

        def about() -> dict[str, Any]:
            used = {k: v for k, v in asdict(session.config).items() if k not in ELSEWHERE}
            place = member.argument and str(Path(member.argument).absolute())
            return {"run": place, "seed": session.config.seed, "settings": used}

        saver = Saver(opened, manuscript, about)
        status = Screen(session, saver, words.read, has_color(sys.stdout)).run()
    if status != HUNG_UP:
        _say_where(Path(file), saver.file, manuscript)
    if status:
        sys.exit(status)


@dataclass(frozen=True)
class Words:
    """Where known words come from: a file, or if the path is empty, the network's training text."""

    members: Sequence[Member]
    path: str
    text: tuple[str, ...]

    def read(self, quiet: bool = True) -> Lexicon:
        """Read them, unless `quiet` with progress."""
        from charrnn.cli.known_words import known_words
        from charrnn.cli.own_corpus import own_corpus

        def training_text() -> Corpus:
            return own_corpus(self.members[0], self.text, quiet)

        return known_words(mixture_of(self.members), self.path, training_text, quiet)


def _earlier(about: dict[str, Any]) -> dict[str, Any]:
    """The seed and the settings of the last session with a text; none if they are not valid."""
    with contextlib.suppress(ConfigError, TypeError, AttributeError):
        names = settings_of(SamplingConfig).keys() - set(ELSEWHERE)
        used = {k: v for k, v in (about.get("settings") or {}).items() if k in names}
        used |= {"seed": about["seed"]} if "seed" in about else {}
        SamplingConfig.of(used)
        return used
    return {}


def _run_of(about: dict[str, Any]) -> str | None:
    """The run of the last session with a text, if it is still there; else the newest."""
    run = about.get("run")
    return run if isinstance(run, str) and Path(run).exists() else bundled_if_no_run()


def _say_where(file: Path, stored: ManuscriptFile, manuscript: Manuscript) -> None:
    """Where the text is now, and whose it is."""
    if stored.note:
        terminal.say(stored.note)
    if stored.path.exists():
        shown = file.with_name(stored.path.name)
        shown = shown if shown.resolve() == stored.path else stored.path
        terminal.say(
            f"{shown}: {len(manuscript.text):,} characters, {manuscript.share:.0%} by the network"
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
