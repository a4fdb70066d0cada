"""The optimizers by name: their slots and coefficients. All of them work on flat vectors of one
layout.

The equations are in `kernels/descent.py`, `kernels/adaptive.py` and `kernels/adam.py`; only the
module of the optimizer in use is loaded or compiled. Weight penalties work with all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from charrnn.compiler.compiling import module_of
from charrnn.compiler.simd import LANES
from charrnn.config import ModelConfig, TrainConfig
from charrnn.kernels import update
from charrnn.network.parameters import Floats, Parameters, tensors_of
from charrnn.optim import rotation
from charrnn.runtime.threads import Workers, ranges

Rule = tuple[np.float32, ...]
Places = Sequence[tuple[int, int]]
"""Ranges (start, stop) of a flat vector."""
Clip = tuple[np.float32, np.float32]
"""The limit of each gradient element, and the factor of the whole gradient."""
TOGETHER = 1 << 16
"""Parameters that go through all kernels before the next do, while they are in the cache."""
NO_PENALTIES: Rule = (np.float32(0),) * 3
UNCLIPPED: Clip = np.float32(np.inf), np.float32(1)


@dataclass(frozen=True)
class Coefficients:
    """The coefficients of an optimizer; if a setting is None, the value of its paper or of
    PyTorch.
    """

    learning_rate: float
    momentum: float
    rho: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float


@dataclass(frozen=True)
class Optimizer:
    """An optimizer: slots with the parameters' layout, and kernel(w, gradient, *slots, rule,
    clip_value, scale, start, stop).

    `numbers(coefficients, learning_rate, step)` returns the kernel's rule; the first step is 1.
    `others` are slots of another layout. The other fields are the defaults of settings that are
    None.
    """

    function: str
    slots: tuple[str, ...]
    numbers: Callable[[Coefficients, float, int], tuple[float, ...]]
    learning_rate: float
    rho: float = 0.0
    epsilon: float = 0.0
    weight_decay: float = 0.0
    others: tuple[str, ...] = ()

    @property
    def rotates(self) -> bool:
        """True if it has a basis for some weights (`rotation`)."""
        return "basis" in self.others

    @property
    def kernel(self) -> Callable[..., None]:
        """The compiled kernel, loaded on first use."""
        module = import_module(module_of(self.function))
        kernel: Callable[..., None] = getattr(module, self.function)
        return kernel

    def copies(self, config: TrainConfig) -> int:
        """The number of vectors of the parameters' layout that it keeps, including the averaged
        weights.
        """
        return len(self.slots) + (config.average > 0)

    def rule(self, config: TrainConfig, learning_rate: float, step: int) -> Rule:
        """The kernel's rule for this step (the first is 1) at this learning rate."""
        return _rule_of(*self.numbers(coefficients_of(config), learning_rate, step))


def coefficients_of(config: TrainConfig) -> Coefficients:
    """The coefficients, with defaults for settings that are None."""
    optimizer, settings = OPTIMIZERS[config.optimizer], vars(config)
    names = [field.name for field in fields(Coefficients)]
    return Coefficients(
        **{
            name: getattr(optimizer, name) if settings[name] is None else settings[name]
            for name in names
        }
    )


def penalties_of(config: TrainConfig, learning_rate: float) -> Rule | None:
    """(l1, l2, decay) for `kernels.update.penalize` at this learning rate; None if all are 0."""
    weight_decay = coefficients_of(config).weight_decay
    if config.l1 == config.l2 == weight_decay == 0:
        return None
    return _rule_of(config.l1, config.l2, learning_rate * weight_decay)


def _rule_of(*numbers: float) -> Rule:
    return tuple(map(np.float32, numbers))


def _adam_numbers(c: Coefficients, learning_rate: float, step: int) -> tuple[float, ...]:
    """With the bias corrections of Kingma & Ba 2015, section 2, folded in."""
    correction = 1 / np.sqrt(1 - c.beta2**step)
    return (
        c.beta1,
        1 - c.beta1,
        c.beta2,
        1 - c.beta2,
        c.epsilon,
        learning_rate / (1 - c.beta1**step),
        correction,
    )


def _squares_numbers(c: Coefficients, learning_rate: float, step: int) -> tuple[float, ...]:
    rest = float(1 - np.float32(c.rho))
    return c.rho, rest, c.epsilon, learning_rate


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer("sgd", (), lambda c, rate, step: (rate,), 1.0),
    "momentum": Optimizer("momentum", ("v",), lambda c, rate, step: (c.momentum, 0, 1, rate), 0.1),
    "nesterov": Optimizer(
        "momentum", ("v",), lambda c, rate, step: (c.momentum, 1, c.momentum, rate), 0.1
    ),
    "adagrad": Optimizer(
        "rmsprop", ("s",), lambda c, rate, step: (1, 1, c.epsilon, rate), 0.01, epsilon=1e-10
    ),
    "adadelta": Optimizer("adadelta", ("s", "u"), _squares_numbers, 1.0, rho=0.95, epsilon=1e-6),
    "rmsprop": Optimizer("rmsprop", ("s",), _squares_numbers, 0.002, rho=0.9, epsilon=1e-8),
    "adam": Optimizer("adam", ("m", "v"), _adam_numbers, 0.003, epsilon=1e-8),
    "adamw": Optimizer("adam", ("m", "v"), _adam_numbers, 0.003, epsilon=1e-8, weight_decay=0.01),
    "soap": Optimizer(
        "adam",
        ("m", "v"),
        _adam_numbers,
        0.003,
        epsilon=1e-8,
        weight_decay=0.01,
        others=(rotation.COVARIANCE, rotation.BASIS),
    ),
}


