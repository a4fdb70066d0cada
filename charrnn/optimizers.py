"""The optimisers, by name: which slots each keeps, and its rule. All of them work on flat vectors of one layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.config import TrainConfig
from charrnn.kernels import update
from charrnn.kernels.simd import LANES
from charrnn.parameters import Floats, Parameters
from charrnn.workers import Workers, ranges

Rule = NDArray[np.float32]


@dataclass(frozen=True)
class Optimizer:
    """Slots of the parameters' layout, and a kernel kernel(w, gradient, *slots, rule, clip_value, scale, start, stop).

    `rule(config, learning_rate, step)` gives the kernel's numbers for this step; the first step is 1.
    """

    slots: tuple[str, ...]
    kernel: Callable[..., None]
    rule: Callable[[TrainConfig, float, int], Rule]


def adam_rule(config: TrainConfig, learning_rate: float, step: int) -> Rule:
    """The numbers of `kernels.update.adam`, with the bias corrections of Kingma & Ba 2015."""
    beta1, beta2 = config.beta1, config.beta2
    correction = 1 / np.sqrt(1 - beta2**step)
    return np.array([beta1, beta2, config.epsilon or 1e-8, learning_rate / (1 - beta1**step), correction], np.float32)


OPTIMIZERS: dict[str, Optimizer] = {"adam": Optimizer(("m", "v"), update.adam, adam_rule)}


class Clipper:
    """Clipping, first by value and then by norm (Pascanu, Mikolov & Bengio 2013); 0 switches either off."""

    def __init__(self, parameters: Parameters, workers: Workers, clip_value: float, clip_norm: float) -> None:
        self.workers, self.clip_norm = workers, clip_norm
        self.limit = np.float32(clip_value if clip_value > 0 else np.inf)
        self._sums = np.zeros(-(-parameters.flat.size // update.BLOCK))

    def measure(self, gradient: Floats) -> tuple[float, np.float32]:
        """The norm of the gradient, clipped by value, and the factor that brings it below clip_norm."""
        jobs = [(gradient, self.limit, self._sums, a, b) for a, b in ranges(self._sums.size, self.workers.threads)]
        self.workers.run(update.square_sums, jobs)
        norm = float(np.sqrt(self._sums.sum()))
        return norm, np.float32(min(1.0, self.clip_norm / norm) if self.clip_norm > 0 and norm > 0 else 1.0)


def update_parameters(
    optimizer: Optimizer,
    parameters: Parameters,
    gradient: Parameters,
    slots: dict[str, Parameters],
    rule: Rule,
    clip: tuple[np.float32, np.float32],
    workers: Workers,
) -> None:
    """One step of the optimiser; `clip` is the limit of a value and the factor of the whole."""
    flats = (parameters.flat, gradient.flat, *(slots[name].flat for name in optimizer.slots))
    jobs = [(*flats, rule, *clip, a, b) for a, b in ranges(parameters.flat.size, workers.threads, LANES)]
    workers.run(optimizer.kernel, jobs)
