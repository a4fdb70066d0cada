"""`charrnn sample`: a network writes, and its text is shown as it is generated."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace
from typing import Any

import click

from charrnn.cli import copied, terminal
from charrnn.cli.checkpoints import ensemble_option, load_members, mixture_of
from charrnn.cli.options import (
    PATH,
    GroupedCommand,
    help_all_option,
    json_option,
    option,
    options_for,
    threads_option,
)
from charrnn.cli.prime import as_text, read_prime, unescaped
from charrnn.cli.sample_choice import adapted, choosing_options, dynamic_config
from charrnn.cli.sample_request import Request
from charrnn.cli.sample_short import write_short
from charrnn.cli.sample_texts import json_object, write_texts
from charrnn.config import SamplingConfig, ShortConfig
from charrnn.config.fields import settings_of
from charrnn.config.sampling import SHORT
from charrnn.errors import RunError, VocabError

EXAMPLES = """\b
Examples:
  charrnn sample                                  the newest run's network
  charrnn sample checkpoints/plays --length 2000 --temperature 0.6
  charrnn sample --prime "KING:" --until paragraph --count 3
  charrnn sample --seed 4711 --take 2             the second text of a seed
  charrnn sample checkpoints/names --count 200 --max-length 12 --unique --new
  echo "KING:" | charrnn sample                   read the prime from a pipe
