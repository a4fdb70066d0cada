"""What `charrnn sample` does before and after it writes: read a text to learn from, and choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from charrnn.cli import terminal
from charrnn.cli.checkpoints import Member, mixture_of
from charrnn.cli.inputs import with_dynamic_kernels
from charrnn.cli.options import flag_of, option, options_for
from charrnn.cli.prime import as_text, content_of
from charrnn.config import DynamicConfig, SamplingConfig
from charrnn.config.fields import settings_of
from charrnn.errors import CorpusError, VocabError

if TYPE_CHECKING:
    from charrnn.generation.generate import Written
    from charrnn.runtime.threads import Workers
    from charrnn.text.vocab import Unknown

Command = TypeVar("Command", bound=Callable[..., Any])
SAMPLING = settings_of(SamplingConfig)["temperature"].group


def choosing_options(command: Command) -> Command:
    """Adds --best-of, --logprobs, --adapt and the settings of dynamic evaluation."""
    for add in (
        options_for(DynamicConfig),
        option(
            "--adapt",
            "Read this text first and let the network learn from it as it reads, for this call "
            "only.",
            group=SAMPLING,
            type=click.Path(),
            metavar="FILE",
        ),
        option(
            "--logprobs",
            "With --json, add the natural logarithm of each character's probability, at "
            "temperature 1.",
            group=SAMPLING,
            is_flag=True,
        ),
        option(
            "--best-of",
            "Write this many takes and print the one that is likeliest for each character.",
            group=SAMPLING,
            type=click.IntRange(1, 10_000),
            default=1,
            metavar="N",
        ),
    ):
        command = add(command)
    return command


def dynamic_config(values: Mapping[str, Any], adapt: str | None) -> DynamicConfig | None:
    """How the network learns from the text of --adapt; None without it."""
    given = DynamicConfig.named_in(values)
    if adapt is None and given:
        raise click.UsageError(f"{flag_of(next(iter(given)))} is for --adapt FILE: add it")
    return None if adapt is None else DynamicConfig(**given)


def adapted(
    members: Sequence[Member],
    path: str,
    config: DynamicConfig | None,
    unknown: Unknown,
    workers: Workers,
) -> list[Member]:
    """The members after they have read a file and learned from it."""
    config = None if config is None else with_dynamic_kernels(config)
    from charrnn.evaluation.dynamic import adapt

    whose = f"the text of --adapt ({path})"
    text = as_text(content_of(path, whose), members[0].trained, whose)
    with terminal.progress_bar("learning", unit="char") as bar:
        try:
            mixture = adapt(
                mixture_of(members), text, config, unknown=unknown, workers=workers, progress=bar
            )
        except (CorpusError, VocabError) as error:
            raise type(error)(f"{whose}: {error}") from None
    return [replace(member, trained=own) for member, own in zip(members, mixture, strict=True)]


def tell_choice(text: Written, first: int, takes: int) -> None:
    """Say on stderr which of several takes, from `first` on, was the likeliest."""
    nats = text.nats_per_char
    how = "all are empty" if nats is None else f"{nats:.4f} nats per character"
    last = first + takes - 1
    terminal.say(f"take {text.take} is the likeliest of takes {first} to {last}: {how}")
