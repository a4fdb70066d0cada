"""The settings of texts, networks and training, once: name, default, range, group and help.

Flags, help texts, `config.toml` and a checkpoint's metadata are derived from these frozen
dataclasses. They check themselves when created, so every configuration is valid.
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
text, network, dropped, dynamic, remembered, training, run = (
    partial(setting, group=group)
    for group in ("Text", "Network", "Dropout", "Dynamic evaluation", "Memory", "Training", RUN)
)


@dataclass(frozen=True, repr=False)
class CorpusConfig(Settings):
    """How a text is read and split."""

    encoding: str = text("utf-8", "Character encoding of the text.")
    encoding_errors: Literal["strict", "replace", "ignore"] = text(
        "strict",
        "Bytes that are not in the encoding: strict reports the first, replace makes them U+FFFD, "
        "ignore leaves them out.",
    )
    newlines: Literal["lf", "keep"] = text(
        "lf", "lf turns CRLF and CR into LF; keep leaves them (always with the unit byte)."
    )
    normalize: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = text(
        "none", "Unicode normalization form."
    )
    unit: Literal["char", "byte"] = text("char", "What the network predicts: characters or bytes.")
    min_count: int = text(
        1,
        "Replace characters that occur less often than this by one unknown symbol, never sampled.",
        1,
    )
    val_fraction: float = text(
        0.1,
        "Fraction of the text kept for validation: its end, or documents drawn from all of it.",
        0.0,
        0.9,
    )
    test_fraction: float = text(
        0.0, "Fraction of the text kept for testing: after the validation part.", 0.0, 0.9
    )
    document_separator: str | None = text(
        None,
        "Regular expression; a new document, and a zero state, begins after each match.",
    )

    def __post_init__(self) -> None:
        """Check as for all settings; the two fractions must leave text to train on, and the
        separator must be a regular expression.
        """
        super().__post_init__()
        if self.document_separator is not None:
            check_pattern("document_separator", self.document_separator)
        if self.val_fraction + self.test_fraction > 0.9 + 1e-9:
            raise ConfigError(
                f"`val_fraction` {self.val_fraction:g} and `test_fraction` {self.test_fraction:g} "
                "leave less than a tenth of the text to train on; make them smaller"
            )


@dataclass(frozen=True, repr=False)
class ModelConfig(Settings):
    """The shape of the network; the text determines `vocab_size`."""

    vocab_size: int = network(2, "Number of symbols V.", 2, 65536)
    cell: Literal[
        "lstm", "peephole", "coupled", "gru", "gru-after", "rnn", "clockwork", "depth-gated", "grid"
    ] = network("lstm", "Recurrent cell (equations: docs/networks.md).")
    layers: int = network(2, "Number of stacked recurrent layers L.", 1, 64)
    hidden: int = network(None, "Units H per layer (default: by text and length).", 1, 16384)
    embedding: int = network(
        64, "Size of the learned character embeddings; 0: one-hot characters.", 0, 16384
    )
    skip: bool = network(
        False, "Feed the outputs of all layers to the decoder, not only the last layer's."
    )
    residual: bool = network(
        False, "Add each layer's input to its output, from the second layer on."
    )
    layer_norm: bool = network(
        None,
        "Layer normalization of each layer's outputs (default: for cells with a cell state c).",
    )
    activation: Literal["tanh", "softsign", "relu"] = network(
        "tanh", "Nonlinearity of the cell's input and output (gates are sigmoids)."
    )
    clockwork_groups: int = network(
        8, "Groups of units in the clockwork cell, updated every 1, 2, 4, ... steps.", 1, 16
    )
    init: Literal["xavier-uniform", "xavier-normal", "uniform"] = network(
        "xavier-uniform",
        "Initial weights: Xavier (Glorot and Bengio), or uniform within `init_scale`.",
    )
    init_scale: float = network(0.08, "Largest initial weight with `init` uniform.", 0.0, 10.0)
    input_scale: float = network(
        1.0,
        "Standard deviation of the initial embeddings, or of the initial weights of one-hot "
        "characters (not with `init` uniform).",
        0.0,
        10.0,
    )
    recurrent_init: Literal["same", "orthogonal", "identity"] = network(
        "same", "Initial recurrent weights: same as `init`, or these."
    )
    forget_bias: float = network(0.0, "Initial bias of the forget gates.", -20.0, 20.0)
    dropout: float = dropped(
        None,
        "Dropout rate of each layer's outputs (default: by size and passes).",
        0.0,
        0.95,
    )
    input_dropout: float = dropped(
        None,
        "Fraction of input characters hidden from the network in training (default: by passes).",
        0.0,
        0.95,
    )
    recurrent_dropout: float = dropped(
        0.0, "Fraction of the recurrent weights dropped in each batch (DropConnect).", 0.0, 0.95
    )
    locked_dropout: bool = dropped(
        False, "Use the same masks for `dropout` and `input_dropout` at all steps of a batch."
    )
    zoneout_c: float = dropped(
        0.0, "Fraction of the cell states that keep their previous value in training.", 0.0, 0.95
    )
    zoneout_h: float = dropped(
        0.0, "Fraction of the hidden states that keep their previous value in training.", 0.0, 0.95
    )

    def resolved(self) -> Self:
        """The settings with every default that needs no text: no dropout, and layer normalization
        for cells with a cell state. `ConfigError` without `hidden`.
        """
        if self.hidden is None:
            raise ConfigError("`hidden` is missing: set the units per layer")
        return self.filled(layer_norm=self.cell in MEMORY, dropout=0.0, input_dropout=0.0)


@dataclass(frozen=True, repr=False)
class DynamicConfig(Settings):
    """How a network keeps learning from the text that it is scored on (dynamic evaluation)."""

    dynamic_rate: float = dynamic(
        4e-4, "Learning rate of dynamic evaluation: eta of Krause et al. 2018.", 0.0, 1.0
    )
    dynamic_decay: float = dynamic(
        1e-3, "Decay of the weights towards the trained ones: lambda.", 0.0, 1.0
    )
    dynamic_segment: int = dynamic(20, "Characters between two updates.", 1, 65536)
    dynamic_streams: int = dynamic(
        1,
        "Parts of the text read in parallel with the same weights; faster, but the network "
        "learns less.",
        1,
        1024,
    )
    dynamic_precision: Literal["auto", "float32", "bf16", "amx"] = dynamic(
        "auto",
        "Type of the factors in matrix products, as in training. auto: the fastest for a text of "
        "over 20,000 characters; float32 for a shorter one, and for a text to learn from before "
        "writing.",
    )


@dataclass(frozen=True, repr=False)
class MemoryConfig(Settings):
    """What a network remembers of the text that it is scored on (a neural cache)."""

    memory_size: int = remembered(4000, "Characters that are remembered.", 1, 65536)
    memory_sharpness: float = remembered(
        17.0, "How alike two places must be: theta of Grave et al. 2017.", 0.0, 1000.0
    )
    memory_half: float = remembered(
        9.0,
        "The memory counts as much as the network where as many places were the same; fewer count "
        "less.",
        1e-6,
        1e9,
    )


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
        "Term against division by zero (default: adam, adamw and rmsprop 1e-8, adagrad 1e-10, "
        "adadelta 1e-6).",
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
        "step and exponential (0: `decay_every`).",
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
        "step (default: adamw by passes, others 0).",
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
        "run was given more: 1410+2000. `for` records them.",
    )
    max_time: str | None = run(None, "Training time limit: 90s, 20m, 2h30m.")
    patience: int | None = run(
        None, "End the run after this many validations without a new best.", 1, 10**6
    )
    seed: int = run(0, "Seed of everything random.", 0, 2**63 - 1)
    eval_every: int | None = run(
        None,
        "Steps between validations (default: whole epochs of at least 200 steps, at most 1000).",
        1,
        10**12,
    )
    sample_every: int | None = run(
        None,
        "Steps between printed samples (default: at the first five validations, then at every "
        "fifth; 0: none). The last step has one too.",
        0,
        10**12,
    )
    save_every: int | None = run(
        None, "Steps between checkpoints (default: at each validation).", 1, 10**12
    )

    def __post_init__(self) -> None:
        """Check as for all settings; `max_time` must be a time, `pace` a list of changes, and
        `batch_size` a multiple of `parts`.
        """
        super().__post_init__()
        if self.batch_size is not None and self.batch_size % self.parts:
            raise ConfigError(
                f"a `batch_size` of {self.batch_size} cannot be divided into {self.parts} `parts`; "
                "make it a multiple"
            )
        if self.max_time is not None:
            seconds_of("max_time", self.max_time)
        if self.pace is not None and changes_of(self.pace) is None:
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
        run was given more there, so that the learning rate rises again.
        """
        return changes_of(self.pace or "") or ()

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
MEMORY = ("lstm", "peephole", "coupled", "depth-gated")
"""Cells with a cell state c that learn faster with normalized outputs."""
CELL_NAMES = settings_of(ModelConfig)["cell"].choices
ACTIVATIONS = settings_of(ModelConfig)["activation"].choices
OPTIMIZER_NAMES = settings_of(TrainConfig)["optimizer"].choices
