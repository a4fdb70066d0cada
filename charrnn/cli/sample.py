"""`charrnn sample`: a network writes, and its text is shown as it is made."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import ensemble_option, load_members
from charrnn.cli.signals import remembered_interrupt
from charrnn.errors import CorpusError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.network.model import Model
    from charrnn.text.vocab import Vocab

PATIENCE = 2.0  # seconds without a word from a pipe before a note says what is waited for

EPILOG = """\b
Examples:
  charrnn sample                                  the newest run's best checkpoint
  charrnn sample checkpoints/plays --length 2000 --temperature 0.6
  charrnn sample --prime "KING:" --stop $'\\n\\n'   up to the first blank line
  echo "KING:" | charrnn sample                   the prime, with echo's newline
  charrnn sample checkpoints/a --ensemble checkpoints/b
  charrnn sample --count 5 --seed 7 --json
"""


@click.command(epilog=EPILOG)
@click.argument("checkpoint", required=False, metavar="[CHECKPOINT_OR_RUN]")
@click.option(
    "--length",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    help="Characters to write.",
)
@click.option(
    "--temperature",
    type=float,
    default=0.8,
    show_default=True,
    help="How daring; 0 takes the most probable.",
)
@click.option(
    "--top-k",
    type=int,
    default=0,
    show_default=True,
    help="Draw from so many most probable; 0: from all.",
)
@ensemble_option
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="The same seed writes the same text. [default: random]",
)
@click.option("--prime", metavar="TEXT", help="Text to go on from; may be empty.")
@click.option(
    "--prime-file", metavar="FILE", help="A UTF-8 file to go on from; - is standard input."
)
@click.option("--no-prime", is_flag=True, help="Do not repeat the prime before the text.")
@click.option("--stop", metavar="STRING", help="End before this string is written.")
@click.option(
    "--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Texts to write."
)
@click.option(
    "--unknown",
    type=click.Choice(["error", "skip", "nearest"]),
    default="error",
    show_default=True,
    help="What becomes of the prime's characters that the model does not know.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bf16", "int8"]),
    default="float32",
    show_default=True,
    help="Weights rounded to so much: faster for one text of a large network, and nearly the same.",
)
@click.option("--threads", type=click.IntRange(min=1), help="[default: all processors]")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object, with the seed; its text is without the prime.",
)
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
    **options: Any,
) -> None:
    """Let a network write, by default that of the newest run.

    CHECKPOINT_OR_RUN is a .safetensors file or a run's folder. A pipe or a file on standard input
    is the prime, exactly as it comes, unless --prime or --prime-file is given; a script whose input
    is not for this should give --prime "".
    """
    given = _given_prime(prime, prime_file)
    members = load_members(
        checkpoint, ensemble, *({options["precision"]} - {"float32"}), training=False
    )
    run, models = members[0].trained, [member.trained.model for member in members]
    seed = secrets.randbits(53) if seed is None else seed
    options["document_separator"] = run.corpus_config.document_separator
    text = _as_text(given, run, prime_file or "standard input")
    if as_json:
        texts = _texts(models, run.vocab, text, count, threads, {**options, "seed": seed})
        paths = [str(member.path) for member in members]
        about = {"prime": text, "checkpoint": paths[0], "seed": seed}
        about |= {"ensemble": paths[1:]} if ensemble else {}
        about |= {name: options[name] for name in ("temperature", "top_k", "length", "precision")}
        made = {"text": texts[0]} if count == 1 else {"samples": texts}
        click.echo(json.dumps(made | about))
    elif count == 1:
        _stream(models, run.vocab, text, no_prime, threads, {**options, "seed": seed})
    else:
        shown = "" if no_prime else text
        for n, made_text in enumerate(
            _texts(models, run.vocab, text, count, threads, {**options, "seed": seed})
        ):
            if n:
                _write(_rule(n + 1, count))
            _write(_with_newline(terminal.escaped(shown + made_text, sys.stdout)))


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
        reason = (error.strerror if isinstance(error, OSError) else None) or error
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
    try:
        if (
            os.name == "posix"
            and not sys.stdin.isatty()
            and not select.select([sys.stdin], [], [], PATIENCE)[0]
        ):
            terminal.tell('waiting for a prime on standard input (for none: --prime "")')
    except (OSError, ValueError):
        pass  # not a file of the system's: it cannot be silent
    return sys.stdin.buffer.read()


def _as_text(given: str | bytes, run: Trained, where: str) -> str:
    """The prime read as the run's text was: with its newlines and normalisation. A run of bytes
    takes it as it is.
    """
    from charrnn.text.sources import tidy

    if run.vocab.unit == "byte":
        return given if isinstance(given, str) else given.decode("utf-8", "surrogateescape")
    if isinstance(
        given, str
    ):  # UTF-8 on the command line arrives as surrogates where the locale knows only ASCII
        with contextlib.suppress(UnicodeError):
            given = given.encode("utf-8", "surrogateescape").decode("utf-8")
    else:
        try:
            given = given.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            found = f"byte 0x{error.object[error.start]:02x} at position {error.start}"
            raise CorpusError(
                f"{where}: the prime is not UTF-8 ({found}); convert it, for instance with iconv"
            ) from None
    return "".join(tidy(iter([given]), run.corpus_config.newlines, run.corpus_config.normalize))


def _texts(
    models: list[Model],
    vocab: Vocab,
    prime: str,
    count: int,
    threads: int | None,
    options: dict[str, Any],
) -> list[str]:
    from charrnn.generation.generate import generate_many
    from charrnn.runtime.threads import Workers, usable_threads

    workers = Workers(usable_threads(threads))
    try:
        with terminal.progress_bar("writing", unit="char") as bar:
            return generate_many(
                models, vocab, count, prime, workers=workers, progress=bar, **options
            )
    finally:
        workers.close()


def _stream(
    models: list[Model],
    vocab: Vocab,
    prime: str,
    no_prime: bool,
    threads: int | None,
    options: dict[str, Any],
) -> None:
    """Write the text as it is made; the prime only once it has been read, so that an error comes
    before any text.
    """
    from charrnn.generation.generate import generate
    from charrnn.runtime.threads import Workers

    last, workers = "", Workers(threads)
    try:
        with terminal.progress_bar("reading the prime", unit="char") as bar:
            pieces = generate(models, vocab, prime, workers=workers, progress=bar, **options)
            first = next(pieces, "")
        with remembered_interrupt() as check:
            for piece in _joined("" if no_prime else prime, first, pieces):
                check()
                _write(terminal.escaped(piece, sys.stdout))
                last = piece or last
    finally:
        workers.close()
        if terminal.is_terminal(sys.stdout) and not last.endswith("\n"):
            _write("\n")


def _joined(prime: str, first: str, rest: Iterator[str]) -> Iterator[str]:
    yield prime
    yield first
    yield from rest


def _rule(n: int, count: int) -> str:
    """What stands between two texts: a blank line; on a terminal a dim rule."""
    if not terminal.is_terminal(sys.stdout):
        return "\n"
    return "\n" + terminal.dim(f"--- {n} of {count} ---", sys.stdout) + "\n\n"


def _with_newline(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _write(text: str) -> None:
    """Text to standard output at once, in its encoding; bytes of the command line that are no text
    come out as they were.
    """
    stream = sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        data = text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(encoding, "backslashreplace")
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
