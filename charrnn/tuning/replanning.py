"""How a run that has begun goes on in a given time."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

from charrnn.config import TrainConfig
from charrnn.optim.schedules import CYCLE_RISE, RISE, rate_factor
from charrnn.text.corpus import Corpus
from charrnn.training import recipe
from charrnn.training.run import Run
from charrnn.tuning.planning import LEAST_SECONDS, Plan, Planner, checked_duration, since_now


def plan_more(
    corpus: Corpus,
    run: Run,
    duration: str | float,
    *,
    threads: int | None = None,
    elapsed: Callable[[], float] | None = None,
) -> Plan:
    """The settings with which a run goes on for `duration`, "20m" or seconds, however long it was
    to be; `run.change(**asdict(plan.training))` takes them over.

    A run that has ended, or whose learning rate has fallen below half its peak, goes on with a rate
    that rises again to that (`optim.schedules`); otherwise the rest of its curve is spread over the
    new time. Other parameters and errors as for `plan`.
    """
    rest = _rest(corpus, run, duration, threads, elapsed)
    steps = max(1, math.floor(rest.seconds / rest.step_seconds))
    training = _longer(run, run.step + steps)
    return replace(rest, training=training, passes=steps / run.steps_per_epoch)


def plan_rest(
    corpus: Corpus,
    run: Run,
    duration: float,
    *,
    threads: int | None = None,
    elapsed: Callable[[], float] | None = None,
) -> Plan:
    """A plan for the rest of a run that ends in `duration` seconds, for `on_time`; its settings
    are the run's. Other parameters as for `plan`.
    """
    rest = _rest(corpus, run, max(LEAST_SECONDS, duration), threads, elapsed)
    passes = recipe.most_passes_for(run.model.count(), run.anchor is not None)
    most = max(run.total_steps, math.ceil(passes * run.steps_per_epoch))
    return replace(rest, most_steps=most)


def _rest(
    corpus: Corpus,
    run: Run,
    duration: str | float,
    threads: int | None,
    elapsed: Callable[[], float] | None,
) -> Plan:
    """What is known of the next seconds of a run: its speed. `step_seconds` includes a share of
    the validations'.
    """
    seconds, elapsed = checked_duration(duration), elapsed or since_now()
    config, model = run.config, run.model.config
    planner = Planner(corpus, seconds, threads, elapsed, model, config, False)
    step, _ = planner.fastest(model, min(10.0, 0.02 * seconds))
    validation = planner.validation_seconds(model)
    usable = seconds - elapsed() - validation
    return Plan(
        model=model,
        training=config,
        seconds=usable,
        chars_per_second=planner.characters / run.steps_per_epoch / step,
        passes=(run.total_steps - run.step) / run.steps_per_epoch,
        step_seconds=step + validation / config.eval_interval(run.steps_per_epoch),
        validation_seconds=validation,
        deadline=time.monotonic() + seconds - elapsed(),
        most_steps=10**12,
        end=time.monotonic() + seconds - elapsed(),
    )


def _longer(run: Run, total: int) -> TrainConfig:
    """The run's settings with a new total number of steps from here on."""
    config = replace(run.config, max_time=None)
    if run.step == 0:
        share = total / config.planned_steps(run.steps_per_epoch)
        if config.schedule == "cosine" and config.decay_after:
            config = replace(config, decay_after=round(config.decay_after * share, 6))
        return replace(config, steps=total, epochs=None, pace=None)
    # a change at this very step has not had an effect yet
    words = (config.pace_of(1) or "").split()
    words = words[: sum(step < run.step for step, *_ in config.changes)]
    before = replace(config, pace=config.with_pace(" ".join(words)))
    has_ended = run.step >= before.total_steps(run.steps_per_epoch)
    moment = replace(run.moment, changes=before.changes)
    rises = config.schedule == "one-cycle" and moment.share() < CYCLE_RISE
    rises = run.step < config.warmup or (rises and len(moment.stretches) == 1)
    is_low = not rises and rate_factor(moment, config) < RISE
    word = f"{run.step}{'+' if has_ended or is_low else ':'}{total}"
    return replace(config, pace=config.with_pace(" ".join([*words, word])))
