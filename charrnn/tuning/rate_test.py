"""What a range test of learning rates says: where the loss is lowest, and which rate to train
with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from charrnn.config import ModelConfig, TrainConfig
from charrnn.pages.charts import Labels, standalone
from charrnn.pages.lines import Series, line_chart
from charrnn.text.vocab import counted

WIDTH = 0.08
"""The standard deviation of the bell curve that smooths the losses, in powers of ten of the
rate.
"""
MOVE = 0.3
"""A loss that falls or rises by less than this many nats has not fallen or risen."""
BOTTOM = 0.05
"""Losses within this many nats of the lowest are as good: which of them is lowest is chance."""
HALVED = ("adam", "adamw", "soap")
"""Optimizers whose suggestion is half the middle of the rates with these losses: a whole run wants
smaller steps of them than this short test."""
PLAIN = ("sgd", "momentum", "nesterov")
"""Optimizers whose steps become smaller with the gradient by themselves: they learn best at the
highest of these rates.
"""
NEAR = 3.0
"""Two rates agree if neither is more than this many times the other."""
AT_ONCE = 512
"""How many losses are smoothed together: the rows of a matrix."""
LABELS = Labels(
    "rates",
    "A range test of learning rates",
    "The loss of a new network while its learning rate grows: it falls where the rate is useful, "
    "and rises where the rate is too high.",
    "learning rate",
    "nats per character",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RateTest:
    """The losses of a range test, and the peak rate to train with.

    model, training: the settings of the network and of its training, as the recipe decides them.
    rates: the learning rate of each of the S steps, float64 (S,).
    losses: of the batch before that step's update, in nats per character, float64 (S,).
    planned: the peak rate of a run with these settings.
    """

    model: ModelConfig
    training: TrainConfig
    rates: Floats
    losses: Floats
    planned: float

    def __repr__(self) -> str:
        rate = "no suggestion" if self.suggestion is None else f"suggestion {self.suggestion:g}"
        return f"RateTest({counted(len(self.rates), 'step')}, {self.outcome}, {rate})"

    @cached_property
    def smoothed(self) -> Floats:
        """The losses, each averaged with its neighbors by a bell curve over the rates' logarithms,
        float64 (S,).
        """
        logs = np.log10(self.rates)
        smoothed = np.empty(len(logs))
        for k in range(0, len(logs), AT_ONCE):
            weights = np.exp(-0.5 * ((logs[k : k + AT_ONCE, None] - logs) / WIDTH) ** 2)
            smoothed[k : k + AT_ONCE] = (weights @ self.losses) / weights.sum(axis=1)
        return smoothed

    @property
    def outcome(self) -> Literal["diverged", "fell", "flat"]:
        """ "diverged" if the smoothed loss has fallen and then risen; "fell" if it has only fallen,
        "flat" if it has not even fallen.
        """
        losses, at = self.smoothed, int(np.argmin(self.smoothed))
        if losses[: at + 1].max() - losses[at] < MOVE:
            return "flat"
        return "diverged" if losses[at:].max() - losses[at] > MOVE else "fell"

    @property
    def bottom(self) -> tuple[float, float]:
        """The lowest and the highest rate around that of the lowest smoothed loss at which it is
        as good, within 0.05 nats.
        """
        at = int(np.argmin(self.smoothed))
        (worse,) = np.nonzero(self.smoothed > self.smoothed[at] + BOTTOM)
        first = max((k + 1 for k in worse if k < at), default=0)
        last = min((k - 1 for k in worse if k > at), default=len(self.rates) - 1)
        return float(self.rates[first]), float(self.rates[last])

    @property
    def suggestion(self) -> float | None:
        """The peak rate that the losses suggest, rounded to two digits; None unless the loss has
        diverged.

            suggestion = sqrt(low high),  low, high = bottom

        For adam, adamw and soap it is half of that, for sgd, momentum and nesterov it is `high`.
        Adagrad, adadelta, momentum, nesterov and soap were not measured (benchmarks/results).
        """
        if self.outcome != "diverged":
            return None
        low, high = self.bottom
        optimizer = self.training.optimizer
        rate = high if optimizer in PLAIN else math.sqrt(low * high)
        return float(f"{rate / 2 if optimizer in HALVED else rate:.1e}")

    @property
    def agrees(self) -> bool:
        """True if the suggestion is the planned rate within a factor of three; a short test cannot
        tell more exactly.
        """
        rate = self.suggestion
        return rate is not None and self.planned <= NEAR * rate and rate <= NEAR * self.planned

    def svg(self) -> str:
        """The losses over the rates as a picture, an SVG file of its own."""
        ends = float(self.rates[0]), float(self.rates[-1])
        series = [
            Series("each step", self.rates, self.losses, 3, "thin"),
            Series("smoothed", self.rates, self.smoothed),
        ]
        for color, (name, rate) in enumerate(
            (("suggestion", self.suggestion), ("planned", self.planned)), 1
        ):
            if rate is not None and ends[0] <= rate <= ends[1]:
                loss = np.interp(math.log(rate), np.log(self.rates), self.smoothed)
                point = np.array([rate]), np.array([loss])
                series.append(Series(f"{name} {rate:.2g}", *point, color, "points"))
        return standalone(line_chart(series, LABELS, log_x=True, x_range=ends))

    def _repr_html_(self) -> str:
        return f'<div style="max-width:48rem">{self.svg()}</div>'
