"""The settings of training, and of a run of several networks."""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self

from charrnn.config.fields import Settings, changes_of, seconds_of, setting, settings_of
from charrnn.errors import ConfigError

RUN = "Run"
training, run = partial(setting, group="Training"), partial(setting, group=RUN)


@dataclass(frozen=True, repr=False)
class TrainConfig(Settings):
    """How a network is trained. Of `epochs` and `steps`, the one that ends first counts."""

    batch_size: int = training(
        None, "Streams N trained in parallel (default: 32, fewer for a short text).", 1, 65536
    )
    seq_length: int = training(
        64, "Characters T per stream between updates (truncated BPTT).", 1, 65536
    )
    reset_every: int = training(
        0,
        "Reset a stream's state to zero after this many characters; 0: never within the text.",
        0,
        10**12,
    )
    parts: int = training(
        1,
        "Equal parts of a batch's streams, whose gradients are computed one by one and added in "
        "order; mpiexec deals them to processes (docs/many-machines.md).",
        1,
        65536,
    )
    optimizer: Literal[
        "adam", "adamw", "soap", "rmsprop", "adagrad", "adadelta", "sgd", "momentum", "nesterov"
    ] = training(
        None,
        "Update rule (default: soap for a run of few passes over the text, else adamw).",
    )
    learning_rate: float | None = training(
        None,
        "Peak learning rate (default: by optimizer; adam, adamw and soap: by width).",
        0.0,
        1000.0,
    )
    momentum: float = training(0.9, "Momentum of momentum and nesterov.", 0.0, 0.99999)
    rho: float | None = training(
        None,
        "Decay of the squared-gradient average (default: rmsprop 0.9, adadelta 0.95).",
        0.0,
        0.9999999,
    )
    beta1: float = training(0.9, "Adam's decay of the gradient average.", 0.0, 0.99999)
    beta2: float = training(0.999, "Adam's decay of the squared-gradient average.", 0.0, 0.9999999)
    epsilon: float | None = training(
        None,
        "Term against division by zero (default: adam, adamw, soap and rmsprop 1e-8, adagrad "
        "1e-10, adadelta 1e-6).",
        1e-15,
        1.0,
    )
    schedule: Literal[
        "inverse-sqrt", "constant", "step", "exponential", "cosine", "one-cycle", "plateau"
    ] = training("cosine", "Learning rate schedule (see docs/training.md).")
    warmup: int = training(
        None,
        "Steps over which the learning rate rises from zero, with any schedule (default: 100, at "
        "most a twentieth of the run).",
        0,
        10**12,
    )
    decay_rate: float = training(
        0.5, "Factor of each learning rate drop: step, exponential, plateau.", 0.0, 1.0
    )
    decay_every: float = training(1.0, "Epochs between two drops: step, exponential.", 1e-9, 1e9)
    decay_after: float = training(
        None,
        "Epochs before the learning rate begins to fall: cosine (default: a tenth of the run), "
        "step (default: 0, which means `decay_every`) and exponential (default: 0).",
        0.0,
        1e9,
    )
    final_rate: float = training(
        0.0, "Final learning rate of cosine and one-cycle, as a fraction of the peak.", 0.0, 1.0
    )
    plateau_patience: int = training(
        3, "Validations without a new best before plateau drops the rate.", 1, 10**6
    )
    l1: float = training(
        0.0, "L1 penalty: adds l1 times the sign of each weight to its gradient.", 0.0, 1e3
    )
    l2: float = training(0.0, "L2 penalty: adds l2 times each weight to its gradient.", 0.0, 1e3)
    weight_decay: float | None = training(
        None,
        "Decoupled weight decay: subtract this times the learning rate times each weight at each "
        "step (default: adamw and soap by passes, others 0).",
        0.0,
        1e3,
    )
    reduction: Literal["mean", "sum-over-time"] = training(
        "mean",
        "Loss to differentiate: the batch's mean, or the sum over steps of the mean over streams "
        "(matters for clipping and sgd).",
    )
    label_smoothing: float = training(
        0.0,
        "Fraction of each training target spread evenly over all symbols; reported losses "
        "exclude it.",
        0.0,
        0.99,
    )
    clip_norm: float = training(5.0, "Clip the gradient to this norm; 0: no clipping.", 0.0, 1e9)
    clip_value: float = training(
        0.0, "Clip each gradient element to this absolute value; 0: no clipping.", 0.0, 1e9
    )
    average: float = training(
        0.998,
        "Decay of the weight average (EMA), which is evaluated, saved and sampled; 0: use the "
        "last step's weights.",
        0.0,
        0.999999,
    )
    precision: Literal["auto", "float32", "bf16", "amx"] = training(
        "auto",
        "Type of the factors in matrix products; bf16 needs AVX512-BF16, amx (bfloat16 in tiles) "
        "AMX. auto: the fastest if a time is given, else float32. Sums and weights are always "
        "float32.",
    )
    epochs: float | None = run(
        None,
        "Passes over the training text after which the run ends, however long they take.",
        1e-9,
        1e9,
    )
    steps: int | None = run(None, "Total number of updates.", 1, 10**12)
    pace: str | None = run(
        None,
        "Changes of the total number of steps, as step:total pairs: 360:1500 720:1410; + where the "
        "run was given more: 1410+2000; | before those of the next network. `for` records them.",
    )
    networks: int | None = run(
        None,
        "Networks that learn one after another and then predict and write together (default: as "
        "many as the time of `for` is enough for, else 1).",
        1,
        64,
    )
    max_time: str | None = run(None, "Training time limit: 90s, 20m, 2h30m.")
    patience: int | None = run(
        None, "End the run after this many validations without a new best.", 1, 10**6
    )
    seed: int = run(0, "Seed of everything random.", 0, 2**63 - 1)
    eval_every: int | None = run(
        None,
        "Steps between validations (default: with a time, such that there are at most 25; else "
        "whole epochs of at least 200 steps, at most 1000).",
        1,
        10**12,
    )
    sample_every: int | None = run(
        None,
        "Steps between printed samples, and one at the end; 0: none (default: after steps 1, 10 "
        "and 100, at the first five validations, then at every fifth).",
        0,
        10**12,
    )
    save_every: int | None = run(
        None, "Steps between checkpoints (default: at each validation).", 1, 10**12
    )

    def __post_init__(self) -> None:
        """Check as for all settings; `max_time` must be a time, `pace` a list of changes for each
        network, and `batch_size` a multiple of `parts`.
        """
        super().__post_init__()
        if self.batch_size is not None and self.batch_size % self.parts:
            raise ConfigError(
                f"a `batch_size` of {self.batch_size} cannot be divided into {self.parts} `parts`; "
                "make it a multiple"
            )
        if self.max_time is not None:
            seconds_of("max_time", self.max_time)
        paces = [part for part in (self.pace or "").split("|") if part.strip()]
        if self.pace is not None and (not paces or None in map(changes_of, paces)):
            raise ConfigError(
                "`pace` must be pairs of a step and a larger total number of steps, in order, such "
                f"as 360:1500 720:1410 1410+2000, not {self.pace!r:.40}"
            )

    @property
    def max_seconds(self) -> float | None:
        """`max_time` in seconds."""
        return None if self.max_time is None else seconds_of("max_time", self.max_time)

    @property
    def changes(self) -> tuple[tuple[int, int, bool], ...]:
        """`pace` as triples: at this step, the total number of steps became this; and whether the
        run was given more there, so that the learning rate rises again. Of the first network.
        """
        return changes_of(self.pace_of(1) or "") or ()

    def pace_of(self, number: int) -> str | None:
        """The part of `pace` for this network, from 1; None if nothing changed."""
        parts = (self.pace or "").split("|")
        return parts[number - 1].strip() or None if number <= len(parts) else None

    def with_pace(self, pace: str | None, number: int = 1) -> str | None:
        """`pace` with another part for this network."""
        numbers = range(1, max(number, (self.pace or "").count("|") + 1) + 1)
        parts = [(pace if n == number else self.pace_of(n)) or "" for n in numbers]
        return " | ".join(parts).rstrip(" |") or None

    def of_network(self, number: int) -> Self:
        """The settings of one of the `networks`, from 1. Each has random numbers of its own; the
        first one's are those of a run of one network.
        """
        if number == 1:
            return self
        digest = hashlib.sha256(f"{self.seed} {number}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big")
        return replace(self, networks=1, seed=seed, pace=self.pace_of(number))

    def total_steps(self, steps_per_epoch: int) -> int:
        """Total number of updates: the planned number, or the last one in `pace`."""
        return self.changes[-1][1] if self.changes else self.planned_steps(steps_per_epoch)

    def planned_steps(self, steps_per_epoch: int) -> int:
        """`steps` or `epochs`, whichever ends first; `ConfigError` without both."""
        limits = [self.steps] if self.steps is not None else []
        if self.epochs is not None:
            limits.append(max(1, math.ceil(self.epochs * steps_per_epoch - 1e-9)))
        if not limits:
            raise ConfigError("`steps` or `epochs` is missing: set how long the run is")
        return min(limits)

    def eval_interval(self, steps_per_epoch: int) -> int:
        """Steps between validations; default: whole epochs of at least 200 steps, at most 1000."""
        return self.eval_every or min(-(-200 // steps_per_epoch) * steps_per_epoch, 1000)


LENGTH = ("steps", "epochs", "pace", "max_time")
"""The settings that say how long to train."""
OPTIMIZER_NAMES = settings_of(TrainConfig)["optimizer"].choices