def new_slots(name: str, config: ModelConfig) -> dict[str, Parameters]:
    """The slots of an optimizer before its first step, for this network."""
    optimizer, tensors = OPTIMIZERS[name], tensors_of(config)
    slots = {slot: Parameters(tensors) for slot in optimizer.slots}
    return slots | (rotation.rotation_slots(config) if optimizer.rotates else {})


class Clipper:
    """Clipping, first by value and then by norm (Pascanu, Mikolov & Bengio 2013); 0 turns either
    off.
    """

    def __init__(
        self, parameters: Parameters, workers: Workers, clip_value: float, clip_norm: float
    ) -> None:
        self.workers, self.clip_norm = workers, clip_norm
        self.limit = np.float32(clip_value if clip_value > 0 else np.inf)
        self._sums = np.zeros(-(-parameters.flat.size // update.BLOCK))

    def measure(self, gradient: Floats) -> tuple[float, np.float32]:
        """The norm of the gradient after clipping by value, and the factor that brings it down to
        clip_norm.
        """
        return self.measured(self.square_sums(gradient, [(0, gradient.size)]))

    def square_sums(self, gradient: Floats, places: Places) -> NDArray[np.float64]:
        """The sums of squares of the gradient's blocks after clipping by value; those of blocks
        outside the places, which are whole blocks, are those of a call before, or zero.
        """
        block, threads = update.BLOCK, self.workers.threads
        jobs = [
            (gradient, self.limit, self._sums, start // block + a, start // block + b)
            for start, stop in places
            for a, b in ranges(-(-(stop - start) // block), threads)
        ]
        self.workers.run(update.square_sums, jobs)
        return self._sums

    def measured(self, sums: NDArray[np.float64]) -> tuple[float, np.float32]:
        """The same as `measure`, from the sums of all blocks."""
        norm = float(np.sqrt(sums.sum()))
        return norm, np.float32(
            min(1.0, self.clip_norm / norm) if self.clip_norm > 0 and norm > 0 else 1.0
        )


def average_parameters(
    parameters: Parameters,
    averaged: Parameters,
    memory: float,
    step: int,
    workers: Workers,
    places: Places | None = None,
) -> None:
    """Add the weights after update number `step`, from 1, to their exponential average (Polyak &
    Juditsky 1992 use a plain average); only those in the places, if they are given.

        averaged = d averaged + (1 - d) w,  d = min(memory, (1 + step) / (10 + step))

    Early in the run, the average thus mostly covers the last tenth of the steps, not the initial
    weights.
    """
    share = np.float32(1 - min(memory, (1 + step) / (10 + step)))
    workers.run(
        update.average,
        [
            (parameters.flat, averaged.flat, share, start + a, start + b)
            for start, stop in places or [(0, parameters.flat.size)]
            for a, b in ranges(stop - start, workers.threads, LANES)
        ],
    )


def update_parameters(
    optimizer: Optimizer,
    parameters: Parameters,
    gradient: Parameters,
    slots: dict[str, Parameters],
    rule: Rule,
    clip: Clip,
    workers: Workers,
    penalties: Rule | None = None,
    anchor: Parameters | None = None,
    places: Places | None = None,
    rotated: rotation.Rotation | None = None,
    step: int = 1,
) -> None:
    """One step of the optimizer, after the penalties on weights (biases are exempt); the gradient
    may be overwritten. If places are given, only their parameters are updated. An optimizer that
    `rotates` needs `rotated` and the number of the step, from 1.

    With an anchor w0, weights decay towards it instead of zero: w += decay (w0 - w) (L2-SP of Li,
    Grandvalet & Davoine 2018, decoupled from the gradient).
    """
    decay = np.float32(0)
    if anchor is not None and penalties is not None:
        decay, penalties = penalties[2], (*penalties[:2], np.float32(0))
    flats = (parameters.flat, gradient.flat, *(slots[name].flat for name in optimizer.slots))
    kernel, threads = optimizer.kernel, workers.threads
    areas = [(place, True) for place in places or [(0, parameters.flat.size)]]
    if rotated is not None:
        penalties = penalties or NO_PENALTIES
        areas = [(place, True) for place in rotated.rest]
        areas += [(place, False) for place in rotated.places]

    def move(decays: bool, moves: bool, first: int, last: int) -> None:
        decays = decays and penalties is not None
        for start in range(first, last, TOGETHER):
            stop = min(start + TOGETHER, last)
            if decays:
                update.penalize(parameters.flat, gradient.flat, penalties, *clip, start, stop)
                if anchor is not None:
                    update.average(anchor.flat, parameters.flat, decay, start, stop)
            if moves:
                kernel(*flats, rule, *(UNCLIPPED if decays else clip), start, stop)

    regions = [
        (max(start, first), min(stop, last), decays, moves)
        for (start, stop), moves in areas
        for first, last, decays in parameters.regions
    ]
    workers.run(
        move,
        [
            (decays, moves, start + a, start + b)
            for start, stop, decays, moves in regions
            if start < stop
            for a, b in ranges(stop - start, threads, LANES)
        ],
    )
    if rotated is not None:
        rotated.step(rule, step)
