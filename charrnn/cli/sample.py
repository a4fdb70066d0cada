"""`charrnn sample`: a network writes, and its text is shown as it is generated."""

from __future__ import annotations

import base64
import contextlib
import secrets
import sys
from dataclasses import asdict, replace
from itertools import chain
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
from charrnn.cli.prime import as_text, read_prime, unescaped
from charrnn.cli.signals import interruptions
from charrnn.config import SamplingConfig
from charrnn.errors import RunError, VocabError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.runtime.threads import Workers

EXAMPLES = """\b
Examples:
  charrnn sample                                  the newest run's network
  charrnn sample checkpoints/plays --length 2000 --temperature 0.6
  charrnn sample --prime "KING:" --stop '\\n\\n'    stop at the first blank line
  echo "KING:" | charrnn sample                   read the prime from a pipe
"""
BRIEF = {
    "--length": "Characters to write. [default: 500]",
    "--temperature": "Randomness: 0 safest, 1 as learned. [default: 0.8]",
    "--prime": "Text to continue.",
    "--prime-file": "A file to continue; - is standard input.",
    "--no-prime": "Do not print the prime before the text.",
    "--stop": "Stop before this string; may be repeated.",
    "--keep-stop": "Keep the string that stopped the text.",
    "--count": "Texts to write. [default: 1]",
    "--seed": "The same seed writes the same text. [default: random]",
    "--unknown": "Unknown characters in the prime: error, skip, nearest, fold.",
    "--threads": "Threads to use. [default: all]",
    "--json": "Print one JSON object.",
}
"""The options that --help shows."""


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("checkpoint", required=False, metavar="[CHECKPOINT_OR_RUN]")
@options_for(SamplingConfig, without=("seed",))
@ensemble_option
@click.option("--seed", type=int, help="The same seed writes the same text. [default: random]")
@click.option("--prime", metavar="TEXT", help="Text to continue; may be empty.")
@click.option("--prime-file", metavar="FILE", help="A UTF-8 file to continue; - is standard input.")
@click.option("--no-prime", is_flag=True, help="Do not print the prime before the text.")
@click.option(
    "--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Texts to write."
)
@threads_option
@json_option("Print one JSON object, with the seed; its text does not include the prime.")
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
    """Generate text with a network: by default the newest run's or, if there is no run, the bundled
    one.

    CHECKPOINT_OR_RUN is a .safetensors file or a run's folder. A pipe or file on standard input is
    taken as the prime, exactly as it is, unless --prime or --prime-file is given; in a script whose
    standard input serves another purpose, pass --prime "".
    """
    settings["seed"] = secrets.randbits(53) if seed is None else seed
    settings["stop"] = tuple(map(unescaped, settings["stop"]))
    config = SamplingConfig(**{k: value for k, value in settings.items() if value is not None})
    raw_prime, whose = read_prime(prime, prime_file)
    kernels = [] if config.precision == "float32" else [config.precision]
    checkpoint = checkpoint or bundled_if_no_run()
    members = load_members(checkpoint, ensemble, *kernels, training=False)
    from charrnn.generation.generate import generate_many
    from charrnn.runtime.threads import Workers

    trained = [member.trained for member in members]
    text = as_text(raw_prime, trained[0], whose)
    try:
        trained[0].vocab.encode(text, config.unknown)
    except VocabError as error:
        raise VocabError(f"{whose}: {error}") from None
    stops = [as_text(string, trained[0], "`stop`") for string in config.stop]
    config = replace(config, stop=tuple(stops))
    shown = "" if no_prime else text
    with contextlib.closing(Workers(threads)) as workers:
        if count == 1 and not as_json:
            _stream(trained, text, shown, config, workers)
            return
        with terminal.progress_bar("writing", unit="char") as bar:
            texts = generate_many(trained, count, text, config, workers=workers, progress=bar)
    if as_json:
        name = "text" if count == 1 else "samples"
        output: dict[str, Any] = {name: _one_or_all([_valid(each) for each in texts])}
        if trained[0].vocab.unit == "byte":
            data = (each.encode("utf-8", "surrogateescape") for each in texts)
            output["base64"] = _one_or_all([base64.b64encode(each).decode() for each in data])
        about = {"prime": _valid(text), **asdict(config), **files_of(members)}
        del about["stop"], about["keep_stop"], about["unknown"]
        click.echo(terminal.json_text(output | about))
        return
    for n, made_text in enumerate(texts, 1):
        if n > 1:
            _write(_rule(n, count))
        whole = terminal.escaped(shown + made_text, sys.stdout)
        _write(whole if whole.endswith("\n") else whole + "\n")


def bundled_if_no_run() -> str | None:
    """The bundled network if there is no run, else None."""
    from charrnn.checkpoint.paths import ROOT, bundled_network, newest_folder

    try:
        newest_folder()
        return None
    except RunError:
        path = bundled_network()
    terminal.say(
        f"no run in {ROOT}/ yet: using the bundled network, trained on plays; to train your "
        "own: charrnn train book.txt"
    )
    return str(path)


def _one_or_all(texts: list[str]) -> str | list[str]:
    return texts[0] if len(texts) == 1 else texts


def _valid(text: str) -> str:
    """The text with U+FFFD for bytes that are not UTF-8: JSON cannot contain them."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _stream(
    trained: list[Trained], prime: str, shown: str, config: SamplingConfig, workers: Workers
) -> None:
    """Write the text as it is generated. The prime is shown only after the network has read it, so
    that an error comes before any text.
    """
    from charrnn.generation.generate import generate

    last = ""
    try:
        with terminal.progress_bar("reading the prime", unit="char") as bar:
            pieces = generate(trained, prime, config, workers=workers, progress=bar)
            first = next(pieces, "")
        with interruptions() as check:
            for piece in chain([shown, first], pieces):
                check()
                _write(terminal.escaped(piece, sys.stdout))
                last = piece or last
    finally:
        if terminal.is_terminal(sys.stdout) and not last.endswith("\n"):
            _write("\n")


def _rule(n: int, count: int) -> str:
    """The separator between two texts: a blank line, or on a terminal a dim rule."""
    if not terminal.is_terminal(sys.stdout):
        return "\n"
    return "\n" + terminal.dim(f"--- {n} of {count} ---", sys.stdout) + "\n\n"


def _write(text: str) -> None:
    """Write text to standard output at once, in its encoding; bytes that are not UTF-8, from the
    command line or a network of bytes, come out unchanged.
    """
    stream, encoding = sys.stdout, sys.stdout.encoding or "utf-8"
    try:
        data = text.encode(encoding, "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode(encoding, "backslashreplace")
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()
