"""Detect when a run must go back (NaN, infinity, jumping loss) and when it overfits.

A run keeps the last good state, chosen at a validation: the state and the validation loss are
finite, and no recent loss was unusual. If something goes wrong later, the run goes back there with
half the learning rate. Everything is counted in steps, never in time, so that an interrupted run
falls back at the same step as an uninterrupted one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.network.model import Model, State
from charrnn.training.entries import Entry
from charrnn.training.run import FALL_FACTOR, Progress, Run
from charrnn.training.run_folder import RunFolder
from charrnn.training.update import Update

JUMP = 0.5
"""A loss is high if it exceeds the calm loss by this many nats."""
HIGH_STEPS, HIGH_CHARACTERS = 20, 20_000
"""How long a loss must stay high before it is examined: longer than noise or the start of a
document lasts.
"""
FIRST_STEPS = 100
"""Steps at the start of a run in which the loss is not watched."""
MOST_FALLS = 3
"""How many times a run goes back before it gives up."""
RISES, RISEN = 3, 1.01
"""A network overfits when this many validations in a row exceed the lowest loss by this
fraction.
"""


class GoodState:
    """The last good state of a run: in its folder, or in memory for a run without one."""

    def __init__(self, run: Run, folder: RunFolder | None) -> None:
        self.run, self.folder = run, folder

    @property
    def is_there(self) -> bool:
        """False for a new run, a run of a version without good states, and a run whose file is
        missing.
        """
        if self.folder is not None:
            return self.folder.good_of(self.run) is not None
        return self.run.good is not None and self.run.good.progress.is_good_of(self.run.progress)

    def keep(self) -> None:
        """Mark the run's state as good; in a folder, this takes effect at the next save."""
        self.run.progress = mark_good(self.run.progress)
        self.run.good = copy_of(self.run) if self.folder is None else None

    def load(self) -> Run:
        """The run in its last good state; not a copy."""
        good = self.run.good if self.folder is None else self.folder.load_good(self.run)
        assert good is not None
        return good


@dataclass(frozen=True)
class FallBack:
    """A run went back from `from_step`, where something was wrong, to `to_step`; its learning rate
    is now `rate_factor` times the planned one.
    """

    from_step: int
    to_step: int
    rate_factor: float
    reason: str


def watched(before: Progress, loss: float, smoothed: float) -> Progress:
    """Update `high_steps` and `calm_loss` with the loss and smoothed loss of a step."""
    calm = before.calm_loss
    if calm is None:
        return replace(before, high_steps=0, calm_loss=smoothed)
    is_high = before.step >= FIRST_STEPS and loss > calm + JUMP
    high = before.high_steps + 1 if is_high else 0
    return replace(before, high_steps=high, calm_loss=min(calm, smoothed))


