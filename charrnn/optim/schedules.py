"""Learning rates over time, by name: (moment, settings) -> factor of the peak rate.

`inverse-sqrt`, `constant`, `step`, `exponential` and `plateau` do not depend on the length of the
run: a run given more epochs continues as if it had had them from the start. `cosine` and
`one-cycle` end with the run: with another number of epochs, the rest of the run follows the curve
of the new length from the current step. If the number of steps was changed to end on time (`pace`),
the rest of the curve is spread over the remaining steps (`Moment.position`). If the run was then
given more time, the rate of these two rises once more and falls until the new end (`rate_factor`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from charrnn.config import TrainConfig

DECAY_STEPS = 1000
ENDING = ("cosine", "one-cycle")
"""The schedules that end with the run."""
RISE = 0.5
"""The fraction of the peak to which their rate rises at least when a run is given more time."""
LONGEST_RISE = 0.05
"""The rise takes at most this fraction of the new time."""
CYCLE_RISE, CYCLE_START = 0.3, 0.04
"""The fraction of a one-cycle run in which the rate rises, and its initial value as a fraction of
the peak.
"""


@dataclass(frozen=True)
class Moment:
    """The position of a step in its run. `step` counts from 0; `total_steps` is the number first
    planned, and `changes` are as in `TrainConfig.changes`. `falls` is how often the rate has
    dropped on a plateau so far.
    """

    step: int
    steps_per_epoch: int
    total_steps: int
    falls: int = 0
    changes: tuple[tuple[int, int, bool], ...] = ()

    @property
    def epochs(self) -> float:
        """Passes over the text completed when the step begins."""
        return self.step / self.steps_per_epoch

    @property
    def position(self) -> float:
        """The step at which the originally planned run, of N steps, would have the same rate.

        v(s) = s before any change. After a change at step s_k to n_k steps, the rest is spread
        evenly over the remaining steps, so that v reaches N - 1 at the last one:

        v(s) = N - 1 - (n_k - 1 - s) (N - 1 - v(s_k - 1)) / (n_k - s_k),  for s >= s_k
        """
        end = last = self.total_steps - 1
        pace = 1.0
        for step, total, _ in self.changes:
            if step > self.step:
                break
            pace *= (last - step + 1) / (total - step)
            last = total - 1
        return end - (last - self.step) * pace

    @property
    def stretches(self) -> list[Moment]:
        """The run as it was planned, and after it each time that it was given more, as runs of
        their own that have come as far as this.
        """
        parts: list[tuple[int, int, list[tuple[int, int, bool]]]] = [(0, self.total_steps, [])]
        for step, total, is_more in self.changes:
            if step > self.step:
                break
            begin, _, changes = parts[-1]
            if is_more:
                parts.append((step, total, []))
            else:
                changes.append((step - begin, total - begin, False))
        ends = [*(begin - 1 for begin, _, _ in parts[1:]), self.step]
        return [
            Moment(end - begin, self.steps_per_epoch, total - begin, self.falls, tuple(changes))
            for (begin, total, changes), end in zip(parts, ends, strict=True)
        ]

    def share(self, after: float = 0.0) -> float:
        """The fraction done of the originally planned run, or of its part after the first epochs: 0
        at the first step, 1 at the last.
        """
        first = after * self.steps_per_epoch
        return min(1.0, max(0.0, self.position - first) / max(1.0, self.total_steps - 1 - first))


def constant(at: Moment, config: TrainConfig) -> float:
    """Always the peak rate."""
    return 1.0


def inverse_sqrt(at: Moment, config: TrainConfig) -> float:
    """(1 + step / 1000)^-1/2, the decay required by the analysis of stochastic gradient descent
    (Robbins & Monro 1951).
    """
    return float((1 + at.step / DECAY_STEPS) ** -0.5)


def steps(at: Moment, config: TrainConfig) -> float:
    """decay_rate^falls: the rate drops at the end of epoch decay_after, and then after every
    decay_every epochs.

    As in Karpathy's char-rnn (2015), where decay_after is 10 and decay_every 1: the 11th epoch is
    the first with a lower rate. With decay_after = 0 the first fall is at the end of epoch
    decay_every, since epoch 0 does not end.
    """
    after = at.epochs - config.decay_after
    if after < 0:
        return 1.0
    falls = math.floor(after / config.decay_every + 1e-9) + (1 if config.decay_after > 0 else 0)
    return float(config.decay_rate**falls)


def exponential(at: Moment, config: TrainConfig) -> float:
    """decay_rate^((epochs beyond decay_after) / decay_every): `step` without its steps."""
    return float(
        config.decay_rate ** (max(0.0, at.epochs - config.decay_after) / config.decay_every)
    )


def cosine(at: Moment, config: TrainConfig) -> float:
    """Half a period, from the peak to final_rate at the last step (Loshchilov & Hutter 2017,
    equation 5, without restarts).

    final_rate + (1 - final_rate) (1 + cos(pi share)) / 2, where share covers the part after epoch
    decay_after; 1 before that.
    """
    return _fall(at.share(config.decay_after), config.final_rate)


def one_cycle(at: Moment, config: TrainConfig) -> float:
    """A linear rise from 1/25 of the peak over 30 % of the run, then half a cosine down to
    final_rate (Smith 2018, section 4).

    The fractions are those of PyTorch's OneCycleLR; Smith also changes the momentum, which is not
    done here.
    """
    share = at.share()
    if share < CYCLE_RISE:
        return CYCLE_START + (1 - CYCLE_START) * share / CYCLE_RISE
    return _fall((share - CYCLE_RISE) / (1 - CYCLE_RISE), config.final_rate)


def plateau(at: Moment, config: TrainConfig) -> float:
    """decay_rate^falls: the rate drops after every plateau_patience validations without a new
    best.
    """
    return float(config.decay_rate**at.falls)


def _fall(share: float, end: float, top: float = 1.0) -> float:
    return end + (top - end) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES: dict[str, Callable[[Moment, TrainConfig], float]] = {
    "inverse-sqrt": inverse_sqrt,
    "constant": constant,
    "step": steps,
    "exponential": exponential,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "plateau": plateau,
}


def rate_factor(at: Moment, config: TrainConfig) -> float:
    """The factor of the peak rate at this step: the schedule's factor times the warm-up's, min(1,
    (step + 1) / warmup).

    After a run was given more, a schedule that ends with the run goes on like this: in a straight
    line over the warm-up's steps from the factor before to half a cosine, which falls from at least
    half the peak to final_rate at the last step.
    """
    first, *more = at.stretches if config.schedule in ENDING else [at]
    factor = SCHEDULES[config.schedule](first, config)
    if first.step + 1 < config.warmup:
        factor *= (first.step + 1) / config.warmup
    for stretch in more:
        fall = _fall(stretch.share(), config.final_rate, max(factor, RISE, config.final_rate))
        steps = max(1.0, min(config.warmup, LONGEST_RISE * stretch.total_steps))
        factor += (fall - factor) * min(1.0, (stretch.step + 1) / steps)
    return factor
