"""`charrnn sample` for many short texts, one a line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from charrnn.cli import again, terminal
from charrnn.cli.sample_request import Request, write
from charrnn.config import SamplingConfig, ShortConfig
from charrnn.errors import SamplingError

REASONS = {
    "unended": "without an end",
    "empty": "empty",
    "short": "too short",
    "long": "too long",
    "repeated": "written before",
    "new": "in the training text",
    "not_in": "in the file of --not-in",
}
"""Why texts fall, in words."""


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

    with terminal.progress_bar("writing", unit="text") as bar:
        texts = ShortTexts(
            request.networks,
            request.count,
            request.prime,
            config,
            short,
            workers=request.workers,
            progress=bar,
        )
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
    terminal.say(_summary(len(found), texts.drawn, texts.fallen))
    if failure is not None:
        raise failure
    again.tell(request.again(texts.config, short, **flags))


def _summary(passed: int, drawn: int, fallen: dict[str, int]) -> str:
    """How many texts were drawn, and why others fell."""
    reasons = sorted(fallen.items(), key=lambda item: -item[1])
    words = [f"{times:,} {REASONS.get(reason, reason)}" for reason, times in reasons]
    others = f": {', '.join(words)}" if words else ""
    return f"{passed:,} texts of {drawn:,} drawn{others}"
