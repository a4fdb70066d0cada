"""The optimizers' rules in float64, straight from the papers: slow, short, and written without the
kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Slots = dict[str, Array]
Rule = Callable[[Array, Slots, int, dict[str, float]], Array]


def global_norm(gradients: Mapping[str, Any]) -> float:
    """The Euclidean norm of all gradients taken as one vector."""
    return float(np.sqrt(sum(np.sum(np.asarray(g, np.float64) ** 2) for g in gradients.values())))


def clip(gradients: Mapping[str, Any], clip_norm: float, clip_value: float) -> dict[str, Array]:
    """Clamp every element to +-clip_value, then scale all by min(1, clip_norm / norm); 0 leaves a
    step out.
    """
    limit = clip_value or np.inf
    clipped = {
        name: np.clip(np.asarray(g, np.float64), -limit, limit) for name, g in gradients.items()
    }
    # clip / max(norm, clip) is min(1, clip / norm), and defined where the norm is zero
    scale = clip_norm / max(global_norm(clipped), clip_norm) if clip_norm else 1.0
    return {name: g * scale for name, g in clipped.items()}


def sgd(g: Array, slots: Slots, t: int, c: dict[str, float]) -> Array:
    return g


def momentum(g: Array, slots: Slots, t: int, c: dict[str, float]) -> Array:
    slots["v"] = c["momentum"] * slots["v"] + g
    return slots["v"]


def nesterov(g: Array, slots: Slots, t: int, c: dict[str, float]) -> Array:
    """As Sutskever et al. have it: the gradient was taken ahead, and the place ahead of the new one
    is what is kept.
    """
    before, slots["v"] = slots["v"], c["momentum"] * slots["v"] + g
    return slots["v"] + c["momentum"] * (slots["v"] - before)


def adagrad(g: Array, slots: Slots, t: int, c: dict[str, float]) -> Array:
    slots["s"] = slots["s"] + g**2
    return g / (np.sqrt(slots["s"]) + c["epsilon"])


def rmsprop(g: Array, slots: Slots, t: int, c: dict[str, float]) -> Array:
    slots["s"] = c["rho"] * slots["s"] + (1 - c["rho"]) * g**2
    return g / (np.sqrt(slots["s"]) + c["epsilon"])


def adadelta(g: Array, slots: Slots, t: int, c: dict[str, float]) -> Array:
    slots["s"] = c["rho"] * slots["s"] + (1 - c["rho"]) * g**2
    change = np.sqrt(slots["u"] + c["epsilon"]) / np.sqrt(slots["s"] + c["epsilon"]) * g
    slots["u"] = c["rho"] * slots["u"] + (1 - c["rho"]) * change**2
    return change


def adam(g: Array, slots: Slots, t: int, c: dict[str, float]) -> Array:
    slots["m"] = c["beta1"] * slots["m"] + (1 - c["beta1"]) * g
    slots["v"] = c["beta2"] * slots["v"] + (1 - c["beta2"]) * g**2
    m, v = slots["m"] / (1 - c["beta1"] ** t), slots["v"] / (1 - c["beta2"] ** t)
    return m / (np.sqrt(v) + c["epsilon"])


RULES: dict[str, tuple[Rule, dict[str, float]]] = {
    "sgd": (sgd, {}),
    "momentum": (momentum, {}),
    "nesterov": (nesterov, {}),
    "adagrad": (adagrad, {"epsilon": 1e-10}),
    "adadelta": (adadelta, {"rho": 0.95, "epsilon": 1e-6}),
    "rmsprop": (rmsprop, {"rho": 0.9, "epsilon": 1e-8}),
    "adam": (adam, {"epsilon": 1e-8}),
    "adamw": (adam, {"epsilon": 1e-8, "weight_decay": 0.01}),
}
"""Each optimizer's direction(gradient, slots, t, coefficients), which updates the slots, and the
defaults of its own.
"""


def step(
    name: str, w: Array, g: Array, slots: Slots, t: int, rate: float, decays: Array, **given: float
) -> Array:
    """w after one step; `g` is clipped already; `decays` is 1 where penalties act and 0 on biases.
    The first step is 1.
    """
    rule, own = RULES[name]
    c = (
        {"momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "l1": 0.0, "l2": 0.0, "weight_decay": 0.0}
        | own
        | given
    )
    if t == 1:
        slots.update({slot: np.zeros_like(w) for slot in "msuv"})
    g = g + decays * (c["l2"] * w + c["l1"] * np.sign(w))
    w = w - decays * rate * c["weight_decay"] * w
    return w - rate * rule(g, slots, t, c)