def long_enough(characters: int) -> int:
    """`HIGH_STEPS`, or as many steps of this many characters as make up `HIGH_CHARACTERS`."""
    return max(HIGH_STEPS, -(-HIGH_CHARACTERS // characters))


def has_become_worse(run: Run, good: Run, update: Update) -> bool:
    """True if the weights of the good state predict the batches of the last high steps better than
    the run's, by `JUMP`.

    This distinguishes a network that has gone wrong from a text that has become harder: both read
    the same batches, from a zero state and without dropout. On return the panels of `update` hold
    the run's weights, as before.
    """
    run.complete()
    flat = run.model.parameters.flat
    steps = range(run.step - run.progress.high_steps, run.step)
    now, held = update.loss_of(steps), flat.copy()
    flat[:] = good.model.parameters.flat
    update.refresh()
    before = update.loss_of(steps)
    flat[:] = held
    update.refresh()
    return not now <= before + JUMP  # so that NaN counts as worse


def is_good(run: Run, is_best: bool) -> bool:
    """True if the state at a validation is one to go back to; the caller has checked that it is
    finite.

    Its loss must be calm, or its validation loss the lowest so far, and it must not be much worse
    than the loss of guessing, log V; so a network that diverged in its first steps goes back to the
    start.
    """
    now = run.progress
    guessing = math.log(run.model.config.vocab_size)
    return (is_best or not now.high_steps) and (now.smoothed_loss or 0.0) <= guessing + JUMP


def mark_good(progress: Progress) -> Progress:
    """The progress after a step whose state is good."""
    return replace(
        progress, good_step=progress.step, high_steps=0, calm_loss=progress.smoothed_loss
    )


def is_finite(run: Run) -> bool:
    """True if no number in the run's state is NaN or infinite."""
    run.complete()
    return all(bool(np.isfinite(array).all()) for array in (*_arrays(run), *_average(run)))


def copy_of(run: Run) -> Run:
    """A copy of the run as it is now."""
    run.complete()
    copy = replace(
        run,
        model=Model(run.model.config),
        state=State(run.model, run.config.batch_size),
        good=None,
        completing=None,
    )
    copy.slots = {name: slot.like() for name, slot in run.slots.items()}
    copy.average = None if run.average is None else run.model.parameters.like()
    copy.history = list(run.history)
    _copy_state(copy, run)
    return copy


def go_back(run: Run, good: Run) -> None:
    """Restore the good state's numbers and position; from later steps, keep only the best loss and
    the counts.
    """
    _copy_state(run, good)
    now = run.progress
    run.progress = mark_good(
        replace(
            good.progress,
            best_loss=now.best_loss,
            best_step=now.best_step,
            fall_backs=now.fall_backs,
            lost=now.lost,
        )
    )
    run.history, run.starts = [*good.history], good.starts


def fall_back(run: Run, good: Run, at: int, reason: str) -> FallBack:
    """Go back from step `at` to the good state and lower the learning rate; record both in progress
    and history.
    """
    go_back(run, good)
    now = run.progress
    run.progress = replace(now, fall_backs=now.fall_backs + 1, lost=now.lost + at - run.step)
    fall = FallBack(at, run.step, run.fall_factor, reason)
    run.history.append(
        {
            "step": run.step,
            "fell_back_from": at,
            "lost": run.progress.lost,
            "rate_factor": fall.rate_factor,
            "reason": reason,
        }
    )
    return fall


def failure_message(run: Run, at: int, reason: str) -> str:
    """The error message when going back from step `at` did not help."""
    times = run.progress.fall_backs
    clipping = "`clip_norm`" if run.config.clip_norm else "with a `clip_norm`, such as 5"
    return (
        f"step {at}: {reason}; going back {times} times, to {FALL_FACTOR**times:g} of the learning "
        f"rate, did not help; the checkpoint is from step {run.step}: use `resume` with a lower "
        f"`learning_rate` or {clipping}"
    )


def _arrays(run: Run) -> Iterator[NDArray[Any]]:
    """All arrays that training changes, but the average."""
    yield run.model.parameters.flat
    yield from (slot.flat for slot in run.slots.values())
    yield from run.state.arrays


def _average(run: Run) -> list[NDArray[Any]]:
    return [] if run.average is None else [run.average.flat]


def _copy_state(run: Run, other: Run) -> None:
    """Take all arrays from another moment of this run, which may have had no average then."""
    for ours, theirs in zip(_arrays(run), _arrays(other), strict=True):
        ours[:] = theirs
    for average in _average(run):
        average[:] = next(iter(_average(other)), other.model.parameters.flat)


def overfits(validations: Sequence[Entry]) -> bool:
    """True if the last three validation losses are 1 % above the lowest, the last is the highest,
    and the training loss fell.

    `validations` are entries of a run's history, in order; "fell" means since the lowest validation
    loss.
    """
    losses: list[Any] = [entry.get("validation_loss") for entry in validations]
    training: list[Any] = [entry.get("train_loss") for entry in validations]
    if not losses or None in losses or None in training:
        return False
    best = losses.index(min(losses))
    since = losses[best + 1 :]
    rises = (
        len(since) >= RISES
        and min(since[-RISES:]) > RISEN * losses[best]
        and since[-1] == max(since)
    )
    return rises and bool(training[-1] < training[best])
