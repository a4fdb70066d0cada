"""The texts of `charrnn sample`: as they are generated, one after another, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from charrnn.cli import again, copied, terminal
from charrnn.cli.sample_choice import tell_choice
from charrnn.cli.sample_request import Request, write
from charrnn.cli.signals import interruptions
from charrnn.config import SamplingConfig

TOLD = 10
"""Up to this many texts, each is followed by the command that makes it again."""


def write_texts(request: Request, configs: Sequence[SamplingConfig]) -> None:
    """Write texts to standard output: a single one as it is generated, several after one another.
    After each, or after all if there are many, stderr says what makes it again.
    """
    several, cut = request.count * len(configs), 0
    for config in configs:
        if request.count == request.best_of == 1:
            if several > 1:
                _head(config is configs[0], f"temperature {config.temperature:g}")
            written, ended = _stream(request, config)
            cut += not ended
            again.tell(request.again(config))
            copied.tell(request, written)
            continue
        for n, text in enumerate(request.texts(config)):
            title = f"take {text.take}"
            if len(configs) > 1:
                title = f"temperature {config.temperature:g}, {title}"
            if several > 1 and not request.is_line(config):
                _head(config is configs[0] and n == 0, title)
            whole = terminal.escaped(request.shown + text.text, sys.stdout)
            write(whole if whole.endswith("\n") else whole + "\n")
            cut += not text.ended
            if request.best_of > 1:
                tell_choice(text, config.take + n * request.best_of, request.best_of)
            if several <= TOLD:
                again.tell(request.again(replace(config, take=text.take), count=1, best_of=None))
                copied.tell(request, text.text)
        if several > TOLD:
            again.tell(request.again(config))
    unit = "line" if configs[0].lines else configs[0].until
    if cut and unit is not None:
        which = "the text was" if several == 1 else f"{cut:,} of {several:,} texts were"
        terminal.say(f"{which} cut at --length {configs[0].length:,}: no end of a {unit} before")


def json_object(request: Request, configs: Sequence[SamplingConfig]) -> dict[str, Any]:
    """What --json prints: one text, or a list `samples` of texts, and the settings."""
    config = configs[0].resolved()
    samples = [
        request.described(text)
        | {"take": text.take, "ended": text.ended}
        | ({"temperature": each.temperature} if len(configs) > 1 else {})
        for each in configs
        for text in request.texts(each)
    ]
    output: dict[str, Any] = samples[0] if len(samples) == 1 else {"samples": samples}
    flags = {}
    if len(configs) > 1:
        flags["temperature"] = tuple(each.temperature for each in configs)
    return output | (request.about(config, **flags) | output)


def _stream(request: Request, config: SamplingConfig) -> tuple[str, str]:
    """Write the text as it is generated; returns it and what ended it (`Written.ended`). The prime
    is shown only after the network has read it, so that an error comes before any text.
    """
    from charrnn.generation.generate import generate

    written, ended = list[str](), ""

    def pieces() -> Iterator[str]:
        nonlocal ended
        ended = yield from generate(
            request.networks,
            request.prime,
            config,
            workers=request.workers,
            known_words=known_words,
            progress=bar,
            training=training,
        )

    known_words, training = request.known_words, request.training(config)
    reading = terminal.progress_bar("reading the prime", unit="char")
    with request.preparing(config), reading as bar:
        text = pieces()
        first = next(text, "")
    try:
        with interruptions() as check:
            write(terminal.escaped(request.shown, sys.stdout))
            for piece in chain([first], text):
                check()
                write(terminal.escaped(piece, sys.stdout))
                written.append(piece)
    finally:
        last = "".join([request.shown, *written[-2:]])
        if not last.endswith("\n"):
            if terminal.is_terminal(sys.stdout):
                write("\n")
            elif terminal.is_joined():
                print(file=sys.stderr)
    return "".join(written), ended


def _head(is_first: bool, title: str) -> None:
    """What stands before one of several texts: a dim title on a terminal, else an empty line."""
    if terminal.is_terminal(sys.stdout):
        blank = "" if is_first else "\n"
        write(blank + terminal.dim(f"--- {title} ---", sys.stdout) + "\n\n")
    elif not is_first:
        write("\n")
