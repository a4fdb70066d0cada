"""Ending on time: while a run goes on, its number of steps follows its pace.

A laptop that was cool when it was measured is slower a minute later, and other programs come and
go. Each change is recorded in the run's setting `pace`, and the learning rate is a function of that
record and the step alone (`optim.schedules`): so the run can be repeated, to the same bits.
"""

import math
import statistics
import time
from collections.abc import Callable, Generator
from contextlib import closing

from charrnn.training.loop import Report
from charrnn.training.run import Run
from charrnn.tuning.planning import Plan

MEMORY, LEAST_MEMORY, LEAST_STEPS = 0.1, 0.01, 5
"""The pace is an average over this part of the time left, but at least this part of the whole time
and so many steps; as long passes between two changes.
"""
KEPT = 0.25
"""Of the steps left: a change before the last part leaves at least so many, and after so many there
may be another; a run must not end because it was slow for a moment.
"""
UNCHANGED = 0.005
"""A run that would end early or late by less, of the whole time, is left as it is."""
LAST_PART = 0.1
"""Of the whole time: here steps are only cut."""
LATE = 0.01
"""Of the whole time: a run is to end so much later, since in the last part it may become twice as
fast, and cannot get more steps.
"""
SAID = 0.2
"""A change of the number that was said last is said if it is larger."""
END_SECONDS = 0.2
"""Between the last report and the end of the program."""


def on_time(
    reports: Generator[Report, None, None],
    run: Run,
    plan: Plan,
    say: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Report, None, None]:
    """The reports of a run that was just begun with a plan; its number of steps changes with its
    pace, so that it ends on time.

    Changes are appended to the run's setting `pace`. Those that are large, and cuts in the last
    tenth of the time, are told to `say`, each in a line.
    """
    pacer = _Pacer(run, plan, clock(), say)
    with closing(reports):
        for report in reports:
            pacer.follow(report, clock())
            yield report


class _Pacer:
    """How fast a run is, when it would end, and what to change.

    A step takes `taken` / `steps` seconds: sums over the steps so far, in which older ones count
    less and less.
    """

    def __init__(self, run: Run, plan: Plan, now: float, say: Callable[[str], None] | None) -> None:
        self.run, self.plan, self.say = run, plan, say
        self.whole = max(plan.deadline - now, 1e-3)
        self.before, self.changed = now, (now, 0)
        self.taken, self.steps = plan.step_seconds, 1.0
        self.validations = [plan.validation_seconds / plan.step_seconds]
        self.every = run.config.eval_interval(run.steps_per_epoch)
        self.said = run.total_steps
        # steps that are made again after a fall back must see the changes that they saw before
        self.free_from = 1 + max((step for step, _ in run.config.changes), default=0)

    def follow(self, report: Report, now: float) -> None:
        """Take note of a report, and change the number of steps if need be."""
        seconds, left, self.before = now - self.before, self.plan.deadline - now, now
        memory = max(MEMORY * left, LEAST_MEMORY * self.whole)
        if report.fell_back is not None:
            self.free_from = max(self.free_from, report.fell_back.from_step)
        elif report.train_loss is not None:
            if report.sample is None:
                self.validations.append(max(0.0, seconds / self.pace - 1))
        elif report.step == 1:  # takes longer than others
            self.changed = now, 1
        else:
            kept = math.exp(-min(seconds / memory, 1 / LEAST_STEPS))
            self.taken, self.steps = kept * self.taken + seconds, kept * self.steps + 1
        (when, step), total = self.changed, self.run.total_steps
        is_time = now - when >= memory or report.step - step >= KEPT * (total - step)
        if is_time and report.ended is None and report.step >= self.free_from:
            self._change(left, now)

    @property
    def pace(self) -> float:
        """Seconds a step."""
        return self.taken / self.steps

    @property
    def validation(self) -> float:
        """Of how many steps a validation takes the time, its checkpoints included."""
        return statistics.median(self.validations)

    def seconds_to(self, total: int) -> float:
        """From now to the end of a run of so many steps, and of the program."""
        steps, validations = total - self.run.step, (total - 1) // self.every + 1
        validations -= self.run.step // self.every
        return self.pace * (steps + self.validation * validations) + END_SECONDS

    def steps_in(self, left: float) -> int:
        """The most steps in all with which the run ends in this time, at least one more."""
        total, rest = self.run.step, (left - END_SECONDS) / self.pace - self.validation
        while total < self.plan.most_steps:
            stretch = self.every - total % self.every
            if rest < stretch + self.validation:
                total += math.floor(min(max(rest, 0), stretch))
                break
            total, rest = total + stretch, rest - stretch - self.validation
        return max(self.run.step + 1, min(total, self.plan.most_steps))

    def _change(self, left: float, now: float) -> None:
        """Have the run end on time, if it would not."""
        run, total = self.run, self.run.total_steps
        is_last_part = left < LAST_PART * self.whole
        left += LATE * self.whole
        late, steps = self.seconds_to(total) - left, self.steps_in(left)
        if not is_last_part:
            steps = max(steps, run.step + math.ceil(KEPT * (total - run.step)))
        if abs(late) < UNCHANGED * self.whole or steps == total or (is_last_part and steps > total):
            return
        run.change(pace=f"{run.config.pace or ''} {run.step}:{steps}".strip())
        self.changed = now, run.step
        is_large = abs(steps - self.said) > SAID * self.said
        if self.say is not None and (is_large or is_last_part or steps == self.plan.most_steps):
            self.say(self._told(steps))
            self.said = steps

    def _told(self, steps: int) -> str:
        """That there are so many steps now, and why."""
        pace = "slower" if steps < self.said else "faster"
        is_first = self.said == self.run.config.planned_steps(self.run.steps_per_epoch)
        than = "planned" if is_first else "before"
        why = ", to end on time"
        if steps == self.plan.most_steps:
            why = "; the text has no more to give, so this ends early"
        return f"running {pace} than {than}: {steps:,} steps instead of {self.said:,}{why}"
