"""`charrnn sample` for many short texts, one a line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from charrnn.cli import again, terminal
from charrnn.cli.sample_request import Request, write
from charrnn.config import SamplingConfig, ShortConfig
from charrnn.errors import CorpusError, SamplingError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained


def write_short(
    request: Request,
    config: SamplingConfig,
    short: ShortConfig,
    new: bool,
    not_in: Sequence[str],
    as_json: bool,
) -> None:
    """Write short texts that pass, one a line, and say on stderr how many were drawn, why others
    fell, and what makes them again.
    """
    from charrnn.generation.short import ShortTexts

    known_words, training = request.known_words, request.training(config)
    is_seen = not as_json and terminal.is_terminal(sys.stdout)  # then the texts show the progress
    with terminal.progress_bar("writing", unit="text", quiet=is_seen) as bar:
        with request.preparing(config):
            texts = ShortTexts(
                request.networks,
                request.count,
                request.prime,
                config,
                short,
                workers=request.workers,
                known_words=known_words,
                progress=bar,
                training=training,
            )
        if new:
            for corpus in request.corpora:
                texts.exclude("in the training text", corpus)
        for path in not_in:
            texts.exclude(f"in {terminal.one_line(path)}", _read(path, request.members[0].trained))
        found = list[str]()
        failure: SamplingError | None = None
        try:
            for text in texts:
                found.append(text)
                if not as_json:
                    write(terminal.escaped(text.replace("\n", "\\n"), sys.stdout) + "\n")
        except SamplingError as error:
            failure = error
    flags = {"new": new, "not_in": tuple(not_in)}
    if as_json:
        fallen = {"drawn": texts.drawn, "fallen": dict(texts.fallen)}
        about = request.about(texts.config, short, **flags)
        samples = [request.shown_text(text) for text in found]
        click.echo(terminal.json_text({"samples": samples} | fallen | about))
    if failure is not None:
        raise failure
    terminal.say(texts.summary)
    if not as_json:
        again.tell(request.again(texts.config, short, **flags))


def _read(path: str, network: Trained) -> str:
    """The text of a file of --not-in, read as the network's was."""
    from charrnn.text.reading import read_whole

    try:
        text = read_whole(path, network.corpus_config)
    except CorpusError as error:
        problem, _, advice = str(error).partition("; ")
        if terminal.PARAMETER.search(advice) is None:
            raise
        raise CorpusError(  # there are no flags for how it is read
            f"{problem}; convert it to {network.corpus_config.encoding}, e.g. with iconv"
        ) from None
    return text if isinstance(text, str) else text.decode("utf-8", "surrogateescape")
