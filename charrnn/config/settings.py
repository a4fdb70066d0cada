"""Every setting, once: its name, default, range, group and help.

Flags, help texts, `config.toml` and a checkpoint's metadata are derived from these frozen
dataclasses. They check themselves when they are made, so a configuration that exists is valid.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

from charrnn.config.fields import (
    Settings,
    changes_of,
    check_pattern,
    seconds_of,
    setting,
    settings_of,
)
from charrnn.errors import ConfigError

RUN = "Run"
text, network, dropped, dynamic, sampling, training, run = (
    partial(setting, group=group)
    for group in ("Text", "Network", "Dropout", "Dynamic evaluation", "Sampling", "Training", RUN)
)


@dataclass(frozen=True)
class CorpusConfig(Settings):
    """How a text is read and split."""

    encoding: str = text("utf-8", "Character encoding of the text.")
    newlines: Literal["lf", "keep"] = text(
        "lf", "lf turns CRLF and CR into LF; keep leaves them (bytes: always)."
    )
    normalize: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = text(
        "none", "Unicode normalisation form."
    )
    unit: Literal["char", "byte"] = text("char", "What the network predicts: characters or bytes.")
    min_count: int = text(
        1,
        "Fold characters that occur less often than this into one unknown symbol, never sampled.",
        1,
    )
    val_fraction: float = text(0.1, "Share of the text, at its end, kept for validation.", 0.0, 0.9)
    test_fraction: float = text(
        0.0, "Share of the text, after the validation part, never touched in training.", 0.0, 0.9
    )
    document_separator: str | None = text(
        None,
        "Regular expression after whose matches a new document begins: the state starts from zero "
        "there.",
    )

    def __post_init__(self) -> None:
        """As for all settings; the two fractions must leave something to train on, and the
        separator must be a pattern.
        """
        super().__post_init__()
        if self.document_separator is not None:
            check_pattern("document_separator", self.document_separator)
        if self.val_fraction + self.test_fraction > 0.9 + 1e-9:
            raise ConfigError(
                f"`val_fraction` {self.val_fraction:g} and `test_fraction` {self.test_fraction:g} "
                "leave less than a tenth of the text to train on; make them smaller"
            )


@dataclass(frozen=True)
class ModelConfig(Settings):
    """The shape of the network; `vocab_size` follows from the text."""

    vocab_size: int = network(2, "Number of symbols V.", 2, 65536)
    cell: Literal[
        "lstm", "peephole", "coupled", "gru", "gru-after", "rnn", "clockwork", "depth-gated", "grid"
    ] = network("lstm", "Recurrent cell; docs/networks.md has their equations.")
    layers: int = network(2, "Stacked recurrent layers L.", 1, 64)
    hidden: int = network(None, "Units H of each layer (default: by text and length).", 1, 16384)
    embedding: int = network(
        64, "Size of learned character vectors; 0 feeds one-hot characters.", 0, 16384
    )
    skip: bool = network(
        False, "Let the decoder read the outputs of all layers, not of the last alone."
    )
    residual: bool = network(
        False, "Add to every layer's output, from the second on, what came into it."
    )
    layer_norm: bool = network(
        None,
        "Normalise the outputs of every layer over its units before they go up (default: for "
        "cells with a memory c).",
    )
    activation: Literal["tanh", "softsign", "relu"] = network(
        "tanh", "Nonlinearity of what enters and leaves the cell (gates are sigmoids)."
    )
    clockwork_groups: int = network(
        8, "Groups of the clockwork cell's units, updated every 1, 2, 4, ... steps.", 1, 16
    )
    init: Literal["xavier-uniform", "xavier-normal", "uniform"] = network(
        "xavier-uniform", "First weights: Glorot and Bengio's, or uniform within `init_scale`."
    )
    init_scale: float = network(0.08, "Largest first weight of `init` uniform.", 0.0, 10.0)
    input_scale: float = network(
        1.0,
        "Deviation of the first embeddings, and of the first weights of one-hot characters (not "
        "with `init` uniform).",
        0.0,
        10.0,
    )
    recurrent_init: Literal["same", "orthogonal", "identity"] = network(
        "same", "First recurrent weights: as `init`, or these."
    )
    forget_bias: float = network(0.0, "Initial bias of the forget gates.", -20.0, 20.0)
    dropout: float = dropped(
        None,
        "Share of every layer's outputs dropped in training (default: by size and passes).",
        0.0,
        0.95,
    )
    input_dropout: float = dropped(
        None,
        "Share of the characters that the network does not see in training (default: by passes).",
        0.0,
        0.95,
    )
    recurrent_dropout: float = dropped(
        0.0, "Share of the recurrent weights dropped in each batch (DropConnect).", 0.0, 0.95
    )
    locked_dropout: bool = dropped(
        False, "Draw the masks of `dropout` and `input_dropout` once for all steps of a batch."
    )
    zoneout_c: float = dropped(
        0.0, "Share of the cell states that keep their old value in training.", 0.0, 0.95
    )
    zoneout_h: float = dropped(
        0.0, "Share of the hidden states that keep their old value in training.", 0.0, 0.95
    )

    def resolved(self) -> Self:
        """The settings with what needs no text decided: what is not given is not dropped, and cells
        with a memory are normalised. `ConfigError` without `hidden`.
        """
        if self.hidden is None:
            raise ConfigError("`hidden` is needed: the units of each layer")
        return self.filled(layer_norm=self.cell in MEMORY, dropout=0.0, input_dropout=0.0)


@dataclass(frozen=True)
class DynamicConfig(Settings):
    """How a network keeps learning from the text that it is scored on (dynamic evaluation)."""

    dynamic_rate: float = dynamic(
        4e-4, "How far the weights move: eta of Krause et al. 2018.", 0.0, 1.0
    )
    dynamic_decay: float = dynamic(
        1e-3, "How strongly they are drawn back to the trained ones: lambda.", 0.0, 1.0
    )
    dynamic_segment: int = dynamic(20, "Characters between two moves.", 1, 65536)
    dynamic_streams: int = dynamic(
        1,
        "Parts of the text that are read side by side, with the same weights: faster, and the "
        "network learns less.",
        1,
        1024,
    )


@dataclass(frozen=True)
class SamplingConfig(Settings):
    """How a network writes. A text is at most `length` characters (bytes, with the unit byte)."""

    length: int = sampling(500, "Characters to write.", 0)
    temperature: float = sampling(
        0.8, "How daring: divides the scores; 0 takes the most probable character.", 0.0, 1e300
    )
    top_k: int = sampling(0, "Sample from the K most probable characters; 0: from all.", 0)
    min_p: float = sampling(
        0.0,
        "Drop characters less probable than this times the most probable one; 0: none.",
        0.0,
        1.0,
    )
    seed: int = sampling(0, "The same seed writes the same text.", 0, 2**63 - 1)
    stop: str | None = sampling(None, "End before this string is written.")
    unknown: Literal["error", "skip", "nearest", "fold"] = sampling(
        "error", "What becomes of the prime's characters that the model does not know."
    )
    precision: Literal["float32", "bf16", "int8"] = sampling(
        "float32",
        "Weights rounded to this type: faster for one text of a large network, nearly the same.",
    )


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How a network is trained. `epochs` and `steps`: whichever ends first."""

    batch_size: int = training(
        None, "Streams N trained side by side (default: 32, fewer for a short text).", 1, 65536
    )
    seq_length: int = training(64, "Characters T between updates (truncated BPTT).", 1, 65536)
    reset_every: int = training(
        0,
        "Characters of a stream after which its state is set to zero; 0: never within the text.",
        0,
        10**12,
    )
    optimizer: Literal[
        "adam", "adamw", "rmsprop", "adagrad", "adadelta", "sgd", "momentum", "nesterov"
    ] = training("adamw", "Rule of the update.")
    learning_rate: float | None = training(
        None,
        "Step size of the optimiser, at its peak (default: by optimiser; adam and adamw by width).",
        0.0,
        1000.0,
    )
    momentum: float = training(0.9, "Of momentum and nesterov.", 0.0, 0.99999)
    rho: float | None = training(
        None, "Memory of the squares (default: rmsprop 0.9, adadelta 0.95).", 0.0, 0.9999999
    )
    beta1: float = training(0.9, "Adam's memory of the gradient.", 0.0, 0.99999)
    beta2: float = training(0.999, "Adam's memory of its square.", 0.0, 0.9999999)
    epsilon: float | None = training(
        None,
        "Guard against division by zero (default: adam, adamw and rmsprop 1e-8, adagrad 1e-10, "
        "adadelta 1e-6).",
        1e-15,
        1.0,
    )
    schedule: Literal[
        "inverse-sqrt", "constant", "step", "exponential", "cosine", "one-cycle", "plateau"
    ] = training("cosine", "How the learning rate changes; docs/training.md.")
    warmup: int = training(
        None,
        "Steps in which the learning rate rises from zero, with any schedule (default: 100, at "
        "most a twentieth of the run).",
        0,
        10**12,
    )
    decay_rate: float = training(
        0.5, "Factor of a fall of the learning rate: step, exponential, plateau.", 0.0, 1.0
    )
    decay_every: float = training(1.0, "Epochs between two falls: step, exponential.", 1e-9, 1e9)
    decay_after: float = training(
        None,
        "Epochs until the learning rate begins to fall: cosine (default: a tenth of the run), and "
        "(0: `decay_every`) step, exponential.",
        0.0,
        1e9,
    )
    final_rate: float = training(
        0.0, "Where cosine and one-cycle end, as a share of the peak rate.", 0.0, 1.0
    )
    plateau_patience: int = training(
        3, "Validations without a new best before plateau lets the rate fall.", 1, 10**6
    )
    l1: float = training(0.0, "Added to the gradient of weights: l1 times their sign.", 0.0, 1e3)
    l2: float = training(0.0, "Added to the gradient of weights: l2 times the weight.", 0.0, 1e3)
    weight_decay: float | None = training(
        None,
        "Share of every weight, times the learning rate, taken away at each step (default: adamw "
        "by passes, others 0).",
        0.0,
        1e3,
    )
    reduction: Literal["mean", "sum-over-time"] = training(
        "mean",
        "What the gradient is of: the mean loss of a batch, or its sum over the steps (counts for "
        "clipping, and for sgd).",
    )
    label_smoothing: float = training(
        0.0,
        "Share of every target that all symbols have alike while training; losses are shown "
        "without it.",
        0.0,
        0.99,
    )
    clip_norm: float = training(5.0, "Largest norm of the gradient; 0 does not clip.", 0.0, 1e9)
    clip_value: float = training(
        0.0, "Largest absolute value of a gradient; 0 does not clip.", 0.0, 1e9
    )
    average: float = training(
        0.998,
        "Decay of the weight average (EMA), which is evaluated, saved and sampled; 0: use the "
        "weights of the last step.",
        0.0,
        0.999999,
    )
    precision: Literal["auto", "float32", "bf16"] = training(
        "auto",
        "Of the factors of matrix products; bf16 needs AVX512-BF16. auto takes bf16 where the "
        "processor has it and a time is given, else float32. Sums and weights are float32 always.",
    )
    epochs: float | None = run(
        None,
        "Passes over the training text, by which the run ends whatever time it takes.",
        1e-9,
        1e9,
    )
    steps: int | None = run(None, "Updates to make, in all.", 1, 10**12)
    pace: str | None = run(
        None,
        "Steps at which their number was changed to end on time, and the new numbers: 360:1500 "
        "720:1410. `for` records them.",
    )
    max_time: str | None = run(None, "Training time after which the run ends: 90s, 20m, 1.5h.")
    patience: int | None = run(
        None, "Validations without a new best after which the run ends.", 1, 10**6
    )
    seed: int = run(0, "Seed of everything random.", 0, 2**63 - 1)
    eval_every: int | None = run(
        None,
        "Steps between validations (default: whole epochs of at least 200 steps, at most 1000).",
        1,
        10**12,
    )
    sample_every: int | None = run(
        None, "Steps between samples shown (default: every fifth validation; 0: none).", 0, 10**12
    )
    save_every: int | None = run(
        None, "Steps between checkpoints (default: with each validation).", 1, 10**12
    )

    def __post_init__(self) -> None:
        """As for all settings; `max_time` must be a duration, and `pace` a record of changes."""
        super().__post_init__()
        if self.max_time is not None and seconds_of(self.max_time) is None:
            raise ConfigError(
                f"`max_time` must be a time such as 90s, 20m or 1.5h, not {self.max_time!r:.40}"
            )
        if self.pace is not None and changes_of(self.pace) is None:
            raise ConfigError(
                "`pace` must be pairs of a step and a larger number of steps, in their order, such "
                f"as 360:1500 720:1410, not {self.pace!r:.40}"
            )

    @property
    def max_seconds(self) -> float | None:
        """`max_time` in seconds."""
        return None if self.max_time is None else seconds_of(self.max_time)

    @property
    def changes(self) -> tuple[tuple[int, int], ...]:
        """`pace` as pairs: after so many steps, their number in all became this."""
        return changes_of(self.pace or "") or ()

    def total_steps(self, steps_per_epoch: int) -> int:
        """How many updates the run makes: those planned, or the last number in `pace`."""
        return self.changes[-1][1] if self.changes else self.planned_steps(steps_per_epoch)

    def planned_steps(self, steps_per_epoch: int) -> int:
        """`steps` or `epochs`, whichever ends first; `ConfigError` without both."""
        limits = [self.steps] if self.steps is not None else []
        if self.epochs is not None:
            limits.append(max(1, math.ceil(self.epochs * steps_per_epoch - 1e-9)))
        if not limits:
            raise ConfigError("`steps` or `epochs` is needed: how long the run is")
        return min(limits)

    def eval_interval(self, steps_per_epoch: int) -> int:
        """Steps between validations: by default whole epochs of 200 steps or more, at most 1000."""
        return self.eval_every or min(-(-200 // steps_per_epoch) * steps_per_epoch, 1000)


MEMORY = ("lstm", "peephole", "coupled", "depth-gated")
"""Cells with a state c beside the output h that learn faster with normalised outputs."""
CELL_NAMES = settings_of(ModelConfig)["cell"].choices
ACTIVATIONS = settings_of(ModelConfig)["activation"].choices
OPTIMIZER_NAMES = settings_of(TrainConfig)["optimizer"].choices
PRECISIONS = settings_of(SamplingConfig)["precision"].choices
"""The types that weights are rounded to for sampling."""
