"""When a run must go back (NaN, infinities, and losses that jump), and when it overfits.

A run keeps the last state that was found good, at a validation: all of it finite, the validation
loss too, and no loss out of the ordinary since. What goes wrong after it is undone by going back
there, with half the learning rate. All of it is counted in steps, never in time, so that an
interrupted run falls back where an uninterrupted one does.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.network.layer import Ids, Starts
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.training.run import FALL_FACTOR, Entry, Progress, Run
from charrnn.training.run_folder import RunFolder

JUMP = 0.5
"""Nats above what it was that make a loss high."""
HIGH_STEPS, HIGH_CHARACTERS = 20, 20_000
"""How long a loss must be high, in a row, before it is looked into: more than noise, or the start
of a document, lasts.
"""
FIRST_STEPS = 100
"""Steps at the start of a run in which a loss may do what it likes."""
MOST_FALLS = 3
"""How often a run goes back before it gives up."""
RISES, RISEN = 3, 1.01
"""Validations in a row, and the share of the lowest loss that they are above, where a network
overfits.
"""

Batch = tuple[Ids, Ids, Starts | None]


class GoodState:
    """Where the last good state of a run is: in its folder, or of a run without one, in memory."""

    def __init__(self, run: Run, folder: RunFolder | None) -> None:
        self.run, self.folder = run, folder

    @property
    def is_there(self) -> bool:
        """False for a run that begins, one from before there were good states, and one whose file
        is gone.
        """
        if self.folder is not None:
            return self.folder.good_of(self.run) is not None
        return self.run.good is not None and self.run.good.progress.is_good_of(self.run.progress)

    def keep(self) -> None:
        """Note that the run's state is good; in a folder it is from the next save on."""
        self.run.progress = found_good(self.run.progress)
        self.run.good = copy_of(self.run) if self.folder is None else None

    def load(self) -> Run:
        """The run as it was; not a copy."""
        good = self.run.good if self.folder is None else self.folder.load_good(self.run)
        assert good is not None
        return good


@dataclass(frozen=True)
class FallBack:
    """A run went back `from_step`, where something was wrong, `to_step`; its learning rate is now
    `rate_factor` of the planned.
    """

    from_step: int
    to_step: int
    rate_factor: float
    reason: str


def watched(before: Progress, loss: float, smoothed: float) -> Progress:
    """`high_steps` and `calm_loss` after a step of this loss and smoothed loss."""
    calm = before.calm_loss
    if calm is None:
        return replace(before, high_steps=0, calm_loss=smoothed)
    is_high = before.step >= FIRST_STEPS and loss > calm + JUMP
    high = before.high_steps + 1 if is_high else 0
    return replace(before, high_steps=high, calm_loss=min(calm, smoothed))


def long_enough(characters: int) -> int:
    """`HIGH_STEPS`, or the steps of this many characters that have `HIGH_CHARACTERS`."""
    return max(HIGH_STEPS, -(-HIGH_CHARACTERS // characters))


def has_become_worse(network: Network, run: Run, good: Run, batch: Callable[[int], Batch]) -> bool:
    """Whether the weights of the good state read the batches of the last high steps better than the
    run's, by `JUMP`.

    That tells a network that has gone wrong from a text that has become hard: both read the same
    batches from a zero state with nothing dropped. `batch(step)` is that of a step of the run. The
    network's panels are those of the run before and after.
    """
    flat = run.model.parameters.flat
    now, held = _loss_of_high_steps(network, run, batch), flat.copy()
    flat[:] = good.model.parameters.flat
    network.refresh()
    before = _loss_of_high_steps(network, run, batch)
    flat[:] = held
    network.refresh()
    return not now <= before + JUMP  # so that a NaN is worse


def _loss_of_high_steps(network: Network, run: Run, batch: Callable[[int], Batch]) -> float:
    state, total, count = State(run.model, run.config.batch_size), 0.0, 0
    for step in range(run.step - run.progress.high_steps, run.step):
        x, y, starts = batch(step)
        if step % run.steps_per_epoch == 0:
            state.reset()
        total += float(network.evaluate(x, y, state, starts).sum(dtype=np.float64))
        count += x.size
    return total / count


def is_good(run: Run, is_best: bool) -> bool:
    """Whether the state at a validation is one to go back to; all of it is known to be finite.

    Its loss must be calm, or on the validation text the lowest so far; and not much worse than that
    of guessing, which is log V: so a network that fell to pieces in its first steps goes back to
    its very beginning.
    """
    now = run.progress
    guessing = math.log(run.model.config.vocab_size)
    return (is_best or not now.high_steps) and (now.smoothed_loss or 0.0) <= guessing + JUMP


def found_good(progress: Progress) -> Progress:
    """After a step whose state is one to go back to."""
    return replace(
        progress, good_step=progress.step, high_steps=0, calm_loss=progress.smoothed_loss
    )


def is_finite(run: Run) -> bool:
    """True when no number that the run continues from is NaN or infinite."""
    return all(bool(np.isfinite(array).all()) for array in _arrays(run))


def copy_of(run: Run) -> Run:
    """The run as it is now, in memory of its own."""
    other = replace(
        run, model=Model(run.model.config), state=State(run.model, run.config.batch_size), good=None
    )
    other.slots = {name: run.model.parameters.like() for name in run.slots}
    other.average = None if run.average is None else run.model.parameters.like()
    other.history = list(run.history)
    _take(other, run)
    return other


def go_back(run: Run, good: Run) -> None:
    """Take the good state's numbers and its place; of what came after it the run keeps only its
    best and what it has counted.
    """
    _take(run, good)
    now = run.progress
    run.progress = found_good(
        replace(
            good.progress,
            best_loss=now.best_loss,
            best_step=now.best_step,
            fall_backs=now.fall_backs,
            lost=now.lost,
        )
    )
    run.history = [*good.history]


def fall_back(run: Run, good: Run, at: int, reason: str) -> FallBack:
    """Go back from step `at` to the good state, and lower the learning rate; both are noted in
    progress and history.
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


def in_vain(run: Run, at: int, reason: str) -> str:
    """What to do where going back from step `at`, the last time without a lower rate, has not
    helped.
    """
    times = run.progress.fall_backs
    return (
        f"step {at}: {reason}; going back {times} times, to {FALL_FACTOR**times:g} of the "
        f"learning rate, has not helped; the checkpoint is that of step {run.step}: use "
        "`resume` with a lower `learning_rate` or `clip_norm`"
    )


def _arrays(run: Run) -> Iterator[NDArray[np.float32]]:
    """Everything that training changes."""
    yield run.model.parameters.flat
    yield from (slot.flat for slot in run.slots.values())
    if run.average is not None:
        yield run.average.flat
    yield from (run.state.h, run.state.c)


def _take(run: Run, other: Run) -> None:
    for ours, theirs in zip(_arrays(run), _arrays(other), strict=True):
        ours[:] = theirs


def overfits(validations: Sequence[Entry]) -> bool:
    """True when the last three validation losses are 1 % above the lowest, the last is the highest,
    and the training loss fell.

    `validations` are entries of a run's history, in their order; fell since the lowest validation
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
