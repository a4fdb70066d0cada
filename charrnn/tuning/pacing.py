"""Keeping to a planned time: the number of steps is settled once more when the learning rate is
about to fall.

A laptop that was cool when it was measured is slower a minute later, and other programs come and
go. While the learning rate is held at its peak no step depends on how many there will be, so a run
that is given the final number at its start has the same bits.
"""

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing

from charrnn.training.loop import Report
from charrnn.training.recipe import HELD
from charrnn.training.run import Run
from charrnn.training.run_folder import RunFolder
from charrnn.tuning.planning import MARGIN, Plan

UNCHANGED = 0.02
"""A number of steps that would differ by less is left as it is."""
MOST_MORE = 1.5
"""Of the planned steps: what keeps the network from overfitting was chosen for their number.
"""


def held_steps(run: Run) -> int:
    """Steps at the start that do not depend on the length of the run: those before a cosine falls,
    of one-cycle none.
    """
    if run.config.schedule == "one-cycle":
        return 0
    held = HELD * run.total_steps
    if run.config.schedule == "cosine":
        held = run.config.decay_after * run.steps_per_epoch
    return min(math.floor(held + 1e-9), run.total_steps - 1)


def on_time(
    reports: Generator[Report, None, None],
    run: Run,
    plan: Plan,
    folder: RunFolder | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Report, None, None]:
    """The reports of a run that was just begun with a plan; before the rate falls, its steps are
    fitted to the time that is left.

    The pace is that of the steps so far, without the first of them and without validations. What is
    found is written into the run's settings and, with a folder, into its `last` checkpoint and its
    config.toml: whoever goes on with it goes on with that.
    """
    held, taken, timed, before = held_steps(run), 0.0, 0, clock()
    with closing(reports):
        for report in reports:
            now = clock()
            if report.step > 1 and report.train_loss is None and report.fell_back is None:
                taken, timed = taken + now - before, timed + 1
            if report.step == held and timed and report.ended is None:
                _settle(run, plan, taken / timed, now, folder)
            yield report
            before = clock()


def _settle(
    run: Run, plan: Plan, step_seconds: float, now: float, folder: RunFolder | None
) -> None:
    """Have the run end in time at this pace."""
    planned = run.total_steps
    validation = plan.validation_seconds * step_seconds / plan.step_seconds
    # the last validation, with checkpoints, takes longer
    left = (1 - MARGIN) * (plan.deadline - now) - validation
    interval = run.config.eval_interval(run.steps_per_epoch)
    steps = run.step + math.floor(left / (step_seconds + validation / interval))
    steps = max(run.step + 1, min(steps, plan.most_steps, math.floor(MOST_MORE * planned)))
    if abs(steps - planned) < UNCHANGED * planned:
        return
    run.change(steps=steps)
    if folder is not None:
        folder.change_settings(steps=steps)
        folder.save_last(run)
