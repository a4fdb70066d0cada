"""`charrnn sample`: a network writes, and its text is shown as it is made."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import stat
import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import ensemble_option, files_of, load_members
from charrnn.cli.options import (
    GroupedCommand,
    help_all_option,
    json_option,
    options_for,
    threads_option,
)
from charrnn.cli.signals import remembered_interrupt
from charrnn.config import SamplingConfig
from charrnn.errors import CorpusError, RunError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.runtime.threads import Workers

PATIENCE = 2.0
"""Seconds without a word from a pipe before a note says what is waited for."""

EXAMPLES = """\b
Examples:
  charrnn sample                                  the newest run's network
  charrnn sample checkpoints/plays --length 2000 --temperature 0.6
  charrnn sample --prime "KING:" --stop $'\\n\\n'   up to the first blank line
  echo "KING:" | charrnn sample                   go on from a pipe
"""
BRIEF = {
    "--length": "Characters to write. [default: 500]",
    "--temperature": "How daring: 0 is the safest, 1 as learned. [default: 0.8]",
    "--prime": "Text to go on from.",
    "--prime-file": "A file to go on from; - is standard input.",
    "--no-prime": "Do not repeat the prime before the text.",
    "--stop": "End before this string is written.",
    "--count": "Texts to write. [default: 1]",
    "--seed": "The same seed writes the same text. [default: random]",
    "--unknown": "What becomes of unknown characters in the prime: error, skip, nearest, fold.",
    "--threads": "Threads. [default: all]",
    "--json": "Print one JSON object.",
}
"""The options that --help shows."""


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("checkpoint", required=False, metavar="[CHECKPOINT_OR_RUN]")
@options_for(SamplingConfig, without=("seed",))
@ensemble_option
@click.option("--seed", type=int, help="The same seed writes the same text. [default: random]")
@click.option("--prime", metavar="TEXT", help="Text to go on from; may be empty.")
@click.option(
    "--prime-file", metavar="FILE", help="A UTF-8 file to go on from; - is standard input."
)
@click.option("--no-prime", is_flag=True, help="Do not repeat the prime before the text.")
@click.option(
    "--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Texts to write."
)
@threads_option
@json_option("Print one JSON object, with the seed; its text is without the prime.")
@help_all_option
def sample(
    checkpoint: str | None,
    ensemble: tuple[str, ...],
    seed: int | None,
    prime: str | None,
    prime_file: str | None,
    no_prime: bool,
    count: int,
    as_json: bool,
    threads: int | None,
    **settings: Any,
) -> None:
    """Let a network write: by default that of the newest run, or where there is no run the one that
    ships.

    CHECKPOINT_OR_RUN is a .safetensors file or a run's folder. A pipe or a file on standard input
    is the prime, exactly as it comes, unless --prime or --prime-file is given; a script whose input
    is not for this should give --prime "".
    """
    settings["seed"] = secrets.randbits(53) if seed is None else seed
    config = SamplingConfig(**{k: value for k, value in settings.items() if value is not None})
    given = _given_prime(prime, prime_file)
    kernels = [] if config.precision == "float32" else [config.precision]
    checkpoint = checkpoint or _bundled_if_no_run()
    members = load_members(checkpoint, ensemble, *kernels, training=False)
    from charrnn.generation.generate import generate_many
    from charrnn.runtime.threads import Workers, usable_threads

    trained = [member.trained for member in members]
    text = _as_text(given, trained[0], prime_file or "standard input")
    shown = "" if no_prime else text
    with contextlib.closing(Workers(usable_threads(threads))) as workers:
        if count == 1 and not as_json:
            _stream(trained, text, shown, config, workers)
            return
        with terminal.progress_bar("writing", unit="char") as bar:
            texts = generate_many(trained, count, text, config, workers=workers, progress=bar)
    if as_json:
        made = {"text": texts[0]} if count == 1 else {"samples": texts}
        about = {"prime": text, **asdict(config), **files_of(members)}
        del about["stop"], about["unknown"]
        click.echo(json.dumps(made | about))
        return
    for n, made_text in enumerate(texts, 1):
        if n > 1:
            _write(_rule(n, count))
        whole = terminal.escaped(shown + made_text, sys.stdout)
        _write(whole if whole.endswith("\n") else whole + "\n")


def _bundled_if_no_run() -> str | None:
    """The network that ships, where there is no run; None where there is one."""
    from charrnn.checkpoint.paths import ROOT, bundled_network, newest_folder

    try:
        newest_folder()
        return None
    except RunError:
        path = bundled_network()
    terminal.say(
        f"no run in {ROOT}/ yet: this is the network that ships, trained on plays; to train your "
        "own: charrnn train book.txt"
    )
    return str(path)


def _given_prime(prime: str | None, prime_file: str | None) -> str | bytes:
    """The prime as given: flags first, then a pipe or file on standard input, else nothing."""
    if prime is not None and prime_file is not None:
        raise click.UsageError("--prime and --prime-file cannot both be given")
    if prime is not None:
        return prime
    if prime_file == "-" or (prime_file is None and _stdin_is_for_us()):
        return _read_stdin()
    if prime_file is None:
        return ""
    try:
        return Path(prime_file).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(
            f"{prime_file}: the prime cannot be read ({reason}); check the path and its permissions"
        ) from None


def _stdin_is_for_us() -> bool:
    """True for a pipe or a file. Sockets and devices are what services, cron jobs and CI run with:
    they may never end.
    """
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # closed, or not a file
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _read_stdin() -> bytes:
    """All of standard input; a note when a pipe is silent, so that a script that hangs here says
    why.
    """
    if sys.stdin is None:
        raise CorpusError("standard input is closed; give the prime by --prime or --prime-file")
    with contextlib.suppress(OSError, ValueError):  # not a file of the system's: never silent
        waits = os.name == "posix" and not sys.stdin.isatty()
        if waits and not select.select([sys.stdin], [], [], PATIENCE)[0]:
            terminal.say('waiting for a prime on standard input (for none: --prime "")')
    return sys.stdin.buffer.read()


def _as_text(given: str | bytes, trained: Trained, where: str) -> str:
    """The prime read as the network's text was: with its newlines and normalisation. A network of
    bytes takes it as it is.
    """
    from charrnn.text.sources import tidy

    if trained.vocab.unit == "byte":
        return given if isinstance(given, str) else given.decode("utf-8", "surrogateescape")
    if isinstance(given, str):
        # where the locale knows only ASCII, UTF-8 on the command line arrives as surrogates
        with contextlib.suppress(UnicodeError):
            given = given.encode("utf-8", "surrogateescape").decode("utf-8")
    else:
        try:
            given = given.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{where}: the prime is not UTF-8 (byte 0x{error.object[error.start]:02x} at "
                f"position {error.start}); convert it, for instance with iconv"
            ) from None
    config = trained.corpus_config
    return "".join(tidy(iter([given]), config.newlines, config.normalize))


def _stream(
    trained: list[Trained], prime: str, shown: str, config: SamplingConfig, workers: Workers
) -> None:
    """Write the text as it is made; what is shown of the prime only once the prime has been read,
    so that an error comes before any text.
    """
    from charrnn.generation.generate import generate

    last = ""
    try:
        with terminal.progress_bar("reading the prime", unit="char") as bar:
            pieces = generate(trained, prime, config, workers=workers, progress=bar)
            first = next(pieces, "")
        with remembered_interrupt() as check:
            for piece in chain([shown, first], pieces):
                check()
                _write(terminal.escaped(piece, sys.stdout))
                last = piece or last
    finally:
        if terminal.is_terminal(sys.stdout) and not last.endswith("\n"):
            _write("\n")


def _rule(n: int, count: int) -> str:
    """What stands between two texts: a blank line; on a terminal a dim rule."""
    if not terminal.is_terminal(sys.stdout):
        return "\n"
    return "\n" + terminal.dim(f"--- {n} of {count} ---", sys.stdout) + "\n\n"


def _write(text: str) -> None:
    """Text to standard output at once, in its encoding; bytes of the command line that are no text
    come out as they were.
    """
    stream, encoding = sys.stdout, sys.stdout.encoding or "utf-8"
    try:
        data = text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(encoding, "backslashreplace")
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