"""
BRIEF = {
    "--length": "Characters to write, or the most with --until.",
    "--until": "End at a sentence, line, paragraph or document.",
    "--temperature": "Randomness: 0 safest, 1 as learned. [default: 0.8]",
    "--prime": "Text to continue.",
    "--stop": "Stop before this string; may be repeated.",
    "--match": "Write only what matches this regular expression.",
    "--known-words": "Only words of the training text, or of this file.",
    "--max-copy": "Copy no passage this long from the training text.",
    "--count": "Texts to write. [default: 1]",
    "--max-length": "Of short texts: leave out longer ones.",
    "--unique": "Of short texts: write none twice.",
    "--new": "Of short texts: none of the training text.",
    "--best-of": "Write N takes, print the likeliest.",
    "--seed": "The same seed writes the same text.",
    "--take": "Write take N of the seed.",
    "--threads": "Threads to use. [default: all]",
    "--json": "Print one JSON object.",
}
"""The options that --help shows."""
MOST = 10_000
"""Texts that are written side by side."""


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("checkpoint", required=False, type=PATH, metavar="[CHECKPOINT_OR_RUN]")
@options_for(SamplingConfig, without=("seed",), repeated=("temperature",))
@option(
    "--known-words",
    "Write only words of the training text, or of this file (a text or a list of words).",
    group=settings_of(SamplingConfig)["match"].group,
    is_flag=False,
    flag_value="",
    type=PATH,
    metavar="[FILE]",
)
@options_for(ShortConfig)
@option(
    "--new",
    "Leave out short texts that stand in the training text as a line or document.",
    group=SHORT,
    is_flag=True,
)
@option(
    "--not-in",
    "Leave out short texts that are lines (or documents) of this file; may be repeated.",
    group=SHORT,
    multiple=True,
    type=click.Path(),
    metavar="FILE",
)
@click.option(
    "--text",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="The text that the network was trained on, if it has moved; may be repeated.",
)
@choosing_options
@ensemble_option
@click.option(
    "--seed",
    type=int,
    help="The same seed writes the same text. [default: random; at temperature 0: 0]",
)
@click.option("--prime", metavar="TEXT", help="Text to continue; may be empty.")
@click.option(
    "--prime-file",
    type=PATH,
    metavar="FILE",
    help="A UTF-8 file to continue; - is standard input.",
)
@click.option("--no-prime", is_flag=True, help="Do not print the prime before the text.")
@click.option(
    "--count",
    type=click.IntRange(1, 1_000_000),
    default=1,
    show_default=True,
    help="Texts to write.",
)
@threads_option
@json_option(
    "Print one JSON object, with the seed; its text does not include the prime, except that short "
    "texts are whole."
)
@help_all_option
def sample(
    checkpoint: str | None,
    ensemble: tuple[str, ...],
    seed: int | None,
    temperature: tuple[float, ...],
    prime: str | None,
    prime_file: str | None,
    no_prime: bool,
    count: int,
    known_words: str | None,
    new: bool,
    not_in: tuple[str, ...],
    text: tuple[str, ...],
    best_of: int,
    logprobs: bool,
    adapt: str | None,
    as_json: bool,
    threads: int | None,
    **settings: Any,
) -> None:
    """Generate text with a network: by default the newest run's or, if there is no run, the bundled
    one. The command that makes the text again follows on stderr.

    CHECKPOINT_OR_RUN is a .safetensors file or a run's folder, whose networks write together. A
    pipe or file on standard input is taken as the prime, exactly as it is, unless --prime or
    --prime-file is given or another flag reads it (-); in a script whose standard input serves
    another purpose, pass --prime "".
    """
    others = settings["temperature_to"], settings["inner_temperature"]
    is_greedy = bool(temperature) and not any((*temperature, *others))
    settings["seed"] = (0 if is_greedy else secrets.randbits(53)) if seed is None else seed
    for name in ("stop", "must"):
        settings[name] = tuple(map(unescaped, settings[name]))
    values = {name: value for name, value in settings.items() if value is not None}
    config, short = SamplingConfig.of(values), ShortConfig.of(values)
    configs = [replace(config, temperature=each) for each in temperature] or [config]
    is_short = short != ShortConfig() or new or bool(not_in)
    if is_short and len(configs) > 1:
        raise click.UsageError("short texts are written at one --temperature")
    if is_short and (best_of > 1 or logprobs):
        raise click.UsageError("--best-of and --logprobs are not for many short texts")
    if is_short and no_prime:
        raise click.UsageError(
            "--no-prime is not for many short texts, each of which begins in the prime"
        )
    if logprobs and not as_json:
        raise click.UsageError("--logprobs is a part of --json: add it")
    if config.keep_stop and not config.stop:
        raise click.UsageError("--keep-stop needs --stop: no other string stops the text")
    learning = dynamic_config(values, adapt)
    if count * best_of > MOST and not is_short:
        raise click.UsageError(
            f"--count {count * best_of}: at most {MOST:,}, except for short texts (--max-length)"
        )
    if "-" in (adapt, known_words, *not_in, *text) and prime is None and prime_file is None:
        prime = ""  # standard input is another text
    raw_prime, whose = read_prime(prime, prime_file)
    kernels: list[str] = ["bf16"] if config.precision == "bf16" else []
    kernels += [] if adapt is None else ["dynamic"]
    kernels += [] if as_json else copied.kernels()
    kernels += ["copies"] if config.max_copy else []
    checkpoint = checkpoint or bundled_if_no_run()
    members = load_members(checkpoint, ensemble, *kernels, training=adapt is not None, writes=True)
    from charrnn.runtime.threads import Workers

    trained = mixture_of(members)
    prime = as_text(raw_prime, trained[0], whose)
    try:
        trained.vocab.encode(prime, config.unknown)
    except VocabError as error:
        raise VocabError(f"{whose}: {error}") from None
    stops = tuple(as_text(string, trained[0], "`stop`") for string in config.stop)
    words = tuple(as_text(word, trained[0], "`must`") for word in config.must)
    configs = [replace(each, stop=stops, must=words) for each in configs]
    with contextlib.closing(Workers(threads)) as workers:
        if adapt is not None:
            members = adapted(members, adapt, learning, config.unknown, workers)
        request = Request(
            members=members,
            prime=prime,
            prime_file=prime_file,
            shown="" if no_prime else prime,
            count=count,
            workers=workers,
            training_text=text,
            words=known_words,
            best_of=best_of,
            logprobs=logprobs,
            adapt=adapt,
            learning=learning,
        )
        if is_short:
            write_short(request, configs[0], short, new, not_in, as_json)
        elif as_json:
            click.echo(terminal.json_text(json_object(request, configs)))
        else:
            write_texts(request, [each.resolved() for each in configs])


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
