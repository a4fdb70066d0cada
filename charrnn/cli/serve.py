"""`charrnn serve`: a network answers over HTTP, and a page to write on."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
import time
from collections.abc import Sequence
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
from charrnn.config.serving import SERVER, ServeConfig
from charrnn.errors import ConfigError, CorpusError

if TYPE_CHECKING:
    from charrnn.checkpoint.mixture import Mixture

EXAMPLES = """\b
Examples:
  charrnn serve                               the newest run's network
  charrnn serve runs/plays --port 9000
  charrnn serve --known-words                 lets requests ask for known words
  charrnn serve --host 0.0.0.0 --api-key SECRET     for other machines, too
\b
  curl http://127.0.0.1:8000/v1/completions -d '{"prompt": "KING:"}' \\
    -H "Content-Type: application/json"
"""
BRIEF = {
    "--host": "Address to listen at. [default: 127.0.0.1]",
    "--port": "Port to listen at. [default: 8000]",
    "--known-words": "Requests may ask for words of the training text only.",
    "--api-key": "The key that clients have to send.",
    "--cors": "Origin of pages that may ask; may be repeated.",
    "--max-tokens": "Most characters of one text. [default: 16384]",
    "--log": "Print a line for each request, without its text.",
    "--threads": "Threads to use. [default: all]",
}
"""The options that --help shows."""
SWITCH_SECONDS = 0.0005
"""After which a thread that computes in Python lets another one go on: what is prepared for a
request does not hold up the others.
"""


@click.command(cls=GroupedCommand, brief=BRIEF, epilog=EXAMPLES)
@click.argument("checkpoint", required=False, type=PATH, metavar="[CHECKPOINT_OR_RUN]")
@options_for(ServeConfig)
@option(
    "--known-words",
    "Let requests ask for words of the training text, or of this file, only.",
    group=SERVER,
    is_flag=False,
    flag_value="",
    type=PATH,
    metavar="[FILE]",
)
@option(
    "--api-key",
    "What clients have to send as their key; better in the variable CHARRNN_API_KEY.",
    group=SERVER,
    envvar="CHARRNN_API_KEY",
    metavar="KEY",
)
@option("--log", "Print a line for each request, without its text.", group=SERVER, is_flag=True)
@click.option(
    "--text",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="The text that the network was trained on, if it has moved; may be repeated.",
)
@threads_option
@help_all_option
def serve(
    checkpoint: str | None,
    known_words: str | None,
    api_key: str | None,
    log: bool,
    text: tuple[str, ...],
    threads: int | None,
    **settings: Any,
) -> None:
    """Answer requests for completions as OpenAI's clients send them, and serve a page to write on,
    until Ctrl-C.

    CHECKPOINT_OR_RUN is a .safetensors file or a run's folder, whose networks write together. Only
    this machine can ask unless --host says otherwise.
    """
    config = ServeConfig.of({name: value for name, value in settings.items() if value is not None})
    _check(config, api_key)
    from charrnn.server.listening import bound, listen, url_of

    with contextlib.closing(bound(config)) as listener:
        _say_who_can_ask(listener, api_key)
        members = load_members(checkpoint or bundled_if_no_run(), (), writes=True)
        member, networks = members[0], mixture_of(members)
        from charrnn.runtime.threads import Workers
        from charrnn.server.app import application

        lexicon = None if known_words is None else _words(members, known_words, text)
        sys.setswitchinterval(SWITCH_SECONDS)
        with contextlib.closing(Workers(threads)) as workers:
            name, url = name_of(member.path), url_of(listener)
            app = application(
                networks,
                name,
                config,
                known_words=lexicon,
                workers=workers,
                key=api_key,
                log=_log if log else None,
            )
            listen(app, listener, lambda: _say_where(networks, name, url))


def name_of(path: Path) -> str:
    """The name of a network for clients: of its run's folder, or of its file."""
    folder = Path(os.path.normpath(path.absolute())).parent  # of "." as well
    return folder.name if path.stem in ("best", "last") else path.stem


def _words(members: Sequence[Member], path: str, text: tuple[str, ...]) -> Any:
    from charrnn.cli.known_words import known_words
    from charrnn.cli.own_corpus import own_corpus

    return known_words(mixture_of(members), path, lambda: own_corpus(members[0], text))


def _say_where(networks: Mixture, name: str, url: str) -> None:
    terminal.say(f"{terminal.one_line(name)}: {networks.summary}")
    terminal.say(f"to write: {url}/")
    terminal.say(f"OpenAI's clients: base_url {url}/v1, model {terminal.one_line(name)}")
    terminal.say("Ctrl-C stops the server")


def _log(method: str, path: str, status: int) -> None:
    now = time.strftime("%H:%M:%S")
    terminal.say(f"{now} {terminal.one_line(method[:20])} {terminal.one_line(path)[:200]} {status}")


def _check(config: ServeConfig, api_key: str | None) -> None:
    """What is missing or wrong."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise CorpusError("charrnn serve needs more packages: pip install 'charrnn-numba[serve]'")
    is_plain = api_key is None or (api_key.isascii() and api_key.isprintable())
    if not is_plain or (api_key is not None and api_key.strip() != (api_key or None)):
        raise ConfigError(
            "`api_key` must be of ASCII characters that can be printed, without space around them"
        )
    for origin in config.cors:
        if not origin.startswith(("http://", "https://")) or origin.count("/") > 2:
            raise ConfigError(
                f"`cors` {origin!r:.80} must be an origin: http://NAME or with a port"
            )


def _say_who_can_ask(listener: socket.socket, api_key: str | None) -> None:
    host = listener.getsockname()[0]
    if api_key is None and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        terminal.say(
            f"note: other machines can ask at {host}, and need no key; --api-key asks for one"
        )
