"""`charrnn train --for`: settings chosen for a time."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from charrnn.cli import STARTED, terminal
from charrnn.config.fields import seconds_of
from charrnn.config.files import of_kind
from charrnn.config.settings import ModelConfig, TrainConfig
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.text.corpus import Corpus
    from charrnn.tuning.planning import Plan


def leave_to_the_plan(ctx: click.Context, merged: dict[str, Any]) -> None:
    """How long to train is said by --for alone: another flag contradicts it, and what a preset says
    gives way.
    """
    if seconds_of(merged["for"]) is None:
        raise ConfigError(
            f"--for must be a time such as 90s, 20m or 1.5h, not {merged['for']!r:.40}"
        )
    for name in ("steps", "epochs", "max_time"):
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(
                f"--for and --{name.replace('_', '-')} both say how long to train; give one of them"
            )
        merged.pop(name, None)


def planned(
    duration: str,
    given: dict[str, Any],
    corpus: Corpus,
    other: Trained | None,
    threads: int | None,
    quiet: bool,
) -> tuple[Plan, dict[str, Any]]:
    """The plan for the time that was given, told with its reasons, and its settings."""
    from charrnn.tuning.planning import plan

    model = of_kind(ModelConfig, given)
    if other is not None:
        model = {**asdict(other.model.config), **model}
        del model["vocab_size"]
        if "dropout" not in given:
            del model["dropout"]
    if not quiet:
        terminal.tell("measuring how fast this machine trains on this text")
    found = plan(
        corpus,
        duration,
        model=model,
        training=of_kind(TrainConfig, given),
        threads=threads,
        elapsed=lambda: time.monotonic() - STARTED,
    )
    for reason in found.reasons if not quiet else ():
        terminal.tell(f"plan: {reason}")
    chosen = {**asdict(found.model), **asdict(found.training)}
    del chosen["vocab_size"]
    return found, chosen if other is None else {
        **asdict(found.training),
        "dropout": found.model.dropout,
    }
