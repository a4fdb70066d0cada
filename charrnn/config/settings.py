"""Every setting, once: its name, default, range, group and help.

Flags, help texts, `config.toml` and a checkpoint's metadata are derived from these frozen
dataclasses. They check themselves when they are made, so a configuration that exists is valid.
"""

import math
from dataclasses import dataclass
from typing import Literal

from charrnn.config.fields import Settings, check_pattern, seconds_of, setting, settings_of
from charrnn.errors import ConfigError

# without `epochs` and `steps`: a tiny text needs more passes
DEFAULT_EPOCHS, LEAST_STEPS = 30, 1000
TEXT, NETWORK, DROPPED, TRAINING, RUN = "Text", "Network", "Dropout", "Training", "Run"
DYNAMIC, SAMPLING = "Dynamic evaluation", "Sampling"


@dataclass(frozen=True)
class CorpusConfig(Settings):
    """How a text is read and split."""

    encoding: str = setting("utf-8", "Character encoding of the text.", TEXT)
    newlines: Literal["lf", "keep"] = setting(
        "lf", "lf turns CRLF and CR into LF; keep leaves them (bytes: always).", TEXT
    )
    normalize: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = setting(
        "none", "Unicode normalisation form.", TEXT
    )
    unit: Literal["char", "byte"] = setting(
        "char", "What the network predicts: characters or bytes.", TEXT
    )
    min_count: int = setting(
        1,
        "Fold characters that occur less often than this into one unknown symbol, never sampled.",
        TEXT,
        1,
    )
    val_fraction: float = setting(
        0.1, "Share of the text, at its end, kept for validation.", TEXT, 0.0, 0.9
    )
    test_fraction: float = setting(
        0.0,
        "Share of the text, after the validation part, never touched in training.",
        TEXT,
        0.0,
        0.9,
    )
    document_separator: str | None = setting(
        None,
        "Regular expression after whose matches a new document begins: the state starts from zero "
        "there.",
        TEXT,
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

    vocab_size: int = setting(2, "Number of symbols V.", NETWORK, 2, 65536)
    cell: Literal[
        "lstm", "peephole", "coupled", "gru", "gru-after", "rnn", "clockwork", "depth-gated", "grid"
    ] = setting("lstm", "Recurrent cell; docs/networks.md has their equations.", NETWORK)
    layers: int = setting(2, "Stacked recurrent layers L.", NETWORK, 1, 64)
    hidden: int = setting(256, "Units H of each layer.", NETWORK, 1, 16384)
    embedding: int = setting(
        0,
        "Size of learned character vectors; 0 feeds one-hot characters.",
        NETWORK,
        0,
        16384,
    )
    skip: bool = setting(
        False, "Let the decoder read the outputs of all layers, not of the last alone.", NETWORK
    )
    residual: bool = setting(
        False, "Add to every layer's output, from the second on, what came into it.", NETWORK
    )
    layer_norm: bool = setting(
        False, "Normalise the outputs of every layer over its units before they go up.", NETWORK
    )
    activation: Literal["tanh", "softsign", "relu"] = setting(
        "tanh", "Nonlinearity of what enters and leaves the cell (gates are sigmoids).", NETWORK
    )
    clockwork_groups: int = setting(
        8,
        "Groups of the clockwork cell's units, updated every 1, 2, 4, ... steps.",
        NETWORK,
        1,
        16,
    )
    init: Literal["xavier-uniform", "xavier-normal", "uniform"] = setting(
        "xavier-uniform",
        "First weights: Glorot and Bengio's, or uniform within `init_scale`.",
        NETWORK,
    )
    init_scale: float = setting(0.08, "Largest first weight of `init` uniform.", NETWORK, 0.0, 10.0)
    input_scale: float = setting(
        1.0,
        "Deviation of the first embeddings, and of the first weights of one-hot characters (not "
        "with `init` uniform).",
        NETWORK,
        0.0,
        10.0,
    )
    recurrent_init: Literal["same", "orthogonal", "identity"] = setting(
        "same", "First recurrent weights: as `init`, or these.", NETWORK
    )
    forget_bias: float = setting(1.0, "Initial bias of the forget gates.", NETWORK, -20.0, 20.0)
    dropout: float = setting(
        0.3,
        "Share of every layer's outputs dropped in training.",
        DROPPED,
        0.0,
        0.95,
    )
    input_dropout: float = setting(
        0.0,
        "Share of the characters that the network does not see in training.",
        DROPPED,
        0.0,
        0.95,
    )
    recurrent_dropout: float = setting(
        0.0,
        "Share of the recurrent weights dropped in each batch (DropConnect).",
        DROPPED,
        0.0,
        0.95,
    )
    locked_dropout: bool = setting(
        False,
        "Draw the masks of `dropout` and `input_dropout` once for all steps of a batch.",
        DROPPED,
    )
    zoneout_c: float = setting(
        0.0,
        "Share of the cell states that keep their old value in training.",
        DROPPED,
        0.0,
        0.95,
    )
    zoneout_h: float = setting(
        0.0,
        "Share of the hidden states that keep their old value in training.",
        DROPPED,
        0.0,
        0.95,
    )


@dataclass(frozen=True)
class DynamicConfig(Settings):
    """How a network keeps learning from the text that it is scored on (dynamic evaluation)."""

    dynamic_rate: float = setting(
        4e-4,
        "How far the weights move: eta of Krause et al. 2018.",
        DYNAMIC,
        0.0,
        1.0,
    )
    dynamic_decay: float = setting(
        1e-3,
        "How strongly they are drawn back to the trained ones: lambda.",
        DYNAMIC,
        0.0,
        1.0,
    )
    dynamic_segment: int = setting(20, "Characters between two moves.", DYNAMIC, 1, 65536)
    dynamic_streams: int = setting(
        1,
        "Parts of the text that are read side by side, with the same weights: faster, and the "
        "network learns less.",
        DYNAMIC,
        1,
        1024,
    )


@dataclass(frozen=True)
class SamplingConfig(Settings):
    """How a network writes. A text is at most `length` characters (bytes, with the unit byte)."""

    length: int = setting(500, "Characters to write.", SAMPLING, 0)
    temperature: float = setting(
        0.8,
        "How daring: divides the scores; 0 takes the most probable character.",
        SAMPLING,
        0.0,
        1e300,
    )
    top_k: int = setting(0, "Sample from the K most probable characters; 0: from all.", SAMPLING, 0)
    min_p: float = setting(
        0.0,
        "Drop characters less probable than this times the most probable one; 0: none.",
        SAMPLING,
        0.0,
        1.0,
    )
    seed: int = setting(0, "The same seed writes the same text.", SAMPLING, 0, 2**63 - 1)
    stop: str | None = setting(None, "End before this string is written.", SAMPLING)
    unknown: Literal["error", "skip", "nearest", "fold"] = setting(
        "error", "What becomes of the prime's characters that the model does not know.", SAMPLING
    )
    precision: Literal["float32", "bf16", "int8"] = setting(
        "float32",
        "Weights rounded to this type: faster for one text of a large network, nearly the same.",
        SAMPLING,
    )


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How a network is trained. `epochs` and `steps`: whichever ends first."""

    batch_size: int = setting(32, "Streams N trained side by side.", TRAINING, 1, 65536)
    seq_length: int = setting(
        64, "Characters T between updates (truncated BPTT).", TRAINING, 1, 65536
    )
    reset_every: int = setting(
        0,
        "Characters of a stream after which its state is set to zero; 0: never within the text.",
        TRAINING,
        0,
        10**12,
    )
    optimizer: Literal[
        "adam", "adamw", "rmsprop", "adagrad", "adadelta", "sgd", "momentum", "nesterov"
    ] = setting("adam", "Rule of the update.", TRAINING)
    learning_rate: float | None = setting(
        None,
        "Step size of the optimiser, at its peak (default: by optimiser; adam 0.003).",
        TRAINING,
        0.0,
        1000.0,
    )
    momentum: float = setting(0.9, "Of momentum and nesterov.", TRAINING, 0.0, 0.99999)
    rho: float | None = setting(
        None,
        "Memory of the squares (default: rmsprop 0.9, adadelta 0.95).",
        TRAINING,
        0.0,
        0.9999999,
    )
    beta1: float = setting(0.9, "Adam's memory of the gradient.", TRAINING, 0.0, 0.99999)
    beta2: float = setting(0.999, "Adam's memory of its square.", TRAINING, 0.0, 0.9999999)
    epsilon: float | None = setting(
        None,
        "Guard against division by zero (default: adam, adamw and rmsprop 1e-8, adagrad 1e-10, "
        "adadelta 1e-6).",
        TRAINING,
        1e-15,
        1.0,
    )
    schedule: Literal[
        "inverse-sqrt", "constant", "step", "exponential", "cosine", "one-cycle", "plateau"
    ] = setting("inverse-sqrt", "How the learning rate changes; docs/training.md.", TRAINING)
    warmup: int = setting(
        0,
        "Steps in which the learning rate rises from zero, with any schedule.",
        TRAINING,
        0,
        10**12,
    )
    decay_rate: float = setting(
        0.5,
        "Factor of a fall of the learning rate: step, exponential, plateau.",
        TRAINING,
        0.0,
        1.0,
    )
    decay_every: float = setting(
        1.0, "Epochs between two falls: step, exponential.", TRAINING, 1e-9, 1e9
    )
    decay_after: float = setting(
        0.0,
        "Epochs until the learning rate begins to fall: cosine, and (0: `decay_every`) step, "
        "exponential.",
        TRAINING,
        0.0,
        1e9,
    )
    final_rate: float = setting(
        0.0,
        "Where cosine and one-cycle end, as a share of the peak rate.",
        TRAINING,
        0.0,
        1.0,
    )
    plateau_patience: int = setting(
        3,
        "Validations without a new best before plateau lets the rate fall.",
        TRAINING,
        1,
        10**6,
    )
    l1: float = setting(
        0.0,
        "Added to the gradient of weights: l1 times their sign.",
        TRAINING,
        0.0,
        1e3,
    )
    l2: float = setting(
        0.0,
        "Added to the gradient of weights: l2 times the weight.",
        TRAINING,
        0.0,
        1e3,
    )
    weight_decay: float | None = setting(
        None,
        "Share of every weight, times the learning rate, taken away at each step (default: adamw "
        "0.01, others 0).",
        TRAINING,
        0.0,
        1e3,
    )
    reduction: Literal["mean", "sum-over-time"] = setting(
        "mean",
        "What the gradient is of: the mean loss of a batch, or its sum over the steps (counts for "
        "clipping, and for sgd).",
        TRAINING,
    )
    label_smoothing: float = setting(
        0.0,
        "Share of every target that all symbols have alike while training; losses are shown "
        "without it.",
        TRAINING,
        0.0,
        0.99,
    )
    clip_norm: float = setting(
        1.0, "Largest norm of the gradient; 0 does not clip.", TRAINING, 0.0, 1e9
    )
    clip_value: float = setting(
        0.0,
        "Largest absolute value of a gradient; 0 does not clip.",
        TRAINING,
        0.0,
        1e9,
    )
    average: float = setting(
        0.998,
        "Decay of the weight average (EMA), which is evaluated, saved and sampled; 0: use the "
        "weights of the last step.",
        TRAINING,
        0.0,
        0.999999,
    )
    precision: Literal["float32", "bf16"] = setting(
        "float32",
        "Of the factors of matrix products; bf16 needs AVX512-BF16. Sums and weights are float32 "
        "always.",
        TRAINING,
    )
    epochs: float | None = setting(
        None,
        "Passes over the training text (default: 30, but at least 1000 steps; none with `steps`).",
        RUN,
        1e-9,
        1e9,
    )
    steps: int | None = setting(None, "Updates to make, in all.", RUN, 1, 10**12)
    max_time: str | None = setting(
        None, "Training time after which the run ends: 90s, 20m, 1.5h.", RUN
    )
    patience: int | None = setting(
        None,
        "Validations without a new best after which the run ends.",
        RUN,
        1,
        10**6,
    )
    seed: int = setting(0, "Seed of everything random.", RUN, 0, 2**63 - 1)
    eval_every: int | None = setting(
        None,
        "Steps between validations (default: whole epochs of at least 200 steps, at most 1000).",
        RUN,
        1,
        10**12,
    )
    sample_every: int | None = setting(
        None,
        "Steps between samples shown (default: every fifth validation; 0: none).",
        RUN,
        0,
        10**12,
    )
    save_every: int | None = setting(
        None,
        "Steps between checkpoints (default: with each validation).",
        RUN,
        1,
        10**12,
    )

    def __post_init__(self) -> None:
        """As for all settings, and `max_time` must be a duration."""
        super().__post_init__()
        if self.max_time is not None and seconds_of(self.max_time) is None:
            raise ConfigError(
                f"`max_time` must be a time such as 90s, 20m or 1.5h, not {self.max_time!r:.40}"
            )

    @property
    def max_seconds(self) -> float | None:
        """`max_time` in seconds."""
        return None if self.max_time is None else seconds_of(self.max_time)

    def total_steps(self, steps_per_epoch: int) -> int:
        """How many updates the run makes: `steps` or `epochs`, whichever ends first."""
        if self.epochs is None and self.steps is None:
            return max(DEFAULT_EPOCHS * steps_per_epoch, LEAST_STEPS)
        limits = [self.steps] if self.steps is not None else []
        if self.epochs is not None:
            limits.append(max(1, math.ceil(self.epochs * steps_per_epoch - 1e-9)))
        return min(limits)

    def eval_interval(self, steps_per_epoch: int) -> int:
        """Steps between validations: by default whole epochs of 200 steps or more, at most 1000."""
        return self.eval_every or min(-(-200 // steps_per_epoch) * steps_per_epoch, 1000)


CELL_NAMES = settings_of(ModelConfig)["cell"].choices
ACTIVATIONS = settings_of(ModelConfig)["activation"].choices
OPTIMIZER_NAMES = settings_of(TrainConfig)["optimizer"].choices
PRECISIONS = settings_of(SamplingConfig)["precision"].choices
"""The types that weights are rounded to for sampling."""
