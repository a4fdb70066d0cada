"""Problems that PyTorch solves too, and our answers to them: what `benchmarks/torch_modules.py` and
the golden files share.

A problem and its answers are arrays by name. `golden/modules.safetensors` holds, for each case of
MODULES, under `case.problem.` the inputs (ids x, y (T, N) int32, state h, c (L, N, H), parameters
named and shaped as in a checkpoint, float32) and under `case.answer.` what torch.nn computed from
them in float64. `golden/optimizers.safetensors` holds one problem, and for each case of
OPTIMIZERS_TRIED the parameters after some steps of torch.optim in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.config.settings import ModelConfig
from charrnn.config.training import TrainConfig
from charrnn.kernels import update
from charrnn.network.model import Model, State
from charrnn.network.network import Network
from charrnn.optim.optimizers import OPTIMIZERS, UNCLIPPED, penalties_of
from charrnn.runtime.threads import Workers
from tests.reference.small import plain_model

Arrays = dict[str, NDArray[Any]]
FOLDER = Path(__file__).parents[1] / "network" / "golden"
SHAPE = {"V": 11, "E": 5, "H": 7, "L": 2, "T": 6, "N": 3}  # all different

MODULES: dict[str, tuple[str, str]] = {
    **{"lstm": ("lstm", "tanh"), "gru-after": ("gru-after", "tanh")},
    **{"rnn-tanh": ("rnn", "tanh"), "rnn-relu": ("rnn", "relu")},
}
"""Case -> cell and activation."""


@dataclass(frozen=True)
class Tried:
    """An optimizer with its settings in torch.optim, and the same in TrainConfig (the rate is
    `lr`).
    """

    torch_class: str
    optimizer: str
    torch_settings: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)


def _tried() -> dict[str, Tried]:
    plain = {
        "sgd": Tried("SGD", "sgd", {"lr": 0.05}),
        "momentum": Tried("SGD", "momentum", {"lr": 0.02, "momentum": 0.9}, {"momentum": 0.9}),
        "nesterov": Tried(
            "SGD", "nesterov", {"lr": 0.02, "momentum": 0.8, "nesterov": True}, {"momentum": 0.8}
        ),
        "adagrad": Tried("Adagrad", "adagrad", {"lr": 0.2, "eps": 1e-10}),
        "adadelta": Tried("Adadelta", "adadelta", {"lr": 1.0, "rho": 0.95, "eps": 1e-6}),
        "rmsprop": Tried(
            "RMSprop", "rmsprop", {"lr": 0.02, "alpha": 0.95, "eps": 1e-8}, {"rho": 0.95}
        ),
        "adam": Tried("Adam", "adam", {"lr": 0.05, "betas": (0.9, 0.99)}, {"beta2": 0.99}),
    }
    decayed = {
        f"{name}-l2": Tried(
            t.torch_class,
            t.optimizer,
            t.torch_settings | {"weight_decay": 0.1},
            t.settings | {"l2": 0.1},
        )
        for name, t in plain.items()
    }
    return {
        **plain,
        **decayed,
        "adamw": Tried(
            "AdamW", "adamw", {"lr": 0.05}
        ),  # 0.01 is the decay of both where none is given
        "adamw-decay": Tried(
            "AdamW", "adamw", {"lr": 0.05, "weight_decay": 0.5}, {"weight_decay": 0.5}
        ),
        "adam-decay": Tried(
            "AdamW", "adam", {"lr": 0.05, "weight_decay": 0.5}, {"weight_decay": 0.5}
        ),
    }


OPTIMIZERS_TRIED = _tried()
STEPS = (1, 2, 10, 50)
"""Steps after which the parameters are compared."""


def select(arrays: Arrays, prefix: str) -> Arrays:
    """The arrays whose names begin so, by the rest of their names."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def config_of(case: str) -> ModelConfig:
    """The network of a module's problem."""
    (cell, activation), (V, E, H, L, *_) = MODULES[case], SHAPE.values()
    return plain_model(
        vocab_size=V, embedding=E, hidden=H, layers=L, cell=cell, activation=activation, dropout=0.0
    )


def module_answer(case: str, problem: Arrays) -> Arrays:
    """What charrnn makes of a module's problem: loss, h and, for the LSTM, c at the end, and the
    gradient by every parameter.
    """
    config = config_of(case)
    cell, N, T, H = config.cell, SHAPE["N"], SHAPE["T"], SHAPE["H"]
    model = Model(config)
    model.parameters.from_disk(select(problem, "parameter."))
    state = State(model, N)
    state.h[..., :H] = problem["h"]
    if cell == "lstm":
        state.c[..., :H] = problem["c"]
    network = Network(model, T, N, Workers(1), training=True)
    loss, gradient = network.gradients(problem["x"], problem["y"], state, 0)
    answer: Arrays = {"loss": np.array([loss]), "h": state.h[..., :H]}
    if cell == "lstm":
        answer["c"] = state.c[..., :H]
    return answer | {f"gradient.{name}": array for name, array in gradient.to_disk()}


def optimizer_problem(seed: int = 1, size: int = 32) -> Arrays:
    """A bowl, neither round nor along the axes, with waves on it; float32 (size,), a multiple of
    16.
    """
    rng = np.random.default_rng(seed)
    drawn = {"start": rng.normal(size=size), "low": rng.normal(size=size)}
    drawn |= {"curvature": rng.uniform(0.2, 2, size), "across": rng.normal(size=size) / size**0.5}
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def optimizer_gradient(problem: Arrays, w: Any, step: int) -> Any:
    """Of 1/2 sum a (w - b)^2 + 1/2 (u . (w - b))^2 + 1/2 sum sin(2 w) + n . w, with slopes n that
    differ from step to step.

    They stand for the noise of batches: without it rules that divide by the gradient's size end in
    rounding errors.
    """
    w = np.asarray(w, np.float64)
    away, across = w - problem["low"], problem["across"].astype(np.float64)
    noise = np.sin(step * (1.0 + np.arange(w.size)))
    return problem["curvature"] * away + across * (across @ away) + np.cos(2 * w) + noise


def optimizer_answer(case: str, problem: Arrays) -> Arrays:
    """Parameters by charrnn after each of STEPS, named by the step."""
    tried = OPTIMIZERS_TRIED[case]
    rate = tried.torch_settings["lr"]
    config = TrainConfig(optimizer=tried.optimizer, learning_rate=rate, **tried.settings)
    optimizer, penalties = OPTIMIZERS[tried.optimizer], penalties_of(config, rate)
    w = problem["start"].copy()
    slots = [np.zeros_like(w) for _ in optimizer.slots]
    answer: Arrays = {}
    for step in range(1, max(STEPS) + 1):
        gradient = optimizer_gradient(problem, w, step).astype(np.float32)
        if penalties is not None:
            update.penalize(w, gradient, penalties, *UNCLIPPED, 0, w.size)
        optimizer.kernel(
            w, gradient, *slots, optimizer.rule(config, rate, step), *UNCLIPPED, 0, w.size
        )
        if step in STEPS:
            answer[str(step)] = w.copy()
    return answer


def difference(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """The largest difference, as a share of the largest element wanted."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())
