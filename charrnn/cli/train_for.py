"""A run whose length is a time: what `charrnn train` asks of the plan, and says of it."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from charrnn.cli import STARTED, terminal
from charrnn.cli.kernel_loading import compile_seconds
from charrnn.cli.options import Request, flag_of
from charrnn.config import ModelConfig
from charrnn.config.fields import seconds_of
from charrnn.config.files import values_of
from charrnn.config.training import LENGTH
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.checkpoint.trained import Trained
    from charrnn.text.corpus import Corpus
    from charrnn.training.run import Run
    from charrnn.training.run_folder import RunFolder
    from charrnn.tuning.planning import Plan

DROPS = "dropout", "input_dropout"
"""Settings of a network that starts from others' weights that may differ from theirs."""
MOST = 64
"""Networks of a run."""
TEN_MINUTES = "10m"
"""The time of a run for which no length is given."""


def with_length(ctx: click.Context, request: Request, varied: Collection[str] = ()) -> Request:
    """The request with a time: at most ten minutes, of one network, if no length is given, nor
    among the `varied` settings. --for wins over what a preset says of the length; a flag beside it
    contradicts it.
    """
    settings = request.settings
    if request.duration is None:
        if any(settings.get(name) is not None or name in varied for name in LENGTH):
            return request
        return replace(
            request, duration=TEN_MINUTES, settings={"networks": 1, **settings}, is_at_most=True
        )
    seconds_of("duration", request.duration)
    for name in LENGTH:
        if name in varied or ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise ConfigError(
                f"--for and {flag_of(name)} both say how long to train; give one of them"
            )
    rest = {name: value for name, value in settings.items() if name not in LENGTH}
    return replace(request, settings=rest)


def elapsed() -> float:
    """Seconds since the command was typed, without those in which kernels were compiled."""
    return time.monotonic() - STARTED - sum(compile_seconds)


def planned(request: Request, corpus: Corpus, other: Trained | None) -> tuple[Plan, Request]:
    """The plan for the time of the request, and the request with its settings. A network that
    starts from `other`'s weights has their shape.
    """
    from charrnn.tuning.planning import plan

    assert request.duration is not None
    model = ModelConfig.of(request.settings)
    if other is not None:
        asked = other.model.config.reopened(*DROPS)
        model = asked.filled(dropout=model.dropout, input_dropout=model.input_dropout)
    _say_measuring(request)
    own_plan = plan(
        corpus,
        request.duration,
        model,
        request.training,
        is_fine_tuning=other is not None,
        threads=request.threads,
        elapsed=elapsed,
    )
    if not request.quiet:
        terminal.say(plan_text(own_plan, request.is_at_most))
    chosen = values_of(own_plan.model)
    if other is not None:  # the rest is the weights'
        chosen = {name: chosen[name] for name in DROPS}
    settings = {**request.settings, **values_of(own_plan.training), **chosen}
    return own_plan, replace(request, settings=settings)


def planned_more(request: Request, run: Run, corpus: Corpus) -> Plan:
    """The plan with which a run goes on for the time of the request."""
    from charrnn.tuning.replanning import plan_more

    assert request.duration is not None
    if run.ended_by() == "patience":
        raise ConfigError(
            f"the run was ended by its --patience {run.config.patience}; give a larger one with "
            f"--for {request.duration}"
        )
    _say_measuring(request)
    own_plan = plan_more(corpus, run, request.duration, threads=request.threads, elapsed=elapsed)
    if not request.quiet:
        terminal.say(more_text(run, own_plan))
    return own_plan


def more_networks(request: Request, run: Run, folder: RunFolder) -> None:
    """Give a run of several networks, which have all ended, as many more as there is time for if
    each takes as long as the first one did. A number that was asked for stays.
    """
    assert request.duration is not None
    if request.settings.get("networks") is not None or _left(run, folder):
        return
    seconds, count = seconds_of("duration", request.duration), run.config.networks or 1
    more = min(max(1, round(seconds / max(folder.seconds_before, 1.0))), MOST - count)
    run.change(networks=count + more)
    if not request.quiet and more:
        time = terminal.duration_text(seconds / more)
        terminal.say(f"plan: {run.config.networks} networks in all, about {time} for each new one")


def planned_rest(
    request: Request, run: Run, corpus: Corpus, folder: RunFolder, *, is_more: bool = False
) -> Plan | None:
    """The plan for the rest of a run, whose networks have trained for some time; None if all have
    ended. The time of the request is that of the whole run, or with `is_more` that of the rest.
    """
    from charrnn.tuning.replanning import plan_rest

    left = _left(run, folder)
    if not left:
        return None
    assert request.duration is not None
    _say_measuring(request)
    numbers = range(1, (run.config.networks or 1) + 1)
    before = sum(folder.network(number).seconds_before for number in numbers)
    seconds = seconds_of("duration", request.duration) - (0.0 if is_more else before)
    if not request.quiet and not is_more:
        terminal.say(f"about {terminal.duration_text(max(0.0, seconds))} of --for are left")
    share = seconds / len(left)
    plan = plan_rest(corpus, run, share, threads=request.threads, elapsed=elapsed)
    return replace(plan, end=plan.deadline + max(0.0, seconds - share))


def _left(run: Run, folder: RunFolder) -> list[int]:
    """The numbers of the networks that have not been trained to their end."""
    from charrnn.cli.train_steps import goes_on

    first = [] if run.ended_by(folder.seconds_before) else [1]
    numbers = range(2, (run.config.networks or 1) + 1)
    return [*first, *(number for number in numbers if goes_on(folder, number, run))]


def _say_measuring(request: Request) -> None:
    if not request.quiet:
        terminal.say("measuring how fast this machine trains on this text")


def more_text(run: Run, plan: Plan) -> str:
    """What a run is given, in a line."""
    from charrnn.optim.schedules import ENDING, RISE
    from charrnn.text.vocab import counted

    steps = plan.training.total_steps(run.steps_per_epoch) - run.step
    rises = plan.training.schedule in ENDING and any(
        step == run.step and is_more for step, _, is_more in plan.training.changes
    )
    rate = f"; the learning rate rises again to {RISE:.0%} of its peak" if rises else ""
    return (
        f"plan: {counted(steps, 'step')} more, {terminal.passes_text(plan.passes)}, about "
        f"{terminal.duration_text(plan.seconds)}{rate}"
    )


def plan_text(plan: Plan, is_at_most: bool) -> str:
    """The plan in a line, for a person who knows nothing of its settings. Without --for, the time
    `is_at_most` so long.
    """
    from charrnn.text.vocab import counted

    steps, networks = plan.training.steps, plan.training.networks or 1
    size = f"{counted(plan.model.layers, 'layer')} of {counted(plan.model.hidden, 'unit')}"
    passes, seconds = terminal.passes_text(plan.passes), plan.seconds * networks
    if networks > 1:
        size, passes = f"{networks} networks with {size}", f"{passes} each"
    text = f"plan: {size}, {passes}, about {terminal.duration_text(seconds)}"
    if steps == plan.most_steps:
        text += "; more would only repeat the text"
        return f"{text}, but --for 10m trains more networks" if is_at_most else text
    if is_at_most:
        return f"{text}; ten minutes at most, --for 2h would give more"
    return text
