"""`charrnn train --for`: settings chosen for a time."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from charrnn.cli import STARTED, terminal
from charrnn.cli.options import Request, flag_of
from charrnn.config import ModelConfig, TrainConfig
from charrnn.config.fields import seconds_of
from charrnn.config.files import values_of
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.text.corpus import Corpus
    from charrnn.tuning.planning import Plan

LENGTH = ("steps", "epochs", "pace", "max_time")
"""The settings that say how long to train."""


def leave_length_to_plan(ctx: click.Context, request: Request) -> Request:
    """--for alone decides how long to train: another flag contradicts it, and what a preset says
    gives way.
    """
    assert request.duration is not None
    if seconds_of(request.duration) is None:
        raise ConfigError(
            f"--for must be a time such as 90s, 20m or 1.5h, not {request.duration!r:.40}"
        )
    for name in LENGTH:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(
                f"--for and {flag_of(name)} both say how long to train; give one of them"
            )
    settings = {name: value for name, value in request.settings.items() if name not in LENGTH}
    return replace(request, settings=settings)


def planned(request: Request, corpus: Corpus, other: Trained | None) -> tuple[Plan, Request]:
    """The plan for the time that was given, shown with its reasons, and the request with its
    settings. A network that starts from `other`'s weights has their shape.
    """
    from charrnn.tuning.planning import plan

    assert request.duration is not None
    model = ModelConfig.named_in(request.settings)
    if other is not None:
        model = {**values_of(other.model.config), **model}
        if "dropout" not in request.settings:
            del model["dropout"]
    if not request.quiet:
        terminal.say("measuring how fast this machine trains on this text")
    chosen_plan = plan(
        corpus,
        request.duration,
        model=model,
        training=TrainConfig.named_in(request.settings),
        threads=request.threads,
        elapsed=lambda: time.monotonic() - STARTED,
    )
    for reason in chosen_plan.reasons if not request.quiet else ():
        terminal.say(f"plan: {reason}")
    model = values_of(chosen_plan.model)
    if other is not None:
        model = {"dropout": model["dropout"]}
    settings = {**request.settings, **values_of(chosen_plan.training), **model}
    return chosen_plan, replace(request, settings=settings)
