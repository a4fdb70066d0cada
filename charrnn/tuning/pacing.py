"""End on time: adapt a run's number of steps to its speed while it trains.

A laptop that was cool when measured is slower a minute later, and other programs come and go. Each
change is recorded in the run's setting `pace`, and the learning rate depends only on that record
and the step (`optim.schedules`), so the run can be repeated bit for bit.
"""

import math
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import closing

from charrnn.training.report import Report
from charrnn.training.run import Run
from charrnn.tuning.planning import Plan

MEMORY, LEAST_MEMORY, LEAST_STEPS = 0.1, 0.01, 5
"""The pace is averaged over this fraction of the time left, but at least over this fraction of the
whole time and over this many steps; the same time must pass between two changes.
"""
KEPT = 0.25
"""A change before the last part keeps at least this fraction of the steps left, and the next one
may follow after this fraction of them: a run must not end because it was slow for a moment.
"""
UNCHANGED = 0.005
"""A run that would end early or late by less than this fraction of the whole time is not changed.
"""
LAST_PART = 0.1
"""In this last fraction of the whole time, steps are only cut."""
LATE = 0.01
"""Fraction of the whole time by which a run should end late, since in the last part it may become
twice as fast but cannot get more steps.
"""
REPORTED = 0.2
"""A change is reported if it differs from the last reported number by more than this fraction."""
END_SECONDS = 0.2
"""Seconds between the last report and the end of the program."""


def on_time(
    reports: Generator[Report, None, None],
    run: Run,
    plan: Plan,
    say: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Report, None, None]:
    """The reports of a run that starts, or goes on, with a plan. Its number of steps follows its
    speed, so that it ends on time.

    Changes are appended to the run's setting `pace`. Large changes, and cuts in the last tenth of
    the time, are reported to `say`, one line each.
    """
    pacer = _Pacer(run, plan, clock(), say)
    with closing(reports):
        for report in reports:
            pacer.follow(report, clock())
            yield report


class _Pacer:
    """Tracks how fast a run is and when it will end, and changes its number of steps.

    A step takes `spent` / `steps` seconds: exponentially decaying sums over the steps so far.
    """

    def __init__(self, run: Run, plan: Plan, now: float, say: Callable[[str], None] | None) -> None:
        self.run, self.plan, self.say = run, plan, say
        self.whole = max(plan.deadline - now, 1e-3)
        self.before, self.changed = now, (now, run.step)
        self.spent, self.steps = plan.step_seconds, 1.0
        self.validations = [plan.validation_seconds / plan.step_seconds]
        self.every = run.config.eval_interval(run.steps_per_epoch)
        self.first_step, self.planned = run.step + 1, run.total_steps
        self.reported = self.planned
        # steps repeated after a fall-back must see the same changes as before
        falls = [int(entry["fell_back_from"]) for entry in run.history if "fell_back_from" in entry]
        self.free_from = max([1 + step for step, *_ in run.config.changes] + falls, default=1)

    def follow(self, report: Report, now: float) -> None:
        """Record a report, and change the number of steps if needed."""
        seconds, left, self.before = now - self.before, self.plan.deadline - now, now
        memory = max(MEMORY * left, LEAST_MEMORY * self.whole)
        if report.fell_back is not None:
            self.free_from = max(self.free_from, report.fell_back.from_step)
        elif report.train_loss is not None:
            self.validations.append(max(0.0, seconds / self.pace - 1))
        elif report.step == self.first_step:  # it takes longer
            self.changed = now, report.step
        else:
            weight = math.exp(-min(seconds / memory, 1 / LEAST_STEPS))
            self.spent, self.steps = weight * self.spent + seconds, weight * self.steps + 1
        (when, step), total = self.changed, self.run.total_steps
        is_time = now - when >= memory or report.step - step >= KEPT * (total - step)
        if is_time and report.ended is None and report.step >= self.free_from:
            self._change(left, now)

    @property
    def pace(self) -> float:
        """Seconds per step."""
        return self.spent / self.steps

    @property
    def validation(self) -> float:
        """The time of a validation, with its checkpoints and sample, in steps."""
        return statistics.median(self.validations)

    def seconds_to(self, total: int) -> float:
        """Seconds from now to the end of the program if the run has this total number of steps."""
        steps, validations = total - self.run.step, (total - 1) // self.every + 1
        validations -= self.run.step // self.every
        return self.pace * (steps + self.validation * validations) + END_SECONDS

    def steps_in(self, left: float) -> int:
        """The largest total number of steps that ends within this time; at least one more step."""
        total, rest = self.run.step, (left - END_SECONDS) / self.pace - self.validation
        while total < self.plan.most_steps:
            stretch = self.every - total % self.every
            if rest < stretch + self.validation:
                total += math.floor(min(max(rest, 0), stretch))
                break
            total, rest = total + stretch, rest - stretch - self.validation
        return max(self.run.step + 1, min(total, self.plan.most_steps))

    def _change(self, left: float, now: float) -> None:
        """Change the number of steps if the run would not end on time."""
        run, total = self.run, self.run.total_steps
        is_last_part = left < LAST_PART * self.whole
        left += LATE * self.whole
        late, steps = self.seconds_to(total) - left, self.steps_in(left)
        if not is_last_part:
            steps = max(steps, run.step + math.ceil(KEPT * (total - run.step)))
        if abs(late) < UNCHANGED * self.whole or steps == total or (is_last_part and steps > total):
            return
        before = run.config.pace_of(1) or ""
        run.change(pace=run.config.with_pace(f"{before} {run.step}:{steps}".strip()))
        self.changed = now, run.step
        is_large = abs(steps - self.reported) > REPORTED * self.reported
        if self.say is not None and (is_large or is_last_part or steps == self.plan.most_steps):
            self.say(self._change_text(steps))
            self.reported = steps

    def _change_text(self, steps: int) -> str:
        """The message that reports the new number of steps and the reason."""
        pace = "slower" if steps < self.reported else "faster"
        than = "planned" if self.reported == self.planned else "before"
        why = ", to end on time"
        if steps == self.plan.most_steps:
            why = "; more steps would only repeat the text, so this ends early"
        return f"running {pace} than {than}: {steps:,} steps instead of {self.reported:,}{why}"
